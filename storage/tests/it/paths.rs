//! Single behaviours of the engine, each the shortest way to where it shows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use helenus_storage::model::{
    Cell, ColumnId, Deletion, Liveness, LogPosition, MutationBuilder, PositionRange, RowBuilder,
    Slice, TableId,
};
use helenus_storage::read::{Cursor, Read};
use helenus_storage::{
    Budget, CompactionOptions, ErrorKind, JobKind, Options, Partitions, ReadCommand, TableOptions,
    Write,
};

use crate::collect::{Collector, Cuts, PartitionOut, read};
use crate::harness::{Db, KEYSPACE, key, small_options};

pub(crate) const TABLE: TableId = TableId(1);

fn db(options: Options, table: TableOptions) -> Db {
    let mut db = Db::new(1, options, &[(TABLE, table)]);
    db.open().unwrap();
    db
}

pub(crate) fn position(n: u32) -> Vec<u8> {
    let [_, high, middle, low] = n.to_be_bytes();
    vec![0x30, high, middle, low, 0x80]
}

pub(crate) fn mutation(key_number: u8, fill: impl FnOnce(&mut MutationBuilder)) -> Vec<u8> {
    let key = key(key_number);
    let mut mutation = MutationBuilder::new(KEYSPACE, key.as_ref());
    fill(&mut mutation);
    mutation.finish().unwrap()
}

pub(crate) fn put(key_number: u8, n: u32, bytes: usize, timestamp: i64) -> Vec<u8> {
    let value = vec![n as u8; bytes];
    let mut row = RowBuilder::new();
    row.liveness(Liveness::new(timestamp));
    row.cell(Cell::live(ColumnId(1), timestamp, &value));
    let row = row.finish().unwrap();
    mutation(key_number, |mutation| {
        mutation.table(TABLE).row(&position(n), &row);
    })
}

pub(crate) fn delete(key_number: u8, n: u32, timestamp: i64, now: i64) -> Vec<u8> {
    let mut row = RowBuilder::new();
    row.deletion(Deletion::new(timestamp, now));
    let row = row.finish().unwrap();
    mutation(key_number, |mutation| {
        mutation.table(TABLE).row(&position(n), &row);
    })
}

pub(crate) fn one(db: &Db, key_number: u8) -> ReadCommand {
    ReadCommand::new(TABLE, Partitions::One(key(key_number)), db.now())
}

pub(crate) fn rows(found: &[PartitionOut]) -> usize {
    found.iter().map(|partition| partition.rows.len()).sum()
}

#[test]
fn a_read_over_too_many_tombstones_stops_and_says_so() {
    let db = db(small_options(), TableOptions::default());
    for n in 0..50 {
        db.write(&[&delete(0, n, 10, db.now())]).unwrap();
    }
    for flushed in [false, true] {
        if flushed {
            db.flush().unwrap();
            db.write(&[&put(0, 60, 5, 10)]).unwrap();
        }
        for (max, is_over) in [(100, false), (50, false), (49, true), (10, true)] {
            let command = ReadCommand { tombstones_max: max, ..one(&db, 0) };
            let mut cursor = Cursor::new(&command);
            let mut sink = Collector::default();
            let ended = db.engine().read_blocking(&command, &mut cursor, &mut sink).unwrap();
            assert_eq!(matches!(ended, Read::TombstoneLimit), is_over, "limit {max}");
            assert_eq!(cursor.tombstones(), 50.min(max + 1));
        }
    }
}

#[test]
fn an_answer_depends_on_the_newest_write_that_it_looked_at() {
    let db = db(small_options(), TableOptions::default());
    let old = db.write(&[&put(0, 1, 5, 10)]).unwrap();
    let unsynced = |mutation: &[u8]| match db.engine().write(&[mutation]).unwrap() {
        Write::Done { position, .. } => position,
        Write::Full => LogPosition::START,
    };
    let newest = |key_number| {
        let command = one(&db, key_number);
        let mut cursor = Cursor::new(&command);
        let mut sink = Collector::default();
        let ended = db.engine().read(&command, &mut cursor, &mut sink, &mut Budget::new(1 << 20));
        assert!(matches!(ended.unwrap(), Read::Done));
        cursor.newest()
    };
    assert_eq!(newest(0), old);
    let gone = unsynced(&delete(0, 1, 20, db.now()));
    assert!(gone > db.engine().answer_position());
    // Found absent because of a deletion that a power cut would take back.
    assert_eq!(newest(0), gone);
    assert_eq!(newest(1), LogPosition::START);
    db.sync_until(Some(gone)).unwrap();
    db.flush().unwrap();
    assert_eq!(newest(0), LogPosition::START);
}

#[test]
fn any_slice_of_a_wide_partition_costs_the_same_few_blocks() {
    const ROWS: u32 = 30_000;
    let options = Options { block_bytes: 2048, block_cache_bytes: 0, ..small_options() };
    let db = db(options, TableOptions::default());
    for n in 0..ROWS {
        db.write(&[&put(0, n, 20, 10)]).unwrap();
    }
    db.run_jobs(JobKind::Flush).unwrap();
    db.flush().unwrap();
    db.compact().unwrap();
    db.disk.set_cold(1.0);
    for start in [0, ROWS / 2, ROWS - 100] {
        for reversed in [false, true] {
            let range = PositionRange {
                start: Slice::from(position(start)),
                end: Slice::from(position(start + 100)),
            };
            let command = ReadCommand { slices: vec![range], reversed, ..one(&db, 0) };
            let before = db.engine().metrics().blocks_fetched.get();
            let found = read(db.engine(), &command, Cuts::NONE).unwrap();
            assert_eq!(rows(&found), 100);
            let fetched = db.engine().metrics().blocks_fetched.get() - before;
            assert!(fetched <= 12, "{fetched} blocks for 100 rows from {start}");
        }
    }
}

#[test]
fn writers_are_slowed_then_refused_and_a_flush_lets_them_go_on() {
    let options = Options { memtable_bytes_max: 1 << 30, ..small_options() };
    let db = db(options, TableOptions::default());
    let mut highest = 0.0;
    let mut n = 0;
    loop {
        n += 1;
        match db.engine().write(&[&put((n % 50) as u8, n, 500, 10)]).unwrap() {
            Write::Done { position, pressure } => {
                assert!(pressure >= highest || pressure == 0.0);
                highest = pressure;
                db.sync_until(Some(position)).unwrap();
            }
            Write::Full => break,
        }
    }
    assert!(highest > 0.9, "writers were not slowed before: {highest}");
    assert_eq!(db.engine().metrics().writes_full.get(), 1);
    db.run_jobs(JobKind::Flush).unwrap();
    assert!(db.engine().metrics().memtable_bytes_now.get() < 100_000);
    db.write(&[&put(0, n, 500, 10)]).unwrap();
}

#[test]
fn a_long_log_is_flushed_and_recycled() {
    let options = Options { memtable_bytes_max: 1 << 30, ..small_options() };
    let log_bytes_max = options.log_bytes_max;
    let mut db = Db::new(1, options, &[(TABLE, TableOptions::default())]);
    db.tables.push((TableId(2), KEYSPACE, TableOptions::default()));
    db.open().unwrap();
    // A table that is written once, and then pins the oldest segment.
    let mut idle = MutationBuilder::new(KEYSPACE, key(0).as_ref());
    idle.table(TableId(2)).partition_deletion(Deletion::new(1, 1));
    db.write(&[&idle.finish().unwrap()]).unwrap();
    for n in 0..2000u32 {
        // Overwrites: the memtable stays small, the log does not.
        db.write(&[&put(0, n % 10, 400, i64::from(n))]).unwrap();
        db.run_jobs(JobKind::Flush).unwrap();
    }
    let log: u64 = db
        .files()
        .iter()
        .filter(|(path, _)| path.to_string_lossy().contains("segment"))
        .map(|(_, len)| len)
        .sum();
    assert!(log <= log_bytes_max + 3 * db.options.segment_bytes, "{log} bytes of log");
    assert!(db.engine().metrics().flushes.get() >= 2);
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers() {
    let mut db = db(small_options(), TableOptions::default());
    for n in 0..200 {
        db.write(&[&put(0, n, 100, 10)]).unwrap();
    }
    db.disk.set_full(true);
    let mut error = None;
    for n in 200..2000 {
        match db.engine().write(&[&put(0, n, 100, 10)]) {
            Ok(Write::Done { position, .. }) => {
                if db.sync_until(Some(position)).is_err() {
                    break;
                }
            }
            Ok(Write::Full) => break,
            Err(refused) => {
                error = Some(refused);
                break;
            }
        }
        // A failed flush is tried again later; it must not harm what there is.
        let _ = db.run_jobs(JobKind::Flush);
    }
    if let Some(error) = error {
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    }
    let found = read(db.engine(), &one(&db, 0), Cuts::NONE).unwrap();
    let count = rows(&found);
    assert!(count >= 200);
    db.disk.set_full(false);
    db.clock.advance(Duration::from_secs(5));
    if db.engine().failure().is_some() {
        db.forget();
        db.open().unwrap();
    }
    db.sync_until(None).unwrap();
    db.write(&[&put(0, 5000, 100, 10)]).unwrap();
    db.flush().unwrap();
    assert!(rows(&read(db.engine(), &one(&db, 0), Cuts::NONE).unwrap()) > 200);
}

#[test]
fn after_a_failed_sync_writes_are_refused_and_reads_are_served() {
    let db = db(small_options(), TableOptions::default());
    db.write(&[&put(0, 1, 5, 10)]).unwrap();
    db.disk.fail_sync(true);
    let _ = db.write(&[&put(0, 2, 5, 10)]).unwrap_err();
    db.disk.fail_sync(false);
    assert!(db.engine().failure().is_some());
    let error = db.engine().write(&[&put(0, 3, 5, 10)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let command = ReadCommand { rows_per_partition_max: 1, ..one(&db, 0) };
    assert_eq!(rows(&read(db.engine(), &command, Cuts::NONE).unwrap()), 1);
}

/// Writes rows, deletes them, and compacts after the grace is over; how many rows are left.
fn rows_left(jump: i64) -> u64 {
    let table = TableOptions { gc_grace_seconds: 100, ..TableOptions::default() };
    let db = db(small_options(), table);
    for n in 0..20 {
        db.write(&[&put(0, n, 5, 10)]).unwrap();
        db.write(&[&delete(0, n, 20, db.now())]).unwrap();
    }
    db.flush().unwrap();
    if jump == 0 {
        db.clock.advance(Duration::from_secs(1_000_000));
    } else {
        db.clock.set_wall_micros(db.wall_micros() + jump * 1_000_000);
    }
    db.compact().unwrap();
    db.engine().table_stats(TABLE).unwrap().rows
}

#[test]
fn purging_waits_for_grace_and_not_for_a_clock_that_jumped() {
    assert_eq!(rows_left(0), 0);
    assert_eq!(rows_left(1_000_000), 20);
    assert_eq!(rows_left(50), 20);
}

#[test]
fn compaction_keeps_up_and_cuts_its_output() {
    let options = Options { sstable_bytes_target: 8 << 10, ..small_options() };
    let compaction = CompactionOptions { scaling: 2, ..CompactionOptions::default() };
    let db = db(options, TableOptions { compaction, ..TableOptions::default() });
    for round in 0..60u32 {
        for n in 0..60u32 {
            db.write(&[&put((n % 60) as u8, round, 40, 10)]).unwrap();
        }
        db.flush().unwrap();
        db.run_jobs(JobKind::Compaction).unwrap();
    }
    let stats = db.engine().table_stats(TABLE).unwrap();
    assert_eq!(stats.compactions_pending, 0);
    // Every partition was written in each of 60 flushes: uncompacted, each would count 60 times.
    assert!(stats.partitions < 60 * 12, "{stats:?}");
    assert_eq!(stats.rows, 3600);
    db.compact().unwrap();
    let stats = db.engine().table_stats(TABLE).unwrap();
    assert!(stats.sstables > 1, "the outcome was not cut: {stats:?}");
    assert_eq!((stats.partitions, stats.rows), (60, 3600));
}

#[test]
fn a_table_that_is_not_named_is_kept_until_it_is_dropped() {
    let mut db = db(small_options(), TableOptions::default());
    db.write(&[&put(0, 1, 5, 10)]).unwrap();
    db.flush().unwrap();
    db.write(&[&put(0, 2, 5, 10)]).unwrap();
    let named = std::mem::take(&mut db.tables);
    db.crash();
    let error = db.engine().write(&[&put(0, 3, 5, 10)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    db.tables.clone_from(&named);
    db.crash();
    assert_eq!(rows(&read(db.engine(), &one(&db, 0), Cuts::NONE).unwrap()), 2);
    db.tables.clear();
    db.options.drop_unnamed_tables = true;
    db.crash();
    assert!(db.files().iter().all(|(path, _)| !path.to_string_lossy().ends_with(".sst")));
    db.forget();
    db.tables = named;
    let error = db.open().unwrap_err();
    assert!(error.to_string().contains("was dropped before"), "{error}");
}

#[test]
fn a_mutation_that_is_too_large_or_malformed_changes_nothing() {
    let db = db(small_options(), TableOptions::default());
    let large = put(0, 1, 20 << 10, 10);
    assert_eq!(db.engine().write(&[&large]).unwrap_err().kind(), ErrorKind::TooLarge);
    let good = put(0, 2, 5, 10);
    for cut in 0..good.len() {
        let _ = db.engine().write(&[&good, &good[..cut]]).unwrap_err();
    }
    let other = MutationBuilder::new(helenus_storage::model::KeyspaceId(9), key(0).as_ref());
    let mut other = other;
    other.table(TABLE).partition_deletion(Deletion::new(1, 1));
    let error = db.engine().write(&[&other.finish().unwrap()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(rows(&read(db.engine(), &one(&db, 0), Cuts::NONE).unwrap()), 0);
}

#[test]
fn a_log_larger_than_memory_is_replayed_through_sstables() {
    let options = Options {
        memtable_bytes_max: 64 << 20,
        memtable_total_bytes_max: 64 << 20,
        log_bytes_max: 1 << 30,
        ..small_options()
    };
    let mut db = db(options, TableOptions::default());
    for n in 0..3000 {
        db.write(&[&put((n % 7) as u8, n, 200, 10)]).unwrap();
    }
    db.options.memtable_total_bytes_max = 300 << 10;
    for _ in 0..2 {
        db.crash();
        let held = db.engine().metrics().memtable_bytes_now.get();
        assert!(held < 500_000, "{held} bytes of memtables after replay");
        assert!(db.engine().metrics().flushes.get() > 0 || held < 300_000);
        let found: usize =
            (0..7).map(|n| rows(&read(db.engine(), &one(&db, n), Cuts::NONE).unwrap())).sum();
        assert_eq!(found, 3000);
    }
}

#[test]
fn slices_out_of_order_are_refused() {
    let db = db(small_options(), TableOptions::default());
    let slice = |start: u32, end: u32| PositionRange {
        start: Slice::from(position(start)),
        end: Slice::from(position(end)),
    };
    for slices in [vec![slice(3, 4), slice(1, 2)], vec![slice(1, 3), slice(2, 4)]] {
        let command = ReadCommand { slices, ..one(&db, 0) };
        let error = read(db.engine(), &command, Cuts::NONE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
