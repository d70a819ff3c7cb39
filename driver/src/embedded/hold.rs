//! Waiting: until an answer may be given, and no longer than it may take.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use helenus::server::{Handler, Position};
use helenus_platform::runtime::Runtime;
use helenus_platform::signal::Slot;

use super::convert::refused;
use crate::error::{Error, Result};

/// Waits until the answer to a write at a position may be given. Leaves no trace in the node when
/// it is dropped.
pub(super) struct Hold<'a> {
    handler: &'a dyn Handler,
    position: Position,
    slot: Slot,
    stage: Stage,
}

/// How far a wait has come.
#[derive(PartialEq)]
enum Stage {
    /// Requests that the program makes beside this one get their turn before the log is written,
    /// so that they are written together.
    Gathering,
    Due,
    WrittenOut,
}

impl<'a> Hold<'a> {
    pub(super) fn new(handler: &'a dyn Handler, position: Position) -> Self {
        Self { handler, position, slot: Slot::default(), stage: Stage::Gathering }
    }
}

impl Future for Hold<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.stage == Stage::Gathering && this.handler.watermark() < this.position {
            this.stage = Stage::Due;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.stage != Stage::WrittenOut {
            this.stage = Stage::WrittenOut;
            this.handler.write_out(this.position);
        }
        this.handler.watermark_signal().register(&mut this.slot, context.waker());
        if this.handler.watermark() >= this.position {
            return Poll::Ready(Ok(()));
        }
        match this.handler.failure() {
            Some(error) => Poll::Ready(Err(refused(error))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.stage != Stage::WrittenOut {
            // Whoever gave up waiting has written all the same, and nobody else knows of it.
            self.handler.write_out(self.position);
        }
        self.handler.watermark_signal().unregister(&mut self.slot);
    }
}

/// What `future` answers, if it does so within `timeout`. A timer is only set if it has to wait.
pub(super) async fn within<F: Future>(
    timer: Option<&dyn Runtime>,
    timeout: Option<Duration>,
    future: F,
) -> Result<F::Output> {
    let mut future = pin!(future);
    let mut sleep = None;
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        let (Some(timer), Some(timeout)) = (timer, timeout) else { return Poll::Pending };
        let sleep = sleep.get_or_insert_with(|| timer.sleep(timeout));
        sleep.as_mut().poll(context).map(|()| Err(Error::timeout(timeout)))
    })
    .await
}
