//! Hints at work: a worker that writes what was taken once a second, and brings it to those who
//! are back.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use helenus_platform::clock::Clock;
use helenus_platform::runtime::Runtime;
use helenus_platform::signal::Signal;
use helenus_storage::model::MutationRef;

use super::dispatch::{DispatchOptions, HintDispatch};
use super::store::{HintCounts, HintCursor, HintStore, HostId, SmallestGrace, Taken};
use crate::cluster::members::MemberState;
use crate::cluster::metadata::Metadata;
use crate::cluster::state::ClusterState;
use crate::cluster::transport::Liveness;
use crate::coordinator::{failure, mutation_message};
use crate::error::{Error, Result};
use crate::internode::{Internode, Request, RequestError, Responses, Target, Verb};
use crate::schema::Schema;

/// How often what was taken is written.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// How long the target of a batch may take to acknowledge all of it.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// What hints need of the node.
pub struct HintsWorld {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Sleeps.
    pub runtime: Arc<dyn Runtime>,
    /// Who the members are, and how long what their tables say may be needed.
    pub metadata: Arc<Metadata>,
    /// Who is up.
    pub liveness: Arc<dyn Liveness>,
    /// The way to them.
    pub internode: Arc<Internode>,
}

/// Hints of a node, taken, kept and delivered.
pub struct Hints {
    // Fixed.
    store: HintStore,
    world: HintsWorld,
    own: [u8; 16],
    // Synchronised by themselves.
    work: Signal,
    stopping: AtomicBool,
    /// Somebody waits for a flush.
    flush_wanted: AtomicBool,
    /// Flushes that have begun, and of those the last one that succeeded.
    flushes: AtomicU64,
    flushed: AtomicU64,
    flush_ended: Signal,
    counts: Counts,
    /// Since when members are down, as far as this node has seen.
    down_since: Mutex<BTreeMap<[u8; 16], Duration>>,
    delivered: Mutex<Vec<Delivered>>,
}

/// What has been counted since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Hints taken.
    pub taken: AtomicU64,
    /// Hints not taken: the window is over, too many, too large.
    pub refused: AtomicU64,
    /// Hints acknowledged by their targets.
    pub delivered: AtomicU64,
    /// Batches that were not.
    pub failed_batches: AtomicU64,
    /// Hints that were passed over because they are too old or their tables are gone.
    pub expired: AtomicU64,
}

struct Delivered {
    target: HostId,
    cursor: HintCursor,
    hints: u64,
    all: bool,
}

/// A batch on its way.
struct Batch {
    hints: Weak<Hints>,
    target: HostId,
    cursor: HintCursor,
    count: u64,
    left: AtomicU64,
    failed: AtomicBool,
}

impl Responses for Batch {
    fn respond(&self, _tag: u32, response: std::result::Result<Bytes, RequestError>) {
        let is_lost = match &response {
            Ok(_) => false,
            // Its table was dropped there: nothing that could be delivered.
            Err(RequestError::Failed(failed)) => failed.code != failure::UNKNOWN_TABLE,
            Err(_) => true,
        };
        self.failed.fetch_or(is_lost, Ordering::SeqCst);
        self.one_less();
    }
}

impl Batch {
    fn one_less(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        let Some(hints) = self.hints.upgrade() else { return };
        let all = !self.failed.load(Ordering::SeqCst);
        let (target, cursor, count) = (self.target, self.cursor, self.count);
        lock(&hints.delivered).push(Delivered { target, cursor, hints: count, all });
        hints.work.notify_all();
    }
}

struct Graces(Arc<Schema>);

impl SmallestGrace for Graces {
    fn smallest_grace_seconds(&self, mutation: &[u8]) -> Option<i64> {
        let mutation = MutationRef::parse(mutation).ok()?;
        let mut smallest = None;
        for update in mutation.tables() {
            let table = self.0.table_by_id(update.ok()?.table());
            let Some(table) = table else { continue };
            let grace = i64::from(table.options.gc_grace_seconds);
            smallest = Some(smallest.map_or(grace, |known: i64| known.min(grace)));
        }
        smallest
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Hints {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hints").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Hints {
    /// The hints of node `own` in an open store.
    pub fn new(store: HintStore, own: [u8; 16], world: HintsWorld) -> Hints {
        Hints {
            store,
            world,
            own,
            work: Signal::new(),
            stopping: AtomicBool::new(false),
            flush_wanted: AtomicBool::new(false),
            flushes: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            flush_ended: Signal::new(),
            counts: Counts::default(),
            down_since: Mutex::default(),
            delivered: Mutex::default(),
        }
    }

    /// Takes a hint; whether it is kept.
    pub fn take(&self, target: [u8; 16], mutation: &[u8], created_micros: i64) -> bool {
        let since = lock(&self.down_since).get(&target).copied();
        let now = self.world.clock.monotonic();
        let down_for = since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let taken = self.store.take(HostId(target), mutation, created_micros, down_for);
        let count = if taken == Taken::Yes { &self.counts.taken } else { &self.counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
        taken == Taken::Yes
    }

    /// Waits until what was taken before survives a power cut.
    ///
    /// # Errors
    /// The disk refused.
    pub async fn flushed(&self) -> Result<()> {
        // A flush that has begun may have passed what was just taken.
        let wanted = self.flushes.load(Ordering::SeqCst) + 1;
        loop {
            let epoch = self.flush_ended.epoch();
            if self.flushed.load(Ordering::SeqCst) >= wanted {
                return Ok(());
            }
            if self.flushes.load(Ordering::SeqCst) >= wanted || self.is_stopping() {
                return Err(Error::server("a hint could not be written; the log has the reason"));
            }
            self.flush_wanted.store(true, Ordering::SeqCst);
            self.work.notify_all();
            self.flush_ended.wait_past(epoch).await;
        }
    }

    /// What is kept for whom.
    pub fn kept(&self) -> BTreeMap<[u8; 16], HintCounts> {
        self.store.counts().into_iter().map(|(host, counts)| (host.0, counts)).collect()
    }

    /// What has been counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Forgets all hints of a target, or of all.
    ///
    /// # Errors
    /// The disk refused.
    pub fn truncate(&self, target: Option<[u8; 16]>) -> Result<()> {
        let done = self.store.truncate(target.map(HostId));
        done.map_err(|error| Error::server(format!("cannot remove hints: {error}")))
    }

    /// Ends the worker, which writes what was taken first.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.work.notify_all();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The worker: on a thread that may wait for the disk. Ends when the hints are stopped.
    pub async fn run(self: Arc<Self>) {
        let mut dispatch = HintDispatch::new(DispatchOptions::default());
        self.store.counts().keys().for_each(|target| dispatch.has_hints(*target));
        let mut next_flush = self.world.clock.monotonic() + FLUSH_EVERY;
        let mut is_complaining = false;
        loop {
            let epoch = self.work.epoch();
            let now = self.world.clock.monotonic();
            let is_last = self.is_stopping();
            let state = self.world.metadata.state();
            self.look_around(&state, &mut dispatch, now);
            if now >= next_flush || is_last || self.flush_wanted.swap(false, Ordering::SeqCst) {
                self.flush(&mut dispatch, &mut is_complaining);
                next_flush = now + FLUSH_EVERY;
            }
            if is_last {
                return;
            }
            self.take_deliveries(&mut dispatch, now);
            for send in dispatch.next(now) {
                self.send(&state, &mut dispatch, send.target, send.bytes_max, now);
            }
            let until = dispatch.wake_at().map_or(next_flush, |at| at.min(next_flush));
            let pause = until.saturating_sub(now).max(Duration::from_millis(1));
            let mut sleep = self.world.runtime.sleep(pause);
            let mut moved = pin!(self.work.wait_past(epoch));
            poll_fn(|context| match moved.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => sleep.as_mut().poll(context),
            })
            .await;
        }
    }

    /// Who is up, who is down since when, and who has left.
    fn look_around(&self, state: &ClusterState, dispatch: &mut HintDispatch, now: Duration) {
        let mut down_since = lock(&self.down_since);
        let mut gone = Vec::new();
        for member in state.members.all().filter(|member| member.host_id != self.own) {
            let target = HostId(member.host_id);
            if member.state == MemberState::Left {
                down_since.remove(&member.host_id);
                dispatch.removed(target);
                gone.push(target);
            } else if self.world.liveness.is_up(&member.host_id) {
                down_since.remove(&member.host_id);
                dispatch.up(target, now);
            } else {
                down_since.entry(member.host_id).or_insert(now);
                dispatch.down(target);
            }
        }
        drop(down_since);
        if gone.is_empty() {
            return;
        }
        let kept = self.store.counts();
        for target in gone.into_iter().filter(|target| kept.contains_key(target)) {
            if let Err(error) = self.store.truncate(Some(target)) {
                tracing::warn!(%error, "cannot remove the hints of a node that has left");
            }
        }
    }

    fn flush(&self, dispatch: &mut HintDispatch, is_complaining: &mut bool) {
        let number = self.flushes.fetch_add(1, Ordering::SeqCst) + 1;
        match self.store.flush() {
            Ok(()) => {
                self.flushed.store(number, Ordering::SeqCst);
                *is_complaining = false;
            }
            Err(error) if !*is_complaining => {
                tracing::error!(%error, "cannot write hints; they are kept in memory meanwhile");
                *is_complaining = true;
            }
            Err(_) => {}
        }
        self.flush_ended.notify_all();
        self.store.counts().keys().for_each(|target| dispatch.has_hints(*target));
    }

    fn take_deliveries(&self, dispatch: &mut HintDispatch, now: Duration) {
        let delivered = std::mem::take(&mut *lock(&self.delivered));
        for Delivered { target, cursor, hints, all } in delivered {
            if !all {
                self.counts.failed_batches.fetch_add(1, Ordering::Relaxed);
                self.store.rewind(target);
                dispatch.failed(target, now);
                continue;
            }
            self.counts.delivered.fetch_add(hints, Ordering::Relaxed);
            if let Err(error) = self.store.acknowledge(target, cursor) {
                tracing::warn!(%error, "cannot remove delivered hints");
            }
            dispatch.delivered(target);
        }
    }

    /// Sends the next batch of a target.
    fn send(
        self: &Arc<Self>,
        state: &ClusterState,
        dispatch: &mut HintDispatch,
        target: HostId,
        bytes_max: u64,
        now: Duration,
    ) {
        let graces = Graces(state.schema.clone());
        let wall = self.world.clock.wall_micros();
        let batch = match self.store.read(target, bytes_max, wall, &graces) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::warn!(%error, "cannot read hints");
                return dispatch.failed(target, now);
            }
        };
        for damage in &batch.damage {
            tracing::error!(%damage, lost_bytes = batch.damaged_bytes, "hints are damaged");
        }
        self.counts.expired.fetch_add(batch.expired, Ordering::Relaxed);
        let member = state.members.get(&target.0);
        let Some(member) = member.filter(|_| !batch.hints.is_empty()) else {
            if batch.expired > 0 || batch.damaged_bytes > 0 {
                // Nothing of what was passed over is to be looked at again.
                if let Err(error) = self.store.acknowledge(target, batch.cursor) {
                    tracing::warn!(%error, "cannot remove expired hints");
                }
            }
            return dispatch.sent(target, 0, now);
        };
        let bytes = batch.hints.iter().map(|hint| hint.mutation.len() as u64).sum();
        let count = batch.hints.len() as u64;
        let under_way = Arc::new(Batch {
            hints: Arc::downgrade(self),
            target,
            cursor: batch.cursor,
            count,
            // One more, so that it does not end before all are sent.
            left: AtomicU64::new(count + 1),
            failed: AtomicBool::new(false),
        });
        let address = Target { address: member.internode_address, host_id: Some(target.0) };
        let deadline = self.world.internode.deadline(DELIVERY_TIMEOUT);
        for hint in &batch.hints {
            let payload = mutation_message::encode(state.version, &hint.mutation);
            let request = Request { verb: Verb::HintedMutation, payload, deadline, trace: None };
            let sent = self.world.internode.request_with(&address, request, under_way.clone(), 0);
            if let Err(error) = sent {
                under_way.respond(0, Err(error));
            }
        }
        dispatch.sent(target, bytes, now);
        under_way.one_less();
    }
}
