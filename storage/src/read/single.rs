//! The commonest read: one partition that one memtable or one SSTable has.
//!
//! No merge, no copy of what is live as it stands, and hardly an allocation. Whatever does not
//! fit (another source, a page that goes on inside the partition) goes the general way; so does
//! the rest of a read that runs out of budget or blocks after it has told something, since what
//! was told is all that the general way needs to go on.

use std::sync::Arc;

use super::blocks::{BlockList, PinnedAccess};
use super::command::{Budget, Flow, Partitions, Read, ReadCommand, Sink};
use super::cursor::{Cursor, ReadContext};
use super::partitions::meets_slices;
use super::source::{Access, Fill, Sought, Source};
use crate::engine::View;
use crate::error::Result;
use crate::model::{PartitionHead, PartitionKey, RowRef, Unfiltered, see_row};

/// What the read found out about its sources before touching any block.
#[expect(clippy::large_enum_variant, reason = "moved once; a box is what this path avoids")]
pub(crate) enum Found {
    /// No source has the partition.
    Nothing,
    /// Exactly one has it, or may have it.
    One(Source),
    /// Not a case for this path.
    General,
}

/// The one source of a partition, if there is only one.
pub(crate) fn only_source(
    view: &View,
    key: &PartitionKey,
    command: &ReadCommand,
    context: &ReadContext<'_>,
) -> Result<Found> {
    view.check_token(key.token)?;
    let mut found = None;
    for memtable in view.memtables() {
        let Some(partition) = memtable.partition(key) else { continue };
        if found.is_some() {
            return Ok(Found::General);
        }
        found = Some(Source::memtable_at(memtable.clone(), partition)?);
    }
    let mut skipped = 0;
    for table in view.sstables() {
        if !table.may_contain(key) || !meets_slices(table, command) {
            skipped += 1;
            continue;
        }
        if found.is_some() {
            return Ok(Found::General);
        }
        found = Some(Source::table(table));
    }
    context.metrics.skipped_by_filter.add(skipped);
    Ok(found.map_or(Found::Nothing, Found::One))
}

impl Cursor {
    /// Whether a read with this cursor may try the path of this module.
    pub(super) fn is_single<'c>(&self, command: &'c ReadCommand) -> Option<&'c PartitionKey> {
        match &command.partitions {
            Partitions::One(key) => {
                let is_plain = !command.distinct && command.rows_per_partition_max > 0;
                (self.is_fresh() && self.told.key.is_none() && is_plain).then_some(key)
            }
            Partitions::Many(_) | Partitions::Range { .. } => None,
        }
    }

    /// Reads the partition from its only source.
    pub(super) fn run_single(
        &mut self,
        mut source: Source,
        key: &PartitionKey,
        command: &ReadCommand,
        sink: &mut dyn Sink,
        budget: &mut Budget,
        context: &ReadContext<'_>,
    ) -> Result<Read> {
        let mut missing = BlockList::default();
        let pinned = std::mem::take(&mut self.pinned);
        let blocks = PinnedAccess::new(&pinned, context.cache);
        let mut access = Access { blocks: &blocks, missing: &mut missing };
        let sought = match source.partition {
            Some(_) => Sought::Found,
            None => source.seek(key, &mut access)?,
        };
        let read = match sought {
            Sought::Missing => None,
            Sought::Absent => Some(Read::Done),
            Sought::Found => {
                self.newest = self.newest.max(source.newest());
                self.told.enter(key);
                let counted = self.tombstones;
                let mut single = Single { cursor: self, source, command, sink, context, counted };
                let told = single.tell(&mut access, budget)?;
                if matches!(told, None | Some(Read::Yield)) {
                    // The general way begins behind the last row told, and counts from there.
                    self.tombstones = single.counted;
                }
                told
            }
        };
        Ok(read.unwrap_or_else(|| {
            // What was fetched stays until the read has got past the place where it stopped.
            self.pinned = pinned;
            Read::NeedsBlocks(missing)
        }))
    }
}

struct Single<'a, 'b> {
    cursor: &'a mut Cursor,
    source: Source,
    command: &'a ReadCommand,
    sink: &'a mut dyn Sink,
    context: &'a ReadContext<'b>,
    /// Tombstones counted up to the last row told.
    counted: u64,
}

/// What to do after a row.
enum Next {
    GoOn,
    Leave,
    Return(Read),
}

impl Single<'_, '_> {
    /// Tells everything; none if a block is missing.
    fn tell(&mut self, access: &mut Access<'_>, budget: &mut Budget) -> Result<Option<Read>> {
        let Some(head) = self.source.partition.take() else { return Ok(Some(Read::Done)) };
        budget.spend_row(0);
        let mut scratch = Vec::new();
        let static_row = self.static_row(&head, &mut scratch)?;
        if static_row.is_some() {
            match self.announce(&head, static_row) {
                Flow::Continue => {}
                Flow::NextPartition => return Ok(Some(self.leave())),
                Flow::Stop => return Ok(Some(Read::Stopped)),
            }
        }
        let mut live = Vec::new();
        let slices = self.command.slices.len();
        for index in 0..slices {
            let at = if self.command.reversed { slices - 1 - index } else { index };
            self.source.start(&self.command.slices[at], self.command.reversed);
            loop {
                match self.source.fill(access)? {
                    Fill::Head => {}
                    Fill::End => break,
                    Fill::Missing => return Ok(None),
                }
                match self.item(&head, static_row, &mut live, budget)? {
                    Next::GoOn => {}
                    Next::Leave => return Ok(Some(self.leave())),
                    Next::Return(read) => return Ok(Some(read)),
                }
            }
        }
        Ok(Some(self.leave()))
    }

    fn static_row<'s>(
        &mut self,
        head: &'s PartitionHead,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<RowRef<'s>>> {
        if !head.deletion.is_none() {
            self.cursor.tombstones += 1;
        }
        let Some(row) = &head.static_row else { return Ok(None) };
        let ReadCommand { now, columns, .. } = self.command;
        let (seen, row) = see_row(RowRef::parse(row)?, head.deletion, *now, columns, scratch)?;
        self.cursor.tombstones += u64::from(seen.tombstones);
        Ok(row)
    }

    fn announce(&mut self, head: &PartitionHead, static_row: Option<RowRef<'_>>) -> Flow {
        self.cursor.told.is_announced = true;
        self.sink.partition(&head.key, static_row)
    }

    /// Looks at the source's head.
    fn item(
        &mut self,
        head: &PartitionHead,
        static_row: Option<RowRef<'_>>,
        live: &mut Vec<u8>,
        budget: &mut Budget,
    ) -> Result<Next> {
        match self.source.head.take() {
            Some(Unfiltered::Row { position, row }) => {
                budget.spend_row(row.len());
                live.clear();
                let covering = head.deletion.newer(self.source.open);
                let ReadCommand { now, columns, .. } = self.command;
                let (seen, row) = see_row(RowRef::parse(&row)?, covering, *now, columns, live)?;
                self.cursor.tombstones += u64::from(seen.tombstones);
                if let Some(row) = row {
                    if !self.cursor.told.is_announced {
                        match self.announce(head, static_row) {
                            Flow::Continue => {}
                            Flow::NextPartition => return Ok(Next::Leave),
                            Flow::Stop => return Ok(Next::Return(Read::Stopped)),
                        }
                    }
                    self.context.metrics.read_rows.add(1);
                    let flow = self.sink.row(&position, row);
                    let told = &mut self.cursor.told;
                    told.position = Some(position);
                    told.rows += 1;
                    self.counted = self.cursor.tombstones;
                    match flow {
                        Flow::Continue if told.rows < self.command.rows_per_partition_max => {}
                        Flow::Continue | Flow::NextPartition => return Ok(Next::Leave),
                        Flow::Stop => return Ok(Next::Return(Read::Stopped)),
                    }
                }
            }
            Some(Unfiltered::Marker { before, after, .. }) => {
                budget.spend_row(0);
                self.cursor.tombstones += 1;
                self.source.open = if self.command.reversed { before } else { after };
            }
            None => return Ok(Next::GoOn),
        }
        if self.cursor.tombstones > self.command.tombstones_max {
            return Ok(Next::Return(Read::TombstoneLimit));
        }
        Ok(if budget.is_spent() { Next::Return(Read::Yield) } else { Next::GoOn })
    }

    fn leave(&mut self) -> Read {
        let told = &mut self.cursor.told;
        told.is_past = true;
        if std::mem::take(&mut told.is_announced) && self.sink.end_partition() == Flow::Stop {
            return Read::Stopped;
        }
        Read::Done
    }
}

/// Reads a partition that only one source has; `None` if it is not such a read.
pub(super) fn try_single(
    cursor: &mut Cursor,
    view: &Arc<View>,
    command: &ReadCommand,
    sink: &mut dyn Sink,
    budget: &mut Budget,
    context: &ReadContext<'_>,
) -> Result<Option<Read>> {
    let Some(key) = cursor.is_single(command) else { return Ok(None) };
    let read = match only_source(view, key, command, context)? {
        Found::General => return Ok(None),
        Found::Nothing => Read::Done,
        Found::One(source) => cursor.run_single(source, key, command, sink, budget, context)?,
    };
    context.metrics.reads_fast.add(1);
    Ok(Some(read))
}
