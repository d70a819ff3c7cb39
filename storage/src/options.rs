//! What an embedder chooses when it opens an engine, and what it chooses for one table.
//!
//! Every figure has a default that works; sizes are in bytes and durations in seconds unless the
//! name says otherwise.

use std::path::PathBuf;
use std::sync::Arc;

use helenus_platform::fork::{ForkJoin, InTurn};

pub use crate::log::Durability;

/// Options of one engine (one data directory).
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that this engine alone owns.
    pub dir: PathBuf,
    /// Identity of this node: stamped on every SSTable as its origin.
    pub host_id: [u8; 16],
    /// When an answer may leave: see the commit log.
    pub durability: Durability,
    /// Size of one commit-log segment; a mutation may be at most half of it.
    pub segment_bytes: u64,
    /// The commit log's size at which the tables that pin its oldest segment are flushed.
    pub log_bytes_max: u64,
    /// One table's memtable is flushed when it has reached this.
    pub memtable_bytes_max: usize,
    /// All memtables together: writers are slowed above half of it and told `Full` at it.
    pub memtable_total_bytes_max: usize,
    /// Token-range shards per memtable.
    pub memtable_shards: usize,
    /// Budget of the block cache.
    pub block_cache_bytes: usize,
    /// Uncompressed size at which an SSTable data block is closed.
    pub block_bytes: usize,
    /// Compaction aims at output files of about this size.
    pub sstable_bytes_target: u64,
    /// Wall and monotonic clock may drift apart this far before purging is suspended.
    pub clock_jump_max_seconds: i64,
    /// A restart later than this after the last recorded time suspends purging.
    pub clock_gap_max_seconds: i64,
    /// Compaction takes a cell for expired only this long after its expiry: a request may have
    /// an earlier idea of the time than this node, and must see the same everywhere.
    pub expiry_margin_seconds: i64,
    /// Tables that the directory knows and the opener does not name are dropped with their data.
    /// For an opener whose list of tables is beyond doubt; without it they are kept, unserved, and
    /// the commit log keeps what it has for them.
    pub drop_unnamed_tables: bool,
    /// Start although the commit log is damaged below its durable position, dropping the
    /// damaged part. Loses acknowledged writes; an operator's last resort.
    pub skip_damaged_log: bool,
    /// Runs the replay of the commit log, which is cut into pieces.
    pub fork: Arc<dyn ForkJoin>,
    /// A deliberate fault, so that the test harness can prove that it would notice.
    #[cfg(any(test, feature = "planted-faults"))]
    pub planted_fault: Option<PlantedFault>,
}

impl Options {
    /// Defaults for a data directory.
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            host_id: [0; 16],
            durability: Durability::GROUP,
            segment_bytes: 32 << 20,
            log_bytes_max: 1 << 30,
            memtable_bytes_max: 64 << 20,
            memtable_total_bytes_max: 256 << 20,
            memtable_shards: 16,
            block_cache_bytes: 64 << 20,
            block_bytes: 16 << 10,
            sstable_bytes_target: 256 << 20,
            clock_jump_max_seconds: 3600,
            clock_gap_max_seconds: 10 * 24 * 3600,
            expiry_margin_seconds: 3600,
            drop_unnamed_tables: false,
            skip_damaged_log: false,
            fork: Arc::new(InTurn),
            #[cfg(any(test, feature = "planted-faults"))]
            planted_fault: None,
        }
    }
}

/// Deliberate faults: a harness that does not catch each of them proves nothing.
#[cfg(any(test, feature = "planted-faults"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedFault {
    /// A flush recycles the commit log before its SSTable is in the manifest.
    RecycleTooEarly,
    /// Compaction purges tombstones that still hide older data elsewhere.
    PurgeTooEarly,
    /// The commit log publishes positions as durable without fdatasync.
    SkipLogSync,
}

/// Options of one table; changed by `alter_table`.
#[derive(Clone, Debug, PartialEq)]
pub struct TableOptions {
    /// A tombstone may be purged this long after the deletion.
    pub gc_grace_seconds: i64,
    /// Wanted false-positive rate of SSTable bloom filters; 1.0 = no filter.
    pub bloom_fp_chance: f64,
    /// Compression of SSTable blocks.
    pub compression: Compression,
    /// How SSTables are compacted.
    pub compaction: CompactionOptions,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        TableOptions {
            gc_grace_seconds: 864_000,
            bloom_fp_chance: 0.01,
            compression: Compression::Lz4,
            compaction: CompactionOptions::default(),
        }
    }
}

/// How SSTable blocks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Stored as they are.
    None,
    /// LZ4, block format.
    #[default]
    Lz4,
}

/// Options of the unified compaction strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactionOptions {
    /// Background compaction runs at all; `compact()` on request always does.
    pub enabled: bool,
    /// The scaling parameter W: T4 = 2 (tiered, four runs a level), N = 0, L4 = -2 (levelled).
    pub scaling: i32,
    /// A lone SSTable is rewritten when this share of its cells are purgeable tombstones.
    pub tombstone_ratio_max: f64,
}

impl Default for CompactionOptions {
    fn default() -> CompactionOptions {
        CompactionOptions { enabled: true, scaling: 2, tombstone_ratio_max: 0.2 }
    }
}
