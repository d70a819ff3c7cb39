//! A scripted life of a commit log, and the oracle that knows what it promised.
//!
//! The script appends records that say who they are, lets the worker step, lets time pass,
//! recycles, closes, is killed, starts again; a fault planned on the disk ends it somewhere. The
//! oracle then compares what a start finds with what was promised before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use helenus_platform::clock::{Clock as _, ManualClock};
use helenus_platform::disk::{Disk, FaultyDisk};
use helenus_platform::random::{Random as _, SeededRandom};
use helenus_storage::log::{
    Append, CommitLog, Durability, LogOptions, LogRecord, Replay, SyncStep,
};
use helenus_storage::model::{LogPosition, TableId};

use crate::log_rig::dir;

/// The three modes, with a period short enough for a script to see several.
pub(crate) const MODES: [Durability; 3] = [
    Durability::GROUP,
    Durability::Periodic { sync_every: Duration::from_millis(5), pace: Duration::from_micros(100) },
    Durability::Batch,
];

/// A fault planted to see whether the oracle notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// Answers leave at the written watermark in a mode that promises the durable one.
    AnswersTooEarly,
    /// Segments are recycled though their records are nowhere else.
    RecyclesTooEarly,
}

/// How the disk is handed to the log.
pub(crate) type Dress = fn(&FaultyDisk) -> Arc<dyn Disk>;

pub(crate) fn undressed(disk: &FaultyDisk) -> Arc<dyn Disk> {
    Arc::new(disk.for_process())
}

struct Written {
    end: LogPosition,
    mutations: Vec<Vec<u8>>,
}

/// What the log was told and what it promised.
#[derive(Default)]
pub(crate) struct Oracle {
    /// Every record taken, by the position of its start.
    records: BTreeMap<LogPosition, Written>,
    /// Records that end at or before this were said to survive a power cut.
    durable: LogPosition,
    /// Records that end at or before this were said to survive `kill -9`.
    written: LogPosition,
    /// Records that end at or before this may be gone: they are covered elsewhere.
    covered: LogPosition,
}

/// What the log had to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    PowerCut,
    Kill,
}

impl Oracle {
    /// Compares what a start found; from then on, what was found is promised again.
    fn judge(&mut self, blow: Blow, found: &[LogRecord], promises: bool) -> Result<(), String> {
        let promised = match blow {
            Blow::PowerCut => self.durable,
            Blow::Kill => self.written.max(self.durable),
        };
        let mut last = LogPosition::START;
        let mut present = BTreeSet::new();
        for record in found {
            if record.start < last {
                return Err(format!("a record at {:?} came after {last:?}", record.start));
            }
            last = record.end;
            let Some(written) = self.records.get(&record.start) else {
                return Err(format!("a record at {:?} was never written", record.start));
            };
            let mutations: Vec<Vec<u8>> = record.mutations.iter().map(|m| m.to_vec()).collect();
            if written.end != record.end || written.mutations != mutations {
                return Err(format!("the record at {:?} is not as written", record.start));
            }
            present.insert(record.start);
        }
        let uncovered = |(_, written): &(&LogPosition, &Written)| written.end > self.covered;
        for (start, written) in self.records.iter().filter(uncovered) {
            if present.contains(start) {
                continue;
            }
            if written.end <= promised {
                return Err(format!("the record at {start:?} was promised and is gone"));
            }
            if promises && present.range(start..).next().is_some() {
                return Err(format!("there is a hole at {start:?}"));
            }
        }
        // What is covered may come back after a power cut, if taking it out was not durable.
        let covered = self.covered;
        self.records.retain(|start, w| present.contains(start) || w.end <= covered);
        // What a start has shown is promised from then on: it may have been read.
        self.durable = self.durable.max(last);
        self.written = self.written.max(last);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }
}

/// One script: its log, its oracle, its dice.
pub(crate) struct Script {
    pub(crate) disk: FaultyDisk,
    dress: Dress,
    options: LogOptions,
    planted: Planted,
    random: SeededRandom,
    clock: Arc<ManualClock>,
    pub(crate) oracle: Oracle,
    starts: u64,
    /// Calls fail as planned: a start may, and the oracle does not mind.
    pub(crate) calls_fail: bool,
}

/// Why a script ended.
pub(crate) enum End {
    /// All steps were made.
    Done,
    /// The disk failed the log.
    Failed,
}

impl Script {
    pub(crate) fn new(disk: FaultyDisk, dress: Dress, durability: Durability, seed: u64) -> Self {
        let options = LogOptions {
            segment_bytes: 2048,
            buffer_bytes_max: 4096,
            durability,
            ..LogOptions::default()
        };
        Script {
            disk,
            dress,
            options,
            planted: Planted::Nothing,
            random: SeededRandom::new(seed),
            clock: Arc::new(ManualClock::new(1)),
            oracle: Oracle::default(),
            starts: 0,
            calls_fail: false,
        }
    }

    pub(crate) fn plant(mut self, planted: Planted) -> Self {
        self.planted = planted;
        self
    }

    /// Opens the log and judges what it finds. `Ok(None)`: the disk failed.
    fn start(&mut self, blow: Blow) -> Result<Option<CommitLog>, String> {
        self.starts += 1;
        let seed = self.starts ^ (self.random.next_u64() << 8);
        let random = Arc::new(SeededRandom::new(seed));
        let disk = (self.dress)(&self.disk);
        let opened = CommitLog::open(disk, dir(), &self.options, random, self.clock.clone());
        let (log, replay) = match opened {
            Ok(opened) => opened,
            Err(_) if self.disk.is_off() || self.calls_fail => return Ok(None),
            Err(error) => return Err(format!("the log does not open: {error}")),
        };
        let mut found = Vec::new();
        match read(replay, &mut found) {
            Ok(()) => {}
            Err(_) if self.disk.is_off() || self.calls_fail => return Ok(None),
            Err(error) => return Err(format!("the log does not replay: {error}")),
        }
        let honest = self.planted == Planted::Nothing;
        self.oracle.judge(blow, &found, honest)?;
        Ok(Some(log))
    }

    /// Lives through `steps` steps after a blow, or until the disk fails.
    pub(crate) fn run(&mut self, after: Blow, steps: usize) -> Result<End, String> {
        let Some(mut log) = self.start(after)? else { return Ok(End::Failed) };
        for _ in 0..steps {
            if log.failed().is_some() || self.disk.is_off() {
                return Ok(End::Failed);
            }
            match self.random.below(100) {
                0..60 => self.append(&log),
                60..85 => self.step(&log),
                85..93 => self.clock.advance(Duration::from_micros(self.random.below(6_000))),
                93..95 => self.clock.advance(Duration::from_secs(2)),
                95..98 => self.recycle(&log),
                98 => {
                    // A clean end. It may fail; then what was promised before still holds.
                    if log.close().is_ok() {
                        self.observe(&log);
                    }
                    let Some(next) = self.start(Blow::Kill)? else { return Ok(End::Failed) };
                    log = next;
                }
                _ => {
                    self.disk.crash_process();
                    let Some(next) = self.start(Blow::Kill)? else { return Ok(End::Failed) };
                    log = next;
                }
            }
        }
        Ok(End::Done)
    }

    fn append(&mut self, log: &CommitLog) {
        let number = self.random.next_u64();
        let mutation = |i: u64| {
            let mut bytes = vec![(number >> (i % 7)) as u8; self.random.below(240) as usize];
            bytes.extend_from_slice(format!("{number}/{i}").as_bytes());
            bytes
        };
        let mutations: Vec<Vec<u8>> = (0..1 + number % 3).map(mutation).collect();
        let borrowed: Vec<&[u8]> = mutations.iter().map(Vec::as_slice).collect();
        let table = TableId((number % 4) as u32);
        // Some writers see to the writing themselves, at once or some time later.
        let deferred = number % 16 < 8;
        let taken = if deferred {
            log.append_deferred(&borrowed, &[table], |_| ())
        } else {
            log.append(&borrowed, &[table], |_| ())
        };
        if let Ok(Append::Done(taken)) = taken {
            self.oracle.records.insert(taken.start, Written { end: taken.end, mutations });
            if deferred && number % 5 < 3 {
                log.write_out(taken.end);
                self.observe(log);
            }
        }
    }

    fn step(&mut self, log: &CommitLog) {
        for _ in 0..3 {
            match log.sync_step() {
                SyncStep::Again => {}
                SyncStep::WaitUntil(at) if self.random.chance(0.7) => {
                    let wait = at.saturating_sub(self.clock.monotonic());
                    self.clock.advance(wait.min(Duration::from_millis(5)));
                }
                SyncStep::Idle | SyncStep::WaitUntil(_) => break,
            }
            self.observe(log);
        }
        self.observe(log);
    }

    /// Notes what the watermarks promise now.
    fn observe(&mut self, log: &CommitLog) {
        let durable = match self.planted {
            Planted::AnswersTooEarly => log.written(),
            _ => log.durable(),
        };
        self.oracle.durable = self.oracle.durable.max(durable);
        self.oracle.written = self.oracle.written.max(log.written());
    }

    /// Pretends that everything up to some durable position is in files, and recycles.
    fn recycle(&mut self, log: &CommitLog) {
        let past = log.durable().0.saturating_sub(self.random.below(6000));
        let covered = match self.planted {
            Planted::RecyclesTooEarly => LogPosition(u64::MAX),
            _ => {
                self.oracle.covered = self.oracle.covered.max(LogPosition(past));
                self.oracle.covered
            }
        };
        // Fails only when the disk does.
        let _ = log.recycle(&|_, _, end| end <= covered, &|_| Ok(()));
    }
}

fn read(replay: Replay, found: &mut Vec<LogRecord>) -> helenus_storage::error::Result<()> {
    replay.for_each(|record| {
        found.push(record);
        Ok(())
    })?;
    Ok(())
}
