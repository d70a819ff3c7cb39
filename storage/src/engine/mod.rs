//! The engine: the public face of the crate.
//!
//! It owns no thread. Writers and readers call it; whoever drives it asks for jobs (log sync,
//! flush, compaction) and runs them in slices.

use std::sync::Arc;
use std::time::Duration;

use helenus_platform::clock::Clock;
use helenus_platform::disk::Disk;
use helenus_platform::random::Random;
use helenus_platform::signal::Signal;

use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::model::{KeyspaceId, LogPosition, TableId};
use crate::options::{Options, TableOptions};
use crate::read::{BlockList, Budget, Cursor, Read, ReadCommand, Sink};

/// An open data directory. Cheap to clone; the directory is let go when the last clone and the
/// last job are dropped.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    metrics: Metrics,
    signal: Signal,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub enum Write {
    /// Every mutation is applied.
    Done {
        /// The answer may leave once `answer_position` has reached this.
        position: LogPosition,
        /// How full memory is, 0 to 1: from 0 upwards a writer should slow down accordingly.
        pressure: f32,
    },
    /// Nothing is applied: memory for memtables is exhausted until a flush has ended.
    Full,
}

/// What kind of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobKind {
    /// Writes and syncs the commit log. One worker; everything waits for it.
    LogSync,
    /// Writes memtables out as SSTables.
    Flush,
    /// Merges SSTables.
    Compaction,
}

/// What a step of a job left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStep {
    /// Call again.
    Again,
    /// Call again at this time of the monotonic clock, or when `work_signal` moves.
    WaitUntil(Duration),
    /// The job has ended; ask for the next.
    Done,
}

/// Background work being carried out. Dropping it before its end abandons it without harm.
pub struct Job {
    _private: (),
}

impl Job {
    /// Does a slice of the work. After an error the job has ended; what it was to do is handed
    /// out again later.
    pub fn step(&mut self, _budget: &mut Budget) -> Result<JobStep> {
        Ok(JobStep::Done)
    }
}

/// Figures of one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableStats {
    /// Heap bytes of its memtables, those being flushed included.
    pub memtable_bytes: u64,
    /// Its SSTables.
    pub sstables: u64,
    /// Bytes of their files.
    pub sstable_bytes: u64,
    /// Partitions in SSTables, each counted in every file that has it.
    pub partitions: u64,
    /// Rows in SSTables, likewise.
    pub rows: u64,
    /// Compactions that wait to be done, estimated.
    pub compactions_pending: u64,
}

fn not_built() -> Error {
    Error::invalid("the engine is not built yet")
}

impl Engine {
    /// Opens a data directory, founding it if it is empty, and replays its commit log. `tables`
    /// are all tables that exist; records of others are skipped.
    pub fn open(
        _options: Options,
        _disk: Arc<dyn Disk>,
        _clock: Arc<dyn Clock>,
        _random: Arc<dyn Random>,
        _tables: &[(TableId, KeyspaceId, TableOptions)],
    ) -> Result<Engine> {
        Err(not_built())
    }

    /// Creates a table. Creating one that exists only alters it.
    pub fn create_table(&self, _: TableId, _: KeyspaceId, _: TableOptions) -> Result<()> {
        Err(not_built())
    }

    /// Changes a table's options.
    pub fn alter_table(&self, _table: TableId, _options: TableOptions) -> Result<()> {
        Err(not_built())
    }

    /// Drops a table with its data. Waits for the disk.
    pub fn drop_table(&self, _table: TableId) -> Result<()> {
        Err(not_built())
    }

    /// Removes all data of a table that was written so far. Waits for the disk.
    pub fn truncate(&self, _table: TableId) -> Result<()> {
        Err(not_built())
    }

    /// Writes mutations, all or none: they are one record of the commit log.
    pub fn write(&self, _mutations: &[&[u8]]) -> Result<Write> {
        Err(not_built())
    }

    /// Reads on from `cursor`, without waiting, until the budget is spent.
    pub fn read(
        &self,
        _command: &ReadCommand,
        _cursor: &mut Cursor,
        _sink: &mut dyn Sink,
        _budget: &mut Budget,
    ) -> Result<Read> {
        Err(not_built())
    }

    /// Fetches blocks for a read. Waits for the disk.
    pub fn fetch(&self, _blocks: BlockList, _cursor: &mut Cursor) -> Result<()> {
        Err(not_built())
    }

    /// Reads to the end, waiting for the disk where needed.
    pub fn read_blocking(
        &self,
        command: &ReadCommand,
        cursor: &mut Cursor,
        sink: &mut dyn Sink,
    ) -> Result<Read> {
        loop {
            match self.read(command, cursor, sink, &mut Budget::UNLIMITED.clone())? {
                Read::NeedsBlocks(blocks) => self.fetch(blocks, cursor)?,
                Read::Yield => {}
                ended => return Ok(ended),
            }
        }
    }

    /// Answers to writes and reads up to this position may leave: what is durable, or in
    /// periodic mode what is written.
    pub fn answer_position(&self) -> LogPosition {
        LogPosition::START
    }

    /// Moves when `answer_position` has moved, and when the engine has failed.
    pub fn watermark_signal(&self) -> &Signal {
        &self.shared.signal
    }

    /// Work of this kind that is to be done now, if there is any.
    pub fn next_job(&self, _kind: JobKind) -> Option<Job> {
        None
    }

    /// Moves when there may be work of this kind.
    pub fn work_signal(&self, _kind: JobKind) -> &Signal {
        &self.shared.signal
    }

    /// Asks for a flush of one table, or of all; carried out by jobs.
    pub fn flush(&self, _table: Option<TableId>) -> Result<()> {
        Err(not_built())
    }

    /// Asks for a compaction of all of a table's SSTables into one run; carried out by jobs.
    pub fn compact(&self, _table: TableId) -> Result<()> {
        Err(not_built())
    }

    /// Figures of one table.
    pub fn table_stats(&self, _table: TableId) -> Option<TableStats> {
        None
    }

    /// Counters of the engine.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The failure after which the engine refuses writes until it is opened again, if any.
    pub fn failure(&self) -> Option<Arc<Error>> {
        None
    }

    /// Ends background work and syncs the commit log. Flushes nothing: replay is fast.
    pub fn close(&self) -> Result<()> {
        Ok(())
    }
}
