//! The commit log: what makes an acknowledged write survive.
//!
//! Whoever writes calls [`CommitLog::append`], which only copies into a buffer under a short
//! lock. One worker calls [`CommitLog::sync_step`], which writes and syncs; in periodic mode,
//! writers that come by [`CommitLog::append_deferred`] write for themselves. Two watermarks tell
//! how far that has come, and an answer leaves when the watermark of the mode has passed its
//! record's end. Nothing here knows what a record means: it is mutations as bytes, and the ids
//! of the tables they touch.
//!
//! Reading order: `format` (the bytes), `tail` (appending), `worker` (writing and syncing),
//! `write_out` (writing without the worker),
//! `segment` (files), `recovery` (what a start finds), `replay` (reading back), `ledger` (which
//! segments are still needed), `inspect` (for people).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use helenus_platform::clock::Clock;
use helenus_platform::disk::Disk;
use helenus_platform::random::Random;
use helenus_platform::signal::Signal;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{LogPosition, TableId};

mod chain;
mod format;
mod inspect;
mod ledger;
mod options;
mod recovery;
mod replay;
mod segment;
mod tail;
mod worker;
mod write_out;

pub use inspect::inspect;
pub use options::{
    Durability, GROUP_PACE_DEFAULT, LogOptions, PACE_MAX, PERIODIC_PACE_DEFAULT,
    PERIODIC_SYNC_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
};
pub use replay::{LogRecord, RecordView, Records, Replay, ReplaySegment};
pub use worker::SyncStep;

use format::RecordHead;
use ledger::{Ledger, Sealed};
use segment::SegmentStore;
use tail::{Placed, Refusal, State, Tail};
use worker::{Syncing, Worker, failed_before};

/// A commit log that is open for writing.
pub struct CommitLog {
    // Fixed after open.
    durability: Durability,
    segment_bytes: u64,
    record_bytes_max: usize,
    clock: Arc<dyn Clock>,
    store: SegmentStore,

    // Synchronised by themselves.
    written: AtomicU64,
    durable: AtomicU64,
    moved: Signal,
    work: Signal,
    failed: OnceLock<Arc<Error>>,
    counters: Counters,
    ledger: Arc<Ledger>,

    // Guarded; the order of locking is recycling, worker, syncing, tail, ledger.
    recycling: Mutex<()>,
    worker: Mutex<Worker>,
    syncing: Mutex<Syncing>,
    tail: Mutex<Tail>,
}

/// The answer to [`CommitLog::append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Append<T> {
    /// The record was taken.
    Done(Appended<T>),
    /// Too much is waiting to be written: try again when the written watermark has moved.
    Full,
}

/// Where a record was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended<T> {
    /// Log position of the record's first byte.
    pub start: LogPosition,
    /// Log position behind its last byte: the record is written, or durable, when the watermark
    /// has reached this.
    pub end: LogPosition,
    /// What `in_lock` returned.
    pub value: T,
}

/// What the log has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Rounds of writing.
    pub writes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Calls of fdatasync for records.
    pub syncs: u64,
    /// Segment files that are part of the log, the active one included.
    pub segments: u64,
}

#[derive(Default)]
struct Counters {
    writes: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
}

impl Counters {
    fn wrote(&self, bytes: usize) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn synced(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CommitLog {
    /// Opens the log in `dir`, an existing directory, or begins one there.
    ///
    /// What earlier runs left is in the [`Replay`]. It decides now what belongs to the log:
    /// after this, the same records come back at every start until they are recycled.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &LogOptions,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
    ) -> Result<(CommitLog, Replay)> {
        options.check()?;
        let store = SegmentStore::new(disk, dir, random, clock.clone(), options.spares_max);
        let ledger = Arc::new(Ledger::default());
        let recovered = recovery::recover(&store, options)?;
        let position = recovered.active.first();
        let tail = Tail::new(recovered.active, options.buffer_bytes_max);
        let replay = Replay::new(recovered.kept, recovered.skipped, options, &ledger);
        let log = CommitLog {
            durability: options.durability,
            segment_bytes: options.segment_bytes,
            record_bytes_max: options.record_bytes_max(),
            clock,
            store,
            written: AtomicU64::new(position),
            durable: AtomicU64::new(position),
            moved: Signal::new(),
            work: Signal::new(),
            failed: OnceLock::new(),
            counters: Counters::default(),
            ledger,
            recycling: Mutex::new(()),
            worker: Mutex::new(Worker::new(position)),
            syncing: Mutex::new(Syncing::default()),
            tail: Mutex::new(tail),
        };
        Ok((log, replay))
    }

    /// Adds one record: all of `mutations`, which touch `tables`, or none of them.
    ///
    /// `in_lock` gets the record's end position and runs under the append lock, after which no
    /// earlier record can be added: what it captures stands in the order of the log.
    pub fn append<T>(
        &self,
        mutations: &[&[u8]],
        tables: &[TableId],
        in_lock: impl FnOnce(LogPosition) -> T,
    ) -> Result<Append<T>> {
        self.place(mutations, tables, in_lock, true)
    }

    /// As [`CommitLog::append`], but nobody is told of the record: the caller must call
    /// [`CommitLog::write_out`] afterwards, once for as many records as it likes.
    pub fn append_deferred<T>(
        &self,
        mutations: &[&[u8]],
        tables: &[TableId],
        in_lock: impl FnOnce(LogPosition) -> T,
    ) -> Result<Append<T>> {
        self.place(mutations, tables, in_lock, false)
    }

    fn place<T>(
        &self,
        mutations: &[&[u8]],
        tables: &[TableId],
        in_lock: impl FnOnce(LogPosition) -> T,
        announce: bool,
    ) -> Result<Append<T>> {
        let bytes = mutations.iter().map(|mutation| mutation.len()).sum::<usize>();
        if bytes > self.record_bytes_max {
            return Err(self.too_large(bytes));
        }
        let head = RecordHead::new(mutations, tables);
        if head.size() > self.record_bytes_max + RECORD_FRAMING_MAX {
            return Err(self.too_large(head.size()));
        }
        let mut tail = lock(&self.tail);
        let Placed { start, end } = match tail.append(&head, mutations, tables, &self.ledger) {
            Ok(placed) => placed,
            Err(refusal) => return refused(refusal),
        };
        let end = LogPosition(end);
        let value = in_lock(end);
        let wake = announce && tail.announce();
        drop(tail);
        if wake {
            self.work.notify_all();
        }
        Ok(Append::Done(Appended { start: LogPosition(start), end, value }))
    }

    fn too_large(&self, bytes: usize) -> Error {
        let text = format!(
            "Mutation of {bytes} bytes is too large for the maximum size of {} bytes",
            self.record_bytes_max
        );
        Error::new(ErrorKind::TooLarge, text)
    }

    /// Runs `action` while no record can be added. Records added before end at or below the
    /// position it gets, later ones start at or above it.
    pub fn with_lock<T>(&self, action: impl FnOnce(LogPosition) -> T) -> T {
        let tail = lock(&self.tail);
        action(LogPosition(tail.position()))
    }

    /// Records that end at or before this are in the system's cache: `kill -9` cannot take them.
    #[must_use]
    pub fn written(&self) -> LogPosition {
        LogPosition(self.written.load(Ordering::SeqCst))
    }

    /// Records that end at or before this are on the platter: a power cut cannot take them.
    #[must_use]
    pub fn durable(&self) -> LogPosition {
        LogPosition(self.durable.load(Ordering::SeqCst))
    }

    /// The watermark that answers wait for in this log's mode.
    #[must_use]
    pub fn answerable(&self) -> LogPosition {
        if self.durability.answers_when_durable() { self.durable() } else { self.written() }
    }

    /// Moves when a watermark has, or when the log has failed.
    #[must_use]
    pub fn signal(&self) -> &Signal {
        &self.moved
    }

    /// Moves when [`CommitLog::sync_step`] has something to do.
    #[must_use]
    pub fn work_signal(&self) -> &Signal {
        &self.work
    }

    /// The failure after which the log takes no more writes, if there was one. Whatever waits
    /// for a watermark then waits in vain: it is to be answered with an error.
    #[must_use]
    pub fn failed(&self) -> Option<Arc<Error>> {
        self.failed.get().cloned()
    }

    /// Most bytes of mutations that one record can hold.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        self.record_bytes_max
    }

    /// Removes the segments in which every table's dirty interval is covered by durable files,
    /// and says how many these were.
    ///
    /// `covered` is asked for a table and the positions from the start of its first record in
    /// the segment to the end of its last. A table that exists no more is covered.
    ///
    /// `release` gets the gaps that there may be from now on, see [`CommitLog::gaps`], before any
    /// segment goes; if it fails, none does.
    pub fn recycle(
        &self,
        covered: &dyn Fn(TableId, LogPosition, LogPosition) -> bool,
        release: &dyn Fn(BTreeSet<LogPosition>) -> Result<()>,
    ) -> Result<usize> {
        let _alone = lock(&self.recycling);
        let segments = self.ledger.covered(self.durable().0, covered);
        if segments.is_empty() {
            return Ok(0);
        }
        // Those of before and after: a crash may come before any segment has gone.
        let mut gaps = self.gaps();
        gaps.extend(self.gaps_without(&segments));
        release(gaps)?;
        // The last one first: so no segment is ever there of which the one before is gone, other
        // than those that `release` was told of.
        for sealed in segments.iter().rev() {
            self.store.retire(&sealed.path, sealed.base, sealed.damaged)?;
            self.ledger.remove(sealed.base);
        }
        Ok(segments.len())
    }

    /// Where segments began that are not part of the log any more although the segment behind them
    /// still is. For [`LogOptions::gaps`] of the next start.
    #[must_use]
    pub fn gaps(&self) -> BTreeSet<LogPosition> {
        self.gaps_without(&[])
    }

    fn gaps_without(&self, gone: &[Sealed]) -> BTreeSet<LogPosition> {
        let links = {
            // Under the append lock no segment moves from the tail to the ledger.
            let tail = lock(&self.tail);
            let mut links = self.ledger.links();
            links.extend(tail.segments().map(|segment| (segment.base(), segment.previous())));
            links
        };
        let is_gone = |base: &u64| gone.iter().any(|sealed| sealed.base == *base);
        let left: BTreeMap<u64, Option<u64>> =
            links.into_iter().filter(|(base, _)| !is_gone(base)).collect();
        let named = left.values().flatten();
        named.filter(|base| !left.contains_key(base)).map(|base| LogPosition(*base)).collect()
    }

    /// The tables to flush for the oldest segment to become free, and where it begins.
    #[must_use]
    pub fn oldest_dirty(&self) -> Option<(LogPosition, Vec<TableId>)> {
        self.ledger.oldest()
    }

    /// What the log has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        LogStats {
            writes: self.counters.writes.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
            syncs: self.counters.syncs.load(Ordering::Relaxed),
            segments: self.ledger.len() as u64 + 1,
        }
    }

    fn publish_written(&self, position: u64) {
        self.written.store(position, Ordering::SeqCst);
        if !self.durability.answers_when_durable() {
            self.moved.notify_all();
        }
    }

    fn publish_durable(&self, position: u64) {
        self.durable.store(position, Ordering::SeqCst);
        self.moved.notify_all();
    }

    fn check_open(&self) -> Result<()> {
        match &lock(&self.tail).state {
            State::Open => Ok(()),
            State::Closed => Err(closed()),
            State::Failed(error) => Err(failed_before(error)),
        }
    }

    /// Ends the log's working life, once; returns what callers are to be told.
    fn fail(&self, error: Error) -> Error {
        let told = failed_before(&error);
        let error = self.failed.get_or_init(|| Arc::new(error)).clone();
        lock(&self.tail).state = State::Failed(error);
        self.moved.notify_all();
        self.work.notify_all();
        told
    }
}

/// Most bytes by which a record of the largest size may exceed its mutations: table ids, lengths.
/// The smallest segment still holds such a record with all headers around it.
const RECORD_FRAMING_MAX: usize = 256;

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the commit log is closed")
}

fn refused<T>(refusal: Refusal) -> Result<Append<T>> {
    match refusal {
        Refusal::Full => Ok(Append::Full),
        Refusal::NoSegment(cause) => {
            let text = format!("no room for another commit log segment: {cause}");
            Err(Error::new(ErrorKind::DiskFull, text))
        }
        Refusal::Closed => Err(closed()),
        Refusal::Failed(cause) => Err(failed_before(&cause)),
    }
}
