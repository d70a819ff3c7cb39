//! What statements need of the node that runs them.

use std::net::SocketAddr;
use std::sync::Arc;

use helenus_platform::clock::Clock;
use helenus_platform::random::Random;
use helenus_storage::Engine;
use helenus_storage::model::counter::CounterId;

use crate::cluster::metadata::Metadata;
use crate::coordinator::{Coordinator, PartitionLocks, Timestamps};

use super::guardrails::Guardrails;
use super::source::Views;

/// What statements need of the node that runs them.
pub struct Services {
    /// Where rows are.
    pub engine: Engine,
    /// The schema, and how it changes.
    pub metadata: Arc<Metadata>,
    /// Writes and reads what is on several nodes.
    pub coordinator: Arc<Coordinator>,
    /// The node's own tables.
    pub views: Arc<dyn Views>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where UUIDs come from.
    pub random: Arc<dyn Random>,
    /// Timestamps for writes that bring none.
    pub timestamps: Arc<Timestamps>,
    /// One at a time for what reads before it writes.
    pub locks: Arc<PartitionLocks>,
    /// The shard that this node's increments go to.
    pub counter_id: CounterId,
    /// A page ends when it has so many bytes.
    pub page_bytes_max: usize,
    /// What clients may ask for.
    pub guardrails: Guardrails,
    /// Where other nodes would reach this one: the replica that failed, when a read fails.
    pub address: SocketAddr,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Services")
    }
}
