//! What modifications read before they write: the rows that conditions, counters and places in
//! lists are about.

use std::collections::BTreeMap;

use helenus_storage::model::counter::{self, CounterId, Shard};
use helenus_storage::model::{
    ColumnId, ColumnSet, Entry, LogPosition, PartitionKey, PositionRange, RowRef, TableId,
};
use helenus_storage::{BlockList, Budget, Cursor, Flow, Partitions, Read, ReadCommand, Sink};

use crate::error::Result;
use crate::query::services::Services;

/// The rows found in one partition.
#[derive(Debug, Default)]
pub(crate) struct FoundPartition {
    /// The static row.
    pub(crate) static_row: Option<Vec<u8>>,
    /// Rows by position.
    pub(crate) rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Sink for FoundPartition {
    fn partition(&mut self, _: &PartitionKey, static_row: Option<RowRef<'_>>) -> Flow {
        self.static_row = static_row.map(|row| row.bytes().to_vec());
        Flow::Continue
    }

    fn row(&mut self, position: &[u8], row: RowRef<'_>) -> Flow {
        self.rows.insert(position.to_vec(), row.bytes().to_vec());
        Flow::Continue
    }

    fn end_partition(&mut self) -> Flow {
        Flow::Continue
    }
}

/// What one partition is asked for.
#[derive(Debug)]
pub(crate) struct WantedPartition {
    /// Rows by position.
    rows: Vec<Vec<u8>>,
    /// Its first row, whichever that is.
    first_row: bool,
}

/// A counter: its table, partition, position (none for a static one) and column.
type CounterPlace = (TableId, PartitionKey, Option<Vec<u8>>, ColumnId);

/// All rows that a request reads before it writes.
#[derive(Default)]
pub(crate) struct Reads {
    wanted: BTreeMap<(TableId, PartitionKey), WantedPartition>,
    found: BTreeMap<(TableId, PartitionKey), FoundPartition>,
    /// Own shards as this request has already raised them.
    shards: BTreeMap<CounterPlace, Shard>,
    /// The read under way.
    current: Option<(ReadCommand, Cursor, FoundPartition)>,
    newest: LogPosition,
}

/// How reading ended.
pub(crate) enum ReadOn {
    Complete,
    Yield,
    NeedsBlocks(BlockList),
    TombstoneLimit,
}

impl std::fmt::Debug for ReadOn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ReadOn")
    }
}

impl Reads {
    fn want(&mut self, table: TableId, key: &PartitionKey) -> &mut WantedPartition {
        self.wanted
            .entry((table, key.clone()))
            .or_insert(WantedPartition { rows: Vec::new(), first_row: false })
    }

    /// Asks for the static row of a partition, and for its first row.
    pub(crate) fn want_partition(&mut self, table: TableId, key: &PartitionKey, first_row: bool) {
        self.want(table, key).first_row |= first_row;
    }

    /// Asks for a row.
    pub(crate) fn want_row(&mut self, table: TableId, key: &PartitionKey, position: &[u8]) {
        let wanted = self.want(table, key);
        if !wanted.rows.iter().any(|other| other == position) {
            wanted.rows.push(position.to_vec());
        }
    }

    /// The partitions that are read.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.wanted.keys().map(|(table, key)| (table.0, &*key.key))
    }

    /// The tables and partitions that are to be read.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (TableId, &PartitionKey)> {
        self.wanted.keys().map(|(table, key)| (*table, key))
    }

    /// The newest log position that was looked at.
    pub(crate) fn newest(&self) -> LogPosition {
        self.newest
    }

    /// Reads on, without waiting.
    pub(crate) fn step(
        &mut self,
        services: &Services,
        now_seconds: i64,
        budget: &mut Budget,
    ) -> Result<ReadOn> {
        loop {
            if self.current.is_none() {
                let Some(((table, key), wanted)) = self.wanted.pop_first() else {
                    return Ok(ReadOn::Complete);
                };
                let most = services.guardrails.limits.tombstone.fail();
                let command = command(table, key, wanted, now_seconds, most);
                let cursor = Cursor::new(&command);
                self.current = Some((command, cursor, FoundPartition::default()));
            }
            let Some((command, cursor, found)) = &mut self.current else { continue };
            match services.engine.read(command, cursor, found, budget)? {
                Read::Yield => return Ok(ReadOn::Yield),
                Read::NeedsBlocks(blocks) => return Ok(ReadOn::NeedsBlocks(blocks)),
                Read::TombstoneLimit => return Ok(ReadOn::TombstoneLimit),
                Read::Done | Read::Stopped => {}
            }
            if let Some((command, cursor, found)) = self.current.take() {
                self.newest = self.newest.max(cursor.newest());
                if let Partitions::One(key) = command.partitions {
                    self.found.insert((command.table, key), found);
                }
            }
        }
    }

    /// Fetches blocks for the read under way. Waits for the disk.
    pub(crate) fn fetch(&mut self, services: &Services, blocks: BlockList) -> Result<()> {
        match &mut self.current {
            Some((_, cursor, _)) => Ok(services.engine.fetch(blocks, cursor)?),
            None => Ok(()),
        }
    }

    /// What was found in a partition.
    pub(crate) fn found(&self, table: TableId, key: &PartitionKey) -> Option<&FoundPartition> {
        self.found.get(&(table, key.clone()))
    }

    /// The bytes of a row, or of the static row without a position, if it was found.
    fn row(&self, scope: &Scope<'_>) -> Option<&[u8]> {
        let found = self.found(scope.table, scope.key)?;
        match scope.position {
            Some(position) => found.rows.get(position).map(Vec::as_slice),
            None => found.static_row.as_deref(),
        }
    }

    /// The elements of a list: paths and values, in order.
    pub(crate) fn list(
        &self,
        scope: &Scope<'_>,
        column: ColumnId,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut elements = Vec::new();
        let Some(row) = self.row(scope) else { return Ok(elements) };
        for entry in RowRef::parse(row)?.entries() {
            if let Entry::Cell(cell) = entry?
                && cell.column == column
                && let Some(path) = cell.path
            {
                elements.push((path.to_vec(), cell.value.to_vec()));
            }
        }
        Ok(elements)
    }

    /// The node's shard of a counter, raised by `delta`.
    pub(crate) fn raise(
        &mut self,
        scope: &Scope<'_>,
        column: ColumnId,
        id: CounterId,
        delta: i64,
        timestamp: i64,
    ) -> Result<Shard> {
        let position = scope.position.map(<[u8]>::to_vec);
        let place = (scope.table, scope.key.clone(), position, column);
        let before = match self.shards.get(&place) {
            Some(shard) => Some(*shard),
            None => self.stored_shard(scope, column, id)?,
        };
        let shard = Shard::after(before, id, delta, timestamp);
        self.shards.insert(place, shard);
        Ok(shard)
    }

    fn stored_shard(
        &self,
        scope: &Scope<'_>,
        column: ColumnId,
        id: CounterId,
    ) -> Result<Option<Shard>> {
        let Some(row) = self.row(scope) else { return Ok(None) };
        for entry in RowRef::parse(row)?.entries() {
            if let Entry::Cell(cell) = entry?
                && cell.column == column
            {
                return Ok(counter::find(cell.value, id)?);
            }
        }
        Ok(None)
    }
}

/// The row that an operation is on; without a position, the static row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) table: TableId,
    pub(crate) key: &'a PartitionKey,
    pub(crate) position: Option<&'a [u8]>,
}

/// The range that holds just the row at `position`.
fn range_of(position: &[u8]) -> PositionRange {
    let components = position.split_last().map_or(&[][..], |(_, components)| components);
    PositionRange::of_prefix(components)
}

fn command(
    table: TableId,
    key: PartitionKey,
    mut wanted: WantedPartition,
    now_seconds: i64,
    tombstones_max: u64,
) -> ReadCommand {
    wanted.rows.sort_unstable();
    let mut slices: Vec<PositionRange> = wanted.rows.iter().map(|row| range_of(row)).collect();
    let mut command = ReadCommand::new(table, Partitions::One(key), now_seconds);
    if slices.is_empty() && wanted.first_row {
        slices.push(PositionRange::whole());
        command.rows_per_partition_max = 1;
    }
    command.slices = slices;
    command.columns = ColumnSet::All;
    command.tombstones_max = tombstones_max;
    command
}
