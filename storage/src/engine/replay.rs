//! Replaying the commit log into memtables, at every start.
//!
//! Mutations commute, so segments are replayed side by side, each in its order: lanes take one
//! segment after another, oldest first. What an SSTable covers, or a truncation or a drop comes
//! after, is left out by its position alone, so the order does not matter there either.
//!
//! A lane holds one segment in memory. When the memtables are full, all lanes stop at the end of a
//! record, everything is flushed, and they go on. Such a flush covers exactly what the lanes have
//! applied: all segments read to their end, and of the others the part that was read.
//!
//! Damage is reported as a reader of the log from its beginning would meet it: after a failure in
//! one segment only older ones are read on, and the oldest failure is the one that counts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helenus_platform::fork::Piece;

use super::flush::FlushJob;
use super::open::Tables;
use super::{Claim, JobStep, Shared};
use crate::error::{Error, Result};
use crate::log::{RecordView, Records, Replay, ReplaySegment};
use crate::manifest::{IntervalSet, State};
use crate::model::{LogPosition, MutationRef};
use crate::read::Budget;

/// A lane looks at memory, and at what the others have met, each time it has applied so many
/// bytes of log.
const SLICE_BYTES: u64 = 16 << 10;
/// All lanes together hold segments of no more than this; one lane there always is.
const SEGMENT_BYTES_HELD_MAX: u64 = 256 << 20;

/// A segment to be replayed.
struct Segment {
    /// Its place in the log's order.
    index: usize,
    /// Log positions that belong to no other segment: up to where the next one begins.
    start: LogPosition,
    end: LogPosition,
    segment: ReplaySegment,
}

/// A segment being replayed.
struct Reading {
    index: usize,
    start: LogPosition,
    end: LogPosition,
    records: Records,
}

/// One of several readers.
#[derive(Default)]
struct Lane {
    reading: Option<Reading>,
    /// Memory for the next segment.
    buffer: Vec<u8>,
}

/// What all lanes share.
struct Lanes<'a> {
    shared: &'a Arc<Shared>,
    tables: &'a Tables,
    state: &'a State,
    /// Memory is full: every lane stops until there was a flush.
    is_full: AtomicBool,
    /// Segments that no lane has begun, oldest first.
    waiting: Mutex<VecDeque<Segment>>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// What is applied.
    applied: IntervalSet,
    /// The failure in the oldest segment.
    failed: Option<(usize, Error)>,
    /// Damage that was passed over, by segment.
    skipped: Vec<(usize, Error)>,
}

/// Applies what earlier runs left in the log and SSTables do not have. Answers the damage that was
/// passed over because the options say so, in the order of the log.
pub(super) fn replay(shared: &Arc<Shared>, replay: Replay, state: &State) -> Result<Vec<Error>> {
    let (segments, mut skipped) = replay.into_parts();
    let largest = segments.iter().map(ReplaySegment::bytes).max().unwrap_or(0);
    let width = (SEGMENT_BYTES_HELD_MAX / largest.max(1)).max(1);
    let fork = shared.options.fork.clone();
    let count = fork.width().min(segments.len()).min(usize::try_from(width).unwrap_or(1));
    let tables = shared.tables.load_full();
    let lanes = Lanes {
        shared,
        tables: &tables,
        state,
        is_full: AtomicBool::new(false),
        waiting: Mutex::new(in_order(segments)),
        progress: Mutex::default(),
    };
    let mut own: Vec<Lane> = (0..count).map(|_| Lane::default()).collect();
    loop {
        let piece = |lane| -> Piece<'_> {
            let lanes = &lanes;
            let lane: &mut Lane = lane;
            Box::new(move || lanes.step(lane))
        };
        fork.fork_join("helenus-replay", own.iter_mut().map(piece).collect());
        if !lanes.is_full.swap(false, Ordering::AcqRel) {
            break;
        }
        lanes.flush()?;
    }
    let mut progress = lanes.progress();
    if let Some((_, error)) = progress.failed.take() {
        return Err(error);
    }
    progress.skipped.sort_by_key(|(index, _)| *index);
    skipped.extend(progress.skipped.drain(..).map(|(_, error)| error));
    Ok(skipped)
}

/// Numbers the segments, and gives each the positions up to the next.
fn in_order(segments: Vec<ReplaySegment>) -> VecDeque<Segment> {
    let bases: Vec<LogPosition> = segments.iter().map(ReplaySegment::base).collect();
    let number = |(index, segment): (usize, ReplaySegment)| {
        let end = LogPosition(segment.base().0 + segment.bytes());
        Segment {
            index,
            start: if index == 0 { LogPosition::START } else { segment.base() },
            end: bases.get(index + 1).copied().unwrap_or(end),
            segment,
        }
    };
    segments.into_iter().enumerate().map(number).collect()
}

impl Lanes<'_> {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replays a slice of the log; whether the lane has more to do before memory is full.
    fn step(&self, lane: &mut Lane) -> bool {
        if self.is_full.load(Ordering::Acquire) || lane.reading.is_none() && !self.begin(lane) {
            return false;
        }
        let Some(mut reading) = lane.reading.take() else { return true };
        if self.progress().failed.as_ref().is_some_and(|(index, _)| *index < reading.index) {
            return true;
        }
        match self.slice(&mut reading) {
            Ok(true) => lane.reading = Some(reading),
            Ok(false) => lane.buffer = reading.records.into_buffer(),
            Err(error) => self.fail(reading.index, error),
        }
        true
    }

    /// Takes the next segment, if there is one that is worth reading.
    fn begin(&self, lane: &mut Lane) -> bool {
        let next = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if self.progress().failed.is_some() { None } else { waiting.pop_front() }
        };
        let Some(Segment { index, start, end, segment }) = next else { return false };
        match segment.read(std::mem::take(&mut lane.buffer)) {
            Ok(records) => lane.reading = Some(Reading { index, start, end, records }),
            Err(error) => self.fail(index, error),
        }
        true
    }

    fn fail(&self, index: usize, error: Error) {
        let mut progress = self.progress();
        if progress.failed.as_ref().is_none_or(|(other, _)| index < *other) {
            progress.failed = Some((index, error));
        }
    }

    /// Applies some records; whether the segment has more.
    fn slice(&self, reading: &mut Reading) -> Result<bool> {
        let begin = reading.records.position();
        let (mut applied, mut left_out) = (0, 0);
        let has_more = loop {
            let Some(record) = reading.records.next_with(|record| self.apply(&record)) else {
                break false;
            };
            if record? {
                applied += 1;
            } else {
                left_out += 1;
            }
            if reading.records.position().0 - begin.0 >= SLICE_BYTES {
                break true;
            }
        };
        self.shared.metrics.replayed_records.add(applied);
        self.shared.metrics.replay_skipped.add(left_out);
        let mut progress = self.progress();
        if has_more {
            progress.applied.insert(reading.start, reading.records.position());
        } else {
            progress.applied.insert(reading.start, reading.end);
            let skipped = reading.records.take_skipped();
            progress.skipped.extend(skipped.into_iter().map(|error| (reading.index, error)));
        }
        drop(progress);
        self.tables.values().for_each(|table| {
            table.view.load().active.account();
        });
        if self.shared.memory.is_full() {
            self.is_full.store(true, Ordering::Release);
        }
        Ok(has_more)
    }

    /// Applies what of a record is not covered; whether there was anything.
    fn apply(&self, record: &RecordView<'_>) -> Result<bool> {
        let mut is_applied = false;
        for bytes in &record.mutations {
            let mutation = MutationRef::parse(bytes)?;
            for update in mutation.tables() {
                let update = update?;
                let Some(table) = self.tables.get(&update.table()) else { continue };
                if self.state.covers(table.id, record.start, record.end) {
                    continue;
                }
                let generation = &table.view.load().active;
                generation.memtable.apply(mutation.key(), &update, record.end)?;
                is_applied = true;
            }
        }
        Ok(is_applied)
    }

    /// Puts everything that is applied into SSTables.
    fn flush(&self) -> Result<()> {
        let covered: Vec<_> = self.progress().applied.iter().collect();
        // From here on nothing is applied that lies before the first gap.
        let start = covered.first().filter(|(start, _)| *start == LogPosition::START);
        let start = start.map_or(LogPosition::START, |(_, end)| *end);
        for table in self.tables.values() {
            if table.view.load().active.memtable.is_empty() {
                continue;
            }
            let Some(claim) = Claim::flush(self.shared, table.id) else { continue };
            let change = table.begin_change();
            table.switch(&change, self.shared.new_generation(table.id, start));
            drop(change);
            let mut job = FlushJob::replayed(table.clone(), claim, covered.clone());
            while job.step(self.shared, &mut Budget::UNLIMITED.clone())? != JobStep::Done {}
            table.wants_flush.store(false, Ordering::Release);
        }
        Ok(())
    }
}
