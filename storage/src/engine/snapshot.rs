//! Snapshots: the SSTables of some tables as they stood at one moment, under second names.
//!
//! The moment is a position of the commit log. All tables' memtables are switched at it, under
//! one hold of the append lock, so a record is in the snapshot of every table that it touches or
//! of none. A table's files are linked by whoever puts its last older memtable's SSTable in
//! place, before anybody can put in a newer one: both need the right to change the table. Until
//! then its files are newer than nothing that was switched away, so nothing later gets in.
//! Compaction in the meantime changes which files there are, not what they say.
//!
//! Names are durable when a table's part is done; making the whole appear at once, or not at
//! all, is the caller's.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helenus_platform::disk::Disk;

use super::{Shared, Table, View};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LogPosition, TableId};

/// An SSTable's second name in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// The table that it is a part of.
    pub table: TableId,
    /// Where the second name stands.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A snapshot being taken; ask [`Snapshot::poll`] until it is whole.
pub struct Snapshot {
    shared: Arc<Shared>,
    position: LogPosition,
    pins: Vec<(Arc<Table>, Arc<Pin>)>,
}

/// One table's part of a snapshot, until its files are linked.
pub(super) struct Pin {
    position: LogPosition,
    dir: PathBuf,
    linked: Mutex<Option<Result<Vec<SnapshotFile>>>>,
}

impl Pin {
    fn linked(&self) -> MutexGuard<'_, Option<Result<Vec<SnapshotFile>>>> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Begins a snapshot; see [`super::Engine::begin_snapshot`].
    pub(super) fn begin_snapshot(
        self: &Arc<Shared>,
        targets: &[(TableId, PathBuf)],
    ) -> Result<Snapshot> {
        self.check_not_closed()?;
        let mut tables = Vec::with_capacity(targets.len());
        for (id, dir) in targets {
            tables.push((self.table(*id)?, dir.clone()));
        }
        tables.sort_by_key(|(table, _)| table.id);
        tables.dedup_by_key(|(table, _)| table.id);
        // In the order of ids, so that two snapshots never wait for one another.
        let changes: Vec<_> = tables.iter().map(|(table, _)| table.begin_change()).collect();
        let position = self.log.with_lock(|tail| {
            for ((table, _), change) in tables.iter().zip(&changes) {
                let view = table.view.load();
                if !view.active.memtable.is_empty() || !view.active.is_settled() {
                    table.switch(change, self.new_generation(table.id, tail));
                }
            }
            tail
        });
        let mut pins = Vec::with_capacity(tables.len());
        for ((table, dir), change) in tables.iter().zip(changes) {
            let pin = Arc::new(Pin { position, dir: dir.clone(), linked: Mutex::new(None) });
            table.pins().push(pin.clone());
            table.link_pins(&change, self.manifest.directory().disk.as_ref());
            pins.push((table.clone(), pin));
        }
        self.flush_signal.notify_all();
        Ok(Snapshot { shared: self.clone(), position, pins })
    }
}

impl Snapshot {
    /// The position of the commit log that the snapshot is of: all before it, nothing after.
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// The files, once every table's are linked and durable. To be asked again when
    /// `work_signal(JobKind::Flush)` moves; flushes are carried out by jobs, as ever.
    ///
    /// # Errors
    /// A table was truncated or dropped meanwhile, its flush fails, or a file could not be linked.
    /// The snapshot is of no use then.
    pub fn poll(&self) -> Option<Result<Vec<SnapshotFile>>> {
        let mut files = Vec::new();
        for (table, pin) in &self.pins {
            match &*pin.linked() {
                Some(Ok(linked)) => files.extend(linked.iter().cloned()),
                Some(Err(error)) => {
                    return Some(Err(Error::new(error.kind(), error.to_string())));
                }
                None if self.shared.claims.lock().flush_not_before.contains_key(&table.id) => {
                    let what = "a snapshot needs a flush, and the flush fails; the log says why";
                    let place = crate::error::Place::Table(table.id);
                    return Some(Err(Error::new(ErrorKind::Io, what).at(place)));
                }
                None if self.shared.is_closed() => {
                    return Some(Err(Error::new(ErrorKind::Closed, "the engine is closed")));
                }
                None => return None,
            }
        }
        Some(Ok(files))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        for (table, pin) in &self.pins {
            table.pins().retain(|other| !Arc::ptr_eq(other, pin));
        }
    }
}

impl Table {
    /// Links the files for every snapshot whose memtables are all in SSTables now. Called with
    /// the right to change.
    pub(super) fn link_pins(&self, _: &MutexGuard<'_, ()>, disk: &dyn Disk) {
        let mut pins = self.pins();
        if pins.is_empty() {
            return;
        }
        let view = self.view.load();
        pins.retain(|pin| {
            let waits = view.flushing.iter().any(|generation| generation.start < pin.position);
            if !waits {
                *pin.linked() = Some(link_all(disk, self.id, &pin.dir, &view));
            }
            waits
        });
    }

    /// Ends the snapshots that wait for memtables which are thrown away.
    pub(super) fn abandon_pins(&self) {
        for pin in self.pins().drain(..) {
            let what = "the table was truncated or dropped while a snapshot of it was being taken";
            *pin.linked() = Some(Err(Error::invalid(what).at(crate::error::Place::Table(self.id))));
        }
    }
}

fn link_all(disk: &dyn Disk, table: TableId, dir: &Path, view: &View) -> Result<Vec<SnapshotFile>> {
    let open = view.sstables().iter().map(|file| (file.id(), file.path(), file.file_bytes()));
    // What cannot be read may still be mended, here or there.
    let unreadable = view.unreadable.iter();
    let unreadable = unreadable.map(|file| (file.id, file.path.as_path(), file.file_bytes));
    let mut files = Vec::with_capacity(view.sstables().len());
    for (id, from, bytes) in open.chain(unreadable) {
        let path = dir.join(crate::sstable::file_name(id));
        disk.hard_link(from, &path)
            .map_err(|error| Error::io("linking an SSTable into a snapshot", from, error))?;
        files.push(SnapshotFile { table, path, bytes });
    }
    disk.sync_dir(dir).map_err(|e| Error::io("syncing a snapshot's directory", dir, e))?;
    Ok(files)
}
