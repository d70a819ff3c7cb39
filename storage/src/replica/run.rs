//! A replica's read: walks the sources of a table as `read::run` does, and writes what it finds
//! into a page, with its tombstones.

use std::sync::Arc;

use super::command::{Place, Reach, ReplicaCommand};
use super::page::digest;
use super::writer::PageWriter;
use crate::engine::View;
use crate::error::{Error, Result};
use crate::model::{LogPosition, PartitionHead, PartitionKey, RowRef, Slice, Unfiltered};
use crate::read::{
    Access, BlockList, Budget, Fill, Found as Sources, Merge, PartitionWalk, Partitions, Pinned,
    PinnedAccess, Read, ReadContext, Step, Walk, after, first_key, only_source, range_bound,
};
use crate::sstable::BlockCache;

/// A read of a replica in progress, and in the end its page.
pub struct ReplicaRead {
    command: ReplicaCommand,
    place: At,
    newest: LogPosition,
    tombstones: u64,
    pinned: Pinned,
    /// None before the first step.
    work: Option<Box<Work>>,
    page: Option<Vec<u8>>,
    stopped_at: Option<Place>,
}

/// Where the read is.
#[derive(Default)]
struct At {
    /// The partition that it is in or was in last; none before the first.
    key: Option<PartitionKey>,
    /// That partition is done with.
    is_past: bool,
    /// How much of it an earlier page has; none if none has been in it.
    before: Option<Reach>,
    /// Live rows of it that were counted.
    rows: u32,
}

/// What the read has built.
struct Work {
    view: Arc<View>,
    walk: PartitionWalk,
    merge: Merge,
    writer: PageWriter,
    stage: Stage,
    next_key: Option<usize>,
    has_range: bool,
    /// The partition's static row lives and no row of it was found to.
    is_static_only: bool,
    /// The current row of a partition that only one source has.
    alone: Option<(Slice, Slice)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Between,
    Opening,
    /// In the slice of this index, counted in reading order.
    Slice(usize),
    End,
}

enum Next {
    GoOn,
    Missing,
    Return(Read),
}

impl ReplicaRead {
    /// A read before its first step.
    pub fn new(mut command: ReplicaCommand) -> ReplicaRead {
        let mut place = At::default();
        if let Some(Place { key, reach, rows }) = command.from.take() {
            let is_past = reach == Reach::Whole || rows >= command.read.rows_per_partition_max;
            place = At { key: Some(key), is_past, before: Some(reach), rows };
        }
        ReplicaRead {
            command,
            place,
            newest: LogPosition::START,
            tombstones: 0,
            pinned: Pinned::default(),
            work: None,
            page: None,
            stopped_at: None,
        }
    }

    /// What is being read.
    pub fn command(&self) -> &ReplicaCommand {
        &self.command
    }

    /// The newest log position of any memtable partition that the read has looked at. The answer
    /// must be held until the engine's answer position has reached it.
    pub fn newest(&self) -> LogPosition {
        self.newest
    }

    /// Tombstones stepped over so far.
    pub fn tombstones(&self) -> u64 {
        self.tombstones
    }

    /// Where the page ended by one of its limits; none while it is read and when it is complete.
    pub fn stopped_at(&self) -> Option<&Place> {
        self.stopped_at.as_ref()
    }

    /// The page; none before the read has returned `Read::Done` or `Read::Stopped`.
    pub fn page(&self) -> Option<&[u8]> {
        self.page.as_deref()
    }

    /// The page's digest; none before it is there.
    pub fn digest(&self) -> Option<u128> {
        self.page().map(digest)
    }

    /// The page, taken.
    pub fn into_page(self) -> Option<Vec<u8>> {
        self.page
    }

    pub(crate) fn fetch(&mut self, list: BlockList, cache: &BlockCache) -> Result<()> {
        self.pinned.fetch(list, cache)
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.work.is_none()
    }

    /// Goes on until the budget is spent, blocks are missing, or the page has its end.
    pub(crate) fn run(
        &mut self,
        view: impl FnOnce() -> Arc<View>,
        gc_grace_seconds: i64,
        budget: &mut Budget,
        context: &ReadContext<'_>,
    ) -> Result<Read> {
        if self.page.is_some() {
            return Err(Error::invalid("a replica's read goes on behind the end of its page"));
        }
        let mut work = match self.work.take() {
            Some(work) => work,
            None => Box::new(Work::new(view(), &self.command, gc_grace_seconds)),
        };
        let tombstones = self.tombstones;
        let outcome = Run { read: self, work: &mut work, context }.go_on(budget);
        self.newest = self.newest.max(work.walk.newest);
        context.metrics.read_tombstones.add(self.tombstones.saturating_sub(tombstones));
        match outcome? {
            read @ (Read::Done | Read::Stopped) => {
                self.page = Some(work.writer.finish(matches!(read, Read::Done)));
                Ok(read)
            }
            read => {
                self.work = Some(work);
                Ok(read)
            }
        }
    }
}

impl Work {
    fn new(view: Arc<View>, command: &ReplicaCommand, gc_grace_seconds: i64) -> Work {
        Work {
            view,
            walk: PartitionWalk::default(),
            merge: Merge::default(),
            writer: PageWriter::new(command, gc_grace_seconds),
            stage: Stage::Between,
            next_key: None,
            has_range: false,
            is_static_only: false,
            alone: None,
        }
    }

    /// Goes to the next row or marker of the slice.
    fn step(&mut self, reversed: bool, access: &mut Access<'_>) -> Result<Found> {
        let &[only] = self.walk.participants.as_slice() else {
            return Ok(match self.merge.step(&mut self.walk.sources, access)? {
                Step::Row => Found::Row,
                Step::Marker => Found::Marker,
                Step::End => Found::End,
                Step::Missing => Found::Missing,
            });
        };
        let source = &mut self.walk.sources[only];
        match source.fill(access)? {
            Fill::Missing => return Ok(Found::Missing),
            Fill::End => return Ok(Found::End),
            Fill::Head => {}
        }
        Ok(match source.head.take() {
            Some(Unfiltered::Row { position, row }) => {
                self.alone = Some((position, row));
                Found::Row
            }
            Some(Unfiltered::Marker { position, before, after }) => {
                source.open = if reversed { before } else { after };
                self.alone = Some((position, Slice::default()));
                Found::Marker
            }
            None => Found::End,
        })
    }
}

/// What a step inside a slice found.
enum Found {
    Row,
    Marker,
    End,
    Missing,
}

/// One call of a read.
struct Run<'a, 'b> {
    read: &'a mut ReplicaRead,
    work: &'a mut Work,
    context: &'a ReadContext<'b>,
}

impl Run<'_, '_> {
    fn go_on(&mut self, budget: &mut Budget) -> Result<Read> {
        loop {
            let mut missing = BlockList::default();
            match self.step(&mut missing, budget)? {
                Next::Missing => return Ok(Read::NeedsBlocks(missing)),
                Next::Return(read) => return Ok(read),
                Next::GoOn => self.read.pinned.clear(),
            }
            if self.read.tombstones > self.read.command.read.tombstones_max {
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
                    Walk::At(head) => self.enter(&head),
                    Walk::End => {
                        self.read.place.is_past = true;
                        self.work.stage = match self.read.command.read.partitions {
                            Partitions::Range { .. } => Stage::End,
                            Partitions::One(_) | Partitions::Many(_) => Stage::Between,
                        };
                        Ok(Next::GoOn)
                    }
                }
            }
            Stage::Slice(slice) => {
                let blocks = PinnedAccess::new(&self.read.pinned, self.context.cache);
                let mut access = Access { blocks: &blocks, missing };
                match self.work.step(self.read.command.read.reversed, &mut access)? {
                    Found::Missing => Ok(Next::Missing),
                    Found::End => self.begin_slice(slice + 1),
                    Found::Marker => {
                        budget.spend_row(0);
                        self.marker()
                    }
                    Found::Row => self.row(budget),
                }
            }
            Stage::End => Ok(Next::Return(Read::Done)),
        }
    }

    /// Chooses the next partition to look for.
    fn next_partition(&mut self) -> Result<Stage> {
        let Run { read, work, context } = self;
        let (at, command) = (&mut read.place, &read.command.read);
        match &command.partitions {
            Partitions::Range { start, end } => {
                if !work.has_range {
                    let bound = range_bound(start, &at.key, at.is_past);
                    work.walk.begin_range(&work.view, &bound, end, command, context.metrics);
                    work.has_range = true;
                }
                Ok(Stage::Opening)
            }
            partitions => {
                let keys = partitions.listed();
                let next = work.next_key.or_else(|| first_key(keys, &at.key, at.is_past));
                let Some((index, key)) =
                    next.and_then(|next| Some((next, keys.get(next)?.clone())))
                else {
                    return Ok(Stage::End);
                };
                work.next_key = Some(index + 1);
                at.enter(&key);
                match only_source(&work.view, &key, command, context)? {
                    Sources::General => {
                        work.walk.begin_one(&work.view, &key, command, context.metrics)?;
                    }
                    Sources::One(source) => work.walk.begin_only(source),
                    Sources::Nothing => {
                        at.is_past = true;
                        return Ok(Stage::Between);
                    }
                }
                Ok(Stage::Opening)
            }
        }
    }

    fn open(&mut self, missing: &mut BlockList) -> Result<Walk> {
        let blocks = PinnedAccess::new(&self.read.pinned, self.context.cache);
        let mut access = Access { blocks: &blocks, missing };
        let At { key, is_past, .. } = &self.read.place;
        match (&self.read.command.read.partitions, key) {
            (Partitions::Range { start, end }, key) => {
                let bound = range_bound(start, key, *is_past);
                self.work.walk.open_next(&bound, end, &mut access)
            }
            (_, Some(key)) => self.work.walk.open_one(key, &mut access, self.context.metrics),
            (_, None) => Ok(Walk::End),
        }
    }

    fn enter(&mut self, head: &PartitionHead) -> Result<Next> {
        let Run { read, work, .. } = self;
        read.place.enter(&head.key);
        work.merge.set_partition_deletion(head.deletion);
        read.tombstones += u64::from(!head.deletion.is_none());
        let found = work.writer.partition(head, &read.command)?;
        read.tombstones += u64::from(found.tombstones);
        work.is_static_only = found.exists && read.place.before.is_none();
        if work.is_static_only && read.command.read.distinct {
            let is_all = read.command.read.slices.is_empty();
            return Ok(self.leave(if is_all { Reach::Whole } else { Reach::BeforeRows }));
        }
        self.begin_slice(0)
    }

    /// Begins the slice of this index in reading order, or leaves the partition after the last.
    fn begin_slice(&mut self, mut index: usize) -> Result<Next> {
        let Run { read, work, .. } = self;
        let command = &read.command.read;
        let count = command.slices.len();
        while index < count {
            let at = if command.reversed { count - 1 - index } else { index };
            let slice = &command.slices[at];
            let range = match &read.place.before {
                Some(reach) => reach.rest(slice, command.reversed),
                None => slice.clone(),
            };
            if !range.is_empty() {
                work.walk.start(&range, command.reversed);
                if work.walk.participants.len() > 1 {
                    work.merge.begin(&work.walk.participants, command.reversed);
                }
                work.stage = Stage::Slice(index);
                return Ok(Next::GoOn);
            }
            index += 1;
        }
        Ok(self.leave(Reach::Whole))
    }

    fn marker(&mut self) -> Result<Next> {
        let Run { read, work, .. } = self;
        read.tombstones += 1;
        let Some(key) = &read.place.key else { return Ok(Next::GoOn) };
        let reversed = read.command.read.reversed;
        let (position, open) = match (&work.alone, work.walk.participants.as_slice()) {
            (Some((position, _)), [only]) => (position, work.walk.sources[*only].open),
            _ => {
                let (below, above) = work.merge.marker();
                (work.merge.position(), if reversed { below } else { above })
            }
        };
        if work.writer.marker(key, position, open, &read.command) {
            let bound = position.clone();
            return Ok(self.leave(Reach::Upto(bound)));
        }
        Ok(Next::GoOn)
    }

    fn row(&mut self, budget: &mut Budget) -> Result<Next> {
        let Run { read, work, context } = self;
        let Some(key) = &read.place.key else { return Ok(Next::GoOn) };
        let (position, row): (&Slice, &[u8]) = match &work.alone {
            Some((position, row)) if work.walk.participants.len() == 1 => (position, row),
            _ => (work.merge.position(), work.merge.row()),
        };
        budget.spend_row(row.len());
        let found = work.writer.row(key, position, RowRef::parse(row)?, &read.command)?;
        read.tombstones += u64::from(found.tombstones);
        if found.exists {
            context.metrics.read_rows.add(1);
            read.place.rows = read.place.rows.saturating_add(1);
            work.is_static_only = false;
            work.writer.rows += 1;
        }
        let command = &read.command.read;
        let is_enough =
            found.exists && (command.distinct || read.place.rows >= command.rows_per_partition_max);
        let is_full = found.is_left && work.writer.is_full(&read.command);
        if !is_enough && !is_full {
            return Ok(Next::GoOn);
        }
        let bound = if command.reversed { position.clone() } else { after(position) };
        Ok(self.leave(Reach::Upto(bound)))
    }

    /// Leaves the current partition, and the page if it is full.
    fn leave(&mut self, reach: Reach) -> Next {
        let Run { read, work, .. } = self;
        let is_begun = work.writer.is_begun();
        work.writer.end_partition(&reach);
        work.writer.rows += u64::from(std::mem::take(&mut work.is_static_only));
        let is_only = matches!(read.command.read.partitions, Partitions::One(_));
        let is_last = is_only && reach == Reach::Whole;
        if is_begun && !is_last && work.writer.is_full(&read.command) {
            read.stopped_at = read.place.key.clone().map(|key| {
                let rows = read.place.rows;
                Place { key, reach, rows }
            });
            work.stage = Stage::End;
            return Next::Return(Read::Stopped);
        }
        read.place.is_past = true;
        work.walk.pass();
        work.stage = if is_only { Stage::End } else { Stage::Between };
        Next::GoOn
    }
}

impl At {
    /// Goes to `key`, which may be the partition that an earlier page ended in.
    fn enter(&mut self, key: &PartitionKey) {
        if self.key.as_ref() != Some(key) {
            *self = At { key: Some(key.clone()), ..At::default() };
        }
        self.is_past = false;
    }
}
