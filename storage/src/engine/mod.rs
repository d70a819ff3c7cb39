//! The engine: the public face of the crate.
//!
//! It owns no thread. Writers and readers call it; whoever drives it asks for jobs (log sync,
//! flush, compaction) and runs them in slices.
//!
//! How positions in the commit log stand to one another, for one table:
//!
//! ```text
//!   covered by SSTables | flushing memtables | active memtable       |
//!   0 ---------------- s1 --------- s2 ----- s3 ------------------- tail
//!                                        durable <= written <= tail
//!   the log may be recycled up to s1, as far as this table is concerned;
//!   a flush goes to the manifest only once durable has reached the end of its memtable
//! ```
//!
//! Every record is in exactly one memtable of each table that it touches, because a writer finds
//! the active memtable, and a switch replaces it, under the log's append lock. A flush waits for
//! the writers that have entered its memtable and have not applied.
//!
//! Order of locking: a table's right to change, the log's append lock, the manifest; none of the
//! first and last is ever taken by a read or a write of data.

mod choose;
mod claim;
mod clock;
mod damage;
mod ddl;
mod flush;
mod health;
mod memory;
mod open;
mod planted;
mod replay;
mod restore;
mod snapshot;
mod stats;
mod table;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use helenus_platform::clock::Clock;
use helenus_platform::disk::Disk;
use helenus_platform::random::Random;
use helenus_platform::signal::Signal;

pub use damage::Damage;
pub use restore::restore;
pub use snapshot::{Snapshot, SnapshotFile};
pub use stats::TableStats;
pub(crate) use table::View;
pub use write::Write;

use crate::compaction::CompactionJob;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{CommitLog, SyncStep};
use crate::manifest::{Edit, Manifest};
use crate::metrics::Metrics;
use crate::model::{KeyspaceId, LogPosition, TableId};
use crate::options::{Options, TableOptions};
use crate::read::{BlockList, Budget, Cursor, Read, ReadCommand, ReadContext, Sink, Survey};
use crate::replica::ReplicaRead;
use crate::sstable::BlockCache;
pub(crate) use claim::{Claim, Claims};
pub(crate) use clock::{PurgeTime, TrustedClock};
pub(crate) use damage::Unreadable;
use flush::FlushJob;
pub(crate) use flush::added;
use health::Health;
pub(crate) use memory::Generation;
use memory::Memory;
pub(crate) use table::Table;

/// An open data directory. Cheap to clone. The directory is let go by [`Engine::close`], or when
/// the last clone and the last job are dropped.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all clones and jobs share.
pub(crate) struct Shared {
    // Fixed after open.
    pub(crate) options: Options,
    pub(crate) clock: Arc<dyn Clock>,

    // Synchronised by themselves.
    pub(crate) log: CommitLog,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) trusted: TrustedClock,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) claims: Claims,
    pub(crate) flush_signal: Signal,
    pub(crate) compaction_signal: Signal,
    /// [`OPEN`], [`DRAINED`] or [`CLOSED`].
    phase: AtomicU8,
    /// Log position from which on the log is still needed; for its length only.
    log_start: AtomicU64,
    /// Set when the log has been replayed.
    log_damage: OnceLock<Vec<Error>>,
    /// Replaced as a whole, under `ddl`.
    pub(crate) tables: ArcSwap<BTreeMap<TableId, Arc<Table>>>,

    /// Held by whoever creates or drops a table.
    pub(crate) ddl: Mutex<()>,

    /// Shared by whoever may write to files; `close` takes it alone, so that nothing is written
    /// any more once the directory was let go.
    working: RwLock<()>,
}

/// Takes writes.
const OPEN: u8 = 0;
/// Takes no writes any more; reads and background work go on.
const DRAINED: u8 = 1;
/// Does nothing more.
const CLOSED: u8 = 2;

/// What kind of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobKind {
    /// Writes and syncs the commit log. One worker; everything waits for it.
    LogSync,
    /// Writes memtables out as SSTables.
    Flush,
    /// Merges SSTables. To be asked for at least every minute, since what may be purged changes
    /// with time alone.
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
    shared: Arc<Shared>,
    work: Work,
}

enum Work {
    LogSync,
    Flush(Box<FlushJob>),
    Compaction(Box<CompactionJob>),
}

impl Job {
    /// Does a slice of the work. After an error the job has ended; what it was to do is handed
    /// out again later.
    pub fn step(&mut self, budget: &mut Budget) -> Result<JobStep> {
        let _working = self.shared.working();
        if self.shared.is_closed() {
            return Ok(JobStep::Done);
        }
        match &mut self.work {
            Work::LogSync => Ok(match self.shared.log.sync_step() {
                SyncStep::Idle => JobStep::Done,
                SyncStep::Again => JobStep::Again,
                SyncStep::WaitUntil(at) => JobStep::WaitUntil(at),
            }),
            Work::Flush(job) => job.step(&self.shared, budget),
            Work::Compaction(job) => job.step(&self.shared, budget),
        }
    }
}

impl Shared {
    pub(crate) fn is_closed(&self) -> bool {
        self.phase.load(Ordering::Acquire) == CLOSED
    }

    /// To be held while files may be written; look only then whether the engine is closed.
    pub(crate) fn working(&self) -> RwLockReadGuard<'_, ()> {
        self.working.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses if the engine is closed, drained or has failed.
    pub(crate) fn check_open(&self) -> Result<()> {
        match self.phase.load(Ordering::Acquire) {
            OPEN => self.health.check(),
            DRAINED => {
                let what = "the node is drained: it takes no writes until it is restarted";
                Err(Error::new(ErrorKind::Closed, what))
            }
            _ => Err(Error::new(ErrorKind::Closed, "the engine is closed")),
        }
    }

    /// Refuses if the engine is closed or has failed; background work goes on when it is drained.
    pub(crate) fn check_not_closed(&self) -> Result<()> {
        if self.is_closed() { self.check_open() } else { self.health.check() }
    }

    pub(crate) fn table(&self, id: TableId) -> Result<Arc<Table>> {
        let tables = self.tables.load();
        tables.get(&id).cloned().ok_or_else(|| {
            let what = format!("there is no table with id {}", id.0);
            Error::new(ErrorKind::NotFound, what)
        })
    }

    /// Removes log segments that nothing needs any more.
    pub(crate) fn recycle_log(&self) -> Result<()> {
        let state = self.manifest.state();
        let tables = self.tables.load_full();
        // A record is done with when the manifest says so, and also when every memtable that
        // holds anything began after it: then it said nothing.
        let is_done = |id: TableId, end: LogPosition| {
            let oldest = tables.get(&id).map(|table| table.view.load().oldest_unflushed());
            oldest.is_some_and(|oldest| oldest.is_none_or(|oldest| oldest >= end))
        };
        let covered = |id, start, end| state.covers(id, start, end) || is_done(id, end);
        self.log.recycle(&covered, &|gaps| self.commit_gaps(gaps))?;
        self.note_log_start();
        Ok(())
    }

    /// Makes durable which segments of the log are not lost but recycled.
    pub(crate) fn commit_gaps(&self, positions: BTreeSet<LogPosition>) -> Result<()> {
        if self.manifest.state().log_gaps == positions {
            return Ok(());
        }
        self.commit(vec![Edit::LogGaps { positions }])
    }

    /// Notes where the part of the log begins that is still needed.
    fn note_log_start(&self) {
        let oldest = self.log.oldest_dirty().map(|(start, _)| start);
        let start = oldest.unwrap_or_else(|| self.log.written());
        self.log_start.store(start.0, Ordering::Relaxed);
    }
}

impl Engine {
    /// Opens a data directory, founding it if it is empty, and replays its commit log. `tables`
    /// are all tables that exist. Of a table that the directory knows and the caller does not,
    /// nothing is served and nothing is removed until `drop_table` says so.
    pub fn open(
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        tables: &[(TableId, KeyspaceId, TableOptions)],
    ) -> Result<Engine> {
        let shared = open::open(options, disk, clock, random, tables)?;
        Ok(Engine { shared })
    }

    /// Creates a table. Creating one that exists only alters it. Waits for the disk.
    pub fn create_table(
        &self,
        table: TableId,
        keyspace: KeyspaceId,
        options: TableOptions,
    ) -> Result<()> {
        self.shared.create_table(table, keyspace, options)
    }

    /// Changes a table's options.
    pub fn alter_table(&self, table: TableId, options: TableOptions) -> Result<()> {
        self.shared.alter_table(table, options)
    }

    /// Drops a table with its data; one that does not exist is no error. Waits for the disk.
    pub fn drop_table(&self, table: TableId) -> Result<()> {
        self.shared.drop_table(table)
    }

    /// Removes all data of a table that was written so far. Waits for the disk.
    pub fn truncate(&self, table: TableId) -> Result<()> {
        self.shared.truncate(table)
    }

    /// Writes mutations, all or none: they are one record of the commit log.
    pub fn write(&self, mutations: &[&[u8]]) -> Result<Write> {
        self.shared.write(mutations, false)
    }

    /// As [`Engine::write`], but the log is told of nothing until [`Engine::write_out`], which
    /// must be called afterwards: once for as many writes as the caller likes.
    pub fn write_deferred(&self, mutations: &[&[u8]]) -> Result<Write> {
        self.shared.write(mutations, true)
    }

    /// Sends deferred writes up to `position` on their way to where their answers may leave.
    pub fn write_out(&self, position: LogPosition) {
        self.shared.log.write_out(position);
    }

    /// The most bytes that the mutations of one write may have together: half of a segment.
    pub fn write_bytes_max(&self) -> usize {
        self.shared.log.record_bytes_max()
    }

    /// Reads on from `cursor`, without waiting, until the budget is spent.
    pub fn read(
        &self,
        command: &ReadCommand,
        cursor: &mut Cursor,
        sink: &mut dyn Sink,
        budget: &mut Budget,
    ) -> Result<Read> {
        let shared = &self.shared;
        let context = ReadContext { cache: &shared.cache, metrics: &shared.metrics };
        let tables = shared.tables.load();
        let Some(table) = tables.get(&command.table) else {
            return Err(shared.table(command.table).err().unwrap_or_else(no_table));
        };
        if cursor.is_fresh() {
            command.check()?;
            shared.metrics.reads.add(1);
            table.reads.fetch_add(1, Ordering::Relaxed);
        }
        self.note_read(cursor.run(|| table.view.load_full(), command, sink, budget, &context))
    }

    /// Reads on for another node, as [`Engine::read`] does: `Read::Done` and `Read::Stopped` mean
    /// that the page is there, complete or ended by its limits.
    pub fn read_replica(&self, read: &mut ReplicaRead, budget: &mut Budget) -> Result<Read> {
        let shared = &self.shared;
        let context = ReadContext { cache: &shared.cache, metrics: &shared.metrics };
        let tables = shared.tables.load();
        let id = read.command().read.table;
        let Some(table) = tables.get(&id) else {
            return Err(shared.table(id).err().unwrap_or_else(no_table));
        };
        if read.is_fresh() {
            read.command().read.check()?;
            shared.metrics.reads.add(1);
            table.reads.fetch_add(1, Ordering::Relaxed);
        }
        let grace = table.options.load().gc_grace_seconds;
        let outcome = read.run(|| table.view.load_full(), grace, budget, &context);
        self.note_read(outcome)
    }

    fn note_read(&self, outcome: Result<Read>) -> Result<Read> {
        let shared = &self.shared;
        let read = outcome.inspect_err(|error| shared.note_damage(error))?;
        match &read {
            Read::NeedsBlocks(_) => shared.metrics.reads_waited.add(1),
            Read::TombstoneLimit => shared.metrics.reads_tombstone_limit.add(1),
            Read::Done | Read::Stopped | Read::Yield => {}
        }
        Ok(read)
    }

    /// Fetches blocks for a replica's read. Waits for the disk.
    pub fn fetch_replica(&self, blocks: BlockList, read: &mut ReplicaRead) -> Result<()> {
        self.shared.metrics.blocks_fetched.add(blocks.len() as u64);
        let fetched = read.fetch(blocks, &self.shared.cache);
        fetched.inspect_err(|error| self.shared.note_damage(error))
    }

    /// The cache of blocks of all tables.
    pub fn block_cache(&self) -> &BlockCache {
        &self.shared.cache
    }

    /// Which sources a read of this command would look at now, and why not at the others.
    pub fn survey(&self, command: &ReadCommand) -> Result<Survey> {
        let table = self.shared.table(command.table)?;
        Ok(Survey::new(&table.view.load(), command))
    }

    /// Fetches blocks for a read. Waits for the disk.
    pub fn fetch(&self, blocks: BlockList, cursor: &mut Cursor) -> Result<()> {
        self.shared.metrics.blocks_fetched.add(blocks.len() as u64);
        let fetched = cursor.fetch(blocks, &self.shared.cache);
        fetched.inspect_err(|error| self.shared.note_damage(error))
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
        self.shared.log.answerable()
    }

    /// Everything up to this position survives a power cut.
    pub fn durable_position(&self) -> LogPosition {
        self.shared.log.durable()
    }

    /// Moves when `answer_position` has moved, and when the engine has failed.
    pub fn watermark_signal(&self) -> &Signal {
        self.shared.log.signal()
    }

    /// Work of this kind that is to be done now, if there is any.
    pub fn next_job(&self, kind: JobKind) -> Option<Job> {
        if self.shared.is_closed() {
            return None;
        }
        let work = match kind {
            JobKind::LogSync => Some(Work::LogSync),
            JobKind::Flush => self.shared.next_flush().map(|job| Work::Flush(Box::new(job))),
            JobKind::Compaction => {
                self.shared.next_compaction().map(|job| Work::Compaction(Box::new(job)))
            }
        };
        work.map(|work| Job { shared: self.shared.clone(), work })
    }

    /// Moves when there may be work of this kind.
    pub fn work_signal(&self, kind: JobKind) -> &Signal {
        match kind {
            JobKind::LogSync => self.shared.log.work_signal(),
            JobKind::Flush => &self.shared.flush_signal,
            JobKind::Compaction => &self.shared.compaction_signal,
        }
    }

    /// Asks for a flush of one table, or of all; carried out by jobs. What was written so far
    /// is in SSTables once `is_flushed` says so of the position returned; ask again when
    /// `work_signal(JobKind::Flush)` moves.
    pub fn flush(&self, table: Option<TableId>) -> Result<LogPosition> {
        self.shared.request_flush(table)
    }

    /// Whether all that was written before `position` is in SSTables.
    pub fn is_flushed(&self, table: Option<TableId>, position: LogPosition) -> bool {
        self.shared.is_flushed(table, position)
    }

    /// Begins a snapshot: all that was written so far to the tables of `targets`, and nothing
    /// later, as SSTables with a second name each in the directory that stands beside their
    /// table. The directories must exist and be empty. Waits for the disk.
    pub fn begin_snapshot(&self, targets: &[(TableId, PathBuf)]) -> Result<Snapshot> {
        self.shared.begin_snapshot(targets)
    }

    /// Takes no more writes and no more changes of tables until the engine is opened again; reads
    /// and background work go on. A write that has passed this check may still be applied, so ask
    /// for flushes until `is_flushed` stays true.
    pub fn drain(&self) {
        let phase = &self.shared.phase;
        let _ = phase.compare_exchange(OPEN, DRAINED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether [`Engine::drain`] has been called.
    pub fn is_drained(&self) -> bool {
        self.shared.phase.load(Ordering::Acquire) == DRAINED
    }

    /// Names and sizes of a table's SSTables.
    pub fn table_files(&self, table: TableId) -> Vec<(String, u64)> {
        let Ok(table) = self.shared.table(table) else { return Vec::new() };
        let view = table.view.load();
        let open = view.sstables().iter().map(|file| (file.id(), file.file_bytes()));
        let unreadable = view.unreadable.iter().map(|file| (file.id, file.file_bytes));
        let name = |(id, bytes)| (crate::sstable::file_name(id), bytes);
        open.chain(unreadable).map(name).collect()
    }

    /// SSTables of which something is known to be damaged: those that could not be opened, and
    /// those in which a read or a compaction has met damage since. Reads that need what is
    /// damaged are errors; everything else is served.
    pub fn damages(&self) -> Vec<Damage> {
        self.shared.damages()
    }

    /// Takes the SSTable with this file name, which must be damaged, out of its table, and says
    /// where its file is kept from now on. What only it held is lost to the table: rows are
    /// missing, and rows that it deleted may be back. Waits for the disk, and reads all of the
    /// file if it is not known to be damaged.
    ///
    /// # Errors
    /// No table has such a file; nothing in it is damaged; the disk refused, and nothing has
    /// changed.
    pub fn set_aside(&self, file: &str) -> Result<PathBuf> {
        self.shared.set_aside(file)
    }

    /// Asks for a compaction of all of a table's SSTables into one run; carried out by jobs.
    pub fn compact(&self, table: TableId) -> Result<()> {
        self.shared.request_compaction(table)
    }

    /// Whether a compaction of the table runs or was asked for.
    pub fn is_compacting(&self, table: TableId) -> bool {
        self.shared.table(table).is_ok_and(|table| {
            let compactions = table.compactions();
            compactions.is_requested || !compactions.busy.is_empty()
        })
    }

    /// Believes the wall clock as it stands, so that purging goes on after it has jumped.
    pub fn trust_clock(&self) {
        self.shared.trusted.trust();
    }

    /// Figures of one table.
    pub fn table_stats(&self, table: TableId) -> Option<TableStats> {
        self.shared.table(table).ok().map(|table| self.shared.stats_of(&table))
    }

    /// The tables that the engine serves, in order.
    pub fn tables(&self) -> Vec<TableId> {
        self.shared.tables.load().keys().copied().collect()
    }

    /// Counters of the engine.
    pub fn metrics(&self) -> &Metrics {
        let shared = &self.shared;
        shared.metrics.memtable_bytes_now.set(shared.memory.bytes() as u64);
        let damaged = |table: &Arc<Table>| {
            (table.view.load().unreadable.len() + table.blemishes().len()) as u64
        };
        shared.metrics.sstables_damaged_now.set(shared.tables.load().values().map(damaged).sum());
        shared.metrics.clock_jumps_now.set(shared.trusted.jumps());
        &shared.metrics
    }

    /// Damage in the commit log that was passed over at the start because the options said so, in
    /// the order of the log. Each names what may be lost.
    pub fn log_damage(&self) -> &[Error] {
        self.shared.log_damage.get().map_or(&[], Vec::as_slice)
    }

    /// The failure after which the engine refuses writes until it is opened again, if any.
    pub fn failure(&self) -> Option<Arc<Error>> {
        self.shared.health.failure().or_else(|| self.shared.log.failed())
    }

    /// Ends background work, takes no more writes, makes all that were taken durable, and lets go
    /// of the directory. Flushes nothing: replay is fast. Waits for steps of jobs that are under
    /// way on other threads.
    pub fn close(&self) -> Result<()> {
        let shared = &self.shared;
        if shared.phase.swap(CLOSED, Ordering::AcqRel) == CLOSED {
            return Ok(());
        }
        shared.flush_signal.notify_all();
        shared.compaction_signal.notify_all();
        let _alone = shared.working.write().unwrap_or_else(PoisonError::into_inner);
        let closed = shared.log.close().and_then(|()| {
            // So that a segment which goes missing while the directory is closed is missed.
            let files = open::log_files(shared.manifest.directory())?;
            shared.commit(vec![Edit::LogClosed { files }])
        });
        shared.manifest.directory().release();
        closed
    }
}

fn no_table() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such table")
}
