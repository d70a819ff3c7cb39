//! A data directory brought to life: opening it, the background work, closing it.
//!
//! ```text
//! LOCK        held by the process that has the directory open
//! IDENTITY    who the directory belongs to          cluster/identity.rs
//! metadata/   the metadata log                      cluster/metadata_log.rs
//! snapshots/  snapshots by tag                      node/snapshots/
//! admin.sock  where commands reach the node         node/admin/
//! engine/     the storage engine's own directory    storage/
//! ```

pub mod admin;
mod applier;
mod background;
mod cluster;
mod handler;
pub mod messages;
mod open;
mod replication;
mod schema_events;
mod serve;
mod slow;
mod snapshots;
mod statements;
#[cfg(test)]
mod tests;
mod traced;
mod views;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use helenus_platform::clock::Clock;
use helenus_platform::disk::{Disk, DiskLock};
use helenus_platform::pool::Pool;
use helenus_platform::random::Random;
use helenus_platform::runtime::Runtime;
use helenus_platform::signal::Signal;
use helenus_storage::{Engine, JobKind};

use crate::cluster::gossiping::GossipService;
use crate::cluster::identity::{Identity, IdentityError, IdentityFile};
use crate::cluster::metadata::Metadata;
use crate::cluster::ring::Ring;
use crate::cluster::transport::{AllUp, Liveness};
use crate::config::Config;
use crate::coordinator::Timestamps;
use crate::internode::Internode;
use crate::query::Services;
use crate::server::{Clients, EventHub};
use crate::telemetry::{LineLimiter, Traces};

use cluster::{Addresses, Connected};
use replication::Replication;
use snapshots::Snapshots;
use statements::StatementCache;

pub use cluster::Doom;
pub use open::OpenError;
pub use serve::Serving;
pub(crate) use snapshots::inspect_snapshot;
pub use snapshots::{ListedSnapshot, restore};

/// The world that a node lives in: real, or a test's.
#[derive(Clone)]
pub struct World {
    /// Where files are.
    pub disk: Arc<dyn Disk>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where chance comes from.
    pub random: Arc<dyn Random>,
    /// Who runs tasks.
    pub runtime: Arc<dyn Runtime>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("World")
    }
}

/// An open node. Clones are the same node.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    // Fixed after open.
    config: Config,
    /// Where others reach the node.
    own: Addresses,
    world: World,
    dir: PathBuf,
    /// When it was opened, on the monotonic clock.
    opened_at: Duration,
    // Synchronised by themselves.
    services: Services,
    statements: Arc<StatementCache>,
    clients: Arc<Clients>,
    snapshots: Arc<Snapshots>,
    slow_lines: LineLimiter,
    failure_lines: LineLimiter,
    pool: Arc<Pool>,
    events: Arc<EventHub>,
    traces: Arc<Traces>,
    // Set once, at the start.
    /// The way to other nodes, if the node listens to them.
    connected: OnceLock<Connected>,
    liveness: OnceLock<Arc<dyn Liveness>>,
    replication: OnceLock<Replication>,
    // Synchronised by themselves.
    stopping: AtomicBool,
    stopped: Signal,
    /// Background tasks that have not ended yet.
    background: background::Count,
    // Guarded by itself: written when the node opens, closes, raises the timestamp ceiling, or
    // changes the schema.
    identity: Arc<IdentityFile>,
    /// Taken out by `close`. Last, so that without it the directory is let go when everything
    /// else is gone.
    lock: Mutex<Option<Box<dyn DiskLock>>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Node").field("dir", &self.shared.dir).finish()
    }
}

impl Node {
    /// What the node was opened with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The world that it lives in.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.shared.world
    }

    /// The storage engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.shared.services.engine
    }

    /// The schema and its history.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.shared.services.metadata
    }

    /// Timestamps for writes that bring none.
    #[must_use]
    pub fn timestamps(&self) -> &Timestamps {
        &self.shared.services.timestamps
    }

    /// What statements need of the node.
    pub(crate) fn services(&self) -> &Services {
        &self.shared.services
    }

    /// Workers for what waits for the disk.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Where events for clients are published.
    #[must_use]
    pub fn events(&self) -> &Arc<EventHub> {
        &self.shared.events
    }

    /// Who the node is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.shared.identity.get()
    }

    /// Connections to other nodes, if the node listens to them.
    pub(crate) fn internode(&self) -> Option<&Arc<Internode>> {
        self.shared.connected.get().map(|connected| &connected.internode)
    }

    /// The node answers other nodes for its rows from now on; until then it tells them that it is
    /// starting.
    pub fn answer_for_rows(&self, replica: Arc<dyn messages::ReplicaMessages>) {
        if let Some(connected) = self.shared.connected.get() {
            connected.messages.set_replica(replica);
        }
    }

    /// Who is up; alone, everybody is.
    pub(crate) fn liveness(&self) -> &Arc<dyn Liveness> {
        self.shared.liveness.get_or_init(|| Arc::new(AllUp))
    }

    /// What the node hears of others, if it listens to them.
    pub(crate) fn gossip(&self) -> Option<&GossipService> {
        self.shared.connected.get().map(|connected| &connected.gossip)
    }

    /// The ring as this node knows it.
    #[must_use]
    pub fn ring(&self) -> Arc<Ring> {
        self.metadata().state().ring.clone()
    }

    /// Whether [`Self::close`] has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::SeqCst)
    }

    /// Ends background work, syncs the log, marks the stop as a clean one, and lets go of the
    /// directory: it can be opened again at once, although clones of this node are still there.
    /// Answers still held back are safe to give once this has returned.
    ///
    /// # Errors
    /// What was acknowledged is safe all the same; the next start replays.
    pub async fn close(&self) -> Result<(), OpenError> {
        let shared = &self.shared;
        self.retire().await;
        // While there are still flushes, which a change under way may wait for.
        shared.services.metadata.stop().await;
        if shared.stopping.swap(true, Ordering::SeqCst) {
            shared.background.all_ended().await;
            return Ok(());
        }
        for kind in [JobKind::Flush, JobKind::Compaction, JobKind::LogSync] {
            shared.services.engine.work_signal(kind).notify_all();
        }
        shared.stopped.notify_all();
        shared.replication.get().inspect(|replication| replication.stop());
        shared.background.all_ended().await;
        let closed = shared.services.engine.close().map_err(OpenError::Engine).and_then(|()| {
            let stopped = shared.identity.update(|identity| {
                identity.timestamp_ceiling = shared.services.timestamps.last();
                identity.stopped_cleanly = true;
            });
            stopped.map_err(OpenError::Identity)
        });
        shared.pool.close();
        // Nothing of this node writes any more.
        drop(shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        closed
    }

    /// Promises on disk that no timestamp above `ceiling` is given out before the next promise.
    fn raise_timestamp_ceiling(&self, ceiling: i64) -> Result<(), IdentityError> {
        self.shared.identity.update(|identity| identity.timestamp_ceiling = ceiling)
    }
}
