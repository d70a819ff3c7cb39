//! How a commit log is configured.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::LogPosition;

/// When an answer may leave, and how often the disk is made to keep its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After fdatasync. A lone write is synced at once; when more than one waits, syncs start at
    /// least `pace` apart, so that one sync serves many.
    Group {
        /// Least time between the starts of two syncs; at most [`PACE_MAX`] is used.
        pace: Duration,
    },
    /// When written to the system's cache; synced every `sync_every`. Survives the death of the
    /// process, not a power cut.
    Periodic {
        /// Longest time that written bytes stay unsynced.
        sync_every: Duration,
        /// As for `Group`, between the starts of two writes.
        pace: Duration,
    },
    /// After fdatasync, which starts as soon as anything waits.
    Batch,
}

/// No write waits longer than this for its sync to start.
pub const PACE_MAX: Duration = Duration::from_millis(1);

/// One fdatasync of a preallocated segment costs about 50 µs of a core (ext4 on a virtual disk);
/// started every 500 µs, syncing costs 10 % of a core.
pub const GROUP_PACE_DEFAULT: Duration = Duration::from_micros(500);

/// One write of a group, with the wake-ups around it, costs about 10 µs of a core.
pub const PERIODIC_PACE_DEFAULT: Duration = Duration::from_micros(100);

/// As Cassandra's `commitlog_sync_period`.
pub const PERIODIC_SYNC_DEFAULT: Duration = Duration::from_secs(10);

impl Durability {
    /// The default mode: grouped syncs.
    pub const GROUP: Durability = Durability::Group { pace: GROUP_PACE_DEFAULT };
    /// Cassandra's default mode, with its period.
    pub const PERIODIC: Durability =
        Durability::Periodic { sync_every: PERIODIC_SYNC_DEFAULT, pace: PERIODIC_PACE_DEFAULT };

    /// Whether an answer waits for the durable watermark, not only for the written one.
    #[must_use]
    pub fn answers_when_durable(&self) -> bool {
        !matches!(self, Durability::Periodic { .. })
    }

    pub(crate) fn pace(&self) -> Duration {
        match *self {
            Durability::Group { pace } | Durability::Periodic { pace, .. } => pace.min(PACE_MAX),
            Durability::Batch => Duration::ZERO,
        }
    }
}

/// Smallest segment; only tests want one this small.
pub const SEGMENT_BYTES_MIN: u64 = 1024;
/// Largest segment: a segment is held in memory while it is replayed.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// How a commit log works.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Bytes of one segment file. The largest record is half of it.
    pub segment_bytes: u64,
    /// When answers may leave.
    pub durability: Durability,
    /// Bytes that may wait to be written before [`super::CommitLog::append`] says `Full`.
    pub buffer_bytes_max: usize,
    /// Files of recycled segments that are kept for reuse.
    pub spares_max: usize,
    /// Opens a damaged log all the same, without the damaged records.
    pub skip_corrupt: bool,
    /// No new record gets a position below this: the largest position that anything outside the
    /// log remembers.
    pub min_position: LogPosition,
    /// Something outside the log remembers that it was durable up to here: a log that ends
    /// before has lost a segment, and damage before is no torn tail.
    pub durable_position: LogPosition,
    /// Where segments began that are gone for good, as `CommitLog::recycle` told before they
    /// went: every other segment that is missing between two that are there has been lost.
    /// Without it, segments may be missing.
    pub gaps: Option<BTreeSet<LogPosition>>,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            segment_bytes: 32 << 20,
            durability: Durability::GROUP,
            buffer_bytes_max: 16 << 20,
            spares_max: 2,
            skip_corrupt: false,
            min_position: LogPosition::START,
            durable_position: LogPosition::START,
            gaps: None,
        }
    }
}

impl LogOptions {
    /// Most bytes of mutations that one record can hold: half a segment.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        usize::try_from(self.segment_bytes / 2).unwrap_or(usize::MAX)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let allowed = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        if allowed.contains(&self.segment_bytes) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a commit log segment of {} bytes; allowed are {SEGMENT_BYTES_MIN} to \
             {SEGMENT_BYTES_MAX}",
            self.segment_bytes
        )))
    }
}
