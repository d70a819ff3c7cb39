//! Which sources a read would look at, and why not at the others: for whoever wants to know where
//! the time of one read goes. It asks what the read itself asks, of the view of this moment, and
//! touches no block.

use super::command::{Partitions, ReadCommand};
use super::partitions::{has_in_range, meets_slices};
use crate::engine::View;
use crate::model::PartitionKey;
use crate::sstable::SsTable;

/// At most so many listed partitions are looked at one by one.
const KEYS_MAX: usize = 16;

/// What a read does with an SSTable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFate {
    /// It is read.
    Read,
    /// Its first and last key leave the partition out.
    SkippedByKey,
    /// Its bloom filter leaves the partition out.
    SkippedByFilter,
    /// None of its clustering positions is wanted.
    SkippedByPosition,
}

/// What a read does with the sources of its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Memtables that it looks at, the one that takes writes included.
    pub memtables: usize,
    /// SSTables by file name. With several partitions, a file is read if one of them wants it.
    pub sstables: Vec<(String, SourceFate)>,
}

impl Survey {
    pub(crate) fn new(view: &View, command: &ReadCommand) -> Survey {
        let fate = |table: &SsTable| match &command.partitions {
            Partitions::Range { start, end } => {
                let within = table.stats().keys.as_ref().is_some_and(|(first, last)| {
                    start.is_before(last.as_ref()) && !end.is_before(first.as_ref())
                });
                if !within {
                    SourceFate::SkippedByKey
                } else if !meets_slices(table, command) {
                    SourceFate::SkippedByPosition
                } else {
                    SourceFate::Read
                }
            }
            listed => {
                let keys = listed.listed().iter().take(KEYS_MAX);
                let fates = keys.map(|key| fate_of(table, key, command));
                // What comes nearest to being read counts.
                fates.min_by_key(|fate| rank(*fate)).unwrap_or(SourceFate::SkippedByKey)
            }
        };
        let name = |table: &SsTable| crate::sstable::file_name(table.id());
        Survey {
            memtables: view.memtables().count(),
            sstables: view.sstables().iter().map(|table| (name(table), fate(table))).collect(),
        }
    }
}

fn fate_of(table: &SsTable, key: &PartitionKey, command: &ReadCommand) -> SourceFate {
    if !has_in_range(table, key) {
        SourceFate::SkippedByKey
    } else if !table.may_contain(key) {
        SourceFate::SkippedByFilter
    } else if !meets_slices(table, command) {
        SourceFate::SkippedByPosition
    } else {
        SourceFate::Read
    }
}

fn rank(fate: SourceFate) -> u8 {
    match fate {
        SourceFate::Read => 0,
        SourceFate::SkippedByPosition => 1,
        SourceFate::SkippedByFilter => 2,
        SourceFate::SkippedByKey => 3,
    }
}
