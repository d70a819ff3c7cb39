//! Compaction under load: it keeps up, what it leaves on disk is bounded, and its slices are short.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use helenus_platform::clock::{Clock, RealClock};
use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::PartitionBound;
use helenus_storage::{
    Budget, Compression, Job, JobKind, JobStep, Options, Partitions, ReadCommand, TableOptions,
};

use crate::collect::{Cuts, read};
use crate::harness::{Db, small_options};
use crate::paths::{TABLE, put};

const PARTITIONS: u64 = 200;
const ROWS: u64 = 40;
const VALUE_BYTES: usize = 100;
/// As the node drives jobs.
const STEP_UNITS: u64 = 1_000;

fn db() -> Db {
    let options = Options {
        memtable_bytes_max: 128 << 10,
        memtable_total_bytes_max: 1 << 20,
        log_bytes_max: 4 << 20,
        segment_bytes: 256 << 10,
        block_bytes: 16 << 10,
        sstable_bytes_target: 1 << 20,
        ..small_options()
    };
    // Values of one byte repeated would compress to nothing.
    let table = TableOptions { compression: Compression::None, ..TableOptions::default() };
    let mut db = Db::new(1, options, &[(TABLE, table)]);
    db.open().unwrap();
    db
}

/// Overwrites random rows, with one step of background work of each kind after every `rhythm`
/// writes; tells `look` how each of these ended and how long it took.
fn overwrite(db: &Db, writes: u64, rhythm: u64, mut look: impl FnMut(JobStep, Duration)) {
    let random = SeededRandom::new(3);
    let clock = RealClock::new();
    let mut jobs: [Option<Job>; 2] = [None, None];
    for n in 0..writes {
        let (partition, row) = (random.below(PARTITIONS) as u8, random.below(ROWS) as u32);
        db.write(&[&put(partition, row, VALUE_BYTES, n as i64)]).unwrap();
        if n % rhythm != 0 {
            continue;
        }
        for (kind, job) in [JobKind::Flush, JobKind::Compaction].into_iter().zip(&mut jobs) {
            if job.is_none() {
                *job = db.engine().next_job(kind);
            }
            let Some(running) = job else { continue };
            let began = clock.monotonic();
            let step = running.step(&mut Budget::new(STEP_UNITS)).unwrap();
            look(step, clock.monotonic() - began);
            if step == JobStep::Done {
                *job = None;
            }
        }
    }
}

fn settle(db: &Db) {
    db.flush().unwrap();
    db.run_jobs(JobKind::Compaction).unwrap();
    assert_eq!(db.engine().table_stats(TABLE).unwrap().compactions_pending, 0);
}

#[test]
fn under_random_overwrites_files_and_space_stay_bounded() {
    let db = db();
    let (mut most, mut most_pending) = (0, 0);
    // 25 times everything, in hundreds of memtables.
    overwrite(&db, 25 * PARTITIONS * ROWS, 20, |_, _| {
        let stats = db.engine().table_stats(TABLE).unwrap();
        most = most.max(stats.sstables);
        most_pending = most_pending.max(stats.compactions_pending);
    });
    settle(&db);
    let settled = db.engine().table_stats(TABLE).unwrap();
    db.compact().unwrap();
    let live = db.engine().table_stats(TABLE).unwrap();
    assert_eq!(live.rows, PARTITIONS * ROWS);
    let space = settled.sstable_bytes as f64 / live.sstable_bytes as f64;
    let metrics = db.engine().metrics();
    let flushed = metrics.flush_bytes.get() as f64;
    let written = metrics.compaction_bytes_written.get() as f64;
    println!(
        "{} flushes, {} compactions; at most {most} SSTables, {most_pending} compactions waiting; \
         settled: {} SSTables, space {space:.2} x live; written {:.2} x flushed",
        metrics.flushes.get(),
        metrics.compactions.get(),
        settled.sstables,
        (flushed + written) / flushed,
    );
    assert!(metrics.flushes.get() > 50 && metrics.compactions.get() > 10);
    assert!(metrics.compaction_bytes_read.get() > 0 && written > 0.0);
    assert!(most <= 20 && most_pending <= 4, "{most} SSTables, {most_pending} waiting");
    // Tiered, four runs a level: what was overwritten last stands beside the largest run.
    assert!(space <= 2.0, "{space:.2} times the live data on disk");
    let (start, end) = (PartitionBound::Min, PartitionBound::Max);
    let command = ReadCommand::new(TABLE, Partitions::Range { start, end }, db.now());
    let found = read(db.engine(), &command, Cuts::NONE).unwrap();
    let rows: usize = found.iter().map(|partition| partition.rows.len()).sum();
    assert_eq!(rows as u64, PARTITIONS * ROWS);
}

#[test]
fn slices_of_background_work_are_short() {
    let db = db();
    // Those that used their whole budget: the others began or ended a job.
    let mut slices: Vec<Duration> = Vec::new();
    let mut look = |took| slices.push(took);
    overwrite(&db, 4 * PARTITIONS * ROWS, 10, |step, took| match step {
        JobStep::Again if took > Duration::from_micros(50) => look(took),
        _ => {}
    });
    slices.sort();
    let share = |part: usize| slices[slices.len() * part / 1000];
    println!(
        "{} slices: median {:?}, 99 % {:?}, 99.9 % {:?}, longest {:?}",
        slices.len(),
        share(500),
        share(990),
        share(999),
        slices.last().unwrap(),
    );
    assert!(slices.len() > 50, "{} slices", slices.len());
    // A millisecond, and as much again for a build with checks on a machine that others use too:
    // single slices are interrupted there, so not all of them can be held to it.
    assert!(share(500) <= Duration::from_millis(2), "{:?}", share(500));
}
