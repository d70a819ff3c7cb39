//! A few nodes whose messages a test carries by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use helenus_gossip::{
    ClusterId, Config, Event, Generation, Gossip, HostId, Key, Local, Message, Status, Value,
};
use helenus_platform::random::SeededRandom;

pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);
pub(crate) const GENERATION: u64 = 1_790_000_000;

pub(crate) fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (node / 250) as u8, (node % 250) as u8 + 1], 7000))
}

pub(crate) fn host(node: usize) -> HostId {
    // Neighbours are not neighbours in the order of host ids.
    HostId((node as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

pub(crate) fn local(node: usize, generation: u64) -> Local {
    Local {
        host: host(node),
        generation: Generation(generation),
        address: address(node),
        values: vec![(Key::RACK, Value::from(&b"r1"[..]))],
    }
}

/// A node in its shadow round.
pub(crate) fn shadow(config: &Config, local: Local, seeds: &[SocketAddr], now: Duration) -> Gossip {
    let seed = local.generation.0 ^ local.host.0 as u64;
    let random = Arc::new(SeededRandom::new(seed));
    Gossip::new(config.clone(), local, seeds, random, now).unwrap()
}

/// A node that serves, and that knows nobody but its seeds.
pub(crate) fn member(config: &Config, local: Local, seeds: &[SocketAddr], now: Duration) -> Gossip {
    let generation = local.generation;
    let mut gossip = shadow(config, local, seeds, now);
    gossip.announce(CLUSTER, generation).unwrap();
    gossip.local_update(Key::STATUS, Status::Normal.value()).unwrap();
    gossip
}

pub(crate) struct Cluster {
    pub(crate) config: Config,
    pub(crate) now: Duration,
    pub(crate) nodes: Vec<Option<Gossip>>,
    pub(crate) events: Vec<(usize, Event)>,
}

impl Cluster {
    /// Members that know only the first of them.
    pub(crate) fn new(nodes: usize, config: Config) -> Self {
        let now = Duration::from_secs(1000);
        let member = |node| member(&config, local(node, GENERATION), &[address(0)], now);
        let nodes = (0..nodes).map(|node| Some(member(node))).collect();
        Cluster { config, now, nodes, events: Vec::new() }
    }

    /// Members that all know one another and think one another up.
    pub(crate) fn met(nodes: usize) -> Self {
        let mut cluster = Cluster::new(nodes, Config::new("test"));
        cluster.rounds(40);
        for node in 0..nodes {
            assert_eq!(cluster.ups(node), nodes, "node {node} does not see all");
        }
        cluster.events.clear();
        cluster
    }

    pub(crate) fn node(&mut self, node: usize) -> &mut Gossip {
        self.nodes[node].as_mut().unwrap()
    }

    /// Nodes that a node thinks up, itself among them.
    pub(crate) fn ups(&mut self, node: usize) -> usize {
        let view = self.node(node).view();
        view.nodes().filter(|node| node.up).count()
    }

    /// Rounds in which everything arrives.
    pub(crate) fn rounds(&mut self, rounds: usize) {
        self.rounds_where(rounds, |_, _| true);
    }

    /// Rounds in which a message arrives if `passes` says so of its sender and receiver.
    pub(crate) fn rounds_where(&mut self, rounds: usize, passes: impl Fn(usize, usize) -> bool) {
        for _ in 0..rounds {
            self.now += self.config.interval;
            for node in 0..self.nodes.len() {
                let Some(gossip) = &mut self.nodes[node] else { continue };
                gossip.tick(self.now);
                self.carry(node, &passes);
            }
        }
    }

    /// Carries what a node has to say, the answers to it, and so on.
    fn carry(&mut self, node: usize, passes: &impl Fn(usize, usize) -> bool) {
        let mut mail = vec![node];
        while let Some(from) = mail.pop() {
            let Some(gossip) = &mut self.nodes[from] else { continue };
            let outputs = gossip.take_outputs();
            self.events.extend(gossip.take_events().into_iter().map(|event| (from, event)));
            for (to, message) in outputs {
                let to = (0..self.nodes.len()).find(|node| address(*node) == to);
                let Some(to) = to.filter(|to| passes(from, *to)) else { continue };
                self.deliver(from, to, &message);
                mail.push(to);
            }
        }
    }

    /// A message arrives, as bytes.
    pub(crate) fn deliver(&mut self, from: usize, to: usize, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert!(bytes.len() <= self.config.message_bytes_max, "{} bytes", bytes.len());
        let now = self.now;
        if let Some(gossip) = &mut self.nodes[to] {
            gossip.receive_bytes(now, address(from), &bytes).unwrap();
            self.events.extend(gossip.take_events().into_iter().map(|event| (to, event)));
        }
    }

    /// The node's next life.
    pub(crate) fn restart(&mut self, node: usize, generation: u64) {
        let local = local(node, generation);
        self.nodes[node] = Some(member(&self.config, local, &[address(0)], self.now));
    }
}
