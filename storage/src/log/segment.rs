//! Segment files: their names, how one is born, and how one is recycled.
//!
//! `segment-<base in hex>.log` is part of the log; `spare-<base in hex>.log` is a file kept for
//! its room; `damaged-<base in hex>.log` was part of the log, and is left to whoever wants to
//! know why it had to be skipped. A segment is born as a spare: its header is written and synced, then it is renamed
//! and the directory synced, so a segment's name never stands over another one's header. It ends
//! the other way round: renamed to a spare and the directory synced, before anything in it is
//! overwritten.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helenus_platform::clock::Clock;
use helenus_platform::disk::{Disk, File};
use helenus_platform::random::Random;

use super::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::error::{Error, Result};

const SEGMENT_PREFIX: &str = "segment-";
const SPARE_PREFIX: &str = "spare-";
const DAMAGED_PREFIX: &str = "damaged-";
const SUFFIX: &str = ".log";

/// The file name of the segment that begins at `base`.
pub(crate) fn segment_name(base: u64) -> String {
    format!("{SEGMENT_PREFIX}{base:016x}{SUFFIX}")
}

fn spare_name(base: u64) -> String {
    format!("{SPARE_PREFIX}{base:016x}{SUFFIX}")
}

/// The base in the name of a segment file.
pub(crate) fn base_in_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(SEGMENT_PREFIX)?.strip_suffix(SUFFIX)?;
    let base = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(base) == name).then_some(base)
}

/// A segment whose header is on the platter.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) salt: u32,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, path: PathBuf, file: Arc<dyn File>) -> Self {
        Segment { salt: header.salt(), header, path, file }
    }

    pub(crate) fn base(&self) -> u64 {
        self.header.base
    }

    /// Log position behind the last byte that the segment may hold.
    pub(crate) fn limit(&self) -> u64 {
        self.header.base.saturating_add(self.header.capacity)
    }

    /// Log position of the first group.
    pub(crate) fn first(&self) -> u64 {
        self.header.base + SEGMENT_HEADER_BYTES as u64
    }

    /// Base of the segment before this one, if there was one.
    pub(crate) fn previous(&self) -> Option<u64> {
        (self.header.previous != self.header.base).then_some(self.header.previous)
    }

    /// An error at a log position inside this segment.
    pub(crate) fn corrupt(&self, what: &'static str, position: u64) -> Error {
        let offset = position.saturating_sub(self.base());
        Error::corrupt(format!("the commit log is damaged: {what}"))
            .at_file(&self.path, Some(offset))
    }
}

/// Makes segments and takes them back.
pub(crate) struct SegmentStore {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
    spares_max: usize,
    /// File names of spares that nobody is turning into a segment.
    spares: Mutex<BTreeSet<String>>,
}

impl SegmentStore {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
        spares_max: usize,
    ) -> Self {
        let spares = Mutex::new(BTreeSet::new());
        SegmentStore { disk, dir: dir.to_path_buf(), random, clock, spares_max, spares }
    }

    fn spares(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |error| Error::io(what, &path, error)
    }

    /// The bases of the segments found, in order. Spares are noted, or removed if there are too
    /// many. A file that is neither is left alone.
    pub(crate) fn scan(&self) -> Result<Vec<u64>> {
        let failed = self.failed("listing the commit log", &self.dir);
        let entries = self.disk.list(&self.dir).map_err(failed)?;
        let mut bases = Vec::new();
        for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
            if let Some(base) = base_in_name(&entry.name) {
                bases.push(base);
            } else if entry.name.starts_with(SPARE_PREFIX) && entry.name.ends_with(SUFFIX) {
                let known = self.spares().len();
                if known < self.spares_max {
                    self.spares().insert(entry.name);
                } else {
                    let path = self.dir.join(&entry.name);
                    let failed = self.failed("removing a spare commit log file", &path);
                    self.disk.remove(&path).map_err(failed)?;
                }
            }
        }
        bases.sort_unstable();
        Ok(bases)
    }

    /// Makes the segment that begins at `base`, after the one that begins at `previous`, if there
    /// is one. When this returns, it survives a power cut.
    pub(crate) fn create(
        &self,
        base: u64,
        capacity: u64,
        previous: Option<u64>,
    ) -> Result<Arc<Segment>> {
        let reused = self.spares().pop_first();
        let fresh = reused.is_none();
        let name = reused.unwrap_or_else(|| spare_name(base));
        let mut id = [0; 16];
        self.random.fill(&mut id);
        let created_micros = self.clock.wall_micros();
        let previous = previous.unwrap_or(base);
        let header = SegmentHeader { id, base, capacity, created_micros, previous };
        let made = self.make(&name, fresh, header);
        if made.is_err() {
            // The file may exist half-made: the next attempt, or the next start, takes it up.
            let exists = self.disk.exists(&self.dir.join(&name)).unwrap_or(true);
            if exists {
                self.spares().insert(name);
            }
        }
        made
    }

    fn make(&self, name: &str, fresh: bool, header: SegmentHeader) -> Result<Arc<Segment>> {
        let SegmentHeader { base, capacity, .. } = header;
        let spare = self.dir.join(name);
        let path = self.dir.join(segment_name(base));
        let opened = if fresh { self.disk.create(&spare) } else { self.disk.open_write(&spare) };
        let file = opened.map_err(self.failed("creating a commit log segment", &spare))?;
        let prepared = file
            .len()
            .and_then(|len| if len > capacity { file.set_len(capacity) } else { Ok(()) })
            .and_then(|()| file.allocate(capacity))
            .and_then(|()| file.write_all_at(0, &header.encode()))
            .and_then(|()| file.sync_data());
        prepared.map_err(self.failed("preparing a commit log segment", &spare))?;
        self.disk
            .rename(&spare, &path)
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(self.failed("naming a commit log segment", &path))?;
        Ok(Arc::new(Segment::new(header, path, file)))
    }

    /// Takes a segment out of the log for good: kept as a spare, or removed; or, as `evidence`,
    /// kept under a name that is not looked at again.
    pub(crate) fn retire(&self, path: &Path, base: u64, evidence: bool) -> Result<()> {
        let known = self.spares().len();
        let spare = (!evidence && known < self.spares_max).then(|| spare_name(base));
        let gone = match &spare {
            Some(name) => self.disk.rename(path, &self.dir.join(name)),
            None if evidence => {
                let name = format!("{DAMAGED_PREFIX}{base:016x}{SUFFIX}");
                self.disk.rename(path, &self.dir.join(name))
            }
            None => self.disk.remove(path),
        };
        gone.and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(self.failed("recycling a commit log segment", path))?;
        // Only now may it be written to.
        self.spares().extend(spare);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_order_as_positions_do_and_only_exact_ones_count() {
        assert_eq!(segment_name(0x1f), "segment-000000000000001f.log");
        assert_eq!(base_in_name(&segment_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(base_in_name("segment-1f.log"), None);
        assert_eq!(base_in_name("segment-000000000000001F.log"), None);
        assert_eq!(base_in_name("segment-+00000000000001f.log"), None);
        assert_eq!(base_in_name("spare-000000000000001f.log"), None);
    }
}
