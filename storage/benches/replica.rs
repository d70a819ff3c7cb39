//! What a read for another node costs beside a read for a client of this one: one small partition
//! of a memtable, and a slice of a wide one.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use helenus_platform::clock::RealClock;
use helenus_platform::disk::MemoryDisk;
use helenus_platform::random::SeededRandom;
use helenus_storage::model::{
    Cell, ColumnId, KeyspaceId, Liveness, MutationBuilder, PartitionKey, RowBuilder, RowRef, Slice,
    TableId, Token, position,
};
use helenus_storage::replica::{ReplicaCommand, ReplicaRead};
use helenus_storage::{
    Budget, Cursor, Engine, Flow, Options, Partitions, Read, ReadCommand, Sink, TableOptions, Write,
};

/// The allocator of the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TABLE: TableId = TableId(1);
const KEYSPACE: KeyspaceId = KeyspaceId(1);
const NOW: i64 = 1_700_000_000;

/// Copies the values, as an answer to a client would.
#[derive(Default)]
struct Copying(Vec<u8>);

impl Sink for Copying {
    fn partition(&mut self, _: &PartitionKey, _: Option<RowRef<'_>>) -> Flow {
        Flow::Continue
    }

    fn row(&mut self, _: &[u8], row: RowRef<'_>) -> Flow {
        self.0.extend_from_slice(row.bytes());
        Flow::Continue
    }

    fn end_partition(&mut self) -> Flow {
        Flow::Continue
    }
}

fn engine() -> Engine {
    let tables = [(TABLE, KEYSPACE, TableOptions::default())];
    let clock = Arc::new(RealClock::new());
    let (disk, random) = (Arc::new(MemoryDisk::new()), Arc::new(SeededRandom::new(1)));
    Engine::open(Options::new("/engine"), disk, clock, random, &tables).unwrap()
}

fn key(n: u32) -> PartitionKey {
    PartitionKey { token: Token(i64::from(n) << 40), key: Slice::copy(&n.to_be_bytes()) }
}

fn fill(engine: &Engine, key: &PartitionKey, rows: u8) {
    for n in 0..rows {
        let mut row = RowBuilder::new();
        row.liveness(Liveness::new(NOW * 1_000_000));
        for column in 0..5 {
            row.cell(Cell::live(ColumnId(column), NOW * 1_000_000, &[n; 34]));
        }
        let mut mutation = MutationBuilder::new(KEYSPACE, key.as_ref());
        mutation.table(TABLE).row(&position::row(&[0x30, n]), &row.finish().unwrap());
        let written = engine.write(&[&mutation.finish().unwrap()]).unwrap();
        assert!(matches!(written, Write::Done { .. }));
    }
}

fn compare(criterion: &mut Criterion, name: &str, partitions: u32, rows: u8) {
    let engine = engine();
    for n in 0..partitions {
        fill(&engine, &key(n), rows);
    }
    let mut next = 0;
    let mut command = move || {
        next = (next + 1) % partitions;
        ReadCommand::new(TABLE, Partitions::One(key(next)), NOW)
    };
    let mut group = criterion.benchmark_group(name);
    group.bench_function("read", |bencher| {
        let mut sink = Copying::default();
        bencher.iter(|| {
            let command = command();
            sink.0.clear();
            let mut cursor = Cursor::new(&command);
            let read =
                engine.read(&command, &mut cursor, &mut sink, &mut Budget::UNLIMITED.clone());
            assert!(matches!(read, Ok(Read::Done)));
            black_box(sink.0.len());
        });
    });
    for (name, digest) in [("replica page", false), ("replica digest", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut read = ReplicaRead::new(ReplicaCommand::new(command()));
                let ended = engine.read_replica(&mut read, &mut Budget::UNLIMITED.clone());
                assert!(matches!(ended, Ok(Read::Done)));
                black_box(if digest {
                    read.digest().map(|d| d as usize)
                } else {
                    read.page().map(<[u8]>::len)
                });
            });
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    compare(criterion, "one row of 5 x 34 bytes", 1000, 1);
    compare(criterion, "100 rows of 5 x 34 bytes", 20, 100);
}

criterion_group!(all, benches);
criterion_main!(all);
