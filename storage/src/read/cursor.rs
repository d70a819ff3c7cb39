//! A read's place, kept by the caller between calls.

use super::command::ReadCommand;
use crate::model::{LogPosition, PartitionKey, Slice};

/// Blocks that must be fetched before a read can go on.
#[derive(Debug, Default)]
pub struct BlockList {
    _private: (),
}

/// A read's place, kept by the caller between calls of `Engine::read`.
#[derive(Default)]
pub struct Cursor {
    newest: LogPosition,
    tombstones: u64,
}

impl Cursor {
    /// A cursor before everything that `command` names.
    pub fn new(_command: &ReadCommand) -> Cursor {
        Cursor::default()
    }

    /// A cursor that goes on after a page: with `Some(position)`, after that row of `key` in
    /// reading order; with `None`, after the whole of `key`.
    pub fn resume(_key: PartitionKey, _position: Option<Slice>) -> Cursor {
        Cursor::default()
    }

    /// Counts rows of the resumed partition, told by earlier pages, against
    /// `rows_per_partition_max`.
    #[must_use]
    pub fn with_rows_told(self, _rows: u32) -> Cursor {
        self
    }

    /// The newest log position of any memtable partition that the read has looked at. The answer
    /// must be held until the engine's answer position has reached it.
    pub fn newest(&self) -> LogPosition {
        self.newest
    }

    /// Tombstones stepped over so far.
    pub fn tombstones(&self) -> u64 {
        self.tombstones
    }
}
