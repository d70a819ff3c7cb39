//! Figures of one table.

use std::sync::atomic::Ordering;

use super::{Shared, Table};
use crate::compaction::Strategy;

/// Figures of one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableStats {
    /// Heap bytes of its memtables, those being flushed included.
    pub memtable_bytes: u64,
    /// Memtables, the active one included.
    pub memtables: u64,
    /// Its SSTables.
    pub sstables: u64,
    /// Those of them in which something is known to be damaged, or that cannot be read at all.
    pub sstables_damaged: u64,
    /// Bytes of their files.
    pub sstable_bytes: u64,
    /// Partitions in SSTables, each counted in every file that has it.
    pub partitions: u64,
    /// Rows in SSTables, likewise.
    pub rows: u64,
    /// Deletions of all kinds in SSTables, likewise.
    pub tombstones: u64,
    /// Content of the largest partition of any SSTable.
    pub largest_partition_bytes: u64,
    /// Compactions that wait to be done, estimated.
    pub compactions_pending: u64,
    /// Reads begun since the engine was opened.
    pub reads: u64,
    /// Writes since the engine was opened.
    pub writes: u64,
}

impl Shared {
    pub(super) fn stats_of(&self, table: &Table) -> TableStats {
        let view = table.view.load();
        let mut stats = TableStats {
            sstables: (view.sstables().len() + view.unreadable.len()) as u64,
            sstables_damaged: table.damages().len() as u64,
            sstable_bytes: view.unreadable.iter().map(|file| file.file_bytes).sum(),
            reads: table.reads.load(Ordering::Relaxed),
            writes: table.writes.load(Ordering::Relaxed),
            ..TableStats::default()
        };
        for memtable in view.memtables() {
            stats.memtables += 1;
            stats.memtable_bytes += memtable.bytes() as u64;
        }
        let mut candidates = Vec::new();
        for sstable in view.sstables() {
            stats.sstable_bytes += sstable.file_bytes();
            stats.partitions += sstable.stats().partitions;
            stats.rows += sstable.stats().rows;
            let largest = sstable.stats().largest_partition_bytes;
            stats.largest_partition_bytes = stats.largest_partition_bytes.max(largest);
            stats.tombstones += sstable.stats().tombstones();
            candidates.push(self.candidate(table, sstable));
        }
        stats.compactions_pending = self.strategy(table).pending(&candidates) as u64;
        stats
    }
}
