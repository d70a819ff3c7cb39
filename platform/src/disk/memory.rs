//! A file system in memory: quick, shared by its clones, with no faults and no durability.
//!
//! It knows the same errors as the real one where callers depend on them: a missing parent
//! directory, a name that exists, a file that was opened only for reading.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::tree::{Node, Tree};
use super::{Disk, DiskLock, Entry, File, LockError};

type Bytes = Arc<RwLock<Content>>;

/// A file's bytes up to the last one that was written; those behind it, up to `len`, are zeros and
/// take no memory, so that room that is only reserved costs nothing.
#[derive(Default)]
struct Content {
    written: Vec<u8>,
    len: usize,
}

impl Content {
    fn read_at(&self, offset: usize, out: &mut [u8]) -> usize {
        let n = self.len.saturating_sub(offset).min(out.len());
        let out = out.get_mut(..n).unwrap_or_default();
        let written = self.written.get(offset..).unwrap_or_default();
        let written = written.get(..n).unwrap_or(written);
        let (from_written, zeros) = out.split_at_mut(written.len());
        from_written.copy_from_slice(written);
        zeros.fill(0);
        n
    }

    fn write_at(&mut self, start: usize, end: usize, bytes: &[u8]) {
        if self.written.len() < end {
            self.written.resize(end, 0);
        }
        if let Some(to) = self.written.get_mut(start..end) {
            to.copy_from_slice(bytes);
        }
        self.len = self.len.max(end);
    }

    fn set_len(&mut self, len: usize) {
        self.written.truncate(len);
        self.len = len;
    }
}

#[derive(Default)]
struct Names {
    tree: Tree<Bytes>,
    locks: BTreeMap<PathBuf, String>,
}

/// A file system in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    names: Arc<Mutex<Names>>,
}

impl MemoryDisk {
    /// An empty file system: only `/` and the empty path exist, as directories.
    #[must_use]
    pub fn new() -> Self {
        MemoryDisk::default()
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_as(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn File>> {
        let bytes = self.names().tree.file(path)?;
        Ok(Arc::new(MemoryFile { bytes, writable }))
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let tree = &mut self.names().tree;
        tree.check_absent(path)?;
        let bytes = Bytes::default();
        tree.set(path, Some(Node::File(bytes.clone())));
        Ok(Arc::new(MemoryFile { bytes, writable: true }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, true)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let tree = &mut self.names().tree;
        let bytes = tree.file(from)?;
        tree.check_place(to)?;
        tree.set(from, None);
        tree.set(to, Some(Node::File(bytes)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let tree = &mut self.names().tree;
        tree.file(path)?;
        tree.set(path, None);
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.names().tree.exists(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.names().tree.list(dir, |bytes| read(bytes).len as u64)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let tree = &mut self.names().tree;
        for missing in tree.missing_dirs(dir)? {
            tree.set(&missing, Some(Node::Dir));
        }
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let tree = &mut self.names().tree;
        tree.check_dir(dir)?;
        let below: Vec<PathBuf> = tree.below(dir).map(|(path, _)| path.clone()).collect();
        for path in &below {
            tree.set(path, None);
        }
        tree.set(dir, None);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let tree = &mut self.names().tree;
        let bytes = tree.file(from)?;
        tree.check_absent(to)?;
        tree.set(to, Some(Node::File(bytes)));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.names().tree.check_dir(dir)
    }

    fn lock(&self, path: &Path, owner: &str) -> Result<Box<dyn DiskLock>, LockError> {
        let failed = |held_by, source| LockError { path: path.to_path_buf(), held_by, source };
        let mut names = self.names();
        if let Some(holder) = names.locks.get(path) {
            return Err(failed(Some(holder.clone()), None));
        }
        names.tree.check_place(path).map_err(|error| failed(None, Some(error)))?;
        if !names.tree.exists(path) {
            names.tree.set(path, Some(Node::File(Bytes::default())));
        }
        names.locks.insert(path.to_path_buf(), owner.to_owned());
        Ok(Box::new(MemoryLock { disk: self.clone(), path: path.to_path_buf() }))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl DiskLock for MemoryLock {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.names().locks.remove(&self.path);
    }
}

struct MemoryFile {
    bytes: Bytes,
    writable: bool,
}

fn read(bytes: &Bytes) -> std::sync::RwLockReadGuard<'_, Content> {
    bytes.read().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryFile {
    fn change(&self, change: impl FnOnce(&mut Content)) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        change(&mut self.bytes.write().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

/// A length or offset as an index into memory.
fn index(n: u64) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl File for MemoryFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        Ok(read(&self.bytes).read_at(index(offset)?, out))
    }

    fn try_read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<Option<usize>> {
        self.read_at(offset, out).map(Some)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = index(offset)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        self.change(|content| content.write_at(start, end, bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(read(&self.bytes).len as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = index(len)?;
        self.change(|content| content.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = index(len)?;
        self.change(|content| content.len = content.len.max(len))
    }

    fn drop_cache(&self, _offset: u64, _len: u64) {}
}
