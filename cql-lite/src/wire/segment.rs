//! The segments of v5 (§2, there called frames), around one or more envelopes or a part of a large
//! one. Unlike the rest of the protocol their integers are little-endian.
//!
//! ```text
//! uncompressed mode: 3 bytes   payload length : 17 | self-contained : 1 | padding : 6
//! compressed mode:   5 bytes   compressed length : 17 | payload length : 17
//!                              | self-contained : 1 | padding : 5
//! then               3 bytes   CRC-24 of those bytes
//!                    n bytes   the payload, in compressed mode an LZ4 block
//!                    4 bytes   CRC-32 of the payload as it is on the wire, seeded
//! ```
//!
//! In compressed mode a payload length of zero means that the payload is not compressed and has
//! the "compressed" length. The CRC-32 runs over the bytes FA 2D 55 CA before the payload.

use bytes::BytesMut;
use helenus_platform::checksum::{Crc32, crc24};
use helenus_platform::codec::{Put, Reader};

use super::error::{Result, WireError};
use super::frame::{FrameHeader, HEADER_BYTES};

/// Most bytes of a payload: 17 bits.
pub const PAYLOAD_BYTES_MAX: usize = (1 << 17) - 1;
/// Bytes behind the payload.
const TRAILER_BYTES: usize = 4;
const CRC24_BYTES: usize = 3;
const CRC32_SEED: u32 = 0xFA2D_55CA;
/// Payloads shorter than this are stored as they are: LZ4 gains nothing on them.
const COMPRESS_BYTES_MIN: usize = 64;

/// Whether payloads may be compressed, as STARTUP settled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentMode {
    /// Three bytes of header, payloads as they are.
    Plain,
    /// Five bytes of header, payloads in LZ4.
    Lz4,
}

impl SegmentMode {
    fn header_bytes(self) -> usize {
        match self {
            SegmentMode::Plain => 3,
            SegmentMode::Lz4 => 5,
        }
    }
}

/// A segment whose checksums are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Holds whole envelopes; otherwise a part of one.
    pub self_contained: bool,
    /// The payload as it is on the wire.
    stored: &'a [u8],
    /// The length of a compressed payload; none if it is stored as it is.
    uncompressed_bytes: Option<usize>,
    /// Bytes of the whole segment on the wire.
    pub wire_bytes: usize,
}

impl<'a> Segment<'a> {
    /// Reads the segment that `input` begins with; none if it is not there whole yet. Every error
    /// is [`WireErrorKind::Corrupt`](super::WireErrorKind::Corrupt): the connection must close.
    pub fn parse(input: &'a [u8], mode: SegmentMode) -> Result<Option<Segment<'a>>> {
        let header_bytes = mode.header_bytes();
        let mut reader = Reader::new(input);
        let Ok(header) = reader.bytes(header_bytes) else { return Ok(None) };
        let Ok(check) = reader.bytes(CRC24_BYTES) else { return Ok(None) };
        if little_endian(check) != u64::from(crc24(header)) {
            return Err(WireError::corrupt("the checksum of a segment's header is wrong"));
        }
        let bits = little_endian(header);
        let length = |shift: u32| (bits >> shift) as usize & PAYLOAD_BYTES_MAX;
        let stored_bytes = length(0);
        let (uncompressed_bytes, self_contained) = match mode {
            SegmentMode::Plain => (None, bits >> 17 & 1 == 1),
            SegmentMode::Lz4 => (Some(length(17)).filter(|n| *n > 0), bits >> 34 & 1 == 1),
        };
        let Ok(stored) = reader.bytes(stored_bytes) else { return Ok(None) };
        let Ok(check) = reader.u32_le() else { return Ok(None) };
        if check != payload_checksum(stored) {
            return Err(WireError::corrupt("the checksum of a segment's payload is wrong"));
        }
        let wire_bytes = reader.position();
        Ok(Some(Segment { self_contained, stored, uncompressed_bytes, wire_bytes }))
    }

    /// Appends the payload, decompressed. It is at most [`PAYLOAD_BYTES_MAX`] bytes, whatever the
    /// segment says of itself.
    pub fn append_payload(&self, out: &mut BytesMut) -> Result<()> {
        let Some(length) = self.uncompressed_bytes else {
            out.put_bytes(self.stored);
            return Ok(());
        };
        let start = out.len();
        out.resize(start + length, 0);
        let written = match out.get_mut(start..) {
            Some(place) => lz4_flex::block::decompress_into(self.stored, place).ok(),
            None => None,
        };
        if written == Some(length) {
            Ok(())
        } else {
            out.truncate(start);
            Err(WireError::corrupt("a segment's payload cannot be decompressed"))
        }
    }
}

/// At least so many bytes must arrive before [`Segment::parse`] can say more: the rest of the
/// segment that `input` begins with, as far as its header tells.
pub fn bytes_missing(input: &[u8], mode: SegmentMode) -> usize {
    let header = mode.header_bytes();
    let whole = match input.get(..header) {
        Some(bytes) => {
            let stored = little_endian(bytes) as usize & PAYLOAD_BYTES_MAX;
            header + CRC24_BYTES + stored + TRAILER_BYTES
        }
        None => header + CRC24_BYTES,
    };
    whole.saturating_sub(input.len())
}

fn payload_checksum(payload: &[u8]) -> u32 {
    let mut crc = Crc32::salted(CRC32_SEED);
    crc.update(payload);
    crc.finish()
}

/// Up to eight bytes as a number, the first one lowest.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Wraps whole envelopes, one behind the other, into as few segments as possible.
pub fn wrap_envelopes(envelopes: &[u8], mode: SegmentMode, out: &mut BytesMut) {
    let mut rest = envelopes;
    while !rest.is_empty() {
        let fitting = fitting_bytes(rest);
        if let Some((group, behind)) = rest.split_at_checked(fitting).filter(|_| fitting > 0) {
            put_segment(group, true, mode, out);
            rest = behind;
            continue;
        }
        let large = first_envelope_bytes(rest);
        let (envelope, behind) = rest.split_at_checked(large).unwrap_or((rest, &[]));
        for part in envelope.chunks(PAYLOAD_BYTES_MAX) {
            put_segment(part, false, mode, out);
        }
        rest = behind;
    }
}

/// Bytes of the envelopes at the front that fit into one segment together; zero if the first is
/// too large alone.
fn fitting_bytes(envelopes: &[u8]) -> usize {
    let mut fitting = 0;
    while let Some(rest) = envelopes.get(fitting..).filter(|rest| !rest.is_empty()) {
        let next = fitting + first_envelope_bytes(rest);
        if next > PAYLOAD_BYTES_MAX {
            break;
        }
        fitting = next;
    }
    fitting
}

fn first_envelope_bytes(envelopes: &[u8]) -> usize {
    debug_assert!(envelopes.len() >= HEADER_BYTES);
    let header = FrameHeader::parse(envelopes);
    header.map_or(envelopes.len(), |header| header.frame_bytes().min(envelopes.len()))
}

fn put_segment(payload: &[u8], self_contained: bool, mode: SegmentMode, out: &mut BytesMut) {
    debug_assert!(payload.len() <= PAYLOAD_BYTES_MAX);
    let contained = u64::from(self_contained);
    let length = payload.len() as u64;
    match mode {
        SegmentMode::Plain => put_parts(length | contained << 17, mode, payload, out),
        SegmentMode::Lz4 => {
            let compressed = (payload.len() >= COMPRESS_BYTES_MIN)
                .then(|| lz4_flex::block::compress(payload))
                .filter(|compressed| compressed.len() < payload.len());
            match compressed {
                Some(compressed) => {
                    let bits = compressed.len() as u64 | length << 17 | contained << 34;
                    put_parts(bits, mode, &compressed, out);
                }
                None => put_parts(length | contained << 34, mode, payload, out),
            }
        }
    }
}

fn put_parts(bits: u64, mode: SegmentMode, stored: &[u8], out: &mut BytesMut) {
    out.reserve(mode.header_bytes() + CRC24_BYTES + stored.len() + TRAILER_BYTES);
    let start = out.len();
    for index in 0..mode.header_bytes() {
        out.put_u8((bits >> (8 * index)) as u8);
    }
    let check = crc24(out.get(start..).unwrap_or_default());
    for shift in [0, 8, 16] {
        out.put_u8((check >> shift) as u8);
    }
    out.put_bytes(stored);
    out.put_u32_le(payload_checksum(stored));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Direction, Opcode, begin_frame, end_frame};
    use crate::wire::version::ProtocolVersion;

    const MODES: [SegmentMode; 2] = [SegmentMode::Plain, SegmentMode::Lz4];

    fn envelopes(sizes: &[usize]) -> BytesMut {
        let mut out = BytesMut::new();
        for size in sizes {
            let version = ProtocolVersion::V5;
            let start = begin_frame(&mut out, version, Direction::Request, 1, Opcode::Query);
            out.extend((0..*size).map(|index| (index * index / 7) as u8));
            end_frame(&mut out, start);
        }
        out
    }

    fn unwrap_all(mut wire: &[u8], mode: SegmentMode) -> (BytesMut, Vec<bool>) {
        let mut payload = BytesMut::new();
        let mut contained = Vec::new();
        while !wire.is_empty() {
            let segment = Segment::parse(wire, mode).unwrap().unwrap();
            segment.append_payload(&mut payload).unwrap();
            contained.push(segment.self_contained);
            wire = &wire[segment.wire_bytes..];
        }
        (payload, contained)
    }

    #[test]
    fn envelopes_come_back_in_as_few_segments_as_possible() {
        let sizes = [0, 10, 131_000, 50, 1000, 400_000, 3];
        let plain = envelopes(&sizes);
        for mode in MODES {
            let mut wire = BytesMut::new();
            wrap_envelopes(&plain, mode, &mut wire);
            let (payload, contained) = unwrap_all(&wire, mode);
            assert_eq!(payload, plain);
            assert_eq!(contained, [true, true, false, false, false, false, true]);
        }
    }

    #[test]
    fn a_part_of_a_segment_is_not_one() {
        let plain = envelopes(&[100]);
        for mode in MODES {
            let mut wire = BytesMut::new();
            wrap_envelopes(&plain, mode, &mut wire);
            for cut in 0..wire.len() {
                assert_eq!(Segment::parse(&wire[..cut], mode), Ok(None));
                let missing = bytes_missing(&wire[..cut], mode);
                assert!(missing > 0 && cut + missing <= wire.len());
            }
            assert_eq!(bytes_missing(&wire, mode), 0);
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let plain = envelopes(&[100]);
        for mode in MODES {
            let mut wire = BytesMut::new();
            wrap_envelopes(&plain, mode, &mut wire);
            for bit in 0..wire.len() * 8 {
                let mut damaged = wire.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(Segment::parse(&damaged, mode).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_payload_that_is_not_what_it_says_is_refused() {
        let block = lz4_flex::block::compress(&[7; 1000]);
        for claimed in [1_u64, 999, 1001, PAYLOAD_BYTES_MAX as u64] {
            let mut wire = BytesMut::new();
            let bits = block.len() as u64 | claimed << 17 | 1 << 34;
            put_parts(bits, SegmentMode::Lz4, &block, &mut wire);
            let segment = Segment::parse(&wire, SegmentMode::Lz4).unwrap().unwrap();
            let mut out = BytesMut::from(&b"before"[..]);
            assert!(segment.append_payload(&mut out).is_err(), "{claimed}");
            assert_eq!(&out[..], b"before");
        }
    }

    fn from_hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    /// What another implementation (the Python driver 3.30) makes of these envelopes.
    #[test]
    fn segments_are_those_of_other_implementations() {
        let short = from_hex("050000010700000003616263");
        let mut long = from_hex("0500000107000000c8");
        long.extend([b'a'; 200]);
        let plain = "0c0002d7679f05000001070000000361626318c98536";
        let stored = "0c000000041d525505000001070000000361626318c98536";
        let compressed = "1400a2010421f7b4af0500000107000000c8610100af50616161616134fcae55";
        for (mode, envelope, wire) in [
            (SegmentMode::Plain, &short, plain),
            (SegmentMode::Lz4, &short, stored),
            (SegmentMode::Lz4, &long, compressed),
        ] {
            let wire = from_hex(wire);
            let (payload, contained) = unwrap_all(&wire, mode);
            assert_eq!((&payload[..], contained), (&envelope[..], vec![true]));
            let mut own = BytesMut::new();
            wrap_envelopes(envelope, mode, &mut own);
            // Compressors may differ; headers and plain payloads may not.
            if mode == SegmentMode::Plain || envelope.len() < COMPRESS_BYTES_MIN {
                assert_eq!(own, wire);
            }
        }
    }
}
