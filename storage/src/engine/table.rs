//! One table: what readers see of it, and who is changing that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::damage::{Blemishes, Unreadable};
use super::memory::Generation;
use super::snapshot::Pin;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::model::{KeyspaceId, LogPosition, SsTableId, TableId, Token};
use crate::options::TableOptions;
use crate::sstable::SsTable;

/// What a table consists of at one moment. Readers take it whole, and keep it as long as they
/// need it; a change puts another in its place.
pub(crate) struct View {
    /// Takes the writes.
    pub(crate) active: Arc<Generation>,
    /// Switched and not yet in SSTables, oldest first.
    pub(crate) flushing: Vec<Arc<Generation>>,
    /// In order of their ids.
    pub(crate) tables: Arc<[Arc<SsTable>]>,
    /// Those that could not be opened.
    pub(crate) unreadable: Arc<[Arc<Unreadable>]>,
}

impl View {
    /// All memtables.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        let flushing = self.flushing.iter();
        std::iter::once(&self.active).chain(flushing).map(|generation| &generation.memtable)
    }

    /// All SSTables.
    pub(crate) fn sstables(&self) -> &[Arc<SsTable>] {
        &self.tables
    }

    /// Whether the SSTable is a part of the table, readable or not.
    pub(crate) fn has(&self, id: SsTableId) -> bool {
        self.tables.iter().any(|table| table.id() == id)
            || self.unreadable.iter().any(|file| file.id == id)
    }

    /// Refuses if a partition with this token may be in an SSTable that cannot be read.
    #[inline]
    pub(crate) fn check_token(&self, token: Token) -> Result<()> {
        match self.unreadable.iter().find(|file| file.may_contain(token)) {
            None => Ok(()),
            Some(file) => Err(file.error()),
        }
    }

    /// The first log position that no SSTable covers, if a memtable holds anything.
    pub(crate) fn oldest_unflushed(&self) -> Option<LogPosition> {
        let mut generations = self.flushing.iter().chain(std::iter::once(&self.active));
        let is_needed = |g: &&Arc<Generation>| !g.memtable.is_empty() || !g.is_settled();
        generations.find(is_needed).map(|generation| generation.start)
    }
}

/// A table of an open engine.
pub(crate) struct Table {
    // Fixed after creation.
    pub(crate) id: TableId,
    pub(crate) keyspace: KeyspaceId,

    // Synchronised by themselves.
    pub(crate) options: ArcSwap<TableOptions>,
    /// Changed only under `change`, and its memtables besides only under the log's append lock.
    pub(crate) view: ArcSwap<View>,
    pub(crate) is_dropped: AtomicBool,
    /// Somebody has asked for a flush, or the memtable is large.
    pub(crate) wants_flush: AtomicBool,
    /// Files were added or options changed since the strategy was last asked.
    pub(crate) wants_compaction: AtomicBool,
    pub(crate) reads: AtomicU64,
    pub(crate) writes: AtomicU64,

    /// Held while a change of the files goes to the manifest and then to `view`. Never taken
    /// by reads and writes of data.
    change: Mutex<()>,
    compactions: Mutex<Compactions>,
    blemishes: Mutex<Blemishes>,
    /// Snapshots that wait for memtables of this table; locked with `change` held, or alone.
    pins: Mutex<Vec<Arc<Pin>>>,
}

/// Who compacts what.
#[derive(Default)]
pub(crate) struct Compactions {
    /// Inputs of compactions that are running.
    pub(crate) busy: BTreeSet<SsTableId>,
    /// Somebody has asked for one of everything.
    pub(crate) is_requested: bool,
    /// Files just written in the hope of purging tombstones, and the share of purgeable ones
    /// that they kept all the same because of what other files hold.
    pub(crate) tried_for_tombstones: BTreeMap<SsTableId, f64>,
}

impl Table {
    pub(crate) fn new(
        id: TableId,
        keyspace: KeyspaceId,
        options: TableOptions,
        active: Arc<Generation>,
        tables: Vec<Arc<SsTable>>,
        unreadable: Vec<Arc<Unreadable>>,
    ) -> Arc<Table> {
        let (tables, unreadable) = (tables.into(), unreadable.into());
        let view = View { active, flushing: Vec::new(), tables, unreadable };
        Arc::new(Table {
            id,
            keyspace,
            options: ArcSwap::from_pointee(options),
            view: ArcSwap::from_pointee(view),
            is_dropped: AtomicBool::new(false),
            wants_flush: AtomicBool::new(false),
            wants_compaction: AtomicBool::new(true),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            change: Mutex::new(()),
            compactions: Mutex::new(Compactions::default()),
            blemishes: Mutex::new(Blemishes::new()),
            pins: Mutex::new(Vec::new()),
        })
    }

    /// Takes the right to change which files and memtables make up the table.
    pub(crate) fn begin_change(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn compactions(&self) -> MutexGuard<'_, Compactions> {
        self.compactions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found to be damaged in SSTables that are open.
    pub(crate) fn blemishes(&self) -> MutexGuard<'_, Blemishes> {
        self.blemishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pins(&self) -> MutexGuard<'_, Vec<Arc<Pin>>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Acquire)
    }

    /// Puts a new active memtable in the place of the present one, which is to be flushed.
    /// Called with the right to change, under the log's append lock.
    pub(crate) fn switch(&self, _: &MutexGuard<'_, ()>, next: Arc<Generation>) {
        let view = self.view.load_full();
        view.active.switch();
        let mut flushing = view.flushing.clone();
        flushing.push(view.active.clone());
        let (tables, unreadable) = (view.tables.clone(), view.unreadable.clone());
        self.view.store(Arc::new(View { active: next, flushing, tables, unreadable }));
    }

    /// Puts new files in the place of a flushed memtable.
    pub(crate) fn install_flush(
        &self,
        _: &MutexGuard<'_, ()>,
        flushed: &Arc<Generation>,
        added: &[Arc<SsTable>],
    ) {
        let view = self.view.load_full();
        let mut flushing = view.flushing.clone();
        flushing.retain(|generation| !Arc::ptr_eq(generation, flushed));
        let tables = replaced(&view.tables, &[], added);
        let (active, unreadable) = (view.active.clone(), view.unreadable.clone());
        self.view.store(Arc::new(View { active, flushing, tables, unreadable }));
    }

    /// Puts new files in the place of old ones, readable or not.
    pub(crate) fn install_compaction(
        &self,
        _: &MutexGuard<'_, ()>,
        removed: &[SsTableId],
        added: &[Arc<SsTable>],
    ) {
        let view = self.view.load_full();
        let tables = replaced(&view.tables, removed, added);
        self.blemishes().retain(|id, _| !removed.contains(id));
        let (active, flushing) = (view.active.clone(), view.flushing.clone());
        let left = view.unreadable.iter().filter(|file| !removed.contains(&file.id));
        let unreadable = left.cloned().collect();
        self.view.store(Arc::new(View { active, flushing, tables, unreadable }));
    }

    /// Forgets everything but a new, empty memtable; gives back what there was. Called with the
    /// right to change, under the log's append lock.
    pub(crate) fn clear(&self, _: &MutexGuard<'_, ()>, next: Arc<Generation>) -> Arc<View> {
        let view = self.view.load_full();
        view.active.switch();
        let (tables, unreadable) = (Arc::from([]), Arc::from([]));
        self.view.store(Arc::new(View { active: next, flushing: Vec::new(), tables, unreadable }));
        self.blemishes().clear();
        view
    }
}

fn replaced(
    tables: &[Arc<SsTable>],
    removed: &[SsTableId],
    added: &[Arc<SsTable>],
) -> Arc<[Arc<SsTable>]> {
    let kept = tables.iter().filter(|table| !removed.contains(&table.id()));
    let mut tables: Vec<Arc<SsTable>> = kept.chain(added).cloned().collect();
    tables.sort_by_key(|table| table.id());
    tables.into()
}
