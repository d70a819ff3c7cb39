//! The layout of files does not show: replicas that were told the same give the same pages, in
//! whatever order they were told it and however it lies, at any time. And what they are told
//! differently does show.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::{PartitionBound, TableId};
use helenus_storage::replica::{ReplicaCommand, page_mutations};
use helenus_storage::{Partitions, ReadCommand};

use super::cluster::Cluster;
use super::union::setting;
use crate::encode::{command_of, expected};
use crate::harness::{Db, KEYSPACE};
use crate::ops::{self, COUNTERS, Keys, ReadOp, WIDE, WriteOp};

/// Runs last several times as long, and timestamps stay within 20 s of the clock.
const GRACE_SECONDS: i64 = 200;

fn everything(table: TableId, now: i64) -> ReadCommand {
    let all = Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
    ReadCommand::new(table, all, now)
}

fn shuffled<T: Clone>(random: &SeededRandom, of: &[T]) -> Vec<T> {
    let mut left = of.to_vec();
    let mut out = Vec::new();
    while !left.is_empty() {
        out.push(left.swap_remove(random.below(left.len() as u64) as usize));
    }
    out
}

/// All pages of a read are the same on every replica, and so are those of a later time.
fn compare_pages(cluster: &mut Cluster, read: &ReadCommand, seed: u64) {
    let mut command = cluster.limited(read.clone());
    loop {
        let first = cluster.page(0, &command);
        for replica in 1..cluster.replicas.len() {
            let other = cluster.page(replica, &command);
            assert_eq!(first.page(), other.page(), "seed {seed}, replica {replica}: {command:#?}");
        }
        match first.stopped_at() {
            None => return,
            Some(place) => command.from = Some(place.clone()),
        }
    }
}

/// Copies a table page by page into an engine that has nothing: it then has the same.
fn copy(cluster: &mut Cluster, table: TableId, seed: u64) {
    let mut read = everything(table, cluster.now());
    read.reversed = cluster.random.chance(0.5);
    let mut command = cluster.limited(read.clone());
    command.keeps_purgeable = cluster.random.chance(0.5);
    let source = &cluster.replicas[0];
    let tables: Vec<_> =
        source.tables.iter().map(|(table, _, options)| (*table, options.clone())).collect();
    let mut target = Db::new(seed, source.options.clone(), &tables);
    target.open().unwrap();
    loop {
        let page = cluster.page(0, &command);
        let place = page.stopped_at().cloned();
        let bytes = page.into_page().unwrap();
        let (mutations, end) =
            page_mutations(bytes, &command.read, command.from.as_ref(), KEYSPACE, 200).unwrap();
        for mutation in &mutations {
            target.write(&[mutation]).unwrap();
        }
        assert_eq!(end.is_none(), place.is_none());
        match place {
            None => break,
            place => command.from = place,
        }
    }
    cluster.replicas.push(target);
    let digests = cluster.digests(&read);
    cluster.replicas.pop();
    assert_eq!(digests.first(), digests.last(), "seed {seed}");
}

/// A write that only one replica receives shows in its digest if it shows to readers.
fn differ(cluster: &mut Cluster, write: &WriteOp, seed: u64) -> bool {
    let read = everything(write.table, cluster.now());
    let op = ReadOp {
        table: write.table,
        keys: Keys::Range(None, None),
        slices: None,
        reversed: false,
        columns: None,
        limit: u32::MAX,
        distinct: false,
        page: usize::MAX,
        units: u64::MAX,
        fresh_cursors: false,
    };
    let before = expected(&op, &cluster.models[&write.table], read.now);
    let mutation = cluster.encode(write);
    let after = expected(&op, &cluster.models[&write.table], read.now);
    cluster.replicas[0].write(&[&mutation]).unwrap();
    let read = everything(write.table, cluster.now());
    let digests = cluster.digests(&read);
    if before != after {
        assert!(digests[0] != digests[1], "seed {seed}: {write:?}");
    }
    for db in cluster.replicas.iter().skip(1) {
        db.write(&[&mutation]).unwrap();
    }
    before != after
}

fn run(seed: u64, count: u64) -> u64 {
    let random = SeededRandom::new(seed ^ 0x1a07);
    let mut cluster = Cluster::new(seed, 2 + random.below(2) as usize, GRACE_SECONDS);
    let keys = 1 + random.below(6);
    let mut differed = 0;
    for _ in 0..count {
        match random.below(100) {
            0..=39 => {
                let batch = 1 + random.below(8);
                let mutations: Vec<_> =
                    (0..batch).map(|_| cluster.encode(&ops::write(&random, keys))).collect();
                for db in &cluster.replicas {
                    for mutation in shuffled(&random, &mutations) {
                        db.write(&[&mutation]).unwrap();
                    }
                }
            }
            40..=79 => {
                let op = ops::read(&random, keys);
                let read = command_of(&op, &cluster.models[&op.table], cluster.now());
                compare_pages(&mut cluster, &read, seed);
            }
            80..=84 => cluster.advance(random.below(60)),
            85 | 86 => copy(&mut cluster, [WIDE, COUNTERS][random.below(2) as usize], seed),
            87 | 88 => {
                differed += u64::from(differ(&mut cluster, &ops::write(&random, keys), seed));
            }
            _ => cluster.shuffle_files(random.below(cluster.replicas.len() as u64) as usize),
        }
    }
    for table in [WIDE, COUNTERS] {
        let read = everything(table, cluster.now());
        compare_pages(&mut cluster, &read, seed);
        let command = ReplicaCommand::new(read);
        let (_, repairs) = cluster.read(&command, usize::MAX);
        assert_eq!(repairs, [], "seed {seed}");
    }
    differed
}

#[test]
fn equal_content_gives_equal_pages_whatever_its_layout() {
    let first = setting("HELENUS_REPLICA_SEED", 0);
    let mut differed = 0;
    for seed in first..first + setting("HELENUS_REPLICA_RUNS", 40) {
        differed += run(seed, setting("HELENUS_REPLICA_OPS", 300));
    }
    assert!(differed > 0, "no write ever showed");
}
