//! The way of entries from the leader to the others, and of their replies back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Entry, Log, Message, NodeId, Raft, Role, Snapshot};

/// The most of entries in one message, in bytes; one entry goes always.
const APPEND_BYTES_MAX: usize = 1 << 20;

impl Raft {
    /// Sends to every peer what it lacks, or that we are still there.
    pub(super) fn send_all(&mut self, now: Duration) {
        let peers: Vec<NodeId> = self.peers.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.send(peer, now));
    }

    fn send(&mut self, to: NodeId, now: Duration) {
        let is_voter = self.config().voters.contains(&to);
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if peer.in_flight.is_some_and(|until| until > now) {
            return;
        }
        peer.in_flight = None;
        let lacks = peer.next <= self.log.last_index() || peer.told < self.commit;
        if !lacks && peer.beat > now {
            return;
        }
        let beat = if is_voter { self.timing.heartbeat } else { self.timing.learner_heartbeat };
        peer.in_flight = Some(now + self.timing.resend);
        peer.beat = now + beat;
        peer.told = self.commit;
        let prev_index = peer.next - 1;
        let Some(prev_term) = self.log.term_at(prev_index) else {
            self.wants_snapshot.insert(to);
            return;
        };
        let (term, commit) = (self.vote.term, self.commit);
        let entries = batch(self.log.from(prev_index + 1));
        self.outbox.push((to, Message::Append { term, prev_index, prev_term, commit, entries }));
    }

    /// Sends a snapshot to a peer that wants one.
    pub fn send_snapshot(&mut self, to: NodeId, snapshot: Snapshot) {
        let term = self.vote.term;
        if self.role == Role::Leader && self.peers.contains_key(&to) {
            self.outbox.push((to, Message::Snapshot { term, snapshot }));
        }
    }

    /// Follows a leader of this term, unless it is an old one.
    fn obey(&mut self, from: NodeId, term: u64, now: Duration) -> bool {
        // Two leaders of one term cannot be; whoever says otherwise is not believed.
        let other = self.leader.is_some_and(|leader| leader != from) && term == self.vote.term;
        if term < self.vote.term || other {
            return false;
        }
        self.follow(term, Some(from), now);
        true
    }

    pub(super) fn take_entries(
        &mut self,
        from: NodeId,
        term: u64,
        prev: (u64, u64),
        commit: u64,
        entries: Vec<Entry>,
        now: Duration,
    ) -> Message {
        let refuse = |raft: &Raft, index| Message::AppendReply {
            term: raft.vote.term,
            matched: false,
            index,
        };
        let (prev_index, prev_term) = prev;
        let mut last = (prev_index, prev_term);
        let in_order = entries.iter().all(|entry| {
            let follows = entry.index == last.0 + 1 && (last.1..=term).contains(&entry.term);
            last = (entry.index, entry.term);
            follows
        });
        if !in_order || !self.obey(from, term, now) {
            return refuse(self, self.commit);
        }
        // What is committed here is the same everywhere.
        let known = prev_index <= self.commit || self.log.term_at(prev_index) == Some(prev_term);
        if !known {
            return refuse(self, self.commit.min(prev_index));
        }
        for entry in entries {
            if entry.index <= self.commit || self.log.term_at(entry.index) == Some(entry.term) {
                continue;
            }
            self.saved = self.saved.min(entry.index - 1);
            self.log.replace_from(entry);
        }
        // Only up to here is it certain that our entries are the leader's.
        self.commit = self.commit.max(commit.min(last.0).min(self.log.last_index()));
        Message::AppendReply { term: self.vote.term, matched: true, index: last.0 }
    }

    pub(super) fn take_snapshot(
        &mut self,
        from: NodeId,
        term: u64,
        snapshot: Snapshot,
        now: Duration,
    ) -> Message {
        if !self.obey(from, term, now) {
            let index = self.commit;
            return Message::AppendReply { term: self.vote.term, matched: false, index };
        }
        let index = snapshot.index;
        if self.log.term_at(index) == Some(snapshot.term) {
            // Every entry up to it is here, and what follows it may have been acknowledged.
            self.commit = self.commit.max(index);
        } else if index > self.commit {
            self.log = Log::new(index, snapshot.term, snapshot.config.clone());
            (self.commit, self.saved) = (index, index);
            self.snapshot_unsaved = Some(snapshot);
        }
        Message::AppendReply { term: self.vote.term, matched: true, index }
    }

    pub(super) fn took_reply(
        &mut self,
        from: NodeId,
        term: u64,
        matched: bool,
        index: u64,
        now: Duration,
    ) {
        if term > self.vote.term {
            self.follow(term, None, now);
            return;
        }
        let last = self.log.last_index();
        if self.role != Role::Leader || term < self.vote.term {
            return;
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.heard = now;
        peer.in_flight = None;
        if matched {
            peer.matched = peer.matched.max(index.min(last));
            peer.next = peer.matched + 1;
        } else {
            peer.next = (index.min(last) + 1).max(peer.matched + 1);
            peer.told = 0;
        }
        self.advance_commit(now);
        self.send(from, now);
    }

    /// Commits what a majority has saved, if the newest of it is of our own term.
    pub(super) fn advance_commit(&mut self, now: Duration) {
        let config = self.config().clone();
        let mut index = self.log.last_index();
        while index > self.commit {
            let has = |id: &NodeId| match *id == self.id {
                true => self.saved >= index,
                false => self.peers.get(id).is_some_and(|peer| peer.matched >= index),
            };
            let having: BTreeSet<NodeId> = config.voters.iter().copied().filter(has).collect();
            let enough = config.is_majority(&having);
            #[cfg(test)]
            let enough = enough || self.commits_alone;
            if enough {
                break;
            }
            index -= 1;
        }
        let own_term = self.log.term_at(index) == Some(self.vote.term);
        if index <= self.commit || !(own_term || self.is_only_voter()) {
            return;
        }
        self.commit = index;
        self.send_all(now);
        if !config.voters.contains(&self.id) && self.log.config_at(index) == &config {
            // The configuration without us is agreed on: the others elect somebody else.
            self.follow(self.vote.term, None, now);
        }
    }
}

fn batch(entries: &[Entry]) -> Vec<Entry> {
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        let is_first = bytes == 0;
        bytes += 64 + entry.payload.len();
        is_first || bytes <= APPEND_BYTES_MAX
    };
    entries.iter().take_while(fits).cloned().collect()
}
