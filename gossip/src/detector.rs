//! Phi-accrual failure detection: how surprising is it that we have not heard of a node for so
//! long, given how often we used to?
//!
//! After N. Hayashibara, X. Défago, R. Yared, T. Katayama, "The φ Accrual Failure Detector", 2004.
//! A detector keeps the intervals between the latest arrivals of news of a node. `phi` is
//! `-log10` of the probability that a node that is alive stays silent for so long. As Cassandra
//! does, intervals are taken to be exponentially distributed, so `phi = silence / (mean × ln 10)`:
//! news that comes by way of others arrives irregularly, for which a normal distribution has far
//! too thin a tail. A node is convicted when phi passes a threshold; the silence which that takes
//! is known at each arrival, so that watching a node is one comparison.

/// Intervals that one half of the window holds. The mean is over the newest 32 to 64 of them.
const HALF_WINDOW: u32 = 32;
/// The patience is worked out anew after every so many intervals: it moves slowly, and a node of a
/// large cluster takes in thousands of arrivals a second.
const PATIENCE_STEP: u32 = 4;
/// How many intervals the initial guess counts for.
const GUESS_WEIGHT: u32 = 8;

/// What all detectors of a node have in common. Times are in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// The phi at which a node is convicted.
    pub(crate) threshold: f64,
    /// What the mean is taken for before there are arrivals.
    pub(crate) guess: u64,
    /// The mean is never taken for less: a burst of news is no reason for haste.
    pub(crate) mean_min: u64,
    /// A longer interval counts as this one, so that one outage does not blind the detector.
    pub(crate) interval_max: u64,
}

/// The intervals of one node, in two halves: when the newer one is full, the older one is
/// forgotten. So the window is bounded, and old habits do not count for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detector {
    last: u64,
    convict_after: u64,
    newer_sum: u64,
    older_sum: u64,
    newer_count: u32,
    older_count: u32,
}

impl Detector {
    /// News has just arrived for the first time.
    pub(crate) fn new(now: u64, tuning: &Tuning) -> Self {
        let mut detector = Detector {
            last: now,
            convict_after: 0,
            newer_sum: 0,
            older_sum: tuning.guess.saturating_mul(u64::from(GUESS_WEIGHT)),
            newer_count: 0,
            older_count: GUESS_WEIGHT,
        };
        detector.convict_after = detector.patience(tuning);
        detector
    }

    /// News has arrived. `counts`: whether the interval tells something of how often news comes.
    pub(crate) fn arrival(&mut self, now: u64, counts: bool, tuning: &Tuning) {
        let interval = now.saturating_sub(self.last).min(tuning.interval_max);
        self.last = self.last.max(now);
        if !counts {
            return;
        }
        if self.newer_count == HALF_WINDOW {
            (self.older_sum, self.older_count) = (self.newer_sum, self.newer_count);
            (self.newer_sum, self.newer_count) = (0, 0);
        }
        self.newer_sum += interval;
        self.newer_count += 1;
        if self.newer_count.is_multiple_of(PATIENCE_STEP) {
            self.convict_after = self.patience(tuning);
        }
    }

    /// Mean of the intervals in the window.
    pub(crate) fn mean(&self, tuning: &Tuning) -> u64 {
        let count = u64::from(self.newer_count + self.older_count).max(1);
        ((self.newer_sum + self.older_sum) / count).max(tuning.mean_min)
    }

    fn patience(&self, tuning: &Tuning) -> u64 {
        (self.mean(tuning) as f64 * tuning.threshold * std::f64::consts::LN_10) as u64
    }

    /// How long nothing has been heard.
    pub(crate) fn silence(&self, now: u64) -> u64 {
        now.saturating_sub(self.last)
    }

    /// Whether phi is above the threshold.
    pub(crate) fn convicts(&self, now: u64) -> bool {
        self.silence(now) > self.convict_after
    }

    /// How suspicious the node is.
    pub(crate) fn phi(&self, now: u64, tuning: &Tuning) -> f64 {
        self.silence(now) as f64 / (self.mean(tuning) as f64 * std::f64::consts::LN_10)
    }
}

/// The time as detectors see it: it runs with the clock, except that it stands still while we do.
///
/// A process that is stopped for a while hears nothing of anybody. When it goes on, that silence
/// is its own: it must not convict the world for it. So a step of the clock that is longer than a
/// few rounds counts only as those.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActiveTime {
    clock: u64,
    active: u64,
    step_max: u64,
}

impl ActiveTime {
    pub(crate) fn new(now: u64, step_max: u64) -> Self {
        ActiveTime { clock: now, active: 0, step_max }
    }

    /// Goes on to `now`; whether that was a pause.
    pub(crate) fn advance(&mut self, now: u64) -> bool {
        let step = now.saturating_sub(self.clock);
        self.clock = self.clock.max(now);
        self.active += step.min(self.step_max);
        step > self.step_max
    }

    pub(crate) fn now(&self) -> u64 {
        self.active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const TUNING: Tuning =
        Tuning { threshold: 5.0, guess: SECOND, mean_min: SECOND / 4, interval_max: 10 * SECOND };

    fn after(intervals: impl IntoIterator<Item = u64>) -> (Detector, u64) {
        let (mut detector, mut now) = (Detector::new(0, &TUNING), 0);
        for interval in intervals {
            now += interval;
            detector.arrival(now, true, &TUNING);
        }
        (detector, now)
    }

    #[test]
    fn phi_is_the_surprise_of_an_exponential_distribution() {
        let (detector, now) = after([SECOND; 100]);
        for silence in 0..20 {
            let phi = detector.phi(now + silence * SECOND, &TUNING);
            let probability = (-(silence as f64)).exp();
            assert!((phi + probability.log10()).abs() < 1e-9, "{silence} s: {phi}");
        }
        // 5 × ln 10 = 11.5
        assert!(!detector.convicts(now + 11 * SECOND));
        assert!(detector.convicts(now + 12 * SECOND));
    }

    #[test]
    fn it_adapts_to_the_intervals_it_sees_and_forgets_old_ones() {
        let (slow, _) = after([2 * SECOND; 100]);
        let (quick, _) = after([SECOND / 2; 100]);
        assert_eq!(slow.mean(&TUNING), 2 * SECOND);
        assert_eq!(quick.mean(&TUNING), SECOND / 2);
        let (changed, _) = after([2 * SECOND; 100].into_iter().chain([SECOND / 2; 64]));
        assert_eq!(changed.mean(&TUNING), SECOND / 2);
        let (one_outage, _) = after([SECOND; 50].into_iter().chain([3600 * SECOND]));
        assert!(one_outage.mean(&TUNING) <= 3 * SECOND / 2);
    }

    #[test]
    fn before_there_are_arrivals_the_guess_counts() {
        let (none, _) = after([]);
        assert_eq!(none.mean(&TUNING), SECOND);
        assert!(!none.convicts(11 * SECOND) && none.convicts(12 * SECOND));
        let (burst, _) = after([1_000; 100]);
        assert_eq!(burst.mean(&TUNING), TUNING.mean_min);
    }

    #[test]
    fn an_interval_that_does_not_count_only_ends_the_silence() {
        let (mut detector, now) = after([SECOND; 64]);
        detector.arrival(now + 9 * SECOND, false, &TUNING);
        assert_eq!(detector.mean(&TUNING), SECOND);
        assert_eq!(detector.silence(now + 9 * SECOND), 0);
    }

    #[test]
    fn active_time_stands_still_while_we_do() {
        let mut time = ActiveTime::new(5 * SECOND, SECOND);
        assert!(!time.advance(6 * SECOND));
        assert!(time.advance(60 * SECOND));
        assert!(!time.advance(59 * SECOND), "a clock that goes back changes nothing");
        assert!(!time.advance(60 * SECOND + 1));
        assert_eq!(time.now(), 2 * SECOND + 1);
    }
}
