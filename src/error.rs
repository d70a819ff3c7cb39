//! The one error type of the node: what a client is told, and under which protocol code.
//!
//! A message is worded as Cassandra words it wherever Cassandra knows the situation, because
//! drivers, tools and people match on those sentences. The server maps `ErrorKind` to protocol
//! codes in one table.

use std::fmt;

/// What went wrong, as far as a client has to tell cases apart. Carries the extra body that the
/// native protocol defines for the case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something unexpected inside the node (0x0000).
    Server,
    /// The client broke the protocol (0x000A).
    Protocol,
    /// The node refuses work because it has too much of it (0x1001).
    Overloaded,
    /// The node does not serve yet (0x1002).
    Bootstrapping,
    /// A TRUNCATE failed (0x1003).
    Truncate,
    /// Too few live replicas to try (0x1000).
    Unavailable {
        /// Protocol code of the consistency level.
        consistency: u16,
        /// Replicas that the level needs.
        required: i32,
        /// Replicas known to be alive.
        alive: i32,
    },
    /// A write was not confirmed in time (0x1100).
    WriteTimeout {
        /// Protocol code of the consistency level.
        consistency: u16,
        /// Replicas that answered.
        received: i32,
        /// Replicas that the level needs.
        block_for: i32,
        /// Cassandra's name for the kind of write, e.g. `SIMPLE`.
        write_type: &'static str,
    },
    /// A read was not answered in time (0x1200).
    ReadTimeout {
        /// Protocol code of the consistency level.
        consistency: u16,
        /// Replicas that answered.
        received: i32,
        /// Replicas that the level needs.
        block_for: i32,
        /// Whether the replica asked for data has answered.
        data_present: bool,
    },
    /// A replica refused a read (0x1300).
    ReadFailure {
        /// Protocol code of the consistency level.
        consistency: u16,
        /// Replicas that answered.
        received: i32,
        /// Replicas that the level needs.
        block_for: i32,
        /// Replicas that failed.
        failures: i32,
        /// Protocol's code of the reason, e.g. 1: too many tombstones.
        reason: u16,
        /// Whether the replica asked for data has answered.
        data_present: bool,
    },
    /// A replica refused a write (0x1500).
    WriteFailure {
        /// Protocol code of the consistency level.
        consistency: u16,
        /// Replicas that answered.
        received: i32,
        /// Replicas that the level needs.
        block_for: i32,
        /// Replicas that failed.
        failures: i32,
        /// Protocol's code of the reason.
        reason: u16,
        /// Cassandra's name for the kind of write.
        write_type: &'static str,
    },
    /// A function failed while it ran (0x1400).
    FunctionFailure {
        /// Keyspace of the function.
        keyspace: String,
        /// Name of the function.
        function: String,
        /// CQL names of the argument types.
        arguments: Vec<String>,
    },
    /// The statement does not parse (0x2000).
    Syntax,
    /// The user may not do this (0x2100).
    Unauthorized,
    /// The statement parses and makes no sense here (0x2200).
    Invalid,
    /// An option has an impossible value (0x2300).
    Config,
    /// A keyspace or table of that name exists (0x2400).
    AlreadyExists {
        /// The keyspace.
        keyspace: String,
        /// The table; empty when it is the keyspace that exists.
        table: String,
    },
    /// The prepared statement is not known here (0x2500).
    Unprepared {
        /// The id that was asked for.
        id: [u8; 16],
    },
}

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The case.
    pub kind: Box<ErrorKind>,
    /// The sentence.
    pub message: String,
}

/// Result of anything in the node that a client may hear about.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of any kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind: Box::new(kind), message: message.into() }
    }

    /// InvalidRequest: the statement makes no sense here.
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message)
    }

    /// SyntaxError: the text is not CQL, or an option has the wrong shape.
    pub fn syntax(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Syntax, message)
    }

    /// ConfigurationError: an option has an impossible value.
    pub fn config(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Config, message)
    }

    /// Something unexpected inside the node.
    pub fn server(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Server, message)
    }

    /// The client broke the protocol.
    pub fn protocol(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Protocol, message)
    }

    /// Too much work.
    pub fn overloaded(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Overloaded, message)
    }

    /// The user may not do this.
    pub fn unauthorized(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unauthorized, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
