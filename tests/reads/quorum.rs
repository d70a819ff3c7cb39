//! Random writes that reach some of three nodes, and random reads over some of them: what is told
//! is what these nodes have together, and afterwards each of them has it.
//!
//! `HELENUS_READS_RUNS` and `HELENUS_READS_OPS` set the size, `HELENUS_READS_SEED` the first seed.

use std::sync::Arc;
use std::time::Duration;

use helenus::coordinator::read::{
    Contacts, Part, ReadError, ReadOptions, ReadStep, ReplicatedRead, Speculation,
};
use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::{PartitionBound, Slice, Token};
use helenus_storage::replica::{Place, Reach, Reconciled, Reconciliation, ReplicaCommand};
use helenus_storage::{Budget, Partitions, ReadCommand};

use crate::collect::{Collector, PartitionOut};
use crate::encode::{command_of, encode, expected};
use crate::harness::KEYSPACE;
use crate::lab::{Lab, Node, contact};
use crate::model::Model;
use crate::ops::{self, ReadOp, WIDE};
use crate::replica::page;

/// Some nodes and everything that any of them was told.
pub(crate) struct Cluster {
    pub(crate) lab: Arc<Lab>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) model: Model,
    pub(crate) random: SeededRandom,
}

/// A read: who asks whom, and how it is cut up.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) coordinator: usize,
    /// In order of preference.
    pub(crate) contacts: Vec<usize>,
    pub(crate) block_for: usize,
    /// Rows of a client's page.
    pub(crate) rows: usize,
    pub(crate) rows_hint: u64,
    /// Units of budget a step.
    pub(crate) units: u64,
    pub(crate) speculation: Speculation,
    pub(crate) timeout: Duration,
}

impl Ask {
    pub(crate) fn new(coordinator: usize, contacts: &[usize], block_for: usize) -> Ask {
        Ask {
            coordinator,
            contacts: contacts.to_vec(),
            block_for,
            rows: usize::MAX,
            rows_hint: 5000,
            units: u64::MAX,
            speculation: Speculation::Percentile(99.0),
            timeout: Duration::from_secs(2),
        }
    }
}

impl Cluster {
    pub(crate) async fn new(lab: &Arc<Lab>, seed: u64, count: usize) -> Cluster {
        let random = SeededRandom::new(seed ^ 0x5eed);
        let mut nodes = Vec::new();
        for number in 0..count {
            let cache = if random.chance(0.5) { 0 } else { 64 << 10 };
            let block = [64, 512][random.below(2) as usize];
            let node = lab.node(number, |options| {
                options.block_bytes = block;
                options.block_cache_bytes = cache;
            });
            let node = node.await;
            node.db.disk.set_cold(0.3);
            node.start_jobs(lab);
            nodes.push(node);
        }
        Cluster { lab: lab.clone(), nodes, model: Model::default(), random }
    }

    /// A random write to the nodes of which `told` has the bit.
    pub(crate) async fn write(&mut self, keys: u64, told: u64) {
        let mut write = ops::write(&self.random, keys);
        while write.table != WIDE {
            write = ops::write(&self.random, keys);
        }
        let now = self.lab.seconds();
        let mutation = encode(&mut self.model, &write, now * 1_000_000, now);
        for (number, node) in self.nodes.iter().enumerate() {
            if told & (1 << number) != 0 {
                node.write(&self.lab, &mutation).await;
            }
        }
    }

    pub(crate) fn read_op(&self, keys: u64) -> ReadOp {
        loop {
            let op = ops::read(&self.random, keys);
            if op.table == WIDE {
                return op;
            }
        }
    }

    pub(crate) fn command(&self, op: &ReadOp) -> ReadCommand {
        command_of(op, &self.model, self.lab.seconds())
    }

    pub(crate) fn expected(&self, op: &ReadOp) -> Vec<PartitionOut> {
        expected(op, &self.model, self.lab.seconds())
    }

    /// What some nodes have together, without limits and without a network.
    fn together(&self, command: &ReadCommand, nodes: &[usize]) -> Vec<PartitionOut> {
        let base = ReplicaCommand::new(command.clone());
        let mut merge = Reconciliation::new(command.clone(), None, KEYSPACE, nodes.len(), 1 << 20);
        let mut collector = Collector::default();
        loop {
            match merge.run(&mut collector).unwrap() {
                Reconciled::NeedsPages(wanted) => {
                    for wanted in wanted {
                        let node = &self.nodes[nodes[wanted.replica]];
                        merge.add(wanted.replica, page(node, &wanted.command(&base))).unwrap();
                    }
                }
                Reconciled::Done | Reconciled::Stopped => return collector.partitions,
            }
        }
    }

    /// The command cut into parts, as a coordinator that knows different replicas for them does.
    fn parts(&self, command: &ReadCommand, ask: &Ask) -> Vec<Part> {
        let replicas = ask.contacts.iter().map(|n| contact(*n, ask.coordinator)).collect();
        let contacts = Contacts { replicas, block_for: ask.block_for };
        let part = |partitions| Part {
            command: ReadCommand { partitions, ..command.clone() },
            contacts: contacts.clone(),
        };
        match &command.partitions {
            Partitions::Many(keys) if self.random.chance(0.5) => {
                keys.iter().map(|key| part(Partitions::One(key.clone()))).collect()
            }
            Partitions::Range { start, end } if self.random.chance(0.5) => {
                let middle = PartitionBound::After(Token(self.random.below(1 << 62) as i64));
                let (low, high) = (middle.clone(), middle);
                let is_cut = cuts(start, &low, end);
                match is_cut {
                    true => vec![
                        part(Partitions::Range { start: start.clone(), end: low }),
                        part(Partitions::Range { start: high, end: end.clone() }),
                    ],
                    false => vec![part(command.partitions.clone())],
                }
            }
            partitions => vec![part(partitions.clone())],
        }
    }

    /// Reads over the network, in pages of the client's; `between` is called at each wait.
    pub(crate) async fn read(
        &self,
        command: &ReadCommand,
        ask: &Ask,
        mut between: impl FnMut(),
    ) -> Result<Vec<PartitionOut>, ReadError> {
        let world = &self.nodes[ask.coordinator].world;
        let mut collector = Collector::default();
        let mut from = None;
        loop {
            collector.begin_page(ask.rows);
            let options = ReadOptions {
                keyspace: KEYSPACE,
                from: from.take(),
                rows_hint: ask.rows_hint,
                metadata_version: 0,
                deadline: self.lab.now() + ask.timeout,
                speculation: ask.speculation,
            };
            let parts = self.parts(command, ask);
            let mut read = ReplicatedRead::new(world.clone(), parts, options);
            loop {
                match read.step(&mut collector, &mut Budget::new(ask.units))? {
                    ReadStep::Done => return Ok(collector.partitions),
                    ReadStep::Stopped => break,
                    ReadStep::Yield => {}
                    ReadStep::NeedsBlocks(blocks) => read.fetch(blocks),
                    ReadStep::TombstoneLimit => panic!("no limit was set"),
                    ReadStep::Wait(wait) => {
                        between();
                        // Dropped half-way, a wait loses nothing.
                        drop(wait);
                        match read.step(&mut collector, &mut Budget::new(ask.units))? {
                            ReadStep::Wait(wait) => read.waited(wait.await),
                            ReadStep::NeedsBlocks(blocks) => read.fetch(blocks),
                            ReadStep::Done => return Ok(collector.partitions),
                            ReadStep::Stopped => break,
                            ReadStep::Yield | ReadStep::TombstoneLimit => {}
                        }
                    }
                }
            }
            from = Some(place_after(&collector, command));
        }
    }

    pub(crate) fn random_ask(&self, contacts: &[usize], block_for: usize) -> Ask {
        let random = &self.random;
        let coordinator = random.below(self.nodes.len() as u64) as usize;
        Ask {
            rows: if random.chance(0.5) { usize::MAX } else { 1 + random.below(6) as usize },
            rows_hint: if random.chance(0.5) { 5000 } else { 1 + random.below(6) },
            units: if random.chance(0.5) { u64::MAX } else { 1 + random.below(30) },
            ..Ask::new(coordinator, contacts, block_for)
        }
    }

    /// The nodes in a random order.
    pub(crate) fn order(&self) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.nodes.len()).collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            order.push(left.swap_remove(self.random.below(left.len() as u64) as usize));
        }
        order
    }

    pub(crate) fn shuffle_files(&self) {
        let node = &self.nodes[self.random.below(self.nodes.len() as u64) as usize];
        node.db.flush().unwrap();
        if self.random.chance(0.3) {
            node.db.compact().unwrap();
        }
    }

    fn repairs(&self) -> u64 {
        self.nodes.iter().map(|node| node.world.metrics.repairs.get()).sum()
    }
}

/// Whether a bound lies strictly inside of a range.
fn cuts(start: &PartitionBound, middle: &PartitionBound, end: &PartitionBound) -> bool {
    let token = |bound: &PartitionBound, otherwise| match bound {
        PartitionBound::Min | PartitionBound::Max => otherwise,
        PartitionBound::Before(token) | PartitionBound::After(token) => i128::from(token.0),
        PartitionBound::AtKey(key) | PartitionBound::AfterKey(key) => i128::from(key.token.0),
    };
    let middle = token(middle, 0);
    token(start, i128::MIN) < middle && middle < token(end, i128::MAX)
}

/// Where a client's next page begins.
fn place_after(collector: &Collector, command: &ReadCommand) -> Place {
    let (key, position, rows) = collector.end();
    let reach = match position {
        None => Reach::Whole,
        Some(position) if command.reversed => Reach::Upto(Slice::from(position)),
        Some(mut position) => {
            position.push(0);
            Reach::Upto(Slice::from(position))
        }
    };
    Place { key, reach, rows }
}

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Reads over two nodes, and then over each of them with the third one: what was told once is told
/// again, whoever is asked.
async fn compare(cluster: &Cluster, op: &ReadOp, seed: u64) -> u64 {
    let command = cluster.command(op);
    let order = cluster.order();
    let ask = cluster.random_ask(&order[..2], 2);
    let at_first = cluster.together(&command, &order[..2]);
    let before = cluster.repairs();
    let found = cluster.read(&command, &ask, || {}).await.unwrap();
    assert_eq!(found, at_first, "seed {seed}: {ask:?} {command:#?}");
    let repaired = cluster.repairs() - before;
    let again = cluster.read(&command, &ask, || {}).await.unwrap();
    assert_eq!(again, at_first, "seed {seed}, repaired: {ask:?} {command:#?}");
    assert_eq!(cluster.repairs() - before, repaired, "seed {seed}: {ask:?} {command:#?}");
    if command.distinct || command.rows_per_partition_max < u32::MAX {
        return repaired;
    }
    let all = cluster.together(&command, &order);
    let other = [order[cluster.random.below(2) as usize], order[2]];
    let ask = cluster.random_ask(&other, 2);
    let found = cluster.read(&command, &ask, || {}).await.unwrap();
    assert_eq!(found, all, "seed {seed}, over others: {ask:?} {command:#?}");
    repaired
}

async fn run(lab: Arc<Lab>, seed: u64, count: u64) -> u64 {
    let mut cluster = Cluster::new(&lab, seed, 3).await;
    let keys = 1 + cluster.random.below(6);
    let mut repaired = 0;
    for _ in 0..count {
        match cluster.random.below(100) {
            0..=69 => {
                let told = 1 + cluster.random.below(7);
                cluster.write(keys, told).await;
            }
            70..=92 => {
                let op = cluster.read_op(keys);
                repaired += compare(&cluster, &op, seed).await;
            }
            93..=95 => {
                // At ALL, everything is seen.
                let op = cluster.read_op(keys);
                let (command, order) = (cluster.command(&op), cluster.order());
                let (ask, expected) = (cluster.random_ask(&order, 3), cluster.expected(&op));
                let found = cluster.read(&command, &ask, || {}).await.unwrap();
                assert_eq!(found, expected, "seed {seed}: {ask:?} {command:#?}");
            }
            96 => lab.sleep(cluster.random.below(20_000)).await,
            _ => cluster.shuffle_files(),
        }
    }
    repaired
}

#[test]
fn a_read_tells_what_its_replicas_have_and_leaves_it_on_each_of_them() {
    let first = setting("HELENUS_READS_SEED", 0);
    let mut repaired = 0;
    for seed in first..first + setting("HELENUS_READS_RUNS", 20) {
        let lab = Lab::new(seed);
        let shared = lab.clone();
        let count = setting("HELENUS_READS_OPS", 200);
        repaired += lab.run(async move { run(shared, seed, count).await });
    }
    assert!(repaired > 100, "the test proves less than it says: {repaired} repairs");
}
