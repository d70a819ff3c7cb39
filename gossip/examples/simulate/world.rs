//! A cluster in one thread, on simulated time: the nodes' own code, a network that loses, delays
//! and cuts, and what is seen from above, where it is known who is really alive.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use helenus_gossip::state::{address_value, number_value};
use helenus_gossip::{
    ClusterId, Config, Counters, Event, Generation, Gossip, HostId, Key, Local, Message, Status,
    Value,
};
use helenus_platform::random::{Random, SeededRandom};

pub(crate) const SECOND: u64 = 1_000_000;
/// The wall clock, in seconds since the epoch, when the simulation begins.
const EPOCH: u64 = 1_790_000_000;
/// Every so many messages one is measured.
const SAMPLE: u64 = 16;

/// What the network does to messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    /// The part of all messages that is lost.
    pub(crate) loss: f64,
    /// Delays are evenly spread between these, in microseconds.
    pub(crate) delay: (u64, u64),
    /// This part of all messages takes up to so many microseconds instead.
    pub(crate) slow: (f64, u64),
}

/// What happens to the world.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A node says something new; all stable nodes are to know.
    Change(usize),
    /// A process ends, from one moment to the next.
    Kill(usize),
    /// It begins its next life.
    Start(usize),
    /// It stands still for so many microseconds; messages wait for it.
    Pause(usize, u64),
    /// What the first nodes send to the second ones is lost.
    Cut(std::ops::Range<usize>, std::ops::Range<usize>),
    /// All cuts are mended.
    Mend,
}

enum Happening {
    Tick { node: usize, life: u64 },
    Deliver { to: usize, from: usize, message: Box<Message> },
    Act(Action),
}

struct Due {
    at: u64,
    order: u64,
    what: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// One machine.
struct Machine {
    host: HostId,
    address: SocketAddr,
    /// The process, while there is one.
    gossip: Option<Box<Gossip>>,
    life: u64,
    started_at: u64,
    paused_until: u64,
    /// Nothing is done to it in this scenario: it has to know everything, and is never down.
    stable: bool,
}

/// A death that not everybody has noticed yet.
struct Death {
    node: usize,
    at: u64,
    /// Running nodes that think it up.
    believers: i64,
}

/// What was seen from above.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Rounds until a change was known to all stable nodes.
    pub(crate) rounds_to_know: Vec<f64>,
    /// Seconds until a dead node was convicted by all.
    pub(crate) seconds_to_convict: Vec<f64>,
    /// Convictions of nodes that were up all along, by nodes that were.
    pub(crate) false_convictions: u64,
    /// Convictions of nodes that had died, were paused, or had just come back.
    pub(crate) convictions: u64,
    /// Convictions of stable nodes by a node that has just been paused.
    pub(crate) after_own_pause: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) message_bytes_max: usize,
    /// Pairs of a running node and another one that it thinks up.
    pub(crate) up_pairs: i64,
    /// A hash of everything that happened, in its order.
    pub(crate) trace: u64,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) config: Config,
    pub(crate) network: Network,
    pub(crate) seen: Seen,
    /// Every message is encoded and decoded on its way.
    pub(crate) on_the_wire: bool,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
    machines: Vec<Machine>,
    by_host: BTreeMap<HostId, usize>,
    cuts: Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>,
    random: SeededRandom,
    deaths: Vec<Death>,
    /// Who said what when, and who does not know it yet.
    change: Option<(usize, Value, u64, Vec<bool>)>,
    changes: u64,
}

impl World {
    /// `nodes` machines without a process.
    pub(crate) fn new(nodes: usize, config: Config, network: Network, seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let machines: Vec<Machine> = (0..nodes)
            .map(|node| Machine {
                host: HostId(u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())),
                address: address(node),
                gossip: None,
                life: 0,
                started_at: 0,
                paused_until: 0,
                stable: true,
            })
            .collect();
        World {
            now: 0,
            config,
            network,
            seen: Seen { trace: 0xcbf2_9ce4_8422_2325, ..Seen::default() },
            on_the_wire: false,
            queue: BinaryHeap::new(),
            order: 0,
            by_host: machines.iter().enumerate().map(|(at, m)| (m.host, at)).collect(),
            machines,
            cuts: Vec::new(),
            random,
            deaths: Vec::new(),
            change: None,
            changes: 0,
        }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.machines.len()
    }

    pub(crate) fn below(&self, n: u64) -> u64 {
        self.random.below(n)
    }

    pub(crate) fn set_unstable(&mut self, node: usize) {
        self.machines[node].stable = false;
    }

    /// The sum of all nodes' counters that scenarios speak of.
    pub(crate) fn counters(&self) -> Vec<Counters> {
        self.machines.iter().filter_map(|m| m.gossip.as_ref()).map(|g| *g.counters()).collect()
    }

    pub(crate) fn at(&mut self, at: u64, action: Action) {
        self.schedule(at, Happening::Act(action));
    }

    fn schedule(&mut self, at: u64, what: Happening) {
        self.order += 1;
        self.queue.push(Reverse(Due { at, order: self.order, what }));
    }

    /// Runs until `end`, or until `over` says so (it is asked once a simulated 100 ms).
    pub(crate) fn run_until(&mut self, end: u64, over: impl Fn(&World) -> bool) {
        let mut ask_at = self.now;
        while let Some(Reverse(due)) = self.queue.peek() {
            if due.at > end {
                break;
            }
            let Some(Reverse(due)) = self.queue.pop() else { break };
            self.now = due.at;
            if self.now >= ask_at {
                if over(self) {
                    return self.schedule(due.at, due.what);
                }
                ask_at = self.now + SECOND / 10;
            }
            self.happen(due.what);
        }
        self.now = end;
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Tick { node, life } => self.tick(node, life),
            Happening::Deliver { to, from, message } => self.deliver(to, from, message),
            Happening::Act(action) => self.act(action),
        }
    }

    fn tick(&mut self, node: usize, life: u64) {
        let machine = &mut self.machines[node];
        let Some(gossip) = machine.gossip.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        if machine.paused_until > self.now {
            let at = machine.paused_until;
            return self.schedule(at, Happening::Tick { node, life });
        }
        gossip.tick(Duration::from_micros(self.now));
        self.trace(&[1, self.now, node as u64]);
        self.take(node);
        let interval = self.config.interval.as_micros() as u64;
        // A timer is never early.
        let late = self.random.below(interval / 50);
        self.schedule(self.now + interval + late, Happening::Tick { node, life });
    }

    fn deliver(&mut self, to: usize, from: usize, message: Box<Message>) {
        let source = self.machines[from].address;
        let machine = &mut self.machines[to];
        let Some(gossip) = machine.gossip.as_mut() else { return };
        if machine.paused_until > self.now {
            let at = machine.paused_until;
            return self.schedule(at, Happening::Deliver { to, from, message });
        }
        let exchange = message.exchange;
        if self.on_the_wire {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            let now = Duration::from_micros(self.now);
            gossip.receive_bytes(now, source, &bytes).expect("what is sent can be read");
        } else {
            gossip.receive(Duration::from_micros(self.now), source, *message);
        }
        self.trace(&[2, self.now, to as u64, from as u64, exchange]);
        self.take(to);
    }

    /// Sends what a node wants to send, and looks at what it thinks.
    fn take(&mut self, node: usize) {
        let Some(gossip) = self.machines[node].gossip.as_mut() else { return };
        let outputs = gossip.take_outputs();
        let events = gossip.take_events();
        for (to, message) in outputs {
            self.send(node, number(to), message);
        }
        for event in events {
            self.noticed(node, &event);
        }
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        self.seen.messages += 1;
        if self.seen.messages.is_multiple_of(SAMPLE) {
            let bytes = message.encoded_len();
            assert!(bytes <= self.config.message_bytes_max, "a message of {bytes} bytes");
            self.seen.bytes += bytes as u64 * SAMPLE;
            self.seen.message_bytes_max = self.seen.message_bytes_max.max(bytes);
        }
        let cut = self.cuts.iter().any(|(a, b)| a.contains(&from) && b.contains(&to));
        if self.random.chance(self.network.loss) || cut || to >= self.machines.len() {
            return;
        }
        let (least, most) = self.network.delay;
        let (part, slowest) = self.network.slow;
        let most = if self.random.chance(part) { slowest } else { most };
        let at = self.now + least + self.random.below(most - least);
        self.schedule(at, Happening::Deliver { to, from, message: Box::new(message) });
    }

    fn noticed(&mut self, node: usize, event: &Event) {
        match event {
            Event::ShadowDone(report) => {
                let id = report.cluster_id.unwrap_or(ClusterId(1));
                let generation = Generation(EPOCH + self.machines[node].started_at / SECOND);
                let Some(gossip) = self.machines[node].gossip.as_mut() else { return };
                gossip.announce(id, generation).expect("nobody has our generation");
                gossip.local_update(Key::STATUS, Status::Normal.value()).expect("a status");
            }
            Event::Up(host) => {
                self.seen.up_pairs += 1;
                let target = self.node_of(*host);
                let death = self.deaths.iter_mut().find(|death| death.node == target);
                if let Some(death) = death {
                    death.believers += 1;
                }
            }
            Event::Down(host) => self.convicted(node, self.node_of(*host)),
            Event::Changed { host, key: Key::LOAD } => self.knows(node, *host),
            Event::Restarted(host) | Event::Discovered(host) => self.knows(node, *host),
            _ => {}
        }
    }

    fn convicted(&mut self, by: usize, node: usize) {
        self.seen.up_pairs -= 1;
        self.trace(&[3, self.now, by as u64, node as u64]);
        let target = &self.machines[node];
        let came_back = target.started_at + 30 * SECOND > self.now && target.life > 1;
        let paused = target.paused_until + 30 * SECOND > self.now && target.paused_until > 0;
        let observer = &self.machines[by];
        let was_paused = observer.paused_until + 2 * SECOND > self.now && observer.paused_until > 0;
        if target.gossip.is_none() || came_back || paused {
            self.seen.convictions += 1;
        } else if was_paused {
            self.seen.after_own_pause += 1;
        } else {
            self.seen.false_convictions += 1;
        }
        self.believed_no_more(node, true);
    }

    /// One believer less, because it was convinced or because it is gone itself.
    fn believed_no_more(&mut self, node: usize, convinced: bool) {
        let Some(at) = self.deaths.iter().position(|death| death.node == node) else { return };
        self.deaths[at].believers -= 1;
        if self.deaths[at].believers == 0 {
            let took = self.now - self.deaths[at].at;
            if convinced {
                self.seen.seconds_to_convict.push(took as f64 / SECOND as f64);
            }
            self.deaths.swap_remove(at);
        }
    }

    fn knows(&mut self, node: usize, host: HostId) {
        let Some((source, value, since, missing)) = &mut self.change else { return };
        let gossip = self.machines[node].gossip.as_ref();
        let has = gossip.and_then(|gossip| gossip.value(host, Key::LOAD));
        if self.machines[*source].host != host || has != Some(value) {
            return;
        }
        missing[node] = false;
        if !missing.contains(&true) {
            let interval = self.config.interval.as_micros() as f64;
            self.seen.rounds_to_know.push((self.now - *since) as f64 / interval);
            self.change = None;
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Change(node) => self.say(node),
            Action::Kill(node) => self.kill(node),
            Action::Start(node) => self.start(node),
            Action::Pause(node, micros) => self.machines[node].paused_until = self.now + micros,
            Action::Cut(from, to) => self.cuts.push((from, to)),
            Action::Mend => self.cuts.clear(),
        }
    }

    fn say(&mut self, node: usize) {
        self.changes += 1;
        let value = number_value(1_000_000 + self.changes);
        let Some(gossip) = self.machines[node].gossip.as_mut() else { return };
        gossip.local_update(Key::LOAD, value.clone()).expect("a load");
        if self.change.is_some() {
            // The last one was never known to all: that is as bad as it gets.
            self.seen.rounds_to_know.push(f64::INFINITY);
        }
        let mut missing: Vec<bool> = self.machines.iter().map(|machine| machine.stable).collect();
        missing[node] = false;
        self.change = Some((node, value, self.now, missing));
    }

    fn kill(&mut self, node: usize) {
        let Some(gossip) = self.machines[node].gossip.take() else { return };
        let up = |of: &Gossip, host| i64::from(of.is_up(host));
        let others = || self.machines.iter().enumerate().filter(|(at, _)| *at != node);
        self.seen.up_pairs -= others().map(|(_, other)| up(&gossip, other.host)).sum::<i64>();
        let host = self.machines[node].host;
        let running = others().filter_map(|(_, machine)| machine.gossip.as_ref());
        let believers = running.map(|other| up(other, host)).sum::<i64>();
        let dead: Vec<usize> = self.deaths.iter().map(|death| death.node).collect();
        for target in dead {
            if gossip.is_up(self.machines[target].host) {
                self.believed_no_more(target, false);
            }
        }
        if believers > 0 {
            self.deaths.push(Death { node, at: self.now, believers });
        }
    }

    fn start(&mut self, node: usize) {
        let seeds = (self.nodes() / 100).clamp(2, 5);
        let seeds: Vec<SocketAddr> = (0..seeds).map(address).collect();
        // Who comes back before all have noticed was not convicted by all.
        self.deaths.retain(|death| death.node != node);
        let random = Arc::new(SeededRandom::new(self.random.next_u64()));
        let machine = &mut self.machines[node];
        machine.life += 1;
        machine.started_at = self.now;
        machine.paused_until = 0;
        let text = |text: &str| Value::from(text.as_bytes());
        let local = Local {
            host: machine.host,
            generation: Generation(EPOCH + self.now / SECOND),
            address: machine.address,
            values: vec![
                (Key::CLIENT_ADDRESS, address_value(machine.address)),
                (Key::DATA_CENTRE, text(if node.is_multiple_of(2) { "dc1" } else { "dc2" })),
                (Key::RACK, text("rack1")),
                (Key::METADATA_VERSION, number_value(17)),
                (Key::FEATURE_LEVEL, number_value(1)),
            ],
        };
        let now = Duration::from_micros(self.now);
        let gossip = Gossip::new(self.config.clone(), local, &seeds, random, now);
        machine.gossip = Some(Box::new(gossip.expect("a valid configuration")));
        let life = machine.life;
        let phase = self.random.below(self.config.interval.as_micros() as u64);
        self.schedule(self.now + phase, Happening::Tick { node, life });
    }

    fn node_of(&self, host: HostId) -> usize {
        self.by_host[&host]
    }

    fn trace(&mut self, words: &[u64]) {
        for word in words {
            self.seen.trace = (self.seen.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3);
            self.seen.trace ^= self.seen.trace >> 29;
        }
    }
}

fn address(node: usize) -> SocketAddr {
    let [_, a, b, c] = (node as u32).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, a, b, c), 7000))
}

fn number(address: SocketAddr) -> usize {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_bits() & 0xff_ffff) as usize,
        SocketAddr::V6(_) => usize::MAX,
    }
}
