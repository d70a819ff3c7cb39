//! Disks that do not do what they say: faults that are planted to see that they are noticed.

use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

use helenus_platform::disk::{Disk, DiskLock, Entry, FaultyDisk, File, LockError};

/// A fault that is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The commit log is never synced, and answers are given as if it were.
    AnswerBeforeLog,
    /// Hints are written to nowhere.
    LostHints,
}

impl Plant {
    /// The directory of the files that it is about.
    fn dir(self) -> &'static str {
        match self {
            Plant::AnswerBeforeLog => "log",
            Plant::LostHints => "hints",
        }
    }
}

/// A disk with a planted fault.
pub(crate) struct PlantedDisk {
    pub(crate) disk: FaultyDisk,
    pub(crate) plant: Plant,
}

impl PlantedDisk {
    fn wrap(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        let is_meant =
            path.components().any(|part| part == Component::Normal(self.plant.dir().as_ref()));
        if is_meant { Arc::new(PlantedFile { file, plant: self.plant }) } else { file }
    }
}

impl Disk for PlantedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.create(path).map(|file| self.wrap(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.open(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.open_write(path).map(|file| self.wrap(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(dir)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path, owner: &str) -> Result<Box<dyn DiskLock>, LockError> {
        self.disk.lock(path, owner)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
}

struct PlantedFile {
    file: Arc<dyn File>,
    plant: Plant,
}

impl File for PlantedFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, out)
    }

    fn try_read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<Option<usize>> {
        self.file.try_read_at(offset, out)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.plant {
            // The head of the file is there, so that it is a file of hints without any.
            Plant::LostHints if offset > 0 => Ok(()),
            _ => self.file.write_all_at(offset, bytes),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.plant {
            Plant::AnswerBeforeLog => Ok(()),
            Plant::LostHints => self.file.sync_data(),
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn drop_cache(&self, offset: u64, len: u64) {
        self.file.drop_cache(offset, len);
    }
}
