//! A command as bytes, for a replica on another node, which trusts nothing in it.
//!
//! ```text
//! u8      version: 1
//! varint  table id
//! u8      flags: 01 REVERSED  02 DISTINCT  04 KEEPS_PURGEABLE  08 SOME_COLUMNS  10 FROM
//!         (others: 0)
//! zigzag  now
//! varint  rows_per_partition_max; varint tombstones_max; varint rows_max; varint bytes_max
//! u8      partitions: 1 ONE, a key; 2 MANY, varint count, so many keys;
//!         3 RANGE, a bound, a bound
//! varint  count, so many slices: each varint length, bytes of its start, and of its end
//! if SOME_COLUMNS: varint count, so many varint column ids, ascending strictly
//! if FROM: a key, varint rows, u8 reach: 0 BEFORE_ROWS; 1 UPTO, varint length, bytes: a position;
//!         2 WHOLE
//!
//! key:    i64 token, big-endian; varint length, bytes
//! bound:  u8: 0 MIN; 1 BEFORE, i64 token, big-endian; 2 AT_KEY, key; 3 AFTER_KEY, key;
//!         4 AFTER, i64 token, big-endian; 5 MAX
//! ```
//!
//! Nothing follows. A count is at most [`COMMAND_ITEMS_MAX`].
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{Put, Reader};

use super::command::{Place, Reach, ReplicaCommand};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    ColumnId, ColumnSet, MAX_KEY_BYTES, PartitionBound, PartitionKey, PositionRange, Slice,
    TableId, Token,
};
use crate::read::{Partitions, ReadCommand};

/// The format version of commands that is written.
pub const COMMAND_VERSION: u8 = 1;

/// Partitions, slices or columns that a command may list: more are refused.
pub const COMMAND_ITEMS_MAX: usize = 1 << 20;

const REVERSED: u8 = 0x01;
const DISTINCT: u8 = 0x02;
const KEEPS_PURGEABLE: u8 = 0x04;
const SOME_COLUMNS: u8 = 0x08;
const FROM: u8 = 0x10;

const ONE: u8 = 1;
const MANY: u8 = 2;
const RANGE: u8 = 3;

const MIN: u8 = 0;
const BEFORE: u8 = 1;
const AT_KEY: u8 = 2;
const AFTER_KEY: u8 = 3;
const AFTER: u8 = 4;
const MAX: u8 = 5;

const BEFORE_ROWS: u8 = 0;
const UPTO: u8 = 1;
const WHOLE: u8 = 2;

impl ReplicaCommand {
    /// Appends the command's bytes.
    pub fn encode(&self, out: &mut impl Put) {
        let read = &self.read;
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let columns = match &read.columns {
            ColumnSet::All => None,
            ColumnSet::Some(columns) => Some(columns),
        };
        out.put_u8(COMMAND_VERSION);
        out.put_varint(u64::from(read.table.0));
        out.put_u8(
            flag(read.reversed, REVERSED)
                | flag(read.distinct, DISTINCT)
                | flag(self.keeps_purgeable, KEEPS_PURGEABLE)
                | flag(columns.is_some(), SOME_COLUMNS)
                | flag(self.from.is_some(), FROM),
        );
        out.put_zigzag(read.now);
        out.put_varint(u64::from(read.rows_per_partition_max));
        out.put_varint(read.tombstones_max);
        out.put_varint(self.rows_max);
        out.put_varint(self.bytes_max as u64);
        put_partitions(out, &read.partitions);
        out.put_varint(read.slices.len() as u64);
        for slice in &read.slices {
            out.put_bytes_varint(&slice.start);
            out.put_bytes_varint(&slice.end);
        }
        if let Some(columns) = columns {
            out.put_varint(columns.len() as u64);
            columns.iter().for_each(|column| out.put_varint(u64::from(column.0)));
        }
        if let Some(place) = &self.from {
            put_place(out, place);
        }
    }

    /// A command of these bytes, which hold nothing else. It is one that a replica can carry out,
    /// as far as the command itself says.
    ///
    /// # Errors
    /// The bytes are of a newer version, or break the layout.
    pub fn decode(bytes: &[u8]) -> Result<ReplicaCommand> {
        // What the command lists is shared, not copied one by one.
        let block = Slice::copy(bytes);
        let mut decoder = Decoder { block: &block, reader: Reader::new(&block) };
        let command = decoder.command()?;
        command.read.check()?;
        if !decoder.reader.is_empty() {
            return Err(decoder.reader.error("the end of a command").into());
        }
        Ok(command)
    }
}

fn put_partitions(out: &mut impl Put, partitions: &Partitions) {
    match partitions {
        Partitions::One(key) => {
            out.put_u8(ONE);
            put_key(out, key);
        }
        Partitions::Many(keys) => {
            out.put_u8(MANY);
            out.put_varint(keys.len() as u64);
            keys.iter().for_each(|key| put_key(out, key));
        }
        Partitions::Range { start, end } => {
            out.put_u8(RANGE);
            put_bound(out, start);
            put_bound(out, end);
        }
    }
}

fn put_key(out: &mut impl Put, key: &PartitionKey) {
    out.put_i64_be(key.token.0);
    out.put_bytes_varint(&key.key);
}

fn put_bound(out: &mut impl Put, bound: &PartitionBound) {
    let tag = match bound {
        PartitionBound::Min => MIN,
        PartitionBound::Before(_) => BEFORE,
        PartitionBound::AtKey(_) => AT_KEY,
        PartitionBound::AfterKey(_) => AFTER_KEY,
        PartitionBound::After(_) => AFTER,
        PartitionBound::Max => MAX,
    };
    out.put_u8(tag);
    match bound {
        PartitionBound::Min | PartitionBound::Max => {}
        PartitionBound::Before(token) | PartitionBound::After(token) => out.put_i64_be(token.0),
        PartitionBound::AtKey(key) | PartitionBound::AfterKey(key) => put_key(out, key),
    }
}

fn put_place(out: &mut impl Put, place: &Place) {
    put_key(out, &place.key);
    out.put_varint(u64::from(place.rows));
    match &place.reach {
        Reach::BeforeRows => out.put_u8(BEFORE_ROWS),
        Reach::Upto(position) => {
            out.put_u8(UPTO);
            out.put_bytes_varint(position);
        }
        Reach::Whole => out.put_u8(WHOLE),
    }
}

struct Decoder<'a> {
    /// All of the command.
    block: &'a Slice,
    reader: Reader<'a>,
}

impl Decoder<'_> {
    fn command(&mut self) -> Result<ReplicaCommand> {
        let version = self.reader.u8()?;
        if version != COMMAND_VERSION {
            return Err(Error::new(
                if version > COMMAND_VERSION { ErrorKind::Newer } else { ErrorKind::Corrupt },
                format!(
                    "a command has format version {version}, this is version {COMMAND_VERSION}"
                ),
            ));
        }
        let table = TableId(self.u32("a table id")?);
        let flags = self.reader.u8()?;
        if flags & !(REVERSED | DISTINCT | KEEPS_PURGEABLE | SOME_COLUMNS | FROM) != 0 {
            return Err(self.reader.error("flags of a command").into());
        }
        let now = self.reader.zigzag()?;
        let rows_per_partition_max = self.u32("rows of a partition")?;
        let tombstones_max = self.reader.varint()?;
        let rows_max = self.reader.varint()?;
        let bytes_max = usize::try_from(self.reader.varint()?).unwrap_or(usize::MAX);
        let read = ReadCommand {
            table,
            partitions: self.partitions()?,
            slices: self.slices()?,
            reversed: flags & REVERSED != 0,
            columns: if flags & SOME_COLUMNS != 0 { self.columns()? } else { ColumnSet::All },
            now,
            rows_per_partition_max,
            distinct: flags & DISTINCT != 0,
            tombstones_max,
        };
        let from = if flags & FROM != 0 { Some(self.place(&read.partitions)?) } else { None };
        let keeps_purgeable = flags & KEEPS_PURGEABLE != 0;
        Ok(ReplicaCommand { read, from, rows_max, bytes_max, keeps_purgeable })
    }

    fn partitions(&mut self) -> Result<Partitions> {
        Ok(match self.reader.u8()? {
            ONE => Partitions::One(self.key()?),
            MANY => {
                // A token and a length at least.
                let count = self.count(9, "a count of partitions")?;
                let mut keys = Vec::with_capacity(count);
                for _ in 0..count {
                    keys.push(self.key()?);
                }
                Partitions::Many(keys)
            }
            RANGE => Partitions::Range { start: self.bound()?, end: self.bound()? },
            _ => return Err(self.reader.error("a kind of partitions").into()),
        })
    }

    fn slices(&mut self) -> Result<Vec<PositionRange>> {
        let count = self.count(2, "a count of slices")?;
        let mut slices = Vec::with_capacity(count);
        for _ in 0..count {
            slices.push(PositionRange { start: self.position()?, end: self.position()? });
        }
        Ok(slices)
    }

    fn columns(&mut self) -> Result<ColumnSet> {
        let count = self.count(1, "a count of columns")?;
        let mut columns: Vec<ColumnId> = Vec::with_capacity(count);
        for _ in 0..count {
            let column = ColumnId(self.u32("a column id")?);
            if columns.last().is_some_and(|last| *last >= column) {
                return Err(self.reader.error("columns that ascend").into());
            }
            columns.push(column);
        }
        Ok(ColumnSet::Some(columns.into()))
    }

    /// A place that lies in one of `partitions`.
    fn place(&mut self, partitions: &Partitions) -> Result<Place> {
        let key = self.key()?;
        let is_inside = match partitions {
            Partitions::Range { start, end } => {
                start.is_before(key.as_ref()) && !end.is_before(key.as_ref())
            }
            partitions => partitions.listed().contains(&key),
        };
        if !is_inside {
            return Err(self.reader.error("a place in what is to be read").into());
        }
        let rows = self.u32("rows before a place")?;
        let reach = match self.reader.u8()? {
            BEFORE_ROWS => Reach::BeforeRows,
            UPTO => Reach::Upto(self.position()?),
            WHOLE => Reach::Whole,
            _ => return Err(self.reader.error("how far a partition was read").into()),
        };
        Ok(Place { key, reach, rows })
    }

    fn bound(&mut self) -> Result<PartitionBound> {
        Ok(match self.reader.u8()? {
            MIN => PartitionBound::Min,
            BEFORE => PartitionBound::Before(Token(self.reader.i64_be()?)),
            AT_KEY => PartitionBound::AtKey(self.key()?),
            AFTER_KEY => PartitionBound::AfterKey(self.key()?),
            AFTER => PartitionBound::After(Token(self.reader.i64_be()?)),
            MAX => PartitionBound::Max,
            _ => return Err(self.reader.error("a kind of bound").into()),
        })
    }

    fn key(&mut self) -> Result<PartitionKey> {
        let token = Token(self.reader.i64_be()?);
        let key = self.block.share(self.reader.bytes_varint(MAX_KEY_BYTES)?);
        Ok(PartitionKey { token, key })
    }

    fn position(&mut self) -> Result<Slice> {
        Ok(self.block.share(self.reader.bytes_varint(usize::MAX)?))
    }

    fn u32(&mut self, what: &'static str) -> Result<u32> {
        let value = self.reader.varint()?;
        u32::try_from(value).map_err(|_| self.reader.error(what).into())
    }

    /// A count of items, for which there are bytes enough if each takes `bytes_min` at least.
    fn count(&mut self, bytes_min: usize, what: &'static str) -> Result<usize> {
        let count = usize::try_from(self.reader.varint()?).unwrap_or(usize::MAX);
        if count > COMMAND_ITEMS_MAX || count > self.reader.remaining() / bytes_min {
            return Err(self.reader.error(what).into());
        }
        Ok(count)
    }
}
