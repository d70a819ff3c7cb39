//! Writing without the worker: in periodic mode an answer needs no sync, only a write to the
//! system's cache, and waking a thread for that costs several times as much as the write.
//!
//! Who writes is who holds the worker's lock; a record may be left to another writer. That none is
//! forgotten rests on one rule: **whoever lets the worker's lock go looks at the tail
//! afterwards**, and sees to what is there. For a writer whose try for the lock has failed, there
//! are two cases, told apart by the tail's lock, which both take:
//! - Its record was added before the holder looked: the holder sees it.
//! - Its record was added after the holder looked. Then the holder had let the lock go before the
//!   record was added, and the writer tried after it was: so it was not this holder that it failed
//!   at but a later one, for which the same holds.
//!
//! To look while still holding the lock would not do: a record added in between, whose writer
//! then fails at the lock, would be nobody's.

use std::sync::{MutexGuard, TryLockError};
use std::time::Duration;

use super::worker::Worker;
use super::{CommitLog, State, lock};
use crate::model::LogPosition;

/// More than this is left to the worker: copying it takes longer than waking a thread, and the
/// caller has others to serve.
const WRITE_OUT_BYTES_MAX: usize = 256 << 10;
/// A write to the system's cache that takes longer than this has waited for the disk, or for a
/// core: the two cannot be told apart here.
const SLOW_WRITE: Duration = Duration::from_millis(2);
/// So many slow writes in a row have waited for the disk. A thread that loses its core in a write
/// of 10 µs does so in one of some hundred writes, not in three after one another.
const SLOW_WRITES: u32 = 3;
/// How long the worker writes alone after them.
const SLOW_REST: Duration = Duration::from_secs(1);
/// Times that one caller writes what others have left to it, before the worker goes on with it.
/// Waking the worker costs more than a round does.
const ROUNDS_MAX: usize = 8;

impl Worker {
    /// Notes how long a write took that ended at `now`.
    fn wrote_in(&mut self, time: Duration, now: Duration) {
        self.slow_writes = if time > SLOW_WRITE { self.slow_writes + 1 } else { 0 };
        if self.slow_writes >= SLOW_WRITES {
            self.slow_writes = 0;
            self.slow_until = now + SLOW_REST;
        }
    }
}

impl CommitLog {
    /// Sees to it that records up to `position` that [`CommitLog::append_deferred`] took are on
    /// their way: in periodic mode they are written now, if nobody else is writing; otherwise the
    /// worker is told. Never waits for a lock that is held across a sync, and not for the disk,
    /// except where the system makes a write to its cache wait.
    pub fn write_out(&self, position: LogPosition) {
        if self.written() >= position {
            return;
        }
        if self.durability.answers_when_durable() {
            return self.announce();
        }
        for _ in 0..ROUNDS_MAX {
            let glance = lock(&self.tail).glance();
            if !glance.anything || !glance.open {
                return;
            }
            if glance.bytes > WRITE_OUT_BYTES_MAX {
                break;
            }
            let mut worker = match self.worker.try_lock() {
                Ok(worker) => worker,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // The holder looks at the tail when it has let go.
                Err(TryLockError::WouldBlock) => return,
            };
            let began = self.clock.monotonic();
            if began < worker.slow_until {
                self.release(worker);
                break;
            }
            if !matches!(lock(&self.tail).state, State::Open) {
                return self.release(worker);
            }
            let was_synced = worker.has_synced_all();
            let written = self.write(&mut worker);
            let ended = self.clock.monotonic();
            worker.wrote_in(ended.saturating_sub(began), ended);
            drop(worker);
            if let Err(error) = written {
                self.fail(error);
                return;
            }
            // The worker plans the sync, and makes the next segment.
            if was_synced || lock(&self.tail).glance().needs_next {
                self.work.notify_all();
            }
        }
        // What is left by now, by others perhaps, is the worker's.
        self.announce();
    }

    /// Wakes the worker if there is something that it was not woken for.
    fn announce(&self) {
        let wake = lock(&self.tail).announce();
        if wake {
            self.work.notify_all();
        }
    }

    /// Lets the right to write go, and wakes the worker for what was left to this caller
    /// meanwhile. Whoever does not go on writing itself must let it go so.
    pub(super) fn release(&self, worker: MutexGuard<'_, Worker>) {
        drop(worker);
        self.announce();
    }

    /// Whether something waits that nobody may have been told of.
    pub(super) fn is_left(&self) -> bool {
        let glance = lock(&self.tail).glance();
        glance.open && glance.waiting > 0
    }
}
