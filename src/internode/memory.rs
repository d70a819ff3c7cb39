//! The memory that other nodes can make this one hold: large frames, on all connections together.
//!
//! Every connection may hold [`OWN_BYTES`] of input. A frame that takes more takes all of it out
//! of one shared figure, before it is read, and gives it back once its messages are handled; while
//! the figure is used up, such frames wait in the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use helenus_platform::signal::{Signal, Slot};

/// What a connection may hold without asking.
pub(super) const OWN_BYTES: usize = 192 << 10;

/// The shared figure.
#[derive(Debug)]
pub(super) struct ReceiveMemory {
    max: usize,
    taken: AtomicUsize,
    freed: Signal,
}

impl ReceiveMemory {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(ReceiveMemory { max, taken: AtomicUsize::new(0), freed: Signal::new() })
    }

    fn try_take(&self, bytes: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|after| *after <= self.max);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).is_ok()
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

/// What one connection has taken.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<ReceiveMemory>,
    taken: usize,
    slot: Slot,
}

impl Share {
    pub(super) fn new(memory: Arc<ReceiveMemory>) -> Self {
        Share { memory, taken: 0, slot: Slot::default() }
    }

    /// Makes sure that a frame of `bytes` may be held; if not, `waker` is woken when it is worth
    /// asking again.
    pub(super) fn cover(&mut self, bytes: usize, waker: &Waker) -> bool {
        if bytes <= OWN_BYTES || bytes <= self.taken {
            return true;
        }
        let more = bytes - self.taken;
        if !self.memory.try_take(more) {
            self.memory.freed.register(&mut self.slot, waker);
            if !self.memory.try_take(more) {
                return false;
            }
        }
        self.taken = bytes;
        true
    }

    pub(super) fn has_any(&self) -> bool {
        self.taken > 0
    }

    /// Nothing large is held any more.
    pub(super) fn give_back(&mut self) {
        if self.taken > 0 {
            self.memory.taken.fetch_sub(std::mem::take(&mut self.taken), Ordering::SeqCst);
            self.memory.freed.notify_all();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
        self.memory.freed.unregister(&mut self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_frames_share_one_figure_and_small_ones_are_free() {
        let memory = ReceiveMemory::new(1 << 20);
        let (mut one, mut other) = (Share::new(memory.clone()), Share::new(memory.clone()));
        let waker = Waker::noop();
        assert!(one.cover(OWN_BYTES, waker) && !one.has_any());
        assert!(one.cover(600 << 10, waker) && one.cover(600 << 10, waker));
        assert_eq!(memory.taken(), 600 << 10);
        assert!(!other.cover(600 << 10, waker));
        assert!(other.cover(OWN_BYTES, waker));
        one.give_back();
        assert!(other.cover(600 << 10, waker));
        drop(other);
        assert_eq!(memory.taken(), 0);
    }
}
