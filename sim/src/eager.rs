//! A planted fault: a node that gives every answer at once, also of what is not durable yet.

use cql_lite::wire::{Batch, ErrorBody, Execute, Prepare, Query, ResponseWriter};
use helenus::server::{Answer, Handled, Handler, Position, RequestContext};
use helenus_platform::signal::Signal;

/// Forgets what an answer should be held for.
pub(crate) struct Eager<H>(pub(crate) H);

fn at_once(handler: &impl Handler, handled: Handled) -> Handled {
    match handled {
        Handled::Answered { hold_until } => {
            hold_until.inspect(|position| handler.write_out(*position));
            Handled::NOW
        }
        Handled::Pending(future) => {
            Handled::Pending(Box::pin(async move { Answer { hold_until: None, ..future.await } }))
        }
    }
}

impl<H: Handler> Handler for Eager<H> {
    fn query(
        &self,
        context: &mut RequestContext<'_>,
        query: &Query<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        at_once(&self.0, self.0.query(context, query, out))
    }

    fn prepare(
        &self,
        context: &mut RequestContext<'_>,
        prepare: &Prepare<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        at_once(&self.0, self.0.prepare(context, prepare, out))
    }

    fn execute(
        &self,
        context: &mut RequestContext<'_>,
        execute: &Execute<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        at_once(&self.0, self.0.execute(context, execute, out))
    }

    fn batch(
        &self,
        context: &mut RequestContext<'_>,
        batch: &Batch<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        at_once(&self.0, self.0.batch(context, batch, out))
    }

    fn watermark(&self) -> Position {
        self.0.watermark()
    }

    fn write_out(&self, position: Position) {
        self.0.write_out(position);
    }

    fn watermark_signal(&self) -> &Signal {
        self.0.watermark_signal()
    }

    fn failure(&self) -> Option<ErrorBody> {
        self.0.failure()
    }
}
