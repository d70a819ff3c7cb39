//! The header of a frame (v3 and v4 §2; v5 §2.4.1, where it is called an envelope):
//!
//! ```text
//! 0         8         16        24        32        40
//! +---------+---------+---------+---------+---------+
//! | version |  flags  |      stream       | opcode  |
//! +---------+---------+---------+---------+---------+
//! |           body length             |
//! +---------+---------+---------+---------+
//! ```
//!
//! The highest bit of `version` is set in responses. `stream` is signed; the server's events use
//! -1. All integers are big-endian. Versions 1 and 2 have one byte of stream and eight of header;
//! they are written here only to refuse them.

use std::fmt;

use bytes::BytesMut;
use helenus_platform::codec::{Put, Reader};

use super::notation::patch_u32;
use super::version::ProtocolVersion;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 9;
/// Offset of the body's length in a header.
const LENGTH_OFFSET: usize = 5;
/// Set in the version byte of responses.
const RESPONSE_BIT: u8 = 0x80;
/// The stream of messages that answer no request.
pub const EVENT_STREAM: i16 = -1;

/// Bits of the flags byte (§2.2).
pub mod flags {
    /// The body is compressed (v3, v4).
    pub const COMPRESSED: u8 = 0x01;
    /// Request: trace it; response: a trace id leads the body.
    pub const TRACING: u8 = 0x02;
    /// A bytes map leads the body (v4 on).
    pub const CUSTOM_PAYLOAD: u8 = 0x04;
    /// A list of warnings leads the body of a response (v4 on).
    pub const WARNING: u8 = 0x08;
    /// The client agrees to a beta version.
    pub const USE_BETA: u8 = 0x10;
}

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What a message is (§2.4).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Opcode {
            $($(#[$doc])* $name = $code,)*
        }

        impl Opcode {
            /// The message with this code.
            pub fn from_byte(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Opcode::$name),)*
                    _ => None,
                }
            }

            /// Its name, as the specification spells it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Opcode::$name => $text,)*
                }
            }
        }
    };
}

opcodes! {
    /// A request failed.
    Error = 0x00, "ERROR";
    /// Opens a connection.
    Startup = 0x01, "STARTUP";
    /// The connection is open.
    Ready = 0x02, "READY";
    /// The client must authenticate.
    Authenticate = 0x03, "AUTHENTICATE";
    /// Asks what the server supports.
    Options = 0x05, "OPTIONS";
    /// What the server supports.
    Supported = 0x06, "SUPPORTED";
    /// A statement as text.
    Query = 0x07, "QUERY";
    /// The result of a request.
    Result = 0x08, "RESULT";
    /// Prepares a statement.
    Prepare = 0x09, "PREPARE";
    /// Executes a prepared statement.
    Execute = 0x0A, "EXECUTE";
    /// Asks for events.
    Register = 0x0B, "REGISTER";
    /// An event.
    Event = 0x0C, "EVENT";
    /// Several statements as one.
    Batch = 0x0D, "BATCH";
    /// One more step of authentication.
    AuthChallenge = 0x0E, "AUTH_CHALLENGE";
    /// The client's step of authentication.
    AuthResponse = 0x0F, "AUTH_RESPONSE";
    /// Authentication is done.
    AuthSuccess = 0x10, "AUTH_SUCCESS";
}

impl Opcode {
    /// Whether clients send it.
    pub fn is_request(self) -> bool {
        matches!(
            self,
            Opcode::Startup
                | Opcode::Options
                | Opcode::Query
                | Opcode::Prepare
                | Opcode::Execute
                | Opcode::Register
                | Opcode::Batch
                | Opcode::AuthResponse
        )
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From client to server.
    Request,
    /// From server to client.
    Response,
}

/// A header as it stands on the wire: nothing in it is checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The version's number, without the direction.
    pub version: u8,
    /// Which way the message goes.
    pub direction: Direction,
    /// Bits of [`flags`].
    pub flags: u8,
    /// Chosen by the client; the answer carries the same.
    pub stream: i16,
    /// What the message is; see [`Opcode::from_byte`].
    pub opcode: u8,
    /// Bytes that follow.
    pub body_bytes: u32,
}

impl FrameHeader {
    /// Reads the first [`HEADER_BYTES`] of `bytes`, if they are there.
    pub fn parse(bytes: &[u8]) -> Option<FrameHeader> {
        let mut reader = Reader::new(bytes);
        let (version, direction) = split_version(reader.u8().ok()?);
        Some(FrameHeader {
            version,
            direction,
            flags: reader.u8().ok()?,
            stream: reader.i16_be().ok()?,
            opcode: reader.u8().ok()?,
            body_bytes: reader.u32_be().ok()?,
        })
    }

    /// Appends the header.
    pub fn put(&self, out: &mut impl Put) {
        out.put_u8(join_version(self.version, self.direction));
        out.put_u8(self.flags);
        out.put_i16_be(self.stream);
        out.put_u8(self.opcode);
        out.put_u32_be(self.body_bytes);
    }

    /// Bytes of the whole frame.
    pub fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.body_bytes as usize
    }
}

/// Splits a frame's first byte into the version's number and the direction.
pub fn split_version(byte: u8) -> (u8, Direction) {
    let direction = if byte & RESPONSE_BIT == 0 { Direction::Request } else { Direction::Response };
    (byte & !RESPONSE_BIT, direction)
}

fn join_version(version: u8, direction: Direction) -> u8 {
    match direction {
        Direction::Request => version,
        Direction::Response => version | RESPONSE_BIT,
    }
}

/// Appends a header whose length [`end_frame`] fills in; returns where the frame begins.
pub fn begin_frame(
    out: &mut BytesMut,
    version: ProtocolVersion,
    direction: Direction,
    stream: i16,
    opcode: Opcode,
) -> usize {
    let start = out.len();
    let opcode = opcode as u8;
    FrameHeader { version: version.number(), direction, flags: 0, stream, opcode, body_bytes: 0 }
        .put(out);
    start
}

/// Fills in the length of the frame that begins at `start` and ends at the end of `out`.
pub fn end_frame(out: &mut BytesMut, start: usize) {
    let body_bytes = out.len().saturating_sub(start + HEADER_BYTES);
    // A body is far below 4 GiB: every writer of large ones has a limit of its own.
    debug_assert!(u32::try_from(body_bytes).is_ok());
    patch_u32(out, start + LENGTH_OFFSET, body_bytes as u32);
}

/// Sets bits in the flags of the frame that begins at `start`.
pub fn set_frame_flags(out: &mut BytesMut, start: usize, flags: u8) {
    if let Some(byte) = out.get_mut(start + 1) {
        *byte |= flags;
    }
}

/// Changes the opcode of the frame that begins at `start`.
pub fn set_frame_opcode(out: &mut BytesMut, start: usize, opcode: Opcode) {
    if let Some(byte) = out.get_mut(start + LENGTH_OFFSET - 1) {
        *byte = opcode as u8;
    }
}

/// Appends a response of version 1 or 2: the short header, then `body`.
pub fn put_old_frame(out: &mut BytesMut, version: u8, stream: u8, opcode: Opcode, body: &[u8]) {
    out.put_u8(join_version(version, Direction::Response));
    out.put_u8(0);
    out.put_u8(stream);
    out.put_u8(opcode as u8);
    out.put_u32_be(body.len() as u32);
    out.put_bytes(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back() {
        let mut out = BytesMut::new();
        let start =
            begin_frame(&mut out, ProtocolVersion::V4, Direction::Response, -1, Opcode::Event);
        out.put_bytes(b"body");
        end_frame(&mut out, start);
        set_frame_flags(&mut out, start, flags::WARNING);
        assert_eq!(&out[..], b"\x84\x08\xff\xff\x0c\x00\x00\x00\x04body");
        let header = FrameHeader::parse(&out).unwrap();
        assert_eq!(header.direction, Direction::Response);
        assert_eq!((header.version, header.stream, header.body_bytes), (4, -1, 4));
        assert_eq!(Opcode::from_byte(header.opcode), Some(Opcode::Event));
        assert_eq!(FrameHeader::parse(&out[..8]), None);
    }

    #[test]
    fn opcodes_are_the_specified_ones() {
        let known: Vec<u8> = (0..=255).filter(|code| Opcode::from_byte(*code).is_some()).collect();
        assert_eq!(known, [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert!(Opcode::Batch.is_request() && !Opcode::Supported.is_request());
    }
}
