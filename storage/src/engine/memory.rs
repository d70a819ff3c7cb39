//! Memtables with what the engine must know of them: which part of the log they own, who is
//! still writing to them, how much memory they hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::memtable::Memtable;
use crate::model::{LogPosition, TableId};

/// The memory that all memtables of an engine hold together.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes_max: usize,
    bytes: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(bytes_max: usize) -> Memory {
        Memory { bytes_max: bytes_max.max(1), bytes: AtomicUsize::new(0) }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// 0 up to half of the budget, then rising to 1 at the budget.
    pub(crate) fn pressure(&self) -> f32 {
        let half = self.bytes_max as f32 / 2.0;
        ((self.bytes() as f32 - half) / half).clamp(0.0, 1.0)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.bytes_max
    }
}

/// One memtable, from its creation until its flush is in the manifest.
pub(crate) struct Generation {
    pub(crate) memtable: Arc<Memtable>,
    /// It owns the records that were appended from here on, until it was switched.
    pub(crate) start: LogPosition,
    /// Writers whose record is in the log and not yet in the memtable.
    writers: AtomicUsize,
    /// No further writer enters.
    is_switched: AtomicBool,
    /// What `memory` believes that the memtable holds; never goes down.
    accounted: AtomicUsize,
    memory: Arc<Memory>,
}

impl Generation {
    pub(crate) fn new(
        table: TableId,
        shards: usize,
        start: LogPosition,
        memory: Arc<Memory>,
    ) -> Arc<Generation> {
        Arc::new(Generation {
            memtable: Arc::new(Memtable::new(table, shards, start)),
            start,
            writers: AtomicUsize::new(0),
            is_switched: AtomicBool::new(false),
            accounted: AtomicUsize::new(0),
            memory,
        })
    }

    /// Enters a writer; called under the log's append lock, so never after the switch.
    pub(crate) fn enter(self: &Arc<Generation>) -> WriterGuard {
        self.writers.fetch_add(1, Ordering::SeqCst);
        WriterGuard(self.clone())
    }

    /// Lets no further writer enter; called under the log's append lock.
    pub(crate) fn switch(&self) {
        self.is_switched.store(true, Ordering::SeqCst);
    }

    /// Every writer that entered has applied.
    pub(crate) fn is_settled(&self) -> bool {
        self.writers.load(Ordering::SeqCst) == 0
    }

    /// Brings the account up to what the memtable holds now.
    pub(crate) fn account(&self) -> usize {
        let bytes = self.memtable.bytes();
        let before = self.accounted.fetch_max(bytes, Ordering::Relaxed);
        if bytes > before {
            self.memory.bytes.fetch_add(bytes - before, Ordering::Relaxed);
        }
        bytes
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.memory.bytes.fetch_sub(*self.accounted.get_mut(), Ordering::Relaxed);
    }
}

/// A writer between its place in the log and its memtable. Leaves when dropped, however the
/// write ends: a flush never waits for a writer that failed.
pub(crate) struct WriterGuard(Arc<Generation>);

impl WriterGuard {
    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.0
    }

    /// Whether a flush may be waiting for this writer.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0.is_switched.load(Ordering::SeqCst)
    }
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Ordering::SeqCst);
    }
}
