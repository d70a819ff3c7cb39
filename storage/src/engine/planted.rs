//! Deliberate faults, for the tests of the test harness; see `PlantedFault`. Without the feature
//! `planted-faults` this file is empty functions.

use std::sync::Arc;

use helenus_platform::disk::Disk;

use super::Shared;
use crate::error::Result;
use crate::model::{LogPosition, TableId};
use crate::options::Options;

#[cfg(not(any(test, feature = "planted-faults")))]
mod absent {
    use super::*;

    impl Shared {
        #[inline]
        pub(crate) fn recycle_too_early(&self, _: TableId, _: LogPosition) -> Result<()> {
            Ok(())
        }

        #[inline]
        pub(crate) fn purges_too_early(&self) -> bool {
            false
        }
    }

    pub(crate) fn log_disk(_: &Options, disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
        disk
    }
}

#[cfg(not(any(test, feature = "planted-faults")))]
pub(super) use absent::log_disk;

#[cfg(any(test, feature = "planted-faults"))]
pub(super) use present::log_disk;

#[cfg(any(test, feature = "planted-faults"))]
mod present {
    use std::io;
    use std::path::Path;

    use helenus_platform::disk::{DiskLock, Entry, File, LockError};

    use super::*;
    use crate::options::PlantedFault;

    impl Shared {
        /// Lets go of the log as if the flush of `table` up to `end` were in the manifest.
        pub(crate) fn recycle_too_early(&self, table: TableId, end: LogPosition) -> Result<()> {
            if self.options.planted_fault != Some(PlantedFault::RecycleTooEarly) {
                return Ok(());
            }
            let state = self.manifest.state();
            let covers =
                |other, start, to| other == table && to <= end || state.covers(other, start, to);
            self.log.recycle(&covers, &|gaps| self.commit_gaps(gaps)).map(|_| ())
        }

        /// Purges without asking what a tombstone still hides.
        pub(crate) fn purges_too_early(&self) -> bool {
            self.options.planted_fault == Some(PlantedFault::PurgeTooEarly)
        }
    }

    /// The disk that the log gets.
    pub(crate) fn log_disk(options: &Options, disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
        match options.planted_fault {
            Some(PlantedFault::SkipLogSync) => Arc::new(LazyDisk(disk)),
            _ => disk,
        }
    }

    /// A disk whose files say that they are synced, and are not.
    struct LazyDisk(Arc<dyn Disk>);

    struct LazyFile(Arc<dyn File>);

    fn lazy(file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(LazyFile(file))
    }

    impl Disk for LazyDisk {
        fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
            self.0.create(path).map(lazy)
        }
        fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
            self.0.open(path).map(lazy)
        }
        fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
            self.0.open_write(path).map(lazy)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            self.0.remove(path)
        }
        fn exists(&self, path: &Path) -> io::Result<bool> {
            self.0.exists(path)
        }
        fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
            self.0.list(dir)
        }
        fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
            self.0.create_dir_all(dir)
        }
        fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
            self.0.remove_dir_all(dir)
        }
        fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.0.hard_link(from, to)
        }
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            self.0.sync_dir(dir)
        }
        fn lock(&self, path: &Path, owner: &str) -> Result<Box<dyn DiskLock>, LockError> {
            self.0.lock(path, owner)
        }
        fn free_bytes(&self, path: &Path) -> io::Result<u64> {
            self.0.free_bytes(path)
        }
    }

    impl File for LazyFile {
        fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
            self.0.read_at(offset, out)
        }
        fn try_read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<Option<usize>> {
            self.0.try_read_at(offset, out)
        }
        fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.0.write_all_at(offset, bytes)
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }
        fn allocate(&self, len: u64) -> io::Result<()> {
            self.0.allocate(len)
        }
        fn drop_cache(&self, offset: u64, len: u64) {
            self.0.drop_cache(offset, len);
        }
    }
}
