//! The worker that takes part in the group: it feeds the Raft state machine, saves what it has to,
//! and only then lets messages leave and entries be applied. It waits for its disk and for nobody
//! else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use helenus_platform::channel::{Receiver, Sender};

use super::apply::Apply;
use super::{Inner, Running, Standing, locked};
use crate::cluster::metadata_log::{MetadataLog, MetadataLogError, Recovered};
use crate::cluster::raft::{Config, Message, NodeId, ProposeError, Raft, Role, Snapshot};
use crate::cluster::transport::{Reply, RequestBody};
use crate::cluster::wait::within;
use crate::error::Error;

/// How long a request to another member may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// What the group is told.
pub(super) enum Input {
    /// Somebody wants an entry behind `base`.
    Propose { base: u64, config: Option<Config>, payload: Bytes, reply: Sender<Reply> },
    /// A message, or the reply to one of ours.
    Message { from: NodeId, message: Message, reply: Option<Sender<Message>> },
    /// A message of ours was not answered.
    Failed(NodeId),
    /// The applier has come further.
    Applied,
    /// The node stops.
    Stop,
}

pub(super) struct Group {
    inner: Arc<Inner>,
    running: Running,
    raft: Raft,
    log: MetadataLog,
    inbox: Receiver<Input>,
    /// For the replies to our messages.
    sender: Sender<Input>,
    /// Entries up to here have been given to the applier.
    handed: u64,
}

/// What an input is answered with, once everything is saved.
enum Answer {
    None,
    Proposal(Sender<Reply>, Reply),
    Message(Sender<Message>, Message),
}

impl Group {
    pub(super) fn new(
        inner: Arc<Inner>,
        running: Running,
        log: MetadataLog,
        recovered: Recovered,
        inbox: Receiver<Input>,
        sender: Sender<Input>,
    ) -> Group {
        let Recovered { log: entries, vote, commit, .. } = recovered;
        let handed = inner.state.load().version;
        let now = inner.clock.monotonic();
        let (id, random) = (inner.host_id, running.random.clone());
        let raft = Raft::new(id, running.timing, random, vote, entries, commit, now);
        let group = Group { inner, running, raft, log, inbox, sender, handed };
        group.publish_standing();
        group
    }

    pub(super) async fn run(mut self) {
        while !self.inner.is_stopping() {
            let now = self.inner.clock.monotonic();
            let wait = self.raft.next_tick().map(|at| at.saturating_sub(now));
            let input = within(&self.running.runtime, wait, self.inbox.recv()).await;
            let answer = match input {
                None => {
                    self.raft.tick(self.inner.clock.monotonic());
                    Answer::None
                }
                Some(None | Some(Input::Stop)) => return,
                Some(Some(input)) => self.take(input),
            };
            if let Err(error) = self.save() {
                let term = self.raft.term();
                let standing = Standing { role: Role::Follower, term, leader: None };
                self.inner.standing.store(Arc::new(standing));
                self.inner.fail(Error::server(error.to_string()));
                return;
            }
            self.publish_standing();
            self.hand_over();
            // A receiver that is gone does not want the answer.
            match answer {
                Answer::None => {}
                Answer::Proposal(to, reply) => drop(to.try_send(reply)),
                Answer::Message(to, reply) => drop(to.try_send(reply)),
            }
            self.send();
        }
    }

    fn take(&mut self, input: Input) -> Answer {
        let now = self.inner.clock.monotonic();
        match input {
            Input::Propose { base, config, payload, reply } => {
                let wall = self.inner.clock.wall_micros();
                let answer = match self.raft.propose(base, payload, config, wall, now) {
                    Ok(index) => Reply::Taken(index),
                    Err(ProposeError::Conflict(last)) => Reply::Conflict(last),
                    Err(ProposeError::NotLeader(leader)) => Reply::Elsewhere(leader),
                    Err(ProposeError::TwoVoters) => {
                        Reply::Refused("the voters would change by more than one".to_owned())
                    }
                };
                Answer::Proposal(reply, answer)
            }
            Input::Message { from, message, reply } => {
                match (self.raft.receive(from, message, now), reply) {
                    (Some(message), Some(reply)) => Answer::Message(reply, message),
                    _ => Answer::None,
                }
            }
            Input::Failed(peer) => {
                self.raft.failed(&peer, now);
                Answer::None
            }
            Input::Applied | Input::Stop => Answer::None,
        }
    }

    /// Makes durable what must be, before anything of it is told.
    fn save(&mut self) -> Result<(), MetadataLogError> {
        let unsaved = self.raft.take_unsaved();
        let now = self.inner.clock.monotonic();
        if let Some(snapshot) = unsaved.snapshot {
            let (vote, commit) = (self.raft.vote(), self.raft.commit());
            self.log.replace(&snapshot, &vote, &unsaved.entries, commit)?;
            self.raft.saved(now);
            self.handed = snapshot.index;
            self.inner.to_apply(Apply::Snapshot(snapshot));
        } else if unsaved.vote.is_some() || !unsaved.entries.is_empty() {
            self.log.save(unsaved.vote.as_ref(), &unsaved.entries)?;
            self.raft.saved(now);
            self.log.mark(self.raft.commit())?;
        }
        if self.log.wants_snapshot() {
            self.compact()?;
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), MetadataLogError> {
        let Some(snapshot) = self.snapshot() else { return Ok(()) };
        let index = snapshot.index;
        let rest = self.raft.log().from(index + 1).to_vec();
        self.log.replace(&snapshot, &self.raft.vote(), &rest, self.raft.commit())?;
        self.raft.compacted(index);
        Ok(())
    }

    /// The state as it is applied.
    fn snapshot(&self) -> Option<Snapshot> {
        let state = self.inner.state.load_full();
        let (index, log) = (state.version, self.raft.log());
        let term = log.term_at(index)?;
        Some(Snapshot { index, term, config: log.config_at(index).clone(), state: state.encode() })
    }

    fn publish_standing(&self) {
        let raft = &self.raft;
        let standing = Standing { role: raft.role(), term: raft.term(), leader: raft.leader() };
        if **self.inner.standing.load() != standing {
            self.inner.standing.store(Arc::new(standing));
            self.inner.moved.notify_all();
        }
    }

    fn hand_over(&mut self) {
        while self.handed < self.raft.commit() {
            let Some(entry) = self.raft.log().get(self.handed + 1) else { return };
            self.inner.to_apply(Apply::Entry(entry.clone()));
            self.handed += 1;
        }
    }

    fn send(&mut self) {
        let wanted = self.raft.take_wanted_snapshots();
        if !wanted.is_empty()
            && let Some(snapshot) = self.snapshot()
        {
            wanted.into_iter().for_each(|peer| self.raft.send_snapshot(peer, snapshot.clone()));
        }
        for (peer, message) in self.raft.take_messages() {
            self.call(peer, message);
        }
    }

    /// Sends a message, and puts what becomes of it into the inbox.
    fn call(&mut self, peer: NodeId, message: Message) {
        let Some(to) = self.inner.address_of(&peer) else {
            // A member that we have not heard of yet: until we have, it hears nothing of us.
            self.raft.failed(&peer, self.inner.clock.monotonic());
            return;
        };
        let request = self.inner.request(&self.running, peer, RequestBody::Raft(message));
        let call = self.running.transport.call(to, request);
        let (runtime, sender) = (self.running.runtime.clone(), self.sender.clone());
        let inner = self.inner.clone();
        let alive = super::Alive(self.inner.clone());
        self.inner.alive.fetch_add(1, Ordering::SeqCst);
        let sending = async move {
            let reply = within(&runtime, Some(CALL_TIMEOUT), call).await;
            let reply = reply.and_then(Result::ok).and_then(|reply| Reply::decode(&reply).ok());
            reply.iter().for_each(|reply| inner.heed(reply));
            let input = match reply {
                Some(Reply::Raft(message)) => Input::Message { from: peer, message, reply: None },
                _ => Input::Failed(peer),
            };
            // A full inbox loses the reply, as the network might have.
            drop(sender.try_send(input));
            drop(alive);
        };
        self.running.runtime.spawn("metadata call", Box::pin(sending));
    }
}

impl Inner {
    /// Gives the applier something to do. What waits there is part of the log, which is bounded.
    pub(super) fn to_apply(&self, apply: Apply) {
        locked(&self.to_apply).push_back(apply);
        self.to_apply_filled.notify_all();
    }
}
