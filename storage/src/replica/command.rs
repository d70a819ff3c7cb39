//! What a replica is asked, and how far an answer reaches.

use crate::model::{PartitionKey, PositionRange, Slice};
use crate::read::{ReadCommand, after};

/// One read of one replica.
#[derive(Clone, Debug)]
pub struct ReplicaCommand {
    /// What is read. Columns that are not wanted come without their values, so that the
    /// coordinator can still tell whether a row exists.
    pub read: ReadCommand,
    /// Where an earlier page of the same read ended; none for the first.
    pub from: Option<Place>,
    /// The page ends with this many live rows. A partition whose static row alone lives counts
    /// as one; tombstones do not count.
    pub rows_max: u64,
    /// The page ends once it has this many bytes, so it is longer by at most one row or range
    /// tombstone, with the head of its partition if that is the first of it.
    pub bytes_max: usize,
    /// Tombstones past their grace time are kept, for whoever copies content.
    pub keeps_purgeable: bool,
}

impl ReplicaCommand {
    /// The whole of `read` in one page, without limits of its own.
    pub fn new(read: ReadCommand) -> ReplicaCommand {
        let (rows_max, bytes_max) = (u64::MAX, usize::MAX);
        ReplicaCommand { read, from: None, rows_max, bytes_max, keeps_purgeable: false }
    }
}

/// Where in a read something ends, so that it can go on there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub key: PartitionKey,
    /// How much of it lies behind.
    pub reach: Reach,
    /// Live rows of it that lie behind, for `rows_per_partition_max`.
    pub rows: u32,
}

impl Place {
    /// Behind the row at `position`, of which with it `rows` have been told; without a position,
    /// behind the whole partition.
    pub fn behind(key: PartitionKey, position: Option<&Slice>, reversed: bool, rows: u32) -> Place {
        let reach = match position {
            None => Reach::Whole,
            Some(position) if reversed => Reach::Upto(position.clone()),
            Some(position) => Reach::Upto(after(position)),
        };
        Place { key, reach, rows }
    }
}

/// How much of a partition has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Its deletion and static row only.
    BeforeRows,
    /// Going forwards, what lies before this position; going backwards, this position and what
    /// lies behind it.
    Upto(Slice),
    /// All of it that the command names.
    Whole,
}

impl Reach {
    /// What is left of a slice.
    pub(super) fn rest(&self, slice: &PositionRange, reversed: bool) -> PositionRange {
        let PositionRange { start, end } = slice.clone();
        match self {
            Reach::BeforeRows => PositionRange { start, end },
            Reach::Upto(bound) if reversed => PositionRange { start, end: end.min(bound.clone()) },
            Reach::Upto(bound) => PositionRange { start: start.max(bound.clone()), end },
            Reach::Whole => PositionRange { end: start.clone(), start },
        }
    }
}
