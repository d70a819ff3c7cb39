//! The way back from a snapshot: a new engine directory made of SSTables that another wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::disk::Disk;
use helenus_platform::random::Random;

use super::added;
use crate::error::{Error, Result};
use crate::manifest::{Directory, Edit, Manifest};
use crate::model::{KeyspaceId, LogPosition, TableId};
use crate::sstable::{BlockCache, SsTable, file_name};

/// Bytes copied at a time where a file cannot be linked.
const COPY_BYTES: usize = 1 << 20;

/// Founds an engine directory in `dir`, which must be empty or missing, with `tables`, each made
/// of its SSTables. Every byte of every file is read and checked first. Files are linked where
/// the file system can, and copied where not. Waits for the disk.
///
/// # Errors
/// A damaged file, or one of another table, is named. What was made so far is left behind.
pub fn restore(
    disk: &Arc<dyn Disk>,
    random: Arc<dyn Random>,
    dir: &Path,
    tables: &[(TableId, KeyspaceId, Vec<PathBuf>)],
) -> Result<()> {
    let manifest = Manifest::open(disk.clone(), dir, random)?;
    if !manifest.state().tables.is_empty() || manifest.state().has_log {
        let what = "a snapshot can be restored into an empty directory only";
        return Err(Error::invalid(what).at_file(dir, None));
    }
    let cache = BlockCache::new(0);
    let mut edits = Vec::new();
    // Positions of the new log must lie beyond those that the files speak of.
    let mut position = LogPosition::START;
    for (table, _, files) in tables {
        let to = manifest.directory().table(*table);
        disk.create_dir_all(&to).map_err(|e| Error::io("creating a directory", &to, e))?;
        for path in files {
            let file = SsTable::open(disk.as_ref(), path, &cache)?;
            if file.header().table != *table {
                let found = file.header().table.0;
                let what = format!("an SSTable of table {found}, not of table {}", table.0);
                return Err(Error::corrupt(what).at_file(path, None));
            }
            file.verify().map_err(|error| error.during("checking a file of a snapshot"))?;
            let ends = file.header().log_intervals.iter().map(|(_, end)| *end);
            position = position.max(ends.max().unwrap_or_default());
            link_or_copy(disk.as_ref(), path, &to.join(file_name(file.id())))?;
            edits.extend(added(*table, &file));
        }
        sync(disk.as_ref(), &to)?;
    }
    sync_parents(disk.as_ref(), manifest.directory())?;
    let created = tables.iter().map(|(table, keyspace, _)| Edit::CreateTable {
        table: *table,
        keyspace: *keyspace,
        position,
    });
    manifest.commit(&created.chain(edits).collect::<Vec<_>>())
}

fn sync_parents(disk: &dyn Disk, directory: &Directory) -> Result<()> {
    disk.create_dir_all(&directory.tables())
        .map_err(|e| Error::io("creating a directory", &directory.tables(), e))?;
    sync(disk, &directory.tables())?;
    sync(disk, &directory.path)
}

fn sync(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.sync_dir(dir).map_err(|error| Error::io("syncing a directory", dir, error))
}

fn link_or_copy(disk: &dyn Disk, from: &Path, to: &Path) -> Result<()> {
    if disk.hard_link(from, to).is_ok() {
        return Ok(());
    }
    // Another file system, or one without links.
    let io = |error| Error::io("copying a file of a snapshot", to, error);
    let source = disk.open(from).map_err(io)?;
    let target = disk.create(to).map_err(io)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    loop {
        let read = source.read_at(at, &mut buffer).map_err(io)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        target.write_all_at(at, bytes).map_err(io)?;
        at += read as u64;
    }
    target.sync_data().map_err(io)
}
