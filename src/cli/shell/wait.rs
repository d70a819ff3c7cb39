//! Waiting for one thing while another may come first.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use helenus_platform::runtime::{Interrupts, Runtime};

/// What ended a wait.
#[derive(Debug)]
pub(super) enum Ended<T> {
    /// It is done.
    Done(T),
    /// The time is over.
    TimedOut,
    /// The user pressed Ctrl-C.
    Interrupted,
}

/// Waits for `future` for at most `limit`.
pub(super) async fn within<F: Future>(
    runtime: &dyn Runtime,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let (mut future, mut timer) = (pin!(future), runtime.sleep(limit));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Waits for `future` for at most `limit` or until Ctrl-C.
pub(super) async fn attend<F: Future>(
    runtime: &dyn Runtime,
    interrupts: &mut Interrupts,
    limit: Duration,
    future: F,
) -> Ended<F::Output> {
    let (mut future, mut timer) = (pin!(future), runtime.sleep(limit));
    poll_fn(|context| {
        if let Poll::Ready(done) = future.as_mut().poll(context) {
            return Poll::Ready(Ended::Done(done));
        }
        if interrupts.poll_next(context).is_ready() {
            return Poll::Ready(Ended::Interrupted);
        }
        timer.as_mut().poll(context).map(|()| Ended::TimedOut)
    })
    .await
}
