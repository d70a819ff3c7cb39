//! Where the replicas of a keyspace are: its replication strategy, as Cassandra's strategies of the
//! same names place them, so that drivers which compute replicas find the same ones.

use std::collections::{BTreeMap, BTreeSet};

use super::{Member, MemberIndex, Ring};

/// Of the strategies' Java names.
pub const PACKAGE: &str = "org.apache.cassandra.locator.";
const FACTOR: &str = "replication_factor";

/// How a keyspace's partitions are replicated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Each node for itself.
    Local,
    /// On every node.
    Everywhere,
    /// On the first so many nodes of the ring, wherever they stand.
    Simple {
        /// Replicas.
        factor: usize,
    },
    /// In each data centre on the first so many nodes of the ring, on as many racks as there are.
    NetworkTopology {
        /// Replicas in each data centre.
        factors: BTreeMap<String, usize>,
    },
}

/// What a replication option says that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// No class is given.
    #[error("Missing replication strategy class")]
    NoClass,
    /// There is none of that name.
    #[error("Unable to find replication strategy class '{0}'")]
    Unknown(String),
    /// SimpleStrategy without a number of replicas.
    #[error("SimpleStrategy requires a replication_factor strategy option.")]
    NoFactor,
    /// A number of replicas like `3/1`.
    #[error("Transient replication is disabled. Enable in cassandra.yaml to use.")]
    Transient,
    /// A number of replicas below zero.
    #[error("Replication factor must be non-negative; found {0}")]
    Negative(i32),
    /// A number of replicas that is no number.
    #[error("Replication factor must be numeric; found {0}")]
    NotANumber(String),
}

/// A number of replicas from its text.
///
/// # Errors
/// No number, one below zero, or one with transient replicas.
pub fn replication_factor(text: &str) -> Result<usize, StrategyError> {
    if text.contains('/') {
        return Err(StrategyError::Transient);
    }
    match text.parse::<i32>() {
        Ok(factor) => usize::try_from(factor).map_err(|_| StrategyError::Negative(factor)),
        Err(_) => Err(StrategyError::NotANumber(text.to_owned())),
    }
}

impl Strategy {
    /// The strategy that a keyspace's replication options name (`class`, with or without its Java
    /// package, and the strategy's own).
    ///
    /// # Errors
    /// An unknown class, or numbers of replicas that are none.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Strategy, StrategyError> {
        let class = options.get("class").ok_or(StrategyError::NoClass)?;
        match class.strip_prefix(PACKAGE).unwrap_or(class) {
            "LocalStrategy" => Ok(Strategy::Local),
            "EverywhereStrategy" => Ok(Strategy::Everywhere),
            "SimpleStrategy" => {
                let factor = options.get(FACTOR).ok_or(StrategyError::NoFactor)?;
                Ok(Strategy::Simple { factor: replication_factor(factor)? })
            }
            "NetworkTopologyStrategy" => {
                let factors = options.iter().filter(|(name, _)| *name != "class");
                let factors = factors
                    .map(|(name, text)| Ok((name.clone(), replication_factor(text)?)))
                    .collect::<Result<_, StrategyError>>()?;
                Ok(Strategy::NetworkTopology { factors })
            }
            _ => Err(StrategyError::Unknown(class.clone())),
        }
    }

    /// How many replicas a partition has on `ring`: no more than there are nodes for them.
    pub fn replicas(&self, ring: &Ring) -> usize {
        let with_tokens = |member: &&Member| !member.tokens.is_empty();
        match self {
            Strategy::Local => 1,
            Strategy::Everywhere => ring.members().iter().filter(with_tokens).count(),
            Strategy::Simple { factor } => {
                ring.members().iter().filter(with_tokens).count().min(*factor)
            }
            Strategy::NetworkTopology { factors } => {
                let count = |name: &String| {
                    let here = ring.members().iter().filter(|m| m.data_center == *name);
                    here.filter(with_tokens).count()
                };
                factors.iter().map(|(name, factor)| count(name).min(*factor)).sum()
            }
        }
    }
}

/// A strategy on one ring, ready to say where each range goes.
pub(super) enum Placement<'a> {
    /// Always here.
    Local(Option<MemberIndex>),
    /// On the first so many nodes.
    First(usize),
    /// What each data centre takes, before anything is placed.
    Spread(BTreeMap<&'a str, DataCenter<'a>>),
}

impl<'a> Placement<'a> {
    /// `local` is the node that asks.
    pub(super) fn new(strategy: &'a Strategy, ring: &'a Ring, local: Option<MemberIndex>) -> Self {
        match strategy {
            Strategy::Local => Placement::Local(local),
            Strategy::Everywhere => Placement::First(usize::MAX),
            Strategy::Simple { factor } => Placement::First(*factor),
            Strategy::NetworkTopology { factors } => {
                let place = |(name, factor): (&'a String, &usize)| {
                    (name.as_str(), DataCenter::new(ring, name, *factor))
                };
                Placement::Spread(factors.iter().map(place).collect())
            }
        }
    }

    /// Appends the replicas of the range with number `range` to `out`, its owner first where it is
    /// one of them, the others in the order of the ring.
    pub(super) fn place(&self, ring: &Ring, range: usize, out: &mut Vec<MemberIndex>) {
        match self {
            Placement::Local(local) => out.extend(local),
            Placement::First(count) => walk(ring, range, *count, |_| true, out),
            Placement::Spread(data_centers) => {
                let total = data_centers.values().map(|place| place.left).sum();
                let mut left = data_centers.clone();
                let mut takes = |index| {
                    let member = ring.member(index)?;
                    Some(left.get_mut(member.data_center.as_str())?.takes(&member.rack))
                };
                walk(ring, range, total, |index| takes(index).unwrap_or(false), out);
            }
        }
    }
}

/// Follows the ring from a range's owner and appends the members that `takes` accepts, each once,
/// until there are `count`.
fn walk(
    ring: &Ring,
    range: usize,
    count: usize,
    mut takes: impl FnMut(MemberIndex) -> bool,
    out: &mut Vec<MemberIndex>,
) {
    let first = out.len();
    let (before, after) = ring.owners.split_at(range.min(ring.owners.len()));
    for index in after.iter().chain(before) {
        if out.len() - first >= count {
            return;
        }
        let found = out.get(first..).unwrap_or_default();
        if !found.contains(index) && takes(*index) {
            out.push(*index);
        }
    }
}

/// What is still to be placed in one data centre.
#[derive(Clone)]
pub(super) struct DataCenter<'a> {
    left: usize,
    racks: BTreeSet<&'a str>,
    /// Replicas that may stand on a rack which has one: so many as there are more than racks.
    repeats: usize,
}

impl<'a> DataCenter<'a> {
    fn new(ring: &'a Ring, name: &str, factor: usize) -> Self {
        let here = ring.members().iter().filter(|m| m.data_center == name && !m.tokens.is_empty());
        let racks: BTreeSet<&str> = here.clone().map(|member| member.rack.as_str()).collect();
        DataCenter {
            left: here.count().min(factor),
            repeats: factor.saturating_sub(racks.len()),
            racks,
        }
    }

    /// Whether a replica goes to the next node, which stands on `rack`.
    fn takes(&mut self, rack: &str) -> bool {
        if self.left == 0 {
            return false;
        }
        if !self.racks.remove(rack) {
            if self.repeats == 0 {
                return false;
            }
            self.repeats -= 1;
        }
        self.left -= 1;
        true
    }
}
