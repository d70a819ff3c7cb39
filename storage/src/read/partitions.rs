//! Walks the partitions of a read over all sources: opens one by key, or the next of a range.

use std::sync::Arc;

use super::command::ReadCommand;
use super::source::{Access, Sought, Source};
use crate::engine::{Unreadable, View};
use crate::error::Result;
use crate::metrics::Metrics;
use crate::model::{
    Deletion, LogPosition, PartitionBound, PartitionHead, PartitionKey, PositionRange, RowRef,
    Slice, merge_rows,
};
use crate::sstable::SsTable;

/// The sources of a read, and which of them hold the partition that it stands on.
#[derive(Default)]
pub(crate) struct PartitionWalk {
    pub(crate) sources: Vec<Source>,
    /// Sources that hold the current partition.
    pub(crate) participants: Vec<usize>,
    /// SSTables of a range whose first key has not been reached, in descending order of it.
    waiting: Vec<Arc<SsTable>>,
    /// Files with something in the range that cannot be read.
    unreadable: Vec<Arc<Unreadable>>,
    /// Sources that must be moved before the next partition is known.
    unsought: Vec<usize>,
    /// Newest log position of any memtable partition that took part.
    pub(crate) newest: LogPosition,
}

/// Where a walk stands.
pub(crate) enum Walk {
    /// On a partition: its merged head.
    At(PartitionHead),
    /// There is no (further) partition.
    End,
    Missing,
}

impl PartitionWalk {
    /// Begins to look for one partition.
    pub(crate) fn begin_one(
        &mut self,
        view: &View,
        key: &PartitionKey,
        command: &ReadCommand,
        metrics: &Metrics,
    ) -> Result<()> {
        view.check_token(key.token)?;
        self.sources.clear();
        self.sources.extend(view.memtables().map(|memtable| Source::memtable(memtable.clone())));
        for table in view.sstables() {
            if !has_in_range(table, key) {
                metrics.skipped_by_key.add(1);
            } else if !table.may_contain(key) {
                metrics.skipped_by_filter.add(1);
            } else if !meets_slices(table, command) {
                metrics.skipped_by_position.add(1);
            } else {
                self.sources.push(Source::table(table));
            }
        }
        // Newest first, so that a partition deletion is met before what it hides.
        self.sources.sort_by_key(|source| {
            std::cmp::Reverse(source.sstable().map_or(i64::MAX, |t| t.stats().max_timestamp))
        });
        self.participants.clear();
        self.unsought = (0..self.sources.len()).collect();
        Ok(())
    }

    /// Begins to look for a partition that only this source may have.
    pub(crate) fn begin_only(&mut self, source: Source) {
        self.sources.clear();
        self.participants.clear();
        self.unsought.clear();
        if source.partition.is_some() {
            self.newest = self.newest.max(source.newest());
            self.participants.push(0);
        } else {
            self.unsought.push(0);
        }
        self.sources.push(source);
    }

    /// Opens the partition that `begin_one` or `begin_only` named.
    pub(crate) fn open_one(
        &mut self,
        key: &PartitionKey,
        access: &mut Access<'_>,
        metrics: &Metrics,
    ) -> Result<Walk> {
        let mut deletion = self.newest_deletion();
        let mut still_unsought = Vec::new();
        for index in std::mem::take(&mut self.unsought) {
            let source = &mut self.sources[index];
            if source.sstable().is_some_and(|table| is_hidden(table, deletion)) {
                metrics.skipped_by_timestamp.add(1);
                continue;
            }
            match source.seek(key, access)? {
                Sought::Absent => {}
                Sought::Missing => still_unsought.push(index),
                Sought::Found => {
                    self.newest = self.newest.max(source.newest());
                    self.participants.push(index);
                    deletion = deletion.newer(source.deletion());
                }
            }
        }
        self.unsought = still_unsought;
        if !self.unsought.is_empty() {
            return Ok(Walk::Missing);
        }
        self.merged_head()
    }

    fn newest_deletion(&self) -> Deletion {
        let deletions = self.participants.iter().map(|&index| self.sources[index].deletion());
        deletions.fold(Deletion::NONE, Deletion::newer)
    }

    /// Begins to walk the partitions between two bounds.
    pub(crate) fn begin_range(
        &mut self,
        view: &View,
        start: &PartitionBound,
        end: &PartitionBound,
        command: &ReadCommand,
        metrics: &Metrics,
    ) {
        self.sources.clear();
        self.sources.extend(view.memtables().map(|memtable| Source::memtable(memtable.clone())));
        self.waiting.clear();
        for table in view.sstables() {
            let Some((first, last)) = &table.stats().keys else { continue };
            if !start.is_before(last.as_ref()) || end.is_before(first.as_ref()) {
                metrics.skipped_by_key.add(1);
            } else if !meets_slices(table, command) {
                metrics.skipped_by_position.add(1);
            } else {
                self.waiting.push(table.clone());
            }
        }
        let unreadable = view.unreadable.iter().filter(|file| file.meets(start, end));
        self.unreadable = unreadable.cloned().collect();
        self.waiting.sort_by(|a, b| first_key(b).cmp(&first_key(a)));
        self.participants.clear();
        self.unsought = (0..self.sources.len()).collect();
    }

    /// Begins to walk all partitions of these sources.
    pub(crate) fn begin_all(&mut self, sources: Vec<Source>) {
        self.unsought = (0..sources.len()).collect();
        self.sources = sources;
    }

    /// Goes to the first partition after `bound`; all partitions before it must be behind.
    pub(crate) fn open_next(
        &mut self,
        bound: &PartitionBound,
        end: &PartitionBound,
        access: &mut Access<'_>,
    ) -> Result<Walk> {
        loop {
            if !self.seek_unsought(bound, access)? {
                return Ok(Walk::Missing);
            }
            let first = self.first_key();
            // A file joins the walk only once the walk reaches its first key.
            let joins = self.waiting.last().is_some_and(|table| {
                first.as_ref().is_none_or(|first| first_key(table) <= Some(first))
            });
            if joins && let Some(table) = self.waiting.pop() {
                self.unsought.push(self.sources.len());
                self.sources.push(Source::table(&table));
                continue;
            }
            // The walk may not step over where a file that cannot be read begins.
            let is_reached = |file: &&Arc<Unreadable>| {
                first.as_ref().is_none_or(|first| file.tokens().0 <= first.token)
            };
            if let Some(file) = self.unreadable.iter().find(is_reached) {
                return Err(file.error());
            }
            let Some(first) = first else { return Ok(Walk::End) };
            if !end.cmp_key(first.as_ref()).is_gt() {
                return Ok(Walk::End);
            }
            self.participants.clear();
            for (index, source) in self.sources.iter().enumerate() {
                if source.partition.as_ref().is_some_and(|head| head.key == first) {
                    self.participants.push(index);
                    self.newest = self.newest.max(source.newest());
                }
            }
            return self.merged_head();
        }
    }

    /// Moves past the current partition of a range.
    pub(crate) fn pass(&mut self) {
        self.unsought.append(&mut self.participants);
    }

    fn seek_unsought(&mut self, bound: &PartitionBound, access: &mut Access<'_>) -> Result<bool> {
        let mut still_unsought = Vec::new();
        for index in std::mem::take(&mut self.unsought) {
            if self.sources[index].seek_next(bound, access)? == Sought::Missing {
                still_unsought.push(index);
            }
        }
        self.unsought = still_unsought;
        Ok(self.unsought.is_empty())
    }

    fn first_key(&self) -> Option<PartitionKey> {
        let keys = self.sources.iter().filter_map(|s| s.partition.as_ref().map(|head| &head.key));
        keys.min().cloned()
    }

    /// Begins a range of positions in all participants.
    pub(crate) fn start(&mut self, range: &PositionRange, reversed: bool) {
        for &index in &self.participants {
            self.sources[index].start(range, reversed);
        }
    }

    fn merged_head(&self) -> Result<Walk> {
        if let [only] = self.participants.as_slice() {
            let head = self.sources.get(*only).and_then(|source| source.partition.clone());
            return Ok(head.map_or(Walk::End, Walk::At));
        }
        let heads: Vec<&PartitionHead> = self
            .participants
            .iter()
            .filter_map(|&index| self.sources[index].partition.as_ref())
            .collect();
        let Some(first) = heads.first() else { return Ok(Walk::End) };
        Ok(Walk::At(merge_heads(&first.key, &heads)?))
    }
}

/// What several sources say before the rows of one partition, as one.
pub(crate) fn merge_heads(key: &PartitionKey, heads: &[&PartitionHead]) -> Result<PartitionHead> {
    let deletions = heads.iter().map(|head| head.deletion);
    let deletion = deletions.fold(Deletion::NONE, Deletion::newer);
    let mut rows = Vec::new();
    for row in heads.iter().filter_map(|head| head.static_row.as_ref()) {
        rows.push(RowRef::parse(row)?);
    }
    let mut merged = Vec::new();
    let is_left = !rows.is_empty() && merge_rows(&rows, deletion, &mut merged)?;
    let static_row = is_left.then(|| Slice::from(merged));
    Ok(PartitionHead { key: key.clone(), deletion, static_row })
}

/// Whether anything that the command wants of a partition can be in the file, judged by the
/// clustering positions that the file has. What stands before the rows of a partition is always
/// wanted.
pub(super) fn meets_slices(table: &SsTable, command: &ReadCommand) -> bool {
    let stats = table.stats();
    if stats.partition_deletions > 0 || stats.static_rows > 0 {
        return true;
    }
    let Some((lowest, highest)) = &stats.positions else { return false };
    command.slices.iter().any(|slice| slice.start <= *highest && *lowest < slice.end)
}

/// Whether a partition deletion hides all that the file can have of the partition. A deleted
/// counter outlives every deletion, and so may a file of nothing but counters and such.
fn is_hidden(table: &SsTable, deletion: Deletion) -> bool {
    let stats = table.stats();
    let has_dead_counters =
        stats.cell_tombstones > 0 && stats.cells == stats.counters + stats.cell_tombstones;
    stats.max_timestamp < deletion.timestamp && !has_dead_counters
}

fn first_key(table: &SsTable) -> Option<&PartitionKey> {
    table.stats().keys.as_ref().map(|(first, _)| first)
}

/// Whether the key lies between the file's first and last.
pub(super) fn has_in_range(table: &SsTable, key: &PartitionKey) -> bool {
    table.stats().keys.as_ref().is_some_and(|(first, last)| first <= key && key <= last)
}
