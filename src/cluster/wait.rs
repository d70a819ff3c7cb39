//! Waiting for several things: one of two, all of many, one's turn.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use helenus_platform::runtime::{BoxFuture, Runtime};
use helenus_platform::signal::Signal;

/// What `future` gives, unless `timeout` is over before.
pub(crate) async fn within<T>(
    runtime: &Arc<dyn Runtime>,
    timeout: Option<Duration>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = timeout.map(|timeout| runtime.sleep(timeout));
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        match &mut sleep {
            Some(sleep) => sleep.as_mut().poll(context).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

/// Waits for all of them, which run side by side.
pub(super) async fn all<T: Unpin>(mut futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, place) in futures.iter_mut().zip(&mut done) {
            if place.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *place = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Lets in one at a time.
#[derive(Default)]
pub(super) struct Turnstile {
    taken: AtomicBool,
    left: Signal,
}

/// Somebody's turn; dropping it ends it.
pub(super) struct Turn<'a>(&'a Turnstile);

impl Turnstile {
    pub(super) async fn enter(&self) -> Turn<'_> {
        loop {
            let epoch = self.left.epoch();
            if !self.taken.swap(true, Ordering::SeqCst) {
                return Turn(self);
            }
            self.left.wait_past(epoch).await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::SeqCst);
        self.0.left.notify_all();
    }
}
