//! Where the answers of a read's replicas come in, and waiting for the next of them.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use helenus_platform::runtime::BoxFuture;

use crate::internode::{RequestError, Responses};

/// What internode says of one request.
pub(super) type Response = Result<Bytes, RequestError>;

/// Says that a read can go on. What it waited for is with the read itself.
#[derive(Debug)]
pub struct Arrived(());

/// Takes the answers to all requests of a read. There are at most as many as requests.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<Inbox>);

#[derive(Default)]
struct Inbox {
    arrived: Vec<(u32, Response)>,
    waker: Option<Waker>,
    /// The read is over: what still comes goes nowhere.
    is_closed: bool,
}

impl Arrivals {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has come since the last call, in order.
    pub(super) fn take(&self) -> Vec<(u32, Response)> {
        std::mem::take(&mut self.inbox().arrived)
    }

    /// From now on, what comes is dropped.
    pub(super) fn close(&self) {
        let mut inbox = self.inbox();
        inbox.is_closed = true;
        let arrived = std::mem::take(&mut inbox.arrived);
        drop(inbox);
        drop(arrived);
    }

    /// Ready once something has come, or `timer` is over. Dropping it loses nothing.
    pub(super) fn wait(
        self: &Arc<Self>,
        mut timer: Option<BoxFuture<'static, ()>>,
    ) -> BoxFuture<'static, Arrived> {
        let arrivals = self.clone();
        Box::pin(poll_fn(move |context| {
            let mut inbox = arrivals.inbox();
            if !inbox.arrived.is_empty() {
                return Poll::Ready(Arrived(()));
            }
            inbox.waker = Some(context.waker().clone());
            drop(inbox);
            match &mut timer {
                Some(timer) => timer.as_mut().poll(context).map(Arrived),
                None => Poll::Pending,
            }
        }))
    }
}

impl Responses for Arrivals {
    fn respond(&self, tag: u32, response: Response) {
        let waker = {
            let mut inbox = self.inbox();
            if inbox.is_closed {
                return;
            }
            inbox.arrived.push((tag, response));
            inbox.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
