//! Sets of log positions: which part of the commit log a table no longer needs.
//!
//! An interval `(start, end)` means the records that begin at or after `start` and end at or
//! before `end`. A memtable owns the records appended between its creation and its switch, so
//! the intervals of one table tile the log and almost always join into a single one.

use std::collections::BTreeMap;

use crate::model::LogPosition;

/// Disjoint intervals, touching ones joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IntervalSet(BTreeMap<LogPosition, LogPosition>);

impl IntervalSet {
    /// Adds an interval; an empty one changes nothing.
    pub(crate) fn insert(&mut self, start: LogPosition, end: LogPosition) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        if let Some((&before, &before_end)) = self.0.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&next, &next_end)) = self.0.range(start..=end).next() {
            end = end.max(next_end);
            self.0.remove(&next);
        }
        self.0.insert(start, end);
    }

    /// Whether the whole of `(start, end)` is in the set.
    pub(crate) fn covers(&self, start: LogPosition, end: LogPosition) -> bool {
        self.0.range(..=start).next_back().is_some_and(|(_, &covered)| end <= covered)
    }

    /// The intervals in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LogPosition, LogPosition)> + '_ {
        self.0.iter().map(|(&start, &end)| (start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(intervals: &[(u64, u64)]) -> IntervalSet {
        let mut set = IntervalSet::default();
        for &(start, end) in intervals {
            set.insert(LogPosition(start), LogPosition(end));
        }
        set
    }

    #[test]
    fn touching_and_overlapping_intervals_join_in_any_order() {
        assert_eq!(set(&[(10, 20), (0, 10), (15, 30)]), set(&[(0, 30)]));
        assert_eq!(set(&[(0, 5), (10, 15), (4, 11)]), set(&[(0, 15)]));
        assert_eq!(set(&[(5, 5), (7, 6)]), IntervalSet::default());
        assert_eq!(set(&[(0, 5), (6, 9)]).iter().count(), 2);
    }

    #[test]
    fn a_gap_is_not_covered() {
        let set = set(&[(0, 5), (6, 9)]);
        let covers = |start, end| set.covers(LogPosition(start), LogPosition(end));
        assert!(covers(0, 5) && covers(6, 9) && covers(7, 8));
        assert!(!covers(0, 6) && !covers(5, 6) && !covers(4, 7) && !covers(9, 10));
    }
}
