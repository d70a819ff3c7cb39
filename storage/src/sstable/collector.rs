//! Gathers the statistics of a table while it is being written.

use super::format::stats::Stats;
use crate::error::Result;
use crate::model::{CellKind, Deletion, Entry, PartitionHead, RowRef, Slice};

/// Gathers statistics of partitions in key order.
#[derive(Default)]
pub(super) struct Collector {
    stats: Stats,
    lowest: Vec<u8>,
    highest: Vec<u8>,
    any_position: bool,
    partition_bytes: u64,
}

impl Collector {
    /// A partition begins.
    pub(super) fn partition(&mut self, head: &PartitionHead) -> Result<()> {
        self.stats.partitions += 1;
        let key = &head.key;
        match &mut self.stats.keys {
            // Copied, so that no block that the key may share stays in memory.
            None => self.stats.keys = Some((key.as_ref().to_key(), key.clone())),
            Some((_, last)) => *last = key.clone(),
        }
        self.partition_bytes = 0;
        if !head.deletion.is_none() {
            self.stats.partition_deletions += 1;
            self.deletion(head.deletion);
        }
        if let Some(row) = &head.static_row {
            self.stats.static_rows += 1;
            self.cells(row)?;
        }
        Ok(())
    }

    /// A row of the last partition.
    pub(super) fn row(&mut self, position: &[u8], row: &[u8]) -> Result<()> {
        self.stats.rows += 1;
        self.position(position);
        self.partition_bytes += (position.len() + row.len()) as u64;
        self.stats.largest_row_bytes = self.stats.largest_row_bytes.max(row.len() as u64);
        self.cells(row)
    }

    /// A marker of the last partition.
    pub(super) fn marker(&mut self, position: &[u8], after: Deletion) {
        self.stats.markers += 1;
        self.position(position);
        self.partition_bytes += position.len() as u64;
        // A deletion is counted where it opens; its end says nothing new.
        if !after.is_none() {
            self.deletion(after);
        }
    }

    /// The last partition ends.
    pub(super) fn end_partition(&mut self) {
        let largest = &mut self.stats.largest_partition_bytes;
        *largest = self.partition_bytes.max(*largest);
    }

    /// This much content went into data blocks.
    pub(super) fn content(&mut self, bytes: usize) {
        self.stats.content_bytes += bytes as u64;
    }

    /// All that was gathered.
    pub(super) fn finish(mut self) -> Stats {
        if let Some((_, last)) = &mut self.stats.keys {
            *last = last.as_ref().to_key();
        }
        if self.any_position {
            self.stats.positions = Some((Slice::copy(&self.lowest), Slice::copy(&self.highest)));
        }
        self.stats
    }

    fn position(&mut self, position: &[u8]) {
        if !self.any_position {
            self.any_position = true;
            self.lowest.extend_from_slice(position);
            self.highest.extend_from_slice(position);
        } else if position < self.lowest.as_slice() {
            self.lowest.clear();
            self.lowest.extend_from_slice(position);
        } else if position > self.highest.as_slice() {
            self.highest.clear();
            self.highest.extend_from_slice(position);
        }
    }

    fn timestamp(&mut self, timestamp: i64) {
        self.stats.min_timestamp = self.stats.min_timestamp.min(timestamp);
        self.stats.max_timestamp = self.stats.max_timestamp.max(timestamp);
    }

    fn lives_for_ever(&mut self) {
        self.stats.max_local_deletion_time = i64::MAX;
    }

    fn dies(&mut self, local_deletion_time: i64) {
        let stats = &mut self.stats;
        stats.min_local_deletion_time = stats.min_local_deletion_time.min(local_deletion_time);
        stats.max_local_deletion_time = stats.max_local_deletion_time.max(local_deletion_time);
        stats.drop_times.add(local_deletion_time, 1);
    }

    fn deletion(&mut self, deletion: Deletion) {
        self.timestamp(deletion.timestamp);
        self.dies(deletion.local_deletion_time);
    }

    fn cells(&mut self, row: &[u8]) -> Result<()> {
        let row = RowRef::parse(row)?;
        if let Some(liveness) = row.liveness() {
            self.timestamp(liveness.timestamp);
            if liveness.ttl == 0 {
                self.lives_for_ever();
            } else {
                self.stats.expiring += 1;
                self.dies(liveness.expiry);
            }
        }
        if !row.deletion().is_none() {
            self.stats.row_deletions += 1;
            self.deletion(row.deletion());
        }
        for entry in row.entries() {
            match entry? {
                Entry::ColumnDeletion(_, deletion) => {
                    self.stats.column_deletions += 1;
                    self.deletion(deletion);
                }
                Entry::Cell(cell) => {
                    self.stats.cells += 1;
                    self.timestamp(cell.timestamp);
                    self.cell_kind(cell.kind);
                }
            }
        }
        Ok(())
    }

    fn cell_kind(&mut self, kind: CellKind) {
        match kind {
            CellKind::Live => self.lives_for_ever(),
            CellKind::Counter => {
                self.stats.counters += 1;
                self.lives_for_ever();
            }
            CellKind::Expiring { expiry, .. } => {
                self.stats.expiring += 1;
                self.dies(expiry);
            }
            CellKind::Tombstone { local_deletion_time: time }
            | CellKind::CounterTombstone { local_deletion_time: time }
            | CellKind::Expired { expiry: time, .. } => {
                self.stats.cell_tombstones += 1;
                self.dies(time);
            }
        }
    }
}
