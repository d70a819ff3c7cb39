//! What the node counts, as tables of `system_views`.
//!
//! The counts are real; what Cassandra has beside them and this version does not measure (rates,
//! percentiles of single tables, the progress of a compaction) is null.

use helenus_platform::pool::PoolFigures;
use helenus_storage::TableStats;

use super::{LiveViews, signed};
use crate::schema::system::values::{Cell, bigint, double, int, text, uuid};
use crate::schema::{Schema, Table, TableSource};

const MEBIBYTE: u64 = 1 << 20;

impl LiveViews {
    /// A row for each stored table.
    fn each_table(
        &self,
        schema: &Schema,
        row: impl Fn(&Table, TableStats) -> Option<Vec<Cell>>,
    ) -> Vec<Vec<Cell>> {
        let tables = schema.tables().values();
        let stored = tables.filter(|table| table.source == TableSource::Stored);
        let rows = stored.filter_map(|table| {
            let stats = self.engine.table_stats(table.id)?;
            let mut cells = vec![text(&table.keyspace), text(&table.name)];
            cells.extend(row(table, stats)?);
            Some(cells)
        });
        rows.collect()
    }

    pub(super) fn disk_usage(&self, schema: &Schema) -> Vec<Vec<Cell>> {
        self.each_table(schema, |_, stats| Some(vec![mebibytes(stats.sstable_bytes)]))
    }

    pub(super) fn max_partition_size(&self, schema: &Schema) -> Vec<Vec<Cell>> {
        self.each_table(schema, |_, stats| Some(vec![mebibytes(stats.largest_partition_bytes)]))
    }

    /// How often; how long is measured for all tables together only.
    pub(super) fn latency(
        &self,
        schema: &Schema,
        count: impl Fn(&TableStats) -> Option<u64>,
    ) -> Vec<Vec<Cell>> {
        self.each_table(schema, |_, stats| {
            let count = count(&stats).and_then(|count| bigint(signed(count)));
            Some(vec![None, None, count, None, None])
        })
    }

    /// Compactions that are under way.
    pub(super) fn sstable_tasks(&self, schema: &Schema) -> Vec<Vec<Cell>> {
        self.each_table(schema, |table, stats| {
            self.engine.is_compacting(table.id).then(|| {
                let sstables = int(i32::try_from(stats.sstables).unwrap_or(i32::MAX));
                let [kind, unit] = ["compaction", "bytes"].map(text);
                vec![uuid(table.uuid), None, kind, None, sstables, None, None, unit]
            })
        })
    }

    pub(super) fn caches(&self) -> Vec<Vec<Cell>> {
        let cache = self.engine.block_cache();
        let (hits, misses) = cache.hits_and_misses();
        let requests = hits + misses;
        let ratio = if requests == 0 { f64::NAN } else { hits as f64 / requests as f64 };
        vec![vec![
            text("chunks"),
            bigint(signed(cache.capacity_bytes())),
            int(i32::try_from(cache.blocks()).unwrap_or(i32::MAX)),
            bigint(signed(hits)),
            double(ratio),
            None,
            None,
            bigint(signed(requests)),
            bigint(signed(cache.held_bytes())),
        ]]
    }

    pub(super) fn thread_pools(&self) -> Vec<Vec<Cell>> {
        let PoolFigures { workers, waiting, active, completed, refused } = self.pool.figures();
        let small = |number: u64| int(i32::try_from(number).unwrap_or(i32::MAX));
        vec![vec![
            text("helenus-pool"),
            small(active),
            small(workers as u64),
            bigint(0),
            bigint(signed(refused)),
            bigint(signed(completed)),
            small(waiting as u64),
        ]]
    }
}

/// As Cassandra does: rounded up.
fn mebibytes(bytes: u64) -> Cell {
    bigint(signed(bytes.div_ceil(MEBIBYTE)))
}
