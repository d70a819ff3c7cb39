//! The options of a table: every one that Cassandra 5.0 knows, typed, with its defaults.
//!
//! Reading and validating what a statement says is in `options/parse.rs`, of compaction and
//! compression in files of their own; the speculative-retry mini-language in
//! `options/speculative.rs`.

mod compaction;
mod compression;
mod parse;
mod speculative;

use std::collections::BTreeMap;

pub use parse::MAX_TTL_SECONDS;

/// How many rows of a partition the row cache would keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsCached {
    /// `NONE`
    None,
    /// `ALL`
    All,
    /// A number.
    Count(u32),
}

/// The `caching` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caching {
    /// `'keys': 'ALL'` or `'NONE'`.
    pub keys: bool,
    /// `'rows_per_partition'`.
    pub rows: RowsCached,
}

impl Caching {
    /// The map that `system_schema.tables.caching` shows.
    pub fn as_map(&self) -> BTreeMap<String, String> {
        let rows = match self.rows {
            RowsCached::None => "NONE".to_owned(),
            RowsCached::All => "ALL".to_owned(),
            RowsCached::Count(count) => count.to_string(),
        };
        BTreeMap::from([
            ("keys".to_owned(), if self.keys { "ALL" } else { "NONE" }.to_owned()),
            ("rows_per_partition".to_owned(), rows),
        ])
    }
}

/// What read repair does before a read answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ReadRepair {
    /// Repairs block the read (monotonic quorum reads).
    Blocking = 0,
    /// Mismatches are merged for the answer and left as they are.
    None = 1,
}

impl ReadRepair {
    /// Cassandra's name.
    pub fn name(self) -> &'static str {
        match self {
            ReadRepair::Blocking => "BLOCKING",
            ReadRepair::None => "NONE",
        }
    }
}

/// The options of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableOptions {
    /// When to write to a further replica, in normal form (`99p`, `50ms`, `ALWAYS`, …).
    pub additional_write_policy: String,
    /// Snapshot before DROP and TRUNCATE.
    pub allow_auto_snapshot: bool,
    /// False-positive rate of the bloom filters.
    pub bloom_filter_fp_chance: f64,
    /// Key and row cache.
    pub caching: Caching,
    /// Whether writes are kept for change data capture.
    pub cdc: bool,
    /// Free text.
    pub comment: String,
    /// Compaction strategy (`class`, full Java name) and its options.
    pub compaction: BTreeMap<String, String>,
    /// Compressor (`class`) and its options; `enabled: false` alone when off.
    pub compression: BTreeMap<String, String>,
    /// Name of the memtable configuration.
    pub memtable: String,
    /// Chance that a read verifies a block's checksum. Kept; Helenus always verifies.
    pub crc_check_chance: f64,
    /// Seconds after which a write without USING TTL expires; 0: never.
    pub default_time_to_live: i32,
    /// Opaque properties of tools.
    pub extensions: BTreeMap<String, Vec<u8>>,
    /// Seconds that a tombstone is kept for replicas that missed it.
    pub gc_grace_seconds: i32,
    /// Whether incremental backups include the table.
    pub incremental_backups: bool,
    /// Index summary: largest sampling interval.
    pub max_index_interval: i32,
    /// Flush at least this often; 0: never for age alone.
    pub memtable_flush_period_in_ms: i32,
    /// Index summary: smallest sampling interval.
    pub min_index_interval: i32,
    /// What read repair does.
    pub read_repair: ReadRepair,
    /// When to read from a further replica, in normal form.
    pub speculative_retry: String,
}

fn text_map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions {
            additional_write_policy: "99p".to_owned(),
            allow_auto_snapshot: true,
            bloom_filter_fp_chance: 0.01,
            caching: Caching { keys: true, rows: RowsCached::None },
            cdc: false,
            comment: String::new(),
            compaction: text_map(&[
                ("class", "org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy"),
                ("max_threshold", "32"),
                ("min_threshold", "4"),
            ]),
            compression: text_map(&[
                ("chunk_length_in_kb", "16"),
                ("class", "org.apache.cassandra.io.compress.LZ4Compressor"),
            ]),
            memtable: "default".to_owned(),
            crc_check_chance: 1.0,
            default_time_to_live: 0,
            extensions: BTreeMap::new(),
            gc_grace_seconds: 864_000,
            incremental_backups: true,
            max_index_interval: 2048,
            memtable_flush_period_in_ms: 0,
            min_index_interval: 128,
            read_repair: ReadRepair::Blocking,
            speculative_retry: "99p".to_owned(),
        }
    }
}

impl TableOptions {
    /// Whether the compaction strategy is that of time windows.
    pub fn has_time_windows(&self) -> bool {
        compaction::is_time_window(&self.compaction)
    }

    /// Whether blocks on disk are compressed.
    pub fn is_compressed(&self) -> bool {
        self.compression.get("class").is_some_and(|class| !class.ends_with(".NoopCompressor"))
    }
}
