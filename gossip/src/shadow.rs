//! The shadow round: before a node announces itself, it asks its seeds what they know.
//!
//! So it learns whether a cluster exists and which, whether its address belongs to somebody else,
//! and whether a later life of itself is known, while it can still do something about it. A seed
//! answers a shadow SYN without remembering who asked.

use std::net::SocketAddr;

use crate::delta::NodeDelta;
use crate::detector::Detector;
use crate::event::{Event, SeedAnswer};
use crate::id::{ClusterId, Generation, HostId};
use crate::message::{Body, Message};
use crate::state::{Key, Status, address_of};
use crate::{Error, Gossip};

/// Something that speaks against announcing ourselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Conflict {
    /// The cluster knows a life of ours that is not before this one: our clock was set back, or
    /// another process has our identity. A generation above `known` is needed.
    Generation {
        /// The life that is known.
        known: Generation,
        /// Where it is, or was, reached.
        address: Option<SocketAddr>,
    },
    /// Another member is reached under our address.
    Address {
        /// Which.
        host: HostId,
    },
    /// We have left, or were removed: this host id cannot join again.
    Gone {
        /// How.
        status: Status,
    },
    /// Seeds belong to different clusters, or to another one than we do.
    Cluster {
        /// The other one.
        other: ClusterId,
    },
}

/// What the shadow round has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShadowReport {
    /// The seeds that answered. The others are silent.
    pub answers: Vec<SeedAnswer>,
    /// How many seeds there are, ourselves not among them.
    pub seeds: usize,
    /// The cluster that there is. `None`: no seed knows of one, which says that none exists only
    /// if enough of them have answered.
    pub cluster_id: Option<ClusterId>,
    /// Whether some seed has told all that it knows.
    pub complete: bool,
    /// What speaks against announcing ourselves.
    pub conflicts: Vec<Conflict>,
}

/// What the cluster knows of an earlier life of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnPast {
    generation: Generation,
    address: Option<SocketAddr>,
    status: Option<Status>,
}

/// The shadow round under way.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) ends_at: u64,
    answers: Vec<SeedAnswer>,
    complete: bool,
    exchange: u64,
    reported: bool,
}

impl Shadow {
    pub(crate) fn new(ends_at: u64) -> Self {
        Shadow { ends_at, answers: Vec::new(), complete: false, exchange: 0, reported: false }
    }
}

impl Gossip {
    /// Asks every seed that has not told all it knows; ends the round when it is over.
    pub(crate) fn shadow_tick(&mut self, now: u64) {
        let exchange = self.random.next_u64();
        let Some(shadow) = &mut self.shadow else { return };
        if shadow.reported {
            return;
        }
        // Either one seed has told all, or all seeds say that they know nothing either.
        let nobody_knows =
            shadow.answers.len() == self.seeds.len() && shadow.answers.iter().all(|a| a.in_shadow);
        if shadow.complete || nobody_knows || now >= shadow.ends_at {
            shadow.reported = true;
            let report = self.shadow_report();
            self.event(Event::ShadowDone(report));
            return;
        }
        shadow.exchange = exchange;
        let (window, digests) = self.digests();
        for seed in self.seeds.clone() {
            let body = Body::Syn { window, digests: digests.clone() };
            let syn = self.message(exchange, true, body);
            self.send(seed, syn);
        }
    }

    /// Takes what a seed tells us.
    pub(crate) fn shadow_answer(&mut self, from: SocketAddr, message: Message) {
        let Some(shadow) = &mut self.shadow else { return };
        let Body::Ack { deltas, whole, .. } = message.body else { return };
        if !message.shadow || !self.seeds.contains(&from) || message.host == self.own_host {
            return;
        }
        if message.exchange != shadow.exchange {
            self.counters.late += 1;
        }
        let in_shadow = !whole && deltas.is_empty();
        let (host, cluster_id) = (message.host, message.cluster_id);
        let answer = SeedAnswer { address: from, host, cluster_id, in_shadow };
        shadow.answers.retain(|other| other.address != from);
        shadow.answers.push(answer);
        shadow.complete |= whole;
        for delta in deltas {
            if delta.host == self.own_host {
                self.shadow_own(&delta);
            } else {
                self.apply(message.host, delta, 0);
            }
        }
    }

    /// Notes the latest life of ours that is known.
    fn shadow_own(&mut self, delta: &NodeDelta) {
        let later = self.own_past.as_ref().is_none_or(|past| past.generation <= delta.generation);
        if later {
            let value = |key| delta.entries.iter().find(|e| e.key == key).map(|e| &*e.value);
            self.own_past = Some(OwnPast {
                generation: delta.generation,
                address: value(Key::ADDRESS).and_then(address_of),
                status: value(Key::STATUS).and_then(Status::of),
            });
        }
    }

    fn shadow_report(&self) -> ShadowReport {
        let shadow = self.shadow.as_ref();
        let answers = shadow.map(|shadow| shadow.answers.clone()).unwrap_or_default();
        let mut conflicts = Vec::new();
        if let Some(past) = self.own_past {
            if let Some(status) = past.status.filter(|status| status.is_gone()) {
                conflicts.push(Conflict::Gone { status });
            } else if past.generation >= self.own_generation {
                let (known, address) = (past.generation, past.address);
                conflicts.push(Conflict::Generation { known, address });
            }
        }
        for (at, known) in self.table.known.iter().enumerate() {
            let host = self.table.hosts[at];
            let gone = known.status.is_some_and(Status::is_gone);
            if host != self.own_host && known.address == Some(self.own_address) && !gone {
                conflicts.push(Conflict::Address { host });
            }
        }
        let mut cluster_id = self.config.cluster_id;
        for other in answers.iter().filter_map(|answer| answer.cluster_id) {
            let cluster = *cluster_id.get_or_insert(other);
            let conflict = Conflict::Cluster { other };
            if cluster != other && !conflicts.contains(&conflict) {
                conflicts.push(conflict);
            }
        }
        let complete = shadow.is_some_and(|shadow| shadow.complete);
        ShadowReport { answers, seeds: self.seeds.len(), cluster_id, complete, conflicts }
    }

    /// Ends the shadow round: from now on the node is a member that others hear of.
    ///
    /// `cluster_id` is the cluster that exists, or the one that is founded now. `generation` may
    /// be raised, as a conflict asks for.
    pub fn announce(&mut self, cluster_id: ClusterId, generation: Generation) -> Result<(), Error> {
        let past = self.own_past.map_or(0, |past| past.generation.0);
        let least = past.saturating_add(1).max(self.own_generation.0);
        if !(least..=Generation::MAX.0).contains(&generation.0) {
            return Err(Error::Generation { generation: generation.0, known: least - 1 });
        }
        self.config.cluster_id = Some(cluster_id);
        self.own_generation = generation;
        let at = self.own_at();
        self.table.rows[at].generation = generation;
        self.table.known[at].view = None;
        self.view = None;
        self.shadow = None;
        // Nobody was watched so far.
        let now = self.time.now();
        for health in &mut self.table.health {
            health.detector = Detector::new(now, &self.tuning);
        }
        Ok(())
    }
}
