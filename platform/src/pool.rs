//! A pool of workers for work that blocks: reading cold blocks, syncing files that a request
//! waits for. The queue is bounded; what does not fit is refused, so that the caller can say so.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::runtime::Runtime;
use crate::signal::Signal;

type Work = Box<dyn FnOnce() + Send>;

/// Why work was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolError {
    /// The queue holds as much as it may.
    Full,
    /// The pool has been closed.
    Closed,
    /// The work panicked; the worker goes on.
    Panicked,
}

impl std::fmt::Display for PoolError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            PoolError::Full => "too much work is waiting for the disk",
            PoolError::Closed => "the node is stopping",
            PoolError::Panicked => "the work ended in a panic",
        })
    }
}

impl std::error::Error for PoolError {}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    closed: bool,
}

struct Shared {
    workers: usize,
    active: AtomicU64,
    completed: AtomicU64,
    refused: AtomicU64,
    capacity: usize,
    /// How many wait in `queue`, to be read without its lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
    filled: Signal,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self) {
        loop {
            let epoch = self.filled.epoch();
            let (work, closed) = {
                let mut queue = self.lock();
                let work = queue.waiting.pop_front();
                self.waiting.store(queue.waiting.len(), Ordering::Relaxed);
                (work, queue.closed)
            };
            match work {
                Some(work) => {
                    self.active.fetch_add(1, Ordering::Relaxed);
                    work();
                    self.active.fetch_sub(1, Ordering::Relaxed);
                    self.completed.fetch_add(1, Ordering::Relaxed);
                }
                None if closed => return,
                None => self.filled.wait_past(epoch).await,
            }
        }
    }
}

/// Figures of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolFigures {
    /// Its workers.
    pub workers: usize,
    /// Pieces of work that wait.
    pub waiting: usize,
    /// Pieces that are being done.
    pub active: u64,
    /// Pieces that were done.
    pub completed: u64,
    /// Pieces that were refused because too many waited.
    pub refused: u64,
}

/// Workers that take work from one queue, in order. Dropping it lets them finish what waits.
pub struct Pool {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").field("capacity", &self.shared.capacity).finish()
    }
}

impl Pool {
    /// Starts `workers` of them (at least one) with room for `capacity` pieces of waiting work.
    pub fn new(runtime: &dyn Runtime, name: &'static str, workers: usize, capacity: usize) -> Self {
        let queue = Mutex::new(Queue::default());
        let workers = workers.max(1);
        let shared = Arc::new(Shared {
            workers,
            active: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            capacity,
            waiting: AtomicUsize::new(0),
            queue,
            filled: Signal::new(),
        });
        for _ in 0..workers {
            let shared = shared.clone();
            runtime.spawn_background(name, Box::pin(async move { shared.serve().await }));
        }
        Self { shared }
    }

    /// Pieces of work that wait.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// What it does now and has done.
    pub fn figures(&self) -> PoolFigures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolFigures {
            workers: self.shared.workers,
            waiting: self.waiting(),
            active: count(&self.shared.active),
            completed: count(&self.shared.completed),
            refused: count(&self.shared.refused),
        }
    }

    /// Runs `work` on a worker and waits for what it returns. Dropping the future does not stop
    /// work that has begun.
    ///
    /// # Errors
    /// See [`PoolError`]; `Full` and `Closed` come at once.
    pub async fn run<T, F>(&self, work: F) -> Result<T, PoolError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, mut receiver) = crate::channel::bounded(1);
        let boxed: Work = Box::new(move || {
            // The work owns all that it touches, so a panic leaves nothing half changed behind.
            if let Ok(value) = catch_unwind(AssertUnwindSafe(work)) {
                // A receiver that is gone does not want the value.
                drop(sender.try_send(value));
            }
        });
        {
            let mut queue = self.shared.lock();
            if queue.closed {
                return Err(PoolError::Closed);
            }
            if queue.waiting.len() >= self.shared.capacity {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                return Err(PoolError::Full);
            }
            queue.waiting.push_back(boxed);
            self.shared.waiting.store(queue.waiting.len(), Ordering::Relaxed);
        }
        self.shared.filled.notify_all();
        receiver.recv().await.ok_or(PoolError::Panicked)
    }

    /// Takes no more work; what waits is still done.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::TokioRuntime;

    #[test]
    fn work_is_done_panics_are_told_and_the_queue_is_bounded() {
        let runtime = TokioRuntime::new(1).unwrap();
        let pool = Pool::new(&runtime, "test", 1, 1);
        let answer = runtime.block_on(async {
            assert_eq!(pool.run(|| panic!("on purpose")).await, Err::<(), _>(PoolError::Panicked));
            pool.run(|| 6 * 7).await
        });
        assert_eq!(answer, Ok(42));
        pool.close();
        assert_eq!(runtime.block_on(pool.run(|| 1)), Err(PoolError::Closed));
    }
}
