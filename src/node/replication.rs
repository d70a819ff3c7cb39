//! What is on several nodes: this node as a replica for others, its hints for them, the data that it
//! is to receive, and the batches that it keeps for others.

use std::sync::Arc;
use std::time::Duration;

use helenus_platform::runtime::BoxFuture;

use super::background::wait;
use super::cluster::Connected;
use super::messages::ReplicaMessages;
use super::{Node, OpenError};
use crate::coordinator::hints::{HintOptions, HintStore, Hints, HintsWorld};
use crate::coordinator::read::{ReadMetrics, ReadWorld};
use crate::coordinator::replica_read::ReplicaReader;
use crate::coordinator::{Mover, Peers, Replica, ReplicaWrites, batch_log};
use crate::internode::{Incoming, Peer, Received, ReplyWriter};

/// How often batches that were left behind are looked for.
const BATCHES_EVERY: Duration = Duration::from_secs(10);

struct Rows(Replica);

impl ReplicaMessages for Rows {
    fn receive(&self, _from: &Peer, message: Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        self.0.receive(&message, reply)
    }
}

/// The work that a member does for others, and for itself among them.
pub(super) struct Replication {
    hints: Arc<Hints>,
    mover: Arc<Mover>,
}

impl Replication {
    /// Ends the work; what was taken is written first.
    pub(super) fn stop(&self) {
        self.hints.stop();
        self.mover.stop();
    }
}

impl Node {
    /// Takes part in what is on several nodes. Once, when the node is open and listens.
    ///
    /// # Errors
    /// Those of the disk, on which hints are kept.
    pub(super) fn replicate(&self, connected: &Connected) -> Result<(), OpenError> {
        let (shared, world, internode) = (&self.shared, self.world(), &connected.internode);
        let services = &shared.services;
        let own = self.identity().host_id;
        let options = HintOptions::new(shared.dir.join("hints"));
        let store = HintStore::open(world.disk.clone(), world.random.clone(), options);
        let store = store.map_err(|error| OpenError::Cluster(format!("hints: {error}")))?;
        let hints = Arc::new(Hints::new(
            store,
            own,
            HintsWorld {
                clock: world.clock.clone(),
                runtime: world.runtime.clone(),
                metadata: services.metadata.clone(),
                liveness: self.liveness().clone(),
                internode: internode.clone(),
            },
        ));
        services.coordinator.set_peers(Peers {
            internode: internode.clone(),
            liveness: self.liveness().clone(),
            reads: Arc::new(ReadWorld {
                engine: services.engine.clone(),
                internode: internode.clone(),
                clock: world.clock.clone(),
                runtime: world.runtime.clone(),
                latencies: Arc::default(),
                metrics: ReadMetrics::new(&connected.registry),
            }),
            hints: hints.clone(),
        });
        self.answer_for_rows(Arc::new(Rows(Replica {
            writes: ReplicaWrites {
                engine: services.engine.clone(),
                metadata: services.metadata.clone(),
                clock: world.clock.clone(),
            },
            reads: ReplicaReader::new(
                services.engine.clone(),
                services.metadata.clone(),
                shared.pool.clone(),
                world.clock.clone(),
            ),
        })));
        let mover = Arc::new(Mover::new(services.coordinator.clone(), world.runtime.clone()));
        let workers: [(&'static str, BoxFuture<'static, ()>); 3] = [
            ("helenus-hints", Box::pin(hints.clone().run())),
            ("helenus-mover", Box::pin(mover.clone().run())),
            ("helenus-batches", Box::pin(self.clone().replay_batches())),
        ];
        for (name, work) in workers {
            self.spawn_counted_worker(name, work);
        }
        drop(shared.replication.set(Replication { hints, mover }));
        Ok(())
    }

    /// How far this node is with the data that it is to receive, if there is any.
    pub(crate) fn move_progress(&self) -> Option<crate::coordinator::MoveProgress> {
        self.shared.replication.get()?.mover.progress()
    }

    /// Replays the batches that coordinators have left behind.
    async fn replay_batches(self) {
        let runtime = self.world().runtime.clone();
        loop {
            let epoch = self.shared.stopped.epoch();
            if self.is_stopping() {
                return;
            }
            match batch_log::replay_some(&self.shared.services.coordinator).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "replayed logged batches that were left behind"),
                Err(error) => tracing::warn!(%error, "batches that were left behind have to wait"),
            }
            wait(runtime.as_ref(), BATCHES_EVERY, &self.shared.stopped, epoch).await;
        }
    }
}
