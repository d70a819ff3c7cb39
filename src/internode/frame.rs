//! Frames: what messages travel in, as many in one as were ready together.
//!
//! ```text
//!  0  u32_be  bytes of the body as it stands here, at least 1
//!  4  u32_be  bytes of the body before compression; the same if it is not compressed
//!  8  u8      flags: 01 the body is an LZ4 block; others are zero
//!  9  u32_be  CRC-32 of the body as it stands here
//! 13  u32_be  CRC-32 of the 13 bytes before
//! 17  body: messages, one behind the other (`message.rs`)
//! ```
//!
//! A frame is closed once its body has [`FRAME_BYTES_TARGET`], so a body has at most that much and
//! one message. The header has a checksum of its own because its lengths decide how much is read
//! and allocated: they are believed only when it fits and they are within bounds.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use bytes::{Buf, Bytes, BytesMut};
use helenus_platform::checksum::crc32;
use helenus_platform::codec::{CodecError, Put, Reader};

/// A frame is closed once its body has so many bytes.
pub const FRAME_BYTES_TARGET: usize = 128 << 10;
/// Bytes before the body.
pub const FRAME_HEADER_BYTES: usize = 17;
/// What a message has besides its payload, at most (`message.rs`).
pub(super) const MESSAGE_OVERHEAD_MAX: usize = 64;
/// Shorter bodies are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 512;
/// The most that LZ4 can make of a byte.
const LZ4_RATIO_MAX: usize = 255;
const FLAG_LZ4: u8 = 1;
/// A buffer that has held more than this is given back once it is empty.
const BUFFER_BYTES_KEPT: usize = 256 << 10;

/// The longest body where payloads have at most `message_bytes_max`.
pub(super) fn body_bytes_max(message_bytes_max: usize) -> usize {
    FRAME_BYTES_TARGET.saturating_add(message_bytes_max).saturating_add(MESSAGE_OVERHEAD_MAX)
}

/// Why bytes are not a frame: the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The header is damaged, or this is no frame at all.
    Header,
    /// The body is damaged.
    Body,
    /// A flag, or a combination, that this version does not know.
    Unknown,
    /// The body is longer than it may be.
    TooLong {
        /// How long it says to be.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The body is no LZ4 block of the length that it says to have.
    Compression,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameError::Header => f.write_str("the header of a frame is damaged"),
            FrameError::Body => f.write_str("the body of a frame is damaged"),
            FrameError::Unknown => f.write_str("a frame has flags that are not known"),
            FrameError::TooLong { bytes, max } => write!(
                f,
                "a frame of {bytes} bytes is longer than the {max} that are allowed; all nodes \
                 must allow messages of the same length"
            ),
            FrameError::Compression => f.write_str("the body of a frame cannot be decompressed"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Packs messages into frames. Append a message to [`FrameWriter::begin`]'s buffer, call
/// [`FrameWriter::end`]; [`FrameWriter::finish`] before looking at the bytes.
#[derive(Debug, Default)]
pub(super) struct FrameWriter {
    bytes: BytesMut,
    /// Where the frame begins that is still open.
    open: Option<usize>,
    compress: bool,
    /// Most bytes since the buffer was new.
    peak: usize,
}

impl FrameWriter {
    pub(super) fn new(compress: bool) -> Self {
        FrameWriter { compress, ..FrameWriter::default() }
    }

    /// Where to append one message.
    pub(super) fn begin(&mut self) -> &mut BytesMut {
        if self.open.is_none() {
            self.open = Some(self.bytes.len());
            self.bytes.put_bytes(&[0; FRAME_HEADER_BYTES]);
        }
        &mut self.bytes
    }

    /// The message is complete.
    pub(super) fn end(&mut self) {
        let body = self.open.map_or(0, |open| self.bytes.len() - open - FRAME_HEADER_BYTES);
        if body >= FRAME_BYTES_TARGET {
            self.finish();
        }
    }

    /// Closes the frame that is open.
    pub(super) fn finish(&mut self) {
        let Some(start) = self.open.take() else { return };
        let begins = start + FRAME_HEADER_BYTES;
        let body = self.bytes.get(begins..).unwrap_or_default();
        let whole = body.len();
        if whole == 0 {
            return self.bytes.truncate(start);
        }
        let mut flags = 0;
        if self.compress && whole >= COMPRESS_BYTES_MIN {
            let packed = lz4_flex::block::compress(body);
            // An eighth must be saved, or it is not worth the other side's work.
            if packed.len() < whole - whole / 8 {
                self.bytes.truncate(begins);
                self.bytes.put_bytes(&packed);
                flags = FLAG_LZ4;
            }
        }
        let body = self.bytes.get(begins..).unwrap_or_default();
        let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
        header.put_u32_be(body.len() as u32);
        header.put_u32_be(whole as u32);
        header.put_u8(flags);
        header.put_u32_be(crc32(body));
        header.put_u32_be(crc32(&header));
        if let Some(place) = self.bytes.get_mut(start..begins) {
            place.copy_from_slice(&header);
        }
        self.peak = self.peak.max(self.bytes.len());
    }

    /// What is to be written. Only after [`FrameWriter::finish`].
    pub(super) fn bytes(&self) -> &[u8] {
        debug_assert!(self.open.is_none());
        &self.bytes
    }

    /// Bytes in it, those of the open frame included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The first `count` bytes were written.
    pub(super) fn advance(&mut self, count: usize) {
        debug_assert!(self.open.is_none());
        self.bytes.advance(count.min(self.bytes.len()));
        if self.bytes.is_empty() && self.peak > BUFFER_BYTES_KEPT {
            self.bytes = BytesMut::new();
            self.peak = 0;
        }
    }
}

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The body of a frame, decompressed.
    Body(Bytes),
    /// So many bytes more make a header, or a body of which the header has been checked.
    Missing {
        /// Until there is something to look at.
        bytes: usize,
        /// Memory that the whole frame takes; 0 while that is not known.
        frame: usize,
    },
}

/// Takes the next frame off `input`. Bodies longer than `max` are refused.
pub(super) fn next_frame(input: &mut BytesMut, max: usize) -> Result<Next, FrameError> {
    let Some(head) = input.get(..FRAME_HEADER_BYTES) else {
        return Ok(Next::Missing { bytes: FRAME_HEADER_BYTES - input.len(), frame: 0 });
    };
    let header = Header::parse(head).map_err(|_| FrameError::Header)?;
    header.check(max)?;
    let end = FRAME_HEADER_BYTES + header.stored;
    let Some(body) = input.get(FRAME_HEADER_BYTES..end) else {
        let unpacked = if header.is_compressed() { header.whole } else { 0 };
        return Ok(Next::Missing { bytes: end - input.len(), frame: end + unpacked });
    };
    if crc32(body) != header.body_crc {
        return Err(FrameError::Body);
    }
    if header.is_compressed() {
        let mut whole = vec![0; header.whole];
        let written = lz4_flex::block::decompress_into(body, &mut whole);
        if written.ok() != Some(header.whole) {
            return Err(FrameError::Compression);
        }
        input.advance(end);
        return Ok(Next::Body(whole.into()));
    }
    let mut frame = input.split_to(end);
    frame.advance(FRAME_HEADER_BYTES);
    Ok(Next::Body(frame.freeze()))
}

struct Header {
    stored: usize,
    whole: usize,
    flags: u8,
    body_crc: u32,
    is_sound: bool,
}

impl Header {
    fn parse(head: &[u8]) -> Result<Header, CodecError> {
        let mut reader = Reader::new(head);
        let (stored, whole) = (reader.u32_be()? as usize, reader.u32_be()? as usize);
        let (flags, body_crc) = (reader.u8()?, reader.u32_be()?);
        let covered = head.get(..reader.position()).unwrap_or_default();
        let is_sound = reader.u32_be()? == crc32(covered);
        Ok(Header { stored, whole, flags, body_crc, is_sound })
    }

    fn is_compressed(&self) -> bool {
        self.flags & FLAG_LZ4 != 0
    }

    fn check(&self, max: usize) -> Result<(), FrameError> {
        if !self.is_sound {
            return Err(FrameError::Header);
        }
        let bytes = self.stored.max(self.whole);
        if bytes > max {
            return Err(FrameError::TooLong { bytes, max });
        }
        if self.flags & !FLAG_LZ4 != 0 || self.stored == 0 {
            return Err(FrameError::Unknown);
        }
        let fits = if self.is_compressed() {
            self.whole > 0 && self.whole <= self.stored.saturating_mul(LZ4_RATIO_MAX)
        } else {
            self.whole == self.stored
        };
        if fits { Ok(()) } else { Err(FrameError::Compression) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    fn frames(messages: &[&[u8]], compress: bool) -> BytesMut {
        let mut writer = FrameWriter::new(compress);
        for message in messages {
            writer.begin().put_bytes(message);
            writer.end();
        }
        writer.finish();
        BytesMut::from(writer.bytes())
    }

    fn body(input: &mut BytesMut) -> Bytes {
        match next_frame(input, MAX) {
            Ok(Next::Body(body)) => body,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_share_a_frame_until_it_is_full() {
        let mut small = frames(&[b"one", b"two"], false);
        assert_eq!(&body(&mut small)[..], b"onetwo");
        assert!(small.is_empty());
        let large = vec![7; FRAME_BYTES_TARGET - 2];
        let mut input = frames(&[b"one", &large, b"two"], false);
        assert_eq!(body(&mut input).len(), FRAME_BYTES_TARGET + 1);
        assert_eq!(&body(&mut input)[..], b"two");
        assert!(frames(&[], false).is_empty());
    }

    #[test]
    fn what_gains_is_compressed_and_nothing_else() {
        let mut packed = frames(&[&[1; 5000]], true);
        assert!(packed.len() < 200);
        assert_eq!(&body(&mut packed)[..], &[1; 5000]);
        let noise: Vec<u8> = (0..5000_u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
        let noise: Vec<u8> = noise.iter().map(|b| b.wrapping_mul(151)).collect();
        let mut plain = frames(&[&noise], true);
        assert_eq!(&body(&mut plain)[..], &noise[..]);
        assert_eq!(frames(&[&[1; 100]], true).len(), 100 + FRAME_HEADER_BYTES);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for compress in [false, true] {
            let sound = frames(&[&[9; 600], b"message"], compress);
            for bit in 0..sound.len() * 8 {
                let mut damaged = sound.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(next_frame(&mut damaged, MAX).is_err(), "bit {bit}");
            }
            for cut in 0..sound.len() {
                let mut short = BytesMut::from(&sound[..cut]);
                let next = next_frame(&mut short, MAX);
                let Ok(Next::Missing { bytes, .. }) = next else { panic!("{next:?}") };
                assert!(bytes <= sound.len() - cut && bytes > 0);
            }
        }
    }

    /// A header with right checksums, whatever it says.
    fn forged(stored: u32, whole: u32, flags: u8, body: &[u8]) -> BytesMut {
        let mut frame = BytesMut::new();
        frame.put_u32_be(stored);
        frame.put_u32_be(whole);
        frame.put_u8(flags);
        frame.put_u32_be(crc32(body));
        let crc = crc32(&frame);
        frame.put_u32_be(crc);
        frame.put_bytes(body);
        frame
    }

    #[test]
    fn bombs_and_nonsense_are_refused_before_anything_is_allocated() {
        let body = [0_u8; 100];
        let refused = |stored, whole, flags| {
            next_frame(&mut forged(stored, whole, flags, &body), 50_000).unwrap_err()
        };
        assert_eq!(refused(100, 60_000, 1), FrameError::TooLong { bytes: 60_000, max: 50_000 });
        let bytes = u32::MAX as usize;
        assert_eq!(refused(u32::MAX, 1, 0), FrameError::TooLong { bytes, max: 50_000 });
        assert_eq!(refused(100, 25_501, 1), FrameError::Compression);
        assert_eq!(refused(100, 20_000, 1), FrameError::Compression);
        assert_eq!(refused(100, 0, 1), FrameError::Compression);
        assert_eq!(refused(100, 99, 0), FrameError::Compression);
        assert_eq!(refused(100, 100, 2), FrameError::Unknown);
        assert_eq!(refused(0, 0, 0), FrameError::Unknown);
    }
}
