//! A compaction being carried out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::output::Output;
use super::purge::{Purge, hidden_from};
use super::rewrite::Rewrite;
use super::strategy::{Plan, Reason};
use crate::engine::{JobStep, PurgeTime, Shared, Table, added};
use crate::error::Result;
use crate::manifest::{Edit, IntervalSet};
use crate::model::{LogPosition, PartitionKey, SsTableId};
use crate::read::{Budget, Source};
use crate::sstable::{BlockingAccess, SsTable};

/// After a failure, such as a full disk or a damaged input.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// A file's header names at most so many parts of the log.
const LOG_INTERVALS_NAMED_MAX: usize = 64;

/// A plan being carried out; gives its inputs back when dropped.
pub(crate) struct CompactionJob {
    shared: Arc<Shared>,
    table: Arc<Table>,
    plan: Plan,
    inputs: Vec<Arc<SsTable>>,
    /// None before the first step and after the last.
    rewrite: Option<Box<Rewrite>>,
}

impl CompactionJob {
    /// The inputs must have been marked as busy.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        table: Arc<Table>,
        plan: Plan,
        inputs: Vec<Arc<SsTable>>,
    ) -> CompactionJob {
        CompactionJob { shared: shared.clone(), table, plan, inputs, rewrite: None }
    }

    /// Does a slice of the work.
    pub(crate) fn step(&mut self, shared: &Arc<Shared>, budget: &mut Budget) -> Result<JobStep> {
        let stepped = self.advance(shared, budget);
        if let Err(error) = &stepped {
            shared.note_damage(error);
            shared.metrics.compaction_failures.add(1);
            let retry_at = shared.clock.monotonic() + RETRY_AFTER;
            shared.claims.lock().compaction_not_before.insert(self.table.id, retry_at);
        }
        stepped
    }

    fn advance(&mut self, shared: &Arc<Shared>, budget: &mut Budget) -> Result<JobStep> {
        if self.is_overtaken() {
            // Truncated or dropped meanwhile: dropping the job removes what it wrote.
            return Ok(JobStep::Done);
        }
        let rewrite = self.rewrite.get_or_insert_with(|| {
            let mut options = shared.writer_options(&self.table);
            options.log_intervals = log_intervals(&self.inputs);
            let (manifest, cache) = (shared.manifest.clone(), shared.cache.clone());
            let output = Output::new(manifest, cache, options, self.plan.parts);
            let sources = self.inputs.iter().map(Source::table).collect();
            Box::new(Rewrite::new(sources, output))
        });
        let blocks = BlockingAccess::new(Some(&shared.cache));
        let is_rewritten = {
            let purge_of = purge_rule(shared, &self.table, &self.plan.inputs);
            rewrite.step(&blocks, &purge_of, budget)?
        };
        if !is_rewritten {
            return Ok(JobStep::Again);
        }
        let files = rewrite.output.finish()?;
        let dropped = rewrite.dropped;
        self.finish(shared, files)?;
        shared.metrics.rows_purged.add(dropped);
        Ok(JobStep::Done)
    }

    /// Whether an input is no part of the table any more.
    fn is_overtaken(&self) -> bool {
        let view = self.table.view.load();
        let is_live = |id: &SsTableId| view.sstables().iter().any(|table| table.id() == *id);
        self.table.is_dropped() || !self.plan.inputs.iter().all(is_live)
    }

    fn finish(&mut self, shared: &Arc<Shared>, files: Vec<Arc<SsTable>>) -> Result<()> {
        let table = &self.table;
        let change = table.begin_change();
        if self.is_overtaken() {
            return shared.remove_files(&files);
        }
        let removed = self.plan.inputs.iter();
        let mut edits: Vec<Edit> =
            removed.map(|&id| Edit::RemoveSsTable { table: table.id, id }).collect();
        edits.extend(files.iter().flat_map(|file| added(table.id, file)));
        shared.commit_files(edits, &files)?;
        table.install_compaction(&change, &self.plan.inputs, &files);
        drop(change);
        shared.remove_files(&self.inputs)?;
        if self.plan.reason == Reason::Tombstones || self.plan.reason == Reason::Request {
            let mut compactions = table.compactions();
            for file in &files {
                let share = shared.purgeable_share(table, file);
                compactions.tried_for_tombstones.insert(file.id(), share);
            }
        }
        let bytes = |files: &[Arc<SsTable>]| files.iter().map(|file| file.file_bytes()).sum();
        shared.metrics.compactions.add(1);
        shared.metrics.compaction_bytes_read.add(bytes(&self.inputs));
        shared.metrics.compaction_bytes_written.add(bytes(&files));
        Ok(())
    }
}

impl Drop for CompactionJob {
    fn drop(&mut self) {
        let mut compactions = self.table.compactions();
        self.plan.inputs.iter().for_each(|id| {
            compactions.busy.remove(id);
        });
        drop(compactions);
        self.table.wants_compaction.store(true, Ordering::Release);
        self.shared.compaction_signal.notify_all();
    }
}

/// The parts of this host's log that the inputs hold. Too many to name are not named.
fn log_intervals(inputs: &[Arc<SsTable>]) -> Vec<(LogPosition, LogPosition)> {
    let mut joined = IntervalSet::default();
    for (start, end) in inputs.iter().flat_map(|input| &input.header().log_intervals) {
        joined.insert(*start, *end);
    }
    let intervals: Vec<_> = joined.iter().collect();
    if intervals.len() > LOG_INTERVALS_NAMED_MAX { Vec::new() } else { intervals }
}

/// What may be purged of a partition, as things stand when its turn comes.
fn purge_rule<'a>(
    shared: &'a Shared,
    table: &'a Table,
    inputs: &'a [SsTableId],
) -> impl Fn(&PartitionKey) -> Purge + 'a {
    let PurgeTime { now, is_suspended } = shared.trusted.now();
    let grace = table.options.load().gc_grace_seconds;
    let grace_over_before = if is_suspended { i64::MIN } else { now.saturating_sub(grace) };
    let now = now.saturating_sub(shared.options.expiry_margin_seconds);
    move |key| {
        let hidden_from = match shared.purges_too_early() {
            false => hidden_from(&table.view.load(), inputs, key),
            true => None,
        };
        Purge { now, grace_over_before, hidden_from }
    }
}
