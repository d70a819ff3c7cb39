//! The consistent-hash ring: which node owns which tokens, and which nodes keep a replica of them.
//!
//! Every member has some tokens. A token range ends, inclusively, at a member's token and begins
//! behind the one before it; the range of the smallest token also holds everything above the
//! largest. The member whose token ends a range owns it; a replication strategy says who else
//! keeps its partitions ([`Strategy`]), and a [`ReplicaMap`] holds its answers for every range.
//!
//! A ring never changes: when a member comes or goes, a new one takes its place, so a request that
//! looked at one sees one state of affairs.

mod allocation;
mod replica_map;
mod strategy;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use allocation::allocate_tokens;
pub use replica_map::ReplicaMap;
pub use strategy::{PACKAGE, Strategy, StrategyError, replication_factor};

/// Most members of a ring.
pub const MEMBERS_MAX: usize = 10_000;

/// How many tokens there are: the width of a range that is the whole ring.
const TOKENS: u128 = 1 << 64;

/// A member's place in its ring; means nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberIndex(u16);

impl MemberIndex {
    fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// A node as the ring sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which node.
    pub host_id: [u8; 16],
    /// Its data centre.
    pub data_center: String,
    /// Its rack there.
    pub rack: String,
    /// Its places on the ring.
    pub tokens: Vec<i64>,
}

/// Why members make no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// Two members claim one token.
    #[error("token {0} has two owners; each token has one")]
    TokenTaken(i64),
    /// A host id stands there twice.
    #[error("a node stands in the ring twice")]
    MemberTwice,
    /// More than [`MEMBERS_MAX`].
    #[error("a ring of {0} nodes; at most {MEMBERS_MAX} are possible")]
    TooManyMembers(usize),
}

/// A range of tokens and who owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRange {
    /// Not part of it.
    pub start: i64,
    /// Part of it. At or below `start` where the range goes around the end of the ring.
    pub end: i64,
    /// Whose token `end` is.
    pub owner: MemberIndex,
}

impl TokenRange {
    /// How many tokens it holds: 1 to 2^64.
    pub fn width(&self) -> u128 {
        // As positions on a circle, so that the difference is right across its end.
        match self.end.wrapping_sub(self.start).cast_unsigned() {
            0 => TOKENS,
            width => u128::from(width),
        }
    }
}

/// The members and their ranges; see the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// By host id, so that every node numbers them alike.
    members: Vec<Member>,
    /// All tokens, ascending.
    tokens: Vec<i64>,
    /// The owner of each.
    owners: Vec<MemberIndex>,
}

impl Ring {
    /// The ring of these members.
    ///
    /// # Errors
    /// A token with two owners, a member that stands there twice, too many of them.
    pub fn new(mut members: Vec<Member>) -> Result<Ring, RingError> {
        let count = members.len();
        if count > MEMBERS_MAX {
            return Err(RingError::TooManyMembers(count));
        }
        members.sort_by_key(|member| member.host_id);
        if members.windows(2).any(|pair| matches!(pair, [a, b] if a.host_id == b.host_id)) {
            return Err(RingError::MemberTwice);
        }
        let mut owned: Vec<(i64, MemberIndex)> = Vec::new();
        for (index, member) in (0..).map(MemberIndex).zip(&members) {
            owned.extend(member.tokens.iter().map(|token| (*token, index)));
        }
        owned.sort_unstable();
        if let Some([(token, _), _]) = owned.windows(2).find_map(|pair| match pair {
            [a, b] if a.0 == b.0 => Some([*a, *b]),
            _ => None,
        }) {
            return Err(RingError::TokenTaken(token));
        }
        let (tokens, owners) = owned.into_iter().unzip();
        Ok(Ring { members, tokens, owners })
    }

    /// The ring of a node that has no others.
    pub fn alone(mut member: Member) -> Ring {
        member.tokens.sort_unstable();
        member.tokens.dedup();
        let tokens = member.tokens.clone();
        let owners = vec![MemberIndex(0); tokens.len()];
        Ring { members: vec![member], tokens, owners }
    }

    /// Its members, by host id.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member of this ring.
    pub fn member(&self, index: MemberIndex) -> Option<&Member> {
        self.members.get(index.get())
    }

    /// The place of a host id, if it is a member.
    pub fn index_of(&self, host_id: &[u8; 16]) -> Option<MemberIndex> {
        let at = self.members.binary_search_by_key(host_id, |member| member.host_id).ok()?;
        u16::try_from(at).ok().map(MemberIndex)
    }

    /// How many members each data centre has.
    pub fn data_centers(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for member in &self.members {
            *counts.entry(member.data_center.as_str()).or_default() += 1;
        }
        counts
    }

    /// The ranges, in the order of their ends. Empty if nobody has a token.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = TokenRange> + '_ {
        let ends = self.tokens.iter().zip(&self.owners);
        ends.enumerate().map(|(at, (end, owner))| {
            let before = at.checked_sub(1).unwrap_or(self.tokens.len() - 1);
            let start = self.tokens.get(before).copied().unwrap_or(*end);
            TokenRange { start, end: *end, owner: *owner }
        })
    }

    /// The number, in [`Ring::ranges`], of the range that holds `token`.
    fn range_of(&self, token: i64) -> usize {
        match self.tokens.partition_point(|end| *end < token) {
            behind_all if behind_all == self.tokens.len() => 0,
            at => at,
        }
    }

    /// The part of the ring that each member owns itself, replicas not counted; they add up to 1
    /// unless nobody has a token.
    pub fn owned_shares(&self) -> Vec<f64> {
        let mut owned = vec![0; self.members.len()];
        for range in self.ranges() {
            if let Some(sum) = owned.get_mut(range.owner.get()) {
                *sum += range.width();
            }
        }
        owned.into_iter().map(share).collect()
    }
}

/// So many tokens as a part of all.
fn share(width: u128) -> f64 {
    width as f64 / TOKENS as f64
}
