//! Raft as a pure state machine: messages and the time go in, messages and what must be saved come
//! out. It does no I/O, draws chance from a seam, and so runs whole groups from a seed.
//!
//! What it has: log replication, elections with a pre-vote, leaders that step down without a
//! majority, configurations that change by one voter at a time, members without a vote
//! ("learners"), and snapshots for those whose entries the leader has dropped. What it leaves out:
//! reads through the leader, and more than one request at a time to each follower.
//!
//! # How it is driven
//!
//! After every call the caller saves what [`Raft::take_unsaved`] gives, durably, calls
//! [`Raft::saved`], and only then lets messages and replies leave. So nothing that was said can be
//! forgotten by a crash.
//!
//! # The index is the version
//!
//! A proposal names the index that it was planned against, and is taken only where it becomes the
//! next entry, after everything before it is committed. So at most one proposal is under way, and
//! every entry was planned against exactly the state before it.

mod config;
mod elect;
mod log;
mod message;
mod replicate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use helenus_platform::random::Random;

pub use config::Config;
pub use log::{Entry, Log, Snapshot};
pub use message::{ENTRY_BYTES_MAX, Message, STATE_BYTES_MAX};

/// A member of the group: its host id.
pub type NodeId = [u8; 16];

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A follower that has not heard from a leader for this long, or up to twice as long, asks to
    /// be one.
    pub election: Duration,
    /// How often a leader speaks to a voter that lacks nothing.
    pub heartbeat: Duration,
    /// How often it speaks to a learner that lacks nothing.
    pub learner_heartbeat: Duration,
    /// After this long without a reply a request is sent again.
    pub resend: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            election: Duration::from_millis(1000),
            heartbeat: Duration::from_millis(200),
            learner_heartbeat: Duration::from_millis(1000),
            resend: Duration::from_millis(500),
        }
    }
}

/// What a member is to its group at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes entries from a leader, or waits for one.
    Follower,
    /// Asks whether it would be elected, without disturbing anybody.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Decides the order of entries.
    Leader,
}

/// The part of the state besides the log that must never be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Vote {
    /// The newest term that was seen.
    pub term: u64,
    /// Who got this member's vote in it.
    pub voted_for: Option<NodeId>,
}

/// What has changed since it was last saved; in this order it is to be written.
#[derive(Debug, Default)]
pub struct Unsaved {
    /// Replaces log and state.
    pub snapshot: Option<Snapshot>,
    /// Replaces the vote.
    pub vote: Option<Vote>,
    /// Replace everything from the first one's index on.
    pub entries: Vec<Entry>,
}

impl Unsaved {
    /// Whether there is nothing to save.
    pub fn is_empty(&self) -> bool {
        self.snapshot.is_none() && self.vote.is_none() && self.entries.is_empty()
    }
}

/// Why a proposal was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// Somebody else leads, perhaps this one.
    NotLeader(Option<NodeId>),
    /// Something was faster; plan again once this index has been applied.
    Conflict(u64),
    /// The configuration would change by more than one voter.
    TwoVoters,
}

/// What the leader knows of another member.
#[derive(Debug)]
struct Peer {
    /// The next entry to send.
    next: u64,
    /// What it has for certain.
    matched: u64,
    /// When the request under way is given up.
    in_flight: Option<Duration>,
    /// When it last replied.
    heard: Duration,
    /// When it is due to hear from us.
    beat: Duration,
    /// The commit index that it was told last.
    told: u64,
}

/// One member of a group; see the module's head.
pub struct Raft {
    // Fixed.
    id: NodeId,
    timing: Timing,
    random: Arc<dyn Random>,
    // What must be saved.
    vote: Vote,
    log: Log,
    // What of it is not.
    vote_unsaved: bool,
    snapshot_unsaved: Option<Snapshot>,
    /// Entries up to here are durable.
    saved: u64,
    // What can be learnt again.
    commit: u64,
    role: Role,
    leader: Option<NodeId>,
    votes: BTreeSet<NodeId>,
    peers: BTreeMap<NodeId, Peer>,
    /// When a leader was last heard.
    heard: Option<Duration>,
    /// When to stand for election; for a leader, when to count who still replies.
    deadline: Duration,
    outbox: Vec<(NodeId, Message)>,
    /// Peers that need a snapshot of the state.
    wants_snapshot: BTreeSet<NodeId>,
    /// Lets a test plant the fault of acknowledging before a majority has an entry.
    #[cfg(test)]
    pub(crate) commits_alone: bool,
}

impl std::fmt::Debug for Raft {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Raft")
            .field("role", &self.role)
            .field("term", &self.vote.term)
            .field("commit", &self.commit)
            .field("last", &self.log.last_index())
            .finish()
    }
}

impl Raft {
    /// A member with what it saved: its vote, its log, and how far that is known to be committed.
    ///
    /// The only voter leads at once, in a term of its own: whatever it has is committed, because
    /// it is the majority. The term is saved with its first entry.
    pub fn new(
        id: NodeId,
        timing: Timing,
        random: Arc<dyn Random>,
        vote: Vote,
        log: Log,
        commit: u64,
        now: Duration,
    ) -> Raft {
        let saved = log.last_index();
        let commit = commit.clamp(log.base_index(), saved);
        let mut raft = Raft {
            id,
            timing,
            random,
            vote,
            log,
            vote_unsaved: false,
            snapshot_unsaved: None,
            saved,
            commit,
            role: Role::Follower,
            leader: None,
            votes: BTreeSet::new(),
            peers: BTreeMap::new(),
            heard: None,
            deadline: Duration::ZERO,
            outbox: Vec::new(),
            wants_snapshot: BTreeSet::new(),
            #[cfg(test)]
            commits_alone: super::metadata::planted() == super::metadata::Plant::CommitAlone,
        };
        raft.reset_deadline(now);
        if raft.is_only_voter() {
            raft.vote = Vote { term: raft.vote.term + 1, voted_for: Some(id) };
            raft.vote_unsaved = true;
            raft.commit = saved;
            raft.lead(now);
        }
        raft
    }

    /// Who this is.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What it is at the moment.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The term.
    pub fn term(&self) -> u64 {
        self.vote.term
    }

    /// What would have to be saved of the vote.
    pub fn vote(&self) -> Vote {
        self.vote
    }

    /// Who leads, as far as is known.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Entries up to here will never change.
    pub fn commit(&self) -> u64 {
        self.commit
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The configuration in force: the newest in the log, committed or not.
    pub fn config(&self) -> &Arc<Config> {
        self.log.config()
    }

    /// What the leader knows that `peer` has.
    pub fn matched(&self, peer: &NodeId) -> Option<u64> {
        self.peers.get(peer).map(|peer| peer.matched)
    }

    /// Whether there is nobody to agree with.
    fn is_only_voter(&self) -> bool {
        let voters = &self.config().voters;
        voters.len() == 1 && voters.contains(&self.id)
    }

    /// Takes a proposal that was planned against the state after entry `base`.
    ///
    /// # Errors
    /// It was not taken; see [`ProposeError`]. Whether one that was taken is committed shows when
    /// an entry of its index is.
    pub fn propose(
        &mut self,
        base: u64,
        payload: Bytes,
        config: Option<Config>,
        wall_micros: i64,
        now: Duration,
    ) -> Result<u64, ProposeError> {
        if self.role != Role::Leader {
            return Err(ProposeError::NotLeader(self.leader));
        }
        let last = self.log.last_index();
        if base != last || self.commit != last {
            return Err(ProposeError::Conflict(last));
        }
        if config.as_ref().is_some_and(|config| self.config().voters_apart(config) > 1) {
            return Err(ProposeError::TwoVoters);
        }
        let config = config.map(Arc::new);
        let term = self.vote.term;
        self.log.push(Entry { index: last + 1, term, wall_micros, config, payload });
        self.follow_config(now);
        self.send_all(now);
        Ok(last + 1)
    }

    /// Takes a message; what it returns goes back to its sender once everything is saved.
    pub fn receive(&mut self, from: NodeId, message: Message, now: Duration) -> Option<Message> {
        match message {
            Message::Vote { pre, term, last_index, last_term } => {
                Some(self.asked_for_vote(from, pre, term, (last_term, last_index), now))
            }
            Message::VoteReply { pre, term, granted } => {
                self.took_vote(from, pre, term, granted, now);
                None
            }
            Message::Append { term, prev_index, prev_term, commit, entries } => {
                Some(self.take_entries(from, term, (prev_index, prev_term), commit, entries, now))
            }
            Message::AppendReply { term, matched, index } => {
                self.took_reply(from, term, matched, index, now);
                None
            }
            Message::Snapshot { term, snapshot } => {
                Some(self.take_snapshot(from, term, snapshot, now))
            }
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        if self.role == Role::Leader {
            if now >= self.deadline {
                self.count_who_replies(now);
            }
            self.send_all(now);
        } else if now >= self.deadline {
            self.reset_deadline(now);
            if self.config().voters.contains(&self.id) {
                self.stand(true, now);
            }
        }
    }

    /// When [`Raft::tick`] is due; never, if there is nobody to talk to.
    pub fn next_tick(&self) -> Option<Duration> {
        if self.role != Role::Leader {
            return self.config().voters.contains(&self.id).then_some(self.deadline);
        }
        let peers = self.peers.values().map(|peer| peer.in_flight.unwrap_or(peer.beat));
        let counting = (!self.is_only_voter()).then_some(self.deadline);
        peers.chain(counting).min()
    }

    /// What must be durable before messages leave.
    pub fn take_unsaved(&mut self) -> Unsaved {
        Unsaved {
            snapshot: self.snapshot_unsaved.take(),
            vote: std::mem::take(&mut self.vote_unsaved).then_some(self.vote),
            entries: self.log.from(self.saved + 1).to_vec(),
        }
    }

    /// Everything taken is durable.
    pub fn saved(&mut self, now: Duration) {
        self.saved = self.log.last_index();
        if self.role == Role::Leader {
            self.advance_commit(now);
        }
    }

    /// Messages that may leave.
    pub fn take_messages(&mut self) -> Vec<(NodeId, Message)> {
        std::mem::take(&mut self.outbox)
    }

    /// Peers that wait for [`Raft::send_snapshot`].
    pub fn take_wanted_snapshots(&mut self) -> BTreeSet<NodeId> {
        std::mem::take(&mut self.wants_snapshot)
    }

    /// A request to `peer` was not answered.
    pub fn failed(&mut self, peer: &NodeId, now: Duration) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.in_flight = None;
            peer.beat = now + self.timing.heartbeat;
        }
    }

    /// Drops entries up to `index`, which the caller has in a snapshot.
    pub fn compacted(&mut self, index: u64) {
        self.log.compact(index.min(self.commit));
    }

    fn reset_deadline(&mut self, now: Duration) {
        let election = u64::try_from(self.timing.election.as_micros()).unwrap_or(u64::MAX / 2);
        let drawn = Duration::from_micros(self.random.below(election.max(1)));
        self.deadline = now + self.timing.election + drawn;
    }

    /// Becomes a follower, in `term` if it is newer.
    fn follow(&mut self, term: u64, leader: Option<NodeId>, now: Duration) {
        if term > self.vote.term {
            self.vote = Vote { term, voted_for: None };
            self.vote_unsaved = true;
            self.leader = None;
        }
        if leader.is_some() {
            self.leader = leader;
            self.heard = Some(now);
        }
        if self.role == Role::Leader && leader.is_none() && self.leader == Some(self.id) {
            self.leader = None;
        }
        self.role = Role::Follower;
        self.votes.clear();
        self.peers.clear();
        self.wants_snapshot.clear();
        self.reset_deadline(now);
    }
}
