//! The storage engine of Helenus: commit log, memtable, SSTable, compaction.
//!
//! A library over comparable bytes that owns no thread and never waits.

pub mod error;
pub mod model;
