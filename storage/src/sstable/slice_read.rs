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
    range: PositionRange,
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
        let nowhere = PositionRange::new(Slice::default(), Slice::default());
        SliceRead {
            range: nowhere,
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
            self.range = range.clone();
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
                if let Some(step) = self.open_edge(left) {
                    return step;
                }
                continue;
            }
            let index = if self.reversed { left.wrapping_sub(1) } else { self.done };
            let Some(item) = self.run.item(index).filter(|_| left > 0) else {
                return self.close_edge();
            };
            self.done += 1;
            if let Unfiltered::Marker { position, before, after } = &item {
                if self.reversed && *position == self.range.start {
                    // Becomes a part of the marker that closes the slice.
                    continue;
                }
                self.open = if self.reversed { *before } else { *after };
            }
            return Step::Item(item);
        }
    }

    /// The marker of a range deletion that is open where the slice begins.
    fn open_edge(&mut self, left: usize) -> Option<Step> {
        if self.reversed {
            let open = self.open;
            return (!open.is_none()).then(|| marker(&self.range.end, open, Deletion::NONE));
        }
        // A marker at the very start is cut down to what it says about the slice.
        if let Some(Unfiltered::Marker { position, after, .. }) =
            self.run.item(self.done).filter(|_| left > 0)
            && position == self.range.start
        {
            self.open = after;
            self.done += 1;
        }
        let open = self.open;
        (!open.is_none()).then(|| marker(&self.range.start, Deletion::NONE, open))
    }

    /// The marker of a range deletion that is open where the slice ends.
    fn close_edge(&mut self) -> Step {
        let open = std::mem::take(&mut self.open);
        match (open.is_none(), self.reversed) {
            (true, _) => Step::End,
            (false, false) => marker(&self.range.end, open, Deletion::NONE),
            (false, true) => marker(&self.range.start, Deletion::NONE, open),
        }
    }

    /// The end of the range at which reading begins.
    fn edge(&self) -> &Slice {
        if self.reversed { &self.range.end } else { &self.range.start }
    }

    /// Reads the first or the next run. Changes nothing if it is stopped for a missing block.
    pub(super) fn load(
        &mut self,
        walk: &mut Walk,
        own: &mut Partition,
        access: &dyn BlockAccess,
    ) -> Result<(), ReadStop> {
        if self.progress == Progress::Start {
            if !own.is_whole_in(walk) {
                walk.seek(access, own.target(self.edge()))?;
            }
            self.enter_block(walk, own)?;
            let found = in_block(walk, |data| data.find_run(&self.runs, self.edge()))?;
            self.progress = Progress::Reading;
            if self.runs.count() == 0 {
                // The head of the partition stands alone at the end of a block.
                self.progress = if self.reversed { Progress::LastRun } else { Progress::Reading };
                return Ok(());
            }
            return self.read_run(walk, found);
        }
        let inside = match self.reversed {
            false => self.current + 1 < self.runs.count(),
            true => self.current > 0,
        };
        if inside {
            let next = if self.reversed { self.current - 1 } else { self.current + 1 };
            return self.read_run(walk, next);
        }
        if !self.goes_on(walk, own)? || !walk.step(access, !self.reversed)? {
            self.progress = Progress::LastRun;
            return Ok(());
        }
        self.enter_block(walk, own)?;
        match self.runs.count() {
            0 => {
                self.progress = Progress::LastRun;
                Ok(())
            }
            count => self.read_run(walk, if self.reversed { count - 1 } else { 0 }),
        }
    }

    /// Whether the neighbouring block can hold something of the slice.
    fn goes_on(&self, walk: &mut Walk, own: &mut Partition) -> Result<bool, ReadStop> {
        let continued = in_block(walk, |data| match self.reversed {
            false => Ok(self.partition + 1 == data.partitions() && data.continues()),
            true => Ok(self.partition == 0 && data.partition(0)?.continued),
        })?;
        if !continued {
            return Ok(false);
        }
        match self.reversed {
            false => Ok(walk.compare_next(own.target(&self.range.end))?.is_lt()),
            true => Ok(walk.compare_start(own.target(&self.range.start))?.is_gt()),
        }
    }

    /// Finds the partition in the block that the walk stands at.
    fn enter_block(&mut self, walk: &Walk, own: &Partition) -> Result<(), ReadStop> {
        (self.partition, self.runs) = in_block(walk, |data| {
            let partition = match own.known_place(walk) {
                Some(partition) => Some(partition),
                None => data.find(own.token(), &own.key().key)?,
            };
            let what = "partition that the index says is here";
            let partition = partition.ok_or(CodecError { offset: 0, what })?;
            Ok((partition, data.runs(partition, data.partition(partition)?.body)?))
        })?;
        Ok(())
    }

    fn read_run(&mut self, walk: &Walk, run: usize) -> Result<(), ReadStop> {
        self.done = 0;
        let edges = in_block(walk, |data| {
            let entries = data.run(&self.runs, run)?;
            self.run.decode(data, entries, &self.range)
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
