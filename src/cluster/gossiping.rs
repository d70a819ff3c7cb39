//! Gossip as a running service: a task that owns the state machine, gives it time and messages,
//! and publishes what it sees.
//!
//! ```text
//! internode ── GossipInbox ── bounded queue ──┐
//! say, gone, shadow_round, announce, stop ────┤ the task: Gossip ── messages ── internode
//!                                             └── View, Signal (readers take no lock)
//! ```
//!
//! Until [`GossipService::announce`] the node is in the shadow: it asks seeds, one
//! [`GossipService::shadow_round`] after the other, and all it answers others is that it knows
//! nothing. What it says of itself afterwards is kept until the machine has taken it, however full
//! the queue is; messages of others that find it full are lost, as on the network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use helenus_gossip::{
    ClusterId, Config, Event, Generation, Gossip, HostId, Key, Local, ShadowReport, Value, View,
};
use helenus_platform::channel::{self, Receiver, Sender};
use helenus_platform::clock::Clock;
use helenus_platform::random::Random;
use helenus_platform::runtime::Runtime;
use helenus_platform::signal::Signal;

use super::transport::Liveness;
use super::wait::within;
use crate::internode::{Internode, Target, Verb};

/// Messages that may wait for the task.
const INBOX: usize = 512;
/// Messages that are taken before what follows from them is sent.
const TURN: usize = 64;
/// How often seeds are asked in a shadow round.
const SHADOW_INTERVAL: Duration = Duration::from_millis(100);
/// How long no mention of a member is believed that the cluster has agreed is gone.
const QUARANTINE: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long a goodbye may wait to leave.
const GOODBYE: Duration = Duration::from_millis(250);

/// What the service needs of the node.
pub struct Opening {
    /// Runs its task.
    pub runtime: Arc<dyn Runtime>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where chance comes from.
    pub random: Arc<dyn Random>,
    /// Carries its messages.
    pub internode: Arc<Internode>,
    /// The cluster's name: who has another one is not listened to.
    pub cluster_name: String,
    /// Who the node is.
    pub host_id: [u8; 16],
    /// Where other nodes reach it.
    pub address: SocketAddr,
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Opening").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A node announces itself.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The cluster that it belongs to.
    pub cluster_id: [u8; 16],
    /// This life of it.
    pub generation: u64,
    /// Whom to talk to first.
    pub seeds: Vec<SocketAddr>,
    /// What it says of itself.
    pub values: Vec<(Key, Value)>,
}

enum Input {
    /// Of another node, which can be reached there.
    Message(SocketAddr, Bytes),
    Round {
        seeds: Vec<SocketAddr>,
        generation: u64,
        timeout: Duration,
        to: Sender<ShadowReport>,
    },
    Announce(Announcement, Sender<Result<(), helenus_gossip::Error>>),
    /// There is something to say, or somebody has gone.
    Look,
    Stop(Sender<()>),
}

/// What the task and everybody else share.
struct Shared {
    own: HostId,
    view: ArcSwap<View>,
    moved: Signal,
    /// Why the node must end.
    fatal: OnceLock<String>,
    to_say: Mutex<BTreeMap<Key, Value>>,
    gone: Mutex<BTreeSet<HostId>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of a host id, as gossip has it.
#[must_use]
pub fn host_number(host_id: &[u8; 16]) -> HostId {
    HostId(u128::from_be_bytes(*host_id))
}

/// Where messages of other nodes go in.
#[derive(Debug, Clone)]
pub struct GossipInbox(Sender<Input>);

impl GossipInbox {
    /// Takes a message of the node that can be reached at `from`.
    pub fn receive(&self, from: SocketAddr, message: Bytes) {
        // One that finds the queue full is lost; the next round brings what it said.
        drop(self.0.try_send(Input::Message(from, message)));
    }
}

/// The running service. Dropping it ends the task.
pub struct GossipService {
    shared: Arc<Shared>,
    inbox: Sender<Input>,
    runtime: Arc<dyn Runtime>,
    internode: Arc<Internode>,
}

impl std::fmt::Debug for GossipService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("GossipService").field("own", &self.shared.own).finish()
    }
}

/// Knows who is up by what gossip sees; takes no lock.
struct UpByGossip(Arc<Shared>);

impl Liveness for UpByGossip {
    fn is_up(&self, host_id: &[u8; 16]) -> bool {
        let host = host_number(host_id);
        host == self.0.own || self.0.view.load().get(host).is_some_and(|node| node.up)
    }
}

impl GossipService {
    /// Starts the task, in the shadow.
    ///
    /// # Errors
    /// The cluster's name is none.
    pub fn start(opening: Opening) -> Result<GossipService, helenus_gossip::Error> {
        let (inbox, inputs) = channel::bounded(INBOX);
        let shared = Arc::new(Shared {
            own: host_number(&opening.host_id),
            view: ArcSwap::default(),
            moved: Signal::new(),
            fatal: OnceLock::new(),
            to_say: Mutex::default(),
            gone: Mutex::default(),
        });
        let (runtime, internode) = (opening.runtime.clone(), opening.internode.clone());
        let machine = machine(&opening, Config::new(&opening.cluster_name), 1, Vec::new(), &[])?;
        let task = Task {
            shared: shared.clone(),
            interval: machine.1,
            machine: machine.0,
            next_tick: Duration::ZERO,
            is_announced: false,
            waiting: None,
            opening,
        };
        runtime.spawn("gossip", Box::pin(task.run(inputs)));
        Ok(GossipService { shared, inbox, runtime, internode })
    }

    /// Where messages of other nodes go in.
    #[must_use]
    pub fn inbox(&self) -> GossipInbox {
        GossipInbox(self.inbox.clone())
    }

    /// Who is up.
    #[must_use]
    pub fn liveness(&self) -> Arc<dyn Liveness> {
        Arc::new(UpByGossip(self.shared.clone()))
    }

    /// Asks `seeds` what they know, for at most `timeout`. None if the service has ended.
    pub async fn shadow_round(
        &self,
        seeds: Vec<SocketAddr>,
        generation: u64,
        timeout: Duration,
    ) -> Option<ShadowReport> {
        let (to, mut report) = channel::bounded(1);
        self.inbox.send(Input::Round { seeds, generation, timeout, to }).await.ok()?;
        report.recv().await
    }

    /// Leaves the shadow: from now on others hear of this node.
    ///
    /// # Errors
    /// A value that gossip does not take, or a generation that is none.
    pub async fn announce(&self, announcement: Announcement) -> Result<(), helenus_gossip::Error> {
        let (to, mut done) = channel::bounded(1);
        drop(self.inbox.send(Input::Announce(announcement, to)).await);
        // A service that has ended announces nothing, and its node is about to end too.
        done.recv().await.unwrap_or(Ok(()))
    }

    /// Says something of this node, as soon as it is announced.
    pub fn say(&self, key: Key, value: Value) {
        locked(&self.shared.to_say).insert(key, value);
        drop(self.inbox.try_send(Input::Look));
    }

    /// The cluster has agreed that this member is gone: nothing that is said of it is believed.
    pub fn gone(&self, host_id: &[u8; 16]) {
        let host = host_number(host_id);
        if host != self.shared.own && locked(&self.shared.gone).insert(host) {
            drop(self.inbox.try_send(Input::Look));
        }
    }

    /// The cluster as this node sees it.
    #[must_use]
    pub fn view(&self) -> View {
        View::clone(&self.shared.view.load())
    }

    /// Moves whenever there is another view, or the node must end.
    #[must_use]
    pub fn moved(&self) -> &Signal {
        &self.shared.moved
    }

    /// Why the node must end, if it must: it shares its identity, or was removed.
    #[must_use]
    pub fn fatal(&self) -> Option<&str> {
        self.shared.fatal.get().map(String::as_str)
    }

    /// Says goodbye to everybody, and ends. To be called before internode is closed.
    pub async fn stop(&self) {
        let (to, mut done) = channel::bounded(1);
        if self.inbox.send(Input::Stop(to)).await.is_err() {
            return;
        }
        done.recv().await;
        // What is queued leaves in a moment, or not at all.
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while self.internode.queued_bytes() > 0 && waited < GOODBYE {
            self.runtime.sleep(step).await;
            waited += step;
        }
    }
}

/// A state machine in the shadow, and its interval.
fn machine(
    opening: &Opening,
    config: Config,
    generation: u64,
    values: Vec<(Key, Value)>,
    seeds: &[SocketAddr],
) -> Result<(Gossip, Duration), helenus_gossip::Error> {
    let local = Local {
        host: host_number(&opening.host_id),
        generation: Generation(generation),
        address: opening.address,
        values,
    };
    let interval = config.interval;
    let now = opening.clock.monotonic();
    let machine = Gossip::new(config, local, seeds, opening.random.clone(), now)?;
    Ok((machine, interval))
}

struct Task {
    opening: Opening,
    shared: Arc<Shared>,
    machine: Gossip,
    interval: Duration,
    next_tick: Duration,
    /// It has left the shadow: what it says of itself goes to others.
    is_announced: bool,
    /// Who waits for the end of the shadow round.
    waiting: Option<Sender<ShadowReport>>,
}

impl Task {
    fn now(&self) -> Duration {
        self.opening.clock.monotonic()
    }

    async fn run(mut self, mut inputs: Receiver<Input>) {
        loop {
            let left = self.next_tick.saturating_sub(self.now());
            match within(&self.opening.runtime, Some(left), inputs.recv()).await {
                None => self.tick(),
                Some(None) => return,
                Some(Some(first)) => {
                    let mut next = Some(first);
                    for _ in 0..TURN {
                        let Some(input) = next.take() else { break };
                        if let Input::Stop(done) = input {
                            return self.stop(&done);
                        }
                        self.take(input);
                        if let Poll::Ready(more) = inputs.try_recv() {
                            next = more;
                        }
                    }
                    next.into_iter().for_each(|input| self.take(input));
                    if self.next_tick <= self.now() {
                        self.tick();
                    }
                }
            }
            self.act();
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        self.machine.tick(now);
        // A tick that is late is not made up for.
        self.next_tick = (self.next_tick + self.interval).max(now);
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Message(from, bytes) => {
                let now = self.now();
                if let Err(error) = self.machine.receive_bytes(now, from, &bytes) {
                    tracing::debug!(%from, %error, "a message of gossip cannot be read");
                }
            }
            Input::Round { seeds, generation, timeout, to } => {
                let config = Config {
                    interval: SHADOW_INTERVAL,
                    shadow_timeout: timeout,
                    ..Config::new(&self.opening.cluster_name)
                };
                match machine(&self.opening, config, generation, Vec::new(), &seeds) {
                    Ok(machine) => {
                        self.replace(machine);
                        self.waiting = Some(to);
                    }
                    Err(error) => tracing::error!(%error, "the seeds cannot be asked"),
                }
            }
            Input::Announce(announcement, to) => drop(to.try_send(self.announce(announcement))),
            Input::Look => {}
            Input::Stop(done) => self.stop(&done),
        }
    }

    fn replace(&mut self, (machine, interval): (Gossip, Duration)) {
        (self.machine, self.interval) = (machine, interval);
        self.next_tick = self.now();
    }

    fn announce(&mut self, announcement: Announcement) -> Result<(), helenus_gossip::Error> {
        let Announcement { cluster_id, generation, seeds, values } = announcement;
        let cluster_id = ClusterId(u128::from_be_bytes(cluster_id));
        let config =
            Config { cluster_id: Some(cluster_id), ..Config::new(&self.opening.cluster_name) };
        let mut next = machine(&self.opening, config, generation, values, &seeds)?;
        next.0.announce(cluster_id, Generation(generation))?;
        self.replace(next);
        self.is_announced = true;
        Ok(())
    }

    fn stop(&mut self, done: &Sender<()>) {
        if let Err(error) = self.machine.stop(self.now()) {
            tracing::debug!(%error, "no goodbye");
        }
        self.send();
        // Who asked may have stopped waiting.
        let _ = done.try_send(());
    }

    /// What follows from what was taken: values are said, messages leave, the view is published.
    fn act(&mut self) {
        if self.is_announced {
            self.say();
            self.let_go();
        }
        for event in self.machine.take_events() {
            self.see(event);
        }
        self.send();
        let view = self.machine.view();
        if !self.shared.view.load().is_same(&view) {
            self.shared.view.store(Arc::new(view));
            self.shared.moved.notify_all();
        }
    }

    fn say(&mut self) {
        for (key, value) in std::mem::take(&mut *locked(&self.shared.to_say)) {
            if let Err(error) = self.machine.local_update(key, value) {
                tracing::warn!(%error, "gossip does not take what this node says of itself");
            }
        }
    }

    /// Takes members out that are gone, each as soon as it is down.
    fn let_go(&mut self) {
        let mut gone = locked(&self.shared.gone);
        let machine = &mut self.machine;
        gone.retain(|host| match machine.remove(*host) {
            Err(helenus_gossip::Error::NodeIsUp { .. }) => true,
            Ok(()) => false,
            Err(_) => {
                machine.quarantine(*host, Generation::MAX, QUARANTINE);
                false
            }
        });
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::ShadowDone(report) => {
                if let Some(to) = self.waiting.take() {
                    drop(to.try_send(report));
                }
            }
            Event::Impersonated { generation } => self.fail(format!(
                "another process runs with this node's identity (its life {generation} began after \
                 ours): a data directory was copied; stop one of the two and start it with an \
                 empty directory"
            )),
            Event::RemovedOurselves => self.fail(
                "the other nodes have removed this node from the cluster: it can join again with \
                 an empty data directory"
                    .to_owned(),
            ),
            Event::Up(host) => tracing::info!(%host, "a node is up"),
            Event::Down(host) => tracing::info!(%host, "a node is down"),
            _ => {}
        }
    }

    fn fail(&self, why: String) {
        tracing::error!("{why}");
        // The first reason says most.
        drop(self.shared.fatal.set(why));
        self.shared.moved.notify_all();
    }

    fn send(&mut self) {
        for (address, message) in self.machine.take_outputs() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            let target = Target { address, host_id: self.host_at(address) };
            // What cannot be sent now is said again in the next round.
            drop(self.opening.internode.send(&target, Verb::Gossip, bytes.into()));
        }
    }

    /// Who is up at this address, as far as that is known.
    fn host_at(&self, address: SocketAddr) -> Option<[u8; 16]> {
        let view = self.shared.view.load();
        let node = view.nodes().find(|node| node.up && node.address == Some(address))?;
        Some(node.host.0.to_be_bytes())
    }
}
