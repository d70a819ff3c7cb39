//! Clustering positions: where rows, slice bounds and range tombstones stand inside a partition.
//!
//! Plain byte order is the order of the partition. A row's position is its encoded clustering
//! components followed by [`ROW`]. A component begins with a marker byte in `0x10..=0x7E`, or,
//! for a descending column, in `0x81..=0xEF`, so that [`BEFORE`] or [`AFTER`] behind any prefix
//! of components lies before or after everything with that prefix:
//!
//! ```text
//! c1 00            before all rows whose first component is c1
//! c1 c2 00
//! c1 c2 80         the row (c1, c2) of a table with two clustering columns
//! c1 c2 FF
//! c1 FF            after all rows whose first component is c1
//! ```
//!
//! A whole partition is `[00]..[FF]`; the one row of a table without clustering columns is `[80]`.

use crate::model::Slice;

/// Behind a prefix of components: before everything with that prefix.
pub const BEFORE: u8 = 0x00;
/// Behind all components: the row itself.
pub const ROW: u8 = 0x80;
/// Behind a prefix of components: after everything with that prefix.
pub const AFTER: u8 = 0xFF;

/// A half-open range of positions: `start` is in it, `end` is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PositionRange {
    /// The first position of the range.
    pub start: Slice,
    /// The first position behind the range.
    pub end: Slice,
}

impl PositionRange {
    /// The range from `start` up to, but not including, `end`.
    pub fn new(start: Slice, end: Slice) -> PositionRange {
        PositionRange { start, end }
    }

    /// Every position of a partition.
    pub fn whole() -> PositionRange {
        PositionRange { start: Slice::copy(&[BEFORE]), end: Slice::copy(&[AFTER]) }
    }

    /// Everything with this prefix of components.
    pub fn of_prefix(components: &[u8]) -> PositionRange {
        PositionRange { start: before_prefix(components), end: after_prefix(components) }
    }

    /// Whether no position lies in the range.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether this position lies in the range.
    pub fn contains(&self, position: &[u8]) -> bool {
        self.start.as_bytes() <= position && position < self.end.as_bytes()
    }

    /// What lies in both ranges.
    #[must_use]
    pub fn intersect(&self, other: &PositionRange) -> PositionRange {
        let start = if self.start >= other.start { &self.start } else { &other.start };
        let end = if self.end <= other.end { &self.end } else { &other.end };
        PositionRange { start: start.clone(), end: end.clone() }
    }
}

/// The position before everything with this prefix of components.
pub fn before_prefix(components: &[u8]) -> Slice {
    ending_in(components, BEFORE)
}

/// The position of the row with these clustering components.
pub fn row(components: &[u8]) -> Slice {
    ending_in(components, ROW)
}

/// The position after everything with this prefix of components.
pub fn after_prefix(components: &[u8]) -> Slice {
    ending_in(components, AFTER)
}

fn ending_in(components: &[u8], last: u8) -> Slice {
    let mut bytes = Vec::with_capacity(components.len() + 1);
    bytes.extend_from_slice(components);
    bytes.push(last);
    Slice::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_enclose_what_has_their_prefix() {
        // Two one-byte components, ascending (marker 30) and descending (marker CF).
        let prefix = [0x30, 5];
        let below = row(&[0x30, 4, 0xCF, 0xFF]);
        let inside =
            [row(&[0x30, 5, 0xCF, 0]), row(&[0x30, 5, 0xCF, 0xFF]), row(&[0x30, 5, 0x30, 0])];
        let above = row(&[0x30, 6, 0x10]);
        let range = PositionRange::of_prefix(&prefix);
        assert!(!range.contains(&below) && !range.contains(&above));
        assert!(inside.iter().all(|position| range.contains(position)));
        assert!(inside.iter().all(|position| PositionRange::whole().contains(position)));
        assert!(PositionRange::whole().contains(&row(&[])));
    }

    #[test]
    fn an_intersection_may_be_empty() {
        let low = PositionRange::of_prefix(&[0x30, 1]);
        let high = PositionRange::of_prefix(&[0x30, 2]);
        assert!(low.intersect(&high).is_empty());
        assert_eq!(low.intersect(&PositionRange::whole()), low);
    }
}
