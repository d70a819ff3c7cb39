//! Whether a node with an empty directory founds a cluster, joins one, or waits: decided from what
//! its seeds have told it in gossip's shadow round, by every node for itself.
//!
//! Nodes that start together must not found two clusters, whichever of them hear one another. So
//! of all seeds only one may found at all: that with the lowest address. It does so when a majority
//! of the seed list, itself included, is reachable and empty: if a cluster had been founded
//! before, one of those would know of it, unless most seeds have lost their directories. What is
//! given up for that is a first start without the lowest seed; whoever waits says for whom.

use std::net::SocketAddr;

use helenus_gossip::{ClusterId, Conflict, ShadowReport};

/// What a node with an empty directory is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Founding {
    /// There is no cluster: found it.
    Found,
    /// There is one: ask these seeds, in this order, to be taken in.
    Join {
        /// Which.
        cluster_id: ClusterId,
        /// Seeds that belong to it, those that serve first.
        seeds: Vec<SocketAddr>,
    },
    /// Nothing can be decided yet: go through another shadow round.
    Wait(Waiting),
    /// An operator has to decide.
    Refuse(String),
}

/// Why a node waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Fewer than a majority of the seeds can be reached.
    Seeds {
        /// So many can, this node included if it is one.
        reachable: usize,
        /// So many there are.
        all: usize,
    },
    /// Only this one founds.
    Founder(SocketAddr),
    /// The addresses of some seeds are not known, and one of those may be the one that founds.
    Names {
        /// So many are.
        known: usize,
        /// So many seeds there are.
        all: usize,
    },
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Waiting::Seeds { reachable, all } => write!(
                formatter,
                "{reachable} of {all} seeds can be reached and a majority is needed to found a \
                 cluster: start more of them"
            ),
            Waiting::Founder(seed) => write!(
                formatter,
                "no seed knows of a cluster; {seed} founds it, as the seed of the lowest address"
            ),
            Waiting::Names { known, all } => write!(
                formatter,
                "the addresses of {known} of {all} seeds are known, and all are needed to found a \
                 cluster"
            ),
        }
    }
}

/// Decides for the node at `own`, whose configuration lists `seeds`, perhaps itself among them.
#[must_use]
pub fn decide(own: SocketAddr, seeds: &[SocketAddr], report: &ShadowReport) -> Founding {
    let other = report.conflicts.iter().find_map(|conflict| match conflict {
        Conflict::Cluster { other } => Some(*other),
        _ => None,
    });
    if let Some(other) = other {
        let first = report.cluster_id.map_or_else(String::new, |id| format!("{id} and "));
        return Founding::Refuse(format!(
            "the seeds belong to different clusters, {first}{other}: list only seeds of one"
        ));
    }
    if let Some(cluster_id) = report.cluster_id {
        let members = report.answers.iter().filter(|answer| answer.cluster_id.is_some());
        let mut members: Vec<_> =
            members.map(|answer| (answer.in_shadow, answer.address)).collect();
        members.sort_unstable();
        let seeds = members.into_iter().map(|(_, address)| address).collect();
        return Founding::Join { cluster_id, seeds };
    }
    let mut all = seeds.to_vec();
    all.sort_unstable();
    all.dedup();
    // Without seeds, a node is its own only one.
    let founder = all.first().copied().unwrap_or(own);
    let is_seed = all.is_empty() || all.contains(&own);
    let answering = |seed: &&SocketAddr| {
        **seed != own && report.answers.iter().any(|answer| answer.address == **seed)
    };
    let reachable = all.iter().filter(answering).count() + usize::from(is_seed);
    let all = all.len().max(1);
    if founder != own {
        return Founding::Wait(Waiting::Founder(founder));
    }
    if 2 * reachable <= all {
        return Founding::Wait(Waiting::Seeds { reachable, all });
    }
    Founding::Found
}

#[cfg(test)]
mod tests {
    use super::*;
    use helenus_gossip::{HostId, SeedAnswer};
    use helenus_platform::random::{Random, SeededRandom};

    fn address(number: usize) -> SocketAddr {
        ([10, 0, 0, u8::try_from(number + 1).unwrap()], 7000).into()
    }

    fn seeds(count: usize) -> Vec<SocketAddr> {
        (0..count).map(address).collect()
    }

    /// What node `own` hears of those that are up; `clusters` are what they belong to.
    fn report(
        own: usize,
        clusters: &[Option<u128>],
        hears: impl Fn(usize) -> bool,
    ) -> ShadowReport {
        let others = clusters.iter().enumerate().filter(|(node, _)| *node != own && hears(*node));
        let answers: Vec<SeedAnswer> = others
            .map(|(node, cluster)| SeedAnswer {
                address: address(node),
                host: HostId(node as u128),
                cluster_id: cluster.map(ClusterId),
                in_shadow: cluster.is_none(),
            })
            .collect();
        let known: Vec<ClusterId> = answers.iter().filter_map(|a| a.cluster_id).collect();
        let strangers = known.iter().filter(|id| Some(*id) != known.first());
        let conflicts = strangers.map(|id| Conflict::Cluster { other: *id }).collect();
        let (cluster_id, complete) = (known.first().copied(), !known.is_empty());
        ShadowReport { answers, seeds: clusters.len() - 1, cluster_id, complete, conflicts }
    }

    fn orders(of: usize) -> Vec<Vec<usize>> {
        if of == 0 {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for shorter in orders(of - 1) {
            for at in 0..of {
                let mut order = shorter.clone();
                order.insert(at, of - 1);
                all.push(order);
            }
        }
        all
    }

    #[test]
    fn in_every_order_of_start_exactly_one_founds_and_the_others_join_it() {
        for count in 1..=5 {
            for order in orders(count) {
                let mut clusters = vec![None; count];
                let mut founded = 0;
                for up in 1..=count {
                    let up = &order[..up];
                    // Everybody who is up decides, until nothing changes any more.
                    for _ in 0..=count {
                        for node in up
                            .iter()
                            .copied()
                            .filter(|node| clusters[*node].is_none())
                            .collect::<Vec<_>>()
                        {
                            let report = report(node, &clusters, |other| up.contains(&other));
                            match decide(address(node), &seeds(count), &report) {
                                Founding::Found => {
                                    founded += 1;
                                    clusters[node] = Some(node as u128 + 1);
                                }
                                Founding::Join { cluster_id, .. } => {
                                    clusters[node] = Some(cluster_id.0);
                                }
                                Founding::Wait(_) => {}
                                Founding::Refuse(why) => panic!("{order:?}: {why}"),
                            }
                        }
                    }
                }
                assert_eq!(founded, 1, "{order:?}");
                assert!(clusters.iter().all(|cluster| *cluster == clusters[0]), "{order:?}");
            }
        }
    }

    #[test]
    fn whoever_hears_whom_two_clusters_are_never_founded() {
        let random = SeededRandom::new(5);
        for _ in 0..5_000 {
            let count = 1 + usize::try_from(random.below(6)).unwrap();
            let mut clusters = vec![None; count];
            let mut founded = 0;
            for _ in 0..30 {
                let node = usize::try_from(random.below(count as u64)).unwrap();
                // Perhaps one way only.
                let heard: Vec<bool> = (0..count).map(|_| random.chance(0.5)).collect();
                let report = report(node, &clusters, |other| heard[other]);
                if clusters[node].is_some() {
                    continue;
                }
                match decide(address(node), &seeds(count), &report) {
                    Founding::Found => {
                        founded += 1;
                        clusters[node] = Some(node as u128 + 1);
                    }
                    Founding::Join { cluster_id, .. } => clusters[node] = Some(cluster_id.0),
                    Founding::Wait(_) | Founding::Refuse(_) => {}
                }
            }
            assert!(founded <= 1);
        }
    }

    #[test]
    fn a_node_alone_founds_at_once_and_one_that_is_no_seed_never() {
        let nobody = report(0, &[None], |_| true);
        assert_eq!(decide(address(0), &seeds(1), &nobody), Founding::Found);
        assert_eq!(decide(address(0), &[], &nobody), Founding::Found);
        let empty = report(7, &[None, None, None], |_| true);
        let waits = Founding::Wait(Waiting::Founder(address(0)));
        assert_eq!(decide(address(7), &seeds(3), &empty), waits);
    }

    #[test]
    fn a_minority_waits_and_says_for_what() {
        let alone = report(0, &[None; 3], |_| false);
        let Founding::Wait(waiting) = decide(address(0), &seeds(3), &alone) else { panic!() };
        assert_eq!(waiting, Waiting::Seeds { reachable: 1, all: 3 });
        assert!(waiting.to_string().contains("1 of 3 seeds"));
        let half = report(0, &[None; 4], |other| other == 1);
        assert!(matches!(decide(address(0), &seeds(4), &half), Founding::Wait(_)));
    }

    #[test]
    fn an_existing_cluster_is_joined_and_two_are_refused() {
        let one = report(0, &[None, Some(9), None], |_| true);
        let joins = Founding::Join { cluster_id: ClusterId(9), seeds: vec![address(1)] };
        assert_eq!(decide(address(0), &seeds(3), &one), joins);
        let two = report(0, &[None, Some(9), Some(8)], |_| true);
        let Founding::Refuse(why) = decide(address(0), &seeds(3), &two) else { panic!() };
        assert!(why.contains("different clusters"), "{why}");
    }
}
