//! What may be forgotten for good.
//!
//! A tombstone is there to hide older data wherever that may be. It may go once (a) it is older
//! than the grace time, within which every replica has had the chance to learn of it, and (b)
//! nothing that it could hide is anywhere else on this node: in an SSTable that takes no part in
//! the compaction and may hold the partition, one that cannot be read included, or in a memtable.
//! Time is the believed time (see
//! `engine::clock`); after a jump of the clock nothing is purged.

use crate::engine::View;
use crate::model::{Deletion, PartitionKey, SsTableId};

/// What may be purged of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purge {
    /// Cells that expired before this are tombstones; seconds since the epoch.
    pub(crate) now: i64,
    /// Tombstones whose local deletion time is before this are past their grace.
    pub(crate) grace_over_before: i64,
    /// The lowest timestamp of anything elsewhere that a tombstone could hide; none if there is
    /// nothing elsewhere.
    pub(crate) hidden_from: Option<i64>,
}

impl Purge {
    /// Keeps everything that is not already hidden by what lies above it.
    pub(crate) const NOTHING: Purge =
        Purge { now: i64::MIN, grace_over_before: i64::MIN, hidden_from: Some(i64::MIN) };

    /// Whether a tombstone may go.
    pub(crate) fn purges(&self, timestamp: i64, local_deletion_time: i64) -> bool {
        local_deletion_time < self.grace_over_before
            && self.hidden_from.is_none_or(|hidden| timestamp < hidden)
    }

    /// What is left of a deletion.
    pub(crate) fn rest(&self, deletion: Deletion) -> Deletion {
        if self.purges(deletion.timestamp, deletion.local_deletion_time) {
            Deletion::NONE
        } else {
            deletion
        }
    }
}

/// The lowest timestamp of anything that this partition may hold outside of `inputs`.
pub(crate) fn hidden_from(view: &View, inputs: &[SsTableId], key: &PartitionKey) -> Option<i64> {
    let tables = view
        .sstables()
        .iter()
        .filter(|table| !inputs.contains(&table.id()) && table.may_contain(key))
        .map(|table| table.stats().min_timestamp);
    // Nobody knows what is in a file that cannot be read.
    let unreadable = view.unreadable.iter().filter(|file| file.may_contain(key.token));
    let memtables = view
        .memtables()
        .filter(|memtable| memtable.partition(key).is_some())
        .map(|memtable| memtable.min_timestamp());
    tables.chain(memtables).chain(unreadable.map(|_| i64::MIN)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grace_and_older_data_both_keep_a_tombstone() {
        let purge = Purge { now: 100, grace_over_before: 50, hidden_from: Some(1000) };
        assert!(purge.purges(999, 49));
        assert!(!purge.purges(1000, 49));
        assert!(!purge.purges(999, 50));
        assert!(!purge.purges(i64::MAX, 49));
        assert!(Purge { hidden_from: None, ..purge }.purges(i64::MAX, 49));
        assert_eq!(purge.rest(Deletion::new(5, 5)), Deletion::NONE);
        assert_eq!(purge.rest(Deletion::NONE), Deletion::NONE);
        assert!(!Purge::NOTHING.purges(i64::MIN, 0));
    }
}
