//! Partition keys, and bounds between them.
//!
//! A partition sorts by its token, then by its key bytes as the client sent them.

use std::cmp::Ordering;

use crate::model::{Slice, Token};

/// The longest partition key, as in Cassandra.
pub const MAX_KEY_BYTES: usize = 65_535;

/// A partition key with its token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// Where the key lies on the ring.
    pub token: Token,
    /// The key as the client sent it.
    pub key: Slice,
}

impl PartitionKey {
    /// The key, borrowed.
    pub fn as_ref(&self) -> PartitionKeyRef<'_> {
        PartitionKeyRef { token: self.token, key: &self.key }
    }
}

/// A borrowed [`PartitionKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKeyRef<'a> {
    /// Where the key lies on the ring.
    pub token: Token,
    /// The key as the client sent it.
    pub key: &'a [u8],
}

impl PartitionKeyRef<'_> {
    /// A key of its own, copied.
    pub fn to_key(&self) -> PartitionKey {
        PartitionKey { token: self.token, key: Slice::copy(self.key) }
    }
}

/// A point between partitions: never equal to a key, always before or after it.
///
/// A range of partitions is what lies after its start and before its end. So a start of
/// `AtKey(k)` includes `k`, a start of `AfterKey(k)` does not; an end of `AfterKey(k)` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionBound {
    /// Before every partition.
    Min,
    /// Before every partition of this token.
    Before(Token),
    /// Immediately before this partition.
    AtKey(PartitionKey),
    /// Immediately after this partition.
    AfterKey(PartitionKey),
    /// After every partition of this token.
    After(Token),
    /// After every partition.
    Max,
}

impl PartitionBound {
    /// `Less` if the bound lies before the partition, `Greater` if after it; never `Equal`.
    pub fn cmp_key(&self, key: PartitionKeyRef<'_>) -> Ordering {
        let before_if = |before: bool| if before { Ordering::Less } else { Ordering::Greater };
        match self {
            PartitionBound::Min => Ordering::Less,
            PartitionBound::Before(token) => before_if(*token <= key.token),
            PartitionBound::AtKey(own) => before_if(own.as_ref() <= key),
            PartitionBound::AfterKey(own) => before_if(own.as_ref() < key),
            PartitionBound::After(token) => before_if(*token < key.token),
            PartitionBound::Max => Ordering::Greater,
        }
    }

    /// Whether the bound lies before the partition.
    pub fn is_before(&self, key: PartitionKeyRef<'_>) -> bool {
        self.cmp_key(key) == Ordering::Less
    }

    /// The lowest token that a partition after this bound can have; `None` after `Max`.
    pub fn first_token(&self) -> Option<Token> {
        match self {
            PartitionBound::Min => Some(Token(i64::MIN)),
            PartitionBound::Before(token) => Some(*token),
            PartitionBound::AtKey(key) | PartitionBound::AfterKey(key) => Some(key.token),
            PartitionBound::After(token) => token.0.checked_add(1).map(Token),
            PartitionBound::Max => None,
        }
    }

    /// Sorts as: outermost class, token, class within the token, key, side of the key.
    fn rank(&self) -> (u8, i64, u8, &[u8], u8) {
        match self {
            PartitionBound::Min => (0, 0, 0, &[], 0),
            PartitionBound::Before(token) => (1, token.0, 0, &[], 0),
            PartitionBound::AtKey(key) => (1, key.token.0, 1, &key.key, 0),
            PartitionBound::AfterKey(key) => (1, key.token.0, 1, &key.key, 1),
            PartitionBound::After(token) => (1, token.0, 2, &[], 0),
            PartitionBound::Max => (2, 0, 0, &[], 0),
        }
    }
}

impl PartialOrd for PartitionBound {
    fn partial_cmp(&self, other: &PartitionBound) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PartitionBound {
    fn cmp(&self, other: &PartitionBound) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(token: i64, bytes: &[u8]) -> PartitionKey {
        PartitionKey { token: Token(token), key: Slice::copy(bytes) }
    }

    #[test]
    fn bounds_stand_in_order_and_the_keys_stand_between_them() {
        let keys = [key(-5, b"z"), key(3, b"a"), key(3, b"b"), key(4, b"")];
        let mut bounds = vec![PartitionBound::Min];
        for key in &keys {
            bounds.push(PartitionBound::Before(key.token));
            bounds.push(PartitionBound::AtKey(key.clone()));
            bounds.push(PartitionBound::AfterKey(key.clone()));
            bounds.push(PartitionBound::After(key.token));
        }
        bounds.push(PartitionBound::Max);
        bounds.sort();
        for pair in bounds.windows(2) {
            // Wherever the lower bound is after a key, so is the higher one.
            for key in &keys {
                let [low, high] = pair else { panic!("windows of two") };
                assert!(low.is_before(key.as_ref()) || !high.is_before(key.as_ref()));
            }
        }
        assert!(PartitionBound::AtKey(keys[1].clone()).is_before(keys[1].as_ref()));
        assert!(!PartitionBound::AfterKey(keys[1].clone()).is_before(keys[1].as_ref()));
        assert!(PartitionBound::AfterKey(keys[1].clone()).is_before(keys[2].as_ref()));
        assert!(!PartitionBound::After(Token(3)).is_before(keys[2].as_ref()));
        assert!(PartitionBound::After(Token(3)).is_before(keys[3].as_ref()));
    }

    #[test]
    fn nothing_follows_the_last_token() {
        assert_eq!(PartitionBound::After(Token(i64::MAX)).first_token(), None);
        assert_eq!(PartitionBound::After(Token(7)).first_token(), Some(Token(8)));
    }
}
