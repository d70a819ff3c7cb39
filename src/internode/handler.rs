//! What the node does with messages: the one interface between connections and everything that
//! lies above them.
//!
//! A handler is called on the connection's own task and must not block. It answers at once into
//! the connection's output, or hands back a future that answers later; the connection then goes on
//! with the next message. An answer may name a log position: the connection keeps it back until
//! the log's watermark has reached that position, without a task or a wake-up per message.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use helenus_platform::codec::Put;
use helenus_platform::runtime::BoxFuture;
use helenus_platform::signal::Signal;

use super::error::Failure;
use super::message;
use super::verb::{Channel, Verb};

/// A position of the commit log, as the storage engine counts them.
pub type Position = u64;

/// Handles messages of other nodes.
pub trait MessageHandler: Send + Sync {
    /// Handles one message. For a request, it writes an answer to `reply` and returns
    /// [`Received::Answered`], or hands back a future; what it wrote then is forgotten. A panic
    /// inside answers this request with a failure and harms no other.
    fn receive(&self, from: &Peer, message: Incoming, reply: &mut ReplyWriter<'_>) -> Received;

    /// How far the log has come: answers held for this position or an earlier one may leave.
    fn watermark(&self) -> Position;

    /// Sends what the answers held for positions up to this one wait for on its way. To be called
    /// before waiting for the watermark, once for all messages of a turn. Does not wait.
    fn write_out(&self, position: Position);

    /// Notified whenever [`MessageHandler::watermark`] or [`MessageHandler::failure`] changes.
    fn watermark_signal(&self) -> &Signal;

    /// Set once the log has failed for good: every answer that is still held becomes this one.
    fn failure(&self) -> Option<Failure>;
}

/// Who a message is from. Without TLS, what it says of itself is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The node.
    pub host_id: [u8; 16],
    /// Where it can be reached, as it says.
    pub address: SocketAddr,
    /// Where the connection really comes from, or goes to.
    pub remote: SocketAddr,
    /// Its cluster, if it belongs to one.
    pub cluster_id: Option<[u8; 16]>,
    /// The newest feature level that it knows: nothing newer may be written to it.
    pub feature_level: u32,
    /// The connection's channel.
    pub channel: Channel,
}

/// A message of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// What it is about.
    pub verb: Verb,
    /// A slice of the buffer that it was read into, which lives as long as the slice: copy what is
    /// kept for long.
    pub payload: Bytes,
    /// By then somebody waits for the answer, and no longer; on this node's monotonic clock.
    pub deadline: Duration,
    /// Steps are to be recorded under this id.
    pub trace: Option<[u8; 16]>,
    /// Whether an answer is waited for.
    pub is_request: bool,
}

/// What became of a message.
pub enum Received {
    /// There is no answer, and none will come: what one-way messages end with.
    Nothing,
    /// The answer is written; an empty one if nothing was.
    Answered {
        /// It may leave when the watermark has reached this position; at once if none.
        hold_until: Option<Position>,
    },
    /// The answer comes later, and by the deadline: a connection has only so many of these at a
    /// time. Dropped if the connection is lost.
    Pending(BoxFuture<'static, Answer>),
}

impl Received {
    /// The answer is written and may leave at once.
    pub const NOW: Received = Received::Answered { hold_until: None };
}

impl std::fmt::Debug for Received {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Received::Nothing => formatter.write_str("Nothing"),
            Received::Answered { hold_until } => {
                formatter.debug_struct("Answered").field("hold_until", hold_until).finish()
            }
            Received::Pending(_) => formatter.write_str("Pending"),
        }
    }
}

/// An answer that was written apart from its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The payload, or what failed.
    pub result: Result<Bytes, Failure>,
    /// See [`Received::Answered`].
    pub hold_until: Option<Position>,
}

/// Writes the answer to one request straight into the connection's output: append to it with
/// [`Put`], or say [`ReplyWriter::fail`]. What is written for a one-way message goes nowhere.
pub struct ReplyWriter<'a> {
    /// None for one-way messages.
    out: Option<&'a mut BytesMut>,
    /// Of the request.
    id: u64,
    /// Where the answer begins.
    start: usize,
    failed: bool,
}

impl std::fmt::Debug for ReplyWriter<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = formatter.debug_struct("ReplyWriter");
        fields.field("bytes", &self.len()).field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl<'a> ReplyWriter<'a> {
    /// A writer of the answer to `id` at the end of `out`; of nothing without an id.
    pub(super) fn new(out: &'a mut BytesMut, id: Option<u64>) -> Self {
        let start = out.len();
        match id {
            Some(id) => {
                message::begin_answer(out, id);
                ReplyWriter { out: Some(out), id, start, failed: false }
            }
            None => ReplyWriter { out: None, id: 0, start, failed: false },
        }
    }

    /// Bytes of the payload so far.
    #[must_use]
    pub fn len(&self) -> usize {
        let written = self.out.as_ref().map_or(0, |out| out.len());
        if self.failed {
            0
        } else {
            written.saturating_sub(self.start + message::ANSWER_HEAD_BYTES)
        }
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what was written and answers with a failure instead; what follows is ignored.
    pub fn fail(&mut self, failure: &Failure) {
        let (id, start) = (self.id, self.start);
        if let Some(out) = &mut self.out {
            out.truncate(start);
            message::put_failure(out, id, failure);
        }
        self.failed = true;
    }

    /// Forgets everything.
    pub(super) fn abandon(self) {
        if let Some(out) = self.out {
            out.truncate(self.start);
        }
    }

    /// Completes the answer; it begins where this says.
    pub(super) fn finish(mut self, payload_bytes_max: usize) -> usize {
        let bytes = self.len();
        if bytes > payload_bytes_max {
            self.fail(&Failure::new(
                Failure::ANSWER_TOO_LARGE,
                format!(
                    "an answer of {bytes} bytes is longer than the {payload_bytes_max} of a message"
                ),
            ));
        }
        if let Some(out) = self.out
            && !self.failed
        {
            message::end_answer(out, self.start);
        }
        self.start
    }
}

impl Put for ReplyWriter<'_> {
    fn put_bytes(&mut self, bytes: &[u8]) {
        if let Some(out) = &mut self.out
            && !self.failed
        {
            out.put_bytes(bytes);
        }
    }
}
