//! A block in memory, and how one is named.

use std::sync::Arc;

use helenus_platform::codec::CodecError;

use super::format::data_block::DataBlock;
use super::format::frame::{self, BlockKind};
use super::format::index_block::IndexBlock;
use crate::model::{Slice, SsTableId};

/// Names a block of an open table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The open table, as [`SsTable::handle`](super::SsTable::handle) gives it; never reused
    /// within a cache.
    pub table: u64,
    /// The block's place in the file.
    pub offset: u64,
    /// Its bytes in the file.
    pub stored: u32,
}

/// A verified, decompressed block.
#[derive(Debug)]
pub struct Block {
    content: Content,
}

#[derive(Debug)]
enum Content {
    Data(DataBlock),
    Index(IndexBlock),
}

/// Bytes that a block takes besides its content: the structure, its counts, the cache's entry.
const BLOCK_OVERHEAD_BYTES: usize = size_of::<Block>() + 96;

impl Block {
    /// Checks and decompresses the bytes that stand at `offset` of the file of table `id`.
    pub(crate) fn decode(
        stored: &[u8],
        id: &SsTableId,
        offset: u64,
    ) -> Result<Arc<Block>, CodecError> {
        let (kind, content) = frame::decode(stored, id, offset)?;
        let content = Slice::from(content);
        let content = match kind {
            BlockKind::Data => Content::Data(DataBlock::parse(content)?),
            BlockKind::Index => Content::Index(IndexBlock::parse(content)?),
        };
        Ok(Arc::new(Block { content }))
    }

    /// The block as a data block.
    #[inline]
    pub(crate) fn data(&self) -> Result<&DataBlock, CodecError> {
        match &self.content {
            Content::Data(block) => Ok(block),
            Content::Index(_) => Err(CodecError { offset: 0, what: "data block" }),
        }
    }

    /// The block as an index block.
    #[inline]
    pub(crate) fn index(&self) -> Result<&IndexBlock, CodecError> {
        match &self.content {
            Content::Index(block) => Ok(block),
            Content::Data(_) => Err(CodecError { offset: 0, what: "index block" }),
        }
    }

    /// Bytes that the block holds in memory.
    pub fn heap_bytes(&self) -> usize {
        let content = match &self.content {
            Content::Data(block) => block.heap_bytes(),
            Content::Index(block) => block.heap_bytes(),
        };
        content + BLOCK_OVERHEAD_BYTES
    }
}
