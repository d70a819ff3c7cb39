//! The time that purging believes.
//!
//! A tombstone purged too early is lost for good, so a sudden jump of the wall clock must not
//! purge anything. The wall clock is believed while it keeps step with the monotonic clock, and
//! at a restart if it is not too far beyond the last time that the manifest remembers. When it
//! jumps ahead, time goes on from the last believed moment at the monotonic clock's pace, and
//! purging is suspended until the wall clock is in step again, or has kept its own step for a
//! day, or an operator says that it is right. A wall clock that goes back purges less by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helenus_platform::clock::Clock;

/// A jumped clock that keeps step for this long afterwards is believed.
const STEADY_SECONDS: i64 = 24 * 3600;

/// Guards purging against jumps of the wall clock.
pub(crate) struct TrustedClock {
    clock: Arc<dyn Clock>,
    jump_max: i64,
    state: Mutex<State>,
}

/// What both clocks showed at one moment, in seconds.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: i64,
    monotonic: i64,
}

struct State {
    /// The last moment at which the wall clock was believed.
    believed: Moment,
    /// Since when the wall clock has been somewhere else.
    suspected: Option<Moment>,
    jumps: u64,
}

/// What purging may believe now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PurgeTime {
    /// Seconds since the epoch; never ahead of what is believed.
    pub(crate) now: i64,
    /// Nothing may be purged.
    pub(crate) is_suspended: bool,
}

impl Moment {
    fn now(clock: &dyn Clock) -> Moment {
        Moment {
            wall: clock.wall_micros().div_euclid(1_000_000),
            monotonic: i64::try_from(clock.monotonic().as_secs()).unwrap_or(i64::MAX),
        }
    }

    /// What the wall clock should show when the monotonic clock shows `monotonic`.
    fn wall_at(self, monotonic: i64) -> i64 {
        self.wall.saturating_add(monotonic.saturating_sub(self.monotonic))
    }
}

impl TrustedClock {
    /// `last_seen` is the last believed time of the run before, 0 if there was none.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        last_seen: i64,
        gap_max: i64,
        jump_max: i64,
    ) -> TrustedClock {
        let now = Moment::now(clock.as_ref());
        let is_suspect = last_seen > 0 && now.wall > last_seen.saturating_add(gap_max);
        let state = State {
            believed: if is_suspect { Moment { wall: last_seen, ..now } } else { now },
            suspected: is_suspect.then_some(now),
            jumps: u64::from(is_suspect),
        };
        TrustedClock { clock, jump_max, state: Mutex::new(state) }
    }

    /// What purging may believe now.
    pub(crate) fn now(&self) -> PurgeTime {
        let mut state = self.lock();
        let now = Moment::now(self.clock.as_ref());
        let expected = state.believed.wall_at(now.monotonic);
        if now.wall > expected.saturating_add(self.jump_max) {
            if !self.has_kept_step(&mut state, now) {
                return PurgeTime { now: expected, is_suspended: true };
            }
            state.believed = now;
        } else if now.wall >= expected.saturating_sub(self.jump_max) {
            state.believed = now;
        }
        // A clock far behind is no new reference: put right again, it must not look jumped.
        state.suspected = None;
        PurgeTime { now: now.wall, is_suspended: false }
    }

    /// Whether a clock that has jumped has been steady for long enough since.
    fn has_kept_step(&self, state: &mut State, now: Moment) -> bool {
        let is_in_step = |since: Moment| {
            (now.wall.saturating_sub(since.wall_at(now.monotonic))).abs() <= self.jump_max
        };
        match state.suspected {
            Some(since) if is_in_step(since) => now.monotonic - since.monotonic >= STEADY_SECONDS,
            _ => {
                state.jumps += 1;
                state.suspected = Some(now);
                false
            }
        }
    }

    /// Believes the wall clock as it stands.
    pub(crate) fn trust(&self) {
        let mut state = self.lock();
        state.believed = Moment::now(self.clock.as_ref());
        state.suspected = None;
    }

    /// How often the clock has jumped.
    pub(crate) fn jumps(&self) -> u64 {
        self.lock().jumps
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use helenus_platform::clock::ManualClock;

    use super::*;

    const START: i64 = 1_700_000_000;
    const HOUR: u64 = 3600;

    fn clocks(last_seen: i64) -> (Arc<ManualClock>, TrustedClock) {
        let clock = Arc::new(ManualClock::new(START * 1_000_000));
        let trusted = TrustedClock::new(clock.clone(), last_seen, 1000, 60);
        (clock, trusted)
    }

    fn jump(clock: &ManualClock, seconds: i64) {
        clock.set_wall_micros(clock.wall_micros() + seconds * 1_000_000);
    }

    #[test]
    fn a_clock_in_step_is_believed() {
        let (clock, trusted) = clocks(START - 10);
        clock.advance(Duration::from_secs(5 * HOUR));
        jump(&clock, 30);
        let now = START + 5 * 3600 + 30;
        assert_eq!(trusted.now(), PurgeTime { now, is_suspended: false });
    }

    #[test]
    fn a_jump_ahead_suspends_until_the_clock_is_put_right() {
        let (clock, trusted) = clocks(0);
        jump(&clock, 1_000_000);
        clock.advance(Duration::from_secs(7));
        assert_eq!(trusted.now(), PurgeTime { now: START + 7, is_suspended: true });
        assert_eq!(trusted.jumps(), 1);
        jump(&clock, -1_000_000);
        assert_eq!(trusted.now(), PurgeTime { now: START + 7, is_suspended: false });
        jump(&clock, -5000);
        assert!(!trusted.now().is_suspended);
        jump(&clock, 5000);
        assert!(!trusted.now().is_suspended);
        jump(&clock, 5000);
        assert!(trusted.now().is_suspended);
        trusted.trust();
        assert!(!trusted.now().is_suspended);
    }

    #[test]
    fn a_long_gap_over_a_restart_suspends_until_the_clock_was_steady_for_a_day() {
        let (clock, trusted) = clocks(START - 5000);
        assert_eq!(trusted.now(), PurgeTime { now: START - 5000, is_suspended: true });
        clock.advance(Duration::from_secs(23 * HOUR));
        assert!(trusted.now().is_suspended);
        clock.advance(Duration::from_secs(HOUR));
        assert_eq!(trusted.now(), PurgeTime { now: START + 24 * 3600, is_suspended: false });
    }
}
