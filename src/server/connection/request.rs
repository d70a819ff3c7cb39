//! From a frame to its answer: what is checked, who executes it, and what becomes of the answer.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cql_lite::wire::compression::decompress_body;
use cql_lite::wire::frame::{Direction, HEADER_BYTES, flags};
use cql_lite::wire::{
    DetachedResponse, ErrorBody, EventKind, FrameHeader, Opcode, ProtocolVersion, Request,
    RequestBody, Response, ResponseWriter, StatementSource, decode_request,
};
use helenus_platform::runtime::BoxFuture;

use super::handshake;
use super::input::Framing;
use super::{Connection, Stage, overloaded};
use crate::server::handler::{Answer, Handled, Position, RequestContext, TurnBudget};
use crate::server::memory::AnswerMemory;
use crate::server::metrics::{RequestKind, ServerMetrics, Timing};

/// Taken off a turn's budget for every request, whatever it does.
const REQUEST_UNITS: u64 = 16;

/// A request that is executed apart from its connection.
pub(in crate::server) struct PendingRequest {
    version: ProtocolVersion,
    stream: i16,
    timing: Timing,
    metrics: Arc<ServerMetrics>,
    memory: Arc<AnswerMemory>,
    future: BoxFuture<'static, Answer>,
}

/// A request that was executed apart, and its answer.
pub(in crate::server) struct Completed {
    pub(super) answer: Answer,
    pub(super) timing: Timing,
}

impl fmt::Debug for PendingRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PendingRequest").field("stream", &self.stream).finish()
    }
}

impl Future for PendingRequest {
    type Output = Completed;

    /// A panic becomes the answer.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completed> {
        let (version, stream, timing) = (self.version, self.stream, self.timing);
        let future = self.future.as_mut();
        match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(Poll::Ready(answer)) => {
                debug_assert_eq!(answer.stream, stream);
                let answer = self.counted(Answer { stream, ..answer });
                Poll::Ready(Completed { answer, timing })
            }
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => {
                let mut response = DetachedResponse::new(version, stream);
                let error = panic_error(panic.as_ref(), &self.metrics);
                response.with(|writer| writer.error(&error));
                Poll::Ready(Completed { answer: Answer::new(response, None), timing })
            }
        }
    }
}

impl PendingRequest {
    /// The answer with its memory counted, or another if there is none for it.
    fn counted(&self, mut answer: Answer) -> Answer {
        let mut reserved = answer.reserved.take().unwrap_or_else(|| self.memory.reserve());
        if reserved.settle(answer.frame.capacity()) {
            return Answer { reserved: Some(reserved), ..answer };
        }
        let mut response = DetachedResponse::new(self.version, self.stream);
        response.with(|writer| writer.error(&overloaded()));
        Answer::new(response, None)
    }
}

/// What a client learns of a panic; the log learns the rest.
fn panic_error(panic: &(dyn Any + Send), metrics: &ServerMetrics) -> ErrorBody {
    metrics.panics.increment();
    let cause = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(cause, "a request panicked");
    ErrorBody::server(format!("internal error: {cause}"))
}

impl Connection {
    /// Answers the frame at the front of the input and moves past it.
    pub(super) fn take_frame(&mut self, header: FrameHeader, budget: &mut TurnBudget) {
        budget.spend(REQUEST_UNITS);
        let taken = self.input.take();
        if let Err(error) = self.decode(&header, taken.body(&header), budget) {
            self.answer_error(&header, &error);
        }
        self.input.put_back(taken, header.frame_bytes());
    }

    fn decode(
        &mut self,
        header: &FrameHeader,
        body: &[u8],
        budget: &mut TurnBudget,
    ) -> Result<(), ErrorBody> {
        let version = self.check_header(header)?;
        let opcode = Opcode::from_byte(header.opcode)
            .ok_or_else(|| ErrorBody::protocol(format!("Unknown opcode {}", header.opcode)))?;
        self.check_opcode(header, opcode)?;
        let compressed = header.flags & flags::COMPRESSED != 0 && !version.has_segments();
        if !compressed {
            return self.execute(version, header, opcode, body, budget);
        }
        let Some(compression) = self.output.compression() else {
            return Err(ErrorBody::protocol(
                "a compressed frame on a connection without compression",
            ));
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let max = self.services.limits.frame_bytes_max;
        let done = decompress_body(compression, body, max, &mut scratch)
            .map_err(|error| ErrorBody::protocol(error.to_string()))
            .and_then(|()| self.execute(version, header, opcode, &scratch, budget));
        scratch.clear();
        scratch.shrink_to(SCRATCH_BYTES_KEPT);
        self.scratch = scratch;
        done
    }

    /// The version must be the one that STARTUP settled; before it, any that we speak.
    fn check_header(&mut self, header: &FrameHeader) -> Result<ProtocolVersion, ErrorBody> {
        // Frames of other versions do not come this far.
        let version = ProtocolVersion::from_number(header.version).unwrap_or(self.client.version);
        match self.stage {
            Stage::Opening => self.client.version = version,
            _ if version != self.client.version => {
                let settled = self.client.version;
                self.close();
                return Err(ErrorBody::protocol(format!(
                    "Invalid message version. Got {version} but previous messages on this \
                     connection had version {settled}"
                )));
            }
            _ => {}
        }
        Ok(version)
    }

    /// The message must be a request, and one that is expected now.
    fn check_opcode(&mut self, header: &FrameHeader, opcode: Opcode) -> Result<(), ErrorBody> {
        if header.direction != Direction::Request || !opcode.is_request() {
            if self.stage == Stage::Opening {
                self.close();
            }
            return Err(ErrorBody::protocol(format!(
                "Wrong protocol direction (expected REQUEST, got RESPONSE) for opcode {} ({opcode})",
                header.opcode
            )));
        }
        match (self.stage, opcode) {
            (Stage::Opening, Opcode::Startup | Opcode::Options) => Ok(()),
            (Stage::Opening, other) => Err(ErrorBody::protocol(format!(
                "Unexpected message {other}, expecting STARTUP or OPTIONS"
            ))),
            (_, Opcode::Startup) => Err(ErrorBody::protocol(
                "Unexpected message STARTUP, the connection is already initialized",
            )),
            (_, Opcode::AuthResponse) => Err(ErrorBody::protocol(
                "Unexpected message AUTH_RESPONSE, the connection needs no authentication",
            )),
            _ => Ok(()),
        }
    }

    fn execute(
        &mut self,
        version: ProtocolVersion,
        header: &FrameHeader,
        opcode: Opcode,
        body: &[u8],
        budget: &mut TurnBudget,
    ) -> Result<(), ErrorBody> {
        let decoded = decode_request(version, header.flags, opcode, body)
            .map_err(|error| ErrorBody::protocol(error.to_string()))?;
        match &decoded.request {
            Request::Startup(options) => self.start_up(version, header.stream, options),
            Request::Options => {
                self.answer_response(header.stream, &handshake::supported());
                Ok(())
            }
            Request::Register(kinds) => {
                self.register(kinds);
                self.answer_response(header.stream, &Response::Ready);
                Ok(())
            }
            _ => {
                self.check_statement(&decoded.request, body.len())?;
                if self.refuses() {
                    return Err(overloaded());
                }
                if let Some(kind) = RequestKind::of(opcode) {
                    self.ask_handler(header.stream, kind, &decoded, budget);
                }
                Ok(())
            }
        }
    }

    /// A statement may be so long and no longer.
    fn check_statement(&self, request: &Request<'_>, body_bytes: usize) -> Result<(), ErrorBody> {
        let max = self.services.limits.statement_bytes_max;
        if body_bytes <= max {
            return Ok(());
        }
        let longest = match request {
            Request::Query(query) => query.text.len(),
            Request::Prepare(prepare) => prepare.text.len(),
            Request::Batch(batch) => {
                let text = |source| match source {
                    StatementSource::Text(text) => text.len(),
                    StatementSource::Prepared(_) => 0,
                };
                batch.statements.iter().map(|one| text(one.source)).max().unwrap_or(0)
            }
            _ => 0,
        };
        if longest <= max {
            return Ok(());
        }
        Err(ErrorBody::invalid(format!(
            "Statement is too long: its text has {longest} bytes, and limits.statement_bytes \
             allows {max}; bind values instead of writing them into the text"
        )))
    }

    /// The answer to STARTUP still leaves in the old packing (v5 §2.3.1).
    fn start_up(
        &mut self,
        version: ProtocolVersion,
        stream: i16,
        options: &[(&str, &str)],
    ) -> Result<(), ErrorBody> {
        let settled = handshake::startup(version, options)?;
        self.answer_response(stream, &Response::Ready);
        self.client.version = version;
        self.throws_on_overload = settled.throws_on_overload;
        self.client.options = settled.options.into();
        self.membership.set_ready(version, &self.client.options);
        self.output.set_framing(settled.framing, settled.compression);
        self.input.set_framing(settled.framing);
        debug_assert!(version.has_segments() || settled.framing == Framing::Bare);
        self.stage = Stage::Ready;
        Ok(())
    }

    fn register(&mut self, kinds: &[EventKind]) {
        let events = self.services.events.clone();
        let (_, registered) =
            self.subscription.get_or_insert_with(|| (events.subscribe(), Vec::new()));
        for kind in kinds {
            if !registered.contains(kind) {
                registered.push(*kind);
            }
        }
    }

    fn ask_handler(
        &mut self,
        stream: i16,
        kind: RequestKind,
        body: &RequestBody<'_>,
        budget: &mut TurnBudget,
    ) {
        self.membership.count_request();
        let timing = Timing { kind, since: self.now };
        let metrics = &self.services.metrics;
        let version = self.client.version;
        let handler = &*self.services.handler;
        let mut out = ResponseWriter::new(&mut self.output.ready, version, stream);
        let mut context = RequestContext {
            client: &self.client,
            stream,
            tracing: body.tracing,
            budget,
            memory: Some(&self.answer_memory),
        };
        let handled = catch_unwind(AssertUnwindSafe(|| match &body.request {
            Request::Query(query) => handler.query(&mut context, query, &mut out),
            Request::Prepare(prepare) => handler.prepare(&mut context, prepare, &mut out),
            Request::Execute(execute) => handler.execute(&mut context, execute, &mut out),
            Request::Batch(batch) => handler.batch(&mut context, batch, &mut out),
            // Answered before the handler is asked.
            Request::Startup(_)
            | Request::Options
            | Request::Register(_)
            | Request::AuthResponse(_) => Handled::NOW,
        }));
        let hold_until = match handled {
            Ok(Handled::Answered { hold_until }) => {
                if out.is_empty() {
                    out.error(&ErrorBody::server("the request was not answered"));
                }
                hold_until
            }
            Ok(Handled::Pending(future)) => {
                out.abandon();
                self.pending += 1;
                metrics.apart.add(1);
                let metrics = metrics.clone();
                let memory = self.answer_memory.clone();
                let request = PendingRequest { version, stream, timing, metrics, memory, future };
                self.started.push(request);
                return;
            }
            Err(panic) => {
                out.error(&panic_error(panic.as_ref(), metrics));
                None
            }
        };
        let finished = out.finish();
        self.now = self.services.clock.monotonic();
        if !self.has_memory_for_answer(finished.start) {
            self.output.take_back(finished.start);
            let mut out = ResponseWriter::new(&mut self.output.ready, version, stream);
            out.error(&overloaded());
            out.finish();
            return self.answered(finished.start, stream, None, None, timing);
        }
        self.answered(finished.start, stream, hold_until, finished.keyspace, timing);
    }

    /// The frame from `start` to the end of the output's ready frames is an answer.
    pub(super) fn answered(
        &mut self,
        start: usize,
        stream: i16,
        hold_until: Option<Position>,
        keyspace: Option<String>,
        timing: Timing,
    ) {
        if let Some(keyspace) = keyspace {
            let keyspace: Arc<str> = Arc::from(keyspace);
            self.membership.set_keyspace(&keyspace);
            self.client.keyspace = Some(keyspace);
        }
        self.count_error(start);
        self.output.finished(start);
        match hold_until.filter(|until| *until > self.services.handler.watermark()) {
            Some(until) => self.output.hold(start, until, stream, timing),
            None => self.services.metrics.answered(timing, self.now),
        }
    }

    fn count_error(&self, start: usize) {
        let header = self.output.ready.get(start..).and_then(FrameHeader::parse);
        if header.is_some_and(|header| header.opcode == Opcode::Error as u8) {
            self.services.metrics.errors.increment();
            let code = self.output.ready.get(start + HEADER_BYTES..).and_then(<[u8]>::first_chunk);
            if code == Some(&OVERLOADED_CODE) {
                self.services.metrics.overloaded.increment();
            }
        }
    }

    fn answer_response(&mut self, stream: i16, response: &Response) {
        let mut out = ResponseWriter::new(&mut self.output.ready, self.client.version, stream);
        out.response(response);
        let start = out.finish().start;
        self.count_error(start);
        self.output.finished(start);
    }

    /// Answers `header`'s request with an error.
    pub(super) fn answer_error(&mut self, header: &FrameHeader, error: &ErrorBody) {
        self.answer_response(header.stream, &Response::Error(error.clone()));
    }
}

/// What the body of an OVERLOADED begins with.
const OVERLOADED_CODE: [u8; 4] = [0, 0, 0x10, 0x01];

/// A buffer for decompressed bodies keeps at most this much.
const SCRATCH_BYTES_KEPT: usize = 128 << 10;
