//! A bounded queue from many senders to one receiver, on any runtime or on none. There is no
//! unbounded one on purpose: every queue in a node has a written limit.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::signal::{Signal, Slot};

/// Makes a channel that holds at most `capacity` values (at least one).
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        capacity: capacity.max(1),
        state: Mutex::new(State { queue: VecDeque::new(), senders: 1, receiver_gone: false }),
        filled: Signal::new(),
        drained: Signal::new(),
    });
    (Sender { shared: shared.clone() }, Receiver { shared, slot: Slot::default() })
}

struct Shared<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    /// Notified when a value arrives or the last sender leaves.
    filled: Signal,
    /// Notified when a value leaves or the receiver does.
    drained: Signal,
}

struct State<T> {
    queue: VecDeque<T>,
    senders: usize,
    receiver_gone: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a value could not be sent; the value comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// The channel holds as many values as it may.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SendError::Full(_) => "the channel is full",
            SendError::Closed(_) => "the channel's receiver is gone",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for SendError<T> {}

/// The sending end; clone it for every sender.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sender").field("capacity", &self.shared.capacity).finish()
    }
}

impl<T> Sender<T> {
    /// Sends without waiting.
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        {
            let mut state = self.shared.lock();
            if state.receiver_gone {
                return Err(SendError::Closed(value));
            }
            if state.queue.len() >= self.shared.capacity {
                return Err(SendError::Full(value));
            }
            state.queue.push_back(value);
        }
        self.shared.filled.notify_all();
        Ok(())
    }

    /// Sends, waiting for room. Fails only with [`SendError::Closed`]. Waiting senders get room in
    /// no particular order.
    pub async fn send(&self, mut value: T) -> Result<(), SendError<T>> {
        loop {
            let epoch = self.shared.drained.epoch();
            match self.try_send(value) {
                Err(SendError::Full(back)) => value = back,
                done => return done,
            }
            self.shared.drained.wait_past(epoch).await;
        }
    }

    /// Waits until the receiver is gone.
    pub async fn closed(&self) {
        loop {
            let epoch = self.shared.drained.epoch();
            if self.is_closed() {
                return;
            }
            self.shared.drained.wait_past(epoch).await;
        }
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().receiver_gone
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let last = {
            let mut state = self.shared.lock();
            state.senders -= 1;
            state.senders == 0
        };
        if last {
            self.shared.filled.notify_all();
        }
    }
}

/// The receiving end.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    slot: Slot,
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Receiver").field("capacity", &self.shared.capacity).finish()
    }
}

impl<T> Receiver<T> {
    /// The next value if there is one now: `Ready(None)` when all senders are gone and nothing is
    /// left, `Pending` (without registering anybody) when it may still come.
    pub fn try_recv(&mut self) -> Poll<Option<T>> {
        let (value, gone) = {
            let mut state = self.shared.lock();
            let value = state.queue.pop_front();
            (value, state.senders == 0)
        };
        match value {
            Some(value) => {
                self.shared.drained.notify_all();
                Poll::Ready(Some(value))
            }
            None if gone => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// As [`Receiver::try_recv`], and registers the task when it must wait.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if let ready @ Poll::Ready(_) = self.try_recv() {
            return ready;
        }
        let shared = self.shared.clone();
        shared.filled.register(&mut self.slot, context.waker());
        self.try_recv()
    }

    /// The next value; `None` when all senders are gone and nothing is left.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Number of values that wait in the channel.
    pub fn len(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// Whether no value waits in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = {
            let mut state = self.shared.lock();
            state.receiver_gone = true;
            std::mem::take(&mut state.queue)
        };
        // Values are dropped outside the lock: their own drop may come back to this channel.
        drop(left);
        self.shared.filled.unregister(&mut self.slot);
        self.shared.drained.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::real::block_on;
    use std::thread;

    #[test]
    fn refuses_what_exceeds_the_capacity() {
        let (sender, mut receiver) = bounded(2);
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Ok(()));
        assert_eq!(sender.try_send(3), Err(SendError::Full(3)));
        assert_eq!(receiver.try_recv(), Poll::Ready(Some(1)));
        assert_eq!(sender.try_send(3), Ok(()));
        drop(receiver);
        assert_eq!(sender.try_send(4), Err(SendError::Closed(4)));
    }

    #[test]
    fn carries_every_value_through_a_small_channel() {
        let (sender, mut receiver) = bounded(3);
        thread::scope(|scope| {
            for part in 0..4_u64 {
                let sender = sender.clone();
                scope.spawn(move || {
                    for value in 0..500 {
                        block_on(sender.send(part * 500 + value)).unwrap();
                    }
                });
            }
            drop(sender);
            let mut sum = 0;
            let mut count = 0;
            while let Some(value) = block_on(receiver.recv()) {
                sum += value;
                count += 1;
            }
            assert_eq!((count, sum), (2000, 2000 * 1999 / 2));
        });
    }

    #[test]
    fn a_waiting_sender_learns_that_the_receiver_left() {
        let (sender, receiver) = bounded(1);
        sender.try_send(0).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| block_on(sender.send(1)));
            drop(receiver);
            assert_eq!(waiting.join().unwrap(), Err(SendError::Closed(1)));
        });
    }
}
