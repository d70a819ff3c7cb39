//! The metadata of a node: the state that the cluster agrees on, and how it changes (decision D6).
//!
//! What is planned against one state is committed only as the very next entry after it, and then
//! leads to the next state. A cluster of one commits by syncing its log; with more members the
//! same log is a Raft group's.
//!
//! ```text
//! change (propose.rs)      plans, asks the leader, waits until it is applied everywhere
//!    | inputs
//! group (group.rs)         a worker: the Raft state machine, the log on disk, messages
//!    | committed entries
//! applier (apply.rs)       a worker: makes entries real in the engine, publishes the new state
//! upkeep (upkeep.rs)       a task: our own entry, voters, the feature level
//! ```
//!
//! Before [`Metadata::start`] it can only be read.

mod apply;
mod group;
mod join;
mod propose;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use helenus_platform::channel::{self, Sender};
use helenus_platform::clock::Clock;
use helenus_platform::disk::Disk;
use helenus_platform::random::Random;
use helenus_platform::runtime::{BoxFuture, Runtime};
use helenus_platform::signal::Signal;

use self::apply::Apply;
use self::group::{Group, Input};
use super::change::{Change, encode_payload};
use super::members::{FEATURE_LEVEL, Member, Members};
use super::metadata_log::{MetadataLog, MetadataLogError, Recovered};
use super::raft::{Entry, NodeId, Role, Snapshot, Timing, Vote};
use super::state::ClusterState;
use super::transport::{Liveness, MemberAddress, MetadataTransport, Reply, Request, RequestBody};
use super::wait::Turnstile;
use crate::error::{Error, Result};
use crate::schema::{self, Schema};

pub use self::join::{Joined, join};
pub use self::propose::Changed;
#[cfg(test)]
pub(crate) use self::simulation::{Plant, planted};

/// Inputs that may wait for the group before senders do.
const INBOX: usize = 1024;

/// Who makes the effects of a change real, between its commit and its becoming visible.
pub trait Applier: Send + Sync {
    /// Called where the changes are proposed, before they are, and elsewhere before they are
    /// applied; with the state that they were planned against. Blocks on the disk.
    ///
    /// # Errors
    /// Nothing is proposed; elsewhere they are applied all the same.
    fn prepare(&self, _before: &ClusterState, _changes: &[schema::Change]) -> Result<()> {
        Ok(())
    }

    /// Called with the states before and after, on a worker. Blocks on the disk.
    ///
    /// # Errors
    /// The change is committed and will be applied at the next start; the node must not go on
    /// as if it had been.
    fn apply(
        &self,
        before: &ClusterState,
        after: &ClusterState,
        changes: &[schema::Change],
    ) -> Result<()>;

    /// Called when the state after is the one that everybody sees, and before whoever waits for
    /// it is told. Must not block.
    fn published(&self, _before: &ClusterState, _after: &ClusterState) {}
}

/// What a group of members needs of the node that it runs on.
#[derive(Clone)]
pub struct Running {
    /// Runs its workers and tasks.
    pub runtime: Arc<dyn Runtime>,
    /// Where chance comes from.
    pub random: Arc<dyn Random>,
    /// Makes changes real.
    pub applier: Arc<dyn Applier>,
    /// Reaches other members.
    pub transport: Arc<dyn MetadataTransport>,
    /// Knows who is up.
    pub liveness: Arc<dyn Liveness>,
    /// This node as it wants to be known: addresses, place, feature level. Tokens, state and vote
    /// are the cluster's to decide and not looked at.
    pub own: Member,
    /// How long things take.
    pub timing: Timing,
}

/// The metadata of a node; see the module's head.
pub struct Metadata {
    inner: Arc<Inner>,
}

/// What the group, the applier and everybody else share.
struct Inner {
    // Fixed after open.
    cluster_id: [u8; 16],
    host_id: NodeId,
    clock: Arc<dyn Clock>,
    // Set once.
    running: OnceLock<(Running, Sender<Input>)>,
    /// Why changes are refused until the node is restarted.
    failure: OnceLock<Error>,
    // Synchronised by themselves.
    state: ArcSwap<ClusterState>,
    /// What this node is to the group: changed by the group.
    standing: ArcSwap<Standing>,
    /// Moves when a state was published, the standing has changed, something has failed, or the
    /// node stops.
    moved: Signal,
    /// One change of this node's own at a time: others would only conflict.
    turnstile: Turnstile,
    stopping: AtomicBool,
    /// Another member says that this node has left: what it can no longer be sent.
    told_left: AtomicBool,
    /// Workers and tasks that have not ended yet.
    alive: AtomicUsize,
    // Guarded by themselves.
    /// Members that say that they are elsewhere than the state says.
    moved_to: Mutex<BTreeMap<NodeId, SocketAddr>>,
    /// Taken by `start`.
    opened: Mutex<Option<(MetadataLog, Recovered)>>,
    /// What the applier is to do next.
    to_apply: Mutex<VecDeque<Apply>>,
    to_apply_filled: Signal,
    /// Held while an entry is applied.
    applying: Mutex<()>,
}

/// What a node is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Leader, follower, or standing for election.
    pub role: Role,
    /// The term of the group.
    pub term: u64,
    /// Who leads, as far as is known.
    pub leader: Option<NodeId>,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metadata").field("version", &self.state().version).finish()
    }
}

impl Metadata {
    /// Founds a cluster of which `founder` is the only member, in `dir`, which must exist.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn create(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        cluster_id: [u8; 16],
        founder: Member,
    ) -> Result<Self> {
        let host_id = founder.host_id;
        let founder = Member { voter: true, ..founder };
        let config = Members::default().with(founder.clone()).config();
        let changes = [Change::PutMember(founder), Change::FeatureLevel(FEATURE_LEVEL)];
        let entry = Entry {
            index: 1,
            term: 1,
            wall_micros: clock.wall_micros(),
            config: Some(Arc::new(config)),
            payload: encode_payload(&cluster_id, &changes).into(),
        };
        let vote = Vote { term: 1, voted_for: Some(host_id) };
        MetadataLog::create(disk.as_ref(), dir, cluster_id, None, &vote, &[entry])
            .map_err(|error| refused(&error))?;
        Self::open(disk, clock, dir, cluster_id, host_id, 1)
    }

    /// Makes the metadata of a node that has been taken into a cluster: nothing yet, the others
    /// send it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn create_joining(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        cluster_id: [u8; 16],
        host_id: NodeId,
    ) -> Result<Self> {
        MetadataLog::create(disk.as_ref(), dir, cluster_id, None, &Vote::default(), &[])
            .map_err(|error| refused(&error))?;
        Self::open(disk, clock, dir, cluster_id, host_id, 0)
    }

    /// Reads the metadata in `dir`, in which the change `committed` must be.
    ///
    /// # Errors
    /// Damaged files and those of other versions are named.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        cluster_id: [u8; 16],
        host_id: NodeId,
        committed: u64,
    ) -> Result<Self> {
        let (log, mut recovered) =
            MetadataLog::open(disk, dir, cluster_id, committed).map_err(|error| refused(&error))?;
        let (log_path, snapshot_path) = log.paths();
        let in_file =
            |path: &Path, error: Error| Error::server(format!("{}: {error}", path.display()));
        let mut state = match &recovered.snapshot {
            Some(found) => ClusterState::decode(&found.state, found.index)
                .map_err(|error| in_file(&snapshot_path, error))?,
            None => ClusterState::empty()?,
        };
        let voters = &recovered.log.config().voters;
        if voters.len() == 1 && voters.contains(&host_id) {
            recovered.commit = recovered.log.last_index();
        }
        for entry in recovered.log.from(state.version + 1) {
            if entry.index > recovered.commit {
                break;
            }
            state = state.after(entry).map_err(|error| in_file(&log_path, error))?.0;
        }
        let standing = Standing { role: Role::Follower, term: 0, leader: None };
        Ok(Self {
            inner: Arc::new(Inner {
                cluster_id,
                host_id,
                clock,
                running: OnceLock::new(),
                failure: OnceLock::new(),
                state: ArcSwap::from_pointee(state),
                standing: ArcSwap::from_pointee(standing),
                moved: Signal::new(),
                turnstile: Turnstile::default(),
                stopping: AtomicBool::new(false),
                told_left: AtomicBool::new(false),
                alive: AtomicUsize::new(0),
                moved_to: Mutex::default(),
                opened: Mutex::new(Some((log, recovered))),
                to_apply: Mutex::default(),
                to_apply_filled: Signal::new(),
                applying: Mutex::new(()),
            }),
        })
    }

    /// Founds a metadata log in `dir`, which must exist, that begins with `state`, in a cluster of
    /// which `host_id` is the only member.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn export(
        state: &ClusterState,
        disk: &Arc<dyn Disk>,
        dir: &Path,
        cluster_id: [u8; 16],
        host_id: NodeId,
    ) -> Result<()> {
        let alone = state.members.get(&host_id).map(|member| Member::clone(member));
        let alone = alone.map(|member| Member { voter: true, ..member });
        let members = alone.map(|member| Members::default().with(member)).unwrap_or_default();
        let config = Arc::new(members.config());
        let state = state.with_members(members)?;
        let index = state.version;
        let snapshot = Snapshot { index, term: 1, config, state: state.encode() };
        let vote = Vote { term: 1, voted_for: Some(host_id) };
        MetadataLog::create(disk.as_ref(), dir, cluster_id, Some(&snapshot), &vote, &[])
            .map_err(|error| refused(&error))
    }

    /// Begins to take part: from now on it can change. To be called once.
    pub fn start(&self, running: Running) {
        let inner = &self.inner;
        let Some((log, recovered)) = locked(&inner.opened).take() else { return };
        let (sender, inbox) = channel::bounded(INBOX);
        if inner.running.set((running.clone(), sender.clone())).is_err() {
            return;
        }
        let group = Group::new(inner.clone(), running.clone(), log, recovered, inbox, sender);
        let runtime = running.runtime.clone();
        inner.alive.fetch_add(3, Ordering::SeqCst);
        runtime.spawn_worker("helenus-metadata", ended(inner.clone(), group.run()));
        let applier = apply::run(inner.clone(), running.applier.clone());
        runtime.spawn_worker("helenus-applier", ended(inner.clone(), applier));
        let upkeep = upkeep::run(inner.clone(), running);
        runtime.spawn("metadata upkeep", ended(inner.clone(), upkeep));
    }

    /// Ends taking part, and waits until nothing of it writes any more.
    pub async fn stop(&self) {
        self.inner.stop();
        loop {
            let epoch = self.inner.moved.epoch();
            if self.inner.alive.load(Ordering::SeqCst) == 0 {
                return;
            }
            self.inner.moved.wait_past(epoch).await;
        }
    }

    /// Runs `action` with the newest state while no change can be applied.
    pub fn held<T>(&self, action: impl FnOnce(&ClusterState) -> T) -> T {
        let _applying = locked(&self.inner.applying);
        action(&self.state())
    }

    /// The newest state that this node has applied.
    #[must_use]
    pub fn state(&self) -> Arc<ClusterState> {
        self.inner.state.load_full()
    }

    /// The version that changed last where partitions are: cheaper than the whole state.
    #[must_use]
    pub fn ring_version(&self) -> u64 {
        self.inner.state.load().ring_version
    }

    /// Its schema.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.inner.state.load().schema.clone()
    }

    /// The cluster that it belongs to.
    #[must_use]
    pub fn cluster_id(&self) -> [u8; 16] {
        self.inner.cluster_id
    }

    /// This node.
    #[must_use]
    pub fn host_id(&self) -> NodeId {
        self.inner.host_id
    }

    /// Whether this node has left the cluster, as far as it knows.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.inner.has_left()
    }

    /// What this node is to the group.
    #[must_use]
    pub fn standing(&self) -> Standing {
        **self.inner.standing.load()
    }

    /// Moves whenever a state is published; also at other times.
    #[must_use]
    pub fn signal(&self) -> &Signal {
        &self.inner.moved
    }

    /// Waits until this node has applied `version`; answers what it has when it has, or when
    /// `timeout` is over. Whoever serves a request that names a version calls this first.
    pub async fn reached(&self, version: u64, timeout: Duration) -> u64 {
        self.inner.reached(version, timeout).await
    }

    /// Answers a request of another member. `peer` is who the transport knows the sender to be, if
    /// it knows.
    pub fn handle(&self, peer: Option<NodeId>, request: Bytes) -> BoxFuture<'static, Bytes> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let reply = match Request::decode(&request) {
                Ok(request) => inner.answer(peer, request).await,
                Err(error) => Reply::Refused(format!("the request cannot be read: {error}")),
            };
            reply.encode()
        })
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // Whatever else holds the inner part works for whoever holds this one.
        self.inner.stop();
    }
}

impl Inner {
    fn running(&self) -> Result<&(Running, Sender<Input>)> {
        let stopped = self.stopping.load(Ordering::SeqCst);
        self.running.get().filter(|_| !stopped).ok_or_else(|| {
            Error::server("the metadata of this node cannot be changed: it is not running")
        })
    }

    fn check_failure(&self) -> Result<()> {
        self.failure.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn fail(&self, error: Error) {
        tracing::error!(%error, "changes of the schema are refused until the node is restarted");
        // The first failure says most.
        drop(self.failure.set(error));
        self.moved.notify_all();
    }

    fn stop(&self) {
        if self.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Some((_, inbox)) = self.running.get() {
            // A full inbox wakes the group as well.
            drop(inbox.try_send(Input::Stop));
        }
        self.to_apply_filled.notify_all();
        self.moved.notify_all();
    }

    fn has_left(&self) -> bool {
        let told = self.told_left.load(Ordering::SeqCst);
        told || self.state.load().members.has_left(&self.host_id)
    }

    /// Looks whether a reply says that this node has left: nobody sends it the entry that says so,
    /// once that is in force.
    fn heed(&self, reply: &Reply) {
        if *reply == Reply::Left && !self.told_left.swap(true, Ordering::SeqCst) {
            self.moved.notify_all();
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    async fn reached(&self, version: u64, timeout: Duration) -> u64 {
        let until = self.clock.monotonic() + timeout;
        loop {
            let epoch = self.moved.epoch();
            let now = self.clock.monotonic();
            let applied = self.state.load().version;
            let given_up = self.is_stopping() || self.failure.get().is_some() || now >= until;
            if applied >= version || given_up {
                return applied;
            }
            let Ok((running, _)) = self.running() else { return applied };
            let moved = self.moved.wait_past(epoch);
            super::wait::within(&running.runtime, Some(until - now), moved).await;
        }
    }

    /// Asks the group, which answers when what it answers is durable.
    async fn ask<T>(&self, input: impl FnOnce(Sender<T>) -> Input) -> Option<T> {
        let (_, inbox) = self.running().ok()?;
        let (sender, mut receiver) = channel::bounded(1);
        inbox.send(input(sender)).await.ok()?;
        receiver.recv().await
    }

    async fn answer(&self, peer: Option<NodeId>, request: Request) -> Reply {
        let own = self.host_id;
        let refuse = |sentence: &str| Reply::Refused(sentence.to_owned());
        if request.to != NodeId::default() && request.to != own {
            return refuse("another node has this address now");
        }
        if peer.is_some_and(|peer| peer != request.from) {
            return refuse("the sender is not who it says it is");
        }
        let joins = matches!(request.body, RequestBody::Join(_));
        if request.cluster_id != self.cluster_id && !joins {
            return refuse("the sender belongs to another cluster");
        }
        let from = request.from;
        self.note_address(from, request.from_address);
        if self.state.load().members.has_left(&from) {
            return Reply::Left;
        }
        match request.body {
            RequestBody::Join(member) => match self.take_in(request.cluster_id, member).await {
                Ok(reply) => reply,
                Err(error) => Reply::Refused(error.message),
            },
            RequestBody::Raft(message) => {
                if let Err(error) = apply::check_readable(&message) {
                    return Reply::Refused(error.message);
                }
                let input = |reply| Input::Message { from, message, reply: Some(reply) };
                self.ask(input).await.map_or_else(|| refuse(STOPPED), Reply::Raft)
            }
            RequestBody::Propose { base, config, payload } => {
                let input = |reply| Input::Propose { base, config, payload, reply };
                // Who does not take part any more leads nobody: the proposer looks for who does.
                self.ask(input).await.unwrap_or(Reply::Elsewhere(None))
            }
            RequestBody::Await { version } => {
                Reply::Applied(self.reached(version, propose::AGREEMENT_TIMEOUT).await)
            }
        }
    }

    fn request(&self, running: &Running, to: NodeId, body: RequestBody) -> Bytes {
        let (cluster_id, from) = (self.cluster_id, self.host_id);
        let from_address = running.own.internode_address;
        Request { cluster_id, from, from_address, to, body }.encode()
    }

    /// Remembers where a member is now, until the log says so: without it, who has moved could not
    /// be reached to agree on where it is.
    fn note_address(&self, host: NodeId, address: SocketAddr) {
        let state = self.state.load();
        let Some(member) = state.members.get(&host) else { return };
        let mut moved_to = locked(&self.moved_to);
        if member.internode_address == address {
            moved_to.remove(&host);
        } else {
            moved_to.insert(host, address);
        }
    }

    /// Where a member is reached.
    fn address_of(&self, host: &NodeId) -> Option<MemberAddress> {
        let noted = locked(&self.moved_to).get(host).copied();
        let agreed = || self.state.load().members.get(host).map(|m| m.internode_address);
        let address = noted.or_else(agreed)?;
        Some(MemberAddress { host_id: Some(*host), address })
    }
}

/// What is told while the node stops.
const STOPPED: &str = "the node is stopping";

fn refused(error: &MetadataLogError) -> Error {
    Error::server(error.to_string())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that a part has ended, however it did.
struct Alive(Arc<Inner>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
        self.0.moved.notify_all();
    }
}

fn ended(
    inner: Arc<Inner>,
    part: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, ()> {
    let alive = Alive(inner);
    Box::pin(async move {
        part.await;
        drop(alive);
    })
}
