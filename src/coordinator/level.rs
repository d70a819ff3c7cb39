//! What a consistency level asks for: how many replicas must answer, and which of them count.
//! Numbers and cases are those of Cassandra's `ConsistencyLevel` and `ReplicaPlans`.

use std::collections::BTreeMap;

use cql_lite::wire::{Consistency, ErrorKind};

use super::placement::{Factors, NodeNumber, Placement, Replicas};
use crate::error::{Error, Result};

/// How many answers are needed, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// So many of any.
    Any(usize),
    /// So many of those in this node's data centre.
    Near(usize),
    /// So many in each of these data centres.
    Each(BTreeMap<String, usize>),
}

impl Needs {
    /// All together.
    pub fn total(&self) -> usize {
        match self {
            Needs::Any(count) | Needs::Near(count) => *count,
            Needs::Each(counts) => counts.values().sum(),
        }
    }
}

fn quorum(factor: usize) -> usize {
    factor / 2 + 1
}

impl Placement {
    /// Replicas of each partition, as the keyspace asks for them.
    pub fn factor(&self) -> usize {
        match &self.factors {
            Factors::Anywhere(factor) => *factor,
            Factors::ByDataCenter(factors) => factors.values().sum(),
        }
    }

    fn near_factor(&self) -> usize {
        match &self.factors {
            Factors::Anywhere(factor) => *factor,
            Factors::ByDataCenter(factors) => {
                factors.get(&self.local_data_center).copied().unwrap_or(0)
            }
        }
    }

    fn is_by_data_center(&self) -> bool {
        matches!(self.factors, Factors::ByDataCenter(_))
    }

    /// What a read at this level needs. `Any` is for writes and answers as `One` here.
    pub fn needs(&self, level: Consistency) -> Needs {
        match level {
            Consistency::Any | Consistency::One | Consistency::NodeLocal => Needs::Any(1),
            Consistency::Two => Needs::Any(2),
            Consistency::Three => Needs::Any(3),
            Consistency::Quorum | Consistency::Serial => Needs::Any(quorum(self.factor())),
            Consistency::All => Needs::Any(self.factor()),
            Consistency::LocalOne => Needs::Near(1),
            Consistency::LocalQuorum | Consistency::LocalSerial => {
                match self.is_by_data_center() {
                    true => Needs::Near(quorum(self.near_factor())),
                    // Such a strategy knows no data centres.
                    false => Needs::Any(quorum(self.factor())),
                }
            }
            Consistency::EachQuorum => match &self.factors {
                Factors::Anywhere(factor) => Needs::Any(quorum(*factor)),
                Factors::ByDataCenter(factors) => {
                    let each = factors.iter().filter(|(_, factor)| **factor > 0);
                    Needs::Each(each.map(|(name, f)| (name.clone(), quorum(*f))).collect())
                }
            },
        }
    }

    /// What a write at this level needs: one more for each pending replica that counts for it.
    pub fn needs_of_write(&self, level: Consistency, replicas: &Replicas) -> Needs {
        let pending = replicas.pending.iter().filter_map(|number| self.node(*number));
        match self.needs(level) {
            Needs::Any(count) => Needs::Any(count + replicas.pending.len()),
            Needs::Near(count) => Needs::Near(count + pending.filter(|node| node.is_near).count()),
            Needs::Each(mut counts) => {
                for node in pending {
                    if let Some(count) = counts.get_mut(&node.data_center) {
                        *count += 1;
                    }
                }
                Needs::Each(counts)
            }
        }
    }

    /// Whether these are enough.
    pub fn are_enough(&self, needs: &Needs, nodes: &[NodeNumber]) -> bool {
        self.shortfall(needs, nodes).is_none()
    }

    /// What is needed and what there is, if these are not enough: as UNAVAILABLE tells it.
    fn shortfall(&self, needs: &Needs, nodes: &[NodeNumber]) -> Option<(usize, usize)> {
        let nodes = || nodes.iter().filter_map(|number| self.node(*number));
        match needs {
            Needs::Any(count) => {
                let there = nodes().count();
                (there < *count).then_some((*count, there))
            }
            Needs::Near(count) => {
                let there = nodes().filter(|node| node.is_near).count();
                (there < *count).then_some((*count, there))
            }
            Needs::Each(counts) => counts.iter().find_map(|(name, count)| {
                let there = nodes().filter(|node| node.data_center == *name).count();
                (there < *count).then_some((*count, there))
            }),
        }
    }

    /// Refuses a request for which too few replicas are up.
    ///
    /// # Errors
    /// Unavailable, with the level, what it needs and who is up.
    pub fn check_alive(
        &self,
        level: Consistency,
        needs: &Needs,
        alive: &[NodeNumber],
    ) -> Result<()> {
        let Some((required, alive)) = self.shortfall(needs, alive) else { return Ok(()) };
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let (required, alive) = (number(required), number(alive));
        let kind = ErrorKind::Unavailable { consistency: level, required, alive };
        let name = level.name();
        Err(Error::new(kind, format!("Cannot achieve consistency level {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::placement::tests::{placement, simple, topology};

    fn total(options: &BTreeMap<String, String>, level: Consistency) -> usize {
        placement(options, &["a", "a", "a", "b", "b", "b"]).needs(level).total()
    }

    #[test]
    fn levels_need_what_they_need_in_cassandra() {
        use Consistency as C;
        let simple = simple(3);
        let spread = topology(&[("a", 3), ("b", 2)]);
        for (level, of_simple, of_spread) in [
            (C::Any, 1, 1),
            (C::One, 1, 1),
            (C::Two, 2, 2),
            (C::Three, 3, 3),
            (C::Quorum, 2, 3),
            (C::All, 3, 5),
            (C::LocalQuorum, 2, 2),
            (C::EachQuorum, 2, 4),
            (C::LocalOne, 1, 1),
        ] {
            assert_eq!(total(&simple, level), of_simple, "{level:?}");
            assert_eq!(total(&spread, level), of_spread, "{level:?}");
        }
    }

    #[test]
    fn only_replicas_that_count_make_a_level() {
        let placement =
            placement(&topology(&[("a", 3), ("b", 3)]), &["a", "a", "a", "b", "b", "b"]);
        let number = |data_center: &str| -> Vec<NodeNumber> {
            (0..6).filter(|n| placement.node(*n).unwrap().data_center == data_center).collect()
        };
        let (near, far) = (number("a"), number("b"));
        let level = Consistency::LocalQuorum;
        let needs = placement.needs(level);
        let refused = placement.check_alive(level, &needs, &far).unwrap_err();
        let unavailable = ErrorKind::Unavailable { consistency: level, required: 2, alive: 0 };
        assert_eq!(
            (*refused.kind, refused.message.as_str()),
            (unavailable, "Cannot achieve consistency level LOCAL_QUORUM")
        );
        assert!(placement.are_enough(&needs, &near[..2]));
        let each = placement.needs(Consistency::EachQuorum);
        assert!(!placement.are_enough(&each, &[near.as_slice(), &far[..1]].concat()));
        assert!(placement.are_enough(&each, &[&near[..2], &far[..2]].concat()));
        assert!(
            placement.are_enough(
                &placement.needs(Consistency::Quorum),
                &[&near[..2], &far[..2]].concat()
            )
        );
    }

    #[test]
    fn a_write_needs_one_more_for_each_pending_replica() {
        let placement = placement(&simple(3), &["a", "a", "a", "a"]);
        let replicas = Replicas { natural: vec![0, 1, 2], pending: vec![3] };
        assert_eq!(placement.needs_of_write(Consistency::Quorum, &replicas).total(), 3);
        assert_eq!(placement.needs_of_write(Consistency::One, &replicas).total(), 2);
    }
}
