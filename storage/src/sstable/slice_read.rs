//! One slice of a partition, forwards or backwards: which run comes next, and the range
//! deletions that are cut off at the slice's ends.

use helenus_platform::codec::CodecError;

use super::access::{BlockAccess, ReadStop};
use super::cursor::Partition;
use super::format::data_block::Runs;
use super::run::Run;
use super::walk::Walk;
use crate::model::{Deletion, PositionRange, Slice, Unfiltered};

/// How far a slice has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing has been read.
    Start,
    /// A run has been read, and others may follow.
    Reading,
    /// The last run has been read.
    LastRun,
}

/// A slice that is being read.
pub(super) struct SliceRead {
    /// `None` only before the first slice: an empty range would be shared with other threads.
    range: Option<PositionRange>,
    reversed: bool,
    progress: Progress,
    /// What was found first has not been handed out, nor a range deletion that is open there.
    opening: bool,
    /// The range deletion in force where the next item will be.
    open: Deletion,
    run: Run,
    /// Items of `run` that were handed out.
    done: usize,
    /// Which partition of the current block, which of its runs, and which one `run` is.
    partition: usize,
    runs: Runs,
    current: usize,
}

/// What to do next.
pub(super) enum Step {
    /// Hand this out.
    Item(Unfiltered),
    /// Read another run.
    Load,
    /// The slice is at its end.
    End,
}

fn marker(position: &Slice, before: Deletion, after: Deletion) -> Step {
    Step::Item(Unfiltered::Marker { position: position.clone(), before, after })
}

impl SliceRead {
    /// A slice of whatever partition the cursor is in.
    pub(super) fn new() -> SliceRead {
        SliceRead {
            range: None,
            reversed: false,
            progress: Progress::LastRun,
            opening: false,
            open: Deletion::NONE,
            run: Run::default(),
            done: 0,
            partition: 0,
            runs: Runs::default(),
            current: 0,
        }
    }

    /// Begins a new slice; the buffers of the old one are kept.
    pub(super) fn begin(&mut self, range: &PositionRange, reversed: bool) {
        self.end();
        if !range.is_empty() {
            self.range = Some(range.clone());
            self.reversed = reversed;
            self.progress = Progress::Start;
            self.opening = true;
        }
    }

    /// Ends the slice without handing out anything more.
    pub(super) fn end(&mut self) {
        self.progress = Progress::LastRun;
        self.opening = false;
        self.open = Deletion::NONE;
        self.done = self.run.len();
    }

    /// The next item of the run that is loaded, or what is needed instead.
    #[inline]
    pub(super) fn step(&mut self) -> Step {
        let Some(range) = &self.range else {
            return Step::End;
        };
        loop {
            if self.progress == Progress::Start {
                return Step::Load;
            }
            let left = self.run.len() - self.done;
            if left == 0 && self.progress == Progress::Reading {
                return Step::Load;
            }
            if self.opening {
                self.opening = false;
                // A marker at the very start is cut down to what it says about the slice.
                if !self.reversed
                    && let Some(Unfiltered::Marker { position, after, .. }) =
                        self.run.item(self.done).filter(|_| left > 0)
                    && position == range.start
                {
                    self.open = after;
                    self.done += 1;
                }
                match (self.open.is_none(), self.reversed) {
                    (true, _) => continue,
                    (false, false) => return marker(&range.start, Deletion::NONE, self.open),
                    (false, true) => return marker(&range.end, self.open, Deletion::NONE),
                }
            }
            let index = if self.reversed { left.wrapping_sub(1) } else { self.done };
            let Some(item) = self.run.item(index).filter(|_| left > 0) else {
                let open = std::mem::take(&mut self.open);
                return match (open.is_none(), self.reversed) {
                    (true, _) => Step::End,
                    (false, false) => marker(&range.end, open, Deletion::NONE),
                    (false, true) => marker(&range.start, Deletion::NONE, open),
                };
            };
            self.done += 1;
            if let Unfiltered::Marker { position, before, after } = &item {
                if self.reversed && *position == range.start {
                    // Becomes a part of the marker that closes the slice.
                    continue;
                }
                self.open = if self.reversed { *before } else { *after };
            }
            return Step::Item(item);
        }
    }

    /// Reads the first or the next run. Changes nothing if it is stopped for a missing block.
    pub(super) fn load(
        &mut self,
        walk: &mut Walk,
        own: &mut Partition,
        access: &dyn BlockAccess,
    ) -> Result<(), ReadStop> {
        // Taken out for as long as the rest of the slice changes; a clone would count references.
        let Some(range) = self.range.take() else {
            return Ok(());
        };
        let loaded = match self.progress {
            Progress::Start => self.load_first(walk, own, access, &range),
            _ => self.load_next(walk, own, access, &range),
        };
        self.range = Some(range);
        loaded
    }

    fn load_first(
        &mut self,
        walk: &mut Walk,
        own: &mut Partition,
        access: &dyn BlockAccess,
        range: &PositionRange,
    ) -> Result<(), ReadStop> {
        let edge = if self.reversed { &range.end } else { &range.start };
        if !own.is_whole_in(walk) {
            walk.seek(access, own.target(edge))?;
        }
        self.enter_block(walk, own)?;
        if self.runs.count() == 0 {
            // The head of the partition stands alone at the end of a block.
            self.progress = if self.reversed { Progress::LastRun } else { Progress::Reading };
            return Ok(());
        }
        let first = in_block(walk, |data| data.find_run(&self.runs, edge))?;
        self.read_run(walk, first, range)
    }

    fn load_next(
        &mut self,
        walk: &mut Walk,
        own: &mut Partition,
        access: &dyn BlockAccess,
        range: &PositionRange,
    ) -> Result<(), ReadStop> {
        let next = match self.reversed {
            false => Some(self.current + 1).filter(|next| *next < self.runs.count()),
            true => self.current.checked_sub(1),
        };
        if let Some(next) = next {
            return self.read_run(walk, next, range);
        }
        if !self.goes_on(walk, own, range)? || !walk.step(access, !self.reversed)? {
            self.progress = Progress::LastRun;
            return Ok(());
        }
        self.enter_block(walk, own)?;
        match self.runs.count() {
            0 => {
                self.progress = Progress::LastRun;
                Ok(())
            }
            count => self.read_run(walk, if self.reversed { count - 1 } else { 0 }, range),
        }
    }

    /// Whether the neighbouring block can hold something of the slice.
    fn goes_on(
        &self,
        walk: &mut Walk,
        own: &mut Partition,
        range: &PositionRange,
    ) -> Result<bool, ReadStop> {
        let continued = in_block(walk, |data| match self.reversed {
            false => Ok(self.partition + 1 == data.partitions() && data.continues()),
            true => Ok(self.partition == 0 && data.partition(0)?.continued),
        })?;
        if !continued {
            return Ok(false);
        }
        match self.reversed {
            false => Ok(walk.compare_next(own.target(&range.end))?.is_lt()),
            true => Ok(walk.compare_start(own.target(&range.start))?.is_gt()),
        }
    }

    /// Finds the partition in the block that the walk stands at.
    fn enter_block(&mut self, walk: &Walk, own: &Partition) -> Result<(), ReadStop> {
        (self.partition, self.runs) = in_block(walk, |data| {
            let (partition, body) = match own.known_place(walk) {
                Some(place) => place,
                None => {
                    let what = "partition that the index says is here";
                    let found = data.find(own.key().token, &own.key().key)?;
                    let partition = found.ok_or(CodecError { offset: 0, what })?;
                    (partition, data.partition(partition)?.body)
                }
            };
            Ok((partition, data.runs(partition, body)?))
        })?;
        Ok(())
    }

    fn read_run(&mut self, walk: &Walk, run: usize, range: &PositionRange) -> Result<(), ReadStop> {
        self.done = 0;
        let edges = in_block(walk, |data| {
            let entries = data.run(&self.runs, run)?;
            self.run.decode(data, entries, range)
        });
        // Whoever calls again after an error must not be given half a run.
        let edges = edges.inspect_err(|_| self.end())?;
        self.current = run;
        if self.opening {
            self.open = if self.reversed { edges.above } else { edges.below };
        }
        let reached = if self.reversed { edges.reaches_below } else { edges.reaches_above };
        self.progress = if reached { Progress::LastRun } else { Progress::Reading };
        Ok(())
    }
}

/// Reads from the data block that the walk stands at.
pub(super) fn in_block<T>(
    walk: &Walk,
    read: impl FnOnce(&super::format::data_block::DataBlock) -> Result<T, CodecError>,
) -> Result<T, ReadStop> {
    let Some(place) = &walk.at else {
        return Err(crate::error::Error::corrupt("SSTable without blocks").into());
    };
    place.data.data().and_then(read).map_err(|e| walk.error(place.name, e))
}
