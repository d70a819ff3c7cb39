//! Log lines that a client can cause, or a bad hour: bounded, so that they do not fill a disk.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Lines in each window; then they are counted only.
const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Lets a bounded number of lines through.
#[derive(Debug, Default)]
pub struct LineLimiter(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    begin: Duration,
    lines: u32,
    left_out: u64,
}

impl LineLimiter {
    /// Whether a line may be written at `now`, and if so, how many were left out before it.
    pub fn admit(&self, now: Duration) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= window.begin + WINDOW {
            (window.begin, window.lines) = (now, 0);
        }
        if window.lines >= LINES_MAX {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_those_left_out_are_counted() {
        let limiter = LineLimiter::default();
        let admitted = (0..100).filter(|_| limiter.admit(Duration::from_secs(20)).is_some());
        assert_eq!(admitted.count(), LINES_MAX as usize);
        assert_eq!(limiter.admit(Duration::from_secs(29)), None);
        assert_eq!(limiter.admit(Duration::from_secs(30)), Some(91));
        assert_eq!(limiter.admit(Duration::from_secs(30)), Some(0));
    }
}
