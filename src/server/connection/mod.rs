//! One connection as a state machine without I/O. Bytes go in at [`Connection::input`], turns of
//! work are asked for with [`Connection::turn`], bytes come out at [`Connection::output`].
//!
//! Every whole request in the input is executed in order; answers leave as they are ready:
//! - at once, behind those that were ready before,
//! - when the log's watermark passes their position (`output.rs` holds them back until then),
//! - when a request that was executed apart comes back ([`Connection::complete`]).
//!
//! A connection takes no more input while it has too many requests apart, too many answers held
//! back, or too many bytes that the client has not read: so its memory is bounded whatever the
//! client does. The memory of all of them together is bounded too (`burden.rs`).

mod burden;
mod handshake;
mod input;
mod output;
mod request;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::BytesMut;
use cql_lite::wire::frame::EVENT_STREAM;
use cql_lite::wire::{
    ErrorBody, Event, EventKind, FrameHeader, ProtocolVersion, Response, ResponseWriter,
};
use helenus_platform::clock::Clock;
use helenus_platform::signal::Slot;

pub(super) use burden::Room;
pub use burden::overloaded;
pub use handshake::CQL_VERSION;
pub(super) use request::{Completed, PendingRequest};

use super::clients::{Clients, Membership};
use super::events::{EventHub, Subscription};
use super::handler::{Client, Handler, TurnBudget};
use super::limits::Limits;
use super::memory::{AnswerMemory, Memory, Share};
use super::metrics::ServerMetrics;
use input::{Input, Next};
use output::Output;

/// What every connection of a server shares.
#[derive(Clone)]
pub struct Services {
    /// Executes requests.
    pub handler: Arc<dyn Handler>,
    /// Where events come from.
    pub events: Arc<EventHub>,
    /// Who is connected.
    pub clients: Arc<Clients>,
    /// What a connection may take.
    pub limits: Arc<Limits>,
    /// What all of them hold.
    pub memory: Arc<Memory>,
    /// Tells how long requests take.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<ServerMetrics>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Services").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// What a turn ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There is more to do; others should run first.
    Again,
    /// About so many more bytes must be read.
    NeedInput(usize),
    /// Something must leave first: answers to the client, or requests that are executed apart.
    Blocked,
    /// No more requests are taken.
    Closing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// STARTUP has not come yet.
    Opening,
    /// Statements are executed.
    Ready,
    /// No more requests are taken; what was taken is still answered.
    Draining,
    /// The client broke the protocol: what is ready still leaves, nothing else happens.
    Closing,
}

/// One connection; see the module's head.
#[derive(Debug)]
pub struct Connection {
    services: Services,
    client: Client,
    stage: Stage,
    input: Input,
    output: Output,
    /// Holds the body of a compressed frame.
    scratch: Vec<u8>,
    /// Requests that are executed apart and have not come back.
    pending: usize,
    /// Those of them that nobody runs yet.
    started: Vec<PendingRequest>,
    /// When the request that is being executed was read.
    now: Duration,
    /// It takes no requests until then, while memory is short.
    rest_until: Duration,
    subscription: Option<(Subscription, Vec<EventKind>)>,
    watermark_slot: Slot,
    membership: Membership,
    /// The memory that it holds.
    share: Share,
    /// The memory of answers that are written apart.
    answer_memory: Arc<AnswerMemory>,
    /// What the next answer of a request executed apart may have, going by those before.
    answer_bytes_expected: usize,
    /// Bytes still to come of a frame for which there is memory already.
    bytes_to_come: usize,
    /// Past a limit the client wants OVERLOADED rather than to be made to wait.
    throws_on_overload: bool,
    /// It takes no requests because of a limit.
    is_paused: bool,
    /// The socket did not take all that there was for the client.
    client_is_behind: bool,
    memory_slot: Slot,
    /// Bytes that have come and gone.
    moved_bytes: u64,
}

impl Connection {
    /// A connection from `address` on which nothing has been said.
    pub fn new(services: Services, address: SocketAddr) -> Self {
        let version = ProtocolVersion::LATEST;
        let membership = services.clients.join(address);
        Connection {
            share: Share::new(services.memory.clone()),
            answer_memory: AnswerMemory::new(services.memory.clone()),
            answer_bytes_expected: services.limits.answer_bytes_expected,
            bytes_to_come: 0,
            throws_on_overload: false,
            is_paused: false,
            client_is_behind: false,
            memory_slot: Slot::default(),
            moved_bytes: 0,
            services,
            client: Client { address, version, keyspace: None, options: Arc::new([]) },
            stage: Stage::Opening,
            input: Input::new(),
            output: Output::new(),
            scratch: Vec::new(),
            pending: 0,
            started: Vec::new(),
            now: Duration::ZERO,
            rest_until: Duration::ZERO,
            subscription: None,
            watermark_slot: Slot::default(),
            membership,
        }
    }

    /// Where the bytes of the client are appended.
    pub fn input(&mut self) -> &mut BytesMut {
        self.input.raw()
    }

    /// Whether STARTUP has been answered.
    pub fn is_set_up(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Takes no more requests; those that were taken are still answered.
    pub fn drain(&mut self) {
        if self.stage != Stage::Closing {
            self.stage = Stage::Draining;
        }
    }

    /// Takes no more requests and gives those up that are under way.
    fn close(&mut self) {
        self.stage = Stage::Closing;
    }

    /// Whether nothing more will happen here: the socket can be closed.
    pub fn is_done(&self) -> bool {
        let sent = self.output.waiting_bytes() == 0;
        match self.stage {
            Stage::Opening | Stage::Ready => false,
            Stage::Draining => sent && self.pending == 0 && !self.output.holds(),
            Stage::Closing => sent,
        }
    }

    /// Executes requests from the input, as many as one turn allows.
    pub fn turn(&mut self) -> Turn {
        let mut budget = TurnBudget { units: self.services.limits.turn_units };
        self.now = self.services.clock.monotonic();
        self.bytes_to_come = 0;
        for _ in 0..self.services.limits.turn_requests_max {
            if self.takes_no_requests() {
                return Turn::Closing;
            }
            self.rest_if_refused();
            if self.is_blocked() {
                return Turn::Blocked;
            }
            match self.input.next(self.body_bytes_max()) {
                Next::Frame(header) => self.take_frame(header, &mut budget),
                Next::TooLong(header) => self.refuse_too_long(&header),
                Next::UnknownVersion { version, stream } => {
                    handshake::refuse_version(version, stream, &mut self.output);
                    self.close();
                }
                Next::More(missing) => return Turn::NeedInput(missing),
                Next::Corrupt(error) => self.refuse_corrupt(&error.message),
            }
            if budget.is_spent() {
                break;
            }
        }
        if self.takes_no_requests() { Turn::Closing } else { Turn::Again }
    }

    fn takes_no_requests(&self) -> bool {
        matches!(self.stage, Stage::Draining | Stage::Closing)
    }

    fn body_bytes_max(&self) -> usize {
        let limits = &self.services.limits;
        match self.stage {
            Stage::Opening => limits.first_frame_bytes_max.min(limits.frame_bytes_max),
            Stage::Ready | Stage::Draining | Stage::Closing => limits.frame_bytes_max,
        }
    }

    /// Whether another turn would execute something, or tell what is missing.
    pub fn can_go_on(&self) -> bool {
        !self.takes_no_requests() && !self.is_blocked()
    }

    /// When its last turn began.
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> &ServerMetrics {
        &self.services.metrics
    }

    /// What this connection may take.
    pub fn limits(&self) -> &Limits {
        &self.services.limits
    }

    /// Whether requests are executed apart.
    pub fn has_pending(&self) -> bool {
        self.pending > 0
    }

    /// Whether answers of requests that were executed apart may come: not while the client has
    /// too much to read.
    pub fn takes_answers(&self) -> bool {
        !self.has_much_to_send()
    }

    /// Hands out the requests that must be executed apart. Each comes back by
    /// [`Connection::complete`].
    pub(super) fn started(&mut self) -> std::vec::Drain<'_, PendingRequest> {
        self.started.drain(..)
    }

    /// Takes the answer of a request that was executed apart.
    pub(super) fn complete(&mut self, Completed { answer, timing }: Completed) {
        self.pending = self.pending.saturating_sub(1);
        self.services.metrics.apart.add(-1);
        self.now = self.services.clock.monotonic();
        self.expect_answers_like(answer.frame.len());
        let start = self.output.ready.len();
        self.output.ready.extend_from_slice(&answer.frame);
        self.count_memory();
        self.answered(start, answer.stream, answer.hold_until, answer.keyspace, timing);
    }

    /// Sends the turn's writes on their way, and lets answers go whose position the log has
    /// reached. If some stay, `waker` is woken when
    /// the log has come further.
    pub fn release(&mut self, waker: &Waker) {
        if !self.output.holds() {
            return;
        }
        self.services.handler.write_out(self.output.newest_held());
        self.release_now();
        if self.output.holds() {
            let signal = self.services.handler.watermark_signal();
            signal.register(&mut self.watermark_slot, waker);
            self.release_now();
        }
    }

    fn release_now(&mut self) {
        // The failure is read first: what the log reached before it failed is still good.
        let failure = self.services.handler.failure();
        let watermark = self.services.handler.watermark();
        let now = self.services.clock.monotonic();
        self.output.release(watermark, |timing| self.services.metrics.answered(timing, now));
        if let Some(error) = failure {
            let failed = self.output.fail_held(&error, self.client.version);
            self.services.metrics.errors.add(failed as u64);
        }
    }

    /// Passes on the events that the client asked for. `waker` is woken when there are more.
    pub fn pass_events(&mut self, waker: &Waker) {
        let Some((mut subscription, kinds)) = self.subscription.take() else { return };
        subscription.register(waker);
        // A client that does not read gets none, and falls behind until it is closed.
        while self.takes_answers() {
            match subscription.try_next() {
                Ok(Some(event)) if kinds.contains(&event.kind()) => self.put_event(&event),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => {
                    tracing::warn!(client = %self.client.address, "closed: too slow for its events");
                    self.close();
                    return;
                }
            }
        }
        self.subscription = Some((subscription, kinds));
    }

    fn put_event(&mut self, event: &Event) {
        let ready = &mut self.output.ready;
        let mut writer = ResponseWriter::new(ready, self.client.version, EVENT_STREAM);
        writer.response(&Response::Event(event.clone()));
        let start = writer.finish().start;
        self.output.finished(start);
        self.services.metrics.events.increment();
    }

    /// Bytes for the client. Say with [`Connection::sent`] how many were taken.
    pub fn output(&mut self) -> &[u8] {
        self.output.flush();
        self.output.wire()
    }

    /// So many bytes came from the client.
    pub fn received(&mut self, bytes: usize) {
        self.moved_bytes += bytes as u64;
        self.services.metrics.received.add(bytes as u64);
    }

    /// The first `bytes` of the output were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.services.metrics.sent.add(bytes as u64);
        self.moved_bytes += bytes as u64;
        self.output.sent(bytes);
    }

    fn refuse_too_long(&mut self, header: &FrameHeader) {
        let message = format!(
            "Request is too big: length {} exceeds maximum allowed length {}.",
            header.body_bytes,
            self.body_bytes_max()
        );
        self.answer_error(header, &ErrorBody::invalid(message));
        if self.stage == Stage::Opening {
            self.close();
        }
    }

    /// The stream that the error belongs to is not known: it goes to stream 0, as Cassandra's.
    fn refuse_corrupt(&mut self, message: &str) {
        tracing::warn!(client = %self.client.address, "closed: {message}");
        let mut writer = ResponseWriter::new(&mut self.output.ready, self.client.version, 0);
        writer.error(&ErrorBody::protocol(message));
        writer.finish();
        self.close();
    }
}
