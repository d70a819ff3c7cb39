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
use helenus_platform::runtime::block_on;
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
        assert!(log.recycle(&|_, _, _| true, &|_| Ok(())).unwrap() > 5);
    }
}

/// Steps the worker when it is told that there is work, and at no other time.
fn work_when_told(log: &CommitLog, stop: &AtomicBool) {
    loop {
        let epoch = log.work_signal().epoch();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        if log.sync_step() != SyncStep::Again {
            block_on(log.work_signal().wait_past(epoch));
        }
    }
}

fn append_deferred(log: &CommitLog, mutation: &[u8]) -> LogPosition {
    loop {
        match log.append_deferred(&[mutation], &[TableId(1)], |_| ()).unwrap() {
            Append::Done(appended) => return appended.end,
            Append::Full => thread::yield_now(),
        }
    }
}

#[test]
fn what_is_left_to_another_writer_is_written() {
    let long = Duration::from_secs(1000);
    let periodic = Durability::Periodic { sync_every: long, pace: Duration::ZERO };
    for (name, durability) in [("left", periodic), ("left-group", Durability::Batch)] {
        let directory = Directory::new(name);
        let (log, _) = directory.open(durability);
        let (stop, clock) = (AtomicBool::new(false), RealClock::new());
        thread::scope(|scope| {
            let worker = scope.spawn(|| work_when_told(&log, &stop));
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (log, clock) = (&log, &clock);
                    scope.spawn(move || {
                        for number in 0..RECORDS {
                            let end = append_deferred(log, &[writer as u8; 60]);
                            if number % 3 == 1 {
                                continue;
                            }
                            log.write_out(end);
                            // Told once, it has to come, without anybody asking again.
                            let since = clock.monotonic();
                            while log.written() < end {
                                let waited = clock.monotonic() - since;
                                assert!(waited < Duration::from_secs(20), "{end:?} is nobody's");
                                thread::yield_now();
                            }
                        }
                    })
                })
                .collect();
            let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            stop.store(true, Ordering::SeqCst);
            log.work_signal().notify_all();
            worker.join().unwrap();
            assert!(ended.iter().all(Result::is_ok), "a record was left unwritten");
        });
    }
}

#[test]
fn who_writes_sees_to_what_is_left_to_it_meanwhile() {
    let disk = crate::log_rig::disk(1);
    let sync_every = Duration::from_secs(1000);
    let durability = Durability::Periodic { sync_every, pace: Duration::ZERO };
    let options = LogOptions { durability, ..LogOptions::default() };
    let (rig, _) = Rig::open(&disk, &options).unwrap();
    rig.settle();
    let (entered, leave) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (told, awaited) = (entered.clone(), leave.clone());
    disk.slow(Some(Arc::new(move |call| {
        if call == Call::Write && !told.swap(true, Ordering::SeqCst) {
            while !awaited.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        }
    })));
    let first = append_deferred(&rig.log, b"first");
    thread::scope(|scope| {
        let writer = scope.spawn(|| rig.log.write_out(first));
        while !entered.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let second = append_deferred(&rig.log, b"second");
        // Does not wait for the writer.
        rig.log.write_out(second);
        assert!(rig.log.written() < first);
        leave.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        assert!(rig.log.written() >= second);
    });
}

#[test]
fn a_disk_that_made_a_writer_wait_is_left_to_the_worker() {
    let disk = crate::log_rig::disk(1);
    let sync_every = Duration::from_secs(1000);
    let durability = Durability::Periodic { sync_every, pace: Duration::ZERO };
    let options = LogOptions { durability, ..LogOptions::default() };
    let (rig, _) = Rig::open(&disk, &options).unwrap();
    rig.settle();
    let clock = rig.clock.clone();
    let slow = Arc::new(move |_| clock.advance(Duration::from_millis(5)));
    let write = |record| {
        let position = append_deferred(&rig.log, record);
        rig.log.write_out(position);
        assert!(rig.log.written() >= position);
        rig.settle();
    };
    // One slow write, or two, may have waited for a core.
    disk.slow(Some(slow.clone()));
    write(b"slow");
    write(b"slow");
    disk.slow(None);
    write(b"fast");
    disk.slow(Some(slow));
    for _ in 0..3 {
        write(b"slow");
    }
    disk.slow(None);
    let work = rig.log.work_signal().epoch();
    let next = append_deferred(&rig.log, b"next");
    rig.log.write_out(next);
    assert!(rig.log.written() < next);
    assert!(rig.log.work_signal().epoch() > work, "the worker is told");
    rig.settle();
    assert!(rig.log.written() >= next);
    rig.clock.advance(Duration::from_secs(2));
    let later = append_deferred(&rig.log, b"later");
    rig.log.write_out(later);
    assert!(rig.log.written() >= later);
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
