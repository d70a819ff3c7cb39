//! The data directory: whose it is, which format it has, where things are in it.
//!
//! ```text
//! <dir>/FORMAT                  "helenus-storage 1\n": the directory is ours, and its version
//! <dir>/LOCK                    locked while a process has the directory open
//! <dir>/CURRENT                 names the manifest in force (see `file`)
//! <dir>/manifest-0000000007     the manifest in force
//! <dir>/log/                    the commit log
//! <dir>/tables/0000002a/        the SSTables of table 42
//! <dir>/damaged/0000002a/       those of them that were damaged and set aside
//! ```
//!
//! A directory is never guessed at. One without FORMAT is founded only if it is empty; FORMAT is
//! written first, under a temporary name. A directory with FORMAT and without CURRENT is one whose
//! founding was cut off, provided that `log` and `tables` do not exist: they are created only
//! after CURRENT is durable. Anything else is refused by name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use helenus_platform::disk::{Disk, DiskLock, File};

use crate::error::{Error, ErrorKind, Result};
use crate::model::TableId;

/// The newest version of the whole directory's format that this code writes and reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
const FORMAT_PREFIX: &str = "helenus-storage ";
const FORMAT: &str = "FORMAT";
const LOCK: &str = "LOCK";
pub(super) const CURRENT: &str = "CURRENT";
/// Suffix of files that have not yet been renamed into place.
const TEMPORARY: &str = ".tmp";
/// FORMAT and CURRENT are one short line.
const SMALL_FILE_BYTES_MAX: u64 = 4096;

/// A data directory, locked for this process.
pub(crate) struct Directory {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
    /// None once the directory was let go.
    lock: Mutex<Option<Box<dyn DiskLock>>>,
}

impl Directory {
    /// Locks `path`, founding it if it is empty; refuses what is not a data directory of ours.
    pub(crate) fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Directory> {
        let io = |what: &'static str| move |error| Error::io(what, path, error);
        disk.create_dir_all(path).map_err(io("creating the data directory"))?;
        check_ours(disk.as_ref(), path)?;
        let lock_path = path.join(LOCK);
        let lock = disk.lock(&lock_path, "helenus storage engine").map_err(|error| {
            let kind = match error.source {
                None => ErrorKind::Locked,
                Some(_) => ErrorKind::Io,
            };
            Error::new(kind, "opening the data directory").at_file(path, None).caused_by(error)
        })?;
        let directory = Directory { disk, path: path.to_owned(), lock: Mutex::new(Some(lock)) };
        directory.found_or_check()?;
        Ok(directory)
    }

    /// Lets go of the directory, so that it can be opened again. Nothing may be written after this.
    pub(crate) fn release(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Where the commit log lives.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where all SSTables live.
    pub(crate) fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }

    /// Where the SSTables of one table live.
    pub(crate) fn table(&self, table: TableId) -> PathBuf {
        self.tables().join(format!("{:08x}", table.0))
    }

    /// Where SSTables of one table are kept that were damaged and set aside.
    pub(crate) fn damaged(&self, table: TableId) -> PathBuf {
        self.path.join("damaged").join(format!("{:08x}", table.0))
    }

    fn found_or_check(&self) -> Result<()> {
        let path = self.path.join(FORMAT);
        if self.exists(&path)? {
            return check_format(&path, &read_small(self.disk.as_ref(), &path)?).map(drop);
        }
        self.sync_ancestors()?;
        let text = format!("{FORMAT_PREFIX}{FORMAT_VERSION}\n");
        self.replace(FORMAT, text.as_bytes())
    }

    /// Makes the directory's own name durable, and those of the directories above it, which may
    /// be as new as it is.
    fn sync_ancestors(&self) -> Result<()> {
        let above = self.path.ancestors().skip(1);
        for (index, ancestor) in above.filter(|path| !path.as_os_str().is_empty()).enumerate() {
            match self.disk.sync_dir(ancestor) {
                Ok(()) => {}
                // What we may not even open, we have not created.
                Err(error) if index > 0 && error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(Error::io("founding a data directory", ancestor, error)),
            }
        }
        Ok(())
    }

    /// Whether the founding of this directory was cut off before a manifest was in force.
    pub(super) fn is_unfounded(&self) -> Result<bool> {
        if self.exists(&self.path.join(CURRENT))? {
            return Ok(false);
        }
        for must_not_exist in [self.log(), self.tables()] {
            if self.exists(&must_not_exist)? {
                let what = format!("{CURRENT} is missing although {must_not_exist:?} exists");
                return Err(Error::corrupt(what).at_file(&self.path.join(CURRENT), None));
            }
        }
        Ok(true)
    }

    /// Writes a small file whole or not at all: temporary name, sync, rename, sync.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let temporary = self.path.join(format!("{name}{TEMPORARY}"));
        let path = self.path.join(name);
        let io = |error| Error::io("writing a small file", &path, error);
        if self.exists(&temporary)? {
            self.disk.remove(&temporary).map_err(io)?;
        }
        let file = self.disk.create(&temporary).map_err(io)?;
        file.write_all_at(0, bytes).and_then(|()| file.sync_data()).map_err(io)?;
        self.disk.rename(&temporary, &path).map_err(io)?;
        self.disk.sync_dir(&self.path).map_err(io)
    }

    pub(crate) fn exists(&self, path: &Path) -> Result<bool> {
        self.disk.exists(path).map_err(|error| Error::io("looking for a file", path, error))
    }
}

/// A directory without FORMAT must hold nothing but what its founding leaves behind.
fn check_ours(disk: &dyn Disk, path: &Path) -> Result<()> {
    let entries = disk.list(path).map_err(|e| Error::io("listing a directory", path, e))?;
    if entries.iter().any(|entry| entry.name == FORMAT) {
        return Ok(());
    }
    let format_temporary = format!("{FORMAT}{TEMPORARY}");
    match entries.iter().find(|entry| entry.name != LOCK && entry.name != format_temporary) {
        None => Ok(()),
        Some(stranger) => Err(Error::invalid(format!(
            "not a data directory: it has no {FORMAT} file, and holds {:?}",
            stranger.name
        ))
        .at_file(path, None)),
    }
}

/// The version of the format that the file FORMAT names, if it can be read.
pub(super) fn check_format(path: &Path, bytes: &[u8]) -> Result<u32> {
    let text = std::str::from_utf8(bytes).ok();
    let version = text
        .and_then(|text| text.strip_prefix(FORMAT_PREFIX)?.strip_suffix('\n')?.parse().ok())
        .ok_or_else(|| Error::corrupt("not a storage format marker").at_file(path, None))?;
    match version {
        1..=FORMAT_VERSION => Ok(version),
        _ => Err(Error::new(
            ErrorKind::Newer,
            format!(
                "the data directory has format version {version}; this program reads \
                 versions up to {FORMAT_VERSION}"
            ),
        )
        .at_file(path, None)),
    }
}

/// Reads a file of at most a page.
pub(super) fn read_small(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    let file = disk.open(path).map_err(|e| Error::io("opening a file", path, e))?;
    read_whole(file.as_ref(), path, SMALL_FILE_BYTES_MAX)
}

/// Reads a whole file, refusing one longer than `bytes_max`.
pub(super) fn read_whole(file: &dyn File, path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let io = |error| Error::io("reading a file", path, error);
    let len = file.len().map_err(io)?;
    if len > bytes_max {
        let what = format!("{len} bytes are more than this file can have ({bytes_max})");
        return Err(Error::corrupt(what).at_file(path, None));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(0, &mut bytes).map_err(io)?;
    Ok(bytes)
}
