//! Elections. Before it disturbs anybody with a new term, a member asks whether it would be
//! elected; and nobody votes against a leader that it heard a moment ago.

use std::time::Duration;

use bytes::Bytes;

use super::{Entry, Message, NodeId, Peer, Raft, Role, Vote};

impl Raft {
    /// Asks everybody for a vote, or first whether they would give it.
    pub(super) fn stand(&mut self, pre: bool, now: Duration) {
        self.leader = None;
        self.role = if pre { Role::PreCandidate } else { Role::Candidate };
        if !pre {
            self.vote = Vote { term: self.vote.term + 1, voted_for: Some(self.id) };
            self.vote_unsaved = true;
        }
        let term = self.vote.term + u64::from(pre);
        self.votes.clear();
        self.votes.insert(self.id);
        let (last_index, last_term) = (self.log.last_index(), self.log.last_term());
        let ask = Message::Vote { pre, term, last_index, last_term };
        let others = self.config().voters.iter().filter(|voter| **voter != self.id);
        let asked: Vec<_> = others.map(|voter| (*voter, ask.clone())).collect();
        self.outbox.extend(asked);
        self.count_votes(now);
    }

    fn count_votes(&mut self, now: Duration) {
        if !self.config().is_majority(&self.votes) {
            return;
        }
        match self.role {
            Role::PreCandidate => self.stand(false, now),
            Role::Candidate => {
                self.lead(now);
                // Commits what earlier leaders left: only an entry of its own term tells a leader
                // that everything before it is on a majority.
                let (index, term) = (self.log.last_index() + 1, self.vote.term);
                let payload = Bytes::new();
                self.log.push(Entry { index, term, wall_micros: 0, config: None, payload });
                self.send_all(now);
            }
            Role::Follower | Role::Leader => {}
        }
    }

    /// Begins to lead.
    pub(super) fn lead(&mut self, now: Duration) {
        self.role = Role::Leader;
        self.leader = Some(self.id);
        self.votes.clear();
        self.peers.clear();
        self.deadline = now + 2 * self.timing.election;
        self.follow_config(now);
    }

    /// Speaks to those that the configuration names, and to nobody else.
    pub(super) fn follow_config(&mut self, now: Duration) {
        let config = self.config().clone();
        self.peers.retain(|id, _| config.members().any(|member| member == id));
        let next = self.log.last_index() + 1;
        for id in config.members().filter(|id| **id != self.id) {
            self.peers.entry(*id).or_insert(Peer {
                next,
                matched: 0,
                in_flight: None,
                heard: now,
                beat: now,
                told: 0,
            });
        }
    }

    /// A leader that has not heard from a majority for the time of an election leads nobody.
    pub(super) fn count_who_replies(&mut self, now: Duration) {
        self.deadline = now + self.timing.election;
        let heard = |peer: &&NodeId| {
            let since = |known: &Peer| known.heard + 2 * self.timing.election > now;
            **peer == self.id || self.peers.get(*peer).is_some_and(since)
        };
        let replying = self.config().voters.iter().filter(heard).count();
        if replying < self.config().majority() && self.config().voters.contains(&self.id) {
            self.follow(self.vote.term, None, now);
        }
    }

    pub(super) fn asked_for_vote(
        &mut self,
        from: NodeId,
        pre: bool,
        term: u64,
        last: (u64, u64),
        now: Duration,
    ) -> Message {
        let heard = self.heard.is_some_and(|heard| heard + self.timing.election > now);
        let led = heard || (self.role == Role::Leader && !self.is_only_voter());
        let is_current = last >= (self.log.last_term(), self.log.last_index());
        if pre {
            let granted = term > self.vote.term && !led && is_current;
            let term = if granted { term } else { self.vote.term };
            return Message::VoteReply { pre, term, granted };
        }
        if term > self.vote.term && !led {
            self.follow(term, None, now);
        }
        let free = self.vote.voted_for.is_none_or(|voted| voted == from);
        let granted = term == self.vote.term && free && is_current;
        if granted {
            self.vote_unsaved |= self.vote.voted_for.is_none();
            self.vote.voted_for = Some(from);
            self.reset_deadline(now);
        }
        Message::VoteReply { pre, term: self.vote.term, granted }
    }

    pub(super) fn took_vote(
        &mut self,
        from: NodeId,
        pre: bool,
        term: u64,
        granted: bool,
        now: Duration,
    ) {
        if !granted {
            if term > self.vote.term {
                self.follow(term, None, now);
            }
            return;
        }
        let asked_for = match self.role {
            Role::PreCandidate => (true, self.vote.term + 1),
            Role::Candidate => (false, self.vote.term),
            Role::Follower | Role::Leader => return,
        };
        if (pre, term) == asked_for {
            self.votes.insert(from);
            self.count_votes(now);
        }
    }
}
