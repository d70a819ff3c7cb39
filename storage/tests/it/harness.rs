//! An engine on a disk with faults, driven by hand: no thread, no time but the test's.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::disk::FaultyDisk;
use helenus_platform::fork::Drawn;
use helenus_platform::random::SeededRandom;
use helenus_storage::model::{KeyspaceId, LogPosition, PartitionKey, Slice, TableId, Token};
use helenus_storage::{
    Budget, Durability, Engine, JobKind, JobStep, Options, Result, TableOptions, Write,
};

pub(crate) const KEYSPACE: KeyspaceId = KeyspaceId(1);
/// 2023-11-14, in seconds.
pub(crate) const START: i64 = 1_700_000_000;

/// An engine and what it stands on.
pub(crate) struct Db {
    pub(crate) disk: FaultyDisk,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) random: Arc<SeededRandom>,
    pub(crate) options: Options,
    pub(crate) tables: Vec<(TableId, KeyspaceId, TableOptions)>,
    pub(crate) engine: Option<Engine>,
}

/// Options small enough for everything to happen in a short test.
pub(crate) fn small_options() -> Options {
    Options {
        host_id: [7; 16],
        durability: Durability::GROUP,
        segment_bytes: 16 << 10,
        log_bytes_max: 128 << 10,
        memtable_bytes_max: 64 << 10,
        memtable_total_bytes_max: 512 << 10,
        memtable_shards: 4,
        block_cache_bytes: 32 << 10,
        block_bytes: 512,
        sstable_bytes_target: 64 << 10,
        // Replay in an order that no disk ever sees, and the same each time.
        fork: Arc::new(Drawn::new(7, 3)),
        ..Options::new("/data/engine")
    }
}

impl Db {
    pub(crate) fn new(seed: u64, options: Options, tables: &[(TableId, TableOptions)]) -> Db {
        let disk = FaultyDisk::new(seed);
        Db::on(disk, seed, options, tables)
    }

    pub(crate) fn on(
        disk: FaultyDisk,
        seed: u64,
        options: Options,
        tables: &[(TableId, TableOptions)],
    ) -> Db {
        let tables = tables.iter().map(|(id, options)| (*id, KEYSPACE, options.clone())).collect();
        Db {
            disk,
            clock: Arc::new(ManualClock::new(START * 1_000_000)),
            random: Arc::new(SeededRandom::new(seed)),
            options,
            tables,
            engine: None,
        }
    }

    /// Opens the directory.
    pub(crate) fn open(&mut self) -> Result<()> {
        assert!(self.engine.is_none());
        let disk = Arc::new(self.disk.for_process());
        let (clock, random) = (self.clock.clone(), self.random.clone());
        let options = self.options.clone();
        self.engine = Some(Engine::open(options, disk, clock, random, &self.tables)?);
        Ok(())
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// Lets go of the engine without closing it.
    pub(crate) fn forget(&mut self) {
        self.engine = None;
    }

    /// As `kill -9` and a new start.
    pub(crate) fn crash(&mut self) {
        self.disk.crash_process();
        self.forget();
        self.open().unwrap();
    }

    pub(crate) fn close(&mut self) -> Result<()> {
        let closed = self.engine().close();
        self.forget();
        closed
    }

    pub(crate) fn wall_micros(&self) -> i64 {
        self.clock.wall_micros()
    }

    pub(crate) fn now(&self) -> i64 {
        self.wall_micros() / 1_000_000
    }

    /// Writes and waits until the answer may leave.
    pub(crate) fn write(&self, mutations: &[&[u8]]) -> Result<LogPosition> {
        let position = loop {
            match self.engine().write(mutations)? {
                Write::Done { position, .. } => break position,
                Write::Full => {
                    self.sync_until(None)?;
                    self.run_jobs(JobKind::Flush)?;
                }
            }
        };
        self.sync_until(Some(position))?;
        Ok(position)
    }

    /// Runs the log's job until answers up to `position` may leave, or nothing is left to do.
    pub(crate) fn sync_until(&self, position: Option<LogPosition>) -> Result<()> {
        let engine = self.engine();
        let mut job = engine.next_job(JobKind::LogSync).unwrap();
        while position.is_none_or(|position| engine.answer_position() < position) {
            let step = job.step(&mut Budget::new(1000))?;
            if let Some(error) = engine.failure() {
                return Err(helenus_storage::Error::invalid(error.to_string()));
            }
            match step {
                JobStep::Again => {}
                JobStep::WaitUntil(_) | JobStep::Done if position.is_none() => break,
                JobStep::WaitUntil(at) => self.wait_until(at),
                JobStep::Done => assert!(position <= Some(engine.answer_position())),
            }
        }
        Ok(())
    }

    fn wait_until(&self, at: Duration) {
        let now = self.clock.monotonic();
        self.clock.advance(at.saturating_sub(now).max(Duration::from_micros(1)));
    }

    /// Runs jobs of a kind until there is none.
    pub(crate) fn run_jobs(&self, kind: JobKind) -> Result<()> {
        while let Some(mut job) = self.engine().next_job(kind) {
            loop {
                match job.step(&mut Budget::new(200))? {
                    JobStep::Again => {}
                    JobStep::WaitUntil(at) => self.wait_until(at),
                    JobStep::Done => break,
                }
            }
        }
        Ok(())
    }

    /// Flushes everything.
    pub(crate) fn flush(&self) -> Result<()> {
        let position = self.engine().flush(None)?;
        self.run_jobs(JobKind::Flush)?;
        assert!(self.engine().is_flushed(None, position));
        Ok(())
    }

    /// Compacts everything into one run per table.
    pub(crate) fn compact(&self) -> Result<()> {
        for (table, _, _) in &self.tables {
            self.engine().compact(*table)?;
        }
        self.run_jobs(JobKind::Compaction)
    }

    /// The same tables as another's.
    pub(crate) fn with_tables_of(mut self, other: &Db) -> Db {
        self.tables.clone_from(&other.tables);
        self
    }

    /// Every file of the directory, with its length.
    pub(crate) fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        collect_files(&self.disk, &self.options.dir, &mut files);
        files
    }
}

fn collect_files(disk: &FaultyDisk, dir: &Path, files: &mut Vec<(PathBuf, u64)>) {
    use helenus_platform::disk::Disk;
    for entry in disk.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            collect_files(disk, &path, files);
        } else {
            files.push((path, entry.len));
        }
    }
}

/// Key number `n`: tokens are spread over the ring, and some keys share one.
pub(crate) fn key(n: u8) -> PartitionKey {
    let token = i64::from(n / 2).wrapping_mul(0x2545_f491_4f6c_dd1d) ^ (i64::from(n / 2) << 56);
    PartitionKey { token: Token(token), key: Slice::copy(&[b'k', n]) }
}
