//! The disk as a seam: files, directories and a lock, with the rules that durability rests on.
//!
//! What every implementation promises, and what callers may rely on:
//! - Bytes written are seen by later reads at once; they survive the death of the process, but a
//!   power cut only after [`File::sync_data`] has returned.
//! - A name that was created, renamed, linked or removed survives a power cut only after
//!   [`Disk::sync_dir`] of its directory has returned.
//! - After a failed `sync_data` nothing may be assumed of the bytes written since the last
//!   successful one; syncing again does not bring them back.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub mod faulty;
mod memory;
mod real;
mod tree;

pub use faulty::{CutOptions, FaultyDisk};
pub use memory::MemoryDisk;
pub use real::RealDisk;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// File name without the directory.
    pub name: String,
    /// Bytes in the file; 0 for a directory.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system.
pub trait Disk: Send + Sync {
    /// Creates a file for reading and writing; it must not exist.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Renames a file, replacing `to` if it exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Whether a file or directory of this name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// What stands in a directory, sorted by name. Names that are not UTF-8 are refused.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Creates a directory and those above it; those that exist are left alone.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Removes a directory with everything in it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file a second name, which must not exist.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in `dir`, as they are now, survive a power cut.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock that the file `path` stands for, creating it if needed, and notes
    /// `owner` in it. Held until the returned value is dropped or the process dies.
    fn lock(&self, path: &Path, owner: &str) -> Result<Box<dyn DiskLock>, LockError>;

    /// Bytes that can still be written below `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. Usable from several threads at once; there is no file position.
pub trait File: Send + Sync {
    /// Reads at most `out.len()` bytes; 0 at or beyond the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Fills `out`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_at(offset + done as u64, rest) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// As `read_at`, but `None` where the answer would have to wait for the device, or where the
    /// system cannot tell. A short count is possible, as with `read_at`.
    fn try_read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<Option<usize>>;

    /// Writes all of `bytes`, growing the file if needed; a gap reads as zeros.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file's bytes and length survive a power cut.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or grows it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves room so that writes below `len` do not fail for want of space, and grows the file
    /// to at least `len`; bytes not written read as zeros.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Hints that these bytes need not stay in the system's cache.
    fn drop_cache(&self, offset: u64, len: u64);
}

/// A held lock; dropping it lets go.
pub trait DiskLock: Send + Sync {
    /// The file that stands for the lock.
    fn path(&self) -> &Path;
}

/// Why a lock was not taken.
#[derive(Debug)]
pub struct LockError {
    /// The file that stands for the lock.
    pub path: PathBuf,
    /// What the holder wrote about itself, if somebody holds it and it can be read.
    pub held_by: Option<String>,
    /// The failure, if it was not that somebody else holds the lock.
    pub source: Option<io::Error>,
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match (&self.source, &self.held_by) {
            (Some(error), _) => write!(f, "cannot lock {path}: {error}"),
            (None, Some(holder)) => write!(f, "{path} is in use by {holder}"),
            (None, None) => write!(f, "{path} is in use by another process"),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}
