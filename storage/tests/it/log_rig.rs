//! What the tests of the commit log share: a log on a faulty disk, and records that know who
//! they are.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use helenus_platform::clock::{Clock as _, ManualClock};
use helenus_platform::disk::{Disk, FaultyDisk};
use helenus_platform::random::SeededRandom;
use helenus_storage::error::Result;
use helenus_storage::log::{Append, Appended, CommitLog, LogOptions, LogRecord, Replay, SyncStep};
use helenus_storage::model::{LogPosition, TableId};

/// Where the log of every test lives.
pub(crate) fn dir() -> &'static Path {
    Path::new("/data/log")
}

/// A disk with the synced, empty directory of a log.
pub(crate) fn disk(seed: u64) -> FaultyDisk {
    let disk = FaultyDisk::new(seed);
    disk.create_dir_all(dir()).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    disk
}

/// The log's files, sorted by name.
pub(crate) fn files(disk: &dyn Disk) -> Vec<PathBuf> {
    disk.list(dir()).unwrap().into_iter().map(|entry| dir().join(entry.name)).collect()
}

/// Small segments, so that a short test fills several.
pub(crate) fn small() -> LogOptions {
    LogOptions { segment_bytes: 4096, buffer_bytes_max: 16 << 10, ..LogOptions::default() }
}

/// A clock that tests move, and the log over it.
pub(crate) struct Rig {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) log: CommitLog,
}

impl Rig {
    pub(crate) fn open(disk: &dyn CloneDisk, options: &LogOptions) -> Result<(Rig, Replay)> {
        Rig::open_seeded(disk, options, 1)
    }

    pub(crate) fn open_seeded(
        disk: &dyn CloneDisk,
        options: &LogOptions,
        seed: u64,
    ) -> Result<(Rig, Replay)> {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
        clock.advance(Duration::from_secs(100));
        let random = Arc::new(SeededRandom::new(seed));
        let (log, replay) = CommitLog::open(disk.shared(), dir(), options, random, clock.clone())?;
        Ok((Rig { clock, log }, replay))
    }

    /// Appends one record of one mutation; it must be taken.
    pub(crate) fn append(&self, mutation: &[u8], table: u32) -> Appended<LogPosition> {
        match self.log.append(&[mutation], &[TableId(table)], |end| end).unwrap() {
            Append::Done(appended) => appended,
            Append::Full => panic!("the log is full"),
        }
    }

    /// Steps the worker until it rests, moving the clock where it wants to wait for pacing.
    pub(crate) fn settle(&self) {
        loop {
            match self.log.sync_step() {
                SyncStep::Again => {}
                SyncStep::Idle => return,
                SyncStep::WaitUntil(at) => {
                    let wait = at.saturating_sub(self.clock.monotonic());
                    if wait > Duration::from_millis(1) {
                        return;
                    }
                    self.clock.advance(wait);
                }
            }
        }
    }
}

/// A disk that can be handed to a log.
pub(crate) trait CloneDisk {
    fn shared(&self) -> Arc<dyn Disk>;
}

impl CloneDisk for FaultyDisk {
    fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.for_process())
    }
}

/// Everything a replay yields.
pub(crate) fn records(replay: Replay) -> Result<Vec<LogRecord>> {
    let mut records = Vec::new();
    replay.for_each(|record| {
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}

/// The first mutation of every record that a fresh start finds.
pub(crate) fn reread(disk: &FaultyDisk, options: &LogOptions) -> Result<Vec<Vec<u8>>> {
    let (_, replay) = Rig::open_seeded(disk, options, 99)?;
    let first = |record: LogRecord| record.mutations[0].to_vec();
    Ok(records(replay)?.into_iter().map(first).collect())
}
