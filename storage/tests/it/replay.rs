//! Replay side by side: the same rows whatever the order, the first damage of the log whatever the
//! order, and nothing lost to a crash while it flushes on its way.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::disk::{CutOptions, Disk};
use helenus_platform::fork::{Drawn, ForkJoin, InTurn, Threads};
use helenus_storage::model::{Deletion, PartitionBound};
use helenus_storage::{ErrorKind, JobKind, Options, Partitions, ReadCommand, TableOptions};

use crate::collect::{Cuts, PartitionOut, read};
use crate::harness::{Db, small_options};
use crate::paths::{TABLE, delete, mutation, put};

/// A closed or killed directory whose log has many segments and was not flushed.
fn logged(rows: u32, is_closed: bool) -> Db {
    let options = Options {
        segment_bytes: 40 << 10,
        memtable_bytes_max: 64 << 20,
        memtable_total_bytes_max: 64 << 20,
        log_bytes_max: 1 << 30,
        ..small_options()
    };
    let mut db = Db::new(1, options, &[(TABLE, TableOptions::default())]);
    db.open().unwrap();
    for n in 0..rows {
        let key = (n % 7) as u8;
        let timestamp = i64::from(n * 7919 % rows);
        db.write(&[&match n % 11 {
            10 => delete(key, n / 3, timestamp, db.now()),
            9 if n % 3 == 0 => mutation(key, |mutation| {
                let deletion = Deletion::new(timestamp / 4, db.now());
                mutation.table(TABLE).partition_deletion(deletion);
            }),
            _ => put(key, n / 2, 100, timestamp),
        }])
        .unwrap();
    }
    if is_closed {
        db.close().unwrap();
    } else {
        db.disk.crash_process();
        db.forget();
    }
    db
}

fn copy(of: &Db, seed: u64, fork: Arc<dyn ForkJoin>) -> Db {
    let options = Options { fork, ..of.options.clone() };
    Db::on(of.disk.fork(seed), seed, options, &[(TABLE, TableOptions::default())])
}

fn all(db: &Db) -> Vec<PartitionOut> {
    let (start, end) = (PartitionBound::Min, PartitionBound::Max);
    let command = ReadCommand::new(TABLE, Partitions::Range { start, end }, db.now());
    read(db.engine(), &command, Cuts::NONE).unwrap()
}

fn orders() -> Vec<Arc<dyn ForkJoin>> {
    let drawn = (0..12).map(|seed| Arc::new(Drawn::new(seed, 2 + seed as usize % 5)) as _);
    let others: [Arc<dyn ForkJoin>; 2] = [Arc::new(InTurn), Arc::new(Threads)];
    others.into_iter().chain(drawn).collect()
}

/// The segments' files, oldest first.
fn segments(db: &Db) -> Vec<PathBuf> {
    let files = db.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.to_string_lossy().contains("segment-")).collect()
}

/// Where behind `from` a value stands in a segment: 50 times the same byte, not zero.
fn value_at(db: &Db, path: &Path, from: usize) -> u64 {
    let file = db.disk.open(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    let is_value = |run: &[u8]| run[0] != 0 && run.iter().all(|byte| *byte == run[0]);
    let at = bytes[from..].windows(50).position(is_value).unwrap();
    (from + at + 25) as u64
}

#[test]
fn the_order_of_replay_does_not_show() {
    let log = logged(4000, false);
    let mut first = copy(&log, 0, Arc::new(InTurn));
    first.open().unwrap();
    let expected = all(&first);
    assert!(expected.iter().map(|partition| partition.rows.len()).sum::<usize>() > 300);
    for memory in [64 << 20, 40 << 10] {
        for (seed, fork) in orders().into_iter().enumerate() {
            let mut db = copy(&log, seed as u64, fork.clone());
            db.options.memtable_total_bytes_max = memory;
            db.open().unwrap();
            assert_eq!(all(&db), expected, "{fork:?}, {memory} bytes");
            let flushes = db.engine().metrics().flushes.get();
            assert_eq!(flushes > 2, memory < 1 << 20, "{flushes} flushes with {memory} bytes");
            assert_eq!(db.engine().metrics().replayed_records.get(), 4000);
            db.crash();
            assert_eq!(all(&db), expected, "{fork:?}, {memory} bytes, opened again");
        }
    }
}

#[test]
fn a_crash_while_replay_flushes_loses_nothing() {
    let log = logged(2000, false);
    let mut first = copy(&log, 0, Arc::new(InTurn));
    first.open().unwrap();
    let expected = all(&first);
    let open = |n: u64, cut: Option<u64>| {
        let mut db = copy(&log, n, Arc::new(Drawn::new(n, 3)));
        db.options.memtable_total_bytes_max = 40 << 10;
        if let Some(cut) = cut {
            db.disk.cut_at_call(cut);
        }
        let opened = db.open();
        (db, opened)
    };
    let (whole, opened) = open(0, None);
    opened.unwrap();
    assert!(whole.engine().metrics().flushes.get() > 2);
    let calls = whole.disk.calls();
    let mut interrupted = 0;
    for n in (1..calls).step_by(5) {
        let (mut db, opened) = open(n, Some(n));
        interrupted += u64::from(opened.is_err());
        if n % 2 == 0 {
            db.disk.power_cut(CutOptions::ALL[(n / 2) as usize % CutOptions::ALL.len()]);
        } else {
            db.disk.crash_process();
        }
        db.forget();
        db.open().unwrap();
        assert_eq!(all(&db), expected, "cut at call {n} of {calls}");
    }
    assert!(interrupted > 50, "only {interrupted} starts were interrupted");
}

#[test]
fn the_first_damage_of_the_log_is_named_in_any_order() {
    let log = logged(4000, true);
    let files = segments(&log);
    assert!(files.len() > 12);
    // In the middle of a record: only replay itself looks there.
    let damaged = [5, 6, 9, 11].map(|index: usize| files[index].clone());
    // The first is met late by whoever reads its segment, the second at once.
    for (path, from) in damaged.iter().zip([35_000, 100, 20_000, 300]) {
        log.disk.flip_bit(path, 8 * value_at(&log, path, from) + 3).unwrap();
    }
    let mut told = Vec::new();
    for (seed, fork) in orders().into_iter().enumerate() {
        let mut db = copy(&log, seed as u64, fork);
        told.push(db.open().unwrap_err().to_string());
    }
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    assert!(told[0].contains(&name(&damaged[0])), "{}", told[0]);
    assert!(told.iter().all(|text| *text == told[0]), "{told:#?}");
    // Told to pass over it, the engine says what it passed over, and serves the rest.
    for (seed, fork) in orders().into_iter().enumerate() {
        let mut db = copy(&log, seed as u64, fork);
        db.options.skip_damaged_log = true;
        db.open().unwrap();
        let skipped: Vec<String> =
            db.engine().log_damage().iter().map(ToString::to_string).collect();
        assert_eq!(skipped.len(), damaged.len(), "{skipped:#?}");
        for (text, path) in skipped.iter().zip(&damaged) {
            assert!(text.contains(&name(path)), "{text}");
        }
        let replayed = db.engine().metrics().replayed_records.get();
        assert!((3000..4000).contains(&replayed), "{replayed} records");
    }
}

#[test]
fn damage_is_passed_over_once() {
    let log = logged(4000, true);
    let path = segments(&log)[9].clone();
    log.disk.flip_bit(&path, 8 * value_at(&log, &path, 1500)).unwrap();
    let mut db = copy(&log, 1, Arc::new(Threads));
    db.options.skip_damaged_log = true;
    db.open().unwrap();
    let before = all(&db);
    db.flush().unwrap();
    db.options.skip_damaged_log = false;
    db.crash();
    assert_eq!(all(&db), before);
    assert!(db.engine().log_damage().is_empty());
    let is_kept = |(path, _): &(PathBuf, u64)| path.to_string_lossy().contains("damaged-");
    assert!(db.files().iter().any(is_kept), "the damaged segment was not kept as evidence");
}

#[test]
fn a_segment_lost_from_a_killed_log_is_missed() {
    let log = logged(4000, false);
    let files = segments(&log);
    // The last one was prepared, and nothing was written to it yet.
    for path in &files[..files.len() - 1] {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut db = copy(&log, 1, Arc::new(InTurn));
        db.disk.remove(path).unwrap();
        let error = db.open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&name), "{name}: {error}");
        db.options.skip_damaged_log = true;
        db.open().unwrap();
        let skipped = db.engine().log_damage();
        assert!(skipped.len() == 1 && skipped[0].to_string().contains(&name), "{skipped:?}");
        // What was passed over once is not missed again.
        db.options.skip_damaged_log = false;
        db.crash();
        let replayed = db.engine().metrics().replayed_records.get();
        assert!((3000..4000).contains(&replayed), "{replayed} records");
    }
}

#[test]
fn recycled_segments_are_not_missed() {
    let mut log = logged(4000, false);
    log.options.log_bytes_max = 100 << 10;
    log.open().unwrap();
    for n in 0..4000 {
        // Flushes let go of segments in between; a table that is not flushed keeps others.
        log.write(&[&put((n % 7) as u8, n, 100, 1 << 40)]).unwrap();
        if n % 500 == 0 {
            log.run_jobs(JobKind::Flush).unwrap();
        }
        if n % 700 == 0 {
            log.crash();
        }
    }
    assert!(segments(&log).len() < 12, "nothing was recycled");
}
