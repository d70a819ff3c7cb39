//! From being taken in to owning ranges.

use std::time::Duration;

use super::start::own_state;
use crate::cluster::members::MemberState;
use crate::cluster::wait::within;
use crate::error::{Error, ErrorKind, Result};
use crate::node::{Node, OpenError};
use crate::schema::{KeyspaceKind, TableSource};

/// How long the metadata may take before it is said that they are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a change that could not be decided.
const RETRY: Duration = Duration::from_secs(1);

/// Waits for the cluster's metadata, receives the data of the node's ranges, and has the cluster
/// agree that it owns them. Done at once for a node that owns them already.
pub(super) async fn become_normal(node: &Node) -> std::result::Result<(), OpenError> {
    let (metadata, runtime) = (node.metadata(), &node.world().runtime);
    let host_id = node.identity().host_id;
    let state = loop {
        let epoch = metadata.signal().epoch();
        if let Some(state) = own_state(node) {
            break state;
        }
        let moved = metadata.signal().wait_past(epoch);
        if within(runtime, Some(PATIENCE), moved).await.is_none() {
            tracing::info!("waiting: the leader of the cluster has not sent its metadata yet");
        }
    };
    if state != MemberState::Joining {
        return Ok(());
    }
    receive_ranges(node).await.map_err(|error| OpenError::Cluster(error.message))?;
    loop {
        match metadata.set_member_state(host_id, MemberState::Normal).await {
            Ok(_) => {
                tracing::info!("joined the cluster: the node owns its ranges");
                return Ok(());
            }
            Err(error) if *error.kind == ErrorKind::Invalid => {
                return Err(OpenError::Cluster(error.message));
            }
            Err(error) => tracing::info!("waiting: {error}"),
        }
        runtime.sleep(RETRY).await;
    }
}

/// Receives the data of the ranges that this node will own.
pub(super) async fn receive_ranges(node: &Node) -> Result<()> {
    let schema = node.metadata().schema();
    let is_users = |keyspace: &str| {
        schema.keyspace(keyspace).is_some_and(|known| known.kind == KeyspaceKind::User)
    };
    let stored = schema.tables().values().filter(|table| table.source == TableSource::Stored);
    if let Some(table) = stored.into_iter().find(|table| is_users(&table.keyspace)) {
        return Err(Error::server(format!(
            "the cluster has data already (table {}.{}), and moving data to a joining node is not \
             built yet: join all nodes before tables are created",
            table.keyspace, table.name
        )));
    }
    Ok(())
}
