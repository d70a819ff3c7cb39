//! What a connection asks of the node: the one interface between the protocol and everything that
//! lies below it.
//!
//! A handler is called on the connection's own task and must not block. It answers at once into
//! the connection's output, or hands back a future that answers later; the connection then goes on
//! with the next request. An answer may name a log position: the connection keeps it back until
//! the log's watermark has reached that position, without a task or a wake-up per request.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use cql_lite::wire::{
    Batch, DetachedResponse, ErrorBody, Execute, Prepare, ProtocolVersion, Query, ResponseWriter,
};
use helenus_platform::runtime::BoxFuture;
use helenus_platform::signal::Signal;

use super::memory::{AnswerMemory, Reserved};

/// A position of the commit log, as the storage engine counts them.
pub type Position = u64;

/// Executes requests.
///
/// Each method writes one complete answer to `out` and returns [`Handled::Answered`], or writes
/// nothing (or detaches what it wrote) and returns [`Handled::Pending`]. A panic inside answers
/// this request with a server error and harms no other.
pub trait Handler: Send + Sync {
    /// Executes a statement given as text.
    fn query(
        &self,
        context: &mut RequestContext<'_>,
        query: &Query<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled;

    /// Prepares a statement.
    fn prepare(
        &self,
        context: &mut RequestContext<'_>,
        prepare: &Prepare<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled;

    /// Executes a prepared statement.
    fn execute(
        &self,
        context: &mut RequestContext<'_>,
        execute: &Execute<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled;

    /// Executes a batch.
    fn batch(
        &self,
        context: &mut RequestContext<'_>,
        batch: &Batch<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled;

    /// How far the log has come: answers held for this position or an earlier one may leave.
    fn watermark(&self) -> Position;

    /// Sends what the answers held for positions up to this one wait for on its way. To be called
    /// before waiting for the watermark, once for all requests of a turn: until then nobody may
    /// have been told that there is anything to write. Does not wait.
    fn write_out(&self, position: Position);

    /// Notified whenever [`Handler::watermark`] or [`Handler::failure`] changes.
    fn watermark_signal(&self) -> &Signal;

    /// Whether so much work waits for a worker that a connection with requests under way had better
    /// take no more until one of them is answered.
    fn is_backlogged(&self) -> bool {
        false
    }

    /// Set once the log has failed for good: every answer that is still held becomes this error.
    fn failure(&self) -> Option<ErrorBody>;
}

/// What became of a request.
pub enum Handled {
    /// The answer is written.
    Answered {
        /// It may leave when the watermark has reached this position; at once if none.
        hold_until: Option<Position>,
    },
    /// The answer comes later. Dropping the future cancels the request.
    Pending(BoxFuture<'static, Answer>),
}

impl Handled {
    /// The answer is written and may leave at once.
    pub const NOW: Handled = Handled::Answered { hold_until: None };
}

impl std::fmt::Debug for Handled {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Handled::Answered { hold_until } => {
                formatter.debug_struct("Answered").field("hold_until", hold_until).finish()
            }
            Handled::Pending(_) => formatter.write_str("Pending"),
        }
    }
}

/// A complete answer that was written apart from its connection.
#[derive(Debug)]
pub struct Answer {
    /// The stream that it goes to.
    pub stream: i16,
    /// One finished frame.
    pub frame: BytesMut,
    /// See [`Handled::Answered`].
    pub hold_until: Option<Position>,
    /// The keyspace that the connection has from now on, if the answer says so.
    pub keyspace: Option<String>,
    /// The memory that it is counted in, if whoever wrote it has seen to that.
    pub reserved: Option<Reserved>,
}

impl Answer {
    /// Finishes `response`; see [`Handled::Answered`] for `hold_until`.
    pub fn new(response: DetachedResponse, hold_until: Option<Position>) -> Self {
        let stream = response.stream();
        let (frame, finished) = response.finish();
        Answer { stream, frame, hold_until, keyspace: finished.keyspace, reserved: None }
    }
}

/// Who sent a request, and what it may cost. Copy what must outlive the call.
#[derive(Debug)]
pub struct RequestContext<'a> {
    /// The connection that it came from.
    pub client: &'a Client,
    /// The stream that the answer goes to.
    pub stream: i16,
    /// The client asks for a trace.
    pub tracing: bool,
    /// What is left of the connection's turn; take off what the request visits.
    pub budget: &'a mut TurnBudget,
    /// Where an answer that is written apart is counted; none: the caller bounds memory itself.
    pub memory: Option<&'a Arc<AnswerMemory>>,
}

/// What is known of a connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where it comes from.
    pub address: SocketAddr,
    /// The version that it speaks.
    pub version: ProtocolVersion,
    /// The keyspace that USE chose.
    pub keyspace: Option<Arc<str>>,
    /// The options of its STARTUP, by upper-case key.
    pub options: Arc<[(String, String)]>,
}

/// Work that a connection may still do in this turn: rows and cells visited, and 64 bytes of data
/// count one each. A request that has used it up goes on elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnBudget {
    /// Units that are left.
    pub units: u64,
}

impl TurnBudget {
    /// Takes off `units`, down to zero.
    pub fn spend(&mut self, units: u64) {
        self.units = self.units.saturating_sub(units);
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.units == 0
    }
}
