//! Snapshots: exactly what was written before one moment, whatever goes on meanwhile, and back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::disk::{CutOptions, Disk};
use helenus_platform::random::SeededRandom;
use helenus_storage::model::{
    Cell, ColumnId, LogPosition, MutationBuilder, PartitionBound, RowBuilder, TableId,
};
use helenus_storage::{
    JobKind, Options, Partitions, ReadCommand, Result, SnapshotFile, TableOptions, restore,
};

use crate::collect::{Cuts, read};
use crate::harness::{Db, KEYSPACE, key, small_options};

const A: TableId = TableId(1);
const B: TableId = TableId(2);
const IDLE: TableId = TableId(3);
const ALL: [TableId; 3] = [A, B, IDLE];

fn db(seed: u64) -> Db {
    let mut db = Db::new(seed, small_options(), &ALL.map(|table| (table, TableOptions::default())));
    db.open().unwrap();
    db
}

/// Row `n` in tables A and B, as one record.
fn put(db: &Db, n: u8) -> LogPosition {
    let mutations = [A, B].map(|table| {
        let mut row = RowBuilder::new();
        row.cell(Cell::live(ColumnId(1), i64::from(n), &[n]));
        let mut mutation = MutationBuilder::new(KEYSPACE, key(n % 7).as_ref());
        mutation.table(table).row(&[0x30, n, 0x80], &row.finish().unwrap());
        mutation.finish().unwrap()
    });
    db.write(&[&mutations[0], &mutations[1]]).unwrap()
}

fn rows(db: &Db, table: TableId) -> BTreeSet<u8> {
    let (start, end) = (PartitionBound::Min, PartitionBound::Max);
    let command = ReadCommand::new(table, Partitions::Range { start, end }, db.now());
    let partitions = read(db.engine(), &command, Cuts::NONE).unwrap();
    partitions.iter().flat_map(|p| p.rows.iter().map(|(position, _)| position[1])).collect()
}

fn targets(db: &Db, name: &str) -> Vec<(TableId, PathBuf)> {
    let dirs =
        ALL.map(|table| (table, Path::new("/snapshots").join(name).join(table.0.to_string())));
    dirs.iter().for_each(|(_, dir)| db.disk.create_dir_all(dir).unwrap());
    dirs.iter().for_each(|(_, dir)| {
        dir.ancestors().skip(1).for_each(|above| db.disk.sync_dir(above).unwrap());
    });
    dirs.to_vec()
}

/// Another engine, made of the files of a snapshot.
fn restored(db: &Db, files: &[SnapshotFile]) -> Result<Db> {
    let disk: Arc<dyn Disk> = Arc::new(db.disk.for_process());
    let of = |table| files.iter().filter(move |f| f.table == table).map(|f| f.path.clone());
    let tables = ALL.map(|table| (table, KEYSPACE, of(table).collect()));
    let options = Options { dir: "/back/engine".into(), ..small_options() };
    restore(&disk, Arc::new(SeededRandom::new(99)), &options.dir, &tables)?;
    let tables = ALL.map(|table| (table, TableOptions::default()));
    let mut back = Db::on(db.disk.clone(), 99, options, &tables);
    back.open()?;
    Ok(back)
}

#[test]
fn a_snapshot_holds_what_came_before_it_and_nothing_later() {
    let db = db(1);
    for n in 0..20 {
        put(&db, n);
    }
    db.engine().flush(Some(A)).unwrap();
    db.run_jobs(JobKind::Flush).unwrap();
    for n in 20..40 {
        put(&db, n);
    }
    let snapshot = db.engine().begin_snapshot(&targets(&db, "s")).unwrap();
    assert!(snapshot.poll().is_none(), "its memtables are not flushed yet");
    // Written, flushed and compacted while the snapshot still waits for its older memtables.
    for n in 40..60 {
        assert!(put(&db, n) > snapshot.position());
    }
    db.engine().flush(None).unwrap();
    db.run_jobs(JobKind::Flush).unwrap();
    let files = snapshot.poll().unwrap().unwrap();
    db.engine().compact(A).unwrap();
    db.run_jobs(JobKind::Compaction).unwrap();
    db.engine().truncate(B).unwrap();

    db.disk.crash_process();
    db.disk.power_cut(CutOptions::default());
    let mut back = restored(&db, &files).unwrap();
    for table in [A, B] {
        assert_eq!(rows(&back, table), (0..40).collect(), "{table:?}");
    }
    assert_eq!(rows(&back, IDLE), BTreeSet::new());
    // The new directory goes on by itself: its log lies beyond what its files speak of.
    put(&back, 77);
    back.crash();
    assert!(rows(&back, A).contains(&77));
    back.engine().flush(None).unwrap();
    back.run_jobs(JobKind::Flush).unwrap();
    back.crash();
    assert_eq!(rows(&back, B).len(), 41);
}

#[test]
fn a_snapshot_of_a_table_that_is_truncated_meanwhile_fails() {
    let db = db(2);
    put(&db, 1);
    let snapshot = db.engine().begin_snapshot(&targets(&db, "s")).unwrap();
    db.engine().truncate(A).unwrap();
    db.run_jobs(JobKind::Flush).unwrap();
    let error = snapshot.poll().unwrap().unwrap_err();
    assert!(error.to_string().contains("truncated or dropped while"), "{error}");
    let unknown = [(TableId(77), PathBuf::from("/snapshots/s"))];
    assert!(db.engine().begin_snapshot(&unknown).is_err());
}

#[test]
fn a_damaged_file_is_not_restored() {
    let db = db(3);
    for n in 0..30 {
        put(&db, n);
    }
    let snapshot = db.engine().begin_snapshot(&targets(&db, "s")).unwrap();
    db.run_jobs(JobKind::Flush).unwrap();
    let files = snapshot.poll().unwrap().unwrap();
    let file = db.disk.open_write(&files[0].path).unwrap();
    let at = files[0].bytes / 2;
    let mut byte = [0];
    file.read_exact_at(at, &mut byte).unwrap();
    file.write_all_at(at, &[byte[0] ^ 1]).unwrap();
    let error = restored(&db, &files).err().unwrap().to_string();
    assert!(error.contains(files[0].path.file_name().unwrap().to_str().unwrap()), "{error}");
}

#[test]
fn a_drained_engine_takes_no_writes_and_still_flushes_and_reads() {
    let db = db(4);
    put(&db, 1);
    db.engine().drain();
    let mut row = RowBuilder::new();
    row.cell(Cell::live(ColumnId(1), 9, &[9]));
    let mut mutation = MutationBuilder::new(KEYSPACE, key(1).as_ref());
    mutation.table(A).row(&[0x30, 9, 0x80], &row.finish().unwrap());
    let error = db.engine().write(&[&mutation.finish().unwrap()]).unwrap_err();
    assert!(error.to_string().contains("drained"), "{error}");
    assert!(!db.engine().is_flushed(None, LogPosition(u64::MAX)));
    db.engine().flush(None).unwrap();
    db.run_jobs(JobKind::Flush).unwrap();
    assert!(db.engine().is_flushed(None, LogPosition(u64::MAX)));
    assert_eq!(rows(&db, A), BTreeSet::from([1]));
}
