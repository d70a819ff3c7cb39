//! How a cursor gets its blocks: without waiting, or by waiting.

use std::cell::RefCell;
use std::sync::Arc;

use super::block::{Block, BlockRef};
use super::cache::BlockCache;
use super::table::SsTable;
use crate::error::Error;

/// Why a read stopped.
#[derive(Debug)]
pub enum ReadStop {
    /// This block is neither in memory nor readable without waiting. Once it has been fetched,
    /// the same call continues where it stopped; nothing is lost or repeated.
    Missing(BlockRef),
    /// The read failed.
    Error(Error),
}

impl ReadStop {
    /// The failure, where every block can be waited for and a missing one is a failure too.
    pub fn into_error(self, table: &SsTable) -> Error {
        match self {
            ReadStop::Error(error) => error,
            ReadStop::Missing(block) => Error::invalid("a block of an SSTable was not fetched")
                .at_file(table.path(), Some(block.offset)),
        }
    }
}

impl From<Error> for ReadStop {
    fn from(error: Error) -> ReadStop {
        ReadStop::Error(error)
    }
}

/// Where a cursor gets its blocks from.
pub trait BlockAccess {
    /// A block of this table, or why there is none yet.
    fn block(&self, table: &SsTable, block: BlockRef) -> Result<Arc<Block>, ReadStop>;
}

/// Never waits: pinned blocks, then the cache, then a read that the system can serve at once.
pub struct CacheAccess<'a> {
    cache: &'a BlockCache,
    /// Blocks that were fetched for this read: found even if the cache has let go of them.
    pinned: RefCell<Vec<(BlockRef, Arc<Block>)>>,
}

/// Blocks kept for a read: a merge of many tables needs one of each at the same time.
const PINNED_BLOCKS_MAX: usize = 64;

impl<'a> CacheAccess<'a> {
    /// Access through this cache, with nothing pinned.
    pub fn new(cache: &'a BlockCache) -> CacheAccess<'a> {
        CacheAccess { cache, pinned: RefCell::new(Vec::new()) }
    }

    /// Keeps a block that was fetched, here and in the cache.
    pub fn pin(&self, name: BlockRef, block: Arc<Block>) {
        self.cache.insert(name, block.clone());
        let mut pinned = self.pinned.borrow_mut();
        if pinned.len() >= PINNED_BLOCKS_MAX {
            pinned.remove(0);
        }
        pinned.push((name, block));
    }

    /// Reads a missing block, waiting for the disk, and pins it.
    pub fn fetch(&self, table: &SsTable, block: BlockRef) -> Result<(), Error> {
        self.pin(block, table.read_block(block)?);
        Ok(())
    }
}

impl BlockAccess for CacheAccess<'_> {
    fn block(&self, table: &SsTable, block: BlockRef) -> Result<Arc<Block>, ReadStop> {
        let pinned = self.pinned.borrow();
        if let Some((_, found)) = pinned.iter().find(|(name, _)| *name == block) {
            return Ok(found.clone());
        }
        if let Some(found) = self.cache.get(block) {
            return Ok(found);
        }
        let read = table.try_read_block(block)?.ok_or(ReadStop::Missing(block))?;
        self.cache.insert(block, read.clone());
        Ok(read)
    }
}

/// Waits for the disk; for compaction and verification. Uses what is cached, but neither adds to
/// the cache nor counts as a use there.
pub struct BlockingAccess<'a> {
    cache: Option<&'a BlockCache>,
}

impl<'a> BlockingAccess<'a> {
    /// Access that looks into this cache first, if there is one.
    pub fn new(cache: Option<&'a BlockCache>) -> BlockingAccess<'a> {
        BlockingAccess { cache }
    }
}

impl BlockAccess for BlockingAccess<'_> {
    fn block(&self, table: &SsTable, block: BlockRef) -> Result<Arc<Block>, ReadStop> {
        match self.cache.and_then(|cache| cache.peek(block)) {
            Some(found) => Ok(found),
            None => Ok(table.read_block(block)?),
        }
    }
}
