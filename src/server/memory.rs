//! The memory that clients can make the node hold: one figure for all connections together.
//!
//! ```text
//! limits.bytes_in_flight  =  OWN_BYTES for each connection that may be open   (set aside)
//!                         +  what all of them share: frames that are being read, unread answers,
//!                            answers held for the log, answers of requests executed apart
//! ```
//!
//! What a connection needs beyond its own bytes it takes out of the shared part, in steps, so that
//! a light connection touches no shared counter at all and a busy one does once in a while. A
//! light connection therefore goes on whatever the others do; one that needs more waits, or is
//! told that the node is overloaded, while the shared part is used up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use helenus_platform::signal::Signal;

use super::limits::Limits;
use crate::config::CONNECTION_BYTES;

/// What every connection may hold without asking.
pub(super) const OWN_BYTES: usize = CONNECTION_BYTES;
/// Shared memory is taken in multiples of this.
const STEP_BYTES: usize = 64 << 10;
/// An answer up to this size is given whatever the node's memory is like: it may say that
/// something was written, which cannot be taken back. So the figure can be exceeded by as much for
/// each request under way.
pub(super) const SMALL_ANSWER_BYTES: usize = 4 << 10;

/// What all connections share.
#[derive(Debug)]
pub struct Memory {
    /// Fixed.
    shared_bytes_max: usize,
    /// Most that answers of one connection's requests, executed apart, may take.
    connection_bytes_max: usize,
    /// Bytes that are taken.
    taken: Aligned<AtomicUsize>,
    /// Somebody has asked for more than was left, and not enough has come back since.
    exhausted: Aligned<AtomicBool>,
    /// Notified when there is memory again.
    freed: Signal,
}

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Aligned<T>(T);

impl Memory {
    /// What `limits` leave for connections to share.
    pub fn new(limits: &Limits) -> Arc<Self> {
        let set_aside = limits.connections_max.saturating_mul(OWN_BYTES);
        Arc::new(Memory {
            shared_bytes_max: limits.bytes_in_flight_max.saturating_sub(set_aside),
            connection_bytes_max: limits.connection_bytes_in_flight_max,
            taken: Aligned::default(),
            exhausted: Aligned::default(),
            freed: Signal::new(),
        })
    }

    /// Bytes of the shared part that are taken.
    pub fn taken(&self) -> usize {
        self.taken.0.load(Ordering::Relaxed)
    }

    /// Whether what is shared is used up, or nearly.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.exhausted.0.load(Ordering::SeqCst) && self.taken.0.load(Ordering::SeqCst) > self.low()
    }

    /// Whether somebody has asked for more than was left, and little has come back since.
    pub(super) fn is_missed(&self) -> bool {
        self.exhausted.0.load(Ordering::SeqCst)
    }

    /// Below this it is worth waking those who wait.
    fn low(&self) -> usize {
        self.shared_bytes_max - self.shared_bytes_max / 8
    }

    /// Notified when there is memory again: register, and then ask once more.
    pub(super) fn freed(&self) -> &Signal {
        &self.freed
    }

    fn try_take(&self, bytes: usize) -> bool {
        let fits =
            |taken: usize| taken.checked_add(bytes).filter(|after| *after <= self.shared_bytes_max);
        let taken = &self.taken.0;
        if taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).is_ok() {
            return true;
        }
        // First the flag, then another look: either this sees what comes back meanwhile, or
        // whoever gives it back sees the flag.
        self.exhausted.0.store(true, Ordering::SeqCst);
        taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).is_ok()
    }

    /// Takes what has to be taken, even beyond the limit.
    fn take(&self, bytes: usize) {
        if !self.try_take(bytes) {
            self.taken.0.fetch_add(bytes, Ordering::SeqCst);
        }
    }

    fn give(&self, bytes: usize) {
        let after = self.taken.0.fetch_sub(bytes, Ordering::SeqCst).saturating_sub(bytes);
        if self.exhausted.0.load(Ordering::SeqCst)
            && after <= self.low()
            && self.exhausted.0.swap(false, Ordering::SeqCst)
        {
            self.freed.notify_all();
        }
    }
}

/// What one connection holds.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<Memory>,
    /// Beyond [`OWN_BYTES`]; a multiple of [`STEP_BYTES`].
    taken: usize,
}

fn steps(bytes: usize) -> usize {
    bytes.saturating_sub(OWN_BYTES).next_multiple_of(STEP_BYTES)
}

impl Share {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Share { memory, taken: 0 }
    }

    /// What the connection may hold now.
    pub(super) fn covered(&self) -> usize {
        OWN_BYTES + self.taken
    }

    /// Makes sure that the connection may hold `bytes`; refused if too little is left.
    #[inline]
    pub(super) fn try_cover(&mut self, bytes: usize) -> bool {
        let more = steps(bytes).saturating_sub(self.taken);
        let done = more == 0 || self.memory.try_take(more);
        if done {
            self.taken += more;
        }
        done
    }

    /// Counts `bytes` that the connection holds already.
    pub(super) fn cover(&mut self, bytes: usize) {
        let more = steps(bytes).saturating_sub(self.taken);
        if more > 0 {
            self.memory.take(more);
            self.taken += more;
        }
    }

    /// Gives back what is not needed for `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let less = self.taken.saturating_sub(steps(bytes));
        if less > 0 {
            self.taken -= less;
            self.memory.give(less);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// The answers of one connection's requests that are executed apart, until the connection takes
/// them.
#[derive(Debug)]
pub struct AnswerMemory {
    memory: Arc<Memory>,
    bytes: AtomicUsize,
    /// The last answer that was not a small one was refused.
    is_missed: AtomicBool,
    /// An answer was refused since the connection last asked.
    is_refused: AtomicBool,
}

impl AnswerMemory {
    pub(super) fn new(memory: Arc<Memory>) -> Arc<Self> {
        let [is_missed, is_refused] = [(); 2].map(|()| AtomicBool::new(false));
        Arc::new(AnswerMemory { memory, bytes: AtomicUsize::new(0), is_missed, is_refused })
    }

    /// Notes that an answer is refused.
    pub fn refuse(&self) {
        self.note_missed(true);
        self.is_refused.store(true, Ordering::Relaxed);
    }

    /// Whether an answer was refused since the last call.
    pub(super) fn take_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed) && self.is_refused.swap(false, Ordering::Relaxed)
    }

    /// Whether the connection's last answer that was not a small one found no memory, and there is
    /// none now: what would become another such answer need not be executed.
    pub fn is_starved(&self) -> bool {
        self.is_missed.load(Ordering::Relaxed) && self.memory.is_short()
    }

    /// Whether the last answer that was not a small one found no memory.
    fn note_missed(&self, is_missed: bool) {
        if self.is_missed.load(Ordering::Relaxed) != is_missed {
            self.is_missed.store(is_missed, Ordering::Relaxed);
        }
    }

    /// Counts an answer that is being written.
    pub fn reserve(self: &Arc<Self>) -> Reserved {
        Reserved { account: self.clone(), bytes: 0 }
    }
}

/// The memory of one answer; given back when dropped.
#[derive(Debug)]
pub struct Reserved {
    account: Arc<AnswerMemory>,
    bytes: usize,
}

impl Reserved {
    /// Makes sure that the answer may have `bytes`; refused if the node, or the connection, holds
    /// too much. Small answers are never refused.
    #[must_use]
    pub fn cover(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let AnswerMemory { memory, bytes: held, .. } = &*self.account;
        if bytes <= SMALL_ANSWER_BYTES {
            memory.take(more);
        } else {
            let is_much = held.load(Ordering::Relaxed) + more > memory.connection_bytes_max;
            let is_missed = is_much || !memory.try_take(more);
            if is_missed {
                self.account.refuse();
                return false;
            }
            self.account.note_missed(false);
        }
        held.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        true
    }

    /// Whether the answer is more than a small one and the node's memory is used up: it would be
    /// refused when it is complete, so that going on with it is work for nothing.
    pub fn is_hopeless(&self) -> bool {
        let is_hopeless = self.bytes > SMALL_ANSWER_BYTES && self.account.memory.is_short();
        if is_hopeless {
            self.account.refuse();
        }
        is_hopeless
    }

    /// Makes sure that the finished answer may have `bytes`, as [`Self::cover`] does, and gives
    /// back what it does not need.
    #[must_use]
    pub fn settle(&mut self, bytes: usize) -> bool {
        let covered = self.cover(bytes);
        self.shrink(bytes);
        covered
    }

    fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        if less > 0 {
            self.account.bytes.fetch_sub(less, Ordering::Relaxed);
            self.account.memory.give(less);
            self.bytes -= less;
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shared memory of ten steps for ten connections.
    fn memory() -> Arc<Memory> {
        Memory::new(&Limits {
            connections_max: 10,
            bytes_in_flight_max: 10 * OWN_BYTES + 10 * STEP_BYTES,
            connection_bytes_in_flight_max: 5 * STEP_BYTES,
            ..Limits::default()
        })
    }

    #[test]
    fn a_light_connection_takes_nothing_of_what_is_shared() {
        let memory = memory();
        let mut share = Share::new(memory.clone());
        assert!(share.try_cover(OWN_BYTES));
        assert_eq!(memory.taken(), 0);
        assert!(share.try_cover(OWN_BYTES + 1));
        assert_eq!(memory.taken(), STEP_BYTES);
        assert!(share.try_cover(100));
        assert_eq!(memory.taken(), STEP_BYTES, "what is taken stays until it is given back");
        share.shrink(OWN_BYTES);
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn what_is_used_up_is_refused_and_whoever_waits_is_told_when_some_is_back() {
        let memory = memory();
        let (mut greedy, mut other) = (Share::new(memory.clone()), Share::new(memory.clone()));
        assert!(greedy.try_cover(OWN_BYTES + 10 * STEP_BYTES));
        assert!(!memory.is_short(), "nobody has missed any");
        assert!(other.try_cover(OWN_BYTES));
        assert!(!other.try_cover(OWN_BYTES + 1));
        assert!(memory.is_short());
        let before = memory.freed().epoch();
        greedy.shrink(OWN_BYTES + 9 * STEP_BYTES);
        assert_eq!(memory.freed().epoch(), before, "nine of ten steps are still taken");
        assert!(memory.is_short());
        greedy.shrink(OWN_BYTES + 8 * STEP_BYTES);
        assert_eq!(memory.freed().epoch(), before + 1);
        assert!(!memory.is_short());
        assert!(other.try_cover(OWN_BYTES + 1));
        // What is there already is counted, whatever the limit says.
        other.cover(OWN_BYTES + 5 * STEP_BYTES);
        assert_eq!(memory.taken(), 13 * STEP_BYTES);
        drop((greedy, other));
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn answers_of_one_connection_are_bounded_and_small_ones_always_fit() {
        let memory = memory();
        let answers = AnswerMemory::new(memory.clone());
        let (mut first, mut second) = (answers.reserve(), answers.reserve());
        assert!(first.cover(3 * STEP_BYTES));
        assert!(second.cover(2 * STEP_BYTES));
        assert!(!second.cover(2 * STEP_BYTES + 1), "five steps for a connection");
        assert!(answers.reserve().cover(SMALL_ANSWER_BYTES));
        let others = AnswerMemory::new(memory.clone());
        let mut third = others.reserve();
        assert!(third.cover(5 * STEP_BYTES));
        assert!(!first.is_hopeless(), "nobody has missed any yet");
        let stranger = AnswerMemory::new(memory.clone());
        assert!(!stranger.reserve().cover(SMALL_ANSWER_BYTES + 1), "ten steps for the node");
        let mut small = stranger.reserve();
        assert!(small.cover(SMALL_ANSWER_BYTES));
        assert!(first.is_hopeless() && !small.is_hopeless());
        assert!(answers.is_starved() && stranger.is_starved() && !others.is_starved());
        drop(small);
        assert!(third.settle(STEP_BYTES));
        assert_eq!(memory.taken(), 6 * STEP_BYTES, "what is not needed is given back");
        drop((first, second, third));
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        use helenus_platform::runtime::block_on;
        let memory = memory();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let mut share = Share::new(memory.clone());
                        loop {
                            let epoch = memory.freed().epoch();
                            if share.try_cover(OWN_BYTES + 4 * STEP_BYTES) {
                                break;
                            }
                            block_on(memory.freed().wait_past(epoch));
                        }
                    }
                });
            }
        });
        assert_eq!(memory.taken(), 0);
    }
}
