//! A flag that is raised once and wakes everybody who waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use crate::signal::{Signal, Slot};

/// Raised once: a server stops, a connection closes.
#[derive(Debug, Default)]
pub struct Stop {
    raised: AtomicBool,
    signal: Signal,
}

impl Stop {
    /// Raises it, and wakes everybody who waits for that.
    pub fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        self.signal.notify_all();
    }

    /// Whether it is raised.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// Whether it is raised; if not, `waker` is woken when it is.
    pub fn poll(&self, slot: &mut Slot, waker: &Waker) -> bool {
        if !self.is_raised() {
            self.signal.register(slot, waker);
        }
        self.is_raised()
    }

    /// Gives the waiter's place back.
    pub fn forget(&self, slot: &mut Slot) {
        self.signal.unregister(slot);
    }
}
