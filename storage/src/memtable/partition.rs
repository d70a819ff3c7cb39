//! A snapshot of a partition, and iteration over it.

use std::iter::Peekable;

use crate::error::Result;
use crate::memtable::row::RowEntry;
use crate::memtable::slot::Slot;
use crate::model::tree::TreeIter;
use crate::model::{
    Deletion, LogPosition, Markers, PartitionHead, PartitionKey, PositionRange, Slice, Token,
    Unfiltered,
};

/// A partition as it was at one moment; later writes do not show.
#[derive(Clone, Debug)]
pub struct MemPartition {
    token: Token,
    pub(super) slot: Slot,
}

impl MemPartition {
    pub(super) fn new(token: Token, slot: Slot) -> MemPartition {
        MemPartition { token, slot }
    }

    /// Its key.
    pub fn key(&self) -> PartitionKey {
        let key = match &self.slot {
            Slot::Packed(packed) => packed.slices().0,
            Slot::Wide(wide) => wide.key.clone(),
        };
        PartitionKey { token: self.token, key }
    }

    /// Key, partition deletion and static row.
    pub fn head(&self) -> Result<PartitionHead> {
        let (deletion, static_row) = match &self.slot {
            Slot::Packed(_) => (Deletion::NONE, None),
            Slot::Wide(wide) => {
                let row = wide.static_row.as_ref().map(RowEntry::row).transpose()?;
                (wide.deletion, row)
            }
        };
        Ok(PartitionHead { key: self.key(), deletion, static_row })
    }

    /// The log position of its newest write.
    pub fn newest(&self) -> LogPosition {
        match &self.slot {
            Slot::Packed(packed) => packed.newest(),
            Slot::Wide(wide) => wide.newest,
        }
    }

    /// The rows and range deletions inside `range`, in either direction; see [`Unfiltered`] for
    /// how range deletions are clipped.
    pub fn iter(&self, range: &PositionRange, reversed: bool) -> MemIter {
        MemIter(match &self.slot {
            Slot::Packed(packed) => {
                let (_, position, row) = packed.slices();
                let inside = range.contains(&position);
                Inner::Packed(inside.then_some((position, row)))
            }
            Slot::Wide(wide) => {
                let rows = wide.rows.range(range.start.clone(), range.end.clone(), reversed);
                let markers = wide.ranges.markers(range, reversed);
                let both = Both { reversed, rows: rows.peekable(), markers: markers.peekable() };
                Inner::Wide(Box::new(both))
            }
        })
    }
}

/// Iterates over a partition's snapshot; see [`MemPartition::iter`].
#[derive(Debug)]
pub struct MemIter(Inner);

#[derive(Debug)]
enum Inner {
    Packed(Option<(Slice, Slice)>),
    Wide(Box<Both>),
}

#[derive(Debug)]
struct Both {
    reversed: bool,
    rows: Peekable<TreeIter<RowEntry>>,
    markers: Peekable<Markers>,
}

impl Iterator for MemIter {
    type Item = Result<Unfiltered>;

    fn next(&mut self) -> Option<Result<Unfiltered>> {
        match &mut self.0 {
            Inner::Packed(only) => {
                let (position, row) = only.take()?;
                Some(Ok(Unfiltered::Row { position, row }))
            }
            Inner::Wide(both) => both.next(),
        }
    }
}

impl Both {
    fn next(&mut self) -> Option<Result<Unfiltered>> {
        let marker_first = match (self.rows.peek(), self.markers.peek()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(row), Some(marker)) => {
                let (row, marker) = (row.position(), marker.position().as_bytes());
                if self.reversed { marker > row } else { marker <= row }
            }
        };
        if marker_first {
            return self.markers.next().map(Ok);
        }
        let entry = self.rows.next()?;
        let position = entry.position_slice();
        Some(entry.row().map(|row| Unfiltered::Row { position, row }))
    }
}
