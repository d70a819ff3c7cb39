//! How a block stands in the file: kind, compression, length, checksum.
//!
//! ```text
//! 0      1  kind << 4 | codec     kind 1 = data, 2 = index; codec 0 = none, 1 = LZ4 block format
//! 1      4  content length, little-endian: bytes after decompression
//! 5      n  the content, compressed if the codec says so
//! 5 + n  4  CRC-32, little-endian, of everything before it, salted
//! ```
//!
//! The salt is the CRC-32 of the table's 16-byte id and the block's offset in the file (8 bytes,
//! big-endian); `crc32_salted` puts it before the bytes. So a block that was moved, swapped or
//! left over from another file does not pass. The stored length stands in the index, not here.
//! A block is compressed only where that saves at least a sixteenth of it.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::sync::Arc;

use helenus_platform::checksum::{crc32, crc32_salted};
use helenus_platform::codec::{CodecError, Put, Reader};

use crate::model::SsTableId;
use crate::options::Compression;

/// Bytes around the content.
pub(crate) const FRAME_BYTES: usize = 9;
const HEAD_BYTES: usize = 5;
/// The largest content of a block: one row can fill a block alone.
pub(crate) const CONTENT_BYTES_MAX: usize = 512 << 20;
/// LZ4 cannot expand further than this: one length byte stands for at most 255 bytes.
const LZ4_RATIO_MAX: usize = 255;

/// The number by which a compression is written.
pub(crate) fn compression_tag(compression: Compression) -> u8 {
    match compression {
        Compression::None => 0,
        Compression::Lz4 => 1,
    }
}

/// The compression of this number.
pub(crate) fn compression_of(tag: u8) -> Option<Compression> {
    match tag {
        0 => Some(Compression::None),
        1 => Some(Compression::Lz4),
        _ => None,
    }
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlockKind {
    /// Partitions and rows.
    Data = 1,
    /// Separators of data blocks.
    Index = 2,
}

/// The salt of the checksum of whatever begins at this offset of this table's file.
pub(crate) fn salt(id: &SsTableId, offset: u64) -> u32 {
    let mut place = [0; 24];
    let offset = [56, 48, 40, 32, 24, 16, 8, 0].map(|shift| (offset >> shift) as u8);
    for (to, from) in place.iter_mut().zip(id.0.iter().chain(&offset)) {
        *to = *from;
    }
    crc32(&place)
}

/// Appends a block that will stand at `offset`.
pub(crate) fn put(
    out: &mut Vec<u8>,
    id: &SsTableId,
    offset: u64,
    kind: BlockKind,
    compression: Compression,
    content: &[u8],
) {
    debug_assert!(content.len() <= CONTENT_BYTES_MAX);
    let start = out.len();
    out.put_u8((kind as u8) << 4 | compression_tag(compression));
    out.put_u32_le(content.len() as u32);
    if compression == Compression::None || !put_compressed(out, content) {
        if let Some(tag) = out.get_mut(start) {
            *tag = (kind as u8) << 4;
        }
        out.put_bytes(content);
    }
    let crc = crc32_salted(salt(id, offset), out.get(start..).unwrap_or_default());
    out.put_u32_le(crc);
}

/// Appends the compressed content; false, and nothing is appended, if it would not shrink enough.
fn put_compressed(out: &mut Vec<u8>, content: &[u8]) -> bool {
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(content.len()), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let length = lz4_flex::block::compress_into(content, room).unwrap_or(usize::MAX);
    let shrunk = length < content.len() - content.len() / 16;
    out.truncate(if shrunk { start + length } else { start });
    shrunk
}

/// The content of a block that was stored at `offset`.
pub(crate) fn decode(
    stored: &[u8],
    id: &SsTableId,
    offset: u64,
) -> Result<(BlockKind, Arc<[u8]>), CodecError> {
    let error = |what| CodecError { offset: 0, what };
    let (framed, crc) = stored.split_last_chunk::<4>().ok_or(error("block frame"))?;
    if Reader::new(crc).u32_le()? != crc32_salted(salt(id, offset), framed) {
        return Err(error("block: its checksum does not match"));
    }
    let mut reader = Reader::new(framed);
    let tag = reader.u8()?;
    let kind = match tag >> 4 {
        1 => BlockKind::Data,
        2 => BlockKind::Index,
        _ => return Err(error("block kind")),
    };
    let compression = compression_of(tag & 0x0f).ok_or(error("block compression"))?;
    let length = reader.u32_le()? as usize;
    let payload = reader.rest();
    debug_assert_eq!(reader.position(), HEAD_BYTES);
    if length > CONTENT_BYTES_MAX {
        return Err(error("block content length over the limit"));
    }
    if compression == Compression::None {
        let fits = payload.len() == length;
        return fits.then(|| (kind, Arc::from(payload))).ok_or(error("block content length"));
    }
    if length > payload.len().saturating_mul(LZ4_RATIO_MAX) {
        return Err(error("block content length beyond what LZ4 can expand to"));
    }
    let mut content: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
    let room = Arc::get_mut(&mut content).unwrap_or_default();
    match lz4_flex::block::decompress_into(payload, room) {
        Ok(written) if written == length => Ok((kind, content)),
        _ => Err(error("LZ4 content of a block")),
    }
}

#[cfg(test)]
mod tests {
    use helenus_platform::random::{Random, SeededRandom};

    use super::*;

    const ID: SsTableId = SsTableId([7; 16]);

    fn framed(compression: Compression, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, &ID, 4096, BlockKind::Data, compression, content);
        out
    }

    #[test]
    fn content_comes_back_and_is_compressed_only_if_that_pays() {
        let mut random = vec![0; 1000];
        SeededRandom::new(1).fill(&mut random);
        for (content, stored_tag) in [(vec![5; 1000], 0x11), (random, 0x10), (Vec::new(), 0x10)] {
            let out = framed(Compression::Lz4, &content);
            assert_eq!(out[0], stored_tag);
            let (kind, back) = decode(&out, &ID, 4096).unwrap();
            assert_eq!((kind, &back[..]), (BlockKind::Data, &content[..]));
        }
        assert_eq!(framed(Compression::None, &[5; 1000]).len(), 1000 + FRAME_BYTES);
    }

    #[test]
    fn every_flipped_bit_and_every_other_place_is_noticed() {
        for compression in [Compression::None, Compression::Lz4] {
            let out = framed(compression, b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
            for bit in 0..out.len() * 8 {
                let mut wrong = out.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&wrong, &ID, 4096).is_err(), "bit {bit}");
            }
            assert!(decode(&out, &ID, 4097).is_err());
            assert!(decode(&out, &SsTableId([8; 16]), 4096).is_err());
            for cut in 0..out.len() {
                assert!(decode(&out[..cut], &ID, 4096).is_err());
            }
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_anything_is_allocated() {
        let mut bomb = vec![0x11];
        bomb.put_u32_le(CONTENT_BYTES_MAX as u32);
        bomb.put_bytes(&[0; 100]);
        let crc = crc32_salted(salt(&ID, 0), &bomb);
        bomb.put_u32_le(crc);
        assert!(decode(&bomb, &ID, 0).unwrap_err().what.contains("LZ4 can expand"));
    }
}
