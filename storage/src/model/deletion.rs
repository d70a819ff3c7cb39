//! A deletion that covers more than one cell: of a column, a row, a range or a partition.

/// Hides everything at or below its timestamp; remembers when it was made, for purging.
///
/// Ordered by which is newer: timestamp first, then the later local deletion time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deletion {
    /// Microseconds, as the client or the coordinator gave them.
    pub timestamp: i64,
    /// Seconds since the epoch on the coordinator's clock; never negative.
    pub local_deletion_time: i64,
}

impl Deletion {
    /// No deletion at all: older than everything, hides nothing.
    pub const NONE: Deletion = Deletion { timestamp: i64::MIN, local_deletion_time: i64::MAX };

    /// A deletion at `timestamp` (microseconds), made at `local_deletion_time` (seconds).
    pub fn new(timestamp: i64, local_deletion_time: i64) -> Deletion {
        Deletion { timestamp, local_deletion_time }
    }

    /// Whether this is [`Deletion::NONE`].
    pub fn is_none(&self) -> bool {
        *self == Deletion::NONE
    }

    /// Whether data of this timestamp is hidden.
    pub fn deletes(&self, timestamp: i64) -> bool {
        timestamp <= self.timestamp && !self.is_none()
    }

    /// The newer of the two.
    #[must_use]
    pub fn newer(self, other: Deletion) -> Deletion {
        self.max(other)
    }
}

impl PartialOrd for Deletion {
    fn partial_cmp(&self, other: &Deletion) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Deletion {
    fn cmp(&self, other: &Deletion) -> std::cmp::Ordering {
        // NONE has the greatest local deletion time, and must still be the oldest of all.
        let rank = |d: &Deletion| (!d.is_none(), d.timestamp, d.local_deletion_time);
        rank(self).cmp(&rank(other))
    }
}

impl Default for Deletion {
    fn default() -> Deletion {
        Deletion::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_oldest_and_hides_nothing() {
        let least = Deletion::new(i64::MIN, 0);
        assert!(Deletion::NONE < least);
        assert!(!Deletion::NONE.deletes(i64::MIN));
        assert!(least.deletes(i64::MIN));
        assert_eq!(Deletion::NONE.newer(least), least);
    }

    #[test]
    fn newer_is_by_timestamp_then_by_time_of_deletion() {
        assert!(Deletion::new(2, 1) > Deletion::new(1, 9));
        assert!(Deletion::new(2, 3) > Deletion::new(2, 1));
        assert!(Deletion::new(5, 0).deletes(5) && !Deletion::new(5, 0).deletes(6));
    }
}
