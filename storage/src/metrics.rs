//! Counters of one engine, read by whoever publishes them.
//!
//! All are monotonic counts since the engine was opened unless named `_now`. Relaxed atomics:
//! a reader may see one counter a moment before another.

use std::sync::atomic::{AtomicU64, Ordering};

/// One count.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets the value of a `_now` gauge.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Every counter of an engine.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[doc = $doc])+ pub $name: Counter,)+ }

        impl Metrics {
            /// Name, one-line description and value of every counter, in declaration order.
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),+), self.$name.get()),)+]
            }
        }
    };
}

metrics! {
    /// Records appended to the commit log.
    writes,
    /// Bytes of mutations appended to the commit log.
    write_bytes,
    /// Writes refused because memory for memtables was exhausted.
    writes_full,
    /// Calls of `read`.
    reads,
    /// Reads answered by the path for one partition in one source.
    reads_fast,
    /// Live rows handed to readers.
    read_rows,
    /// Tombstones that readers stepped over.
    read_tombstones,
    /// Reads stopped because they met too many tombstones.
    reads_tombstone_limit,
    /// Reads that had to wait for blocks.
    reads_waited,
    /// Blocks fetched for waiting readers.
    blocks_fetched,
    /// SSTables skipped by key range.
    skipped_by_key,
    /// SSTables skipped by bloom filter.
    skipped_by_filter,
    /// SSTables skipped because no slice meets their clustering range.
    skipped_by_position,
    /// SSTables skipped because a partition deletion is newer than all they hold.
    skipped_by_timestamp,
    /// Memtables flushed.
    flushes,
    /// Bytes of SSTables written by flushes.
    flush_bytes,
    /// Flushes that failed and will be tried again.
    flush_failures,
    /// Compactions completed.
    compactions,
    /// Bytes of SSTables read by compactions.
    compaction_bytes_read,
    /// Bytes of SSTables written by compactions.
    compaction_bytes_written,
    /// Rows of which compaction left nothing.
    rows_purged,
    /// Compactions that failed.
    compaction_failures,
    /// Times that purging was suspended because the clock jumped.
    clock_jumps_now,
    /// Records replayed at open.
    replayed_records,
    /// Records skipped at replay: flushed, truncated or of an unknown table.
    replay_skipped,
    /// SSTables of which something is known to be damaged.
    sstables_damaged_now,
    /// Orphan files removed at open.
    orphans_removed,
    /// Heap bytes held by memtables.
    memtable_bytes_now,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_values_by_name() {
        let metrics = Metrics::default();
        metrics.flushes.add(3);
        let all = metrics.all();
        assert!(all.iter().any(|(name, _, value)| *name == "flushes" && *value == 3));
        assert!(all.iter().all(|(_, what, _)| !what.is_empty()));
    }
}
