//! Compressed bodies of v3 and v4 (§5), each by itself. LZ4: a big-endian u32 with the length of
//! the body, then an LZ4 block. Snappy: a raw Snappy block, which begins with that length as a
//! varint. v5 compresses segments instead, and knows LZ4 alone.

use bytes::BytesMut;
use helenus_platform::codec::{Put, Reader};

use super::error::{Result, WireError};
use super::frame::{HEADER_BYTES, end_frame, flags, set_frame_flags};

/// Bodies shorter than this are sent as they are.
pub const COMPRESS_BYTES_MIN: usize = 512;
/// An LZ4 block says at most 255 bytes of output with one byte of input.
const LZ4_RATIO_MAX: usize = 255;
/// A Snappy block says at most 64 bytes of output with three bytes of input.
const SNAPPY_RATIO_MAX: usize = 22;

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// LZ4, which every version knows.
    Lz4,
    /// Snappy, up to v4.
    Snappy,
}

impl Compression {
    /// What STARTUP calls it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Lz4 => "lz4",
            Compression::Snappy => "snappy",
        }
    }
}

/// Decompresses a body into `out`, which is cleared first. The claimed length is distrusted: it
/// may be neither over `max` nor more than the algorithm could get out of the block, before
/// anything is allocated.
pub fn decompress_body(
    compression: Compression,
    body: &[u8],
    max: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.clear();
    let damaged = || WireError::malformed("a compressed body cannot be decompressed");
    let mut reader = Reader::new(body);
    let (length, ratio_max) = match compression {
        Compression::Lz4 => (reader.u32_be()? as usize, LZ4_RATIO_MAX),
        Compression::Snappy => {
            (snap::raw::decompress_len(body).map_err(|_| damaged())?, SNAPPY_RATIO_MAX)
        }
    };
    let block = reader.rest();
    if length > max || length > block.len().saturating_mul(ratio_max) {
        return Err(WireError::malformed(format!(
            "a compressed body of {} bytes claims to hold {length} bytes",
            body.len()
        )));
    }
    if length == 0 {
        return Ok(());
    }
    out.resize(length, 0);
    let written = match compression {
        Compression::Lz4 => lz4_flex::block::decompress_into(block, out).ok(),
        Compression::Snappy => snap::raw::Decoder::new().decompress(block, out).ok(),
    };
    if written == Some(length) {
        return Ok(());
    }
    out.clear();
    Err(damaged())
}

/// Compresses the body of the finished frame that begins at `start` and ends at the end of `out`,
/// if that makes it shorter.
pub fn compress_frame(compression: Compression, out: &mut BytesMut, start: usize) {
    let body_start = start + HEADER_BYTES;
    let Some(body) = out.get(body_start..).filter(|body| body.len() >= COMPRESS_BYTES_MIN) else {
        return;
    };
    let length = body.len();
    let (prefix_bytes, compressed) = match compression {
        Compression::Lz4 => (4, lz4_flex::block::compress(body)),
        Compression::Snappy => match snap::raw::Encoder::new().compress_vec(body) {
            Ok(block) => (0, block),
            // Fails for what is longer than a Snappy block can be: sent as it is.
            Err(_) => return,
        },
    };
    if compressed.len() + prefix_bytes >= length {
        return;
    }
    out.truncate(body_start);
    if compression == Compression::Lz4 {
        out.put_u32_be(length as u32);
    }
    out.put_bytes(&compressed);
    end_frame(out, start);
    set_frame_flags(out, start, flags::COMPRESSED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Direction, FrameHeader, Opcode, begin_frame};
    use crate::wire::version::ProtocolVersion;

    const BOTH: [Compression; 2] = [Compression::Lz4, Compression::Snappy];

    fn frame(compression: Compression, body: &[u8]) -> BytesMut {
        let mut out = BytesMut::from(&b"earlier"[..]);
        let version = ProtocolVersion::V4;
        let start = begin_frame(&mut out, version, Direction::Response, 7, Opcode::Result);
        out.put_bytes(body);
        end_frame(&mut out, start);
        compress_frame(compression, &mut out, start);
        out.split_off(start)
    }

    #[test]
    fn long_bodies_come_back() {
        let body = b"all work and no play ".repeat(100);
        for compression in BOTH {
            let wire = frame(compression, &body);
            let header = FrameHeader::parse(&wire).unwrap();
            assert_eq!(header.flags, flags::COMPRESSED);
            assert!(wire.len() < body.len() / 4);
            let mut out = Vec::new();
            let block = &wire[HEADER_BYTES..];
            decompress_body(compression, block, body.len(), &mut out).unwrap();
            assert_eq!(out, body);
            assert!(decompress_body(compression, block, body.len() - 1, &mut out).is_err());
            for cut in 1..block.len() {
                assert!(decompress_body(compression, &block[..cut], 1 << 20, &mut out).is_err());
            }
        }
    }

    #[test]
    fn the_most_that_a_block_can_say_is_taken() {
        for compression in BOTH {
            let body = vec![7; 1 << 20];
            let wire = frame(compression, &body);
            let mut out = Vec::new();
            decompress_body(compression, &wire[HEADER_BYTES..], body.len(), &mut out).unwrap();
            assert_eq!(out, body);
        }
    }

    #[test]
    fn short_bodies_stay_as_they_are() {
        for compression in BOTH {
            let wire = frame(compression, &[0; 100]);
            assert_eq!(FrameHeader::parse(&wire).unwrap().flags, 0);
        }
    }

    #[test]
    fn bombs_and_lies_are_refused() {
        let mut out = Vec::new();
        let max = 256 << 20;
        let mut lz4 = |body: &[u8]| decompress_body(Compression::Lz4, body, max, &mut out);
        assert!(lz4(b"\x0f\xff\xff\xff\x10").is_err());
        assert!(lz4(b"\x00\x00").is_err());
        assert!(lz4(b"\x00\x00\x00\x05\x10a").is_err());
        assert!(lz4(b"\x00\x00\x00\x00").is_ok());
        let mut snappy = |body: &[u8]| decompress_body(Compression::Snappy, body, max, &mut out);
        assert!(snappy(b"\xff\xff\xff\x7f\x10").is_err());
        assert!(snappy(b"\xff\xff\xff\xff\xff\xff").is_err());
        assert!(snappy(b"\x05\x00a").is_err());
        assert!(snappy(b"\x00").is_ok());
        assert!(out.capacity() < 4096);
    }
}
