//! What can be wrong with a value.

use std::fmt;

/// What an error about a value means to whoever gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueErrorKind {
    /// The bytes or the text are no value of the type: an invalid request, worded as Cassandra
    /// words it.
    Invalid,
    /// A function or an operation failed on values that are valid in themselves.
    Execution,
    /// Bytes that we wrote ourselves do not decode.
    Damaged,
}

/// An error about a value, with the wording a client gets to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// What the error means.
    pub kind: ValueErrorKind,
    /// The sentence.
    pub message: String,
}

impl ValueError {
    /// The request is invalid.
    pub fn invalid(message: impl Into<String>) -> ValueError {
        ValueError { kind: ValueErrorKind::Invalid, message: message.into() }
    }

    /// The values are valid, the computation is not possible.
    pub fn execution(message: impl Into<String>) -> ValueError {
        ValueError { kind: ValueErrorKind::Execution, message: message.into() }
    }

    /// Stored bytes are not what we write.
    pub fn damaged(message: impl Into<String>) -> ValueError {
        ValueError { kind: ValueErrorKind::Damaged, message: message.into() }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ValueError {}

/// The result of everything that handles values.
pub type Result<T> = std::result::Result<T, ValueError>;
