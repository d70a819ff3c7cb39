//! Which table is flushed next, and what is compacted next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::flush::FlushJob;
use super::{Claim, Shared, Table};
use crate::compaction::{Candidate, CompactionJob, Plan, Reason, Strategy, Unified};
use crate::error::Result;
use crate::model::{LogPosition, SsTableId, TableId, Token};
use crate::sstable::SsTable;

/// Active memtables together may have this share of the memory before the largest is flushed;
/// the rest is for those being flushed.
const ACTIVE_SHARE_MAX: f64 = 0.4;
/// A table whose files have not changed is looked at again after this long.
const COMPACTION_LOOK_EVERY: Duration = Duration::from_secs(60);
/// A file whose tombstones could not be purged is tried again when this share more of it could.
const TOMBSTONE_RETRY_SHARE: f64 = 0.25;
/// No flush is smaller than this for the strategy's levels.
const BASE_BYTES_MIN: u64 = 64 << 10;

impl Shared {
    /// The most urgent flush that nobody carries out yet.
    pub(super) fn next_flush(self: &Arc<Shared>) -> Option<FlushJob> {
        self.claims.is_nudged.store(false, Ordering::Release);
        let tables = self.tables.load_full();
        let (claimed, not_before) = {
            let claims = self.claims.lock();
            (claims.flushing.clone(), claims.flush_not_before.clone())
        };
        let free = tables.values().filter(|table| !claimed.contains(&table.id));
        // A table whose flush has failed waits; it must not make the others wait.
        let now = self.clock.monotonic();
        let must_wait =
            |table: &&Arc<Table>| not_before.get(&table.id).is_some_and(|until| now < *until);
        let (waiting, ready): (Vec<&Arc<Table>>, Vec<&Arc<Table>>) = free.partition(must_wait);
        let table = self.table_to_flush(&ready).or_else(|| self.table_to_flush(&waiting))?;
        let claim = Claim::flush(self, table.id)?;
        let not_before = not_before.get(&table.id).copied();
        Some(FlushJob::new(table.clone(), claim, not_before))
    }

    fn table_to_flush<'a>(&self, free: &[&'a Arc<Table>]) -> Option<&'a Arc<Table>> {
        let has_work = |table: &&&Arc<Table>| {
            let view = table.view.load();
            let is_idle = view.active.memtable.is_empty() && view.active.is_settled();
            if is_idle && view.flushing.is_empty() {
                table.wants_flush.store(false, Ordering::Release);
                return false;
            }
            !view.flushing.is_empty() || table.wants_flush.load(Ordering::Acquire)
        };
        free.iter()
            .find(has_work)
            .or_else(|| self.table_for_memory(free))
            .or_else(|| self.table_for_log(free))
            .copied()
    }

    /// The largest active memtable, if all of them together are too large.
    fn table_for_memory<'b, 'a>(&self, free: &'b [&'a Arc<Table>]) -> Option<&'b &'a Arc<Table>> {
        let bytes = |table: &Arc<Table>| table.view.load().active.account();
        let total: usize = self.tables.load().values().map(bytes).sum();
        let max = self.options.memtable_total_bytes_max as f64 * ACTIVE_SHARE_MAX;
        if (total as f64) < max {
            return None;
        }
        let largest = free.iter().max_by_key(|table| bytes(table))?;
        (!largest.view.load().active.memtable.is_empty()).then_some(largest)
    }

    /// A table that pins the oldest part of the log, if the log is too long.
    fn table_for_log<'b, 'a>(&self, free: &'b [&'a Arc<Table>]) -> Option<&'b &'a Arc<Table>> {
        if !self.log_is_long(self.log.written()) {
            return None;
        }
        let (_, pinning) = self.log.oldest_dirty()?;
        free.iter().find(|table| {
            pinning.contains(&table.id) && table.view.load().oldest_unflushed().is_some()
        })
    }

    pub(super) fn request_flush(&self, table: Option<TableId>) -> Result<LogPosition> {
        self.check_not_closed()?;
        match table {
            Some(table) => self.table(table)?.wants_flush.store(true, Ordering::Release),
            None => {
                let tables = self.tables.load();
                tables.values().for_each(|table| table.wants_flush.store(true, Ordering::Release));
            }
        }
        let tail = self.log.with_lock(|tail| tail);
        self.flush_signal.notify_all();
        Ok(tail)
    }

    pub(super) fn is_flushed(&self, table: Option<TableId>, position: LogPosition) -> bool {
        let tables = self.tables.load();
        let mut asked = tables.values().filter(|t| table.is_none_or(|table| table == t.id));
        asked.all(|table| {
            table.view.load().oldest_unflushed().is_none_or(|oldest| oldest >= position)
        })
    }

    pub(super) fn request_compaction(&self, table: TableId) -> Result<()> {
        self.check_not_closed()?;
        let table = self.table(table)?;
        table.compactions().is_requested = true;
        table.wants_compaction.store(true, Ordering::Release);
        self.compaction_signal.notify_all();
        Ok(())
    }

    /// The most urgent compaction that nobody carries out yet.
    pub(super) fn next_compaction(self: &Arc<Shared>) -> Option<CompactionJob> {
        let now = self.clock.monotonic();
        let look_at_all = {
            let mut claims = self.claims.lock();
            let last = claims.compaction_looked_at.get_or_insert(now);
            let is_due = now >= *last + COMPACTION_LOOK_EVERY;
            if is_due {
                *last = now;
            }
            is_due
        };
        let tables = self.tables.load_full();
        for table in tables.values() {
            let wants = table.wants_compaction.swap(false, Ordering::AcqRel);
            if !wants && !look_at_all {
                continue;
            }
            let not_before = self.claims.lock().compaction_not_before.get(&table.id).copied();
            if not_before.is_some_and(|not_before| now < not_before) {
                table.wants_compaction.store(true, Ordering::Release);
                continue;
            }
            if let Some(job) = self.compaction_of(table) {
                // There may be another one for the files that this one does not touch.
                table.wants_compaction.store(true, Ordering::Release);
                return Some(job);
            }
        }
        None
    }

    fn compaction_of(self: &Arc<Shared>, table: &Arc<Table>) -> Option<CompactionJob> {
        let view = table.view.load_full();
        let mut compactions = table.compactions();
        let strategy = self.strategy(table);
        let is_busy = |sstable: &&Arc<SsTable>| compactions.busy.contains(&sstable.id());
        let blemishes = table.blemishes();
        let is_whole = |sstable: &&Arc<SsTable>| !blemishes.contains_key(&sstable.id());
        let free = view.sstables().iter().filter(|sstable| !is_busy(sstable) && is_whole(sstable));
        let mut candidates: Vec<Candidate> =
            free.map(|sstable| self.candidate(table, sstable)).collect();
        drop(blemishes);
        let plan = if compactions.is_requested {
            if !compactions.busy.is_empty() {
                return None;
            }
            compactions.is_requested = false;
            plan_of_all(&strategy, &candidates)?
        } else if table.options.load().compaction.enabled {
            let tried = &compactions.tried_for_tombstones;
            for candidate in &mut candidates {
                let before = tried.get(&candidate.id).map(|share| share + TOMBSTONE_RETRY_SHARE);
                if before.is_some_and(|before| candidate.purgeable < before) {
                    candidate.purgeable = 0.0;
                }
            }
            strategy.plan(&candidates)?
        } else {
            return None;
        };
        let chosen: BTreeSet<SsTableId> = plan.inputs.iter().copied().collect();
        let inputs: Vec<Arc<SsTable>> =
            view.sstables().iter().filter(|t| chosen.contains(&t.id())).cloned().collect();
        compactions.busy.extend(&chosen);
        compactions
            .tried_for_tombstones
            .retain(|id, _| view.sstables().iter().any(|t| t.id() == *id));
        drop(compactions);
        Some(CompactionJob::new(self, table.clone(), plan, inputs))
    }

    pub(super) fn strategy(&self, table: &Table) -> Unified {
        let options = table.options.load();
        Unified {
            scaling: options.compaction.scaling,
            base_bytes: (self.options.memtable_bytes_max as u64 / 4).max(BASE_BYTES_MIN),
            target_bytes: self.options.sstable_bytes_target,
            tombstone_ratio_max: options.compaction.tombstone_ratio_max,
        }
    }

    pub(super) fn candidate(&self, table: &Table, sstable: &SsTable) -> Candidate {
        let stats = sstable.stats();
        let keys = stats.keys.as_ref();
        Candidate {
            id: sstable.id(),
            file_bytes: sstable.file_bytes(),
            partitions: stats.partitions,
            token_min: keys.map_or(Token(i64::MIN), |(first, _)| first.token),
            token_max: keys.map_or(Token(i64::MIN), |(_, last)| last.token),
            purgeable: self.purgeable_share(table, sstable),
        }
    }

    /// The share of a file's contents that are tombstones past their grace.
    pub(crate) fn purgeable_share(&self, table: &Table, sstable: &SsTable) -> f64 {
        let time = self.trusted.now();
        if time.is_suspended {
            return 0.0;
        }
        let stats = sstable.stats();
        let grace_over = time.now.saturating_sub(table.options.load().gc_grace_seconds);
        let purgeable = stats.drop_times.before(grace_over) as f64;
        let all = (stats.cells + stats.rows + stats.markers + stats.partitions).max(1) as f64;
        (purgeable / all).min(1.0)
    }
}

fn plan_of_all(strategy: &Unified, candidates: &[Candidate]) -> Option<Plan> {
    let all: Vec<&Candidate> = candidates.iter().collect();
    let inputs: Vec<SsTableId> = all.iter().map(|candidate| candidate.id).collect();
    let parts = strategy.parts(&all);
    (!inputs.is_empty()).then_some(Plan { inputs, parts, reason: Reason::Request })
}
