//! The steps of a read: from partition to partition, slice to slice, row to row.

use super::blocks::{BlockList, PinnedAccess};
use super::command::{Budget, Flow, Partitions, Read, ReadCommand, Sink};
use super::cursor::{Cursor, ReadContext, Stage, Told, Work};
use super::merge::Step;
use super::partitions::Walk;
use super::source::{Access, after};
use crate::error::Result;
use crate::model::{PartitionBound, PartitionHead, PartitionKey, PositionRange, RowRef, live_row};

/// One call of a read.
pub(super) struct Run<'a, 'b> {
    pub(super) cursor: &'a mut Cursor,
    pub(super) work: &'a mut Work,
    pub(super) command: &'a ReadCommand,
    pub(super) sink: &'a mut dyn Sink,
    pub(super) context: &'a ReadContext<'b>,
}

/// What follows a step.
enum Next {
    GoOn,
    Missing,
    Return(Read),
}

impl Run<'_, '_> {
    /// Steps until the budget is spent, blocks are missing, or the read has ended.
    pub(super) fn go_on(&mut self, budget: &mut Budget) -> Result<Read> {
        loop {
            let mut missing = BlockList::default();
            match self.step(&mut missing, budget)? {
                Next::Missing => return Ok(Read::NeedsBlocks(missing)),
                Next::Return(read) => return Ok(read),
                Next::GoOn => self.cursor.pinned.clear(),
            }
            if self.cursor.tombstones > self.command.tombstones_max {
                return Ok(Read::TombstoneLimit);
            }
            if budget.is_spent() {
                return Ok(Read::Yield);
            }
        }
    }

    fn step(&mut self, missing: &mut BlockList, budget: &mut Budget) -> Result<Next> {
        match self.work.stage {
            Stage::Between => {
                self.work.stage = self.next_partition()?;
                Ok(Next::GoOn)
            }
            Stage::Opening => {
                budget.spend_row(0);
                match self.open(missing)? {
                    Walk::Missing => Ok(Next::Missing),
                    Walk::At(head) => self.enter(head),
                    Walk::End => {
                        self.work.stage = self.nothing_found();
                        Ok(Next::GoOn)
                    }
                }
            }
            Stage::Slice(slice) => {
                let cache = self.context.cache;
                let blocks = PinnedAccess::new(&self.cursor.pinned, cache);
                let mut access = Access { blocks: &blocks, missing };
                let work = &mut *self.work;
                match work.merge.step(&mut work.walk.sources, &mut access)? {
                    Step::Missing => Ok(Next::Missing),
                    Step::End => self.begin_slice(slice + 1),
                    Step::Marker => {
                        self.cursor.tombstones += 1;
                        budget.spend_row(0);
                        Ok(Next::GoOn)
                    }
                    Step::Row => {
                        budget.spend_row(self.work.merge.row().len());
                        self.row()
                    }
                }
            }
            Stage::End => Ok(Next::Return(Read::Done)),
        }
    }

    /// Chooses the next partition to look for.
    fn next_partition(&mut self) -> Result<Stage> {
        let Told { key: told, is_past, .. } = &self.cursor.told;
        let (view, metrics) = (&self.work.view, self.context.metrics);
        match &self.command.partitions {
            Partitions::Range { start, end } => {
                if !self.work.has_range {
                    let bound = range_bound(start, told, *is_past);
                    self.work.walk.begin_range(view, &bound, end, self.command, metrics);
                    self.work.has_range = true;
                }
                Ok(Stage::Opening)
            }
            partitions => {
                let keys = partitions.listed();
                let next = self.work.next_key.or_else(|| first_key(keys, told, *is_past));
                let Some((index, key)) =
                    next.and_then(|next| Some((next, keys.get(next)?.clone())))
                else {
                    return Ok(Stage::End);
                };
                self.work.next_key = Some(index + 1);
                self.work.walk.begin_one(view, &key, self.command, metrics)?;
                self.cursor.told.enter(&key);
                Ok(Stage::Opening)
            }
        }
    }

    fn open(&mut self, missing: &mut BlockList) -> Result<Walk> {
        let blocks = PinnedAccess::new(&self.cursor.pinned, self.context.cache);
        let mut access = Access { blocks: &blocks, missing };
        let Told { key: told, is_past, .. } = &self.cursor.told;
        match (&self.command.partitions, told) {
            (Partitions::Range { start, end }, told) => {
                let bound = range_bound(start, told, *is_past);
                self.work.walk.open_next(&bound, end, &mut access)
            }
            (_, Some(key)) => self.work.walk.open_one(key, &mut access, self.context.metrics),
            (_, None) => Ok(Walk::End),
        }
    }

    /// What follows when no source has the partition, or a range has no further one.
    fn nothing_found(&mut self) -> Stage {
        self.cursor.told.is_past = true;
        match self.command.partitions {
            Partitions::Range { .. } => Stage::End,
            Partitions::One(_) | Partitions::Many(_) => Stage::Between,
        }
    }

    fn enter(&mut self, head: PartitionHead) -> Result<Next> {
        let Run { cursor, work, command, .. } = self;
        cursor.told.enter(&head.key);
        work.merge.set_partition_deletion(head.deletion);
        if !head.deletion.is_none() {
            cursor.tombstones += 1;
        }
        work.static_row.clear();
        if let Some(row) = &head.static_row {
            let row = RowRef::parse(row)?;
            let (covering, out) = (head.deletion, &mut work.static_row);
            let seen = live_row(row, covering, command.now, &command.columns, out)?;
            cursor.tombstones += u64::from(seen.tombstones);
            if !seen.exists {
                out.clear();
            }
            let is_resumed = cursor.told.position.is_some();
            if seen.exists && !cursor.told.is_announced && !is_resumed {
                match self.announce()? {
                    Flow::Continue if self.command.distinct => return Ok(self.finish()),
                    Flow::Continue => {}
                    Flow::NextPartition => return Ok(self.finish()),
                    Flow::Stop => return Ok(Next::Return(Read::Stopped)),
                }
            }
        }
        self.begin_slice(0)
    }

    /// Tells the sink that the current partition begins.
    fn announce(&mut self) -> Result<Flow> {
        let told = &mut self.cursor.told;
        let Some(key) = &told.key else { return Ok(Flow::Continue) };
        told.is_announced = true;
        let static_row = match self.work.static_row.as_slice() {
            [] => None,
            bytes => Some(RowRef::parse(bytes)?),
        };
        Ok(self.sink.partition(key, static_row))
    }

    /// Begins the slice of this index in reading order, or leaves the partition after the last.
    fn begin_slice(&mut self, mut index: usize) -> Result<Next> {
        let Run { cursor, work, command, .. } = self;
        let count = command.slices.len();
        while index < count && cursor.told.rows < command.rows_per_partition_max {
            let at = if command.reversed { count - 1 - index } else { index };
            let range = rest(&command.slices[at], &cursor.told, command.reversed);
            if !range.is_empty() {
                work.walk.start(&range, command.reversed);
                work.merge.begin(&work.walk.participants, command.reversed);
                work.stage = Stage::Slice(index);
                return Ok(Next::GoOn);
            }
            index += 1;
        }
        Ok(self.finish())
    }

    /// Looks at the merge's current row.
    fn row(&mut self) -> Result<Next> {
        let Run { cursor, work, command, .. } = self;
        let row = RowRef::parse(work.merge.row())?;
        work.live.clear();
        let covering = work.merge.covering();
        let seen = live_row(row, covering, command.now, &command.columns, &mut work.live)?;
        cursor.tombstones += u64::from(seen.tombstones);
        if !seen.exists {
            return Ok(Next::GoOn);
        }
        if !cursor.told.is_announced {
            match self.announce()? {
                Flow::Continue => {}
                Flow::NextPartition => return Ok(self.finish()),
                Flow::Stop => return Ok(Next::Return(Read::Stopped)),
            }
        }
        if self.command.distinct {
            return Ok(self.finish());
        }
        let position = self.work.merge.position();
        let told = &mut self.cursor.told;
        told.position = Some(position.clone());
        told.rows += 1;
        self.context.metrics.read_rows.add(1);
        match self.sink.row(position, RowRef::parse(&self.work.live)?) {
            Flow::Continue if told.rows < self.command.rows_per_partition_max => Ok(Next::GoOn),
            Flow::Continue | Flow::NextPartition => Ok(self.finish()),
            Flow::Stop => Ok(Next::Return(Read::Stopped)),
        }
    }

    /// Leaves the current partition.
    fn finish(&mut self) -> Next {
        let told = &mut self.cursor.told;
        told.is_past = true;
        self.work.walk.pass();
        self.work.stage = match self.command.partitions {
            Partitions::One(_) => Stage::End,
            Partitions::Many(_) | Partitions::Range { .. } => Stage::Between,
        };
        if std::mem::take(&mut told.is_announced) && self.sink.end_partition() == Flow::Stop {
            return Next::Return(Read::Stopped);
        }
        Next::GoOn
    }
}

impl Told {
    /// Goes to `key`, which may be the partition that a page ended in.
    pub(super) fn enter(&mut self, key: &PartitionKey) {
        if self.key.as_ref() != Some(key) {
            *self = Told { key: Some(key.clone()), ..Told::default() };
        }
        self.is_past = false;
    }
}

/// Where in a list of keys to go on; none if the key told last is not in it.
pub(crate) fn first_key(
    keys: &[PartitionKey],
    told: &Option<PartitionKey>,
    is_past: bool,
) -> Option<usize> {
    match told {
        None => Some(0),
        Some(told) => {
            let at = keys.iter().position(|key| key == told)?;
            Some(at + usize::from(is_past))
        }
    }
}

/// Where in a range to go on.
pub(crate) fn range_bound(
    start: &PartitionBound,
    told: &Option<PartitionKey>,
    is_past: bool,
) -> PartitionBound {
    match told {
        None => start.clone(),
        Some(key) if is_past => PartitionBound::AfterKey(key.clone()),
        Some(key) => PartitionBound::AtKey(key.clone()),
    }
}

/// What is left of a slice.
pub(super) fn rest(slice: &PositionRange, told: &Told, reversed: bool) -> PositionRange {
    match &told.position {
        None => slice.clone(),
        Some(told) if reversed => {
            let end = slice.end.clone().min(told.clone());
            PositionRange { start: slice.start.clone(), end }
        }
        Some(told) => {
            let start = slice.start.clone().max(after(told));
            PositionRange { start, end: slice.end.clone() }
        }
    }
}
