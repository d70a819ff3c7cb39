//! A read's place, and what it has built to go on from there.
//!
//! What has been told to the sink is recorded in `Told`; everything else can be thrown away and
//! built again from it, which is what resuming a paged read does. Between the calls of one read
//! the built parts are kept: an atomic snapshot of the table, its sources, pinned blocks.

use std::sync::Arc;

use super::blocks::{BlockList, Pinned};
use super::command::{Budget, Read, ReadCommand, Sink};
use super::merge::Merge;
use super::partitions::PartitionWalk;
use super::run::Run;
use super::single::try_single;
use crate::engine::View;
use crate::error::Result;
use crate::metrics::Metrics;
use crate::model::{LogPosition, PartitionKey, Slice};
use crate::sstable::BlockCache;

/// A read's place, kept by the caller between calls of `Engine::read`.
#[derive(Default)]
pub struct Cursor {
    pub(super) told: Told,
    /// Newest log position that the answer depends on.
    pub(super) newest: LogPosition,
    pub(super) tombstones: u64,
    pub(super) pinned: Pinned,
    work: Option<Box<Work>>,
}

/// How far the sink has been told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The partition to go on with; none before the first.
    pub(super) key: Option<PartitionKey>,
    /// That partition is done with.
    pub(super) is_past: bool,
    /// The last row told of it.
    pub(super) position: Option<Slice>,
    /// Rows told of it.
    pub(super) rows: u32,
    /// The sink has seen its beginning in this read.
    pub(super) is_announced: bool,
}

/// What a read has built.
pub(super) struct Work {
    pub(super) view: Arc<View>,
    pub(super) walk: PartitionWalk,
    pub(super) merge: Merge,
    pub(super) stage: Stage,
    /// Index into the command's list of the key to look for next, once known.
    pub(super) next_key: Option<usize>,
    /// The sources of `Partitions::Range` have been collected.
    pub(super) has_range: bool,
    /// Live bytes of the current static row; empty if there is none.
    pub(super) static_row: Vec<u8>,
    /// Live bytes of the current row.
    pub(super) live: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is open.
    Between,
    /// A partition is being looked for.
    Opening,
    /// In the slice of this index, counted in reading order.
    Slice(usize),
    /// Everything has been told.
    End,
}

/// What the surroundings of a call give it.
pub(crate) struct ReadContext<'a> {
    pub(crate) cache: &'a BlockCache,
    pub(crate) metrics: &'a Metrics,
}

impl Cursor {
    /// A cursor before everything that `command` names.
    pub fn new(_command: &ReadCommand) -> Cursor {
        Cursor::default()
    }

    /// A cursor that goes on after a page: with `Some(position)`, after that row of `key` in
    /// reading order; with `None`, after the whole of `key`.
    pub fn resume(key: PartitionKey, position: Option<Slice>) -> Cursor {
        let is_past = position.is_none();
        let told = Told { key: Some(key), is_past, position, ..Told::default() };
        Cursor { told, ..Cursor::default() }
    }

    /// Counts rows of the resumed partition, told by earlier pages, against
    /// `rows_per_partition_max`.
    #[must_use]
    pub fn with_rows_told(mut self, rows: u32) -> Cursor {
        self.told.rows = rows;
        self
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

    /// Counts tombstones from here on, as if a new page began.
    pub fn forget_tombstones(&mut self) {
        self.tombstones = 0;
    }

    /// The partition that the read is in, or has last been in.
    pub fn partition(&self) -> Option<&PartitionKey> {
        self.told.key.as_ref()
    }

    pub(crate) fn fetch(&mut self, list: BlockList, cache: &BlockCache) -> Result<()> {
        self.pinned.fetch(list, cache)
    }

    /// Nothing has been read with this cursor yet, or nothing is left of what was built.
    pub(crate) fn is_fresh(&self) -> bool {
        self.work.is_none()
    }

    /// Goes on until the budget is spent, blocks are missing, or the read has ended.
    pub(crate) fn run(
        &mut self,
        view: impl FnOnce() -> Arc<View>,
        command: &ReadCommand,
        sink: &mut dyn Sink,
        budget: &mut Budget,
        context: &ReadContext<'_>,
    ) -> Result<Read> {
        let tombstones = self.tombstones;
        let outcome = self.run_either(view, command, sink, budget, context);
        context.metrics.read_tombstones.add(self.tombstones.saturating_sub(tombstones));
        if !matches!(outcome, Ok(Read::NeedsBlocks(_) | Read::Yield)) {
            // A later call with this cursor would be a new page to its sink.
            self.told.is_announced = false;
        }
        outcome
    }

    fn run_either(
        &mut self,
        view: impl FnOnce() -> Arc<View>,
        command: &ReadCommand,
        sink: &mut dyn Sink,
        budget: &mut Budget,
        context: &ReadContext<'_>,
    ) -> Result<Read> {
        let mut work = match self.work.take() {
            Some(work) => work,
            None => {
                let view = view();
                if let Some(read) = try_single(self, &view, command, sink, budget, context)? {
                    return Ok(read);
                }
                Box::new(Work::new(view))
            }
        };
        let mut run = Run { cursor: self, work: &mut work, command, sink, context };
        let outcome = run.go_on(budget);
        self.newest = self.newest.max(work.walk.newest);
        if matches!(outcome, Ok(Read::NeedsBlocks(_) | Read::Yield)) {
            self.work = Some(work);
        }
        outcome
    }
}

impl Work {
    fn new(view: Arc<View>) -> Work {
        Work {
            view,
            walk: PartitionWalk::default(),
            merge: Merge::default(),
            stage: Stage::Between,
            next_key: None,
            has_range: false,
            static_row: Vec::new(),
            live: Vec::new(),
        }
    }
}
