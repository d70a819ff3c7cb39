//! What all connections of a node share.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use helenus_platform::clock::Clock;
use helenus_platform::net::Network;
use helenus_platform::random::Random;
use helenus_platform::runtime::{BoxFuture, Runtime};
use helenus_platform::signal::Signal;
use helenus_platform::stop::Stop;

use super::error::RequestError;
use super::handshake::Hello;
use super::lane::Lane;
use super::limits::Limits;
use super::memory::ReceiveMemory;
use super::metrics::InternodeMetrics;
use super::own::{Own, VERSIONS};
use super::pending::Waiting;
use super::registry::Registry;
use super::verb::Channel;
use super::{Target, World};
use crate::telemetry::LineLimiter;

pub(super) struct Shared {
    pub(super) network: Arc<dyn Network>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    own: Mutex<Own>,
    /// It has a cluster: asked for every message.
    is_member: AtomicBool,
    /// Tells this node from a copy of it.
    pub(super) instance: u64,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<InternodeMetrics>,
    pub(super) lanes: RwLock<BTreeMap<(Target, Channel), Arc<Lane>>>,
    /// Bytes in all queues.
    pub(super) queued_bytes: AtomicUsize,
    /// Notified when a lane has something with a deadline again.
    pub(super) work: Signal,
    /// Connections of other nodes.
    pub(super) registry: Registry,
    pub(super) receive: Arc<ReceiveMemory>,
    pub(super) stop: Stop,
    tasks: AtomicUsize,
    /// Notified when the last task has ended.
    pub(super) ended: Signal,
    lines: LineLimiter,
}

impl Shared {
    pub(super) fn new(
        world: World,
        own: Own,
        limits: Limits,
        metrics: Arc<InternodeMetrics>,
    ) -> Self {
        let World { network, runtime, clock, random } = world;
        // Any one frame must fit, or it would wait for ever.
        let frame_max = 2 * super::frame::body_bytes_max(limits.message_bytes_max) + 64;
        Shared {
            instance: random.next_u64(),
            network,
            runtime,
            clock,
            random,
            is_member: AtomicBool::new(own.cluster_id.is_some()),
            own: Mutex::new(own),
            receive: ReceiveMemory::new(limits.receive_bytes.max(frame_max)),
            limits,
            metrics,
            lanes: RwLock::default(),
            queued_bytes: AtomicUsize::new(0),
            work: Signal::new(),
            registry: Registry::default(),
            stop: Stop::default(),
            tasks: AtomicUsize::new(0),
            ended: Signal::new(),
            lines: LineLimiter::default(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn own(&self) -> Own {
        *self.lock_own()
    }

    /// The node belongs to this cluster now; says whether that is news.
    pub(super) fn set_cluster(&self, cluster_id: [u8; 16]) -> bool {
        let before = self.lock_own().cluster_id.replace(cluster_id);
        self.is_member.store(true, Ordering::SeqCst);
        before != Some(cluster_id)
    }

    pub(super) fn is_member(&self) -> bool {
        self.is_member.load(Ordering::Relaxed)
    }

    pub(super) fn lock_own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hello(&self, expected: Option<[u8; 16]>, channel: Channel) -> Hello {
        Hello {
            versions: VERSIONS,
            own: self.own(),
            instance: self.instance,
            expected,
            channel: channel as u8,
            lz4: self.limits.compression,
        }
    }

    pub(super) fn all_lanes(&self) -> Vec<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether a line that a peer can cause may be written to the log, and if so, how many were
    /// left out before it.
    pub(super) fn admit_line(&self) -> Option<u64> {
        self.lines.admit(self.now())
    }

    /// Tells who waits what became of the request. A panic there must not cost the connection.
    pub(super) fn respond(&self, waiting: Waiting, response: Result<Bytes, RequestError>) {
        let Some(to) = waiting.to else { return };
        let told = catch_unwind(AssertUnwindSafe(|| to.respond(waiting.tag, response)));
        if told.is_err() {
            self.metrics.panics.increment();
            tracing::error!("taking the answer of another node panicked");
        }
    }

    /// Starts a task that [`Shared::ended`] waits for.
    pub(super) fn spawn(self: &Arc<Self>, name: &'static str, task: BoxFuture<'static, ()>) {
        let running = Running::new(self.clone());
        let task = async move {
            task.await;
            drop(running);
        };
        self.runtime.spawn(name, Box::pin(task));
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::SeqCst)
    }
}

/// Counts a task, also one that is dropped or panics.
struct Running(Arc<Shared>);

impl Running {
    fn new(shared: Arc<Shared>) -> Self {
        shared.tasks.fetch_add(1, Ordering::SeqCst);
        Running(shared)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_all();
        }
    }
}
