//! Several engines, and what the coordinator of a cluster does with them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::{Slice, TableId};
use helenus_storage::replica::{
    Place, Reach, Reconciled, Reconciliation, Repair, ReplicaCommand, ReplicaRead, digest,
};
use helenus_storage::{Budget, Options, Read, ReadCommand, TableOptions};

use crate::collect::{Collector, PartitionOut};
use crate::encode::encode;
use crate::harness::{Db, KEYSPACE, small_options};
use crate::model::Model;
use crate::ops::{COUNTERS, WIDE, WriteOp};

/// Replicas, and one model of everything that any of them was told.
pub(crate) struct Cluster {
    pub(crate) replicas: Vec<Db>,
    pub(crate) models: BTreeMap<TableId, Model>,
    pub(crate) random: SeededRandom,
    pub(crate) tally: Tally,
}

/// What a test has met.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Pages that were asked for because earlier ones had ended too early.
    pub(crate) short_reads: u64,
    /// Those of one partition, because of a limit on its rows.
    pub(crate) partition_rests: u64,
    pub(crate) stopped_pages: u64,
    /// Pages that ended without a row before their end.
    pub(crate) stopped_at_markers: u64,
    pub(crate) needed_blocks: u64,
    pub(crate) yields: u64,
    pub(crate) repairs: u64,
}

impl Cluster {
    pub(crate) fn new(seed: u64, count: usize, gc_grace_seconds: i64) -> Cluster {
        let random = SeededRandom::new(seed);
        let tables = [WIDE, COUNTERS]
            .map(|table| (table, TableOptions { gc_grace_seconds, ..TableOptions::default() }));
        let replica = |n| {
            let options = Options {
                host_id: [n as u8 + 1; 16],
                block_bytes: [64, 512][random.below(2) as usize],
                block_cache_bytes: if random.chance(0.5) { 0 } else { 64 << 10 },
                expiry_margin_seconds: 0,
                ..small_options()
            };
            let mut db = Db::new(seed + n, options, &tables);
            db.disk.set_cold(0.3);
            db.open().unwrap();
            db
        };
        let replicas = (0..count as u64).map(replica).collect();
        let models = tables.iter().map(|(table, _)| (*table, Model::default())).collect();
        Cluster { replicas, models, random, tally: Tally::default() }
    }

    /// The time of a request, in seconds since the epoch: no replica's clock is ahead of it.
    pub(crate) fn now(&self) -> i64 {
        self.replicas.iter().map(Db::now).max().unwrap()
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        for db in &self.replicas {
            db.clock.advance(Duration::from_secs(seconds));
        }
    }

    /// The mutation's bytes; the model has it from now on.
    pub(crate) fn encode(&mut self, write: &WriteOp) -> Vec<u8> {
        let now = self.now();
        let micros = now * 1_000_000 + self.random.below(1_000_000) as i64;
        encode(self.models.get_mut(&write.table).unwrap(), write, micros, now)
    }

    /// Moves what one replica has between memtables and files.
    pub(crate) fn shuffle_files(&self, replica: usize) {
        let db = &self.replicas[replica];
        db.flush().unwrap();
        if self.random.chance(0.4) {
            db.compact().unwrap();
        }
    }

    /// One replica's page.
    pub(crate) fn page(&mut self, replica: usize, command: &ReplicaCommand) -> ReplicaRead {
        let engine = self.replicas[replica].engine();
        let mut read = ReplicaRead::new(command.clone());
        let units = if self.random.chance(0.5) { u64::MAX } else { 1 + self.random.below(30) };
        loop {
            match engine.read_replica(&mut read, &mut Budget::new(units)).unwrap() {
                Read::Done => break,
                Read::Stopped => {
                    self.tally.stopped_pages += 1;
                    break;
                }
                Read::Yield => self.tally.yields += 1,
                Read::NeedsBlocks(blocks) => {
                    self.tally.needed_blocks += 1;
                    engine.fetch_replica(blocks, &mut read).unwrap();
                }
                Read::TombstoneLimit => panic!("no limit was set"),
            }
        }
        assert_eq!(read.digest(), Some(digest(read.page().unwrap())));
        if let Some(Place { reach: Reach::Upto(bound), .. }) = read.stopped_at()
            && matches!(bound.last(), Some(0x00 | 0xff))
            && bound.iter().rev().nth(1) != Some(&0x80)
        {
            self.tally.stopped_at_markers += 1;
        }
        read
    }

    /// Merges all replicas' answers, in pages of `rows` rows for the client; what the client was
    /// told, and what the replicas lack.
    pub(crate) fn read(
        &mut self,
        base: &ReplicaCommand,
        rows: usize,
    ) -> (Vec<PartitionOut>, Vec<Repair>) {
        let mut collector = Collector::default();
        let mut repairs = Vec::new();
        let mut from = None;
        loop {
            collector.begin_page(rows);
            let bytes_max = [1, 100, 1 << 20][self.random.below(3) as usize];
            let mut merge = Reconciliation::new(
                base.read.clone(),
                from,
                KEYSPACE,
                self.replicas.len(),
                bytes_max,
            );
            let ended = self.merge(&mut merge, base, &mut collector);
            repairs.extend(merge.take_repairs().unwrap());
            if ended == Reconciled::Done {
                self.tally.repairs += repairs.len() as u64;
                return (collector.partitions, repairs);
            }
            from = Some(place_after(&collector, &base.read));
        }
    }

    fn merge(
        &mut self,
        merge: &mut Reconciliation,
        base: &ReplicaCommand,
        collector: &mut Collector,
    ) -> Reconciled {
        let mut rounds = 0;
        loop {
            let wanted = match merge.run(collector).unwrap() {
                Reconciled::NeedsPages(wanted) => wanted,
                ended => return ended,
            };
            assert!(!wanted.is_empty());
            self.tally.short_reads += u64::from(rounds > 0);
            rounds += 1;
            for wanted in wanted {
                self.tally.partition_rests += u64::from(wanted.only.is_some());
                let page = self.page(wanted.replica, &wanted.command(base)).into_page().unwrap();
                merge.add(wanted.replica, page).unwrap();
            }
        }
    }

    pub(crate) fn apply(&self, repairs: &[Repair]) {
        for Repair { replica, mutation } in repairs {
            self.replicas[*replica].write(&[mutation]).unwrap();
        }
    }

    /// Every replica's digest of all that a command names.
    pub(crate) fn digests(&mut self, read: &ReadCommand) -> Vec<u128> {
        let command = ReplicaCommand::new(read.clone());
        let count = self.replicas.len();
        (0..count).map(|replica| self.page(replica, &command).digest().unwrap()).collect()
    }

    /// Random limits of pages.
    pub(crate) fn limited(&self, read: ReadCommand) -> ReplicaCommand {
        let random = &self.random;
        let rows_max = if random.chance(0.5) { u64::MAX } else { 1 + random.below(6) };
        let bytes_max = if random.chance(0.5) { usize::MAX } else { random.below(300) as usize };
        ReplicaCommand { rows_max, bytes_max, ..ReplicaCommand::new(read) }
    }
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
