//! Why a request has no answer, and why a connection was refused.

use std::fmt;
use std::sync::Arc;

/// Why there is no answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// The deadline passed. The peer may have carried the request out.
    Timeout,
    /// There is no connection, or no more.
    Unreachable {
        /// What happened, for the log.
        why: Arc<str>,
        /// The request had left: the peer may have carried it out.
        sent: bool,
    },
    /// Too much waits for this peer, or for all peers together. Nothing was sent.
    QueueFull,
    /// The payload is longer than any message may be. Nothing was sent.
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The longest that is allowed.
        max: usize,
    },
    /// The peer answered that it failed.
    Failed(Failure),
    /// This node is stopping.
    Stopped,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Timeout => f.write_str("no answer came in time"),
            RequestError::Unreachable { why, .. } => write!(f, "the node cannot be reached: {why}"),
            RequestError::QueueFull => f.write_str("too many messages wait to be sent"),
            RequestError::TooLarge { bytes, max } => {
                write!(f, "a message of {bytes} bytes is longer than the {max} that are allowed")
            }
            RequestError::Failed(failure) => write!(f, "the node answered: {}", failure.text),
            RequestError::Stopped => f.write_str("this node is stopping"),
        }
    }
}

impl std::error::Error for RequestError {}

/// A failure as the answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Below 100: internode's own, see the constants. From 100 on: the verb's owner's.
    pub code: u16,
    /// For people.
    pub text: String,
}

impl Failure {
    /// The receiver does not know the verb.
    pub const UNKNOWN_VERB: u16 = 1;
    /// One of the two nodes belongs to no cluster yet, and the verb needs both to.
    pub const NOT_A_MEMBER: u16 = 2;
    /// The request's handler panicked.
    pub const PANICKED: u16 = 3;
    /// The answer would have been longer than a message may be.
    pub const ANSWER_TOO_LARGE: u16 = 4;
    /// The first code of verbs' owners.
    pub const OWN_CODES: u16 = 100;

    /// A failure with a text of at most [`Failure::TEXT_BYTES_MAX`]; the rest is cut off.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(Self::TEXT_BYTES_MAX));
        Failure { code, text }
    }

    /// Longest text, in bytes.
    pub const TEXT_BYTES_MAX: usize = 4096;
}

/// Why a connection was refused. Numbers are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// No layout of messages that both sides know.
    Version = 1,
    /// The nodes belong to different clusters.
    OtherCluster = 2,
    /// Another node than this one was meant.
    NotWhoWasMeant = 3,
    /// The host id is this node's own.
    ClonedHostId = 4,
    /// The node has connected to itself.
    Itself = 5,
    /// A live node at another address has the host id.
    HostIdTaken = 6,
    /// There are as many connections as there may be.
    TooMany = 7,
    /// The node is stopping.
    Stopping = 8,
    /// The kind of connection is not known.
    UnknownChannel = 9,
}

impl Reason {
    const ALL: [Reason; 9] = [
        Reason::Version,
        Reason::OtherCluster,
        Reason::NotWhoWasMeant,
        Reason::ClonedHostId,
        Reason::Itself,
        Reason::HostIdTaken,
        Reason::TooMany,
        Reason::Stopping,
        Reason::UnknownChannel,
    ];

    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == code)
    }

    /// Whether somebody has to do something about it: others pass by themselves.
    pub(super) fn is_a_mistake(self) -> bool {
        !matches!(self, Reason::Itself | Reason::TooMany | Reason::Stopping)
    }
}

/// A connection that was refused: why, and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why; none if a newer version has a reason that this one does not know.
    pub reason: Option<Reason>,
    /// For people.
    pub text: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Refusal { reason: Some(reason), text: text.into() }
    }
}
