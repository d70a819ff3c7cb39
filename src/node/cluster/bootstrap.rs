//! From being taken in to owning ranges.

use std::time::Duration;

use super::start::own_state;
use crate::cluster::members::MemberState;
use crate::cluster::wait::within;
use crate::node::Node;

/// How long something may take before it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for the cluster's metadata, and until this node has received the data of its ranges and
/// owns them, which its mover sees to. Done at once for a node that owns them already.
pub(super) async fn become_normal(node: &Node) {
    let (metadata, runtime) = (node.metadata(), &node.world().runtime);
    loop {
        let epoch = metadata.signal().epoch();
        let state = own_state(node);
        if state.is_some_and(|state| state != MemberState::Joining) {
            return;
        }
        let moved = metadata.signal().wait_past(epoch);
        if within(runtime, Some(PATIENCE), moved).await.is_some() {
            continue;
        }
        match (state, node.move_progress()) {
            (None, _) => {
                tracing::info!("waiting: the leader of the cluster has not sent its metadata yet");
            }
            (_, Some(progress)) => {
                let (parts, done, bytes) = (progress.parts, progress.done, progress.bytes);
                let why = progress.waits_for.unwrap_or_default();
                tracing::info!(
                    parts,
                    done,
                    bytes,
                    why,
                    "waiting: receiving the data of its ranges"
                );
            }
            (_, None) => tracing::info!("waiting: for the cluster to agree that the node is there"),
        }
    }
}
