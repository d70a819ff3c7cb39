//! What is known about a table without reading its data. Written and read here.
//!
//! ```text
//! section `stats` := u64 LE each: partitions, rows, static rows, cells, partition deletions,
//!                      range markers, row deletions, column deletions, cell tombstones,
//!                      expiring cells, counter cells, content bytes
//!                    i64 LE each: min timestamp, max timestamp,
//!                      min local deletion time, max local deletion time
//!                    varint bytes of the largest row, varint bytes of the largest partition
//!                    u8 1 if there is a partition:
//!                      first key: token (8 bytes, biased big-endian), varint length, key
//!                      last key: likewise
//!                    u8 1 if there is a row or a marker:
//!                      varint length, lowest position; varint length, highest position
//!                    histogram of drop times (see `histogram`)
//! ```
//!
//! "Local deletion time" covers tombstones and expiries, in seconds; anything that lives for ever
//! counts as `i64::MAX` there, so a table whose maximum has passed holds nothing but garbage.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{CodecError, Put, Reader};

use super::composite::{put_token, read_token};
use super::histogram::DropTimes;
use crate::model::{MAX_KEY_BYTES, PartitionKey, Slice};

/// What is known about a table without reading its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Partitions; each has its own key, so this is also the number of keys.
    pub partitions: u64,
    /// Clustered rows, deleted ones included.
    pub rows: u64,
    /// Partitions with a static row.
    pub static_rows: u64,
    /// Cells of clustered and static rows, tombstones included.
    pub cells: u64,
    /// Partitions with a partition deletion.
    pub partition_deletions: u64,
    /// Range deletion markers.
    pub markers: u64,
    /// Rows with a row deletion.
    pub row_deletions: u64,
    /// Deletions of whole multi-cell columns.
    pub column_deletions: u64,
    /// Cell tombstones.
    pub cell_tombstones: u64,
    /// Cells and rows that expire.
    pub expiring: u64,
    /// Counter cells.
    pub counters: u64,
    /// Bytes of data blocks before compression.
    pub content_bytes: u64,
    /// Lowest timestamp of anything, microseconds; `i64::MAX` if there is nothing.
    pub min_timestamp: i64,
    /// Highest timestamp of anything, microseconds; `i64::MIN` if there is nothing.
    pub max_timestamp: i64,
    /// Earliest deletion or expiry, seconds; `i64::MAX` if there is none.
    pub min_local_deletion_time: i64,
    /// Latest deletion or expiry, seconds; `i64::MAX` if anything lives for ever.
    pub max_local_deletion_time: i64,
    /// Bytes of the largest row.
    pub largest_row_bytes: u64,
    /// Bytes of the largest partition: its rows and their positions.
    pub largest_partition_bytes: u64,
    /// First and last partition key.
    pub keys: Option<(PartitionKey, PartitionKey)>,
    /// Lowest and highest position of a row or marker in any partition.
    pub positions: Option<(Slice, Slice)>,
    /// When tombstones and expiring cells may be dropped, grace time not counted.
    pub drop_times: DropTimes,
}

impl Stats {
    /// Deletions of every kind: of partitions, ranges, rows, columns and cells.
    pub fn tombstones(&self) -> u64 {
        [self.markers, self.row_deletions, self.column_deletions, self.cell_tombstones]
            .iter()
            .fold(self.partition_deletions, |sum, count| sum.saturating_add(*count))
    }

    fn counts(&mut self) -> [&mut u64; 12] {
        [
            &mut self.partitions,
            &mut self.rows,
            &mut self.static_rows,
            &mut self.cells,
            &mut self.partition_deletions,
            &mut self.markers,
            &mut self.row_deletions,
            &mut self.column_deletions,
            &mut self.cell_tombstones,
            &mut self.expiring,
            &mut self.counters,
            &mut self.content_bytes,
        ]
    }

    fn times(&mut self) -> [&mut i64; 4] {
        [
            &mut self.min_timestamp,
            &mut self.max_timestamp,
            &mut self.min_local_deletion_time,
            &mut self.max_local_deletion_time,
        ]
    }

    /// Appends the section.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut copy = self.clone();
        copy.counts().iter().for_each(|count| out.put_u64_le(**count));
        copy.times().iter().for_each(|time| out.put_i64_le(**time));
        out.put_varint(self.largest_row_bytes);
        out.put_varint(self.largest_partition_bytes);
        out.put_u8(u8::from(self.keys.is_some()));
        if let Some((first, last)) = &self.keys {
            for key in [first, last] {
                put_token(out, key.token);
                out.put_bytes_varint(&key.key);
            }
        }
        out.put_u8(u8::from(self.positions.is_some()));
        if let Some((lowest, highest)) = &self.positions {
            out.put_bytes_varint(lowest);
            out.put_bytes_varint(highest);
        }
        self.drop_times.encode(out);
    }

    /// Reads the section.
    pub(crate) fn decode(section: &[u8]) -> Result<Stats, CodecError> {
        let mut reader = Reader::new(section);
        let mut stats = Stats::default();
        for count in stats.counts() {
            *count = reader.u64_le()?;
        }
        for time in stats.times() {
            *time = reader.i64_le()?;
        }
        stats.largest_row_bytes = reader.varint()?;
        stats.largest_partition_bytes = reader.varint()?;
        if present(&mut reader)? {
            stats.keys = Some((read_key(&mut reader)?, read_key(&mut reader)?));
        }
        if present(&mut reader)? {
            let mut position = || reader.bytes_varint(usize::MAX).map(Slice::copy);
            stats.positions = Some((position()?, position()?));
        }
        stats.drop_times = DropTimes::decode(&mut reader)?;
        if reader.is_empty() { Ok(stats) } else { Err(reader.error("end of the statistics")) }
    }
}

fn present(reader: &mut Reader<'_>) -> Result<bool, CodecError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.error("presence byte of the statistics")),
    }
}

fn read_key(reader: &mut Reader<'_>) -> Result<PartitionKey, CodecError> {
    let token = read_token(reader)?;
    let key = Slice::copy(reader.bytes_varint(MAX_KEY_BYTES)?);
    Ok(PartitionKey { token, key })
}

/// Of a table without data.
impl Default for Stats {
    fn default() -> Stats {
        Stats {
            partitions: 0,
            rows: 0,
            static_rows: 0,
            cells: 0,
            partition_deletions: 0,
            markers: 0,
            row_deletions: 0,
            column_deletions: 0,
            cell_tombstones: 0,
            expiring: 0,
            counters: 0,
            content_bytes: 0,
            min_timestamp: i64::MAX,
            max_timestamp: i64::MIN,
            min_local_deletion_time: i64::MAX,
            max_local_deletion_time: i64::MIN,
            largest_row_bytes: 0,
            largest_partition_bytes: 0,
            keys: None,
            positions: None,
            drop_times: DropTimes::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Token;

    #[test]
    fn statistics_come_back() {
        let mut stats = Stats::default();
        for (number, count) in stats.counts().into_iter().enumerate() {
            *count = 1000 + number as u64;
        }
        for (number, time) in stats.times().into_iter().enumerate() {
            *time = -5 + number as i64;
        }
        let key =
            |token, bytes: &[u8]| PartitionKey { token: Token(token), key: Slice::copy(bytes) };
        stats.keys = Some((key(-9, b"a"), key(9, b"")));
        stats.positions = Some((Slice::copy(&[0x10, 0x80]), Slice::copy(&[0xFF])));
        stats.drop_times.add(1_700_000_000, 12);
        for stats in [stats, Stats::default()] {
            let mut out = Vec::new();
            stats.encode(&mut out);
            assert_eq!(Stats::decode(&out), Ok(stats));
            for cut in 0..out.len() {
                assert!(Stats::decode(&out[..cut]).is_err());
            }
        }
    }
}
