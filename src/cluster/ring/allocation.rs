//! Tokens for a node that joins, so that all own about the same.

use std::collections::BTreeSet;

use super::{Member, Ring, TOKENS, TokenRange};

/// Replicas that most keyspaces are expected to have in a data centre.
const REPLICAS_EXPECTED: usize = 3;

/// `count` tokens for `newcomer`, whose own are not looked at. In a data centre without tokens they
/// are spread evenly from `random` on. Otherwise each is cut from the widest range of the node that
/// owns most, so wide that the newcomer comes to own what an even share would be: those who have
/// most give, and nobody else's range moves.
///
/// Only ranges within the data centre count, because that is among whom
/// `NetworkTopologyStrategy` shares partitions out. Where it has as many racks as replicas, each
/// rack has one replica of everything, and only the newcomer's rack counts.
///
/// In a ring that grew node by node to 60, the node that owns most owns 1.04 × the mean. Replicas
/// are as even with three racks of equal size; with one rack they reach 1.15 × the mean, and 1.34 ×
/// with five nodes.
pub fn allocate_tokens(ring: &Ring, newcomer: &Member, count: usize, random: u64) -> Vec<i64> {
    let in_data_center = |member: &Member| member.data_center == newcomer.data_center;
    let in_rack = |member: &Member| in_data_center(member) && member.rack == newcomer.rack;
    let neighbours = ring.members.iter().filter(|member| in_data_center(member));
    let racks: BTreeSet<&str> = neighbours.map(|member| member.rack.as_str()).collect();
    let mut owned = Owned::of(ring, in_data_center);
    if racks.len() == REPLICAS_EXPECTED {
        let of_rack = Owned::of(ring, in_rack);
        if !of_rack.is_empty() {
            owned = of_rack;
        }
    }
    let mut given = Vec::with_capacity(count);
    if owned.is_empty() {
        let step = u64::MAX / count.max(1) as u64;
        for i in 0..count as u64 {
            given.push(free(ring, &given, random.wrapping_add(i * step).cast_signed()));
        }
    } else {
        let even = TOKENS / (owned.nodes.len() as u128 + 1);
        let mut got = 0;
        for left in (1..=count as u128).rev() {
            let wanted = even.saturating_sub(got) / left;
            let Some((end, taken)) = owned.cut(wanted) else { break };
            got += taken;
            given.push(free(ring, &given, end));
        }
    }
    given.sort_unstable();
    given
}

/// `token`, or the next one that nobody has. The smallest is not one, as in Cassandra: it stands
/// for the beginning of the ring.
fn free(ring: &Ring, given: &[i64], mut token: i64) -> i64 {
    while token == i64::MIN || ring.tokens.binary_search(&token).is_ok() || given.contains(&token) {
        token = token.wrapping_add(1);
    }
    token
}

/// Nodes of a data centre, or of one of its racks, with their ranges.
struct Owned {
    /// For each node its ranges, as where they start and how wide they are.
    nodes: Vec<Vec<(i64, u128)>>,
}

impl Owned {
    fn of(ring: &Ring, counts: impl Fn(&Member) -> bool) -> Owned {
        let mut nodes = vec![Vec::new(); ring.members.len()];
        let here = |range: &TokenRange| ring.member(range.owner).is_some_and(&counts);
        let ends: Vec<TokenRange> = ring.ranges().filter(here).collect();
        // Among those that count, a range begins at the end of the one before.
        let starts = ends.last().into_iter().chain(&ends).map(|range| range.end);
        for (start, range) in starts.zip(&ends) {
            let width = TokenRange { start, ..*range }.width();
            if let Some(ranges) = nodes.get_mut(range.owner.get()) {
                ranges.push((start, width));
            }
        }
        nodes.retain(|ranges| !ranges.is_empty());
        Owned { nodes }
    }

    fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Takes the first `wanted` tokens from the widest range of the node that owns most, but leaves
    /// it an eighth of the range; says where they end and how many they are. `None`, if no range
    /// has two tokens.
    fn cut(&mut self, wanted: u128) -> Option<(i64, u128)> {
        let total = |ranges: &Vec<(i64, u128)>| ranges.iter().map(|(_, width)| width).sum::<u128>();
        let most = self.nodes.iter_mut().max_by_key(|ranges| total(ranges))?;
        let (start, width) = most.iter_mut().max_by_key(|(_, width)| *width)?;
        if *width < 2 {
            return None;
        }
        let taken = wanted.clamp(1, (*width - *width / 8).min(*width - 1));
        let end = start.wrapping_add(u64::try_from(taken).ok()?.cast_signed());
        *start = end;
        *width -= taken;
        Some((end, taken))
    }
}
