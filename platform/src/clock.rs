//! Time as a seam: the machine's clocks, and one that a test moves by hand.
#![expect(clippy::disallowed_methods, reason = "the home of the clock seam")]

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Microseconds since the Unix epoch. May step in either direction.
    fn wall_micros(&self) -> i64;

    /// Time since an arbitrary start. Never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        RealClock { start: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        RealClock::new()
    }
}

impl Clock for RealClock {
    fn wall_micros(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_micros: AtomicI64,
    monotonic_nanos: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `wall_micros`, with monotonic time zero.
    #[must_use]
    pub fn new(wall_micros: i64) -> Self {
        ManualClock { wall_micros: AtomicI64::new(wall_micros), monotonic_nanos: AtomicU64::new(0) }
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.monotonic_nanos.fetch_add(nanos, Ordering::SeqCst);
        self.wall_micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Steps the wall clock, as an administrator or NTP does; monotonic time is not touched.
    pub fn set_wall_micros(&self, wall_micros: i64) {
        self.wall_micros.store(wall_micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_micros(&self) -> i64 {
        self.wall_micros.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_nanos.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_time_is_after_2020_and_does_not_go_back() {
        let clock = RealClock::new();
        assert!(clock.wall_micros() > 1_577_836_800_000_000);
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }

    #[test]
    fn manual_time_moves_only_by_hand() {
        let clock = ManualClock::new(1_000);
        clock.advance(Duration::from_millis(2));
        assert_eq!(clock.wall_micros(), 3_000);
        assert_eq!(clock.monotonic(), Duration::from_millis(2));
        clock.set_wall_micros(-5);
        assert_eq!((clock.wall_micros(), clock.monotonic()), (-5, Duration::from_millis(2)));
    }
}
