//! The timestamps that this node gives to writes which bring none.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use helenus_platform::clock::Clock;

/// Gives out timestamps: microseconds of the wall clock, each larger than the one before, also
/// when the clock steps back, and never at or below the floor it was made with.
pub struct Timestamps {
    clock: Arc<dyn Clock>,
    last: AtomicI64,
}

impl std::fmt::Debug for Timestamps {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Timestamps").field("last", &self.last()).finish()
    }
}

impl Timestamps {
    /// A source whose first timestamp is above `floor`, which is what an earlier run of the node
    /// may have given out.
    pub fn new(clock: Arc<dyn Clock>, floor: i64) -> Self {
        Self { clock, last: AtomicI64::new(floor) }
    }

    /// The next timestamp.
    pub fn next(&self) -> i64 {
        let now = self.clock.wall_micros();
        let above = |last: i64| now.max(last.saturating_add(1));
        let previous =
            self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(above(last)));
        match previous {
            Ok(last) | Err(last) => above(last),
        }
    }

    /// The largest timestamp given out so far, or the floor.
    pub fn last(&self) -> i64 {
        self.last.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helenus_platform::clock::ManualClock;

    #[test]
    fn timestamps_rise_whatever_the_clock_does() {
        let clock = Arc::new(ManualClock::new(1_000));
        let timestamps = Timestamps::new(clock.clone(), 5_000);
        assert_eq!((timestamps.next(), timestamps.next()), (5_001, 5_002));
        clock.set_wall_micros(9_000);
        assert_eq!((timestamps.next(), timestamps.next()), (9_000, 9_001));
        clock.set_wall_micros(10);
        assert_eq!(timestamps.next(), 9_002);
        assert_eq!(timestamps.last(), 9_002);
    }
}
