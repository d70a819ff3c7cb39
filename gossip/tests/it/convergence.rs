//! Whatever is lost, repeated, delayed and reordered: versions never go back, what a node has of
//! another one has no holes, and once the faults stop everybody knows the same.

use std::collections::BTreeMap;
use std::time::Duration;

use helenus_gossip::state::number_value;
use helenus_gossip::{Config, Digest, Generation, Gossip, Key, Message, Value};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cluster::{GENERATION, address, host, local, member};

const NODES: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A round of a node.
    Tick(usize),
    /// Time passes.
    Wait(u64),
    /// A message arrives, and perhaps stays under way, to arrive again.
    Deliver(Index, bool),
    /// A message is lost.
    Lose(Index),
    /// A node says something, perhaps at length.
    Say(usize, u8, bool),
    /// A node begins a new life.
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..NODES).prop_map(Step::Tick),
        2 => (1..2000u64).prop_map(Step::Wait),
        8 => (any::<Index>(), any::<bool>()).prop_map(|(at, stays)| Step::Deliver(at, stays)),
        2 => any::<Index>().prop_map(Step::Lose),
        3 => (0..NODES, 100..106u8, any::<bool>())
            .prop_map(|(node, key, long)| Step::Say(node, key, long)),
        1 => (0..NODES).prop_map(Step::Restart),
    ]
}

/// What each node has said in its present life: the value of each key and its version.
type Said = Vec<BTreeMap<Key, (u64, Value)>>;

struct Trial {
    config: Config,
    now: Duration,
    nodes: Vec<Gossip>,
    /// Sender, receiver, message.
    mail: Vec<(usize, usize, Message)>,
    said: Said,
    /// What each node had of each other at the last look.
    seen: BTreeMap<(usize, usize), Digest>,
    count: u64,
}

impl Trial {
    fn new() -> Self {
        let mut config = Config::new("test");
        // Two long values do not fit into one message.
        config.message_bytes_max = 2048;
        let now = Duration::from_secs(1);
        let nodes =
            (0..NODES).map(|n| member(&config, local(n, GENERATION), &[address(0)], now)).collect();
        Trial {
            config,
            now,
            nodes,
            mail: Vec::new(),
            said: vec![BTreeMap::new(); NODES],
            seen: BTreeMap::new(),
            count: 0,
        }
    }

    fn own_digest(&self, node: usize) -> Digest {
        self.nodes[node].digest(host(node)).unwrap()
    }

    fn collect(&mut self, node: usize) {
        for (to, message) in self.nodes[node].take_outputs() {
            let to = (0..NODES).find(|node| address(*node) == to).unwrap();
            self.mail.push((node, to, message));
        }
    }

    fn deliver(&mut self, at: usize, stays: bool) {
        let (from, to, message) = match stays {
            true => self.mail[at].clone(),
            false => self.mail.swap_remove(at),
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert!(bytes.len() <= self.config.message_bytes_max);
        self.nodes[to].receive_bytes(self.now, address(from), &bytes).unwrap();
        self.collect(to);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Tick(node) => {
                self.nodes[*node].tick(self.now);
                self.collect(*node);
            }
            Step::Wait(millis) => self.now += Duration::from_millis(*millis),
            Step::Deliver(at, stays) if !self.mail.is_empty() => {
                self.deliver(at.index(self.mail.len()), *stays);
            }
            Step::Lose(at) if !self.mail.is_empty() => {
                self.mail.swap_remove(at.index(self.mail.len()));
            }
            Step::Say(node, key, long) => {
                self.count += 1;
                let mut value = number_value(self.count).to_vec();
                value.resize(if *long { 1000 } else { 8 }, 0);
                let (key, value) = (Key(*key), Value::from(value));
                self.nodes[*node].local_update(key, value.clone()).unwrap();
                let version = self.own_digest(*node).version;
                self.said[*node].insert(key, (version, value));
            }
            Step::Restart(node) => {
                self.count += 1;
                let generation = self.own_digest(*node).generation.0 + 1;
                let local = local(*node, generation);
                self.nodes[*node] = member(&self.config, local, &[address(0)], self.now);
                self.said[*node].clear();
                self.seen.retain(|(by, _), _| by != node);
            }
            _ => {}
        }
    }

    /// Nothing has gone back, and nothing has holes.
    fn check(&mut self) {
        for by in 0..NODES {
            for of in 0..NODES {
                let Some(has) = self.nodes[by].digest(host(of)) else { continue };
                if let Some(before) = self.seen.insert((by, of), has) {
                    let order = |d: Digest| (d.generation, d.version);
                    assert!(order(before) <= order(has), "{by} went back on {of}");
                }
                if has.generation != self.own_digest(of).generation {
                    continue;
                }
                for (key, (version, value)) in &self.said[of] {
                    let known = self.nodes[by].value(host(of), *key);
                    if *version <= has.version {
                        assert_eq!(known, Some(value), "{by} has a hole in what {of} said");
                    }
                }
            }
        }
    }

    /// The faults stop: everything that is sent arrives. The rounds until all know the same.
    fn heal(&mut self) {
        self.mail.clear();
        let mut known = BTreeMap::new();
        for round in 0..60 {
            self.now += self.config.interval;
            for node in 0..NODES {
                self.nodes[node].tick(self.now);
                self.collect(node);
                while !self.mail.is_empty() {
                    self.deliver(0, false);
                }
            }
            self.check();
            known.clear();
            for (of, said) in self.said.iter().enumerate() {
                for (key, (_, value)) in said {
                    let all = self.nodes.iter().all(|n| n.value(host(of), *key) == Some(value));
                    known.insert((of, *key), all);
                }
            }
            let met = self.nodes.iter_mut().all(|node| {
                let view = node.view();
                view.nodes().filter(|node| node.up).count() == NODES
            });
            if met && known.values().all(|known| *known) {
                return;
            }
            assert!(round < 59, "not all is known to all: {known:?}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_all_converge(steps in prop::collection::vec(step(), 0..200)) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.take(step);
            trial.check();
        }
        trial.heal();
    }
}

#[test]
fn the_trial_really_cuts_and_reorders() {
    let mut trial = Trial::new();
    for key in 100..106 {
        trial.take(&Step::Say(1, key, true));
    }
    trial.take(&Step::Tick(1));
    let own = trial.own_digest(1);
    while !trial.mail.is_empty() {
        trial.deliver(0, false);
    }
    let has = trial.nodes[0].digest(host(1)).unwrap();
    assert!(has.version < own.version, "everything fitted into one message");
    assert_eq!(has.generation, Generation(GENERATION));
    trial.check();
}
