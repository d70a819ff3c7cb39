//! Every write reaches some replicas, every read asks all: what is told is what the model of all
//! writes says, and the repairs make the replicas equal.
//!
//! `HELENUS_REPLICA_RUNS` and `HELENUS_REPLICA_OPS` set the size, `HELENUS_REPLICA_SEED` the first
//! seed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::PartitionBound;
use helenus_storage::replica::ReplicaCommand;
use helenus_storage::{Partitions, ReadCommand};

use super::cluster::{Cluster, Tally};
use crate::encode::{command_of, expected};
use crate::ops::{self, COUNTERS, ReadOp, WIDE};

/// Longer than any run: a tombstone that some replica has not seen must not be forgotten.
const GRACE_SECONDS: i64 = 1_000_000;

pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Compares one read with the model.
fn compare(cluster: &mut Cluster, op: &ReadOp, seed: u64) {
    let now = cluster.now();
    let model = &cluster.models[&op.table];
    let (read, expected) = (command_of(op, model, now), expected(op, model, now));
    let command = cluster.limited(read);
    let (found, repairs) = cluster.read(&command, op.page);
    assert_eq!(found, expected, "seed {seed}: {command:#?}");
    if cluster.random.chance(0.3) {
        cluster.apply(&repairs);
        let (again, repairs) = cluster.read(&command, op.page);
        assert_eq!(again, expected, "seed {seed}, repaired: {command:#?}");
        assert_eq!(repairs, [], "seed {seed}: {command:#?}");
    }
}

/// Repairs everything; afterwards nobody lacks anything.
fn repair_all(cluster: &mut Cluster, seed: u64) {
    for table in [WIDE, COUNTERS] {
        let all = Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
        let mut read = ReadCommand::new(table, all, cluster.now());
        read.reversed = cluster.random.chance(0.5);
        let command = cluster.limited(read.clone());
        let (before, repairs) = cluster.read(&command, usize::MAX);
        cluster.apply(&repairs);
        let digests = cluster.digests(&read);
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {digests:?}");
        let (after, repairs) = cluster.read(&ReplicaCommand::new(read), usize::MAX);
        assert_eq!(after, before, "seed {seed}");
        assert_eq!(repairs, [], "seed {seed}");
    }
}

fn run(seed: u64, count: u64) -> Tally {
    let random = SeededRandom::new(seed ^ 0x5eed);
    let mut cluster = Cluster::new(seed, 2 + random.below(2) as usize, GRACE_SECONDS);
    let keys = 1 + random.below(6);
    for _ in 0..count {
        match random.below(100) {
            0..=54 => {
                let mutation = cluster.encode(&ops::write(&random, keys));
                let told = 1 + random.below((1 << cluster.replicas.len()) - 1);
                for (replica, db) in cluster.replicas.iter().enumerate() {
                    if told & (1 << replica) != 0 {
                        db.write(&[&mutation]).unwrap();
                    }
                }
            }
            55..=89 => compare(&mut cluster, &ops::read(&random, keys), seed),
            90..=92 => cluster.advance(random.below(40)),
            93 => repair_all(&mut cluster, seed),
            _ => cluster.shuffle_files(random.below(cluster.replicas.len() as u64) as usize),
        }
    }
    repair_all(&mut cluster, seed);
    cluster.tally
}

#[test]
fn replicas_together_know_what_any_of_them_was_told() {
    let first = setting("HELENUS_REPLICA_SEED", 0);
    let mut total = Tally::default();
    for seed in first..first + setting("HELENUS_REPLICA_RUNS", 40) {
        let tally = run(seed, setting("HELENUS_REPLICA_OPS", 400));
        total.short_reads += tally.short_reads;
        total.partition_rests += tally.partition_rests;
        total.stopped_pages += tally.stopped_pages;
        total.stopped_at_markers += tally.stopped_at_markers;
        total.needed_blocks += tally.needed_blocks;
        total.yields += tally.yields;
        total.repairs += tally.repairs;
    }
    let Tally { short_reads, partition_rests, stopped_pages, .. } = total;
    let met = [short_reads, partition_rests, stopped_pages, total.stopped_at_markers];
    let met = met.iter().chain([&total.needed_blocks, &total.yields, &total.repairs]);
    assert!(met.copied().all(|count| count > 0), "the test proves less than it says: {total:?}");
}
