//! The way to other nodes: internode listens, gossip runs, and messages are handed on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use helenus_platform::net::Network;

use super::Addresses;
use crate::cluster::gossiping::{GossipService, Opening};
use crate::cluster::members::FEATURE_LEVEL;
use crate::cluster::over_internode::OverInternode;
use crate::config::Config;
use crate::internode::{self, Internode, InternodeMetrics, Limits, Own, Reason, Refusal};
use crate::node::messages::NodeMessages;
use crate::node::{OpenError, World};
use crate::telemetry::Registry;

/// A node's way to others.
pub(in crate::node) struct Connected {
    pub(in crate::node) network: Arc<dyn Network>,
    pub(in crate::node) internode: Arc<Internode>,
    pub(in crate::node) gossip: GossipService,
    pub(in crate::node) messages: Arc<NodeMessages>,
    /// Where internode counts; the rest of the node's metrics join it.
    pub(in crate::node) registry: Arc<Registry>,
}

impl Connected {
    /// Listens, in the shadow: whoever asks is told that this node knows nothing.
    pub(super) async fn listen(
        world: &World,
        network: Arc<dyn Network>,
        config: &Config,
        own: &Addresses,
        host_id: [u8; 16],
    ) -> Result<Connected, OpenError> {
        let registry = Arc::new(Registry::new());
        let internode_world = internode::World {
            network: network.clone(),
            runtime: world.runtime.clone(),
            clock: world.clock.clone(),
            random: world.random.clone(),
        };
        let myself =
            Own { cluster_id: None, host_id, address: own.internode, feature_level: FEATURE_LEVEL };
        let metrics = InternodeMetrics::new(&registry);
        let internode = Internode::new(internode_world, myself, Limits::default(), metrics);
        let internode = Arc::new(internode);
        let messages = NodeMessages::new();
        let listens = config.internode_address.unwrap_or(config.listen_address);
        let at = SocketAddr::new(listens, config.internode_port);
        internode.listen(at, messages.clone()).await.map_err(|error| cannot_listen(at, &error))?;
        let gossip = GossipService::start(Opening {
            runtime: world.runtime.clone(),
            clock: world.clock.clone(),
            random: world.random.clone(),
            internode: internode.clone(),
            cluster_name: config.cluster_name.clone(),
            host_id,
            address: own.internode,
        });
        let gossip = gossip.map_err(|error| OpenError::Cluster(error.to_string()))?;
        messages.set_gossip(gossip.inbox());
        Ok(Connected { network, internode, gossip, messages, registry })
    }

    /// Why others do not talk with this node, if that is because another process has its host id.
    pub(super) fn is_copied(&self) -> Option<String> {
        let connections = self.internode.connections();
        let mut refusals = connections.into_iter().filter_map(|connection| connection.refusal);
        let is_copied = |refusal: &Refusal| {
            matches!(refusal.reason, Some(Reason::HostIdTaken | Reason::ClonedHostId))
        };
        refusals.find(is_copied).map(|refusal| refusal.text)
    }

    /// How the metadata reach other members.
    pub(super) fn transport(&self) -> Arc<OverInternode> {
        Arc::new(OverInternode(self.internode.clone()))
    }
}

fn cannot_listen(at: SocketAddr, error: &io::Error) -> OpenError {
    OpenError::Cluster(format!(
        "cannot listen for other nodes on {at}: {error}; set listen.internode_address to an \
         address of this machine and listen.internode_port to a port that nobody uses"
    ))
}
