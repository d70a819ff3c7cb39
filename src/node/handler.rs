//! Requests of clients: the fast path on the connection's own task, and what becomes of a request
//! that has to wait.

use std::sync::Arc;

use cql_lite::wire::{
    Batch, DetachedResponse, ErrorBody, ErrorKind, Execute, Prepare, Query, ResponseWriter,
    StatementSource,
};
use helenus_platform::pool::PoolError;
use helenus_platform::signal::Signal;
use helenus_storage::Budget;
use helenus_storage::model::LogPosition;

use super::Node;
use super::statements::StatementCache;
use crate::error::{Error, Result};
use crate::query::{Ask, Execution, Prepared, Step, prepare as prepare_statement};
use crate::server::{Answer, Handled, Handler, Position, RequestContext, Reserved, overloaded};
use crate::telemetry::Trace;

/// Work of a small request, some ten microseconds: enough for any answer that is given although
/// there is no memory for large ones.
const SMALL_UNITS: u64 = 256;
/// Pieces of work that wait for a worker, from which on connections take less: more only make the
/// later ones wait longer, and what each of them has read so far takes memory.
const BACKLOG: usize = 256;
/// Work that a request does on a worker of the pool before it looks around.
const POOL_STEP_UNITS: u64 = 100_000;

impl Handler for Node {
    fn query(
        &self,
        context: &mut RequestContext<'_>,
        query: &Query<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        let trace = context.tracing.then(|| self.trace_query(context, out, query));
        let keyspace = query.options.keyspace.or(context.client.keyspace.as_deref());
        let schema = self.metadata().schema();
        let handled = match prepare_statement(&schema, keyspace, query.text, trace.as_deref()) {
            Ok(prepared) => {
                let trace = trace.as_ref();
                let ask = Ask { options: &query.options, keyspace, metadata_id: None, trace };
                self.start_statement(context, &Arc::new(prepared), ask, out)
            }
            Err(error) => refuse(out, error),
        };
        match trace {
            None => handled,
            Some(trace) => self.finish_trace(trace, handled, out),
        }
    }

    fn prepare(
        &self,
        context: &mut RequestContext<'_>,
        prepare: &Prepare<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        let trace = context.tracing.then(|| self.trace_prepare(context, out, prepare));
        let keyspace = prepare.keyspace.or(context.client.keyspace.as_deref());
        let handled = match self.prepared(keyspace, prepare.text, trace.as_deref()) {
            Ok(prepared) => {
                out.prepared(&prepared.answer());
                Handled::NOW
            }
            Err(error) => refuse(out, error),
        };
        match trace {
            None => handled,
            Some(trace) => self.finish_trace(trace, handled, out),
        }
    }

    fn execute(
        &self,
        context: &mut RequestContext<'_>,
        execute: &Execute<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        let prepared = match self.known_statement(execute.id) {
            Ok(prepared) => prepared,
            Err(error) => {
                out.error(&error);
                return Handled::NOW;
            }
        };
        let trace = context.tracing.then(|| self.trace_execute(context, out, execute, &prepared));
        let keyspace = prepared.keyspace.clone();
        let ask = Ask {
            options: &execute.options,
            keyspace: keyspace.as_deref(),
            metadata_id: execute.result_metadata_id,
            trace: trace.as_ref(),
        };
        let handled = self.start_statement(context, &prepared, ask, out);
        match trace {
            None => handled,
            Some(trace) => self.finish_trace(trace, handled, out),
        }
    }

    fn batch(
        &self,
        context: &mut RequestContext<'_>,
        batch: &Batch<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        let keyspace = batch.options.keyspace.or(context.client.keyspace.as_deref());
        let schema = self.metadata().schema();
        let mut statements = Vec::with_capacity(batch.statements.len());
        for statement in batch.statements.iter() {
            let prepared = match statement.source {
                StatementSource::Prepared(id) => self.known_statement(id),
                StatementSource::Text(text) => prepare_statement(&schema, keyspace, text, None)
                    .map(Arc::new)
                    .map_err(ErrorBody::from),
            };
            match prepared {
                Ok(prepared) => statements.push((prepared, statement.values)),
                Err(error) => {
                    out.error(&error);
                    return Handled::NOW;
                }
            }
        }
        if self.engine().is_drained() {
            return refuse(out, drained());
        }
        let trace = context.tracing.then(|| self.trace_batch(context, out, batch, &statements));
        let services = self.services();
        let ask =
            Ask { options: &batch.options, keyspace, metadata_id: None, trace: trace.as_ref() };
        let begun = Execution::begin_batch(services, &schema, batch.kind, &statements, ask, out);
        let handled = match begun {
            Ok(execution) => {
                let handled = self.run(context, execution, out);
                match statements.first() {
                    None => handled,
                    Some((first, values)) => {
                        self.watch_slow(handled, context, first, statements.len() - 1, values)
                    }
                }
            }
            Err(error) => refuse(out, error),
        };
        match trace {
            None => handled,
            Some(trace) => self.finish_trace(trace, handled, out),
        }
    }

    fn watermark(&self) -> Position {
        self.engine().answer_position().0
    }

    fn write_out(&self, position: Position) {
        self.engine().write_out(LogPosition(position));
    }

    fn watermark_signal(&self) -> &Signal {
        self.engine().watermark_signal()
    }

    fn is_backlogged(&self) -> bool {
        self.pool().waiting() >= BACKLOG
    }

    fn failure(&self) -> Option<ErrorBody> {
        let error = self.engine().failure()?;
        Some(ErrorBody::server(format!("the node refuses writes until it is restarted: {error}")))
    }
}

impl Node {
    /// Begins a statement.
    fn start_statement(
        &self,
        context: &mut RequestContext<'_>,
        prepared: &Arc<Prepared>,
        ask: Ask<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        if self.engine().is_drained() {
            return refuse(out, drained());
        }
        let services = self.services();
        let schema = self.metadata().schema();
        match Execution::begin(services, &schema, prepared, ask, out) {
            Ok(execution) => {
                let handled = self.run(context, execution, out);
                self.watch_slow(handled, context, prepared, 0, &ask.options.values)
            }
            Err(error) => {
                if let Some(trace) = ask.trace {
                    trace.event(format!("Refused: {error}"));
                }
                refuse(out, error)
            }
        }
    }

    /// Runs what has begun as far as it goes without waiting.
    fn run(
        &self,
        context: &mut RequestContext<'_>,
        mut execution: Execution,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        let services = self.services();
        // A request that goes beyond a small answer's work would be refused for want of memory, as
        // the one before it was: better now than when much of it is done.
        let is_starved = context.memory.is_some_and(|memory| memory.is_starved());
        // While requests wait for a worker, another scan waits its turn there, and does not take the
        // time of those on this thread that need little.
        let only_small = is_starved || self.pool().waiting() > 0;
        let units = context.budget.units.min(if only_small { SMALL_UNITS } else { u64::MAX });
        let mut budget = Budget::new(units.max(1));
        let step = execution.step(services, out, &mut budget);
        context.budget.spend(1 + units.saturating_sub(budget.units));
        match step {
            Ok(Step::Yield) if is_starved => {
                context.memory.inspect(|memory| memory.refuse());
                out.error(&overloaded());
                Handled::NOW
            }
            Ok(Step::Done { hold }) => {
                Handled::Answered { hold_until: hold.map(|position| position.0) }
            }
            Ok(step) => {
                let mut reserved = context.memory.map(|memory| memory.reserve());
                let written = out.body_bytes();
                if reserved.as_mut().is_some_and(|reserved| !reserved.cover(written)) {
                    // Only rows can be too many, so nothing has been written to the database.
                    out.error(&overloaded());
                    return Handled::NOW;
                }
                let response = out.detach();
                let waiting = Waiting { node: self.clone(), execution, response, reserved };
                Handled::Pending(Box::pin(waiting.go_on(step)))
            }
            Err(error) => {
                execution.note(|| format!("Refused: {error}"));
                refuse(out, error)
            }
        }
    }

    /// The statement of that id, planned anew if the schema has changed under it.
    fn known_statement(&self, id: &[u8]) -> std::result::Result<Arc<Prepared>, ErrorBody> {
        let Some(prepared) = self.statements().get(id) else {
            let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(ErrorBody::new(
                ErrorKind::Unprepared { id: id.to_vec() },
                format!(
                    "Prepared query with ID {digits} not found (either the query was not prepared \
                     on this host (maybe the host has been restarted?) or you have prepared too \
                     many queries and it has been evicted from the internal cache)"
                ),
            ));
        };
        let schema = self.metadata().schema();
        if prepared.is_current(&schema) {
            return Ok(prepared);
        }
        self.prepared(prepared.keyspace.as_deref(), &prepared.text, None).map_err(ErrorBody::from)
    }

    fn prepared(
        &self,
        keyspace: Option<&str>,
        text: &str,
        trace: Option<&Trace>,
    ) -> Result<Arc<Prepared>> {
        let schema = self.metadata().schema();
        let prepared = Arc::new(prepare_statement(&schema, keyspace, text, trace)?);
        self.statements().put(prepared.clone());
        Ok(prepared)
    }

    fn statements(&self) -> &StatementCache {
        &self.shared.statements
    }
}

/// A kind that makes drivers try another node.
fn drained() -> Error {
    let what = "The node is drained: it serves no requests until it is restarted";
    Error::new(ErrorKind::Bootstrapping, what)
}

fn refuse(out: &mut ResponseWriter<'_>, error: Error) -> Handled {
    out.error(&ErrorBody::from(error));
    Handled::NOW
}

/// A request that could not be answered on its connection's task.
struct Waiting {
    node: Node,
    execution: Execution,
    response: DetachedResponse,
    /// The memory of the response.
    reserved: Option<Reserved>,
}

impl Waiting {
    async fn go_on(mut self, first: Step) -> Answer {
        let mut step = first;
        loop {
            step = match step {
                Step::Done { hold } => {
                    let answer = Answer::new(self.response, hold.map(|position| position.0));
                    return Answer { reserved: self.reserved, ..answer };
                }
                Step::Wait(waits) => {
                    let waited = waits.await;
                    self.execution.waited(waited);
                    // Mostly little is left: not worth a thread.
                    match self.step(SMALL_UNITS) {
                        Err(error) => return self.refuse(error),
                        Ok(_) if !self.has_memory() => {
                            return refused(self.response, &overloaded());
                        }
                        Ok(step) => step,
                    }
                }
                waits => {
                    if self.reserved.as_ref().is_some_and(Reserved::is_hopeless) {
                        return refused(self.response, &overloaded());
                    }
                    let stream = self.response.stream();
                    let version = self.response.with(|out| out.version());
                    let pool = self.node.clone();
                    let done = pool.pool().run(move || self.work(waits)).await;
                    match done {
                        Ok((waiting, Ok(step))) => {
                            self = waiting;
                            if !self.has_memory() {
                                let response = DetachedResponse::new(version, stream);
                                return refused(response, &overloaded());
                            }
                            step
                        }
                        Ok((waiting, Err(error))) => {
                            self = waiting;
                            return self.refuse(error);
                        }
                        Err(error) => {
                            let response = DetachedResponse::new(version, stream);
                            return refused(response, &pool_error(error));
                        }
                    }
                }
            };
        }
    }

    /// One round on a thread that may wait for the disk.
    fn work(mut self, step: Step) -> (Self, Result<Step>) {
        let done = self.try_work(step);
        (self, done)
    }

    fn try_work(&mut self, step: Step) -> Result<Step> {
        let node = self.node.clone();
        let services = node.services();
        match step {
            Step::NeedsBlocks(blocks) => {
                self.execution.note(|| format!("Reading {} blocks from disk", blocks.len()));
                self.execution.fetch(services, blocks)?;
            }
            Step::Yield => {
                self.execution
                    .note(|| "Going on on a worker: the turn's budget is spent".to_owned());
            }
            Step::Wait(_) | Step::Done { .. } => {}
        }
        self.step(POOL_STEP_UNITS)
    }

    fn step(&mut self, units: u64) -> Result<Step> {
        let node = self.node.clone();
        let services = node.services();
        let mut budget = Budget::new(units);
        let execution = &mut self.execution;
        let step = self.response.with(|out| execution.step(services, out, &mut budget))?;
        Ok(step)
    }

    /// Whether the node has memory for the answer as far as it is written. Only rows can be too
    /// many, never the answer of a write.
    fn has_memory(&mut self) -> bool {
        let Some(reserved) = &mut self.reserved else { return true };
        reserved.cover(self.response.buffer_bytes())
    }

    fn refuse(self, error: Error) -> Answer {
        self.node.log_failure(&error);
        refused(self.response, &ErrorBody::from(error))
    }
}

fn refused(mut response: DetachedResponse, error: &ErrorBody) -> Answer {
    response.with(|out| out.error(error));
    Answer::new(response, None)
}

fn pool_error(error: PoolError) -> ErrorBody {
    match error {
        PoolError::Full => ErrorBody::new(ErrorKind::Overloaded, error.to_string()),
        PoolError::Closed => ErrorBody::new(ErrorKind::Bootstrapping, error.to_string()),
        PoolError::Panicked => ErrorBody::server("an internal error; the log has its cause"),
    }
}
