//! Who runs tasks: short asynchronous ones on shared threads, workers that may block on disk on
//! threads of their own. The simulated half runs all of them on one thread, from a seed.

pub mod real;
pub mod simulated;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::fork::ForkJoin;

pub use real::{Interrupts, TokioRuntime, block_on, stop_requested};
pub use simulated::{SimGroup, SimRuntime, Stuck};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs tasks and knows how to wait; also runs pieces of work side by side.
pub trait Runtime: ForkJoin {
    /// Starts a task whose every poll is short and never blocks. A panic ends the task only.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>);

    /// Starts a task that may block on disk inside a poll: it gets a thread of its own.
    fn spawn_worker(&self, name: &'static str, future: BoxFuture<'static, ()>);

    /// The same for work that should leave the processor to others: where the system knows
    /// priorities of threads, this one's is lower.
    fn spawn_background(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.spawn_worker(name, future);
    }

    /// A future that is ready once `duration` has passed since this call. It works in tasks and in
    /// workers of this runtime.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}
