//! Blocks that a read waits for, and blocks that were fetched for it.

use std::sync::Arc;

use crate::error::Result;
use crate::sstable::{Block, BlockAccess, BlockCache, BlockRef, CacheAccess, ReadStop, SsTable};

/// Blocks that must be fetched before a read can go on.
#[derive(Default)]
pub struct BlockList {
    blocks: Vec<(Arc<SsTable>, BlockRef)>,
}

impl BlockList {
    /// How many blocks are wanted.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(crate) fn push(&mut self, table: &Arc<SsTable>, block: BlockRef) {
        self.blocks.push((table.clone(), block));
    }
}

impl std::fmt::Debug for BlockList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let blocks = self.blocks.iter().map(|(table, block)| (table.id(), block));
        f.debug_list().entries(blocks).finish()
    }
}

/// Blocks fetched for one read. They are kept until the read has got past the point where it
/// missed them, so that it makes progress however small the cache is.
#[derive(Default)]
pub(crate) struct Pinned {
    blocks: Vec<(BlockRef, Arc<Block>)>,
}

impl Pinned {
    /// Reads the listed blocks, waiting for the disk.
    pub(crate) fn fetch(&mut self, list: BlockList, cache: &BlockCache) -> Result<()> {
        for (table, block) in list.blocks {
            let read = table.read_block(block)?;
            cache.insert(block, read.clone());
            self.blocks.push((block, read));
        }
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
    }
}

/// Reaches pinned blocks, then whatever can be had without waiting.
pub(crate) struct PinnedAccess<'a> {
    pinned: &'a Pinned,
    cache: CacheAccess<'a>,
}

impl<'a> PinnedAccess<'a> {
    pub(crate) fn new(pinned: &'a Pinned, cache: &'a BlockCache) -> PinnedAccess<'a> {
        PinnedAccess { pinned, cache: CacheAccess::new(cache) }
    }
}

impl BlockAccess for PinnedAccess<'_> {
    fn block(&self, table: &SsTable, block: BlockRef) -> Result<Arc<Block>, ReadStop> {
        let mut pinned = self.pinned.blocks.iter();
        if let Some((_, found)) = pinned.find(|(name, _)| *name == block) {
            return Ok(found.clone());
        }
        self.cache.block(table, block)
    }
}
