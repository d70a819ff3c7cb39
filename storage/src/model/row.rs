//! One row, clustered or static, as one self-contained byte string.
//!
//! The same bytes stand in a mutation, in the commit log, in the memtable and in an SSTable; a
//! row says nothing about its key or position. Integers are little-endian; a varint is LEB128, a
//! zigzag is a varint of `(n << 1) ^ (n >> 63)`.
//!
//! ```text
//! u8   row flags: 01 LIVENESS  02 LIVENESS_EXPIRING  04 ROW_DELETION  08 SPELLING  (others: 0)
//! i64  base timestamp, microseconds
//! if LIVENESS:          zigzag timestamp - base; if EXPIRING: varint ttl, varint expiry
//! if ROW_DELETION:      zigzag timestamp - base, varint local deletion time
//! if SPELLING:          varint length, bytes: the clustering values as the client spelled them
//! then, until the end of the row, entries:
//!   varint  column id - column id of the entry before (of the first: the column id)
//!   u8      cell flags: 01 SAME_TIMESTAMP  02 TOMBSTONE  04 EXPIRING  08 PATH  10 COUNTER
//!                       20 COLUMN_DELETION  40 PATH_SPELLING  (80: 0)
//!   unless SAME_TIMESTAMP:             zigzag timestamp - base
//!   if TOMBSTONE without EXPIRING, or COLUMN_DELETION:  varint local deletion time
//!   if EXPIRING:                       varint ttl, varint expiry
//!   if PATH:                           varint length, bytes: canonical comparable bytes
//!   if PATH_SPELLING:                  varint length, bytes: the path as the client spelled it
//!   unless TOMBSTONE, COLUMN_DELETION: varint length, bytes: the value
//! ```
//!
//! TOMBSTONE with EXPIRING is an expired cell whose value compaction has dropped; TOMBSTONE with
//! COUNTER is a deleted counter; COLUMN_DELETION is the deletion of a whole multi-cell column and
//! stands alone. Expiries and local deletion times are seconds since the epoch, not negative.
//! Timestamp differences wrap around at 64 bits.
//!
//! A row is *canonical*: its bytes are the only way to write down what it says.
//! - Entries ascend strictly by (column id, column deletion before cells, path bytes; no path
//!   before any path).
//! - Everything a deletion inside the row hides is absent: liveness and entries at or below the
//!   row deletion's timestamp, cells at or below their column deletion's.
//! - The base is the liveness' timestamp; without one, the row deletion's; without that, the first
//!   entry's, plus one if that is a column deletion (a collection is overwritten by a deletion one
//!   microsecond before its new cells); in an empty row, zero.
//! - A counter's timestamp is the newest clock of its shards.
//!
//! [`RowRef::parse`] checks the head only, iteration finds malformed entries,
//! [`RowRef::validate`] checks everything.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;

use helenus_platform::codec::{CodecError, Reader};

use crate::error::{Error, Result};
use crate::model::cell::{Cell, CellKind, Liveness};
use crate::model::{ColumnId, Deletion, counter};

mod builder;
mod encode;
#[cfg(test)]
mod tests;

pub use builder::RowBuilder;
pub(crate) use encode::RowWriter;

const LIVENESS: u8 = 0x01;
const LIVENESS_EXPIRING: u8 = 0x02;
const ROW_DELETION: u8 = 0x04;
const SPELLING: u8 = 0x08;
const ROW_FLAGS: u8 = LIVENESS | LIVENESS_EXPIRING | ROW_DELETION | SPELLING;

const SAME_TIMESTAMP: u8 = 0x01;
const TOMBSTONE: u8 = 0x02;
const EXPIRING: u8 = 0x04;
const PATH: u8 = 0x08;
const COUNTER: u8 = 0x10;
const COLUMN_DELETION: u8 = 0x20;
const PATH_SPELLING: u8 = 0x40;

const EXPIRED: u8 = TOMBSTONE | EXPIRING;
const COUNTER_TOMBSTONE: u8 = TOMBSTONE | COUNTER;
/// The flags that say what an entry is.
const KIND: u8 = TOMBSTONE | EXPIRING | COUNTER | COLUMN_DELETION;

/// One entry of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A cell.
    Cell(Cell<'a>),
    /// The deletion of everything a multi-cell column held.
    ColumnDeletion(ColumnId, Deletion),
}

impl<'a> Entry<'a> {
    /// The column the entry is about.
    pub fn column(&self) -> ColumnId {
        match self {
            Entry::Cell(cell) => cell.column,
            Entry::ColumnDeletion(column, _) => *column,
        }
    }

    /// The entry's timestamp, microseconds.
    pub fn timestamp(&self) -> i64 {
        match self {
            Entry::Cell(cell) => cell.timestamp,
            Entry::ColumnDeletion(_, deletion) => deletion.timestamp,
        }
    }

    /// Where two entries stand in a row; equal means that they are merged into one.
    #[inline]
    pub fn cmp_place(&self, other: &Entry<'_>) -> Ordering {
        self.column().cmp(&other.column()).then_with(|| self.place().cmp(&other.place()))
    }

    fn place(&self) -> (bool, Option<&'a [u8]>) {
        match self {
            Entry::Cell(cell) => (true, cell.path),
            Entry::ColumnDeletion(..) => (false, None),
        }
    }
}

/// A row's bytes with their head decoded.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    bytes: &'a [u8],
    base: i64,
    liveness: Option<Liveness>,
    deletion: Deletion,
    spelling: Option<&'a [u8]>,
    /// The tail of `bytes` that holds the entries.
    entries: &'a [u8],
}

impl<'a> RowRef<'a> {
    /// The row that these bytes are; checks the head, not the entries.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<RowRef<'a>> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        if flags & !ROW_FLAGS != 0 || flags & (LIVENESS | LIVENESS_EXPIRING) == LIVENESS_EXPIRING {
            return Err(Error::corrupt(format!("a row has the unknown flags {flags:#04x}")));
        }
        let base = reader.i64_le()?;
        let mut row = RowRef {
            bytes,
            base,
            liveness: None,
            deletion: Deletion::NONE,
            spelling: None,
            entries: &[],
        };
        if flags & LIVENESS != 0 {
            let timestamp = base.wrapping_add(reader.zigzag()?);
            row.liveness = Some(if flags & LIVENESS_EXPIRING == 0 {
                Liveness::new(timestamp)
            } else {
                let (ttl, expiry) = read_expiry(&mut reader)?;
                Liveness { timestamp, ttl, expiry }
            });
        }
        if flags & ROW_DELETION != 0 {
            let timestamp = base.wrapping_add(reader.zigzag()?);
            row.deletion = Deletion::new(timestamp, read_seconds(&mut reader)?);
        }
        if flags & SPELLING != 0 {
            row.spelling = Some(reader.bytes_varint(usize::MAX)?);
        }
        row.entries = reader.rest();
        Ok(row)
    }

    /// The row's bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// That the row was inserted, if it was.
    pub fn liveness(&self) -> Option<Liveness> {
        self.liveness
    }

    /// The deletion of the row, or `Deletion::NONE`.
    pub fn deletion(&self) -> Deletion {
        self.deletion
    }

    /// The clustering values as the client spelled them, where the position does not give them
    /// back.
    pub fn spelling(&self) -> Option<&'a [u8]> {
        self.spelling
    }

    /// Whether the row says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.liveness.is_none() && self.deletion.is_none()
    }

    /// The row's cells and column deletions, in their order; ends after the first error.
    #[inline]
    pub fn entries(&self) -> Entries<'a> {
        Entries { reader: Reader::new(self.entries), base: self.base, column: 0 }
    }

    /// Checks the whole row, and that it is canonical.
    pub fn validate(&self) -> Result<()> {
        let deleted = |timestamp| self.deletion.deletes(timestamp);
        if self.liveness.is_some_and(|liveness| deleted(liveness.timestamp)) {
            return Err(Error::corrupt("a row's deletion hides its own liveness"));
        }
        let mut previous: Option<Entry<'_>> = None;
        let mut column = (ColumnId(0), Deletion::NONE);
        let mut first = None;
        let mut length = encode::head_len(self.base, self.liveness, self.deletion, self.spelling);
        for entry in self.entries() {
            let entry = entry?;
            let before = previous.map_or(0, |previous| previous.column().0);
            length += encode::entry_len(self.base, before, &entry);
            first = first.or(Some(entry));
            if previous.is_some_and(|previous| previous.cmp_place(&entry) != Ordering::Less) {
                return Err(Error::corrupt("the entries of a row are out of order"));
            }
            previous = Some(entry);
            if let Entry::ColumnDeletion(id, deletion) = entry {
                column = (id, deletion);
            }
            // A deleted counter is beyond every deletion until it is purged.
            let hidden = match entry {
                Entry::Cell(Cell { kind: CellKind::CounterTombstone { .. }, .. }) => false,
                Entry::Cell(cell) => {
                    deleted(cell.timestamp)
                        || column.0 == cell.column && column.1.deletes(cell.timestamp)
                }
                Entry::ColumnDeletion(_, deletion) => deletion <= self.deletion,
            };
            if hidden {
                return Err(Error::corrupt("a deletion inside a row hides one of its entries"));
            }
            if let Entry::Cell(cell) = entry
                && cell.kind == CellKind::Counter
                && counter::newest_clock(cell.value)? != Some(cell.timestamp)
            {
                return Err(Error::corrupt("a counter's timestamp is not its newest clock"));
            }
        }
        if self.base != encode::base_timestamp(self.liveness, self.deletion, first.as_ref()) {
            return Err(Error::corrupt("a row has an odd base timestamp"));
        }
        // No field has a second spelling of the same length.
        if length != self.bytes.len() {
            return Err(Error::corrupt("a row is not in its shortest spelling"));
        }
        Ok(())
    }
}

/// Iterates over a row's entries; see [`RowRef::entries`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    reader: Reader<'a>,
    base: i64,
    column: u32,
}

impl<'a> Entries<'a> {
    #[inline]
    fn read(&mut self) -> Result<Entry<'a>, CodecError> {
        let reader = &mut self.reader;
        let delta = u32::try_from(reader.varint()?).map_err(|_| reader.error("a column id"))?;
        self.column = self.column.wrapping_add(delta);
        let column = ColumnId(self.column);
        let flags = reader.u8()?;
        let timestamp = match flags & SAME_TIMESTAMP {
            0 => self.base.wrapping_add(reader.zigzag()?),
            _ => self.base,
        };
        let kind = match flags & KIND {
            0 => CellKind::Live,
            EXPIRING => {
                let (ttl, expiry) = read_expiry(reader)?;
                CellKind::Expiring { ttl, expiry }
            }
            TOMBSTONE => CellKind::Tombstone { local_deletion_time: read_seconds(reader)? },
            EXPIRED => {
                let (ttl, expiry) = read_expiry(reader)?;
                CellKind::Expired { ttl, expiry }
            }
            COUNTER => CellKind::Counter,
            COUNTER_TOMBSTONE => {
                CellKind::CounterTombstone { local_deletion_time: read_seconds(reader)? }
            }
            COLUMN_DELETION if flags & !(COLUMN_DELETION | SAME_TIMESTAMP) == 0 => {
                let deletion = Deletion::new(timestamp, read_seconds(reader)?);
                return Ok(Entry::ColumnDeletion(column, deletion));
            }
            _ => return Err(reader.error("cell flags")),
        };
        let mut cell = Cell { kind, ..Cell::live(column, timestamp, &[]) };
        match flags & (PATH | PATH_SPELLING | !(KIND | SAME_TIMESTAMP | PATH | PATH_SPELLING)) {
            0 => {}
            PATH => cell.path = Some(reader.bytes_varint(usize::MAX)?),
            with_both if with_both == PATH | PATH_SPELLING => {
                cell.path = Some(reader.bytes_varint(usize::MAX)?);
                cell.path_spelling = Some(reader.bytes_varint(usize::MAX)?);
            }
            _ => return Err(reader.error("cell flags")),
        }
        if flags & TOMBSTONE == 0 {
            cell.value = reader.bytes_varint(usize::MAX)?;
        }
        Ok(Entry::Cell(cell))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Result<Entry<'a>>> {
        if self.reader.is_empty() {
            return None;
        }
        let entry = self.read();
        if entry.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(entry.map_err(|error| Error::from(error).during("decoding an entry of a row")))
    }
}

fn read_expiry(reader: &mut Reader<'_>) -> Result<(u32, i64), CodecError> {
    match u32::try_from(reader.varint()?) {
        Ok(ttl) if ttl != 0 => Ok((ttl, read_seconds(reader)?)),
        _ => Err(reader.error("a ttl")),
    }
}

fn read_seconds(reader: &mut Reader<'_>) -> Result<i64, CodecError> {
    i64::try_from(reader.varint()?).map_err(|_| reader.error("seconds since the epoch"))
}
