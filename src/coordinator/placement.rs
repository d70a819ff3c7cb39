//! Where the partitions of a keyspace are in one state of the cluster: who has them, and who is
//! about to.
//!
//! A node that joins, or that inherits from one that leaves, is *pending* for the ranges that it
//! will have: it is sent every write, but not asked. Its acknowledgement does not count for a
//! level; instead the level needs one more for each pending replica, so that a write which was
//! acknowledged is on enough replicas of the old ring and of the new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use helenus_storage::model::{KeyspaceId, PartitionBound, Token};

use crate::cluster::members::Member;
use crate::cluster::ring::{MemberIndex, ReplicaMap, Ring, Strategy};
use crate::cluster::state::ClusterState;
use crate::internode::Target;
use crate::schema::{Keyspace, KeyspaceKind};

/// A member as coordinators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaNode {
    /// Which.
    pub host_id: [u8; 16],
    /// Where its internode is.
    pub target: Target,
    /// Its data centre.
    pub data_center: String,
    /// Whether it is in this node's data centre.
    pub is_near: bool,
    /// Whether it is this node.
    pub is_self: bool,
}

/// A member's number among [`Placement::nodes`].
pub type NodeNumber = u16;

/// Who has a range.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replicas {
    /// Those that have it, the owner first.
    pub natural: Vec<NodeNumber>,
    /// Those that will have it, and have not received all of it.
    pub pending: Vec<NodeNumber>,
}

/// How many replicas a keyspace is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Factors {
    /// So many, wherever.
    Anywhere(usize),
    /// So many in each data centre.
    ByDataCenter(BTreeMap<String, usize>),
}

/// One keyspace's replicas.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The state's version.
    pub version: u64,
    /// All members that have not left.
    pub nodes: Arc<[ReplicaNode]>,
    pub(super) factors: Factors,
    pub(super) local_data_center: String,
    /// The last token of each range, ascending; the first range also holds what is above the last.
    ends: Vec<i64>,
    replicas: Vec<Arc<Replicas>>,
    /// All ranges are on this node alone.
    is_alone: bool,
}

/// A range of tokens and who has it.
#[derive(Clone, Debug)]
pub struct PlacedRange {
    /// Not part of it; none for the lowest token of all.
    pub start: Option<i64>,
    /// Part of it; none for the highest token of all.
    pub end: Option<i64>,
    /// Who.
    pub replicas: Arc<Replicas>,
}

impl Placement {
    fn new(state: &ClusterState, keyspace: &Keyspace, own: &[u8; 16]) -> Placement {
        let strategy_of = |replication: &BTreeMap<String, String>| match keyspace.kind {
            // Checked when the keyspace was made; what cannot be read is on nobody.
            KeyspaceKind::User => {
                Strategy::parse(replication).unwrap_or(Strategy::Simple { factor: 0 })
            }
            KeyspaceKind::System | KeyspaceKind::Virtual => Strategy::Local,
        };
        let next = strategy_of(&keyspace.options.replication);
        // A change of the replication is one of where partitions will be.
        let strategy = state.moving.get(&keyspace.id).map_or_else(|| next.clone(), strategy_of);
        let nodes = nodes(state, own);
        let local = state.members.get(own);
        let factors = match &strategy {
            Strategy::Local => Factors::Anywhere(1),
            Strategy::Everywhere => Factors::Anywhere(state.ring.members().len()),
            Strategy::Simple { factor } => Factors::Anywhere(*factor),
            Strategy::NetworkTopology { factors } => Factors::ByDataCenter(factors.clone()),
        };
        let mut placement = Placement {
            version: state.version,
            factors,
            local_data_center: local.map_or_else(String::new, |node| node.data_center.clone()),
            ends: Vec::new(),
            replicas: Vec::new(),
            is_alone: strategy == Strategy::Local && next == Strategy::Local,
            nodes,
        };
        if strategy == Strategy::Local && next == Strategy::Local {
            let own = placement.nodes.iter().position(|node| node.is_self);
            let natural = own.and_then(|at| u16::try_from(at).ok()).into_iter().collect();
            placement.ends.push(i64::MAX);
            placement.replicas.push(Arc::new(Replicas { natural, pending: Vec::new() }));
            return placement;
        }
        placement.place(state, &strategy, &next);
        let own = placement.own_number();
        let is_own = |replicas: &Arc<Replicas>| {
            replicas.pending.is_empty() && replicas.natural.iter().copied().eq(own)
        };
        placement.is_alone = own.is_some() && placement.replicas.iter().all(is_own);
        placement
    }

    /// Fills in the ranges: those of both rings, cut at every token.
    fn place(&mut self, state: &ClusterState, now: &Strategy, next: &Strategy) {
        let now = ReplicaMap::new(state.ring.clone(), now, None);
        let next = ReplicaMap::new(state.next_ring.clone(), next, None);
        let numbers = |ring: &Ring, members: &[MemberIndex]| -> Vec<NodeNumber> {
            let number = |index: &MemberIndex| {
                let host_id = ring.member(*index)?.host_id;
                let at = self.nodes.binary_search_by_key(&host_id, |node| node.host_id).ok()?;
                NodeNumber::try_from(at).ok()
            };
            members.iter().filter_map(number).collect()
        };
        let mut ends: Vec<i64> = state.ring.ranges().map(|range| range.end).collect();
        ends.extend(state.next_ring.ranges().map(|range| range.end));
        ends.sort_unstable();
        ends.dedup();
        let mut known: BTreeMap<Replicas, Arc<Replicas>> = BTreeMap::new();
        let mut replicas = Vec::with_capacity(ends.len());
        for end in &ends {
            let natural = numbers(&state.ring, now.replicas(*end));
            let mut pending = numbers(&state.next_ring, next.replicas(*end));
            pending.retain(|number| !natural.contains(number));
            let found = Replicas { natural, pending };
            let shared = known.entry(found.clone()).or_insert_with(|| Arc::new(found));
            replicas.push(shared.clone());
        }
        (self.ends, self.replicas) = (ends, replicas);
    }

    /// Who has the partitions with this token.
    pub fn replicas(&self, token: i64) -> &Arc<Replicas> {
        static NOBODY: std::sync::LazyLock<Arc<Replicas>> = std::sync::LazyLock::new(Arc::default);
        let at = self.ends.partition_point(|end| *end < token);
        let at = if at == self.ends.len() { 0 } else { at };
        self.replicas.get(at).unwrap_or(&NOBODY)
    }

    /// Whether this node has all partitions and no other node has any.
    pub fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Whether the partitions of this token are on this node and on no other one.
    pub fn is_here(&self, token: Token) -> bool {
        let replicas = || self.replicas(token.0);
        self.is_alone
            || (replicas().pending.is_empty()
                && replicas().natural.iter().copied().eq(self.own_number()))
    }

    /// A member.
    pub fn node(&self, number: NodeNumber) -> Option<&ReplicaNode> {
        self.nodes.get(usize::from(number))
    }

    /// This node's number.
    pub fn own_number(&self) -> Option<NodeNumber> {
        self.nodes.iter().position(|node| node.is_self).and_then(|at| u16::try_from(at).ok())
    }

    /// All ranges in the order of tokens, neighbours that are on the same replicas as one. The
    /// range that goes around the end of the ring comes as its two halves.
    pub fn ranges(&self) -> Vec<PlacedRange> {
        let mut ranges: Vec<PlacedRange> = Vec::new();
        let mut start = None;
        let wraps = self.replicas.first().map(|replicas| (None, replicas));
        let ends = self.ends.iter().map(|end| Some(*end)).zip(&self.replicas);
        for (end, replicas) in ends.chain(wraps) {
            match ranges.last_mut() {
                Some(last) if last.replicas == *replicas => last.end = end,
                _ => ranges.push(PlacedRange { start, end, replicas: replicas.clone() }),
            }
            start = end;
        }
        ranges
    }
}

impl PlacedRange {
    /// The range as a read's bounds.
    pub fn bounds(&self) -> (PartitionBound, PartitionBound) {
        let bound = |token: Option<i64>, otherwise| match token {
            Some(token) => PartitionBound::After(Token(token)),
            None => otherwise,
        };
        (bound(self.start, PartitionBound::Min), bound(self.end, PartitionBound::Max))
    }
}

/// All members that have not left, as node `own` sees them.
pub(super) fn nodes(state: &ClusterState, own: &[u8; 16]) -> Arc<[ReplicaNode]> {
    let here = state.members.get(own).map(|member| member.data_center.clone());
    let node = |member: &Arc<Member>| ReplicaNode {
        host_id: member.host_id,
        target: Target { address: member.internode_address, host_id: Some(member.host_id) },
        data_center: member.data_center.clone(),
        is_near: here.as_ref() == Some(&member.data_center),
        is_self: member.host_id == *own,
    };
    state.members.present().map(node).collect()
}

/// The placements of all keyspaces, made when they are first asked for.
#[derive(Debug)]
pub struct Placements {
    own: [u8; 16],
    known: ArcSwap<Known>,
    /// Held while placements are made.
    making: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    version: u64,
    by_keyspace: BTreeMap<KeyspaceId, Arc<Placement>>,
    /// What they were made of.
    made_of: Option<Arc<ClusterState>>,
}

impl Placements {
    /// None yet, as node `own` sees them.
    pub fn new(own: [u8; 16]) -> Placements {
        Placements { own, known: ArcSwap::default(), making: Mutex::new(()) }
    }

    /// The placement of a keyspace in this state; none if it has no such keyspace.
    pub fn of(&self, state: &Arc<ClusterState>, keyspace: KeyspaceId) -> Option<Arc<Placement>> {
        let known = self.known.load();
        if known.version == state.version {
            return known.by_keyspace.get(&keyspace).cloned();
        }
        drop(known);
        self.make(state).by_keyspace.get(&keyspace).cloned()
    }

    fn make(&self, state: &Arc<ClusterState>) -> Arc<Known> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load_full();
        if known.version == state.version {
            return known;
        }
        let same_members = known.made_of.as_ref().is_some_and(|before| {
            Arc::ptr_eq(&before.members, &state.members) || before.members == state.members
        });
        let mut by_keyspace = BTreeMap::new();
        for keyspace in state.schema.keyspaces().values() {
            let before = known.by_keyspace.get(&keyspace.id).filter(|_| same_members);
            let was = known.made_of.as_ref().and_then(|was| was.schema.keyspace(&keyspace.name));
            let is_moving = |state: &ClusterState| state.moving.get(&keyspace.id).cloned();
            let same = was.is_some_and(|was| was.options == keyspace.options)
                && known.made_of.as_deref().and_then(is_moving) == is_moving(state);
            let placement = match before.filter(|_| same) {
                Some(before) => Placement { version: state.version, ..Placement::clone(before) },
                None => Placement::new(state, keyspace, &self.own),
            };
            by_keyspace.insert(keyspace.id, Arc::new(placement));
        }
        let made_of = Some(state.clone());
        let made = Arc::new(Known { version: state.version, by_keyspace, made_of });
        // A request that began with an older state does not take the newer one's away.
        if state.version >= known.version {
            self.known.store(made.clone());
        }
        made
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cluster::change::Change;
    use crate::cluster::members::MemberState;
    use crate::schema::{self, KeyspaceDefinition, KeyspaceOptions};

    pub(crate) fn simple(factor: usize) -> BTreeMap<String, String> {
        let class = "org.apache.cassandra.locator.SimpleStrategy".to_owned();
        let factor = ("replication_factor".to_owned(), factor.to_string());
        BTreeMap::from([("class".to_owned(), class), factor])
    }

    pub(crate) fn topology(factors: &[(&str, usize)]) -> BTreeMap<String, String> {
        let class = "org.apache.cassandra.locator.NetworkTopologyStrategy".to_owned();
        let mut options = BTreeMap::from([("class".to_owned(), class)]);
        options.extend(factors.iter().map(|(name, factor)| (name.to_string(), factor.to_string())));
        options
    }

    pub(crate) fn member(number: u8, data_center: &str, state: MemberState) -> Member {
        Member {
            host_id: [number; 16],
            internode_address: ([10, 0, 0, number], 7000).into(),
            cql_address: ([10, 0, 0, number], 9042).into(),
            data_center: data_center.to_owned(),
            rack: "rack1".to_owned(),
            tokens: (0..4).map(|at| i64::from(number) * 1000 + at * (i64::MAX / 5)).collect(),
            state,
            feature_level: 1,
            voter: true,
        }
    }

    /// A state with one keyspace, `ks`, and these members.
    pub(crate) fn state(options: &BTreeMap<String, String>, members: Vec<Member>) -> ClusterState {
        let empty = ClusterState::empty().unwrap();
        let definition = KeyspaceDefinition {
            id: empty.schema.next_keyspace_id(),
            name: "ks".to_owned(),
            kind: KeyspaceKind::User,
            options: KeyspaceOptions { replication: options.clone(), durable_writes: true },
        };
        let mut changes = vec![Change::Schema(schema::Change::PutKeyspace(definition))];
        changes.extend(members.into_iter().map(Change::PutMember));
        empty.with(1, [1; 16], &changes).unwrap()
    }

    fn of(state: &ClusterState, own: u8) -> Placement {
        Placement::new(state, state.schema.keyspace("ks").unwrap(), &[own; 16])
    }

    /// The placement of a keyspace on nodes in these data centres, as the first of them sees it.
    pub(crate) fn placement(
        options: &BTreeMap<String, String>,
        data_centers: &[&str],
    ) -> Placement {
        let member = |(at, name): (u8, &&str)| member(at, name, MemberState::Normal);
        of(&state(options, (1..).zip(data_centers).map(member).collect()), 1)
    }

    #[test]
    fn a_node_alone_has_everything_unless_the_keyspace_is_elsewhere() {
        assert!(placement(&simple(1), &["a"]).is_alone());
        assert!(placement(&simple(3), &["a"]).is_alone());
        assert!(placement(&topology(&[("a", 1)]), &["a"]).is_alone());
        assert!(!placement(&topology(&[("b", 1)]), &["a"]).is_alone());
        assert!(!placement(&simple(1), &["a", "a"]).is_alone());
    }

    #[test]
    fn who_joins_is_pending_for_what_it_will_have_and_nothing_else() {
        let (normal, joining) = (MemberState::Normal, MemberState::Joining);
        let members = vec![member(1, "a", normal), member(2, "a", normal), member(3, "a", joining)];
        let placement = of(&state(&simple(1), members.clone()), 1);
        let mut seen = 0;
        for range in placement.ranges() {
            assert_eq!(range.replicas.natural.len(), 1);
            assert!(range.replicas.natural[0] < 2);
            seen += range.replicas.pending.len();
            assert!(range.replicas.pending.iter().all(|number| *number == 2));
        }
        assert_eq!(seen, 4, "the joining node has four ranges to come");
        // All that a node with these tokens owns in the end was pending.
        let done = members.into_iter().map(|m| Member { state: normal, ..m }).collect();
        let after = of(&state(&simple(1), done), 1);
        for token in [i64::MIN, -5, 3_000, 3_001, 2_500, i64::MAX / 5 + 2_999, i64::MAX] {
            let (before, after) = (placement.replicas(token), after.replicas(token));
            let receiver = before.pending.first().or(before.natural.first());
            assert_eq!(receiver, after.natural.first(), "token {token}");
        }
    }

    #[test]
    fn ranges_cover_all_tokens_once_and_in_order() {
        let placement = placement(&simple(2), &["a", "a", "a"]);
        let ranges = placement.ranges();
        assert_eq!((ranges[0].start, ranges.last().unwrap().end), (None, None));
        assert!(
            ranges.windows(2).all(|pair| pair[0].end.is_some() && pair[0].end == pair[1].start)
        );
        for range in &ranges {
            let last = range.end.unwrap_or(i64::MAX);
            assert_eq!(placement.replicas(last), &range.replicas);
            if let Some(start) = range.start {
                assert_eq!(placement.replicas(start + 1), &range.replicas);
            }
        }
    }

    #[test]
    fn placements_are_those_of_the_state_that_is_asked_about() {
        let placements = Placements::new([1; 16]);
        let one = Arc::new(state(&simple(1), vec![member(1, "a", MemberState::Normal)]));
        let ks = one.schema.keyspace("ks").unwrap().id;
        assert!(placements.of(&one, ks).unwrap().is_alone());
        let more = Change::PutMember(member(2, "a", MemberState::Normal));
        let two = Arc::new(one.with(2, [2; 16], &[more]).unwrap());
        assert!(!placements.of(&two, ks).unwrap().is_alone());
        assert!(placements.of(&one, ks).unwrap().is_alone());
        assert_eq!(placements.of(&two, ks).unwrap().version, 2);
        assert!(placements.of(&two, KeyspaceId(99)).is_none());
    }
}
