//! The manifest: which files make up the data, which part of the log they replace.
//!
//! Nothing on disk is believed because it is there: an SSTable exists if and only if the manifest
//! says so. `directory` says whose directory it is, `file` how edits are stored, `edit` what an
//! edit is, `state` what all edits together mean.

mod directory;
mod edit;
mod file;
mod inspect;
mod intervals;
mod state;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helenus_platform::disk::Disk;
use helenus_platform::random::Random;

pub(crate) use directory::Directory;
pub(crate) use edit::Edit;
pub use inspect::{inspect, inspect_current, inspect_format};
pub(crate) use intervals::IntervalSet;
pub(crate) use state::{SsTableState, State};

use crate::error::{Error, ErrorKind, Result};
use crate::model::SsTableId;
use file::{Append, ManifestFile};

/// SSTable sequence numbers are reserved this many at a time, one synced edit each time.
const IDS_RESERVED_AT_ONCE: u64 = 1024;

/// The manifest of an open data directory.
pub(crate) struct Manifest {
    directory: Directory,
    random: Arc<dyn Random>,
    /// Held over the disk's work of a commit; never taken by reads or writes of data.
    writer: Mutex<Writer>,
    /// What the durable edits say; the lock is held only to clone or replace the pointer.
    state: Mutex<Arc<State>>,
}

struct Writer {
    file: ManifestFile,
    /// Sequence number of the next SSTable.
    next_id: u64,
    /// Nobody knows whether the last edit holds: no further one is accepted.
    failed: Option<Arc<Error>>,
}

impl Manifest {
    /// Opens the directory's manifest, or founds it.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        random: Arc<dyn Random>,
    ) -> Result<Manifest> {
        let directory = Directory::open(disk, path)?;
        let (number, state) = if directory.is_unfounded()? {
            (0, found(random.as_ref()))
        } else {
            file::read_current(&directory)?
        };
        let salt = random.next_u64() as u32;
        let file = ManifestFile::begin(&directory, number + 1, salt, &state)?;
        remove_other_manifests(&directory, file.number)?;
        let next_id = state.reserved;
        let writer = Mutex::new(Writer { file, next_id, failed: None });
        Ok(Manifest { directory, random, writer, state: Mutex::new(Arc::new(state)) })
    }

    /// What the manifest says now.
    pub(crate) fn state(&self) -> Arc<State> {
        lock(&self.state).clone()
    }

    /// The directory that the manifest describes.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Makes all of `edits` hold, or none. Durable when this returns.
    pub(crate) fn commit(&self, edits: &[Edit]) -> Result<()> {
        self.commit_locked(&mut lock(&self.writer), edits)
    }

    fn commit_locked(&self, writer: &mut Writer, edits: &[Edit]) -> Result<()> {
        if let Some(cause) = &writer.failed {
            let what = format!("the manifest has failed before: {cause}");
            return Err(Error::new(ErrorKind::Closed, what).at_file(&writer.file.path, None));
        }
        let mut state = State::clone(&self.state());
        for edit in edits {
            state.apply(edit).map_err(Error::invalid)?;
        }
        match writer.file.append(&self.directory, edits) {
            Ok(()) => {}
            Err(Append::Refused(error)) => return Err(error),
            Err(Append::Failed(error)) => {
                let what = error.to_string();
                let (kind, place) = (error.kind(), error.place().clone());
                writer.failed = Some(Arc::new(error));
                return Err(Error::new(kind, what).at(place));
            }
        }
        *lock(&self.state) = Arc::new(state.clone());
        if writer.file.is_long() {
            // The edits are durable in the old file, so this commit has not failed.
            writer.failed = self.roll(writer, &state).err().map(Arc::new);
        }
        Ok(())
    }

    /// The failure after which no edit is accepted, if there was one.
    pub(crate) fn failure(&self) -> Option<Arc<Error>> {
        lock(&self.writer).failed.clone()
    }

    fn roll(&self, writer: &mut Writer, state: &State) -> Result<()> {
        let number = writer.file.number + 1;
        let salt = self.random.next_u64() as u32;
        writer.file = ManifestFile::begin(&self.directory, number, salt, state)?;
        remove_other_manifests(&self.directory, number)
    }

    /// A new SSTable id, never used before nor after: 8 bytes that are this directory's alone,
    /// then a sequence number (big-endian).
    pub(crate) fn next_id(&self) -> Result<SsTableId> {
        let mut writer = lock(&self.writer);
        if writer.next_id >= self.state().reserved {
            let next = writer.next_id + IDS_RESERVED_AT_ONCE;
            self.commit_locked(&mut writer, &[Edit::ReserveIds { next }])?;
        }
        let sequence = writer.next_id;
        writer.next_id += 1;
        let mut id = [0; 16];
        let (instance, number) = id.split_at_mut(8);
        instance.copy_from_slice(&self.state().instance);
        number.copy_from_slice(&sequence.to_be_bytes());
        Ok(SsTableId(id))
    }
}

impl State {
    /// Whether an SSTable with this id was written by this directory's engine: if it is not in
    /// the manifest either, it is an orphan and may be removed.
    pub(crate) fn is_own_id(&self, id: &SsTableId) -> bool {
        let (instance, sequence) = id.0.split_at(8);
        let sequence = sequence.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        instance == self.instance && sequence < self.reserved
    }
}

/// The state of a directory just born.
fn found(random: &dyn Random) -> State {
    State { instance: random.next_u64().to_be_bytes(), ..State::default() }
}

/// Removes manifests that are not in force; by now CURRENT names `number`, durably.
fn remove_other_manifests(directory: &Directory, number: u64) -> Result<()> {
    let path = &directory.path;
    let entries = directory.disk.list(path).map_err(|e| Error::io("listing", path, e))?;
    let old: Vec<PathBuf> = entries
        .iter()
        .filter(|entry| file::parse_name(&entry.name).is_some_and(|other| other != number))
        .map(|entry| path.join(&entry.name))
        .collect();
    for path in &old {
        directory.disk.remove(path).map_err(|e| Error::io("removing an old manifest", path, e))?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
