//! Compressed bodies of v3 and v4 (§5): a big-endian u32 with the length of the body, then an LZ4
//! block. v5 compresses segments instead.

use bytes::BytesMut;
use helenus_platform::codec::{Put, Reader};

use super::error::{Result, WireError};
use super::frame::{HEADER_BYTES, end_frame, flags, set_frame_flags};

/// Bodies shorter than this are sent as they are.
pub const COMPRESS_BYTES_MIN: usize = 512;
/// An LZ4 block says at most 255 bytes of output with one byte of input.
const LZ4_RATIO_MAX: usize = 255;

/// Decompresses a body into `out`, which is cleared first. The claimed length is distrusted: it
/// may be neither over `max` nor more than LZ4 could get out of the block.
pub fn decompress_body(body: &[u8], max: usize, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    let mut reader = Reader::new(body);
    let length = reader.u32_be()? as usize;
    if length == 0 {
        return Ok(());
    }
    if length > max || length > reader.remaining().saturating_mul(LZ4_RATIO_MAX) {
        return Err(WireError::malformed(format!(
            "a compressed body of {} bytes claims to hold {length} bytes",
            body.len()
        )));
    }
    out.resize(length, 0);
    match lz4_flex::block::decompress_into(reader.rest(), out) {
        Ok(written) if written == length => Ok(()),
        _ => {
            out.clear();
            Err(WireError::malformed("a compressed body cannot be decompressed"))
        }
    }
}

/// Compresses the body of the finished frame that begins at `start` and ends at the end of `out`,
/// if that makes it shorter.
pub fn compress_frame(out: &mut BytesMut, start: usize) {
    let body_start = start + HEADER_BYTES;
    let Some(body) = out.get(body_start..).filter(|body| body.len() >= COMPRESS_BYTES_MIN) else {
        return;
    };
    let length = body.len();
    let compressed = lz4_flex::block::compress(body);
    if compressed.len() + 4 >= length {
        return;
    }
    out.truncate(body_start);
    out.put_u32_be(length as u32);
    out.put_bytes(&compressed);
    end_frame(out, start);
    set_frame_flags(out, start, flags::COMPRESSED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Direction, FrameHeader, Opcode, begin_frame};
    use crate::wire::version::ProtocolVersion;

    fn frame(body: &[u8]) -> BytesMut {
        let mut out = BytesMut::from(&b"earlier"[..]);
        let version = ProtocolVersion::V4;
        let start = begin_frame(&mut out, version, Direction::Response, 7, Opcode::Result);
        out.put_bytes(body);
        end_frame(&mut out, start);
        compress_frame(&mut out, start);
        out.split_off(start)
    }

    #[test]
    fn long_bodies_come_back() {
        let body = b"all work and no play ".repeat(100);
        let wire = frame(&body);
        let header = FrameHeader::parse(&wire).unwrap();
        assert_eq!(header.flags, flags::COMPRESSED);
        assert!(wire.len() < body.len() / 4);
        let mut out = Vec::new();
        decompress_body(&wire[HEADER_BYTES..], body.len(), &mut out).unwrap();
        assert_eq!(out, body);
        assert!(decompress_body(&wire[HEADER_BYTES..], body.len() - 1, &mut out).is_err());
    }

    #[test]
    fn short_bodies_stay_as_they_are() {
        let wire = frame(&[0; 100]);
        assert_eq!(FrameHeader::parse(&wire).unwrap().flags, 0);
    }

    #[test]
    fn bombs_and_lies_are_refused() {
        let mut out = Vec::new();
        let max = 256 << 20;
        assert!(decompress_body(b"\x0f\xff\xff\xff\x10", max, &mut out).is_err());
        assert!(out.capacity() < 4096);
        assert!(decompress_body(b"\x00\x00", max, &mut out).is_err());
        assert!(decompress_body(b"\x00\x00\x00\x05\x10a", max, &mut out).is_err());
        assert!(decompress_body(b"\x00\x00\x00\x00", max, &mut out).is_ok());
    }
}
