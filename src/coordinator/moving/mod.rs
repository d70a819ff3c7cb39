//! Data on the move: how a node gets what it is to have, and says so.
//!
//! Whenever the ring or a keyspace's replication changes, some nodes become *pending* for some
//! ranges ([`Placement`]). From then on they are sent every write. What was
//! written before they copy from those who have it (`copy.rs`). Then they say so in the metadata
//! log ([`Change::Received`]), and when everybody has, the move is over:
//!
//! - a node that joins becomes a normal member;
//! - a node that leaves has left;
//! - a keyspace whose replication was changed is where the new replication says.
//!
//! Each of these is committed only if the ring is still the one that it was decided by. A node
//! that is restarted in between copies again; copying twice changes nothing.

mod copy;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use helenus_platform::runtime::Runtime;
use helenus_platform::signal::Signal;
use helenus_storage::model::KeyspaceId;

use super::placement::{PlacedRange, Placement};
use super::requests::Coordinator;
use crate::cluster::change::Change;
use crate::cluster::members::{Member, MemberState};
use crate::cluster::raft::Role;
use crate::cluster::state::ClusterState;
use crate::error::{Error, Result};
use crate::schema::{KeyspaceKind, TableSource};

/// Rest after something that could not be done.
const RETRY: Duration = Duration::from_secs(1);
/// Others' liveness does not move the metadata, so it is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How far a node is with what it is to receive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoveProgress {
    /// Parts (a range of a table from one node) that there are.
    pub parts: usize,
    /// Parts that are here.
    pub done: usize,
    /// Bytes received so far.
    pub bytes: u64,
    /// Why it does not go on, if it does not.
    pub waits_for: Option<String>,
}

/// Sees to the moves that concern this node.
pub struct Mover {
    // Fixed.
    coordinator: Arc<Coordinator>,
    runtime: Arc<dyn Runtime>,
    own: [u8; 16],
    // Synchronised by themselves.
    stopping: AtomicBool,
    work: Signal,
    progress: Mutex<Option<MoveProgress>>,
}

impl std::fmt::Debug for Mover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mover").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

/// What a look at the state led to.
enum Step {
    /// Something was changed: look again.
    Again,
    /// There is nothing to do here before the state changes.
    Nothing,
}

/// A range that this node is to have.
struct Pending {
    keyspace: KeyspaceId,
    name: String,
    placement: Arc<Placement>,
    range: PlacedRange,
}

impl Mover {
    /// The mover of a node whose coordinator has peers.
    pub fn new(coordinator: Arc<Coordinator>, runtime: Arc<dyn Runtime>) -> Mover {
        let own = coordinator.metadata.host_id();
        Mover {
            coordinator,
            runtime,
            own,
            stopping: AtomicBool::new(false),
            work: Signal::new(),
            progress: Mutex::default(),
        }
    }

    /// How far this node is; none if it is to receive nothing.
    pub fn progress(&self) -> Option<MoveProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_progress(&self, progress: Option<MoveProgress>) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    /// Ends [`Mover::run`] at its next rest, or at the next page.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.work.notify_all();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Works until it is stopped; on a thread that may wait for the disk.
    pub async fn run(self: Arc<Self>) {
        let mut complaint = String::new();
        loop {
            let metadata = &self.coordinator.metadata;
            let (epoch, work) = (metadata.signal().epoch(), self.work.epoch());
            if self.is_stopping() {
                return;
            }
            let state = metadata.state();
            let pause = match self.step(&state).await {
                Ok(Step::Again) => continue,
                Ok(Step::Nothing) => LOOK_AGAIN,
                Err(error) => {
                    let is_over = self.is_stopping() || metadata.has_left();
                    if complaint != error.message && !is_over {
                        tracing::warn!(%error, "data that this node is to have has to wait");
                        complaint.clone_from(&error.message);
                    }
                    RETRY
                }
            };
            let mut sleep = self.runtime.sleep(pause);
            let mut moved = pin!(metadata.signal().wait_past(epoch));
            let mut stopped = pin!(self.work.wait_past(work));
            poll_fn(|context| {
                let is_over = moved.as_mut().poll(context).is_ready()
                    || stopped.as_mut().poll(context).is_ready()
                    || sleep.as_mut().poll(context).is_ready();
                if is_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    async fn step(&self, state: &Arc<ClusterState>) -> Result<Step> {
        let Some(own) = state.members.get(&self.own) else { return Ok(Step::Nothing) };
        if self.coordinator.metadata.has_left() {
            return Ok(Step::Nothing);
        }
        let pending = self.pending(state)?;
        let (host, ring_version) = (self.own, state.ring_version);
        if !pending.is_empty() && !has_received(state, &host) {
            self.receive(state, &pending).await?;
            return self.decide(ring_version, Change::Received { host, ring_version }).await;
        }
        self.set_progress(None);
        let member = |next| Change::PutMember(Member { state: next, ..Member::clone(own) });
        match own.state {
            MemberState::Joining => {
                tracing::info!("this node has its data and is a normal member now");
                return self.decide(ring_version, member(MemberState::Normal)).await;
            }
            MemberState::Leaving if self.all_received(state, None)? => {
                let metadata = &self.coordinator.metadata;
                let still = |now: &ClusterState| now.ring_version == ring_version;
                if still(&metadata.state()) {
                    metadata.set_member_state(host, MemberState::Left).await?;
                    tracing::info!("this node has left the cluster");
                    return Ok(Step::Again);
                }
            }
            _ => {}
        }
        if self.coordinator.metadata.standing().role == Role::Leader {
            for keyspace in state.moving.keys() {
                if self.all_received(state, Some(*keyspace))? {
                    let settled = Change::Settled { keyspace: *keyspace };
                    return self.decide(ring_version, settled).await;
                }
            }
        }
        Ok(Step::Nothing)
    }

    /// Has a change committed, if the ring is still that of this version.
    async fn decide(&self, ring_version: u64, change: Change) -> Result<Step> {
        let plan = |now: &ClusterState| {
            let still = now.ring_version == ring_version;
            Ok(if still { vec![change.clone()] } else { Vec::new() })
        };
        self.coordinator.metadata.change(plan).await?;
        Ok(Step::Again)
    }

    /// The ranges that this node is to have and does not own yet.
    fn pending(&self, state: &Arc<ClusterState>) -> Result<Vec<Pending>> {
        let mut pending = Vec::new();
        for keyspace in state.schema.keyspaces().values() {
            if keyspace.kind != KeyspaceKind::User {
                continue;
            }
            let placement = self.coordinator.placement(state, keyspace.id)?;
            let Some(own) = placement.own_number() else { continue };
            for range in placement.ranges() {
                if range.replicas.pending.contains(&own) {
                    let (placement, name) = (placement.clone(), keyspace.name.clone());
                    pending.push(Pending { keyspace: keyspace.id, name, placement, range });
                }
            }
        }
        Ok(pending)
    }

    /// Whether everybody who is to receive something, of this keyspace or of any, has it.
    fn all_received(&self, state: &Arc<ClusterState>, only: Option<KeyspaceId>) -> Result<bool> {
        let mut waiting = BTreeSet::new();
        for keyspace in state.schema.keyspaces().values() {
            if only.is_some_and(|only| only != keyspace.id) {
                continue;
            }
            let placement = self.coordinator.placement(state, keyspace.id)?;
            let numbers = placement.ranges().into_iter().flat_map(|r| r.replicas.pending.clone());
            waiting.extend(numbers.filter_map(|n| Some(placement.node(n)?.host_id)));
        }
        Ok(waiting.iter().all(|host| has_received(state, host)))
    }

    /// Copies all that is pending.
    async fn receive(&self, state: &Arc<ClusterState>, pending: &[Pending]) -> Result<()> {
        let tables = |name: &str| {
            let keyspace = state.schema.keyspace(name);
            let tables = keyspace.map(|keyspace| keyspace.tables.values().cloned());
            tables.into_iter().flatten().filter(|table| table.source == TableSource::Stored)
        };
        let parts = pending.iter().map(|p| tables(&p.name).count()).sum();
        let mut progress = MoveProgress { parts, ..MoveProgress::default() };
        self.set_progress(Some(progress.clone()));
        tracing::info!(ranges = pending.len(), parts, "receiving the data of ranges to come");
        let mut copy = copy::Copy::new(self, state);
        for part in pending {
            for table in tables(&part.name) {
                let done = copy.table(part.keyspace, &part.placement, &part.range, table.id).await;
                progress.waits_for = done.as_ref().err().map(Error::to_string);
                progress.bytes = copy.bytes;
                progress.done += usize::from(done.is_ok());
                self.set_progress(Some(progress.clone()));
                done?;
            }
        }
        copy.durable().await?;
        tracing::info!(bytes = progress.bytes, "received the data of ranges to come");
        Ok(())
    }
}

/// Whether a member has said that it has what this ring brings it.
fn has_received(state: &ClusterState, host: &[u8; 16]) -> bool {
    state.received.get(host).is_some_and(|version| *version >= state.ring_version)
}
