//! A node as the coordinator of its clients' requests: where partitions are, who is up, and how
//! others are reached.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use helenus_platform::clock::Clock;
use helenus_storage::Engine;
use helenus_storage::model::KeyspaceId;

use super::hints::Hints;
use super::placement::{NodeNumber, Placement, Placements};
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
    /// Keeps what they miss.
    pub hints: Arc<Hints>,
}

/// See the module's head.
pub struct Coordinator {
    pub(super) engine: Engine,
    pub(super) metadata: Arc<Metadata>,
    pub(super) clock: Arc<dyn Clock>,
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
    /// The coordinator of node `own`, without peers.
    pub fn new(
        own: [u8; 16],
        engine: Engine,
        metadata: Arc<Metadata>,
        clock: Arc<dyn Clock>,
        timeouts: Timeouts,
    ) -> Coordinator {
        let placements = Placements::new(own);
        let peers = OnceLock::new();
        Coordinator { engine, metadata, clock, timeouts, placements, peers }
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
