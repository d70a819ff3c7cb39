//! A request as a future, for those who wait for one answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::error::RequestError;
use super::pending::Responses;

#[derive(Default)]
struct Slot {
    response: Option<Result<Bytes, RequestError>>,
    waker: Option<Waker>,
}

/// Where the answer arrives.
#[derive(Default)]
pub(super) struct OneAnswer(Mutex<Slot>);

impl Responses for OneAnswer {
    fn respond(&self, _tag: u32, response: Result<Bytes, RequestError>) {
        let waker = {
            let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slot.response = Some(response);
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The answer to a request, by its deadline. Dropping it does not take the request back.
#[must_use = "the request is sent, but its answer is lost"]
pub struct Response(pub(super) Result<Arc<OneAnswer>, Option<RequestError>>);

impl std::fmt::Debug for Response {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Response").field("was_sent", &self.0.is_ok()).finish()
    }
}

impl Future for Response {
    type Output = Result<Bytes, RequestError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // Only polling again after the end finds nothing.
            Err(error) => Poll::Ready(Err(error.take().unwrap_or(RequestError::Stopped))),
            Ok(answer) => {
                let mut slot = answer.0.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(response) = slot.response.take() {
                    return Poll::Ready(response);
                }
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
