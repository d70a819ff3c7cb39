//! Leaving the cluster for good, at an operator's word.

use std::time::Duration;

use super::start::own_state;
use crate::cluster::members::{Member, MemberState};
use crate::cluster::ring::Strategy;
use crate::cluster::state::ClusterState;
use crate::cluster::wait::within;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::schema::KeyspaceKind;

/// How often it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

impl Node {
    /// Hands this node's ranges to those who will have them, and leaves the cluster. Ready when it
    /// has left; the node ends by itself then.
    ///
    /// # Errors
    /// The node has no others, or, unless `force`, a keyspace could not keep all its replicas.
    pub(in crate::node) async fn decommission(&self, force: bool) -> Result<()> {
        let (metadata, host) = (self.metadata(), self.identity().host_id);
        if self.gossip().is_none() {
            return Err(Error::invalid("this node has no others: there is nothing to leave"));
        }
        if !force {
            check_replicas(&metadata.state(), &host)?;
        }
        tracing::info!("leaving the cluster: its ranges move to the other nodes");
        metadata.set_member_state(host, MemberState::Leaving).await?;
        loop {
            let epoch = metadata.signal().epoch();
            match own_state(self) {
                None | Some(MemberState::Left) => return Ok(()),
                Some(MemberState::Leaving) => {}
                Some(_) => return Err(Error::server("the leaving was called off")),
            }
            if self.is_stopping() {
                return Err(Error::server("the node stops; it goes on leaving when it is started"));
            }
            let moved = metadata.signal().wait_past(epoch);
            if within(&self.world().runtime, Some(PATIENCE), moved).await.is_none() {
                tracing::info!("leaving: the other nodes are receiving its data");
            }
        }
    }
}

/// Whether every keyspace keeps as many replicas as it asks for without this node.
fn check_replicas(state: &ClusterState, host: &[u8; 16]) -> Result<()> {
    let stays = |member: &&std::sync::Arc<Member>| {
        member.host_id != *host && member.state == MemberState::Normal
    };
    let left: Vec<_> = state.members.present().filter(stays).collect();
    for keyspace in state.schema.keyspaces().values() {
        if keyspace.kind != KeyspaceKind::User {
            continue;
        }
        let Ok(strategy) = Strategy::parse(&keyspace.options.replication) else { continue };
        let short = match &strategy {
            Strategy::Simple { factor } if *factor > left.len() => Some((*factor, left.len())),
            Strategy::NetworkTopology { factors } => factors.iter().find_map(|(name, factor)| {
                let own = state.members.get(host).is_some_and(|own| own.data_center == *name);
                let count = left.iter().filter(|member| member.data_center == *name).count();
                (own && *factor > count).then_some((*factor, count))
            }),
            _ => None,
        };
        if let Some((factor, left)) = short {
            return Err(Error::invalid(format!(
                "keyspace {} is to have {factor} replicas, and {left} nodes would be left for them: \
                 lower its replication or add a node first, or leave all the same with --force",
                keyspace.name
            )));
        }
    }
    Ok(())
}
