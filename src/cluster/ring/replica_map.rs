//! The replicas of every token range, computed once for a ring and a strategy.

use std::sync::Arc;

use super::strategy::Placement;
use super::{MemberIndex, Ring, Strategy, share};

/// Who keeps the replicas of a token. Computed when the ring or the strategy changes, and looked
/// up without allocating: a binary search among the ring's tokens.
#[derive(Clone, Debug)]
pub struct ReplicaMap {
    ring: Arc<Ring>,
    /// Replicas of a range: the same number for each.
    each: usize,
    /// Those of the first range, then those of the second, and so on.
    members: Vec<MemberIndex>,
}

impl ReplicaMap {
    /// The replicas of all ranges of `ring`. `local` is this node, which [`Strategy::Local`] means.
    ///
    /// Takes ranges × steps to the last replica: milliseconds for 1,000 nodes of 16 tokens, unless
    /// a data centre or rack is a rarity among them.
    pub fn new(ring: Arc<Ring>, strategy: &Strategy, local: Option<MemberIndex>) -> ReplicaMap {
        let ranges = ring.tokens.len();
        let mut members = Vec::with_capacity(ranges * strategy.replicas(&ring));
        let placement = Placement::new(strategy, &ring, local);
        for range in 0..ranges {
            placement.place(&ring, range, &mut members);
        }
        drop(placement);
        let each = members.len().checked_div(ranges).unwrap_or(0);
        ReplicaMap { ring, each, members }
    }

    /// The ring that it is of.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The replicas of the partitions with this token, the owner's first where it is one of them.
    /// None, if the strategy places none on this ring.
    pub fn replicas(&self, token: i64) -> &[MemberIndex] {
        self.of_range(self.ring.range_of(token))
    }

    fn of_range(&self, range: usize) -> &[MemberIndex] {
        let start = range * self.each;
        self.members.get(start..start + self.each).unwrap_or_default()
    }

    /// The part of all partitions of which each member keeps a replica, 0 to 1: what nodetool calls
    /// effective ownership.
    pub fn shares(&self) -> Vec<f64> {
        let mut kept = vec![0; self.ring.members.len()];
        for (number, range) in self.ring.ranges().enumerate() {
            for replica in self.of_range(number) {
                if let Some(sum) = kept.get_mut(replica.get()) {
                    *sum += range.width();
                }
            }
        }
        kept.into_iter().map(share).collect()
    }
}
