//! Which tables still need which segment: the intervals of log positions that are dirty.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{LogPosition, TableId};

/// For each table the positions from its first record's start to its last record's end.
pub(crate) type Dirty = BTreeMap<TableId, (u64, u64)>;

/// Notes that a record at `start..end` touches these tables.
pub(crate) fn touch(dirty: &mut Dirty, tables: &[TableId], start: u64, end: u64) {
    for table in tables {
        let interval = dirty.entry(*table).or_insert((start, end));
        *interval = (interval.0.min(start), interval.1.max(end));
    }
}

/// A segment that no more records are appended to.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) base: u64,
    /// Base of the segment before, if there was one.
    pub(crate) previous: Option<u64>,
    pub(crate) path: PathBuf,
    /// Log position behind its last byte in use.
    pub(crate) end: u64,
    /// `None` until the segment has been replayed to its end.
    pub(crate) dirty: Option<Dirty>,
    /// Damaged records were skipped in it: kept as evidence when it leaves the log.
    pub(crate) damaged: bool,
}

/// All sealed segments, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Sealed>>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Vec<Sealed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, sealed: Sealed) {
        self.lock().push(sealed);
    }

    /// A segment of an earlier run has been replayed.
    pub(crate) fn replayed(&self, base: u64, dirty: Dirty, damaged: bool) {
        if let Some(sealed) = self.lock().iter_mut().find(|sealed| sealed.base == base) {
            sealed.dirty = Some(dirty);
            sealed.damaged |= damaged;
        }
    }

    pub(crate) fn remove(&self, base: u64) {
        self.lock().retain(|sealed| sealed.base != base);
    }

    /// Segments that are durable to their end, and of which every dirty interval is covered.
    pub(crate) fn covered(
        &self,
        durable: u64,
        covered: &dyn Fn(TableId, LogPosition, LogPosition) -> bool,
    ) -> Vec<Sealed> {
        // The question is asked outside the lock: whoever answers it may hold locks of its own.
        let mut candidates = self.lock().clone();
        candidates.retain(|sealed| {
            let all = |dirty: &Dirty| {
                dirty.iter().all(|(table, (start, end))| {
                    covered(*table, LogPosition(*start), LogPosition(*end))
                })
            };
            sealed.end <= durable && sealed.dirty.as_ref().is_some_and(all)
        });
        candidates
    }

    /// Bases of all segments, each with that of the one before.
    pub(crate) fn links(&self) -> Vec<(u64, Option<u64>)> {
        self.lock().iter().map(|sealed| (sealed.base, sealed.previous)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The tables that the oldest segment holding anything is dirty with.
    pub(crate) fn oldest(&self) -> Option<(LogPosition, Vec<TableId>)> {
        let sealed = self.lock();
        let dirty =
            |sealed: &Sealed| sealed.dirty.as_ref().filter(|dirty| !dirty.is_empty()).cloned();
        let (base, dirty) = sealed.iter().find_map(|sealed| Some((sealed.base, dirty(sealed)?)))?;
        Some((LogPosition(base), dirty.into_keys().collect()))
    }
}
