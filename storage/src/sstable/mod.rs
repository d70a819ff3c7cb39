//! Immutable, sorted, checksummed files of one table's partitions.
//!
//! A table is a sequence of blocks over one order of everything, (token, partition key,
//! clustering position), and a two-level index of separators over that order. So the index is the
//! index of partitions and the row index of wide partitions at once, and a slice in the middle of
//! a partition of any size costs the same few blocks, in either direction.
//!
//! Reading order: `format` (the bytes; docs/format/sstable.md for the whole), `writer`, `table`,
//! `walk` (block to block), `cursor` (partition to partition), `slice_read` and `run` (row to
//! row). `access` says how blocks are come by without waiting.

mod access;
mod block;
mod cache;
mod collector;
mod cursor;
mod format;
#[cfg(test)]
mod hostile;
pub mod inspect;
mod options;
mod output;
mod run;
mod slice_read;
mod table;
mod verify;
mod walk;
mod writer;

pub use access::{BlockAccess, BlockingAccess, CacheAccess, ReadStop};
pub use block::{Block, BlockRef};
pub use cache::BlockCache;
pub use cursor::SsTableCursor;
pub use format::header::Header;
pub use format::histogram::DropTimes;
pub use format::murmur3::murmur3_token;
pub use format::stats::Stats;
pub use options::{BLOCK_BYTES, BLOOM_FP_CHANCE, WriterOptions};
pub use table::{SsTable, file_name};
pub use verify::verify;
pub use writer::{POSITION_BYTES_MAX, ROW_BYTES_MAX, SsTableWriter, UNFINISHED_SUFFIX};
