//! One source of a read or a compaction: a memtable or an SSTable, walked partition by partition
//! and, inside one, position by position.
//!
//! A source is a resting place for state: a step that meets a missing block changes nothing, and
//! is called again once the block is there.

use std::sync::Arc;

use super::blocks::BlockList;
use crate::error::Result;
use crate::memtable::{MemIter, MemPartition, Memtable};
use crate::model::{
    Deletion, LogPosition, PartitionBound, PartitionHead, PartitionKey, PositionRange, Slice,
    Unfiltered,
};
use crate::sstable::{BlockAccess, ReadStop, SsTable, SsTableCursor};

/// How a source reaches blocks, and where it reports those it could not reach.
pub(crate) struct Access<'a> {
    pub(crate) blocks: &'a dyn BlockAccess,
    pub(crate) missing: &'a mut BlockList,
}

/// Whether a source has a next row or marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    Head,
    End,
    Missing,
}

/// Whether a source has the partition that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    Found,
    Absent,
    Missing,
}

pub(crate) struct Source {
    kind: Kind,
    /// The partition that the source stands on.
    pub(crate) partition: Option<PartitionHead>,
    /// The next row or marker, if known.
    pub(crate) head: Option<Unfiltered>,
    /// The range deletion in force after the last marker taken.
    pub(crate) open: Deletion,
}

enum Kind {
    Memtable(MemtableSource),
    Table(Box<SsTableCursor>, Arc<SsTable>),
}

struct MemtableSource {
    memtable: Arc<Memtable>,
    partition: Option<MemPartition>,
    rows: Option<MemIter>,
}

impl Source {
    pub(crate) fn memtable(memtable: Arc<Memtable>) -> Source {
        Source::new(Kind::Memtable(MemtableSource { memtable, partition: None, rows: None }))
    }

    /// A memtable that stands on a partition already.
    pub(crate) fn memtable_at(memtable: Arc<Memtable>, partition: MemPartition) -> Result<Source> {
        let head = partition.head()?;
        let kind = MemtableSource { memtable, partition: Some(partition), rows: None };
        Ok(Source { partition: Some(head), ..Source::new(Kind::Memtable(kind)) })
    }

    pub(crate) fn table(table: &Arc<SsTable>) -> Source {
        Source::new(Kind::Table(Box::new(table.cursor()), table.clone()))
    }

    fn new(kind: Kind) -> Source {
        Source { kind, partition: None, head: None, open: Deletion::NONE }
    }

    /// The SSTable, if the source is one.
    pub(crate) fn sstable(&self) -> Option<&SsTable> {
        match &self.kind {
            Kind::Memtable(_) => None,
            Kind::Table(_, table) => Some(table),
        }
    }

    /// The deletion of the partition that the source stands on.
    pub(crate) fn deletion(&self) -> Deletion {
        self.partition.as_ref().map_or(Deletion::NONE, |head| head.deletion)
    }

    /// The newest log position in the partition that the source stands on, if it is a memtable.
    pub(crate) fn newest(&self) -> LogPosition {
        match &self.kind {
            Kind::Memtable(source) => {
                source.partition.as_ref().map_or(LogPosition::START, MemPartition::newest)
            }
            Kind::Table(..) => LogPosition::START,
        }
    }

    /// Goes to one partition.
    pub(crate) fn seek(&mut self, key: &PartitionKey, access: &mut Access<'_>) -> Result<Sought> {
        let found = match &mut self.kind {
            Kind::Memtable(source) => {
                source.partition = source.memtable.partition(key);
                source.partition.as_ref().map(MemPartition::head).transpose()?
            }
            Kind::Table(cursor, table) => {
                match access.take(table, cursor.seek_partition(access.blocks, key))? {
                    Some(found) => found,
                    None => return Ok(Sought::Missing),
                }
            }
        };
        Ok(self.stand_on(found))
    }

    /// Goes to the first partition after `bound`.
    pub(crate) fn seek_next(
        &mut self,
        bound: &PartitionBound,
        access: &mut Access<'_>,
    ) -> Result<Sought> {
        let found = match &mut self.kind {
            Kind::Memtable(source) => {
                let next = source.memtable.next_partition(bound);
                source.partition = next.map(|(_, partition)| partition);
                source.partition.as_ref().map(MemPartition::head).transpose()?
            }
            Kind::Table(cursor, table) => {
                match access.take(table, cursor.next_partition(access.blocks, bound))? {
                    Some(found) => found,
                    None => return Ok(Sought::Missing),
                }
            }
        };
        Ok(self.stand_on(found))
    }

    fn stand_on(&mut self, found: Option<PartitionHead>) -> Sought {
        self.partition = found;
        self.head = None;
        self.open = Deletion::NONE;
        if self.partition.is_some() { Sought::Found } else { Sought::Absent }
    }

    /// Begins to walk a range of the partition that the source stands on.
    pub(crate) fn start(&mut self, range: &PositionRange, reversed: bool) {
        self.head = None;
        self.open = Deletion::NONE;
        match &mut self.kind {
            Kind::Memtable(source) => {
                source.rows = source.partition.as_ref().map(|p| p.iter(range, reversed));
            }
            Kind::Table(cursor, _) => cursor.slice(range, reversed),
        }
    }

    /// Makes the next row or marker known.
    pub(crate) fn fill(&mut self, access: &mut Access<'_>) -> Result<Fill> {
        let next = match &mut self.kind {
            Kind::Memtable(source) => source.rows.as_mut().and_then(MemIter::next).transpose()?,
            Kind::Table(cursor, table) => match access.take(table, cursor.next(access.blocks))? {
                Some(next) => next,
                None => return Ok(Fill::Missing),
            },
        };
        self.head = next;
        Ok(if self.head.is_some() { Fill::Head } else { Fill::End })
    }
}

/// The least byte string above `position`: no position of a table lies between the two.
pub(crate) fn after(position: &[u8]) -> Slice {
    let mut bytes = Vec::with_capacity(position.len() + 1);
    bytes.extend_from_slice(position);
    bytes.push(0);
    Slice::from(bytes)
}

impl Access<'_> {
    /// Unwraps a cursor's answer: none means that a block is missing, which has been noted.
    fn take<T>(
        &mut self,
        table: &Arc<SsTable>,
        answer: std::result::Result<T, ReadStop>,
    ) -> Result<Option<T>> {
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(ReadStop::Error(error)) => Err(error),
            Err(ReadStop::Missing(block)) => {
                self.missing.push(table, block);
                Ok(None)
            }
        }
    }
}
