//! The commit log on the machine's disk, under threads: no record is lost, doubled or out of
//! order, and segments are replayed in parallel.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use helenus_platform::clock::{Clock, RealClock};
use helenus_platform::disk::faulty::Call;
use helenus_platform::disk::{Disk, RealDisk};
use helenus_platform::random::RealRandom;
use helenus_storage::log::{
    Append, CommitLog, Durability, LogOptions, LogRecord, Replay, ReplaySegment, SyncStep,
};
use helenus_storage::model::{LogPosition, TableId};

use crate::log_rig::Rig;

const WRITERS: u64 = 4;
const RECORDS: u64 = 3_000;

/// A directory that goes when the test ends, also when it fails.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("helenus-log-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        RealDisk::new().create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn open(&self, durability: Durability) -> (CommitLog, Replay) {
        let options = LogOptions {
            segment_bytes: 64 << 10,
            buffer_bytes_max: 32 << 10,
            durability,
            ..LogOptions::default()
        };
        let random = Arc::new(RealRandom::new().unwrap());
        let disk = Arc::new(RealDisk::new());
        CommitLog::open(disk, &self.0, &options, random, Arc::new(RealClock::new())).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = RealDisk::new().remove_dir_all(&self.0);
    }
}

/// Steps the worker until told to stop.
fn work(log: &CommitLog, stop: &AtomicBool) {
    let clock = RealClock::new();
    while !stop.load(Ordering::SeqCst) {
        if log.sync_step() != SyncStep::Again {
            let epoch = log.work_signal().epoch();
            let since = clock.monotonic();
            // A short nap without a runtime: until there is work, or for the pace at most.
            while log.work_signal().epoch() == epoch
                && (clock.monotonic() - since).as_micros() < 300
            {
                thread::yield_now();
            }
        }
    }
}

fn write(log: &CommitLog, writer: u64, newest: &AtomicU64) {
    for number in 0..RECORDS {
        let mut mutation = format!("{writer} {number} ").into_bytes();
        mutation.resize(mutation.len() + (number % 90) as usize, b'.');
        // Under the lock positions only grow, whichever thread comes.
        let in_lock = |end: LogPosition| {
            let before = newest.swap(end.0, Ordering::Relaxed);
            assert!(before < end.0);
        };
        let end = loop {
            let tables = [TableId(writer as u32)];
            match log.append(&[&mutation], &tables, in_lock).unwrap() {
                Append::Done(appended) => break appended.end,
                Append::Full => thread::yield_now(),
            }
        };
        if number % 500 == 0 {
            while log.answerable() < end {
                thread::yield_now();
            }
        }
    }
}

/// The numbers of the records of each writer, in the order of the log.
fn numbers(records: impl Iterator<Item = LogRecord>) -> Vec<Vec<u64>> {
    let mut numbers = vec![Vec::new(); WRITERS as usize];
    for record in records {
        let text = String::from_utf8(record.mutations[0].to_vec()).unwrap();
        let mut words = text.split(' ').map(|word| word.parse::<u64>());
        let (Some(Ok(writer)), Some(Ok(number))) = (words.next(), words.next()) else {
            panic!("not a record of this test: {text}")
        };
        numbers[writer as usize].push(number);
    }
    numbers
}

fn all_of(segment: ReplaySegment) -> Vec<LogRecord> {
    segment.records().unwrap().map(|record| record.unwrap()).collect()
}

#[test]
fn many_writers_and_one_worker_lose_nothing_in_any_mode() {
    let modes = [Durability::GROUP, Durability::PERIODIC, Durability::Batch];
    for (name, durability) in ["group", "periodic", "batch"].into_iter().zip(modes) {
        let directory = Directory::new(name);
        let (log, _) = directory.open(durability);
        let (stop, newest) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let worker = scope.spawn(|| work(&log, &stop));
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    scope.spawn({
                        let (log, newest) = (&log, &newest);
                        move || write(log, writer, newest)
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            stop.store(true, Ordering::SeqCst);
            worker.join().unwrap();
        });
        log.close().unwrap();
        assert!(log.stats().segments > 5);
        drop(log);

        let (log, replay) = directory.open(durability);
        let replayed: Vec<Vec<LogRecord>> = thread::scope(|scope| {
            let segments: Vec<_> = replay
                .into_segments()
                .into_iter()
                .map(|segment| scope.spawn(|| all_of(segment)))
                .collect();
            segments.into_iter().map(|segment| segment.join().unwrap()).collect()
        });
        let in_order: Vec<u64> = (0..RECORDS).collect();
        for numbers in numbers(replayed.into_iter().flatten()) {
            assert_eq!(numbers, in_order, "{durability:?}");
        }
        assert!(log.recycle(&|_, _, _| true).unwrap() > 5);
    }
}

#[test]
fn a_second_worker_writes_while_the_first_is_in_a_long_sync() {
    let disk = crate::log_rig::disk(1);
    let sync_every = Duration::from_secs(1);
    let durability = Durability::Periodic { sync_every, pace: Duration::ZERO };
    let options = LogOptions { durability, ..LogOptions::default() };
    let (rig, _) = Rig::open(&disk, &options).unwrap();
    rig.append(b"first", 1);
    rig.settle();
    rig.clock.advance(sync_every);
    let (entered, leave) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (told, awaited) = (entered.clone(), leave.clone());
    disk.slow(Some(Arc::new(move |call| {
        if call == Call::Sync {
            told.store(true, Ordering::SeqCst);
            while !awaited.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        }
    })));
    thread::scope(|scope| {
        scope.spawn(|| rig.log.sync_step());
        while !entered.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let second = rig.append(b"second", 1);
        rig.log.sync_step();
        let (written, durable) = (rig.log.written(), rig.log.durable());
        leave.store(true, Ordering::SeqCst);
        assert!(written >= second.end);
        assert!(durable < second.end);
    });
    let durable = rig.log.durable();
    assert!(durable > LogPosition::START && durable < rig.log.written());
}
