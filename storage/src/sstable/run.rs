//! A decoded run of a partition: at most 16 rows and markers, with whole positions.

use std::ops::Range;

use helenus_platform::codec::CodecError;

use super::format::data_block::{DataBlock, EntryBody};
use crate::model::{Deletion, PositionRange, Slice, Unfiltered};

/// The rows and markers of a run that lie in a range.
#[derive(Default)]
pub(super) struct Run {
    items: Vec<Item>,
    /// What the positions and rows are parts of.
    block: Slice,
    /// Positions that had to be put together, one behind the other; shared by all of the run.
    joined: Slice,
    /// Reused between runs.
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
#[derive(Debug, Clone, Copy)]
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
        self.items.clear();
        self.arena.clear();
        self.current.clear();
        let mut at = entries.start;
        let mut open = Deletion::NONE;
        let mut edges =
            Edges { below: open, above: open, reaches_below: false, reaches_above: false };
        while at < entries.end {
            let entry = block.entry(at, entries.end)?;
            let first = at == entries.start;
            if entry.run_start != first || entry.shared > self.current.len() {
                return Err(CodecError { offset: at, what: "entry of a run" });
            }
            if first {
                open = entry.open;
                edges.below = open;
            }
            self.current.truncate(entry.shared);
            self.current.extend_from_slice(block.bytes(entry.rest.clone()));
            at = entry.next;
            let after = match &entry.body {
                EntryBody::Row(_) => open,
                EntryBody::Marker { after, .. } => *after,
            };
            if self.current.as_slice() < wanted.start.as_bytes() {
                open = after;
                edges.below = after;
                edges.reaches_below = true;
                continue;
            }
            if self.current.as_slice() >= wanted.end.as_bytes() {
                edges.reaches_above = true;
                break;
            }
            let position = if entry.shared == 0 {
                Stored::InBlock(entry.rest)
            } else {
                let start = self.arena.len();
                self.arena.extend_from_slice(&self.current);
                Stored::Joined(start..self.arena.len())
            };
            self.items.push(Item { position, body: entry.body });
            open = after;
        }
        edges.above = open;
        self.block = block.content().clone();
        if !self.arena.is_empty() {
            self.joined = Slice::copy(&self.arena);
        }
        Ok(edges)
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// An item; its bytes are shared, not copied.
    pub(super) fn item(&self, index: usize) -> Option<Unfiltered> {
        let item = self.items.get(index)?;
        let position = match &item.position {
            Stored::InBlock(range) => self.block.sub(range.clone()),
            Stored::Joined(range) => self.joined.sub(range.clone()),
        };
        Some(match &item.body {
            EntryBody::Row(row) => Unfiltered::Row { position, row: self.block.sub(row.clone()) },
            EntryBody::Marker { before, after } => {
                Unfiltered::Marker { position, before: *before, after: *after }
            }
        })
    }
}
