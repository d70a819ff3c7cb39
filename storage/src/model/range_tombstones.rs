//! The range deletions of a partition, normalised: disjoint ranges in order, each with the newest
//! deletion that covers it, neighbours of one deletion joined.

use crate::model::tree::{Item, Tree, TreeIter};
use crate::model::{Deletion, PositionRange, Slice, Unfiltered, memory};

#[cfg(test)]
mod tests;

/// A normalised set of range deletions; a clone is a snapshot and costs nothing.
#[derive(Clone, Debug, Default)]
pub struct RangeTombstones {
    tree: Tree<Piece>,
    /// Of the positions that the pieces point to.
    heap: usize,
}

/// One range with its deletion; ordered by where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    start: Slice,
    end: Slice,
    deletion: Deletion,
}

impl Item for Piece {
    fn key(&self) -> &[u8] {
        &self.start
    }
}

impl RangeTombstones {
    /// A set without ranges.
    pub fn new() -> RangeTombstones {
        RangeTombstones::default()
    }

    /// Number of disjoint ranges.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there are no ranges.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Bytes of heap that the set takes.
    pub fn heap(&self) -> usize {
        self.tree.heap() + self.heap
    }

    /// The deletion in force at this position, or `Deletion::NONE`.
    pub fn covering(&self, position: &[u8]) -> Deletion {
        match self.tree.floor(position) {
            Some(piece) if position < piece.end.as_bytes() => piece.deletion,
            _ => Deletion::NONE,
        }
    }

    /// Adds a range; where ranges overlap the newest deletion counts.
    pub fn add(&mut self, range: &PositionRange, deletion: Deletion) {
        if range.is_empty() || deletion.is_none() {
            return;
        }
        let touching = self.touching(range);
        let mut pieces = Joined::default();
        // Everything before `done` is in `pieces`.
        let mut done = range.start.clone();
        for piece in &touching {
            let (start, end) = (&piece.start, &piece.end);
            pieces.push(start, end.min(&range.start), piece.deletion);
            let gap_end = start.min(&range.end);
            if done < *gap_end {
                pieces.push(&done, gap_end, deletion);
                done = gap_end.clone();
            }
            let shared_end = end.min(&range.end);
            if done < *shared_end {
                pieces.push(&done, shared_end, piece.deletion.newer(deletion));
                done = shared_end.clone();
            }
            pieces.push(start.max(&range.end), end, piece.deletion);
        }
        pieces.push(&done, &range.end, deletion);
        self.replace(&touching, pieces.0);
    }

    /// The ranges that overlap this one or adjoin it.
    fn touching(&self, range: &PositionRange) -> Vec<Piece> {
        // Not the one that starts at `range.start`: there may be one that ends there.
        let first = match self.tree.below(&range.start) {
            Some(piece) if piece.end >= range.start => piece.start.clone(),
            _ => range.start.clone(),
        };
        let mut behind = range.end.to_vec();
        behind.push(0);
        self.tree.range(first, Slice::from(behind), false).collect()
    }

    fn replace(&mut self, old: &[Piece], new: Vec<Piece>) {
        let heap =
            |piece: &Piece| memory::shared(piece.start.len()) + memory::shared(piece.end.len());
        for piece in old {
            self.tree.remove(&piece.start);
            self.heap -= heap(piece);
        }
        for piece in new {
            self.heap += heap(&piece);
            self.tree.insert(piece);
        }
    }

    /// The changes of the deletion in force inside `range`, in either direction, clipped to it;
    /// see [`Unfiltered`].
    pub fn markers(&self, range: &PositionRange, reversed: bool) -> Markers {
        let start = match self.tree.floor(&range.start) {
            Some(piece) if piece.end > range.start => piece.start.clone(),
            _ => range.start.clone(),
        };
        let pieces = self.tree.range(start, range.end.clone(), reversed);
        let mut markers =
            Markers { range: range.clone(), reversed, pieces, open: None, next: None };
        if !range.is_empty() {
            markers.next = markers.next_piece();
        }
        markers
    }
}

/// Pieces in order, neighbours of one deletion joined.
#[derive(Default)]
struct Joined(Vec<Piece>);

impl Joined {
    fn push(&mut self, start: &Slice, end: &Slice, deletion: Deletion) {
        if start >= end {
            return;
        }
        if let Some(last) = self.0.last_mut()
            && last.end == *start
            && last.deletion == deletion
        {
            last.end = end.clone();
            return;
        }
        self.0.push(Piece { start: start.clone(), end: end.clone(), deletion });
    }
}

/// Iterates over markers; see [`RangeTombstones::markers`].
#[derive(Clone, Debug)]
pub struct Markers {
    range: PositionRange,
    reversed: bool,
    pieces: TreeIter<Piece>,
    /// The range that iteration is in: where it will be left, and its deletion.
    open: Option<(Slice, Deletion)>,
    next: Option<Piece>,
}

impl Markers {
    /// The next range, clipped.
    fn next_piece(&mut self) -> Option<Piece> {
        let mut piece = self.pieces.next()?;
        if piece.start < self.range.start {
            piece.start = self.range.start.clone();
        }
        if piece.end > self.range.end {
            piece.end = self.range.end.clone();
        }
        (piece.start < piece.end).then_some(piece)
    }

    /// Takes the next range if iteration enters it at `left`, where it leaves the one before, or
    /// anywhere if it is in none.
    fn enter(&mut self, left: Option<&Slice>) -> Option<(Slice, Deletion)> {
        let next = self.next.as_ref()?;
        let (enter, leave) =
            if self.reversed { (&next.end, &next.start) } else { (&next.start, &next.end) };
        if left.is_some_and(|left| left != enter) {
            return None;
        }
        let (enter, deletion) = (enter.clone(), next.deletion);
        self.open = Some((leave.clone(), deletion));
        self.next = self.next_piece();
        Some((enter, deletion))
    }
}

impl Iterator for Markers {
    type Item = Unfiltered;

    fn next(&mut self) -> Option<Unfiltered> {
        let (position, from, to) = match self.open.take() {
            None => {
                let (entered, deletion) = self.enter(None)?;
                (entered, Deletion::NONE, deletion)
            }
            Some((left, deletion)) => {
                let to = self.enter(Some(&left)).map_or(Deletion::NONE, |(_, deletion)| deletion);
                (left, deletion, to)
            }
        };
        let (before, after) = if self.reversed { (to, from) } else { (from, to) };
        Some(Unfiltered::Marker { position, before, after })
    }
}
