//! A decoded run of a partition: at most 16 rows and markers, with whole positions.

use std::ops::Range;

use helenus_platform::codec::CodecError;

use super::format::data_block::{DataBlock, EntryBody};
use crate::model::{Deletion, PositionRange, Slice, Unfiltered};

/// The rows and markers of a run that lie in a range.
#[derive(Default)]
pub(super) struct Run {
    /// The first item stands apart: a read of one row then needs no memory of its own.
    first: Option<Item>,
    others: Vec<Item>,
    /// What the positions and rows are parts of.
    block: Option<Slice>,
    /// Positions that had to be put together, one behind the other; shared by all of the run.
    joined: Option<Slice>,
    /// Reused between runs: joined positions, and the one that was read last.
    arena: Vec<u8>,
    current: Vec<u8>,
}

struct Item {
    position: Stored,
    body: EntryBody,
}

/// Where a whole position stands.
enum Stored {
    InBlock(Range<usize>),
    Joined(Range<usize>),
}

/// What is known about the surroundings of a run's items.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Edges {
    /// The range deletion in force just below the first item in the range.
    pub below: Deletion,
    /// The range deletion in force just above the last item in the range.
    pub above: Deletion,
    /// The run has entries below the range.
    pub reaches_below: bool,
    /// The run has entries behind the range.
    pub reaches_above: bool,
}

impl Run {
    /// Replaces the items by those of the run at `entries` that lie in `wanted`.
    pub(super) fn decode(
        &mut self,
        block: &DataBlock,
        entries: Range<usize>,
        wanted: &PositionRange,
    ) -> Result<Edges, CodecError> {
        self.first = None;
        self.others.clear();
        self.arena.clear();
        let mut at = entries.start;
        let mut edges = Edges::default();
        while at < entries.end {
            let entry = block.entry(at, entries.end)?;
            let rest = block.bytes(entry.rest.clone());
            let is_first = at == entries.start;
            if entry.run_start != is_first || entry.shared > self.current.len() {
                return Err(CodecError { offset: at, what: "entry of a run" });
            }
            if is_first {
                (edges.below, edges.above) = (entry.open, entry.open);
            }
            at = entry.next;
            // Only if another entry may need it, or if this one is not whole in the block.
            if at < entries.end || !is_first {
                self.current.truncate(entry.shared);
                self.current.extend_from_slice(rest);
            }
            let position = if is_first { rest } else { &self.current };
            let below = position < wanted.start.as_bytes();
            if !below && position >= wanted.end.as_bytes() {
                edges.reaches_above = true;
                break;
            }
            if let EntryBody::Marker { after, .. } = &entry.body {
                edges.above = *after;
            }
            if below {
                edges.below = edges.above;
                edges.reaches_below = true;
                continue;
            }
            let position = if entry.shared == 0 {
                Stored::InBlock(entry.rest)
            } else {
                let start = self.arena.len();
                self.arena.extend_from_slice(position);
                Stored::Joined(start..self.arena.len())
            };
            let item = Item { position, body: entry.body };
            match self.first {
                None => self.first = Some(item),
                Some(_) => self.others.push(item),
            }
        }
        self.block = Some(block.content().clone());
        if !self.arena.is_empty() {
            self.joined = Some(Slice::copy(&self.arena));
        }
        Ok(edges)
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    /// An item; its bytes are shared, not copied.
    pub(super) fn item(&self, index: usize) -> Option<Unfiltered> {
        let item = match index.checked_sub(1) {
            None => self.first.as_ref()?,
            Some(index) => self.others.get(index)?,
        };
        let block = self.block.as_ref()?;
        let position = match &item.position {
            Stored::InBlock(range) => block.sub(range.clone()),
            Stored::Joined(range) => self.joined.as_ref()?.sub(range.clone()),
        };
        Some(match &item.body {
            EntryBody::Row(row) => Unfiltered::Row { position, row: block.sub(row.clone()) },
            EntryBody::Marker { before, after } => {
                Unfiltered::Marker { position, before: *before, after: *after }
            }
        })
    }
}
