//! Why bytes are not a message of the protocol.

use std::borrow::Cow;
use std::fmt;

use helenus_platform::codec::CodecError;

/// What a receiver can still do with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireErrorKind {
    /// One message is malformed; where the next one begins is known.
    Malformed,
    /// The framing is lost (a checksum, a length): nothing behind it can be trusted.
    Corrupt,
}

/// Bytes that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    /// What is left of the connection.
    pub kind: WireErrorKind,
    /// What was wrong and where, for the other side to read.
    pub message: Cow<'static, str>,
}

impl WireError {
    /// One bad message.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        WireError { kind: WireErrorKind::Malformed, message: message.into() }
    }

    /// Lost framing.
    pub fn corrupt(message: impl Into<Cow<'static, str>>) -> Self {
        WireError { kind: WireErrorKind::Corrupt, message: message.into() }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for WireError {}

impl From<CodecError> for WireError {
    fn from(error: CodecError) -> Self {
        WireError::malformed(format!("the message ends early: {error}"))
    }
}

/// The result of decoding.
pub type Result<T> = std::result::Result<T, WireError>;
