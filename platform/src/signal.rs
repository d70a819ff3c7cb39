//! An event counter with wakers: the one way in which parts of a node tell each other that
//! something moved (a watermark, a queue, a list of jobs). It belongs to no runtime: whoever
//! waits brings a `Waker`.
//!
//! The rule against lost wake-ups: a notifier changes its state first and calls
//! [`Signal::notify_all`] second; a waiter registers first and looks at the state second. Both
//! sides use sequentially consistent operations on `epoch` and `waiting`, so either the notifier
//! sees the waiter, or the waiter sees the new state. When nobody waits, notifying is one atomic
//! addition and one load.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Counts events and wakes those who wait for the next one.
#[derive(Debug, Default)]
pub struct Signal {
    /// Number of notifications so far.
    epoch: AtomicU64,
    /// Number of occupied places in `waiters`; lets a notifier skip the lock.
    waiting: AtomicUsize,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    /// How often the list was emptied: a [`Slot`] of an older generation is void.
    generation: u64,
    places: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// A waiter's place in a signal's list, so that registering again costs no search.
/// One slot belongs to one signal.
#[derive(Debug, Default)]
pub struct Slot(Option<(u64, usize)>);

impl Signal {
    /// A signal on which nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of notifications so far. Read it before looking at the state that it guards.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Counts an event and wakes everybody who is registered; each must register again.
    pub fn notify_all(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut waiters = self.lock();
            waiters.generation += 1;
            waiters.free.clear();
            self.waiting.store(0, Ordering::SeqCst);
            std::mem::take(&mut waiters.places)
        };
        // Outside the lock: a waker may run code that comes back to this signal.
        for waker in woken.into_iter().flatten() {
            waker.wake();
        }
    }

    /// Registers `waker` for the next notification, in `slot`. After this call, and not before,
    /// look at the state once more.
    pub fn register(&self, slot: &mut Slot, waker: &Waker) {
        let mut waiters = self.lock();
        if let Some((generation, index)) = slot.0
            && generation == waiters.generation
            && let Some(Some(present)) = waiters.places.get_mut(index)
        {
            if !present.will_wake(waker) {
                present.clone_from(waker);
            }
            return;
        }
        let index = match waiters.free.pop() {
            Some(index) => index,
            None => {
                waiters.places.push(None);
                waiters.places.len() - 1
            }
        };
        if let Some(place) = waiters.places.get_mut(index) {
            *place = Some(waker.clone());
        }
        slot.0 = Some((waiters.generation, index));
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// Gives the place of `slot` back, if it still has one.
    pub fn unregister(&self, slot: &mut Slot) {
        let Some((generation, index)) = slot.0.take() else {
            return;
        };
        let mut waiters = self.lock();
        if generation == waiters.generation
            && waiters.places.get_mut(index).and_then(Option::take).is_some()
        {
            waiters.free.push(index);
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Registers `waker` without a slot: it stays until the next notification. For waiters that
    /// come seldom; others keep a [`Slot`].
    pub fn register_waker(&self, waker: &Waker) {
        self.register(&mut Slot::default(), waker);
    }

    /// Waits until more than `epoch` notifications have been counted.
    pub fn wait_past(&self, epoch: u64) -> WaitPast<'_> {
        WaitPast { signal: self, epoch, slot: Slot::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The future of [`Signal::wait_past`]; leaves no trace in the signal when dropped.
#[derive(Debug)]
pub struct WaitPast<'a> {
    signal: &'a Signal,
    epoch: u64,
    slot: Slot,
}

impl Future for WaitPast<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.signal.epoch() > this.epoch {
            return Poll::Ready(());
        }
        this.signal.register(&mut this.slot, context.waker());
        if this.signal.epoch() > this.epoch { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for WaitPast<'_> {
    fn drop(&mut self) {
        self.signal.unregister(&mut self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counter() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), Waker::from(count))
    }

    #[test]
    fn wakes_each_waiter_once_per_registration() {
        let signal = Signal::new();
        let (count, waker) = counter();
        let mut slot = Slot::default();
        signal.register(&mut slot, &waker);
        signal.register(&mut slot, &waker);
        signal.notify_all();
        signal.notify_all();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        signal.register(&mut slot, &waker);
        signal.notify_all();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_dropped_wait_gives_its_place_back() {
        let signal = Signal::new();
        let (count, waker) = counter();
        let mut context = Context::from_waker(&waker);
        for _ in 0..100 {
            let mut wait = Box::pin(signal.wait_past(signal.epoch()));
            assert!(wait.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(signal.waiting.load(Ordering::SeqCst), 0);
        assert_eq!(signal.lock().places.len(), 1);
        signal.notify_all();
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_stale_slot_does_not_disturb_a_newer_waiter() {
        let signal = Signal::new();
        let (_, waker) = counter();
        let (newer, newer_waker) = counter();
        let mut stale = Slot::default();
        signal.register(&mut stale, &waker);
        signal.notify_all();
        let mut slot = Slot::default();
        signal.register(&mut slot, &newer_waker);
        signal.unregister(&mut stale);
        signal.notify_all();
        assert_eq!(newer.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_wait_for_a_past_event_is_over_at_once() {
        let signal = Signal::new();
        let before = signal.epoch();
        signal.notify_all();
        let (_, waker) = counter();
        let mut wait = Box::pin(signal.wait_past(before));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }
}
