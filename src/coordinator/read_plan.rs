//! Which replicas a read asks, part by part.

use std::time::Duration;

use cql_lite::wire::Consistency;
use helenus_storage::model::{KeyspaceId, PartitionBound, PartitionKey};
use helenus_storage::replica::Place;
use helenus_storage::{Partitions, ReadCommand};

use super::level::Needs;
use super::placement::{NodeNumber, PlacedRange, Placement};
use super::read::{Contact, Contacts, Part, ReadOptions, ReplicatedRead, Speculation};
use super::requests::Coordinator;
use crate::error::{Error, Result};

/// How a read is asked for.
#[derive(Debug, Clone)]
pub struct ReadRequested<'a> {
    /// The keyspace of the table.
    pub keyspace: KeyspaceId,
    /// The level.
    pub consistency: Consistency,
    /// The table's `speculative_retry`.
    pub speculative_retry: &'a str,
    /// Where an earlier page ended.
    pub from: Option<Place>,
    /// Live rows that the client wants.
    pub rows: u64,
}

/// Where a read is done.
#[derive(Debug)]
enum ReadPlan {
    /// From this node's own engine.
    Here,
    /// From these replicas, one part after the other, by the metadata of this version.
    Replicas {
        /// In the order of the read.
        parts: Vec<Part>,
        /// The version.
        version: u64,
    },
}

/// Consecutive partitions that the same nodes are asked for.
struct Asked {
    partitions: Partitions,
    nodes: Vec<NodeNumber>,
}

impl Coordinator {
    /// Begins a read of several replicas; none if it is one of this node's own engine.
    ///
    /// # Errors
    /// Too few replicas of some partition are up.
    pub fn read(
        &self,
        command: &ReadCommand,
        asked: ReadRequested<'_>,
    ) -> Result<Option<Box<ReplicatedRead>>> {
        let plan = self.plan_read(asked.keyspace, command, asked.consistency)?;
        let ReadPlan::Replicas { parts, version } = plan else { return Ok(None) };
        let Some(peers) = self.peers() else {
            return Err(Error::server(
                "this node was opened without a network, and the data is on other nodes too: \
                 serve its data directory with `helenus serve`",
            ));
        };
        let timeout = match &command.partitions {
            Partitions::Range { .. } => self.timeouts.range,
            Partitions::One(_) | Partitions::Many(_) => self.timeouts.read,
        };
        let options = ReadOptions {
            keyspace: asked.keyspace,
            from: asked.from,
            rows_hint: asked.rows,
            metadata_version: version,
            deadline: self.clock.monotonic() + timeout,
            speculation: speculation(asked.speculative_retry),
        };
        Ok(Some(Box::new(ReplicatedRead::new(peers.reads.clone(), parts, options))))
    }

    /// Plans a read at this level.
    fn plan_read(
        &self,
        keyspace: KeyspaceId,
        command: &ReadCommand,
        level: Consistency,
    ) -> Result<ReadPlan> {
        let state = self.metadata.state();
        let placement = self.placement(&state, keyspace)?;
        let needs = placement.needs(level);
        let asked = match &command.partitions {
            Partitions::One(key) if self.is_read_here(&placement, &needs, key) => {
                return Ok(ReadPlan::Here);
            }
            Partitions::One(key) => {
                self.of_keys(&placement, &needs, level, std::slice::from_ref(key))?
            }
            Partitions::Many(keys) => {
                if keys.iter().all(|key| self.is_read_here(&placement, &needs, key)) {
                    return Ok(ReadPlan::Here);
                }
                self.of_keys(&placement, &needs, level, keys)?
            }
            Partitions::Range { start, end } => {
                let ranges = placement.ranges();
                if needs.total() <= 1 && ranges.iter().all(|range| is_own(&placement, range)) {
                    return Ok(ReadPlan::Here);
                }
                self.of_range(&placement, &needs, level, ranges, (start, end))?
            }
        };
        let part = |asked: Asked| Part {
            command: ReadCommand { partitions: asked.partitions, ..command.clone() },
            contacts: contacts(&placement, &needs, asked.nodes),
        };
        let parts = asked.into_iter().map(part).collect();
        Ok(ReadPlan::Replicas { parts, version: state.version })
    }

    /// Whether one replica is enough, and this node is one.
    fn is_read_here(&self, placement: &Placement, needs: &Needs, key: &PartitionKey) -> bool {
        if needs.total() > 1 {
            return false;
        }
        let own = placement.own_number();
        let natural = || &placement.replicas(key.token.0).natural;
        placement.is_alone() || own.is_some_and(|own| natural().contains(&own))
    }

    fn of_keys(
        &self,
        placement: &Placement,
        needs: &Needs,
        level: Consistency,
        keys: &[PartitionKey],
    ) -> Result<Vec<Asked>> {
        let mut asked: Vec<Asked> = Vec::new();
        for key in keys {
            let replicas = placement.replicas(key.token.0);
            let mut nodes = self.alive(placement, &replicas.natural);
            placement.check_alive(level, needs, &nodes)?;
            nodes.sort_unstable();
            match asked.last_mut() {
                Some(Asked { partitions: Partitions::Many(keys), nodes: same })
                    if *same == nodes =>
                {
                    keys.push(key.clone());
                }
                _ => asked.push(Asked { partitions: Partitions::Many(vec![key.clone()]), nodes }),
            }
        }
        for part in &mut asked {
            if let Partitions::Many(keys) = &mut part.partitions
                && keys.len() == 1
                && let Some(only) = keys.pop()
            {
                part.partitions = Partitions::One(only);
            }
        }
        Ok(asked)
    }

    /// Neighbouring ranges are asked for together as long as enough nodes have all of them.
    fn of_range(
        &self,
        placement: &Placement,
        needs: &Needs,
        level: Consistency,
        ranges: Vec<PlacedRange>,
        (start, end): (&PartitionBound, &PartitionBound),
    ) -> Result<Vec<Asked>> {
        let mut asked: Vec<Asked> = Vec::new();
        for range in ranges {
            let Some((start, end)) = within(&range, start, end) else { continue };
            let mut nodes = self.alive(placement, &range.replicas.natural);
            placement.check_alive(level, needs, &nodes)?;
            nodes.sort_unstable();
            if let Some(Asked { partitions: Partitions::Range { end: before, .. }, nodes: had }) =
                asked.last_mut()
            {
                let both: Vec<NodeNumber> =
                    had.iter().copied().filter(|number| nodes.contains(number)).collect();
                if placement.are_enough(needs, &both) {
                    (*before, *had) = (end, both);
                    continue;
                }
            }
            asked.push(Asked { partitions: Partitions::Range { start, end }, nodes });
        }
        Ok(asked)
    }
}

fn is_own(placement: &Placement, range: &PlacedRange) -> bool {
    placement.own_number().is_some_and(|own| range.replicas.natural.contains(&own))
}

/// The part of a range of tokens that lies between two bounds; none if there is none.
fn within(
    range: &PlacedRange,
    start: &PartitionBound,
    end: &PartitionBound,
) -> Option<(PartitionBound, PartitionBound)> {
    let (low, high) = range.bounds();
    let (start, end) = (low.max(start.clone()), high.min(end.clone()));
    (start < end).then_some((start, end))
}

/// The nodes in the order in which they are asked: those that the level counts, this node first,
/// then by data centre and latency.
fn contacts(placement: &Placement, needs: &Needs, mut nodes: Vec<NodeNumber>) -> Contacts {
    if matches!(needs, Needs::Near(_)) {
        nodes.retain(|number| placement.node(*number).is_some_and(|node| node.is_near));
    }
    let rank = |number: &NodeNumber| {
        let node = placement.node(*number);
        let is_far = node.is_none_or(|node| !node.is_near);
        let is_other = node.is_none_or(|node| !node.is_self);
        (is_far, is_other)
    };
    nodes.sort_by_key(rank);
    if let Needs::Each(counts) = needs {
        // First as many as each data centre needs, then the spares.
        let mut left = counts.clone();
        let is_spare = |number: &NodeNumber| {
            let name = placement.node(*number).map(|node| node.data_center.as_str());
            match name.and_then(|name| left.get_mut(name)) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            }
        };
        let spares: Vec<bool> = nodes.iter().map(is_spare).collect();
        let mut both: Vec<(bool, NodeNumber)> = spares.into_iter().zip(nodes).collect();
        both.sort_by_key(|(is_spare, _)| *is_spare);
        nodes = both.into_iter().map(|(_, number)| number).collect();
    }
    let contact = |number: &NodeNumber| {
        let node = placement.node(*number)?;
        let rank = u8::from(!node.is_near);
        let (host_id, target, is_self) = (node.host_id, node.target, node.is_self);
        Some(Contact { host_id, target, is_self, rank })
    };
    let replicas = nodes.iter().filter_map(contact).collect();
    Contacts { replicas, block_for: needs.total() }
}

/// What a table's option says, which was checked when the table was made: `99p`, `50ms`, a word.
fn speculation(text: &str) -> Speculation {
    let lower = text.to_ascii_lowercase();
    let number = |suffix: &str| lower.strip_suffix(suffix)?.trim().parse::<f64>().ok();
    match lower.as_str() {
        "always" => return Speculation::Always,
        "never" | "none" => return Speculation::Never,
        _ => {}
    }
    if let Some(percent) = number("percentile").or_else(|| number("p")) {
        return Speculation::Percentile(percent);
    }
    let after = number("ms").and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
    // `MIN(99p, 50ms)` and its like are taken for Cassandra's default.
    after.map_or(Speculation::Percentile(99.0), Speculation::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::placement::tests::{placement, simple, topology};
    use helenus_storage::model::Token;

    #[test]
    fn speculation_is_what_the_option_says() {
        assert_eq!(speculation("99p"), Speculation::Percentile(99.0));
        assert_eq!(speculation("99.5PERCENTILE"), Speculation::Percentile(99.5));
        assert_eq!(speculation("50ms"), Speculation::Fixed(Duration::from_millis(50)));
        assert_eq!(speculation("ALWAYS"), Speculation::Always);
        assert_eq!(speculation("NEVER"), Speculation::Never);
    }

    #[test]
    fn this_node_is_asked_first_and_a_level_of_one_data_centre_asks_nobody_else() {
        let placement = placement(&topology(&[("a", 2), ("b", 2)]), &["a", "a", "b", "b"]);
        let local =
            contacts(&placement, &placement.needs(Consistency::LocalQuorum), vec![3, 2, 1, 0]);
        let hosts = |contacts: &Contacts| -> Vec<u8> {
            contacts.replicas.iter().map(|contact| contact.host_id[0]).collect()
        };
        assert_eq!((hosts(&local), local.block_for), (vec![1, 2], 2));
        let each =
            contacts(&placement, &placement.needs(Consistency::EachQuorum), vec![3, 2, 1, 0]);
        assert_eq!(each.block_for, 4);
        let all = contacts(&placement, &placement.needs(Consistency::Quorum), vec![3, 2, 1, 0]);
        assert_eq!((&hosts(&all)[..2], all.block_for), (&[1, 2][..], 3));
    }

    #[test]
    fn a_range_is_cut_where_its_bounds_are() {
        let placement = placement(&simple(1), &["a", "a"]);
        let range = &placement.ranges()[1];
        let all = within(range, &PartitionBound::Min, &PartitionBound::Max).unwrap();
        assert_eq!(all, range.bounds());
        let before = PartitionBound::Before(Token(range.start.unwrap()));
        assert!(within(range, &PartitionBound::Min, &before).is_none());
    }
}
