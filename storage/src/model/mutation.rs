//! A mutation: updates to one or more tables of one partition key of one keyspace.
//!
//! The coordinator encodes it once; these bytes are the commit log's record, the message to other
//! replicas, the hint and the batch-log entry. Columns and tables are named by ids that are never
//! reused and values carry their lengths, so a mutation is stored and forwarded without the schema.
//!
//! ```text
//! u8      version: 1
//! varint  keyspace id
//! i64     token, big-endian
//! varint  length, bytes: the partition key, at most 65,535
//! then, until the end, one update per table:
//!   varint  table id
//!   varint  byte length of the update that follows:
//!     u8      flags: 01 PARTITION_DELETION  02 STATIC_ROW  (others: 0)
//!     if PARTITION_DELETION:  zigzag timestamp, varint local deletion time
//!     if STATIC_ROW:          varint length, bytes: a row, see `model/row.rs`
//!     varint  number of rows, then each:
//!       varint length, bytes: its position;  varint length, bytes: the row
//!     varint  number of range tombstones, then each:
//!       varint length, bytes: start position;  varint length, bytes: end position (excluded)
//!       zigzag timestamp, varint local deletion time
//! ```
//!
//! Rows may stand in any order and may repeat a position; what one mutation says is the merge of
//! its parts. A varint is LEB128, a zigzag a varint of `(n << 1) ^ (n >> 63)`.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{CodecError, Put, Reader, VARINT_BYTES_MAX, varint_len, zigzag_len};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Deletion, KeyspaceId, MAX_KEY_BYTES, PartitionKeyRef, PositionRange, RowRef, TableId, Token,
    merge_rows,
};

#[cfg(test)]
mod tests;

/// The format version that is written.
pub const VERSION: u8 = 1;

/// The largest mutation: half of a commit-log segment of the default size, 32 MiB, so that any
/// mutation fits into a segment beside its headers.
pub const MAX_MUTATION_BYTES: usize = 16 * 1024 * 1024;

const PARTITION_DELETION: u8 = 0x01;
const STATIC_ROW: u8 = 0x02;
const UPDATE_FLAGS: u8 = PARTITION_DELETION | STATIC_ROW;

/// Builds a mutation.
#[derive(Clone, Debug)]
pub struct MutationBuilder {
    head: Vec<u8>,
    tables: Vec<TableUpdateBuilder>,
}

impl MutationBuilder {
    /// A mutation of this partition key.
    pub fn new(keyspace: KeyspaceId, key: PartitionKeyRef<'_>) -> MutationBuilder {
        debug_assert!(key.key.len() <= MAX_KEY_BYTES);
        let mut head = Vec::with_capacity(24 + key.key.len());
        head.put_u8(VERSION);
        head.put_varint(u64::from(keyspace.0));
        head.put_i64_be(key.token.0);
        head.put_bytes_varint(key.key);
        MutationBuilder { head, tables: Vec::new() }
    }

    /// The update of this table; the same one when asked again.
    pub fn table(&mut self, table: TableId) -> &mut TableUpdateBuilder {
        let known = self.tables.iter().position(|update| update.table == table);
        let index = known.unwrap_or_else(|| {
            self.tables.push(TableUpdateBuilder::new(table));
            self.tables.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        &mut self.tables[index]
    }

    /// Whether no table is updated.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The mutation's bytes; an error of kind `TooLarge` if they are over `MAX_MUTATION_BYTES`.
    pub fn finish(self) -> Result<Vec<u8>> {
        let mut out = self.head;
        let lengths: Vec<usize> = self.tables.iter().map(TableUpdateBuilder::encoded_len).collect();
        let heads = self.tables.len() * 2 * VARINT_BYTES_MAX;
        let total = out.len() + heads + lengths.iter().sum::<usize>();
        if total > MAX_MUTATION_BYTES + heads {
            check_size(total)?;
        }
        out.reserve(total);
        for (table, length) in self.tables.iter().zip(lengths) {
            out.put_varint(u64::from(table.table.0));
            out.put_varint(length as u64);
            let begin = out.len();
            table.encode(&mut out);
            debug_assert_eq!(out.len() - begin, length);
        }
        check_size(out.len())?;
        Ok(out)
    }
}

/// Builds the update of one table in a mutation.
#[derive(Clone, Debug)]
pub struct TableUpdateBuilder {
    table: TableId,
    partition_deletion: Deletion,
    static_row: Vec<u8>,
    row_count: u64,
    rows: Vec<u8>,
    range_count: u64,
    ranges: Vec<u8>,
}

impl TableUpdateBuilder {
    fn new(table: TableId) -> TableUpdateBuilder {
        TableUpdateBuilder {
            table,
            partition_deletion: Deletion::NONE,
            static_row: Vec::new(),
            row_count: 0,
            rows: Vec::new(),
            range_count: 0,
            ranges: Vec::new(),
        }
    }

    /// Deletes the whole partition in this table. Of several the newest counts.
    pub fn partition_deletion(&mut self, deletion: Deletion) -> &mut TableUpdateBuilder {
        self.partition_deletion = self.partition_deletion.newer(deletion);
        self
    }

    /// Writes to the static row; several are merged. Fails on bytes that are not a row.
    pub fn static_row(&mut self, row: &[u8]) -> Result<&mut TableUpdateBuilder> {
        let new = RowRef::parse(row)?;
        if self.static_row.is_empty() {
            self.static_row.extend_from_slice(row);
        } else {
            let mut merged = Vec::with_capacity(self.static_row.len() + row.len());
            let own = RowRef::parse(&self.static_row)?;
            if merge_rows(&[own, new], Deletion::NONE, &mut merged)? {
                self.static_row = merged;
            }
        }
        Ok(self)
    }

    /// Writes to the row at `position`.
    pub fn row(&mut self, position: &[u8], row: &[u8]) -> &mut TableUpdateBuilder {
        self.row_count += 1;
        self.rows.reserve(position.len() + row.len() + 2 * VARINT_BYTES_MAX);
        self.rows.put_bytes_varint(position);
        self.rows.put_bytes_varint(row);
        self
    }

    /// Deletes the rows of a range; an empty range deletes nothing and is not written.
    pub fn range_tombstone(
        &mut self,
        range: &PositionRange,
        deletion: Deletion,
    ) -> &mut TableUpdateBuilder {
        if !range.is_empty() {
            self.range_count += 1;
            self.ranges.put_bytes_varint(&range.start);
            self.ranges.put_bytes_varint(&range.end);
            put_deletion(&mut self.ranges, deletion);
        }
        self
    }

    /// Bytes that `encode` writes.
    fn encoded_len(&self) -> usize {
        let mut length = 1;
        if !self.partition_deletion.is_none() {
            let Deletion { timestamp, local_deletion_time } = self.partition_deletion;
            length += zigzag_len(timestamp) + varint_len(seconds(local_deletion_time));
        }
        if !self.static_row.is_empty() {
            length += varint_len(self.static_row.len() as u64) + self.static_row.len();
        }
        length += varint_len(self.row_count) + self.rows.len();
        length + varint_len(self.range_count) + self.ranges.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let deleted = !self.partition_deletion.is_none();
        let mut flags = if deleted { PARTITION_DELETION } else { 0 };
        if !self.static_row.is_empty() {
            flags |= STATIC_ROW;
        }
        out.put_u8(flags);
        if deleted {
            put_deletion(out, self.partition_deletion);
        }
        if !self.static_row.is_empty() {
            out.put_bytes_varint(&self.static_row);
        }
        out.put_varint(self.row_count);
        out.put_bytes(&self.rows);
        out.put_varint(self.range_count);
        out.put_bytes(&self.ranges);
    }
}

/// A mutation's bytes, with the head decoded.
#[derive(Clone, Copy, Debug)]
pub struct MutationRef<'a> {
    keyspace: KeyspaceId,
    key: PartitionKeyRef<'a>,
    updates: &'a [u8],
}

impl<'a> MutationRef<'a> {
    /// The mutation that these bytes are; checks the head and the size, not the updates.
    pub fn parse(bytes: &'a [u8]) -> Result<MutationRef<'a>> {
        check_size(bytes.len())?;
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(Error::new(
                if version > VERSION { ErrorKind::Newer } else { ErrorKind::Corrupt },
                format!("a mutation has format version {version}, this is version {VERSION}"),
            ));
        }
        let keyspace = KeyspaceId(read_u32(&mut reader)?);
        let token = Token(reader.i64_be()?);
        let key = reader.bytes_varint(MAX_KEY_BYTES)?;
        let key = PartitionKeyRef { token, key };
        Ok(MutationRef { keyspace, key, updates: reader.rest() })
    }

    /// The keyspace.
    pub fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// The partition key.
    pub fn key(&self) -> PartitionKeyRef<'a> {
        self.key
    }

    /// The updates, one per table; ends after the first error.
    pub fn tables(&self) -> impl Iterator<Item = Result<TableUpdateRef<'a>>> + use<'a> {
        let mut reader = Reader::new(self.updates);
        until_error(move || {
            (!reader.is_empty()).then(|| {
                let table = TableId(read_u32(&mut reader)?);
                TableUpdateRef::parse(table, reader.bytes_varint(MAX_MUTATION_BYTES)?)
            })
        })
    }

    /// Checks everything: all updates, and that every row is canonical.
    pub fn validate(&self) -> Result<()> {
        for update in self.tables() {
            let update = update?;
            if let Some(row) = update.static_row() {
                RowRef::parse(row)?.validate()?;
            }
            for row in update.rows() {
                row?.1.validate()?;
            }
            for range in update.range_tombstones() {
                range?;
            }
            update.check_end()?;
        }
        Ok(())
    }
}

/// The update of one table in a mutation, its head decoded.
#[derive(Clone, Copy, Debug)]
pub struct TableUpdateRef<'a> {
    table: TableId,
    partition_deletion: Deletion,
    static_row: Option<&'a [u8]>,
    row_count: u64,
    /// From the first row to the end of the update.
    rest: &'a [u8],
}

impl<'a> TableUpdateRef<'a> {
    fn parse(table: TableId, bytes: &'a [u8]) -> Result<TableUpdateRef<'a>> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        if flags & !UPDATE_FLAGS != 0 {
            return Err(Error::corrupt(format!("an update has the unknown flags {flags:#04x}")));
        }
        let mut partition_deletion = Deletion::NONE;
        if flags & PARTITION_DELETION != 0 {
            partition_deletion = read_deletion(&mut reader)?;
        }
        let mut static_row = None;
        if flags & STATIC_ROW != 0 {
            static_row = Some(reader.bytes_varint(MAX_MUTATION_BYTES)?);
        }
        let row_count = reader.varint()?;
        let rest = reader.rest();
        Ok(TableUpdateRef { table, partition_deletion, static_row, row_count, rest })
    }

    /// The table.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// The deletion of the whole partition, or `Deletion::NONE`.
    pub fn partition_deletion(&self) -> Deletion {
        self.partition_deletion
    }

    /// The bytes of the static row, if it is written.
    pub fn static_row(&self) -> Option<&'a [u8]> {
        self.static_row
    }

    /// The number of rows the update claims to hold.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// The rows with their positions, in the order written; ends after the first error.
    pub fn rows(&self) -> impl Iterator<Item = Result<(&'a [u8], RowRef<'a>)>> + use<'a> {
        let mut reader = Reader::new(self.rest);
        let mut left = self.row_count;
        until_error(move || {
            left = left.checked_sub(1)?;
            Some(
                read_row(&mut reader)
                    .map_err(Error::from)
                    .and_then(|(position, row)| Ok((position, RowRef::parse(row)?))),
            )
        })
    }

    /// The range tombstones, in the order written; ends after the first error.
    pub fn range_tombstones(
        &self,
    ) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8], Deletion)>> + use<'a> {
        let mut start = self.ranges();
        until_error(move || match &mut start {
            Ok((0, _)) => None,
            Ok((left, reader)) => {
                *left -= 1;
                Some(read_range(reader).map_err(Error::from))
            }
            Err(error) => Some(Err(Error::from(*error))),
        })
    }

    /// The number of range tombstones, and a reader at the first.
    fn ranges(&self) -> Result<(u64, Reader<'a>), CodecError> {
        let mut reader = Reader::new(self.rest);
        for _ in 0..self.row_count {
            read_row(&mut reader)?;
        }
        Ok((reader.varint()?, reader))
    }

    fn check_end(&self) -> Result<()> {
        let (count, mut reader) = self.ranges()?;
        for _ in 0..count {
            read_range(&mut reader)?;
        }
        if reader.is_empty() { Ok(()) } else { Err(reader.error("the end of an update").into()) }
    }
}

/// Yields what `next` gives, up to and including the first error.
fn until_error<T>(mut next: impl FnMut() -> Option<Result<T>>) -> impl Iterator<Item = Result<T>> {
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let item = next();
        failed = matches!(item, Some(Err(_)));
        item
    })
}

fn check_size(bytes: usize) -> Result<()> {
    if bytes <= MAX_MUTATION_BYTES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!("a mutation of {bytes} bytes is over the maximum of {MAX_MUTATION_BYTES} bytes"),
    ))
}

pub(crate) fn put_deletion(out: &mut Vec<u8>, deletion: Deletion) {
    out.put_zigzag(deletion.timestamp);
    out.put_varint(seconds(deletion.local_deletion_time));
}

/// Seconds since the epoch; a time before it is written as the epoch.
fn seconds(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0)
}

pub(crate) fn read_deletion(reader: &mut Reader<'_>) -> Result<Deletion, CodecError> {
    let timestamp = reader.zigzag()?;
    let local_deletion_time = i64::try_from(reader.varint()?);
    let local_deletion_time =
        local_deletion_time.map_err(|_| reader.error("a local deletion time"))?;
    Ok(Deletion { timestamp, local_deletion_time })
}

fn read_row<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), CodecError> {
    let position = reader.bytes_varint(MAX_MUTATION_BYTES)?;
    Ok((position, reader.bytes_varint(MAX_MUTATION_BYTES)?))
}

fn read_range<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8], Deletion), CodecError> {
    let start = reader.bytes_varint(MAX_MUTATION_BYTES)?;
    let end = reader.bytes_varint(MAX_MUTATION_BYTES)?;
    if start >= end {
        return Err(reader.error("a range tombstone's end behind its start"));
    }
    Ok((start, end, read_deletion(reader)?))
}

fn read_u32(reader: &mut Reader<'_>) -> Result<u32, CodecError> {
    u32::try_from(reader.varint()?).map_err(|_| reader.error("an id"))
}
