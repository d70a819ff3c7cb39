//! The engine under threads: writers, readers and all background work at once; every writer reads
//! what it wrote, and a crash afterwards loses nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use helenus_platform::clock::{Clock, RealClock};
use helenus_platform::disk::FaultyDisk;
use helenus_platform::random::SeededRandom;
use helenus_storage::model::{
    Cell, ColumnId, Deletion, MutationBuilder, PartitionBound, PartitionKey, RowBuilder, TableId,
};
use helenus_storage::{
    Budget, CompactionOptions, Engine, JobKind, JobStep, Options, Partitions, ReadCommand,
    TableOptions, Write,
};

use crate::collect::{Cuts, point, read};
use crate::harness::{KEYSPACE, key, small_options};

const TABLE: TableId = TableId(1);
const OTHER: TableId = TableId(2);
const WRITERS: u8 = 3;
const ROUNDS: u32 = 1500;

fn position(n: u32) -> [u8; 4] {
    [0x30, (n >> 8) as u8, n as u8, 0x80]
}

/// A record that touches both tables, so that both must always agree.
fn mutations(key: &PartitionKey, n: u32, timestamp: i64) -> [Vec<u8>; 2] {
    [TABLE, OTHER].map(|table| {
        let mut row = RowBuilder::new();
        row.cell(Cell::live(ColumnId(1), timestamp, &timestamp.to_be_bytes()));
        let mut mutation = MutationBuilder::new(KEYSPACE, key.as_ref());
        mutation.table(table).row(&position(n), &row.finish().unwrap());
        mutation.finish().unwrap()
    })
}

fn delete(key: &PartitionKey, timestamp: i64) -> [Vec<u8>; 2] {
    [TABLE, OTHER].map(|table| {
        let mut mutation = MutationBuilder::new(KEYSPACE, key.as_ref());
        mutation.table(table).partition_deletion(Deletion::new(timestamp, 0));
        mutation.finish().unwrap()
    })
}

fn write(engine: &Engine, mutations: &[Vec<u8>; 2]) {
    let slices = [mutations[0].as_slice(), mutations[1].as_slice()];
    let position = loop {
        match engine.write(&slices).unwrap() {
            Write::Done { position, .. } => break position,
            Write::Full => thread::yield_now(),
        }
    };
    while engine.answer_position() < position {
        thread::yield_now();
    }
}

/// What a reader finds in one row.
fn value(engine: &Engine, table: TableId, key: &PartitionKey, n: u32) -> Option<i64> {
    let command = ReadCommand {
        slices: vec![point(&position(n))],
        ..ReadCommand::new(table, Partitions::One(key.clone()), 1)
    };
    let found = read(engine, &command, Cuts::NONE).unwrap();
    let row = found.first()?.rows.first()?;
    Some(i64::from_be_bytes(row.1.cells[0].3.0.as_slice().try_into().unwrap()))
}

fn all(engine: &Engine, table: TableId) -> Vec<(PartitionKey, Vec<u8>, i64)> {
    let (start, end) = (PartitionBound::Min, PartitionBound::Max);
    let command = ReadCommand::new(table, Partitions::Range { start, end }, 1);
    let mut all = Vec::new();
    for partition in read(engine, &command, Cuts::NONE).unwrap() {
        for (position, row) in partition.rows {
            all.push((partition.key.clone(), position, row.cells[0].2));
        }
    }
    all
}

fn run_jobs(engine: &Engine, kind: JobKind, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let Some(mut job) = engine.next_job(kind) else {
            thread::yield_now();
            continue;
        };
        loop {
            match job.step(&mut Budget::new(50)).unwrap() {
                JobStep::Again => {}
                JobStep::Done => break,
                JobStep::WaitUntil(_) => thread::yield_now(),
            }
            if stop.load(Ordering::SeqCst) && kind == JobKind::LogSync {
                return;
            }
        }
    }
}

/// One writer with partitions of its own: what it wrote last is what it reads.
fn work(engine: &Engine, writer: u8) {
    let mine = [key(writer * 4), key(writer * 4 + 1)];
    let mut written = [[0i64; 40]; 2];
    for round in 1..=ROUNDS {
        let timestamp = i64::from(round);
        let (which, n) = ((round % 2) as usize, (round * 7) % 40);
        if round % 301 == 0 {
            write(engine, &delete(&mine[which], timestamp));
            written[which] = [0; 40];
        } else {
            write(engine, &mutations(&mine[which], n, timestamp));
            written[which][n as usize] = timestamp;
        }
        let look = (round * 3) % 40;
        for table in [TABLE, OTHER] {
            let found = value(engine, table, &mine[which], look).unwrap_or(0);
            assert_eq!(found, written[which][look as usize], "round {round}, row {look}");
        }
    }
}

fn open(disk: &FaultyDisk) -> Engine {
    let options = Options {
        memtable_bytes_max: 16 << 10,
        memtable_total_bytes_max: 64 << 10,
        ..small_options()
    };
    let compaction = CompactionOptions { scaling: -2, ..CompactionOptions::default() };
    let table = TableOptions { compaction, ..TableOptions::default() };
    let tables = [(TABLE, KEYSPACE, table.clone()), (OTHER, KEYSPACE, table)];
    let (clock, random) = (Arc::new(RealClock::new()), Arc::new(SeededRandom::new(3)));
    Engine::open(options, Arc::new(disk.for_process()), clock, random, &tables).unwrap()
}

#[test]
fn writers_read_what_they_wrote_while_everything_moves() {
    let disk = FaultyDisk::new(11);
    disk.set_cold(0.3);
    let engine = open(&disk);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for kind in [JobKind::LogSync, JobKind::Flush, JobKind::Flush, JobKind::Compaction] {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || run_jobs(engine, kind, stop));
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| (&engine, writer))
            .map(|(engine, writer)| scope.spawn(move || work(engine, writer)))
            .collect();
        let scanner = scope.spawn(|| {
            let clock = RealClock::new();
            let begun = clock.monotonic();
            let mut scans = 0;
            while !stop.load(Ordering::SeqCst)
                && clock.monotonic() - begun < Duration::from_secs(60)
            {
                let rows = all(&engine, TABLE);
                assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "a scan is out of order");
                scans += 1;
            }
            scans
        });
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        stop.store(true, Ordering::SeqCst);
        assert!(scanner.join().unwrap() > 0);
        ended.into_iter().for_each(|writer| writer.unwrap());
    });
    assert!(engine.metrics().flushes.get() > 5, "{:?}", engine.metrics().all());
    assert!(engine.metrics().compactions.get() > 2);
    let before = all(&engine, TABLE);
    assert_eq!(all(&engine, OTHER), before);
    disk.crash_process();
    drop(engine);
    let engine = open(&disk);
    assert_eq!(all(&engine, TABLE), before);
    assert_eq!(all(&engine, OTHER), before);
}
