//! Mutations, as the log, a peer or a hint brings them: parsing, applying, reading, flushing.

use std::path::Path;
use std::sync::Arc;

use helenus_platform::clock::ManualClock;
use helenus_platform::disk::MemoryDisk;
use helenus_platform::random::SeededRandom;
use helenus_storage::model::{KeyspaceId, MutationRef, PartitionBound, TableId};
use helenus_storage::{
    Budget, Cursor, Engine, JobKind, JobStep, Options, Partitions, Read, ReadCommand, TableOptions,
};

use crate::sink::Counter;

const NOW: i64 = 1_767_225_600;
const KEYSPACE: KeyspaceId = KeyspaceId(1);

/// What validates can be written, and reads the same from the memtable and from an SSTable,
/// forwards and backwards.
pub fn run(data: &[u8]) {
    let Ok(mutation) = MutationRef::parse(data) else { return };
    let validated = mutation.validate();
    let engine = engine();
    let written = engine.write(&[data]);
    assert!(validated.is_ok() || written.is_err(), "an invalid mutation was written");
    if written.is_err() {
        return;
    }
    let before = read(&engine, false);
    assert_eq!(before, read(&engine, true));
    engine.flush(None).unwrap();
    let mut job = engine.next_job(JobKind::Flush);
    while let Some(running) = &mut job {
        if matches!(running.step(&mut Budget::new(10_000)).unwrap(), JobStep::Done) {
            job = engine.next_job(JobKind::Flush);
        }
    }
    assert_eq!(read(&engine, false), before, "a flush changed what is read");
    assert_eq!(read(&engine, true), before, "a flush changed what is read backwards");
}

fn engine() -> Engine {
    let tables: Vec<_> =
        (1..4).map(|id| (TableId(id), KEYSPACE, TableOptions::default())).collect();
    let options = Options {
        segment_bytes: 1 << 20,
        memtable_shards: 2,
        block_bytes: 512,
        ..Options::new(Path::new("/engine"))
    };
    let clock = Arc::new(ManualClock::new(NOW * 1_000_000));
    let random = Arc::new(SeededRandom::new(1));
    Engine::open(options, Arc::new(MemoryDisk::new()), clock, random, &tables).unwrap()
}

/// Counts of partitions, static rows, rows and cells of all tables.
fn read(engine: &Engine, reversed: bool) -> Vec<[u64; 4]> {
    let all = || Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
    (1..4)
        .map(|id| {
            let mut command = ReadCommand::new(TableId(id), all(), NOW);
            command.reversed = reversed;
            let mut counter = Counter::default();
            let read =
                engine.read_blocking(&command, &mut Cursor::new(&command), &mut counter).unwrap();
            assert!(matches!(read, Read::Done));
            counter.0
        })
        .collect()
}
