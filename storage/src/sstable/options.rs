//! What the writer of an SSTable is told.

use crate::model::{LogPosition, TableId};
use crate::options::Compression;

/// Content of a data block after which it is closed: 16 KiB.
pub const BLOCK_BYTES: usize = 16 << 10;
/// Chance of a false positive of the bloom filter, as Cassandra's default.
pub const BLOOM_FP_CHANCE: f64 = 0.01;
/// Bytes after which the writer syncs, so that no sync has much to do.
const SYNC_BYTES: u64 = 4 << 20;

/// How an SSTable is written, and what its header says.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// The table whose data it holds.
    pub table: TableId,
    /// How blocks are compressed.
    pub compression: Compression,
    /// Content of a data block or index block after which it is closed.
    pub block_bytes: usize,
    /// Chance of a false positive of the bloom filter; 1 or more for no filter.
    pub bloom_fp_chance: f64,
    /// Host that first wrote the data.
    pub origin: [u8; 16],
    /// The parts of that host's log whose writes it holds.
    pub log_intervals: Vec<(LogPosition, LogPosition)>,
    /// The level that compaction gives it.
    pub level: u32,
    /// Milliseconds since the epoch; 0 for data that is not repaired.
    pub repaired_at: u64,
    /// The repair session that it is written for, if any.
    pub pending_session: Option<[u8; 16]>,
    /// Bytes after which the writer syncs while it writes; 0 to sync only at the end.
    pub sync_bytes: u64,
}

impl WriterOptions {
    /// The usual options, for data of this table.
    pub fn new(table: TableId) -> WriterOptions {
        WriterOptions {
            table,
            compression: Compression::Lz4,
            block_bytes: BLOCK_BYTES,
            bloom_fp_chance: BLOOM_FP_CHANCE,
            origin: [0; 16],
            log_intervals: Vec::new(),
            level: 0,
            repaired_at: 0,
            pending_session: None,
            sync_bytes: SYNC_BYTES,
        }
    }
}
