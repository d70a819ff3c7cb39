//! Where a page ended: a paging state travels to the client and back, so it is a format, and it
//! is not trusted.
//!
//! ```text
//! u8      version: 1
//! varint  table id
//! u64 LE  fingerprint of the query: the first eight bytes of the MD5 of its text
//! u8      flags: 01 a position follows, 02 a limit is left
//! varint  length, bytes: the partition key of the last row
//! if 01:  varint length, bytes: the position of the last row; else its partition is finished
//! if 02:  varint: rows that LIMIT still allows
//! varint  rows of that partition in earlier pages, for PER PARTITION LIMIT
//! u32 LE  CRC-32 of all before, salted with "page"
//! ```
//!
//! It names no node and no file, so any node can go on with it.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::checksum::crc32_salted;
use helenus_platform::codec::{CodecError, Put, Reader};
use helenus_storage::model::{MAX_KEY_BYTES, TableId};

use crate::error::{Error, Result};

const VERSION: u8 = 1;
const SALT: u32 = 0x7061_6765;
const HAS_POSITION: u8 = 1;
const HAS_LIMIT: u8 = 2;
/// A clustering key is at most as long as its components, each below 64 KiB as in Cassandra, but
/// escaped; no honest position comes near this.
const POSITION_BYTES_MAX: usize = 16 << 20;

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PagingState {
    /// The table that is read.
    pub(crate) table: TableId,
    /// Which query it belongs to.
    pub(crate) query: u64,
    /// The partition of the last row.
    pub(crate) key: Vec<u8>,
    /// The last row; none: the partition is finished.
    pub(crate) position: Option<Vec<u8>>,
    /// Rows that LIMIT still allows.
    pub(crate) limit_left: Option<u64>,
    /// Rows of the partition in earlier pages.
    pub(crate) rows_told: u32,
}

impl PagingState {
    /// The bytes for the client.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.key.len());
        out.put_u8(VERSION);
        out.put_varint(u64::from(self.table.0));
        out.put_u64_le(self.query);
        let position = if self.position.is_some() { HAS_POSITION } else { 0 };
        let limit = if self.limit_left.is_some() { HAS_LIMIT } else { 0 };
        out.put_u8(position | limit);
        out.put_bytes_varint(&self.key);
        if let Some(position) = &self.position {
            out.put_bytes_varint(position);
        }
        if let Some(limit) = self.limit_left {
            out.put_varint(limit);
        }
        out.put_varint(u64::from(self.rows_told));
        let checksum = crc32_salted(SALT, &out);
        out.put_u32_le(checksum);
        out
    }

    /// Reads what a client sent for this query.
    pub(crate) fn decode(bytes: &[u8], table: TableId, query: u64) -> Result<PagingState> {
        let invalid = || Error::protocol("Invalid value for the paging state");
        let Some((body, checksum)) = bytes.split_last_chunk::<4>() else { return Err(invalid()) };
        if Reader::new(checksum).u32_le() != Ok(crc32_salted(SALT, body)) {
            return Err(invalid());
        }
        let state = Self::read(body).map_err(|_| invalid())?;
        if state.table != table || state.query != query {
            return Err(Error::protocol(
                "Invalid value for the paging state: it belongs to another query",
            ));
        }
        Ok(state)
    }

    fn read(body: &[u8]) -> std::result::Result<PagingState, CodecError> {
        let mut reader = Reader::new(body);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(reader.error("a known version"));
        }
        let table = u32::try_from(reader.varint()?).map_err(|_| reader.error("a table id"))?;
        let query = reader.u64_le()?;
        let flags = reader.u8()?;
        let key = reader.bytes_varint(MAX_KEY_BYTES)?.to_vec();
        let position = match flags & HAS_POSITION {
            0 => None,
            _ => Some(reader.bytes_varint(POSITION_BYTES_MAX)?.to_vec()),
        };
        let limit_left = if flags & HAS_LIMIT == 0 { None } else { Some(reader.varint()?) };
        let rows_told = u32::try_from(reader.varint()?).map_err(|_| reader.error("a count"))?;
        if !reader.is_empty() || flags & !(HAS_POSITION | HAS_LIMIT) != 0 {
            return Err(reader.error("the end of a paging state"));
        }
        let table = TableId(table);
        Ok(PagingState { table, query, key, position, limit_left, rows_told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> PagingState {
        PagingState {
            table: TableId(1030),
            query: 0x0123_4567_89ab_cdef,
            key: b"key".to_vec(),
            position: Some(vec![0x30, 1, 2, 0x80]),
            limit_left: Some(300),
            rows_told: 7,
        }
    }

    #[test]
    fn a_state_comes_back_and_belongs_to_its_query() {
        let state = sample();
        let bytes = state.encode();
        assert_eq!(PagingState::decode(&bytes, state.table, state.query).unwrap(), state);
        assert!(PagingState::decode(&bytes, TableId(1), state.query).is_err());
        assert!(PagingState::decode(&bytes, state.table, 5).is_err());
        let bare = PagingState { position: None, limit_left: None, ..sample() };
        assert_eq!(PagingState::decode(&bare.encode(), bare.table, bare.query).unwrap(), bare);
    }

    #[test]
    fn a_damaged_state_is_refused() {
        let state = sample();
        let bytes = state.encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(PagingState::decode(&damaged, state.table, state.query).is_err());
            }
            assert!(PagingState::decode(&bytes[..at], state.table, state.query).is_err());
        }
    }
}
