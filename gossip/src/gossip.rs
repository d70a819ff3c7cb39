//! The state machine: what a node keeps, and what its caller can ask of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use helenus_platform::random::Random;

use crate::config::{Config, Local, SEEDS_MAX};
use crate::detector::{ActiveTime, Detector, Tuning};
use crate::digest::{Digest, Window};
use crate::error::{Error, MessageError};
use crate::event::{Counters, Event};
use crate::id::{Generation, HostId};
use crate::message::{Body, Message, Room, digest_len};
use crate::peers::Outstanding;
use crate::quarantine::Quarantine;
use crate::shadow::{OwnPast, Shadow};
use crate::state::{Entry, Key, Status, VERSION_MAX, Value, address_of, address_value};
use crate::table::{Health, Known, Opinion, Row, Table};
use crate::view::{NodeView, View};

/// A step of the clock that is longer than so many intervals is a pause of our own process.
const PAUSE_ROUNDS: u64 = 2;
/// Between looks for what can be forgotten.
const SWEEP_MICROS: u64 = 10_000_000;
/// Outputs that wait to be taken, at most.
const OUTPUTS_MAX: usize = 1024;

/// A node's part in the gossip of its cluster.
pub struct Gossip {
    pub(crate) config: Config,
    pub(crate) tuning: Tuning,
    cluster_name: Arc<str>,
    pub(crate) own_host: HostId,
    pub(crate) own_generation: Generation,
    pub(crate) own_address: SocketAddr,
    /// Where our own row is, and the table's edits when that was looked up.
    own_at: (usize, u64),
    /// What the cluster knew of us before we announced ourselves.
    pub(crate) own_past: Option<OwnPast>,
    /// The highest life that somebody else claimed of us.
    pub(crate) impersonator: Option<Generation>,
    /// The seeds, without ourselves.
    pub(crate) seeds: Vec<SocketAddr>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) table: Table,
    pub(crate) quarantine: Quarantine,
    /// The caller's clock, in microseconds.
    pub(crate) now: u64,
    pub(crate) time: ActiveTime,
    pub(crate) shadow: Option<Shadow>,
    /// The others have removed us.
    pub(crate) removed: bool,
    pub(crate) outstanding: Vec<Outstanding>,
    /// Answers that this interval still allows.
    pub(crate) answers_left: u32,
    sweep_at: u64,
    /// Other nodes that are up, and that are neither up nor gone, at the last round.
    pub(crate) ups: usize,
    pub(crate) downs: usize,
    outputs: Vec<(SocketAddr, Message)>,
    events: Vec<Event>,
    pub(crate) view: Option<View>,
    pub(crate) counters: Counters,
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Gossip {
    /// A node that begins its life at `now`, a time of a monotonic clock.
    ///
    /// With other seeds than itself it begins with a shadow round: it only asks, until
    /// [`Event::ShadowDone`] has come and [`Gossip::announce`] is called. Without, there is nobody
    /// to ask; `announce` can be called at once.
    pub fn new(
        config: Config,
        local: Local,
        seeds: &[SocketAddr],
        random: Arc<dyn Random>,
        now: Duration,
    ) -> Result<Self, Error> {
        config.validate()?;
        if seeds.len() > SEEDS_MAX {
            let value = format!("{} addresses", seeds.len());
            return Err(Error::Config { setting: "seeds", value, must: "there are at most 64" });
        }
        if local.generation.0 == 0 || local.generation > Generation::MAX {
            let (setting, value) = ("generation", local.generation.to_string());
            return Err(Error::Config { setting, value, must: "it must be from 1 to 2^48 - 1" });
        }
        let interval = micros(config.interval);
        let tuning = Tuning {
            threshold: config.phi_threshold,
            guess: interval * 3 / 2,
            mean_min: interval * 5 / 4,
            interval_max: interval * 20,
        };
        let now = micros(now);
        let mut others = seeds.to_vec();
        others.retain(|seed| *seed != local.address);
        others.sort_unstable();
        others.dedup();
        let mut gossip = Gossip {
            tuning,
            cluster_name: Arc::from(config.cluster_name.as_str()),
            own_host: local.host,
            own_generation: local.generation,
            own_address: local.address,
            own_at: (0, 0),
            own_past: None,
            impersonator: None,
            seeds: others,
            random,
            table: Table::default(),
            quarantine: Quarantine::new(config.nodes_max),
            now,
            time: ActiveTime::new(now, interval * PAUSE_ROUNDS),
            shadow: Some(Shadow::new(now.saturating_add(micros(config.shadow_timeout)))),
            removed: false,
            outstanding: Vec::new(),
            answers_left: config.answers_max,
            sweep_at: now,
            ups: 0,
            downs: 0,
            outputs: Vec::new(),
            events: Vec::new(),
            view: None,
            counters: Counters::default(),
            config,
        };
        gossip.insert_own(local.values)?;
        Ok(gossip)
    }

    fn insert_own(&mut self, values: Vec<(Key, Value)>) -> Result<(), Error> {
        let detector = Detector::new(0, &self.tuning);
        let health = Health { detector, opinion: Opinion::Up, signs: 0, since: 0 };
        let row = Row { generation: self.own_generation, version: 0, heartbeat: 0, values: 0 };
        let at = self.table.insert(self.own_host, row, health, Known::default());
        self.own_at = (at, self.table.edits);
        self.local_update(Key::ADDRESS, address_value(self.own_address))?;
        if !values.iter().any(|(key, _)| *key == Key::STATUS) {
            self.local_update(Key::STATUS, Status::Joining.value())?;
        }
        for (key, value) in values {
            self.local_update(key, value)?;
        }
        Ok(())
    }

    /// A round. To be called once in an interval; calling it late is noticed, and harmless.
    pub fn tick(&mut self, now: Duration) {
        self.go_on(now);
        if self.removed {
            return;
        }
        self.counters.rounds += 1;
        self.answers_left = self.config.answers_max;
        if self.shadow.is_some() {
            self.shadow_tick(self.now);
            return;
        }
        let at = self.own_at();
        let row = &mut self.table.rows[at];
        row.version += 1;
        row.heartbeat = row.version;
        self.expire_exchanges();
        self.watch();
        if self.now >= self.sweep_at {
            self.sweep_at = self.now.saturating_add(SWEEP_MICROS);
            self.sweep();
        }
        self.begin_exchanges();
    }

    /// Takes a message. `from` is where answers to its sender go: its advertised address, not the
    /// port that a connection happens to come from.
    pub fn receive(&mut self, now: Duration, from: SocketAddr, message: Message) {
        self.go_on(now);
        if self.removed {
            return;
        }
        let same_cluster = match (self.config.cluster_id, message.cluster_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            // Who belongs to no cluster yet may look around, and may tell that to us.
            (_, None) => message.shadow,
            (None, Some(_)) => true,
        };
        if message.cluster_name != self.cluster_name || !same_cluster {
            self.counters.refused_cluster += 1;
            return;
        }
        if message.host == self.own_host {
            self.impersonated(message.generation);
            return;
        }
        match (&message.body, self.shadow.is_some()) {
            (Body::Syn { .. }, in_shadow) => self.answer(from, message, in_shadow),
            (Body::Ack { .. }, true) => self.shadow_answer(from, message),
            (Body::Ack { .. }, false) => self.answered(from, message),
            (Body::Ack2 { .. }, true) => {}
            (Body::Ack2 { .. }, false) => self.completed(message),
        }
    }

    /// Decodes a message and takes it.
    pub fn receive_bytes(
        &mut self,
        now: Duration,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), MessageError> {
        match Message::decode(bytes) {
            Ok(message) => {
                self.receive(now, from, message);
                Ok(())
            }
            Err(error) => {
                self.counters.refused_undecodable += 1;
                Err(error)
            }
        }
    }

    /// The messages to send, and where to. If nobody takes them, at most 1024 are kept.
    pub fn take_outputs(&mut self) -> Vec<(SocketAddr, Message)> {
        std::mem::take(&mut self.outputs)
    }

    /// What has changed since the last time.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Says something of ourselves. A value that is the same as before costs nothing.
    pub fn local_update(&mut self, key: Key, value: Value) -> Result<(), Error> {
        let at = self.own_at();
        let before = self.table.known[at].entries.get(key).map(|entry| entry.value.clone());
        if before.as_ref() == Some(&value) {
            return Ok(());
        }
        if key == Key::STATUS {
            let after = Status::of(&value).ok_or(Error::NotAValue { key })?;
            let before = self.table.known[at].status;
            if !after.may_follow(before) {
                return Err(Error::Status { before, after });
            }
        }
        if key.0 == 0 || (key == Key::ADDRESS && address_of(&value).is_none()) {
            return Err(Error::NotAValue { key });
        }
        let version = self.table.rows[at].version + 1;
        self.table.set(at, Entry { version, key, value })?;
        self.table.rows[at].version = version;
        if let Some(address) = self.table.known[at].address {
            self.own_address = address;
        }
        self.view = None;
        Ok(())
    }

    /// Takes a node that is down out of the cluster, for good: its host id cannot come back.
    pub fn remove(&mut self, host: HostId) -> Result<(), Error> {
        let at = self.table.find(host).ok_or(Error::UnknownNode { host })?;
        if at == self.own_at() || self.table.health[at].opinion == Opinion::Up {
            return Err(Error::NodeIsUp { host });
        }
        self.make_removed(at);
        Ok(())
    }

    /// Forgets lives of `host` up to `generation`, and believes no mention of them for a time.
    pub fn quarantine(&mut self, host: HostId, generation: Generation, lasting: Duration) {
        if host == self.own_host {
            return;
        }
        if let Some(at) = self.table.find(host)
            && self.table.rows[at].generation <= generation
        {
            self.forget(at);
        }
        let until = self.now.saturating_add(micros(lasting));
        self.quarantine.add(host, generation, until);
    }

    /// The cluster as we see it. Made anew only when something has changed.
    pub fn view(&mut self) -> View {
        if let Some(view) = &self.view {
            return view.clone();
        }
        let Table { hosts, rows, health, known, .. } = &mut self.table;
        let parts = hosts.iter().zip(rows).zip(health).zip(known);
        let nodes = parts.map(|(((host, row), health), known)| {
            let Known { entries, view, .. } = known;
            let up = health.opinion == Opinion::Up;
            let make = || Arc::new(NodeView::new(*host, row.generation, up, entries));
            Arc::clone(view.get_or_insert_with(make))
        });
        let view = View::new(nodes.collect());
        self.view = Some(view.clone());
        view
    }

    /// What a node says under a key.
    #[must_use]
    pub fn value(&self, host: HostId, key: Key) -> Option<&Value> {
        let at = self.table.find(host)?;
        self.table.known[at].entries.get(key).map(|entry| &entry.value)
    }

    /// How much we have of a node.
    #[must_use]
    pub fn digest(&self, host: HostId) -> Option<Digest> {
        let Row { generation, version, .. } = self.table.rows[self.table.find(host)?];
        Some(Digest { host, generation, version })
    }

    /// Whether we think that a node is up.
    #[must_use]
    pub fn is_up(&self, host: HostId) -> bool {
        self.table.find(host).is_some_and(|at| self.table.health[at].opinion == Opinion::Up)
    }

    /// How suspicious a node is: phi, of which [`Config::phi_threshold`] convicts.
    #[must_use]
    pub fn phi(&self, host: HostId) -> Option<f64> {
        let at = self.table.find(host)?;
        Some(self.table.health[at].detector.phi(self.time.now(), &self.tuning))
    }

    /// Nodes that are known, ourselves among them, and notes of the quarantine.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.table.len(), self.quarantine.len())
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn go_on(&mut self, now: Duration) {
        self.now = self.now.max(micros(now));
        if self.time.advance(self.now) {
            self.counters.pauses += 1;
        }
    }

    /// Where our own row is.
    pub(crate) fn own_at(&mut self) -> usize {
        if self.own_at.1 != self.table.edits {
            let hosts = &self.table.hosts;
            let at = hosts.partition_point(|host| *host < self.own_host);
            debug_assert_eq!(hosts.get(at), Some(&self.own_host), "our own row is never removed");
            self.own_at = (at, self.table.edits);
        }
        self.own_at.0
    }

    pub(crate) fn message(&self, exchange: u64, shadow: bool, body: Body) -> Message {
        Message {
            cluster_name: Arc::clone(&self.cluster_name),
            cluster_id: self.config.cluster_id,
            host: self.own_host,
            generation: self.own_generation,
            exchange,
            shadow,
            body,
        }
    }

    pub(crate) fn send(&mut self, to: SocketAddr, message: Message) {
        if self.outputs.len() < OUTPUTS_MAX {
            self.outputs.push((to, message));
        } else {
            self.counters.outputs_dropped += 1;
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.view = None;
        if self.events.len() <= 1024 + 2 * self.config.nodes_max {
            self.events.push(event);
        } else if self.events.last() != Some(&Event::Overflow) {
            self.events.push(Event::Overflow);
        }
    }

    /// What we have: of all nodes if that fits into a message, otherwise of a window that begins
    /// anywhere.
    pub(crate) fn digests(&mut self) -> (Window, Arc<[Digest]>) {
        let own = self.own_at();
        // Who only looks around has nothing to say of itself, and wants to hear of it.
        let skipped = self.shadow.is_some().then_some(own);
        let body = Body::Syn { window: Window::ALL, digests: Arc::default() };
        let mut room =
            Room::of(&self.message(u64::MAX, false, body), self.config.message_bytes_max);
        let nodes = self.table.len();
        let own_generation = self.own_generation;
        let Table { hosts, rows, .. } = &self.table;
        let digest = |at: usize| {
            let Row { generation, version, .. } = rows[at];
            Digest { host: hosts[at], generation, version }
        };
        let all = (0..nodes).filter(|at| Some(*at) != skipped).map(digest);
        if all.clone().all(|digest| room.take(digest_len(&digest, own_generation))) {
            return (Window::ALL, all.collect());
        }
        let mut room = Room::of(
            &self.message(u64::MAX, false, Body::Ack2 { deltas: Vec::new() }),
            self.config.message_bytes_max,
        );
        let start = self.random.below(nodes as u64) as usize;
        let mut digests = Vec::new();
        let mut end = hosts[start];
        for at in (start..nodes).chain(0..start) {
            end = hosts[at];
            if Some(at) == skipped {
                continue;
            }
            let digest = digest(at);
            if !room.take(digest_len(&digest, own_generation)) {
                break;
            }
            digests.push(digest);
        }
        digests.sort_unstable_by_key(|digest| digest.host);
        (Window { start: hosts[start], end }, digests.into())
    }

    /// Moves our own counting beyond `version`, which somebody has of us: it stems from a life
    /// that had the same generation. What we say now must be news.
    pub(crate) fn outrun(&mut self, version: u64) {
        if version > VERSION_MAX / 2 {
            self.counters.refused_gap += 1;
            return;
        }
        let at = self.own_at();
        let newest = self.table.known[at].entries.restamp(version);
        let row = &mut self.table.rows[at];
        row.values = newest;
        row.version = newest + 1;
        row.heartbeat = newest + 1;
    }
}
