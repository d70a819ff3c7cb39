//! A file system in memory: quick, shared by its clones, with no faults and no durability.
//!
//! It knows the same errors as the real one where callers depend on them: a missing parent
//! directory, a name that exists, a file that was opened only for reading.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Disk, DiskLock, Entry, File, LockError};

type Bytes = Arc<RwLock<Vec<u8>>>;

#[derive(Clone)]
enum Node {
    Dir,
    File(Bytes),
}

#[derive(Default)]
struct Names {
    nodes: BTreeMap<PathBuf, Node>,
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
        let bytes = self.names().file(path)?;
        Ok(Arc::new(MemoryFile { bytes, writable }))
    }
}

fn is_root(path: &Path) -> bool {
    path.parent().is_none()
}

impl Names {
    fn is_dir(&self, path: &Path) -> bool {
        is_root(path) || matches!(self.nodes.get(path), Some(Node::Dir))
    }

    fn file(&self, path: &Path) -> io::Result<Bytes> {
        match self.nodes.get(path) {
            Some(Node::File(bytes)) => Ok(bytes.clone()),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if !self.is_dir(parent) => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }

    fn check_absent(&self, path: &Path) -> io::Result<()> {
        self.check_parent(path)?;
        if self.nodes.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut names = self.names();
        names.check_absent(path)?;
        let bytes = Bytes::default();
        names.nodes.insert(path.to_path_buf(), Node::File(bytes.clone()));
        Ok(Arc::new(MemoryFile { bytes, writable: true }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, true)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names();
        let bytes = names.file(from)?;
        names.check_parent(to)?;
        if names.is_dir(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        names.nodes.remove(from);
        names.nodes.insert(to.to_path_buf(), Node::File(bytes));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut names = self.names();
        names.file(path)?;
        names.nodes.remove(path);
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(is_root(path) || self.names().nodes.contains_key(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let names = self.names();
        if !names.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut entries = Vec::new();
        for (path, node) in &names.nodes {
            if path.parent() != Some(dir) {
                continue;
            }
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let (len, is_dir) = match node {
                Node::Dir => (0, true),
                Node::File(bytes) => (read(bytes).len() as u64, false),
            };
            entries.push(Entry { name: name.to_owned(), len, is_dir });
        }
        entries.sort();
        Ok(entries)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names();
        for part in dir.ancestors().filter(|part| !is_root(part)) {
            if let Some(Node::File(_)) = names.nodes.get(part) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        }
        for part in dir.ancestors().filter(|part| !is_root(part)) {
            names.nodes.entry(part.to_path_buf()).or_insert(Node::Dir);
        }
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names();
        if !names.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        names.nodes.retain(|path, _| !path.starts_with(dir));
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names();
        let bytes = names.file(from)?;
        names.check_absent(to)?;
        names.nodes.insert(to.to_path_buf(), Node::File(bytes));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.names().is_dir(dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn lock(&self, path: &Path, owner: &str) -> Result<Box<dyn DiskLock>, LockError> {
        let failed = |held_by, source| LockError { path: path.to_path_buf(), held_by, source };
        let mut names = self.names();
        if let Some(holder) = names.locks.get(path) {
            return Err(failed(Some(holder.clone()), None));
        }
        names.check_parent(path).map_err(|error| failed(None, Some(error)))?;
        names.nodes.entry(path.to_path_buf()).or_insert_with(|| Node::File(Bytes::default()));
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

fn read(bytes: &Bytes) -> std::sync::RwLockReadGuard<'_, Vec<u8>> {
    bytes.read().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryFile {
    fn change(&self, change: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        change(&mut self.bytes.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A length or offset as an index into memory.
fn index(n: u64) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl File for MemoryFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let bytes = read(&self.bytes);
        let from = bytes.get(index(offset)?..).unwrap_or_default();
        let n = from.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn try_read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<Option<usize>> {
        self.read_at(offset, out).map(Some)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = index(offset)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        self.change(|all| {
            if all.len() < end {
                all.resize(end, 0);
            }
            if let Some(to) = all.get_mut(start..end) {
                to.copy_from_slice(bytes);
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(read(&self.bytes).len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = index(len)?;
        self.change(|all| {
            all.resize(len, 0);
            Ok(())
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = index(len)?;
        self.change(|all| {
            if all.len() < len {
                all.resize(len, 0);
            }
            Ok(())
        })
    }

    fn drop_cache(&self, _offset: u64, _len: u64) {}
}
