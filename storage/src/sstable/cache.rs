//! The block cache: decompressed blocks of all tables within a budget of bytes.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::block::{Block, BlockRef};

/// Table handle and offset: what a block is looked up by.
type Key = (u64, u64);

/// Content of a typical block: with it the cache sizes its tables.
const TYPICAL_BLOCK_BYTES: u64 = 16 << 10;
/// A shard holds at least this much, so that a large block still fits into its shard.
const SHARD_BYTES_MIN: u64 = 8 << 20;
const SHARDS_MAX: u64 = 64;

/// Blocks that were read, evicted by use when the budget is reached.
///
/// What it holds is a function of the calls made: the hash has no random seed and the number of
/// shards does not depend on the machine, so a simulated node behaves alike everywhere.
pub struct BlockCache {
    blocks: Cache<Key, Arc<Block>, HeldBytes, BuildHasherDefault<KeyHasher>>,
    next_handle: AtomicU64,
}

impl BlockCache {
    /// A cache that holds at most about `bytes`.
    pub fn new(bytes: u64) -> Arc<BlockCache> {
        let shards = (bytes / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX).next_power_of_two();
        let blocks = bytes / TYPICAL_BLOCK_BYTES + 1;
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .estimated_items_capacity(blocks as usize)
            .weight_capacity(bytes)
            .build();
        let hasher = BuildHasherDefault::default();
        let blocks = match options {
            Ok(options) => {
                Cache::with_options(options, HeldBytes, hasher, DefaultLifecycle::default())
            }
            Err(_) => {
                let lifecycle = DefaultLifecycle::default();
                Cache::with(blocks as usize, bytes, HeldBytes, hasher, lifecycle)
            }
        };
        Arc::new(BlockCache { blocks, next_handle: AtomicU64::new(1) })
    }

    /// A number for a table that is being opened; never given twice.
    pub(crate) fn new_handle(&self) -> u64 {
        self.next_handle.fetch_add(1, Ordering::Relaxed)
    }

    /// A block, if it is here; counts as a use of it.
    #[inline]
    pub fn get(&self, block: BlockRef) -> Option<Arc<Block>> {
        self.blocks.get(&(block.table, block.offset))
    }

    /// A block, if it is here; leaves no trace in what will be evicted.
    pub fn peek(&self, block: BlockRef) -> Option<Arc<Block>> {
        self.blocks.peek(&(block.table, block.offset))
    }

    /// Keeps a block, unless it is larger than the cache can hold.
    pub fn insert(&self, name: BlockRef, block: Arc<Block>) {
        self.blocks.insert((name.table, name.offset), block);
    }

    /// Lets go of all blocks of a table that is gone. Looks at every entry: not for a hot path.
    pub fn forget(&self, table: u64) {
        self.blocks.retain(|key, _| key.0 != table);
    }

    /// Blocks held now.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes held now.
    pub fn held_bytes(&self) -> u64 {
        self.blocks.weight()
    }

    /// Most bytes held.
    pub fn capacity_bytes(&self) -> u64 {
        self.blocks.capacity()
    }

    /// Lookups that found their block, and lookups that did not.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.blocks.hits(), self.blocks.misses())
    }
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockCache({} of {} bytes)", self.held_bytes(), self.capacity_bytes())
    }
}

/// A block weighs what it holds.
#[derive(Clone)]
struct HeldBytes;

impl Weighter<Key, Arc<Block>> for HeldBytes {
    fn weight(&self, _: &Key, block: &Arc<Block>) -> u64 {
        block.heap_bytes() as u64
    }
}

/// Multiplies and folds: keys are our own numbers, nobody can choose them to collide.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(0xd6e8_feb8_6659_fd93_u64);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}
