//! The header at the start of the file: what the table is and where it came from.
//!
//! ```text
//! 0    8  magic: "HelenusT"
//! 8    4  format version, u32 LE: 1
//! 12   4  header length, u32 LE: everything up to and with the checksum
//! 16  16  globally unique id of this table; the file's name is its hexadecimal form
//! 32  16  host that first wrote the data
//! 48   4  table id, u32 LE
//! 52   1  compression of the blocks: 0 none, 1 LZ4
//! 53   3  must be zero
//! 56   4  level, u32 LE, as compaction uses it
//! 60   8  repaired at, u64 LE: milliseconds since the epoch; 0 = not repaired
//! 68  16  pending repair session; zero = none
//! 84   4  length of the encryption header, u32 LE: must be 0 in version 1
//! 88   4  number of log intervals, u32 LE
//! 92  16  per interval: start and end position in the originating host's log, u64 LE each
//! ..   4  CRC-32 LE of everything before it
//! ```
//!
//! The magic, the version and their places are the same in every version, and so is the footer.
//! The header is written before the data and never changes; if a table is repaired later, the
//! manifest says so.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::checksum::crc32;
use helenus_platform::codec::{CodecError, Put, Reader};

use super::frame::{compression_of, compression_tag};
use crate::model::{LogPosition, SsTableId, TableId};
use crate::options::Compression;

/// The first eight bytes of every SSTable.
pub(crate) const MAGIC: &[u8; 8] = b"HelenusT";
/// The format that this code writes, and the only one it reads.
pub(crate) const VERSION: u32 = 1;
/// Bytes before the log intervals.
pub(crate) const FIXED_BYTES: usize = 92;
/// Most log intervals of one table.
pub(crate) const LOG_INTERVALS_MAX: usize = 1 << 16;
/// Bytes that tell how long the header is.
pub(crate) const LENGTH_KNOWN_BYTES: usize = 16;

/// What an SSTable is and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its unique name.
    pub id: SsTableId,
    /// Host that first wrote the data.
    pub origin: [u8; 16],
    /// The table whose data it holds.
    pub table: TableId,
    /// How its blocks are compressed.
    pub compression: Compression,
    /// The level that compaction gave it.
    pub level: u32,
    /// Milliseconds since the epoch; 0 if it was not repaired when it was written.
    pub repaired_at: u64,
    /// The repair session that it was written for, if any.
    pub pending_session: Option<[u8; 16]>,
    /// The parts of the originating host's log whose writes it holds, `start <= p < end`.
    pub log_intervals: Vec<(LogPosition, LogPosition)>,
}

impl Header {
    /// The header's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = FIXED_BYTES + self.log_intervals.len() * 16 + 4;
        let mut out = Vec::with_capacity(length);
        out.put_bytes(MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(length as u32);
        out.put_bytes(&self.id.0);
        out.put_bytes(&self.origin);
        out.put_u32_le(self.table.0);
        out.put_u8(compression_tag(self.compression));
        out.put_bytes(&[0; 3]);
        out.put_u32_le(self.level);
        out.put_u64_le(self.repaired_at);
        out.put_bytes(&self.pending_session.unwrap_or_default());
        out.put_u32_le(0);
        out.put_u32_le(self.log_intervals.len() as u32);
        for (start, end) in &self.log_intervals {
            out.put_u64_le(start.0);
            out.put_u64_le(end.0);
        }
        let crc = crc32(&out);
        out.put_u32_le(crc);
        out
    }

    /// The length of the header, from its first [`LENGTH_KNOWN_BYTES`] bytes.
    pub(crate) fn length(start: &[u8]) -> Result<usize, CodecError> {
        let mut reader = Reader::new(start);
        reader.skip(12)?;
        let length = reader.clone().u32_le()? as usize;
        let range = FIXED_BYTES + 4..=FIXED_BYTES + 4 + LOG_INTERVALS_MAX * 16;
        if range.contains(&length) { Ok(length) } else { Err(reader.error("header length")) }
    }

    /// Reads a header of exactly these bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, CodecError> {
        let error = |offset, what| CodecError { offset, what };
        let (content, crc) = bytes.split_last_chunk::<4>().ok_or(error(0, "header"))?;
        if Reader::new(crc).u32_le()? != crc32(content) {
            return Err(error(0, "header: its checksum does not match"));
        }
        let mut reader = Reader::new(content);
        if reader.bytes(8)? != MAGIC || reader.u32_le()? != VERSION {
            return Err(error(0, "magic and version of the header"));
        }
        if reader.u32_le()? as usize != bytes.len() {
            return Err(error(12, "header length"));
        }
        let id = SsTableId(id_bytes(&mut reader)?);
        let origin = id_bytes(&mut reader)?;
        let table = TableId(reader.u32_le()?);
        let compression = compression_of(reader.u8()?);
        if reader.bytes(3)? != [0; 3] {
            return Err(error(53, "reserved bytes of the header"));
        }
        let level = reader.u32_le()?;
        let repaired_at = reader.u64_le()?;
        let session = id_bytes(&mut reader)?;
        if reader.u32_le()? != 0 {
            return Err(error(84, "encryption header: this version has none"));
        }
        let count = reader.u32_le()? as usize;
        if count > LOG_INTERVALS_MAX || reader.remaining() != count * 16 {
            return Err(error(88, "number of log intervals"));
        }
        let mut log_intervals = Vec::with_capacity(count);
        for _ in 0..count {
            log_intervals.push((LogPosition(reader.u64_le()?), LogPosition(reader.u64_le()?)));
        }
        Ok(Header {
            id,
            origin,
            table,
            compression: compression.ok_or(error(52, "compression"))?,
            level,
            repaired_at,
            pending_session: (session != [0; 16]).then_some(session),
            log_intervals,
        })
    }
}

/// Sixteen bytes that name something.
pub(crate) fn id_bytes(reader: &mut Reader<'_>) -> Result<[u8; 16], CodecError> {
    let error = reader.error("16-byte id");
    reader.bytes(16)?.first_chunk().copied().ok_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_is_noticed() {
        let header = Header {
            id: SsTableId([1; 16]),
            origin: [2; 16],
            table: TableId(77),
            compression: Compression::Lz4,
            level: 3,
            repaired_at: 1_700_000_000_000,
            pending_session: Some([9; 16]),
            log_intervals: vec![
                (LogPosition(5), LogPosition(500)),
                (LogPosition(900), LogPosition(u64::MAX)),
            ],
        };
        let bytes = header.encode();
        assert_eq!(Header::length(&bytes), Ok(bytes.len()));
        assert_eq!(Header::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&wrong).is_err());
        }
    }
}
