//! The flush of one memtable: switch it, let its writers finish, write it out, tell the
//! manifest, let go of the log.
//!
//! A crash before the manifest's edit leaves files that the manifest does not know, and the log
//! still has everything; after it, the log's part is covered, and replay leaves it out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Claim, Generation, JobStep, Shared, Table};
use crate::compaction::{Output, Purge, Rewrite};
use crate::error::{Error, Result};
use crate::manifest::Edit;
use crate::model::{LogPosition, TableId};
use crate::read::{Budget, Source};
use crate::sstable::{BlockingAccess, SsTable, WriterOptions};

/// Writers are in the memtable for microseconds; a signal tells when the last has left.
const SETTLE_WAIT: Duration = Duration::from_millis(1);
/// After a failure, such as a full disk.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A flush being carried out.
pub(super) struct FlushJob {
    table: Arc<Table>,
    not_before: Option<Duration>,
    /// Of a memtable filled by replay: the log positions whose records are in it or in SSTables.
    replayed: Option<Vec<Interval>>,
    stage: Stage,
    _claim: Claim,
}

/// Log positions from the first up to the second.
type Interval = (LogPosition, LogPosition);

enum Stage {
    Switch,
    Settle(Flushing),
    Write(Flushing, Box<Rewrite>),
}

/// The memtable being flushed, and the part of the log that its files cover.
#[derive(Clone)]
struct Flushing {
    generation: Arc<Generation>,
    end: LogPosition,
    covered: Vec<Interval>,
}

impl FlushJob {
    pub(super) fn new(table: Arc<Table>, claim: Claim, not_before: Option<Duration>) -> FlushJob {
        FlushJob { table, not_before, replayed: None, stage: Stage::Switch, _claim: claim }
    }

    /// The flush of a memtable that was filled by replay and has been switched; `covered` tells
    /// what of the log is in it or in SSTables.
    pub(super) fn replayed(table: Arc<Table>, claim: Claim, covered: Vec<Interval>) -> FlushJob {
        FlushJob { replayed: Some(covered), ..FlushJob::new(table, claim, None) }
    }

    pub(super) fn step(&mut self, shared: &Arc<Shared>, budget: &mut Budget) -> Result<JobStep> {
        if let Some(at) = self.not_before
            && shared.clock.monotonic() < at
        {
            return Ok(JobStep::WaitUntil(at));
        }
        let stepped = self.advance(shared, budget);
        let mut claims = shared.claims.lock();
        match &stepped {
            Ok(JobStep::Done) => {
                claims.flush_not_before.remove(&self.table.id);
            }
            Ok(JobStep::Again | JobStep::WaitUntil(_)) => {}
            Err(_) => {
                let retry_at = shared.clock.monotonic() + RETRY_AFTER;
                claims.flush_not_before.insert(self.table.id, retry_at);
                shared.metrics.flush_failures.add(1);
                // Whoever waits for this flush may want to give up.
                shared.flush_signal.notify_all();
            }
        }
        stepped
    }

    fn advance(&mut self, shared: &Arc<Shared>, budget: &mut Budget) -> Result<JobStep> {
        if self.table.is_dropped() {
            return Ok(JobStep::Done);
        }
        match &mut self.stage {
            Stage::Switch => {
                let Some(mut flushing) = switch(shared, &self.table) else {
                    return Ok(JobStep::Done);
                };
                if let Some(replayed) = self.replayed.take() {
                    flushing.covered = replayed;
                }
                self.stage = Stage::Settle(flushing);
                Ok(JobStep::Again)
            }
            Stage::Settle(flushing) => {
                if !flushing.generation.is_settled() {
                    return Ok(JobStep::WaitUntil(shared.clock.monotonic() + SETTLE_WAIT));
                }
                // A record may touch several tables: no file may hold a part of one that a
                // power cut would take from the log.
                if shared.log.durable() < flushing.end {
                    shared.log.sync()?;
                }
                let flushing = flushing.clone();
                let rewrite = begin(shared, &self.table, &flushing);
                self.stage = Stage::Write(flushing, Box::new(rewrite));
                Ok(JobStep::Again)
            }
            Stage::Write(flushing, rewrite) => {
                let blocks = BlockingAccess::new(None);
                if !rewrite.step(&blocks, &|_| Purge::NOTHING, budget)? {
                    return Ok(JobStep::Again);
                }
                let files = rewrite.output.finish()?;
                finish(shared, &self.table, flushing, files)?;
                Ok(JobStep::Done)
            }
        }
    }
}

/// The oldest memtable that waits for its flush, else the active one, if it holds anything.
fn switch(shared: &Shared, table: &Table) -> Option<Flushing> {
    let change = table.begin_change();
    let view = table.view.load_full();
    if view.flushing.is_empty() {
        table.wants_flush.store(false, Ordering::Release);
        if view.active.memtable.is_empty() && view.active.is_settled() {
            return None;
        }
        shared.log.with_lock(|tail| table.switch(&change, shared.new_generation(table.id, tail)));
    }
    let view = table.view.load();
    let generation = view.flushing.first()?.clone();
    let next = view.flushing.get(1).unwrap_or(&view.active);
    let (start, end) = (generation.start, next.start);
    Some(Flushing { generation, end, covered: vec![(start, end)] })
}

fn begin(shared: &Shared, table: &Table, flushing: &Flushing) -> Rewrite {
    let mut options = shared.writer_options(table);
    options.log_intervals.clone_from(&flushing.covered);
    let (manifest, cache) = (shared.manifest.clone(), shared.cache.clone());
    let output = Output::new(manifest, cache, options, 1);
    Rewrite::new(vec![Source::memtable(flushing.generation.memtable.clone())], output)
}

fn finish(
    shared: &Shared,
    table: &Table,
    flushing: &Flushing,
    files: Vec<Arc<SsTable>>,
) -> Result<()> {
    let change = table.begin_change();
    let view = table.view.load_full();
    let is_wanted = view.flushing.iter().any(|other| Arc::ptr_eq(other, &flushing.generation));
    if !is_wanted || table.is_dropped() {
        // Truncated or dropped meanwhile: the files are nobody's.
        return shared.remove_files(&files);
    }
    shared.recycle_too_early(table.id, flushing.end)?;
    let mut edits: Vec<Edit> = files.iter().flat_map(|file| added(table.id, file)).collect();
    let covered = |&(start, end): &Interval| Edit::Covered { table: table.id, start, end };
    edits.extend(flushing.covered.iter().map(covered));
    shared.commit_files(edits, &files)?;
    table.install_flush(&change, &flushing.generation, &files);
    table.link_pins(&change, shared.manifest.directory().disk.as_ref());
    drop(change);
    shared.metrics.flushes.add(1);
    shared.metrics.flush_bytes.add(files.iter().map(|file| file.file_bytes()).sum());
    table.wants_compaction.store(true, Ordering::Release);
    shared.compaction_signal.notify_all();
    shared.recycle_log()
}

/// What the manifest is told of a new SSTable.
pub(crate) fn added(table: TableId, file: &SsTable) -> impl Iterator<Item = Edit> + use<> {
    let (id, file_bytes) = (file.id(), file.file_bytes());
    let tokens = file.stats().keys.as_ref().map(|(first, last)| Edit::Tokens {
        table,
        id,
        first: first.token,
        last: last.token,
    });
    std::iter::once(Edit::AddSsTable { table, id, file_bytes }).chain(tokens)
}

impl Shared {
    /// A new memtable that owns the log from `start`.
    pub(super) fn new_generation(&self, table: TableId, start: LogPosition) -> Arc<Generation> {
        Generation::new(table, self.options.memtable_shards, start, self.memory.clone())
    }

    /// How files of this table are written.
    pub(crate) fn writer_options(&self, table: &Table) -> WriterOptions {
        let options = table.options.load();
        WriterOptions {
            compression: options.compression,
            bloom_fp_chance: options.bloom_fp_chance,
            block_bytes: self.options.block_bytes,
            origin: self.options.host_id,
            ..WriterOptions::new(table.id)
        }
    }

    /// Commits edits that add `files`; if it is certain that they do not hold, the files go.
    pub(crate) fn commit_files(&self, edits: Vec<Edit>, files: &[Arc<SsTable>]) -> Result<()> {
        let committed = self.commit(edits);
        if committed.is_err() && self.manifest.failure().is_none() {
            // The commit's error says more than a second one could.
            let _ = self.remove_files(files);
        }
        committed
    }

    /// Commits edits, with the time as it is believed now and what is known of the log.
    pub(crate) fn commit(&self, mut edits: Vec<Edit>) -> Result<()> {
        let time = self.trusted.now();
        if !time.is_suspended {
            edits.push(Edit::Time { seconds: time.now });
        }
        edits.push(Edit::LogDurable { position: self.log.durable() });
        let committed = self.manifest.commit(&edits);
        if let Some(cause) = self.manifest.failure() {
            self.health.fail(cause);
        }
        committed
    }

    /// Removes files that nothing refers to any more, here or in the manifest.
    pub(crate) fn remove_files(&self, files: &[Arc<SsTable>]) -> Result<()> {
        for file in files {
            self.cache.forget(file.handle());
            let disk = &self.manifest.directory().disk;
            let removed = disk.remove(file.path());
            removed.map_err(|e| Error::io("removing an SSTable", file.path(), e))?;
        }
        Ok(())
    }
}
