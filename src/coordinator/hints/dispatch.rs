//! When which target is sent how many of its hints: a state machine without I/O.
//!
//! The caller says who is up, what was read, delivered or failed, and asks [`HintDispatch::next`]
//! what to do. A send is a batch: the caller reads about so many bytes of the target's hints
//! ([`super::HintStore::read`]), sends them, and reports [`HintDispatch::sent`] and then
//! [`HintDispatch::delivered`] or [`HintDispatch::failed`]. One batch of a target is under way at
//! a time, so its hints arrive in order, and what is acknowledged has no gaps.
#![deny(clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::store::HostId;

/// How fast hints are sent.
#[derive(Clone, Copy, Debug)]
pub struct DispatchOptions {
    /// Bytes a second, of all targets together: each of those that have hints gets an equal share.
    pub bytes_per_second: u64,
    /// About the bytes of one batch.
    pub batch_bytes: u64,
    /// Batches under way, of all targets together.
    pub outstanding_max: usize,
    /// How long a target is left alone after a failure; doubles with each that follows.
    pub retry_after: Duration,
    /// The longest that a target is left alone.
    pub retry_after_max: Duration,
}

impl Default for DispatchOptions {
    /// Cassandra's throttle of 1 MiB a second.
    fn default() -> DispatchOptions {
        DispatchOptions {
            bytes_per_second: 1 << 20,
            batch_bytes: 128 << 10,
            outstanding_max: 8,
            retry_after: Duration::from_secs(1),
            retry_after_max: Duration::from_secs(60),
        }
    }
}

/// A batch that is to be read and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// To whom.
    pub target: HostId,
    /// About this many bytes.
    pub bytes_max: u64,
}

/// Decides which hints are sent when. Times are of one monotonic clock.
#[derive(Debug)]
pub struct HintDispatch {
    options: DispatchOptions,
    targets: BTreeMap<HostId, Target>,
    /// The target that was served last: the next one comes after it.
    last: Option<HostId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Target {
    is_up: bool,
    /// There may be hints for it.
    has_hints: bool,
    is_under_way: bool,
    /// It is not sent anything before this.
    not_before: Duration,
    failures: u32,
}

impl HintDispatch {
    /// One that knows of nobody.
    pub fn new(options: DispatchOptions) -> HintDispatch {
        HintDispatch { options, targets: BTreeMap::new(), last: None }
    }

    /// There are hints for the target: some were found at the start, or flushed.
    pub fn has_hints(&mut self, target: HostId) {
        self.targets.entry(target).or_default().has_hints = true;
    }

    /// The target is up.
    pub fn up(&mut self, target: HostId, now: Duration) {
        let state = self.targets.entry(target).or_default();
        if !state.is_up {
            (state.is_up, state.failures, state.not_before) = (true, 0, now);
        }
    }

    /// The target is down. A batch that is under way will still be reported.
    pub fn down(&mut self, target: HostId) {
        self.targets.entry(target).or_default().is_up = false;
    }

    /// The target has left the cluster: nothing is sent to it any more. A report of a batch that
    /// is under way is ignored.
    pub fn removed(&mut self, target: HostId) {
        self.targets.remove(&target);
    }

    /// What to send now, in order of the targets' ids, beginning behind the one served last. Each
    /// must be reported.
    pub fn next(&mut self, now: Duration) -> Vec<Send> {
        let under_way = self.targets.values().filter(|target| target.is_under_way).count();
        let room = self.options.outstanding_max.saturating_sub(under_way);
        let last = self.last;
        let after = self.targets.iter().filter(|(id, _)| last.is_none_or(|last| **id > last));
        let before = self.targets.iter().filter(|(id, _)| last.is_some_and(|last| **id <= last));
        let due: Vec<HostId> = after
            .chain(before)
            .filter(|(_, target)| target.is_ready() && target.not_before <= now)
            .map(|(id, _)| *id)
            .take(room)
            .collect();
        for id in &due {
            self.last = Some(*id);
            if let Some(target) = self.targets.get_mut(id) {
                target.is_under_way = true;
            }
        }
        let bytes_max = self.options.batch_bytes;
        due.into_iter().map(|target| Send { target, bytes_max }).collect()
    }

    /// When `next` has something to do again if nothing is reported before; none if nothing will.
    pub fn wake_at(&self) -> Option<Duration> {
        let under_way = self.targets.values().filter(|target| target.is_under_way).count();
        if under_way >= self.options.outstanding_max {
            return None;
        }
        let ready = self.targets.values().filter(|target| target.is_ready());
        ready.map(|target| target.not_before).min()
    }

    /// So many bytes were read and sent to the target; with 0, there was nothing left to send, and
    /// the batch is over.
    pub fn sent(&mut self, target: HostId, bytes: u64, now: Duration) {
        let pause = self.pause(bytes);
        let Some(state) = self.targets.get_mut(&target) else { return };
        if bytes == 0 {
            (state.has_hints, state.is_under_way) = (false, false);
        }
        state.not_before = state.not_before.max(now).saturating_add(pause);
    }

    /// The target has taken the batch.
    pub fn delivered(&mut self, target: HostId) {
        if let Some(state) = self.targets.get_mut(&target) {
            (state.is_under_way, state.failures) = (false, 0);
        }
    }

    /// The target has not taken the batch, or not been heard of: it is sent again, so the caller
    /// must let the store go back ([`super::HintStore::rewind`]).
    pub fn failed(&mut self, target: HostId, now: Duration) {
        let DispatchOptions { retry_after, retry_after_max, .. } = self.options;
        if let Some(state) = self.targets.get_mut(&target) {
            let wait = retry_after.saturating_mul(1 << state.failures.min(16));
            state.failures = state.failures.saturating_add(1);
            (state.is_under_way, state.has_hints) = (false, true);
            state.not_before = state.not_before.max(now.saturating_add(wait.min(retry_after_max)));
        }
    }

    /// How long a target's share of the throughput takes for so many bytes.
    fn pause(&self, bytes: u64) -> Duration {
        let busy = self.targets.values().filter(|target| target.is_up && target.has_hints).count();
        let rate = self.options.bytes_per_second.max(1) as f64 / busy.max(1) as f64;
        Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(Duration::MAX)
    }
}

impl Target {
    fn is_ready(&self) -> bool {
        self.is_up && self.has_hints && !self.is_under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId([1; 16]);
    const B: HostId = HostId([2; 16]);
    const C: HostId = HostId([3; 16]);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn dispatch() -> HintDispatch {
        let options = DispatchOptions {
            bytes_per_second: 1000,
            batch_bytes: 100,
            outstanding_max: 2,
            ..DispatchOptions::default()
        };
        let mut dispatch = HintDispatch::new(options);
        [A, B, C].into_iter().for_each(|target| dispatch.has_hints(target));
        dispatch
    }

    fn targets(sends: &[Send]) -> Vec<HostId> {
        sends.iter().map(|send| send.target).collect()
    }

    #[test]
    fn only_who_is_up_is_sent_and_only_so_many_at_once_by_turns() {
        let mut dispatch = dispatch();
        assert_eq!(dispatch.next(at(0)), []);
        assert_eq!(dispatch.wake_at(), None);
        [A, B, C].into_iter().for_each(|target| dispatch.up(target, at(5)));
        assert_eq!(dispatch.wake_at(), Some(at(5)));
        assert_eq!(targets(&dispatch.next(at(5))), [A, B]);
        assert_eq!(dispatch.next(at(5)), []);
        dispatch.sent(A, 100, at(5));
        dispatch.delivered(A);
        assert_eq!(targets(&dispatch.next(at(10_000))), [C]);
        dispatch.down(A);
        dispatch.sent(B, 0, at(10_000));
        assert_eq!(dispatch.next(at(20_000)), []);
    }

    #[test]
    fn targets_share_the_throughput() {
        let mut dispatch = dispatch();
        dispatch.up(A, at(0));
        dispatch.up(B, at(0));
        let mut sent = BTreeMap::<HostId, u64>::new();
        for ms in 0..20_000 {
            for Send { target, bytes_max } in dispatch.next(at(ms)) {
                *sent.entry(target).or_default() += bytes_max;
                dispatch.sent(target, bytes_max, at(ms));
                dispatch.delivered(target);
            }
        }
        let all: u64 = sent.values().sum();
        assert!((19_000..=20_400).contains(&all), "{all} bytes in 20 s of 1000 a second");
        assert!(sent[&A].abs_diff(sent[&B]) <= 100, "{sent:?}");
    }

    #[test]
    fn a_target_that_fails_is_tried_less_and_less() {
        let mut dispatch = dispatch();
        dispatch.up(A, at(0));
        let mut waits = Vec::new();
        let mut now = at(0);
        for _ in 0..8 {
            assert_eq!(targets(&dispatch.next(now)), [A]);
            dispatch.failed(A, now);
            let next = dispatch.wake_at().unwrap();
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        // Coming up again, it is tried at once.
        dispatch.down(A);
        dispatch.up(A, now);
        assert_eq!(targets(&dispatch.next(now)), [A]);
        dispatch.removed(A);
        dispatch.delivered(A);
        assert_eq!(dispatch.wake_at(), None);
    }
}
