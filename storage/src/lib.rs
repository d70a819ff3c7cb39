//! The storage engine of Helenus: commit log, memtable, SSTable, compaction.
//!
//! A library over comparable bytes that owns no thread and never waits.

pub mod compaction;
pub mod engine;
pub mod error;
pub mod log;
pub mod manifest;
pub mod memtable;
pub mod metrics;
pub mod model;
pub mod options;
pub mod read;
pub mod replica;
pub mod sstable;

pub use engine::{
    Damage, Engine, Job, JobKind, JobStep, Snapshot, SnapshotFile, TableStats, Write, restore,
};
pub use error::{Error, ErrorKind, Place, Result};
pub use options::{CompactionOptions, Compression, Durability, Options, TableOptions};
pub use read::{
    BlockList, Budget, Cursor, Flow, Partitions, Read, ReadCommand, Sink, SourceFate, Survey,
};
