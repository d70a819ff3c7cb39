//! The machine's file system.
//!
//! `sync_data` is fdatasync. `try_read_at` is `preadv2(RWF_NOWAIT)` on Linux: it answers from the
//! page cache or not at all; elsewhere, and on file systems that do not know the flag, it always
//! answers `None`, so the caller fetches the block on a thread that may wait.
#![expect(clippy::disallowed_methods, reason = "the real half of the disk seam")]

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskLock, Entry, File, LockError};

/// Longest note of a lock's holder that is read back, in bytes.
const LOCK_NOTE_BYTES_MAX: u64 = 256;

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl RealDisk {
    /// The machine's file system.
    #[must_use]
    pub fn new() -> Self {
        RealDisk
    }
}

fn shared(file: io::Result<fs::File>) -> io::Result<Arc<dyn File>> {
    Ok(Arc::new(RealFile(file?)))
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        shared(OpenOptions::new().read(true).write(true).create_new(true).open(path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        shared(fs::File::open(path))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        shared(OpenOptions::new().read(true).write(true).open(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed between the listing and the question.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let name = entry.file_name().into_string().map_err(|name| {
                let text = format!("a file name in {} is not UTF-8: {name:?}", dir.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
            let is_dir = metadata.is_dir();
            entries.push(Entry { name, len: if is_dir { 0 } else { metadata.len() }, is_dir });
        }
        entries.sort();
        Ok(entries)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path, owner: &str) -> Result<Box<dyn DiskLock>, LockError> {
        let failed = |held_by, source| LockError { path: path.to_path_buf(), held_by, source };
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(|error| failed(None, Some(error)))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut note = String::new();
                // A holder that has not written its note yet, or wrote no text, stays unnamed.
                let read = file.take(LOCK_NOTE_BYTES_MAX).read_to_string(&mut note);
                let note = note.trim().to_owned();
                return Err(failed((read.is_ok() && !note.is_empty()).then_some(note), None));
            }
            Err(TryLockError::Error(error)) => return Err(failed(None, Some(error))),
        }
        let note = format!("{owner} (pid {})\n", std::process::id());
        let noted = file.set_len(0).and_then(|()| file.write_all(note.as_bytes()));
        noted.map_err(|error| failed(None, Some(error)))?;
        Ok(Box::new(RealLock { path: path.to_path_buf(), _file: file }))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The lock lives as long as the open file does; the system lets go when the process dies.
struct RealLock {
    path: PathBuf,
    _file: fs::File,
}

impl DiskLock for RealLock {
    fn path(&self) -> &Path {
        &self.path
    }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(out, offset)
    }

    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    #[cfg(target_os = "linux")]
    fn try_read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<Option<usize>> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let mut parts = [io::IoSliceMut::new(out)];
        match preadv2(&self.0, &mut parts, offset, ReadWriteFlags::NOWAIT) {
            Ok(n) => Ok(Some(n)),
            // AGAIN: not in the cache. OPNOTSUPP, NOSYS, INVAL: the flag or call is not known.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn try_read_at(&self, _offset: u64, _out: &mut [u8]) -> io::Result<Option<usize>> {
        Ok(None)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        if len == 0 {
            return Ok(());
        }
        match fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // The file system cannot reserve: growing is what is left.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => grow(&self.0, len),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, len: u64) -> io::Result<()> {
        grow(&self.0, len)
    }

    fn drop_cache(&self, offset: u64, len: u64) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            // Only a hint: a failure changes nothing that a caller could see.
            let length = std::num::NonZeroU64::new(len);
            let _ = fadvise(&self.0, offset, length, Advice::DontNeed);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (offset, len);
    }
}

fn grow(file: &fs::File, len: u64) -> io::Result<()> {
    if file.metadata()?.len() < len { file.set_len(len) } else { Ok(()) }
}
