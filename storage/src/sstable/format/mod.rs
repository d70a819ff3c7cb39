//! The bytes of an SSTable, one structure per file; docs/format/sstable.md tells the whole.
//!
//! Nothing in here touches a disk: encoders append to buffers, decoders read slices, and whatever
//! a disk may say comes back as a [`CodecError`](helenus_platform::codec::CodecError).
//! All of it holds to the same rules: lengths are checked before anything is allocated, unknown
//! flag bits are refused, and reserved bytes must have their one value.

pub(crate) mod composite;
pub(crate) mod data_block;
pub(crate) mod data_builder;
pub(crate) mod filter;
pub(crate) mod footer;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod histogram;
pub(crate) mod index_block;
pub(crate) mod murmur3;
pub(crate) mod stats;
pub(crate) mod top_index;
