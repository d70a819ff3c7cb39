//! What a reader asks for, and how it is told.

use super::blocks::BlockList;
use crate::error::{Error, Result};
use crate::model::{ColumnSet, PartitionBound, PartitionKey, PositionRange, RowRef, TableId};

/// One read of one table.
#[derive(Clone, Debug)]
pub struct ReadCommand {
    /// The table.
    pub table: TableId,
    /// Which partitions, in which order.
    pub partitions: Partitions,
    /// Clustering positions wanted in every partition: ascending and disjoint. Also ascending
    /// when `reversed`. Empty: no rows, only partitions with a live static row.
    pub slices: Vec<PositionRange>,
    /// Rows of a partition come in descending position order. Partitions are never reversed.
    pub reversed: bool,
    /// Which columns' cells are handed over; a row's existence is judged on all of them.
    pub columns: ColumnSet,
    /// The request's one idea of the time: seconds since the epoch.
    pub now: i64,
    /// At most this many rows of each partition; `u32::MAX` for no limit.
    pub rows_per_partition_max: u32,
    /// Only tell which partitions exist, with their static rows: no rows are handed over.
    pub distinct: bool,
    /// The read stops with `Read::TombstoneLimit` after stepping over more tombstones than this.
    pub tombstones_max: u64,
}

impl ReadCommand {
    /// A read of whole partitions: every row, every column, forwards, no limits.
    pub fn new(table: TableId, partitions: Partitions, now: i64) -> ReadCommand {
        ReadCommand {
            table,
            partitions,
            slices: vec![PositionRange::whole()],
            reversed: false,
            columns: ColumnSet::All,
            now,
            rows_per_partition_max: u32::MAX,
            distinct: false,
            tombstones_max: u64::MAX,
        }
    }

    /// Refuses what no reader could answer rightly.
    pub(crate) fn check(&self) -> Result<()> {
        let is_ordered = |pair: &[PositionRange]| matches!(pair, [a, b] if a.end <= b.start);
        let slices = &self.slices;
        if !slices.windows(2).all(is_ordered) || slices.iter().any(|s| s.start > s.end) {
            return Err(Error::invalid("slices that are not ascending and disjoint"));
        }
        Ok(())
    }
}

/// Which partitions a command reads.
#[derive(Clone, Debug)]
pub enum Partitions {
    /// One partition.
    One(PartitionKey),
    /// Several, read in the given order; keys must differ.
    Many(Vec<PartitionKey>),
    /// All partitions between two bounds, in (token, key) order.
    Range {
        /// Before the first.
        start: PartitionBound,
        /// After the last.
        end: PartitionBound,
    },
}

impl Partitions {
    /// The keys that are listed one by one.
    pub(crate) fn listed(&self) -> &[PartitionKey] {
        match self {
            Partitions::One(key) => std::slice::from_ref(key),
            Partitions::Many(keys) => keys,
            Partitions::Range { .. } => &[],
        }
    }
}

/// Takes what a read finds, in order.
pub trait Sink {
    /// A partition with a live static row or a live row begins. When a resumed read enters a
    /// partition in its middle, this is called only if another row follows.
    fn partition(&mut self, key: &PartitionKey, static_row: Option<RowRef<'_>>) -> Flow;

    /// A live row: only live cells of the wanted columns.
    fn row(&mut self, position: &[u8], row: RowRef<'_>) -> Flow;

    /// The partition that `partition` began has ended; not called after `Flow::Stop`.
    fn end_partition(&mut self) -> Flow;
}

/// What a sink wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Skip what is left of this partition.
    NextPartition,
    /// End the read: it returns `Read::Stopped`.
    Stop,
}

/// How much work a call may do before it must yield.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Units left: a row or a cell visited costs one, and so do 64 bytes.
    pub units: u64,
}

impl Budget {
    /// A budget that never runs out.
    pub const UNLIMITED: Budget = Budget { units: u64::MAX };

    /// A budget of `units`.
    pub fn new(units: u64) -> Budget {
        Budget { units }
    }

    /// Takes the cost of visiting one row of `bytes` bytes.
    pub fn spend_row(&mut self, bytes: usize) {
        self.units = self.units.saturating_sub(1 + bytes as u64 / 64);
    }

    /// Nothing is left.
    pub fn is_spent(&self) -> bool {
        self.units == 0
    }
}

/// How a call of `read` ended.
#[derive(Debug)]
#[must_use]
pub enum Read {
    /// Everything that the command names has been handed over.
    Done,
    /// The sink said `Flow::Stop`.
    Stopped,
    /// These blocks must be fetched (`Engine::fetch`) before the read can go on.
    NeedsBlocks(BlockList),
    /// The budget is spent: call again with the same cursor.
    Yield,
    /// The read stepped over more tombstones than the command allows.
    TombstoneLimit,
}
