//! A node as the coordinator of its clients' requests: where partitions are, who is up, and how
//! others are reached.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use helenus_platform::clock::Clock;
use helenus_platform::random::Random;
use helenus_storage::Engine;
use helenus_storage::model::{KeyspaceId, Token};

use super::hints::Hints;
use super::placement::{NodeNumber, Placement, Placements};
use super::read::ReadWorld;
use crate::cluster::metadata::Metadata;
use crate::cluster::state::ClusterState;
use crate::cluster::transport::Liveness;
use crate::error::{Error, Result};
use crate::internode::Internode;

/// How long clients' requests may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A write.
    pub write: Duration,
    /// A write of counters.
    pub counter_write: Duration,
    /// A read of named partitions.
    pub read: Duration,
    /// A read of a range of partitions.
    pub range: Duration,
}

impl Default for Timeouts {
    /// Cassandra's.
    fn default() -> Timeouts {
        Timeouts {
            write: Duration::from_secs(2),
            counter_write: Duration::from_secs(5),
            read: Duration::from_secs(5),
            range: Duration::from_secs(10),
        }
    }
}

/// The other nodes, for a node that is not alone for good.
#[derive(Clone)]
pub struct Peers {
    /// Reaches them.
    pub internode: Arc<Internode>,
    /// Knows who is up.
    pub liveness: Arc<dyn Liveness>,
    /// What reads need.
    pub reads: Arc<ReadWorld>,
    /// Keeps what they miss.
    pub hints: Arc<Hints>,
}

/// See the module's head.
pub struct Coordinator {
    pub(super) engine: Engine,
    pub(super) metadata: Arc<Metadata>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) timeouts: Timeouts,
    placements: Placements,
    /// Set once, when the node has others to talk to or listens for them.
    peers: OnceLock<Peers>,
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Coordinator").finish_non_exhaustive()
    }
}

impl Coordinator {
    /// A coordinator without peers.
    pub fn new(
        engine: Engine,
        metadata: Arc<Metadata>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        timeouts: Timeouts,
    ) -> Coordinator {
        let placements = Placements::new(metadata.host_id());
        let peers = OnceLock::new();
        Coordinator { engine, metadata, clock, random, timeouts, placements, peers }
    }

    /// From now on there are other nodes. To be called once.
    pub fn set_peers(&self, peers: Peers) {
        // The first ones stay.
        drop(self.peers.set(peers));
    }

    /// The other nodes.
    pub fn peers(&self) -> Option<&Peers> {
        self.peers.get()
    }

    /// Where the partitions of a keyspace are.
    ///
    /// # Errors
    /// There is no such keyspace any more.
    pub fn placement(
        &self,
        state: &Arc<ClusterState>,
        keyspace: KeyspaceId,
    ) -> Result<Arc<Placement>> {
        let gone = || Error::invalid("the keyspace does not exist any more");
        self.placements.of(state, keyspace).ok_or_else(gone)
    }

    /// Refuses a conditional write of a partition that is not on this node alone.
    ///
    /// # Errors
    /// The keyspace is to have more replicas, or the replica is another node.
    pub fn check_conditional(&self, keyspace: KeyspaceId, name: &str, token: Token) -> Result<()> {
        let state = self.metadata.state();
        let placement = self.placement(&state, keyspace)?;
        let factor = placement.factor();
        if factor > 1 {
            return Err(Error::invalid(format!(
                "Conditional updates are not supported by keyspace {name}, which has {factor} \
                 replicas: lightweight transactions between nodes are not built yet, so IF needs \
                 a replication factor of 1"
            )));
        }
        if !placement.is_here(token) {
            return Err(Error::invalid(format!(
                "Conditional updates are only supported through the node that has the partition: \
                 this node does not have this one of keyspace {name}, or its ranges are moving"
            )));
        }
        Ok(())
    }

    /// Refuses an update of counters in a partition of which this node has no replica.
    ///
    /// # Errors
    /// That.
    pub fn check_leader(&self, keyspace: KeyspaceId, token: Token) -> Result<()> {
        let state = self.metadata.state();
        let placement = self.placement(&state, keyspace)?;
        let own = placement.own_number();
        if own.is_some_and(|own| placement.replicas(token.0).natural.contains(&own)) {
            return Ok(());
        }
        Err(Error::invalid(
            "Counters can only be updated through a node that has a replica of the partition: \
             forwarding them to one is not built yet",
        ))
    }

    /// Refuses a write that reads first, of a partition that is not on this node alone.
    ///
    /// # Errors
    /// That.
    pub fn check_here(&self, keyspace: KeyspaceId, token: Token) -> Result<()> {
        let state = self.metadata.state();
        let placement = self.placement(&state, keyspace)?;
        if placement.is_here(token) {
            return Ok(());
        }
        Err(Error::invalid(
            "Setting and deleting elements of lists by index is only supported for partitions \
             that are on this node alone: reading from replicas before a write is not built yet",
        ))
    }

    /// Whether that member takes requests, as far as this node can tell.
    pub(super) fn is_up(&self, placement: &Placement, number: NodeNumber) -> bool {
        let Some(node) = placement.node(number) else { return false };
        let known_up = |peers: &Peers| peers.liveness.is_up(&node.host_id);
        node.is_self || self.peers.get().is_some_and(known_up)
    }

    /// Those of these members that are up.
    pub(super) fn alive(&self, placement: &Placement, numbers: &[NodeNumber]) -> Vec<NodeNumber> {
        numbers.iter().copied().filter(|number| self.is_up(placement, *number)).collect()
    }
}
