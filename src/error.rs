//! The one error type of the node: what a client is told, and under which protocol code.
//!
//! A message is worded as Cassandra words it wherever Cassandra knows the situation, because
//! drivers, tools and people match on those sentences. The kinds are those of the protocol, with
//! the body that it defines for each.

use std::fmt;

use cql_lite::types::error::ValueError;
pub use cql_lite::wire::ErrorKind;
use cql_lite::wire::{ErrorBody, WireError};

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

/// The most bytes of an error's sentence, which may quote a statement's constants and names.
const MESSAGE_BYTES_MAX: usize = 4096;

impl From<Error> for ErrorBody {
    fn from(error: Error) -> ErrorBody {
        let Error { kind, mut message } = error;
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            message.push_str("...");
        }
        ErrorBody { kind: *kind, message }
    }
}

impl From<ValueError> for Error {
    fn from(error: ValueError) -> Error {
        Error::invalid(error.message)
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Error {
        Error::protocol(error.to_string())
    }
}

impl From<helenus_storage::Error> for Error {
    fn from(error: helenus_storage::Error) -> Error {
        use helenus_storage::ErrorKind as Kind;
        let message = error.to_string();
        match error.kind() {
            Kind::TooLarge => Error::invalid(message),
            Kind::Full | Kind::Overloaded => Error::overloaded(message),
            Kind::DiskFull => Error::server(format!(
                "the disk is full: writes are refused until space is freed, reads are served: \
                 {message}"
            )),
            _ => Error::server(message),
        }
    }
}
