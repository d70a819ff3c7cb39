//! Cells and row liveness, and which of two writes wins.

use std::cmp::{Ordering, Reverse};

use crate::model::ColumnId;

/// What a cell is besides its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CellKind {
    /// A value that stays.
    Live,
    /// A value that is dead from `expiry` on.
    Expiring {
        /// Seconds it was given to live; not zero.
        ttl: u32,
        /// Seconds since the epoch.
        expiry: i64,
    },
    /// A deleted cell.
    Tombstone {
        /// Seconds since the epoch.
        local_deletion_time: i64,
    },
    /// An expired cell whose value compaction has dropped. It still merges as the expiring cell
    /// that it was, so what wins does not depend on when compaction ran.
    Expired {
        /// Seconds it was given to live; not zero.
        ttl: u32,
        /// Seconds since the epoch.
        expiry: i64,
    },
    /// A counter: the value is a list of shards, see [`crate::model::counter`].
    Counter,
    /// A deleted counter: wins over every shard, whatever the timestamps, until it is purged.
    CounterTombstone {
        /// Seconds since the epoch.
        local_deletion_time: i64,
    },
}

/// One cell: a column's value, or one element of a multi-cell column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The column.
    pub column: ColumnId,
    /// Microseconds; of a counter, its newest shard's clock.
    pub timestamp: i64,
    /// Live, expiring, deleted or a counter.
    pub kind: CellKind,
    /// The element of a multi-cell column: canonical comparable bytes.
    pub path: Option<&'a [u8]>,
    /// The element as the client spelled it, where `path` would not give that back.
    pub path_spelling: Option<&'a [u8]>,
    /// The value, opaque; empty if the cell has none.
    pub value: &'a [u8],
}

impl<'a> Cell<'a> {
    /// A value that stays.
    pub fn live(column: ColumnId, timestamp: i64, value: &'a [u8]) -> Cell<'a> {
        let kind = CellKind::Live;
        Cell { column, timestamp, kind, path: None, path_spelling: None, value }
    }

    /// A value that is dead from `expiry` (seconds since the epoch) on. A `ttl` of zero makes it
    /// one that stays.
    pub fn expiring(
        column: ColumnId,
        timestamp: i64,
        ttl: u32,
        expiry: i64,
        value: &'a [u8],
    ) -> Cell<'a> {
        let kind = if ttl == 0 { CellKind::Live } else { CellKind::Expiring { ttl, expiry } };
        Cell { kind, ..Cell::live(column, timestamp, value) }
    }

    /// A deleted cell.
    pub fn tombstone(column: ColumnId, timestamp: i64, local_deletion_time: i64) -> Cell<'a> {
        let kind = CellKind::Tombstone { local_deletion_time };
        Cell { kind, ..Cell::live(column, timestamp, &[]) }
    }

    /// A counter with these encoded shards; `timestamp` is the newest shard's clock.
    pub fn counter(column: ColumnId, timestamp: i64, shards: &'a [u8]) -> Cell<'a> {
        Cell { kind: CellKind::Counter, ..Cell::live(column, timestamp, shards) }
    }

    /// A deleted counter.
    pub fn counter_tombstone(column: ColumnId, timestamp: i64, deleted_at: i64) -> Cell<'a> {
        let kind = CellKind::CounterTombstone { local_deletion_time: deleted_at };
        Cell { kind, ..Cell::live(column, timestamp, &[]) }
    }

    /// The same cell as an element of a multi-cell column.
    #[must_use]
    pub fn with_path(self, path: &'a [u8]) -> Cell<'a> {
        Cell { path: Some(path), ..self }
    }

    /// The same element with the client's spelling of its path.
    #[must_use]
    pub fn with_path_spelling(self, spelling: &'a [u8]) -> Cell<'a> {
        Cell { path_spelling: Some(spelling), ..self }
    }

    /// Seconds the cell was given to live; 0 if it was given no end.
    pub fn ttl(&self) -> u32 {
        match self.kind {
            CellKind::Expiring { ttl, .. } | CellKind::Expired { ttl, .. } => ttl,
            _ => 0,
        }
    }

    /// When the cell is dead, in seconds since the epoch; `i64::MAX` if it was given no end.
    pub fn expiry(&self) -> i64 {
        match self.kind {
            CellKind::Expiring { expiry, .. } | CellKind::Expired { expiry, .. } => expiry,
            _ => i64::MAX,
        }
    }

    /// Whether a reader at `now` (seconds since the epoch) sees a value.
    #[inline]
    pub fn is_live(&self, now: i64) -> bool {
        match self.kind {
            CellKind::Live | CellKind::Counter => true,
            CellKind::Expiring { expiry, .. } => now < expiry,
            _ => false,
        }
    }

    /// Whether the cell has no value at any time: deleted, or expired with its value dropped.
    pub fn is_tombstone(&self) -> bool {
        use CellKind::{CounterTombstone, Expired, Tombstone};
        matches!(self.kind, Tombstone { .. } | Expired { .. } | CounterTombstone { .. })
    }

    /// Whether the cell belongs to a counter column.
    pub fn is_counter(&self) -> bool {
        matches!(self.kind, CellKind::Counter | CellKind::CounterTombstone { .. })
    }

    /// The second since the epoch from which the cell's death counts towards gc grace: when it was
    /// deleted, or when a cell that expires was written. `None` for a value that stays.
    pub fn local_deletion_time(&self) -> Option<i64> {
        match self.kind {
            CellKind::Live | CellKind::Counter => None,
            CellKind::Expiring { ttl, expiry } | CellKind::Expired { ttl, expiry } => {
                Some(expiry.saturating_sub(i64::from(ttl)))
            }
            CellKind::Tombstone { local_deletion_time }
            | CellKind::CounterTombstone { local_deletion_time } => Some(local_deletion_time),
        }
    }

    /// `Greater` if this cell wins over `other`, a cell of the same column and path.
    ///
    /// Higher timestamp; then tombstone over expiring over live; then later expiry (of tombstones:
    /// later deletion); then shorter TTL; then the larger value, unsigned; then the larger
    /// spelling. A total order, so it does not matter who is asked first. Two counters do not
    /// compete: [`crate::model::merge`] unites their shards.
    #[inline]
    pub fn reconcile(&self, other: &Cell<'_>) -> Ordering {
        self.is_dead_counter()
            .cmp(&other.is_dead_counter())
            .then_with(|| self.timestamp.cmp(&other.timestamp))
            .then_with(|| self.class().cmp(&other.class()))
            .then_with(|| self.value.cmp(other.value))
            .then_with(|| self.path_spelling.cmp(&other.path_spelling))
    }

    fn is_dead_counter(&self) -> bool {
        matches!(self.kind, CellKind::CounterTombstone { .. })
    }

    /// Class, end, TTL, and whether the value was dropped.
    fn class(&self) -> (u8, i64, Reverse<u32>, bool) {
        match self.kind {
            CellKind::Live | CellKind::Counter => (0, 0, Reverse(0), false),
            CellKind::Expiring { ttl, expiry } => (1, expiry, Reverse(ttl), false),
            CellKind::Expired { ttl, expiry } => (1, expiry, Reverse(ttl), true),
            CellKind::Tombstone { local_deletion_time }
            | CellKind::CounterTombstone { local_deletion_time } => {
                (2, local_deletion_time, Reverse(0), true)
            }
        }
    }
}

/// That a row was inserted: it exists while this lives, even if all its cells are null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Liveness {
    /// Microseconds.
    pub timestamp: i64,
    /// Seconds it was given to live; 0 if it was given no end.
    pub ttl: u32,
    /// When it is dead, in seconds since the epoch; `i64::MAX` if it was given no end.
    pub expiry: i64,
}

impl Liveness {
    /// A liveness without end.
    pub fn new(timestamp: i64) -> Liveness {
        Liveness { timestamp, ttl: 0, expiry: i64::MAX }
    }

    /// A liveness that is dead from `expiry` on. A `ttl` of zero makes it one without end.
    pub fn expiring(timestamp: i64, ttl: u32, expiry: i64) -> Liveness {
        if ttl == 0 { Liveness::new(timestamp) } else { Liveness { timestamp, ttl, expiry } }
    }

    /// Whether it was given an end.
    pub fn is_expiring(&self) -> bool {
        self.ttl != 0
    }

    /// Whether a reader at `now` (seconds since the epoch) sees it.
    pub fn is_live(&self, now: i64) -> bool {
        !self.is_expiring() || now < self.expiry
    }

    /// `Greater` if this liveness wins over `other`; the same order as of cells.
    pub fn reconcile(&self, other: &Liveness) -> Ordering {
        let rank = |l: &Liveness| (l.timestamp, l.is_expiring(), l.expiry, Reverse(l.ttl));
        rank(self).cmp(&rank(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: ColumnId = ColumnId(1);

    fn wins(strong: Cell<'_>, weak: Cell<'_>) {
        assert_eq!(strong.reconcile(&weak), Ordering::Greater, "{strong:?} over {weak:?}");
        assert_eq!(weak.reconcile(&strong), Ordering::Less, "{weak:?} under {strong:?}");
    }

    #[test]
    fn each_rule_decides_where_those_before_it_tie() {
        wins(Cell::live(C, 2, b"a"), Cell::tombstone(C, 1, 9));
        wins(Cell::tombstone(C, 2, 0), Cell::expiring(C, 2, 5, 900, b"z"));
        wins(Cell::expiring(C, 2, 5, 1, b"a"), Cell::live(C, 2, b"z"));
        wins(Cell::expiring(C, 2, 5, 9, b"a"), Cell::expiring(C, 2, 5, 8, b"z"));
        wins(Cell::expiring(C, 2, 4, 9, b"a"), Cell::expiring(C, 2, 5, 9, b"z"));
        wins(Cell::expiring(C, 2, 5, 9, b"b"), Cell::expiring(C, 2, 5, 9, b"a"));
        wins(Cell::tombstone(C, 2, 9), Cell::tombstone(C, 2, 8));
        wins(Cell::live(C, 2, &[0x80]), Cell::live(C, 2, &[0x7F, 1]));
        let (short, long) = (Cell::live(C, 2, b""), Cell::live(C, 2, b"").with_path_spelling(b"1"));
        wins(long, short);
    }

    #[test]
    fn dropping_the_value_of_an_expired_cell_changes_no_outcome() {
        let kind = CellKind::Expired { ttl: 5, expiry: 9 };
        let expired = Cell { kind, ..Cell::live(C, 2, b"") };
        wins(expired, Cell::expiring(C, 2, 5, 9, b"z"));
        wins(expired, Cell::expiring(C, 2, 5, 8, b"z"));
        wins(Cell::expiring(C, 2, 5, 10, b"z"), expired);
        wins(Cell::tombstone(C, 2, 0), expired);
        wins(expired, Cell::live(C, 2, b"z"));
    }

    #[test]
    fn a_deleted_counter_wins_over_newer_shards() {
        wins(Cell::counter_tombstone(C, 1, 1), Cell::counter(C, 9, b"shards"));
        wins(Cell::counter_tombstone(C, 2, 1), Cell::counter_tombstone(C, 1, 1));
    }

    #[test]
    fn an_expiring_liveness_wins_over_one_without_end_of_the_same_time() {
        let stays = Liveness::new(3);
        let ends = Liveness::expiring(3, 10, 50);
        assert_eq!(ends.reconcile(&stays), Ordering::Greater);
        assert_eq!(Liveness::new(4).reconcile(&ends), Ordering::Greater);
        assert!(ends.is_live(49) && !ends.is_live(50) && stays.is_live(i64::MAX));
    }
}
