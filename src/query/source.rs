//! Where rows come from: the engine's tables, and views computed from live state (decision D8).
//!
//! A view hands over its rows as values; they are brought into the form in which storage hands
//! over its own, so a statement over a view is planned and run like any other.

use std::collections::BTreeMap;

use cql_lite::types::functions::time::timeuuid_at;
use cql_lite::types::key::clustering::{KeyColumn, row as row_position, spelling};
use cql_lite::types::key::path;
use cql_lite::types::{CqlType, frames, partition_key};
use cql_lite::wire::Consistency;
use helenus_platform::runtime::BoxFuture;
use helenus_storage::model::{
    Cell, ColumnId, Liveness, LogPosition, PartitionBound, PartitionKey, PositionRange, RowBuilder,
    RowRef, Slice, Token,
};
use helenus_storage::{
    BlockList, Budget, Cursor, Engine, Flow, Partitions, Read, ReadCommand, Sink,
};

use crate::coordinator::read::{Arrived, ReadStep, ReplicatedRead};
use crate::error::{Error, Result};
use crate::schema::{Column, Schema, Table};

use super::restriction::key_of;

/// A row of a view: its serialized values in the order of [`Table::columns`].
pub type ViewRow = Vec<Option<Vec<u8>>>;

/// The node's live state, as tables.
pub trait Views: Send + Sync {
    /// All rows of a view, in any order. `keys`, if given, are the partition keys that the
    /// statement names: rows of others may be left out.
    fn rows(
        &self,
        schema: &Schema,
        table: &Table,
        keys: Option<&[PartitionKey]>,
    ) -> Result<Vec<ViewRow>>;
}

/// A read under way.
pub(crate) enum Source {
    /// From the engine.
    Stored(Cursor),
    /// From several nodes.
    Replicas(Box<ReplicatedRead>),
    /// From a view.
    View(ViewRead),
}

/// How a call of [`Source::read`] ended.
pub(crate) enum SourceRead {
    /// As a read of the engine ends.
    Ended(Read),
    /// For other nodes.
    Wait(BoxFuture<'static, Arrived>),
}

impl Source {
    /// Reads on.
    pub(crate) fn read(
        &mut self,
        engine: &Engine,
        command: &ReadCommand,
        sink: &mut dyn Sink,
        budget: &mut Budget,
        consistency: Consistency,
    ) -> Result<SourceRead> {
        let read = match self {
            Source::Stored(cursor) => engine.read(command, cursor, sink, budget)?,
            Source::View(view) => view.read(command, sink)?,
            Source::Replicas(read) => {
                let step = read.step(sink, budget);
                match step.map_err(|error| error.into_error(consistency))? {
                    ReadStep::Done => Read::Done,
                    ReadStep::Stopped => Read::Stopped,
                    ReadStep::Yield => Read::Yield,
                    ReadStep::NeedsBlocks(blocks) => Read::NeedsBlocks(blocks),
                    ReadStep::TombstoneLimit => Read::TombstoneLimit,
                    ReadStep::Wait(arrived) => return Ok(SourceRead::Wait(arrived)),
                }
            }
        };
        Ok(SourceRead::Ended(read))
    }

    /// Fetches blocks. Waits for the disk.
    pub(crate) fn fetch(&mut self, engine: &Engine, blocks: BlockList) -> Result<()> {
        match self {
            Source::Stored(cursor) => Ok(engine.fetch(blocks, cursor)?),
            Source::Replicas(read) => {
                read.fetch(blocks);
                Ok(())
            }
            Source::View(_) => Ok(()),
        }
    }

    /// Takes what other nodes have answered.
    pub(crate) fn waited(&mut self, arrived: Arrived) {
        if let Source::Replicas(read) = self {
            read.waited(arrived);
        }
    }

    /// Tombstones stepped over so far.
    pub(crate) fn tombstones(&self) -> u64 {
        match self {
            Source::Stored(cursor) => cursor.tombstones(),
            Source::Replicas(read) => read.tombstones(),
            Source::View(_) => 0,
        }
    }

    /// Counts tombstones from nothing again.
    pub(crate) fn forget_tombstones(&mut self) {
        match self {
            Source::Stored(cursor) => cursor.forget_tombstones(),
            Source::Replicas(read) => read.forget_tombstones(),
            Source::View(_) => {}
        }
    }

    /// The newest log position that was looked at.
    pub(crate) fn newest(&self) -> Option<LogPosition> {
        match self {
            Source::Stored(cursor) => Some(cursor.newest()),
            Source::Replicas(read) => Some(read.newest()),
            Source::View(_) => None,
        }
    }

    /// The token of the partition that the read is in.
    pub(crate) fn token(&self) -> Option<Token> {
        match self {
            Source::Stored(cursor) => cursor.partition().map(|key| key.token),
            Source::Replicas(read) => read.partition().map(|key| key.token),
            Source::View(_) => None,
        }
    }
}

/// One partition of a view.
#[derive(Debug, Default)]
struct ViewPartition {
    static_row: Option<Vec<u8>>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A view's rows in the order and form of storage, and how far a read has come.
#[derive(Debug)]
pub(crate) struct ViewRead {
    partitions: BTreeMap<PartitionKey, ViewPartition>,
    /// After this partition; with a position: after that row of it.
    after: Option<(PartitionKey, Option<Slice>)>,
}

impl ViewRead {
    /// Brings a view's rows into order. `after`: where an earlier page ended.
    pub(crate) fn new(
        table: &Table,
        rows: Vec<ViewRow>,
        after: Option<(PartitionKey, Option<Slice>)>,
    ) -> Result<ViewRead> {
        let mut partitions: BTreeMap<PartitionKey, ViewPartition> = BTreeMap::new();
        for values in rows {
            let (key, position, static_row, row) = to_storage(table, &values)?;
            let partition = partitions.entry(key).or_default();
            if static_row.is_some() {
                partition.static_row = static_row;
            }
            partition.rows.insert(position, row);
        }
        Ok(ViewRead { partitions, after })
    }

    fn read(&mut self, command: &ReadCommand, sink: &mut dyn Sink) -> Result<Read> {
        let wanted: Vec<&PartitionKey> = match &command.partitions {
            Partitions::One(key) => vec![key],
            Partitions::Many(keys) => keys.iter().collect(),
            Partitions::Range { start, end } => {
                let within = |key: &&PartitionKey| {
                    start.is_before(key.as_ref()) && !PartitionBound::is_before(end, key.as_ref())
                };
                self.partitions.keys().filter(within).collect()
            }
        };
        let mut resumed = self.after.as_ref();
        let skip_to = resumed.and_then(|(key, _)| wanted.iter().position(|other| *other == key));
        for key in wanted.into_iter().skip(skip_to.unwrap_or(0)) {
            let Some(partition) = self.partitions.get(key) else { continue };
            let after = resumed.take_if(|(resumed, _)| resumed == key).map(|(_, at)| at.as_ref());
            match after {
                Some(None) => continue,
                after => {
                    if partition.read(key, command, after.flatten(), sink)? == Flow::Stop {
                        return Ok(Read::Stopped);
                    }
                }
            }
        }
        Ok(Read::Done)
    }
}

impl ViewPartition {
    fn read(
        &self,
        key: &PartitionKey,
        command: &ReadCommand,
        after: Option<&Slice>,
        sink: &mut dyn Sink,
    ) -> Result<Flow> {
        let contains = |range: &PositionRange, position: &[u8]| range.contains(position);
        let mut rows: Vec<(&Vec<u8>, &Vec<u8>)> = self
            .rows
            .iter()
            .filter(|(position, _)| command.slices.iter().any(|range| contains(range, position)))
            .collect();
        if command.reversed {
            rows.reverse();
        }
        if let Some(after) = after {
            rows.retain(|(position, _)| {
                let order = position.as_slice().cmp(after);
                if command.reversed { order.is_lt() } else { order.is_gt() }
            });
        }
        if rows.is_empty() && (self.static_row.is_none() || after.is_some()) {
            return Ok(Flow::Continue);
        }
        let static_row = self.static_row.as_ref().map(|row| RowRef::parse(row)).transpose()?;
        let mut flow = sink.partition(key, static_row);
        if flow == Flow::Continue && !command.distinct {
            for (position, row) in rows.into_iter().take(command.rows_per_partition_max as usize) {
                flow = sink.row(position, RowRef::parse(row)?);
                if flow != Flow::Continue {
                    break;
                }
            }
        }
        if flow == Flow::Stop {
            return Ok(Flow::Stop);
        }
        Ok(sink.end_partition())
    }
}

type StorageRow = (PartitionKey, Vec<u8>, Option<Vec<u8>>, Vec<u8>);

/// The key, position, static row and row that hold these values.
fn to_storage(table: &Table, values: &[Option<Vec<u8>>]) -> Result<StorageRow> {
    let mut values = values.iter().map(Option::as_deref);
    let mut take = |columns: &[Column]| -> Vec<Option<&[u8]>> {
        columns.iter().map(|_| values.next().flatten()).collect()
    };
    let key: Vec<&[u8]> =
        take(&table.partition_key).into_iter().map(Option::unwrap_or_default).collect();
    let clustering = take(&table.clustering);
    let statics = take(&table.statics);
    let regulars = take(&table.regulars);
    let key = partition_key::compose(&key).map_err(|error| Error::server(error.to_string()))?;
    let columns: Vec<KeyColumn<'_>> = table
        .clustering
        .iter()
        .map(|column| KeyColumn { ty: &column.ty, descending: column.descending })
        .collect();
    let position = row_position(&columns, &clustering)?;
    let mut row = RowBuilder::new();
    row.liveness(Liveness::new(0));
    if let Some(spelling) = spelling(&columns, &clustering) {
        row.spelling(&spelling);
    }
    put_cells(&mut row, &table.regulars, &regulars)?;
    let mut static_row = None;
    if statics.iter().any(Option::is_some) {
        let mut row = RowBuilder::new();
        put_cells(&mut row, &table.statics, &statics)?;
        static_row = Some(row.sort_and_finish()?);
    }
    Ok((key_of(&key), position, static_row, row.sort_and_finish()?))
}

fn put_cells(row: &mut RowBuilder, columns: &[Column], values: &[Option<&[u8]>]) -> Result<()> {
    for (column, value) in columns.iter().zip(values) {
        let Some(value) = value else { continue };
        if column.ty.is_multi_cell() {
            put_elements(row, column.id, &column.ty, value)?;
        } else {
            row.cell(Cell::live(column.id, 0, value));
        }
    }
    Ok(())
}

fn put_elements(row: &mut RowBuilder, id: ColumnId, ty: &CqlType, value: &[u8]) -> Result<()> {
    let cell = |value| Cell::live(id, 0, value);
    match ty {
        CqlType::Set(element) => {
            for bytes in frames::set_elements(value)? {
                let bytes = bytes?;
                row.cell(cell(&[]).with_path(&path::element(element, bytes)?));
            }
        }
        CqlType::Map(key, _) => {
            for (k, v) in frames::map_entries(value)? {
                row.cell(cell(v).with_path(&path::element(key, k)?));
            }
        }
        CqlType::List(_) => {
            for (index, bytes) in frames::list_elements(value)?.enumerate() {
                let uuid = timeuuid_at(index as i64, [0; 8]);
                row.cell(cell(bytes?).with_path(&path::list(&uuid)?));
            }
        }
        CqlType::Udt(udt) => {
            for (index, field) in frames::udt_fields(value, udt)?.into_iter().enumerate() {
                let index = u16::try_from(index).unwrap_or(u16::MAX);
                if let Some(bytes) = field {
                    row.cell(cell(bytes).with_path(&path::field(index)));
                }
            }
        }
        _ => {}
    }
    Ok(())
}
