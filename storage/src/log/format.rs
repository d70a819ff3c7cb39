//! The bytes of a commit-log segment. All integers are little-endian; a varint is LEB128.
//!
//! A segment file holds the bytes `base..base + capacity` of the endless log: the log position
//! of a byte is `base` plus its offset in the file.
//!
//! ```text
//! segment header, 64 bytes, at offset 0
//!    0   8  magic "HELENLOG"
//!    8   4  u32 format version, 1
//!   12  16  unique random id of this segment
//!   28   8  u64 base: log position of offset 0
//!   36   8  u64 capacity: bytes of log that the segment may hold, this header included
//!   44   8  i64 microseconds since the Unix epoch when the header was written
//!   52   8  u64 base of the segment that came before in the log; its own base if there was none
//!   60   4  u32 CRC-32 of bytes 0..60
//!
//! groups, one after another from offset 64; each is
//! group header, 32 bytes
//!    0   4  u32 CRC-32 of the salt (big-endian) and bytes 4..32
//!    4   4  u32 bytes of records that follow
//!    8   8  u64 log position of this header
//!   16   8  u64 durable position when the group was closed: all log before it is on the platter
//!   24   4  u32 number of records that follow
//!   28   4  u32 flags: 1 = SEAL, the segment ends here; a seal has no records
//! records, one after another; each is
//!    0   4  u32 CRC-32 of bytes 4.., xor the salt, xor the low half of the record's position
//!    4   4  u32 bytes that follow
//!    8   .  varint number of table ids, then each as a varint
//!    .   .  varint number of mutations, then each as a varint length and its bytes
//! ```
//!
//! The salt is the CRC-32 of the segment's id, so bytes left by an earlier life of a reused file
//! never pass. What follows the last group is not part of the log, whatever it holds.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::checksum::{Crc32, crc32, crc32_salted};
use helenus_platform::codec::{CodecError, Put, Reader, varint_len};

use crate::model::TableId;

/// First bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"HELENLOG";
/// The one format there is.
pub(crate) const VERSION: u32 = 1;
/// Bytes of a segment header.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
/// Bytes of a group header.
pub(crate) const GROUP_HEADER_BYTES: usize = 32;
/// Bytes of a record before its tables and mutations.
pub(crate) const RECORD_HEADER_BYTES: usize = 8;
/// Flag of a group header: the segment ends here.
const FLAG_SEAL: u32 = 1;

/// The head of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: [u8; 16],
    pub(crate) base: u64,
    pub(crate) capacity: u64,
    pub(crate) created_micros: i64,
    /// Base of the segment before, `base` if there was none.
    pub(crate) previous: u64,
}

/// Why the head of a segment was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// Written by a newer version of the format.
    Newer(u32),
    /// Not what a segment begins with.
    Damaged(&'static str),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        out.put_bytes(&MAGIC);
        out.put_u32_le(VERSION);
        out.put_bytes(&self.id);
        out.put_u64_le(self.base);
        out.put_u64_le(self.capacity);
        out.put_i64_le(self.created_micros);
        out.put_u64_le(self.previous);
        let crc = crc32(&out);
        out.put_u32_le(crc);
        debug_assert_eq!(out.len(), SEGMENT_HEADER_BYTES);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let short = |_| HeaderError::Damaged("the file is shorter than a segment header");
        let mut reader = Reader::new(bytes);
        let head = reader.bytes(SEGMENT_HEADER_BYTES).map_err(short)?;
        let mut reader = Reader::new(head);
        let checked = reader.bytes(SEGMENT_HEADER_BYTES - 4).map_err(short)?;
        let crc = reader.u32_le().map_err(short)?;
        let mut reader = Reader::new(checked);
        if reader.bytes(MAGIC.len()).map_err(short)? != MAGIC {
            return Err(HeaderError::Damaged("the file does not begin as a segment does"));
        }
        // The version comes before the checksum: a newer format may keep its own elsewhere.
        let version = reader.u32_le().map_err(short)?;
        if crc32(checked) != crc && version <= VERSION {
            return Err(HeaderError::Damaged("the segment header fails its checksum"));
        }
        if version != VERSION {
            return Err(HeaderError::Newer(version));
        }
        let mut id = [0; 16];
        id.copy_from_slice(reader.bytes(16).map_err(short)?);
        Ok(SegmentHeader {
            id,
            base: reader.u64_le().map_err(short)?,
            capacity: reader.u64_le().map_err(short)?,
            created_micros: reader.i64_le().map_err(short)?,
            previous: reader.u64_le().map_err(short)?,
        })
    }

    pub(crate) fn salt(&self) -> u32 {
        crc32(&self.id)
    }
}

/// The head of a group: records that were written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    /// Bytes of records that follow.
    pub(crate) length: u32,
    /// Log position of this header.
    pub(crate) position: u64,
    /// All log before this position was on the platter when the group was closed.
    pub(crate) durable: u64,
    pub(crate) records: u32,
    /// Whether the segment ends here.
    pub(crate) seal: bool,
}

impl GroupHeader {
    pub(crate) fn encode(&self, salt: u32) -> [u8; GROUP_HEADER_BYTES] {
        let mut rest = Vec::with_capacity(GROUP_HEADER_BYTES - 4);
        rest.put_u32_le(self.length);
        rest.put_u64_le(self.position);
        rest.put_u64_le(self.durable);
        rest.put_u32_le(self.records);
        rest.put_u32_le(if self.seal { FLAG_SEAL } else { 0 });
        let mut all = Vec::with_capacity(GROUP_HEADER_BYTES);
        all.put_u32_le(crc32_salted(salt, &rest));
        all.put_bytes(&rest);
        let mut out = [0; GROUP_HEADER_BYTES];
        out.copy_from_slice(&all);
        out
    }

    /// The header at the start of `bytes`, which stand at `position` of the log.
    pub(crate) fn decode(bytes: &[u8], salt: u32, position: u64) -> Result<Self, &'static str> {
        Self::parse(bytes, salt, position).unwrap_or(Err("the log ends inside a group header"))
    }

    fn parse(
        bytes: &[u8],
        salt: u32,
        position: u64,
    ) -> Result<Result<Self, &'static str>, CodecError> {
        let mut reader = Reader::new(Reader::new(bytes).bytes(GROUP_HEADER_BYTES)?);
        let crc = reader.u32_le()?;
        let rest = reader.rest();
        let length = reader.u32_le()?;
        let found = reader.u64_le()?;
        let durable = reader.u64_le()?;
        let records = reader.u32_le()?;
        let flags = reader.u32_le()?;
        // Cheap and telling: this is what a scan for intact headers fails on, byte after byte.
        if found != position {
            return Ok(Err("no group header stands here"));
        }
        if crc32_salted(salt, rest) != crc {
            return Ok(Err("the group header fails its checksum"));
        }
        let seal = flags == FLAG_SEAL;
        if !seal && flags != 0 || durable > position || seal && (length, records) != (0, 0) {
            return Ok(Err("the group header contradicts itself"));
        }
        Ok(Ok(GroupHeader { length, position, durable, records, seal }))
    }
}

/// The bytes of a record before its first mutation, built without knowing where it will stand.
///
/// Everything that costs time (checksum, lengths) happens here, outside the log's lock.
pub(crate) struct RecordHead {
    /// Bytes 4.. of the record up to the first mutation's length.
    bytes: Vec<u8>,
    crc: u32,
    /// Bytes of the whole record.
    size: usize,
}

impl RecordHead {
    pub(crate) fn new(mutations: &[&[u8]], tables: &[TableId]) -> Self {
        let varints =
            |ids: &[TableId]| ids.iter().map(|id| varint_len(u64::from(id.0))).sum::<usize>();
        let framed = |mutation: &&[u8]| varint_len(mutation.len() as u64) + mutation.len();
        let length = varint_len(tables.len() as u64)
            + varints(tables)
            + varint_len(mutations.len() as u64)
            + mutations.iter().map(framed).sum::<usize>();
        let mut head = Vec::with_capacity(32);
        // The caller has checked the mutations against the largest record.
        head.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
        head.put_varint(tables.len() as u64);
        for table in tables {
            head.put_varint(u64::from(table.0));
        }
        head.put_varint(mutations.len() as u64);
        let mut crc = Crc32::new();
        // The last length goes into the checksum together with what stands before it.
        let mut unhashed = 0;
        let heads_end = head.len();
        for mutation in mutations {
            head.put_varint(mutation.len() as u64);
            crc.update(head.get(unhashed..).unwrap_or_default());
            crc.update(mutation);
            head.truncate(heads_end);
            unhashed = heads_end;
        }
        if mutations.is_empty() {
            crc.update(&head);
        }
        RecordHead { bytes: head, crc: crc.finish(), size: RECORD_HEADER_BYTES + length }
    }

    /// Bytes of the whole record.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Appends the record, which will stand at `position` of a segment with this salt.
    pub(crate) fn write(&self, mutations: &[&[u8]], salt: u32, position: u64, out: &mut Vec<u8>) {
        out.put_u32_le(self.crc ^ salt ^ position as u32);
        out.put_bytes(&self.bytes);
        for mutation in mutations {
            out.put_bytes_varint(mutation);
        }
    }
}

/// A record as it stands in memory; checked in full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RecordRef<'a> {
    pub(crate) tables: Vec<TableId>,
    pub(crate) mutations: Vec<&'a [u8]>,
    /// Bytes of the whole record.
    pub(crate) size: usize,
}

impl<'a> RecordRef<'a> {
    /// The record at the start of `bytes`, which stand at `position` of the log.
    pub(crate) fn decode(bytes: &'a [u8], salt: u32, position: u64) -> Result<Self, &'static str> {
        let mut reader = Reader::new(bytes);
        let ends = |_| "the group ends inside a record";
        let stored = reader.u32_le().map_err(ends)?;
        let checked = reader.rest();
        let length = reader.u32_le().map_err(ends)? as usize;
        let body = reader.bytes(length).map_err(ends)?;
        let checked = checked.get(..4 + length).unwrap_or_default();
        if crc32(checked) ^ salt ^ position as u32 != stored {
            return Err("the record fails its checksum");
        }
        let layout = |_: CodecError| "the record breaks its layout";
        let mut reader = Reader::new(body);
        let mut tables = Vec::new();
        for _ in 0..reader.varint().map_err(layout)? {
            let id = u32::try_from(reader.varint().map_err(layout)?);
            tables.push(TableId(id.map_err(|_| "a table id is over 32 bits")?));
        }
        let mut mutations = Vec::new();
        for _ in 0..reader.varint().map_err(layout)? {
            mutations.push(reader.bytes_varint(body.len()).map_err(layout)?);
        }
        if !reader.is_empty() {
            return Err("the record is longer than its mutations");
        }
        Ok(RecordRef { tables, mutations, size: RECORD_HEADER_BYTES + length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        let (base, previous) = (1 << 40, 1 << 39);
        SegmentHeader { id: [7; 16], base, capacity: 4096, created_micros: -3, previous }
    }

    #[test]
    fn a_segment_header_comes_back_and_notices_every_bit() {
        let bytes = header().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&wrong).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(SegmentHeader::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderError::Newer(2)));
    }

    #[test]
    fn a_group_header_comes_back_and_notices_every_bit() {
        let group = GroupHeader { length: 9, position: 700, durable: 600, records: 2, seal: false };
        let bytes = group.encode(5);
        assert_eq!(GroupHeader::decode(&bytes, 5, 700), Ok(group));
        assert!(GroupHeader::decode(&bytes, 6, 700).is_err(), "another salt");
        assert!(GroupHeader::decode(&bytes, 5, 701).is_err(), "another place");
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(GroupHeader::decode(&wrong, 5, 700).is_err(), "bit {bit}");
        }
        let future = GroupHeader { durable: 701, ..group }.encode(5);
        assert!(GroupHeader::decode(&future, 5, 700).is_err());
    }

    #[test]
    fn a_record_comes_back_and_notices_every_bit() {
        let mutations: [&[u8]; 3] = [b"one", b"", &[0xff; 200]];
        let tables = [TableId(3), TableId(u32::MAX)];
        let head = RecordHead::new(&mutations, &tables);
        let mut bytes = Vec::new();
        head.write(&mutations, 5, 1 << 33, &mut bytes);
        assert_eq!(bytes.len(), head.size());
        bytes.extend_from_slice(b"more");
        let record = RecordRef::decode(&bytes, 5, 1 << 33).unwrap();
        assert_eq!((&record.tables[..], &record.mutations[..]), (&tables[..], &mutations[..]));
        assert_eq!(record.size, head.size());
        assert!(RecordRef::decode(&bytes, 4, 1 << 33).is_err(), "another salt");
        assert!(RecordRef::decode(&bytes, 5, (1 << 33) + 1).is_err(), "another place");
        for bit in 0..head.size() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(RecordRef::decode(&wrong, 5, 1 << 33).is_err(), "bit {bit}");
        }
        for cut in 0..head.size() {
            assert!(RecordRef::decode(&bytes[..cut], 5, 1 << 33).is_err());
        }
    }

    #[test]
    fn counts_that_the_bytes_cannot_hold_are_refused() {
        let mut body = Vec::new();
        body.put_varint(u64::MAX);
        let mut checked = Vec::new();
        checked.put_u32_le(body.len() as u32);
        checked.put_bytes(&body);
        let mut bytes = Vec::new();
        bytes.put_u32_le(crc32(&checked));
        bytes.put_bytes(&checked);
        assert_eq!(RecordRef::decode(&bytes, 0, 0), Err("the record breaks its layout"));
    }
}
