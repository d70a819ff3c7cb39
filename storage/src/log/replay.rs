//! Reading back what earlier runs wrote. Segments are independent of one another: they can be
//! replayed in parallel, and each in order.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::path::Path;
use std::sync::Arc;

use super::chain::{MISCOUNTED, Step, find_header, load, step};
use super::format::{RecordRef, SEGMENT_HEADER_BYTES};
use super::ledger::{Dirty, Ledger, Sealed, touch};
use super::options::LogOptions;
use super::recovery::Kept;
use super::segment::Segment;
use crate::error::{Error, Place, Result};
use crate::model::{LogPosition, Slice, TableId};

/// One record, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Log position of the record's first byte.
    pub start: LogPosition,
    /// Log position behind its last byte.
    pub end: LogPosition,
    /// The tables it touches.
    pub tables: Vec<TableId>,
    /// Its mutations.
    pub mutations: Vec<Slice>,
}

/// One record where it stands in its segment.
#[derive(Debug)]
pub struct RecordView<'a> {
    /// Log position of the record's first byte.
    pub start: LogPosition,
    /// Log position behind its last byte.
    pub end: LogPosition,
    /// The tables it touches.
    pub tables: Vec<TableId>,
    /// Its mutations.
    pub mutations: Vec<&'a [u8]>,
}

/// What earlier runs left in the log.
pub struct Replay {
    segments: Vec<ReplaySegment>,
    skipped: Vec<Error>,
}

impl Replay {
    pub(crate) fn new(
        kept: Vec<Kept>,
        skipped: Vec<Error>,
        options: &LogOptions,
        ledger: &Arc<Ledger>,
    ) -> Self {
        let register = |Kept { segment, end }| {
            ledger.push(Sealed {
                base: segment.base(),
                previous: segment.previous(),
                path: segment.path.clone(),
                end,
                dirty: None,
                damaged: false,
            });
            let ledger = ledger.clone();
            ReplaySegment { segment, end, skip_corrupt: options.skip_corrupt, ledger }
        };
        Replay { segments: kept.into_iter().map(register).collect(), skipped }
    }

    /// The segments, oldest first, to be read in any order. One that is not read to its end
    /// stays in the log until a later start does.
    #[must_use]
    pub fn into_segments(self) -> Vec<ReplaySegment> {
        self.segments
    }

    /// The segments as [`Replay::into_segments`] gives them, and the damage that was passed over
    /// when the log was opened.
    pub(crate) fn into_parts(self) -> (Vec<ReplaySegment>, Vec<Error>) {
        (self.segments, self.skipped)
    }

    /// Whether there is nothing to replay.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Damage that was passed over when the log was opened; more may be met while reading.
    #[must_use]
    pub fn skipped(&self) -> &[Error] {
        &self.skipped
    }

    /// Hands every record to `apply`, in order; returns how many there were.
    pub fn for_each(self, mut apply: impl FnMut(LogRecord) -> Result<()>) -> Result<u64> {
        let mut count = 0;
        for segment in self.segments {
            for record in segment.records()? {
                apply(record?)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// One segment of an earlier run.
pub struct ReplaySegment {
    segment: Arc<Segment>,
    end: u64,
    skip_corrupt: bool,
    ledger: Arc<Ledger>,
}

impl ReplaySegment {
    /// Log position at which the segment begins.
    #[must_use]
    pub fn base(&self) -> LogPosition {
        LogPosition(self.segment.base())
    }

    /// Bytes of log in it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end - self.segment.base()
    }

    /// The segment's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.segment.path
    }

    /// Reads the segment into memory. Its records are checked one by one as they are asked for.
    pub fn records(self) -> Result<Records> {
        self.read(Vec::new())
    }

    /// As [`ReplaySegment::records`], into memory that was used before.
    pub(crate) fn read(self, buffer: Vec<u8>) -> Result<Records> {
        let mut block = buffer;
        load(&self.segment, &mut block)?;
        let offset = SEGMENT_HEADER_BYTES;
        Ok(Records {
            segment: self.segment,
            end: self.end,
            skip_corrupt: self.skip_corrupt,
            ledger: self.ledger,
            block,
            offset,
            group_end: offset,
            group_left: 0,
            dirty: Dirty::new(),
            skipped: Vec::new(),
            done: false,
        })
    }
}

/// The records of one segment, in order.
///
/// After an error there are no more, unless the log was opened to skip damage: then there are no
/// errors, and [`Records::skipped`] tells of them.
pub struct Records {
    segment: Arc<Segment>,
    end: u64,
    skip_corrupt: bool,
    ledger: Arc<Ledger>,
    block: Vec<u8>,
    /// Where the next record or group header stands.
    offset: usize,
    group_end: usize,
    /// Records of the current group that are still to come.
    group_left: u32,
    dirty: Dirty,
    skipped: Vec<Error>,
    done: bool,
}

impl Records {
    /// Damage that was passed over so far.
    #[must_use]
    pub fn skipped(&self) -> &[Error] {
        &self.skipped
    }

    pub(crate) fn take_skipped(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.skipped)
    }

    /// The memory in which the segment stood.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.block
    }

    /// Every record before this log position has been handed out.
    pub(crate) fn position(&self) -> LogPosition {
        LogPosition(self.log_position(self.offset))
    }

    /// Lets `visit` look at the next record. An error that it returns is placed at the record, if
    /// it has no place in a file of its own.
    pub(crate) fn next_with<T>(
        &mut self,
        mut visit: impl FnMut(RecordView<'_>) -> Result<T>,
    ) -> Option<Result<T>> {
        while !self.done {
            let moved = if self.offset < self.group_end {
                self.next_record(&mut visit)
            } else if self.group_left > 0 {
                self.group_left = 0;
                self.damaged(MISCOUNTED).map(|()| None)
            } else {
                self.next_group().map(|()| None)
            };
            match moved {
                Ok(Some(record)) => return Some(Ok(record)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    fn log_position(&self, offset: usize) -> u64 {
        self.segment.base() + offset as u64
    }

    /// The segment has been read to its end: from now on it may be recycled.
    fn finish(&mut self) {
        self.done = true;
        let dirty = std::mem::take(&mut self.dirty);
        self.ledger.replayed(self.segment.base(), dirty, !self.skipped.is_empty());
    }

    /// Moves into the next group, or ends.
    fn next_group(&mut self) -> Result<()> {
        if self.log_position(self.offset) >= self.end {
            self.finish();
            return Ok(());
        }
        match step(&self.segment.header, self.segment.salt, &self.block, self.offset) {
            Step::Group { header, records, end } => {
                self.offset = records;
                self.group_end = end;
                self.group_left = header.records;
            }
            Step::Seal { .. } => self.finish(),
            Step::Nothing(what) => {
                self.damaged(what)?;
                let (header, salt) = (&self.segment.header, self.segment.salt);
                match find_header(header, salt, &self.block, self.offset + 1) {
                    Some((at, _)) => {
                        self.offset = at;
                        self.group_end = at;
                    }
                    None => self.finish(),
                }
            }
        }
        Ok(())
    }

    /// Notes damage at the current offset, or ends with it.
    fn damaged(&mut self, what: &'static str) -> Result<()> {
        let error = self.segment.corrupt(what, self.log_position(self.offset));
        if self.skip_corrupt {
            self.skipped.push(error);
            return Ok(());
        }
        self.done = true;
        Err(error)
    }

    fn next_record<T>(
        &mut self,
        visit: &mut impl FnMut(RecordView<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let start = self.log_position(self.offset);
        let group = self.block.get(self.offset..self.group_end).unwrap_or_default();
        let decoded = match RecordRef::decode(group, self.segment.salt, start) {
            Ok(_) if self.group_left == 0 => Err(MISCOUNTED),
            decoded => decoded,
        };
        let record = match decoded {
            Ok(record) => record,
            Err(what) => {
                self.damaged(what)?;
                // Its length cannot be trusted; the group's can.
                self.offset = self.group_end;
                self.group_left = 0;
                return Ok(None);
            }
        };
        let RecordRef { tables, mutations, size } = record;
        let end = start + size as u64;
        touch(&mut self.dirty, &tables, start, end);
        let (start, end) = (LogPosition(start), LogPosition(end));
        let visited = visit(RecordView { start, end, tables, mutations });
        let visited = visited.map_err(|error| match error.place() {
            Place::File { .. } => error,
            _ => error.at_file(&self.segment.path, Some(self.offset as u64)),
        });
        self.offset += size;
        self.group_left -= 1;
        visited.map(Some)
    }
}

impl Iterator for Records {
    type Item = Result<LogRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(|RecordView { start, end, tables, mutations }| {
            let mutations = mutations.into_iter().map(Slice::copy).collect();
            Ok(LogRecord { start, end, tables, mutations })
        })
    }
}
