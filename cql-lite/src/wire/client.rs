//! The client's end of a connection without I/O: requests to bytes, bytes to responses, with the
//! packing that the version and STARTUP settle.

use bytes::{Buf, BytesMut};

use super::compression::{Compression, compress_frame, decompress_body};
use super::error::{Result, WireError};
use super::frame::{
    Direction, FrameHeader, HEADER_BYTES, Opcode, begin_frame, end_frame, flags, set_frame_flags,
};
use super::request::Request;
use super::response::{Response, ResponseBody, decode_response};
use super::segment::{Segment, SegmentMode, wrap_envelopes};
use super::version::ProtocolVersion;

/// Longest body of a response that a client takes.
pub const RESPONSE_BYTES_MAX: usize = 256 << 20;

/// The client's end of one connection.
#[derive(Debug)]
pub struct ClientCodec {
    version: ProtocolVersion,
    compression: Option<Compression>,
    /// READY or AUTHENTICATE has come: what STARTUP settled is in force.
    set_up: bool,
    raw: BytesMut,
    envelopes: BytesMut,
    scratch: Vec<u8>,
}

impl ClientCodec {
    /// A connection that will speak `version`, and ask for LZ4 if `lz4`.
    pub fn new(version: ProtocolVersion, lz4: bool) -> Self {
        ClientCodec::with_compression(version, lz4.then_some(Compression::Lz4))
    }

    /// A connection that will speak `version`, and ask for that compression.
    pub fn with_compression(version: ProtocolVersion, compression: Option<Compression>) -> Self {
        ClientCodec {
            version,
            compression,
            set_up: false,
            raw: BytesMut::new(),
            envelopes: BytesMut::new(),
            scratch: Vec::new(),
        }
    }

    /// The version that is spoken.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// The options that STARTUP must carry.
    pub fn startup_options(&self) -> Vec<(&'static str, &'static str)> {
        let mut options = vec![("CQL_VERSION", "3.0.0")];
        if let Some(compression) = self.compression {
            options.push(("COMPRESSION", compression.name()));
        }
        options
    }

    fn segments(&self) -> Option<SegmentMode> {
        let mode = match self.compression {
            Some(Compression::Lz4) => SegmentMode::Lz4,
            Some(Compression::Snappy) | None => SegmentMode::Plain,
        };
        (self.set_up && self.version.has_segments()).then_some(mode)
    }

    /// Appends a request to `out`.
    pub fn encode(&self, stream: i16, request: &Request<'_>, tracing: bool, out: &mut BytesMut) {
        let mut frame = BytesMut::new();
        let opcode = request.opcode();
        let start = begin_frame(&mut frame, self.version, Direction::Request, stream, opcode);
        request.encode_body(self.version, &mut frame);
        end_frame(&mut frame, start);
        if tracing {
            set_frame_flags(&mut frame, start, flags::TRACING);
        }
        if let Some(mode) = self.segments() {
            wrap_envelopes(&frame, mode, out);
            return;
        }
        if let Some(compression) = self.compression.filter(|_| self.set_up) {
            compress_frame(compression, &mut frame, start);
        }
        out.extend_from_slice(&frame);
    }

    /// Where bytes from the server are appended.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.raw
    }

    /// The next response and its stream, if it is there whole. After an error the connection must
    /// be closed.
    pub fn decode(&mut self) -> Result<Option<(i16, ResponseBody)>> {
        let Some(header) = self.next_header()? else { return Ok(None) };
        let frames = if self.segments().is_some() { &mut self.envelopes } else { &mut self.raw };
        let frame = frames.split_to(header.frame_bytes());
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        let version = ProtocolVersion::from_number(header.version).ok_or_else(|| {
            WireError::corrupt(format!("a response of protocol version {}", header.version))
        })?;
        let opcode = Opcode::from_byte(header.opcode).ok_or_else(|| {
            WireError::malformed(format!("unknown opcode {:#04x}", header.opcode))
        })?;
        let compressed = header.flags & flags::COMPRESSED != 0 && !version.has_segments();
        let body = if compressed {
            let compression = self.compression.ok_or_else(|| {
                WireError::corrupt("a compressed response on a connection without compression")
            })?;
            decompress_body(compression, body, RESPONSE_BYTES_MAX, &mut self.scratch)?;
            &self.scratch
        } else {
            body
        };
        let response = decode_response(version, header.flags, opcode, body)?;
        if matches!(response.response, Response::Ready | Response::Authenticate(_)) {
            self.set_up = true;
        }
        Ok(Some((header.stream, response)))
    }

    /// The header of the next frame, once the frame is there whole.
    fn next_header(&mut self) -> Result<Option<FrameHeader>> {
        loop {
            let frames = if self.segments().is_some() { &self.envelopes } else { &self.raw };
            if let Some(header) = FrameHeader::parse(frames) {
                if header.body_bytes as usize > RESPONSE_BYTES_MAX {
                    let length = header.body_bytes;
                    return Err(WireError::corrupt(format!("a response of {length} bytes")));
                }
                if header.frame_bytes() <= frames.len() {
                    return Ok(Some(header));
                }
            }
            let Some(mode) = self.segments() else { return Ok(None) };
            let Some(segment) = Segment::parse(&self.raw, mode)? else { return Ok(None) };
            segment.append_payload(&mut self.envelopes)?;
            let bytes = segment.wire_bytes;
            self.raw.advance(bytes);
        }
    }
}
