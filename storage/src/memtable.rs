//! The newest writes of one table, in memory and in order, until a flush writes them out.
//!
//! A memtable is cut into shards, each a contiguous range of tokens under a short lock of its own,
//! so that writers of different partitions rarely meet and a scan walks the shards in order.
//! A partition is one of two things:
//!
//! - *packed*: one row and nothing else. Key, position and row are one block of memory, because
//!   tables of such partitions are common and every allocation beside the data is overhead.
//! - *wide*: anything more. Rows and range deletions are persistent trees, so that a reader takes
//!   a snapshot by cloning a reference, and a writer copies only the nodes on its path.
//!
//! An update is applied under its shard's lock, after everything in it has been checked; so a
//! reader sees it whole or not at all. Deletions hide what is below them but do not remove it:
//! readers and the flush merge, and do so with the same rule everywhere.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::model::{
    LogPosition, PartitionBound, PartitionKey, PartitionKeyRef, Slice, TableId, TableUpdateRef,
    Token, memory,
};

mod partition;
mod row;
mod slot;
mod survey;
#[cfg(test)]
mod tests;

pub use partition::{MemIter, MemPartition};

use slot::{Slot, Write};
use survey::Survey;

/// Shards at most.
const SHARDS_MAX: usize = 1024;

/// Heap that a map entry takes beside what it points to: its share of a node of the standard
/// library's B-tree (11 entries, two thirds full after random inserts) and of the nodes above.
const ENTRY_BYTES: usize = 50;

/// One memtable of one table.
#[derive(Debug)]
pub struct Memtable {
    // Fixed at creation.
    table: TableId,
    created_at: LogPosition,
    /// The shard of a token is in its topmost bits, so many.
    shard_bits: u32,
    // Each synchronised by itself.
    /// Heap of all shards: one counter, since every write asks for it.
    bytes: AtomicUsize,
    shards: Box<[Shard]>,
}

#[derive(Debug)]
struct Shard {
    // Written under `state`'s lock, read without.
    partitions: AtomicUsize,
    timestamp_min: AtomicI64,
    timestamp_max: AtomicI64,
    // Guards itself.
    state: Mutex<ShardState>,
}

#[derive(Debug, Default)]
struct ShardState {
    /// Partitions by token; of several with one token the first that came.
    partitions: BTreeMap<Token, Slot>,
    /// The others: a token is a hash that clients can make collide.
    colliding: BTreeMap<(Token, Slice), Slot>,
    /// For building blocks in; kept so that writes do not allocate it each time.
    scratch: Vec<u8>,
}

impl Memtable {
    /// An empty memtable, for writes from the log position `created_at` on. The number of shards
    /// is rounded up to a power of two.
    pub fn new(table: TableId, shard_count: usize, created_at: LogPosition) -> Memtable {
        let shard_count = shard_count.clamp(1, SHARDS_MAX).next_power_of_two();
        let shards = (0..shard_count).map(|_| Shard::new()).collect();
        Memtable {
            table,
            created_at,
            shard_bits: shard_count.ilog2(),
            bytes: AtomicUsize::new(0),
            shards,
        }
    }

    /// The table.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// Where the log stood when the memtable was created.
    pub fn created_at(&self) -> LogPosition {
        self.created_at
    }

    /// Applies the update of one partition that the log holds at `position`. Readers of the
    /// partition see all of it or nothing; on an error nothing was applied.
    pub fn apply(
        &self,
        key: PartitionKeyRef<'_>,
        update: &TableUpdateRef<'_>,
        position: LogPosition,
    ) -> Result<()> {
        debug_assert_eq!(update.table(), self.table);
        let survey = Survey::of(update)?;
        if !survey.is_empty() {
            let change = self.shard(key.token).apply(key, update, &survey, position)?;
            // Wraps around where a partition has become smaller.
            self.bytes.fetch_add(change.after.wrapping_sub(change.before), Ordering::Relaxed);
        }
        Ok(())
    }

    /// A snapshot of a partition.
    pub fn partition(&self, key: &PartitionKey) -> Option<MemPartition> {
        let state = self.shard(key.token).lock();
        let slot = state.find(key.as_ref())?;
        Some(MemPartition::new(key.token, slot.clone()))
    }

    /// The first partition behind `after`, in order of token and key.
    pub fn next_partition(&self, after: &PartitionBound) -> Option<(PartitionKey, MemPartition)> {
        let first = self.shard_index(after.first_token()?);
        let found = self.shards.iter().skip(first).find_map(|shard| {
            let state = shard.lock();
            let (token, slot) = state.next(after)?;
            Some(MemPartition::new(token, slot.clone()))
        })?;
        Some((found.key(), found))
    }

    /// Heap that the memtable takes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Number of partitions.
    pub fn partitions(&self) -> usize {
        self.sum(|shard| &shard.partitions)
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.partitions() == 0
    }

    /// The lowest timestamp of anything written; `i64::MAX` if nothing was.
    pub fn min_timestamp(&self) -> i64 {
        let all = self.shards.iter().map(|shard| shard.timestamp_min.load(Ordering::Relaxed));
        all.min().unwrap_or(i64::MAX)
    }

    /// The highest timestamp of anything written, deletions included; `i64::MIN` if nothing was.
    pub fn max_timestamp(&self) -> i64 {
        let all = self.shards.iter().map(|shard| shard.timestamp_max.load(Ordering::Relaxed));
        all.max().unwrap_or(i64::MIN)
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicUsize) -> usize {
        self.shards.iter().map(|shard| counter(shard).load(Ordering::Relaxed)).sum()
    }

    /// Shards ascend with tokens: the sign bit is flipped, and the topmost bits count.
    fn shard_index(&self, token: Token) -> usize {
        let unsigned = token.0 as u64 ^ (1 << 63);
        unsigned.checked_shr(u64::BITS - self.shard_bits).unwrap_or(0) as usize
    }

    fn shard(&self, token: Token) -> &Shard {
        &self.shards[self.shard_index(token)]
    }
}

impl Shard {
    fn new() -> Shard {
        Shard {
            partitions: AtomicUsize::new(0),
            timestamp_min: AtomicI64::new(i64::MAX),
            timestamp_max: AtomicI64::new(i64::MIN),
            state: Mutex::default(),
        }
    }

    /// Nothing panics while it changes a shard, so a poisoned lock guards whole partitions.
    fn lock(&self) -> MutexGuard<'_, ShardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(
        &self,
        key: PartitionKeyRef<'_>,
        update: &TableUpdateRef<'_>,
        survey: &Survey,
        position: LogPosition,
    ) -> Result<Change> {
        let mut state = self.lock();
        // Before the data, so that whoever skips this memtable by its timestamps cannot have
        // missed anything that was written before it looked.
        if survey.timestamp_min < self.timestamp_min.load(Ordering::Relaxed) {
            self.timestamp_min.store(survey.timestamp_min, Ordering::Relaxed);
        }
        if survey.timestamp_max > self.timestamp_max.load(Ordering::Relaxed) {
            self.timestamp_max.store(survey.timestamp_max, Ordering::Relaxed);
        }
        let write = Write { key: key.key, update, survey, position };
        let change = state.apply(key.token, &write)?;
        if change.before == 0 {
            self.partitions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(change)
    }
}

/// What a write did to the heap of a partition; one that was not there before took nothing.
struct Change {
    before: usize,
    after: usize,
}

impl ShardState {
    fn find(&self, key: PartitionKeyRef<'_>) -> Option<&Slot> {
        let slot = self.partitions.get(&key.token)?;
        if slot.key() == key.key {
            return Some(slot);
        }
        if self.colliding.is_empty() {
            return None;
        }
        self.colliding.get(&(key.token, Slice::copy(key.key)))
    }

    fn apply(&mut self, token: Token, write: &Write<'_>) -> Result<Change> {
        match self.partitions.entry(token) {
            Entry::Occupied(entry) if entry.get().key() != write.key => {
                let key = Slice::copy(write.key);
                let entry_bytes = ENTRY_BYTES + 2 * size_of::<Slice>() + memory::shared(key.len());
                let entry = self.colliding.entry((token, key));
                apply_at(entry, entry_bytes, write, &mut self.scratch)
            }
            entry => apply_at(entry, ENTRY_BYTES, write, &mut self.scratch),
        }
    }

    /// The first partition behind `after`.
    fn next(&self, after: &PartitionBound) -> Option<(Token, &Slot)> {
        let token = after.first_token()?;
        let behind =
            |token: Token, slot: &Slot| after.is_before(PartitionKeyRef { token, key: slot.key() });
        let mut plain = self.partitions.range(token..).map(|(token, slot)| (*token, slot));
        let plain = plain.find(|(token, slot)| behind(*token, slot));
        let from = match after {
            PartitionBound::AtKey(key) => Bound::Included((token, key.key.clone())),
            PartitionBound::AfterKey(key) => Bound::Excluded((token, key.key.clone())),
            _ => Bound::Included((token, Slice::default())),
        };
        let mut colliding =
            self.colliding.range((from, Bound::Unbounded)).map(|((token, _), slot)| (*token, slot));
        let colliding = colliding.find(|(token, slot)| behind(*token, slot));
        match (plain, colliding) {
            (Some(one), Some(other)) => {
                let order = |(token, slot): &(Token, &Slot)| (*token, slot.key().to_vec());
                Some(if order(&one) <= order(&other) { one } else { other })
            }
            (one, other) => one.or(other),
        }
    }
}

fn apply_at<K: Ord>(
    entry: Entry<'_, K, Slot>,
    entry_bytes: usize,
    write: &Write<'_>,
    scratch: &mut Vec<u8>,
) -> Result<Change> {
    match entry {
        Entry::Vacant(entry) => {
            let slot = entry.insert(Slot::create(write, scratch)?);
            Ok(Change { before: 0, after: entry_bytes + slot.heap() })
        }
        Entry::Occupied(mut entry) => {
            let before = entry.get().heap();
            entry.get_mut().apply(write, scratch)?;
            Ok(Change { before, after: entry.get().heap() })
        }
    }
}
