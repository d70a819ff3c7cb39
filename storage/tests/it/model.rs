//! The reference: the merge rule written down a second time, as plainly as possible, over maps.
//!
//! It keeps every winning cell and every deletion for ever and works out at each read what is
//! visible, so nothing here resembles how the engine does it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use helenus_storage::model::PartitionKey;
use helenus_storage::model::counter::{CounterId, Shard};

use crate::collect::{Bytes, CellOut, PartitionOut, RowOut};
use crate::ops::{CellOp, Part, Value};

/// No deletion.
const NEVER: i64 = i64::MIN;

/// A cell that has been written: timestamp, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    timestamp: i64,
    /// 0 live, 1 expiring, 2 tombstone.
    class: u8,
    /// Expiry, or local deletion time of a tombstone.
    end: i64,
    ttl: Reverse<u32>,
    value: Bytes,
}

#[derive(Clone, Debug)]
struct Row {
    deletion: i64,
    /// Timestamp, expiring, expiry, TTL.
    liveness: Option<(i64, bool, i64, Reverse<u32>)>,
    cells: BTreeMap<(u32, Option<Vec<u8>>), Written>,
    column_deletions: BTreeMap<u32, i64>,
    /// By column and host: clock and count.
    shards: BTreeMap<(u32, u8), (i64, i64)>,
    dead_counters: BTreeSet<u32>,
}

impl Default for Row {
    fn default() -> Row {
        Row {
            deletion: NEVER,
            liveness: None,
            cells: BTreeMap::new(),
            column_deletions: BTreeMap::new(),
            shards: BTreeMap::new(),
            dead_counters: BTreeSet::new(),
        }
    }
}

#[derive(Clone, Debug)]
struct Partition {
    deletion: i64,
    static_row: Row,
    rows: BTreeMap<Vec<u8>, Row>,
    /// Start, end (excluded), timestamp.
    ranges: Vec<(Vec<u8>, Vec<u8>, i64)>,
}

/// One table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    partitions: BTreeMap<PartitionKey, Partition>,
}

/// What is asked of one partition.
pub(crate) struct Question<'a> {
    pub(crate) slices: &'a [(Vec<u8>, Vec<u8>)],
    pub(crate) reversed: bool,
    pub(crate) columns: Option<&'a [u32]>,
    pub(crate) limit: u32,
    pub(crate) distinct: bool,
    pub(crate) now: i64,
}

/// The position of a row.
pub(crate) fn position(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0x80]].concat()
}

/// A bound before or after a prefix.
pub(crate) fn bound((prefix, after): &(Vec<u8>, bool)) -> Vec<u8> {
    [prefix.as_slice(), &[if *after { 0xFF } else { 0x00 }]].concat()
}

/// The id of host `n`.
pub(crate) fn counter_id(n: u8) -> CounterId {
    CounterId { host: [n; 16], generation: 1 }
}

impl Model {
    pub(crate) fn clear(&mut self) {
        self.partitions.clear();
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &PartitionKey> {
        self.partitions.keys()
    }

    /// Writes one part at `timestamp` (microseconds) and `now` (seconds).
    pub(crate) fn write(&mut self, key: &PartitionKey, part: &Part, timestamp: i64, now: i64) {
        let partition = self.partitions.entry(key.clone()).or_insert_with(|| Partition {
            deletion: NEVER,
            static_row: Row::default(),
            rows: BTreeMap::new(),
            ranges: Vec::new(),
        });
        let Partition { deletion, static_row, rows, ranges } = partition;
        match part {
            Part::Static(cells) => static_row.set(cells, timestamp, now),
            Part::Row(prefix, liveness, cells) => {
                let row = rows.entry(position(prefix)).or_default();
                if let Some(ttl) = liveness {
                    let expiry = if *ttl == 0 { i64::MAX } else { now + i64::from(*ttl) };
                    let new = (timestamp, *ttl != 0, expiry, Reverse(*ttl));
                    row.liveness = row.liveness.max(Some(new));
                }
                row.set(cells, timestamp, now);
            }
            Part::Overwrite(prefix, cells) => {
                let row = rows.entry(position(prefix)).or_default();
                for cell in cells {
                    row.delete_column(cell.column, timestamp - 1);
                }
                row.set(cells, timestamp, now);
            }
            Part::RowDeletion(prefix) => {
                let row = rows.entry(position(prefix)).or_default();
                row.deletion = row.deletion.max(timestamp);
            }
            Part::Range(start, end) => {
                let (start, end) = (bound(start), bound(end));
                if start < end {
                    ranges.push((start, end, timestamp));
                }
            }
            Part::PartitionDeletion => {
                *deletion = timestamp.max(*deletion);
                ranges.retain(|(_, _, timestamp)| *timestamp > *deletion);
            }
            Part::Count(..) => unreachable!("`count` does that"),
            Part::CounterDeletion(prefix) => {
                let row = rows.entry(position(prefix)).or_default();
                row.dead_counters.insert(crate::ops::COUNTER_COLUMN);
            }
        }
    }

    /// Whether the counter was deleted: then nothing may be counted, until who knows when.
    pub(crate) fn is_dead_counter(&self, key: &PartitionKey, prefix: &[u8]) -> bool {
        let row = self.partitions.get(key).and_then(|p| p.rows.get(&position(prefix)));
        row.is_some_and(|row| !row.dead_counters.is_empty())
    }

    /// Host `n` has counted `delta` more: the shard as it is then.
    pub(crate) fn count(
        &mut self,
        key: &PartitionKey,
        prefix: &[u8],
        host: u8,
        delta: i64,
        timestamp: i64,
    ) -> Shard {
        self.write(key, &Part::Row(prefix.to_vec(), None, Vec::new()), timestamp, 0);
        let column = crate::ops::COUNTER_COLUMN;
        let partition = self.partitions.get_mut(key).unwrap();
        let row = partition.rows.get_mut(&position(prefix)).unwrap();
        let shard = row.shards.entry((column, host)).or_insert((timestamp - 1, 0));
        *shard = (timestamp.max(shard.0 + 1), shard.1 + delta);
        Shard { id: counter_id(host), clock: shard.0, count: shard.1 }
    }

    /// What a reader of one partition sees.
    pub(crate) fn read(&self, key: &PartitionKey, question: &Question<'_>) -> Option<PartitionOut> {
        let partition = self.partitions.get(key)?;
        let static_row = partition.static_row.seen(partition.deletion, question);
        let mut rows = Vec::new();
        for (position, row) in &partition.rows {
            let is_wanted =
                question.slices.iter().any(|(start, end)| start <= position && position < end);
            if is_wanted && let Some(row) = row.seen(partition.covering(position), question) {
                rows.push((position.clone(), row));
            }
        }
        if question.reversed {
            rows.reverse();
        }
        rows.truncate(question.limit as usize);
        if static_row.is_none() && rows.is_empty() {
            return None;
        }
        if question.distinct {
            rows.clear();
        }
        Some(PartitionOut { key: key.clone(), static_row, rows })
    }
}

impl Partition {
    fn covering(&self, position: &[u8]) -> i64 {
        let over = self
            .ranges
            .iter()
            .filter(|(start, end, _)| start.as_slice() <= position && position < end.as_slice());
        over.map(|(_, _, timestamp)| *timestamp).fold(self.deletion, i64::max)
    }
}

impl Row {
    fn delete_column(&mut self, column: u32, timestamp: i64) {
        let deletion = self.column_deletions.entry(column).or_insert(NEVER);
        *deletion = timestamp.max(*deletion);
    }

    fn set(&mut self, cells: &[CellOp], timestamp: i64, now: i64) {
        for CellOp { column, path, value } in cells {
            let (class, end, ttl, value) = match value {
                Value::Live(value) => (0, 0, 0, value.clone()),
                Value::Expiring(value, ttl) => (1, now + i64::from(*ttl), *ttl, value.clone()),
                Value::Tombstone => (2, now, 0, Bytes(Vec::new())),
            };
            let new = Written { timestamp, class, end, ttl: Reverse(ttl), value };
            let place = self.cells.entry((*column, path.clone())).or_insert_with(|| new.clone());
            if *place < new {
                *place = new;
            }
        }
    }

    fn seen(&self, covering: i64, question: &Question<'_>) -> Option<RowOut> {
        let now = question.now;
        let shadow = covering.max(self.deletion);
        let liveness = self
            .liveness
            .filter(|(timestamp, expiring, expiry, _)| {
                *timestamp > shadow && (!expiring || now < *expiry)
            })
            .map(|(timestamp, _, expiry, Reverse(ttl))| (timestamp, ttl, expiry));
        let mut exists = liveness.is_some();
        let mut seen: Vec<CellOut> = Vec::new();
        let is_wanted = |column: u32| question.columns.is_none_or(|all| all.contains(&column));
        for ((column, path), cell) in &self.cells {
            let deletion = self.column_deletions.get(column).copied().unwrap_or(NEVER);
            let is_live = cell.timestamp > shadow.max(deletion)
                && (cell.class == 0 || cell.class == 1 && now < cell.end);
            exists |= is_live;
            if is_live && is_wanted(*column) {
                let end = if cell.class == 0 { i64::MAX } else { cell.end };
                let (value, Reverse(ttl)) = (cell.value.clone(), cell.ttl);
                seen.push((*column, path.clone(), cell.timestamp, value, ttl, end));
            }
        }
        if let Some(counter) = self.counter(crate::ops::COUNTER_COLUMN, shadow) {
            exists = true;
            if is_wanted(counter.0) {
                seen.push(counter);
            }
        }
        exists.then_some(RowOut { liveness, cells: seen })
    }

    fn counter(&self, column: u32, shadow: i64) -> Option<CellOut> {
        if self.dead_counters.contains(&column) {
            return None;
        }
        let mut value = Vec::new();
        let mut newest = NEVER;
        for ((of, host), (clock, count)) in &self.shards {
            if *of == column && *clock > shadow {
                newest = newest.max(*clock);
                Shard { id: counter_id(*host), clock: *clock, count: *count }.encode(&mut value);
            }
        }
        (newest > NEVER).then_some((column, None, newest, Bytes(value), 0, i64::MAX))
    }
}
