//! The one job that writes and syncs the log, a step at a time.
//!
//! ```text
//! durable <= written <= tail
//!    |          |         |
//!    |          |         position of the next byte; guarded by the append lock
//!    |          all before it is in the system's cache: survives kill -9
//!    all before it is on the platter: survives a power cut
//! ```

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::options::Durability;
use super::segment::Segment;
use super::{CommitLog, State, lock};
use crate::error::{Error, ErrorKind, Result};

/// What to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncStep {
    /// Nothing to do until [`CommitLog::work_signal`] moves.
    Idle,
    /// More to do at once.
    Again,
    /// Nothing to do before this monotonic time of the log's clock, unless
    /// [`CommitLog::work_signal`] moves earlier: wait for whichever comes first.
    WaitUntil(Duration),
}

/// This much waiting is written without regard to pacing, in bytes.
const URGENT_BYTES: usize = 1 << 20;

/// How long the log must rest before a header is written that says how far it is durable, so
/// that damage of its last groups is not taken for a torn tail.
const NOTE_AFTER: Duration = Duration::from_secs(1);

/// How long after a full disk refused a new segment it is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Largest buffer that is kept for the next group, in bytes.
const BUFFER_KEPT_MAX: usize = 4 << 20;

/// What only the worker needs. Taken before the append lock where both are held.
#[derive(Default)]
pub(crate) struct Worker {
    /// Records of the last round of writing.
    records: usize,
    /// More than one record came together the last time, so more are expected: the worker looks
    /// again at this time, and who adds a record until then need not wake it.
    expects: Option<Duration>,
    /// When the last round of writing began.
    started: Option<Duration>,
    /// When the last round of writing ended.
    rested: Duration,
    /// Segments with bytes that were written and not synced, in order.
    unsynced: Vec<Arc<Segment>>,
    /// Since when `unsynced` is not empty.
    unsynced_since: Duration,
    /// Log position behind the last byte written.
    pub(crate) written: u64,
    /// The durable position that the last header written tells.
    noted: u64,
    /// When making a segment may be tried again.
    retry_at: Duration,
    /// Writes by others than the worker that were slow, one after the other, until now.
    pub(crate) slow_writes: u32,
    /// Until then nobody but the worker writes: the disk was slow.
    pub(crate) slow_until: Duration,
    /// An empty buffer for the next group.
    buffer: Vec<u8>,
    /// A write failed, so what was to be there is missing. Set under the worker's lock: before
    /// the log's state tells it, somebody else may have taken the lock, and must not write, and
    /// so acknowledge, what comes after a hole.
    torn: bool,
}

impl Worker {
    pub(crate) fn new(position: u64) -> Self {
        Worker { written: position, noted: position, ..Worker::default() }
    }

    /// Whether nothing was written since the last sync.
    pub(crate) fn has_synced_all(&self) -> bool {
        self.unsynced.is_empty()
    }

    fn take_unsynced(&mut self) -> Unsynced {
        Unsynced { segments: std::mem::take(&mut self.unsynced), end: self.written }
    }
}

/// What one step came to.
enum Step {
    /// To be synced, without holding the worker's lock.
    Sync(Unsynced),
    /// There is something to write, at this time.
    Paced(Duration),
    Next(SyncStep),
}

/// What one round of syncing makes durable.
struct Unsynced {
    segments: Vec<Arc<Segment>>,
    /// Log position behind the last byte written to them.
    end: u64,
}

/// The right to sync, which one caller has at a time.
#[derive(Default)]
pub(crate) struct Syncing {
    failed: bool,
}

impl CommitLog {
    /// Writes and syncs what is due. One worker calls this, or two: then one goes on writing
    /// while the other is in a periodic sync, which can take long.
    pub fn sync_step(&self) -> SyncStep {
        let mut worker = lock(&self.worker);
        let stepped = self.step(&mut worker).and_then(|step| match step {
            // The right to sync is taken before the right to write is given back, so syncs end
            // in the order in which their bytes were written.
            Step::Sync(unsynced) => {
                let right = lock(&self.syncing);
                // The sync can take long: what was left to this worker meanwhile goes to the other.
                self.release(worker);
                self.sync_segments(right, &unsynced)?;
                Ok(SyncStep::Again)
            }
            // Comes back for all that waits, whenever it was added.
            Step::Paced(until) => Ok(SyncStep::WaitUntil(until)),
            Step::Next(next) => {
                drop(worker);
                // Not before: see `write_out`.
                Ok(if self.is_left() { SyncStep::Again } else { next })
            }
        });
        stepped.unwrap_or_else(|error| {
            self.fail(error);
            SyncStep::Idle
        })
    }

    fn step(&self, worker: &mut Worker) -> Result<Step> {
        let now = self.clock.monotonic();
        let glance = lock(&self.tail).glance();
        if !glance.open {
            return Ok(Step::Next(SyncStep::Idle));
        }
        if glance.anything {
            let due = worker.started.map_or(now, |started| started + self.durability.pace());
            // Several writers, each with one write in flight, come one after the other: the first
            // of them is alone only if no others came with it the last time.
            let alone = glance.waiting <= 1 && worker.records <= 1;
            if !alone && glance.bytes < URGENT_BYTES && now < due {
                return Ok(Step::Paced(due));
            }
            worker.started = Some(now);
            self.write(worker)?;
            if self.durability.answers_when_durable() {
                self.sync_written(worker)?;
                let due = now + self.durability.pace();
                if worker.records > 1 && due > now && lock(&self.tail).expect() {
                    worker.expects = Some(due);
                }
            }
        }
        let mut next_at = None;
        if let Some(due) = worker.expects {
            if now < due {
                next_at = Some(due);
            } else {
                worker.expects = None;
                worker.records = 0;
                lock(&self.tail).expect_no_more();
            }
        }
        if let Durability::Periodic { sync_every, .. } = self.durability
            && !worker.unsynced.is_empty()
        {
            let due = worker.unsynced_since + sync_every;
            if now >= due {
                return Ok(Step::Sync(worker.take_unsynced()));
            }
            next_at = Some(next_at.map_or(due, |at| at.min(due)));
        }
        self.prepare_next(worker, now)?;
        let glance = lock(&self.tail).glance();
        if glance.anything {
            return Ok(Step::Next(SyncStep::Again));
        }
        if glance.needs_next {
            next_at = Some(next_at.map_or(worker.retry_at, |at| at.min(worker.retry_at)));
        }
        if next_at.is_none() && worker.noted < self.durable().0 {
            let due = worker.rested + NOTE_AFTER;
            if now < due {
                next_at = Some(due);
            } else {
                self.write_note(worker)?;
            }
        }
        Ok(Step::Next(next_at.map_or(SyncStep::Idle, SyncStep::WaitUntil)))
    }

    /// Writes and syncs everything appended so far, whatever the mode.
    pub fn sync(&self) -> Result<()> {
        let mut worker = lock(&self.worker);
        self.check_open()?;
        let done = self.write(&mut worker).and_then(|()| self.sync_written(&mut worker));
        self.release(worker);
        done.map_err(|error| self.fail(error))
    }

    /// Takes no more records, and makes those taken durable. The next start finds nothing torn.
    pub fn close(&self) -> Result<()> {
        let worker = &mut *lock(&self.worker);
        match &lock(&self.tail).state {
            State::Open => {}
            State::Closed => return Ok(()),
            State::Failed(error) => return Err(failed_before(error)),
        }
        // Twice, so that the seal tells that everything before it is durable.
        let written = self.write(worker).and_then(|()| self.sync_written(worker));
        let closed = written.and_then(|()| {
            lock(&self.tail).close(&self.ledger);
            self.write(worker)?;
            self.sync_written(worker)
        });
        closed.map_err(|error| self.fail(error))
    }

    /// Writes what is waiting, and moves the written watermark.
    pub(super) fn write(&self, worker: &mut Worker) -> Result<()> {
        if std::mem::replace(&mut worker.torn, true) {
            return Err(Error::new(ErrorKind::Closed, "an earlier write of the commit log failed"));
        }
        let buffer = std::mem::take(&mut worker.buffer);
        let mut groups = lock(&self.tail).take(buffer);
        let durable = self.durable().0;
        let (mut bytes, mut records) = (0, 0);
        for group in &mut groups {
            group.finish(durable);
            let (segment, offset) = (&group.segment, group.offset());
            segment.file.write_all_at(offset, &group.bytes).map_err(|error| {
                Error::io("writing the commit log", &segment.path, error)
                    .at_file(&segment.path, Some(offset))
            })?;
            bytes += group.bytes.len();
            records += group.records as usize;
            if worker.unsynced.is_empty() {
                worker.unsynced_since = self.clock.monotonic();
            }
            if worker.unsynced.last().is_none_or(|last| !Arc::ptr_eq(last, segment)) {
                worker.unsynced.push(segment.clone());
            }
            worker.written = group.end();
        }
        worker.torn = false;
        let Some(last) = groups.pop() else { return Ok(()) };
        worker.records = records;
        worker.noted = durable;
        worker.rested = self.clock.monotonic();
        worker.buffer = last.bytes;
        worker.buffer.clear();
        worker.buffer.shrink_to(BUFFER_KEPT_MAX);
        lock(&self.tail).written(bytes);
        self.counters.wrote(bytes);
        self.publish_written(worker.written);
        Ok(())
    }

    /// Syncs what was written, and moves the durable watermark.
    fn sync_written(&self, worker: &mut Worker) -> Result<()> {
        let unsynced = worker.take_unsynced();
        self.sync_segments(lock(&self.syncing), &unsynced)?;
        worker.rested = self.clock.monotonic();
        Ok(())
    }

    fn sync_segments(&self, mut right: MutexGuard<'_, Syncing>, list: &Unsynced) -> Result<()> {
        if right.failed {
            // What that sync lost lies before what this one would make durable.
            return Err(Error::new(ErrorKind::Closed, "an earlier sync of the commit log failed"));
        }
        // In order: a segment's bytes count as durable only when all before them are.
        for segment in &list.segments {
            let synced = segment.file.sync_data();
            right.failed |= synced.is_err();
            synced.map_err(|error| Error::io("syncing the commit log", &segment.path, error))?;
            self.counters.synced();
        }
        self.publish_durable(list.end);
        Ok(())
    }

    /// Makes the segment after the active one, if there is none yet. A full disk is not the end:
    /// appending goes on while the active segment has room.
    fn prepare_next(&self, worker: &mut Worker, now: Duration) -> Result<()> {
        let (base, previous) = {
            let tail = lock(&self.tail);
            if !tail.glance().needs_next || now < worker.retry_at {
                return Ok(());
            }
            (tail.active().limit(), tail.active().base())
        };
        match self.store.create(base, self.segment_bytes, Some(previous)) {
            Ok(segment) => lock(&self.tail).set_next(Ok(segment)),
            Err(error) if error.kind() == ErrorKind::DiskFull => {
                worker.retry_at = now + RETRY_AFTER;
                lock(&self.tail).set_next(Err(Arc::new(error)));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes a group without records. It is not worth a sync: it only tells what is so already.
    fn write_note(&self, worker: &mut Worker) -> Result<()> {
        let durable = self.durable().0;
        worker.noted = durable;
        let Some(mut group) = lock(&self.tail).note() else { return Ok(()) };
        group.finish(durable);
        let segment = &group.segment;
        worker.torn = true;
        segment
            .file
            .write_all_at(group.offset(), &group.bytes)
            .map_err(|error| Error::io("writing the commit log", &segment.path, error))?;
        worker.torn = false;
        worker.written = group.end();
        Ok(())
    }
}

pub(crate) fn failed_before(cause: &Error) -> Error {
    let text = format!("the commit log failed and takes no writes until a restart: {cause}");
    Error::new(ErrorKind::Closed, text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use helenus_platform::clock::ManualClock;
    use helenus_platform::disk::{Disk, FaultyDisk};
    use helenus_platform::random::SeededRandom;

    use super::super::{Append, Durability, LogOptions};
    use super::*;

    #[test]
    fn nothing_is_acknowledged_behind_a_hole_before_the_failure_is_known() {
        let disk = FaultyDisk::new(1);
        disk.create_dir_all(Path::new("/log")).unwrap();
        let options = LogOptions { durability: Durability::PERIODIC, ..LogOptions::default() };
        let clock = Arc::new(ManualClock::new(1));
        let random = Arc::new(SeededRandom::new(1));
        let (log, _) =
            CommitLog::open(Arc::new(disk.clone()), Path::new("/log"), &options, random, clock)
                .unwrap();
        let append = || {
            let appended = log.append_deferred(&[b"record"], &[], |_| ()).unwrap();
            let Append::Done(appended) = appended else { panic!("the log is full") };
            appended.end
        };
        let first = append();
        disk.fail_one_call_after(0, std::io::ErrorKind::Other);
        log.write_out(first);
        assert!(log.failed().is_some());
        assert!(log.written() < first);
        // As another writer may find it between the failed write and the failure's announcement.
        lock(&log.tail).state = State::Open;
        let second = append();
        log.write_out(second);
        assert!(log.written() < first);
        lock(&log.tail).state = State::Open;
        assert!(log.sync().is_err());
        assert!(log.durable() < first);
    }
}
