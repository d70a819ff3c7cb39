//! Merges what several sources hold of one partition into one canonical sequence.
//!
//! Sources yield rows and range-deletion markers in position order, ascending or descending. Out
//! come rows, each once, with the newest deletion above it, and markers wherever the newest range
//! deletion in force changes. What a partition deletion hides of range deletions is left out;
//! what deletions hide of a row is left to the row's consumer, who walks its cells anyway.
//!
//! `order` holds the sources that have a head, sorted so that the next one stands last. A source
//! that advanced is put back by insertion from that end: one comparison while a source keeps
//! being the next, which is how runs of an LSM tree mostly look.

use std::cmp::Ordering;

use super::source::{Access, Fill, Source};
use crate::error::Result;
use crate::model::{Deletion, RowRef, Slice, Unfiltered, merge_rows};

/// What a step of a merge found; `Row` and `Marker` are looked at through the merge's accessors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Row,
    Marker,
    /// Nothing is left in the range.
    End,
    /// Blocks are missing: see the `Missing` that was passed in.
    Missing,
}

/// The merge of several sources inside one partition and one range.
#[derive(Default)]
pub(crate) struct Merge {
    reversed: bool,
    /// The partition's deletion.
    partition: Deletion,
    /// Newest range deletion in force after the last marker, as far as `partition` shows it.
    open: Deletion,
    /// The same before the last marker.
    before: Deletion,
    /// The sources that take part.
    participants: Vec<usize>,
    /// Those without a known head.
    unfilled: Vec<usize>,
    order: Vec<usize>,
    /// Sources whose head is the current row.
    group: Vec<usize>,
    position: Slice,
    row: Slice,
    /// The merged row, if more than one source had it.
    merged: Vec<u8>,
    is_merged: bool,
}

impl Merge {
    /// Says under which partition deletion the ranges to come stand.
    pub(crate) fn set_partition_deletion(&mut self, deletion: Deletion) {
        self.partition = deletion;
    }

    /// Begins a range over `participants`, each of which has just been told the range.
    pub(crate) fn begin(&mut self, participants: &[usize], reversed: bool) {
        self.reversed = reversed;
        self.open = Deletion::NONE;
        self.order.clear();
        self.participants.clear();
        self.participants.extend_from_slice(participants);
        self.unfilled.clone_from(&self.participants);
    }

    /// The position of the current row or marker.
    pub(crate) fn position(&self) -> &Slice {
        &self.position
    }

    /// The current row, which [`Merge::covering`] may still hide.
    pub(crate) fn row(&self) -> &[u8] {
        if self.is_merged { &self.merged } else { &self.row }
    }

    /// The newest deletion above the current row.
    pub(crate) fn covering(&self) -> Deletion {
        self.partition.newer(self.open)
    }

    /// The current marker: range deletions in force below and above its position.
    pub(crate) fn marker(&self) -> (Deletion, Deletion) {
        if self.reversed { (self.open, self.before) } else { (self.before, self.open) }
    }

    /// Goes to the next row or marker.
    pub(crate) fn step(&mut self, sources: &mut [Source], access: &mut Access<'_>) -> Result<Step> {
        loop {
            if !self.fill(sources, access)? {
                return Ok(Step::Missing);
            }
            let Some(first) = self.order.pop() else {
                return Ok(Step::End);
            };
            let Some(head) = sources[first].head.take() else { continue };
            self.unfilled.push(first);
            match head {
                Unfiltered::Marker { position, before, after } => {
                    if self.marker_at(sources, first, position, before, after) {
                        return Ok(Step::Marker);
                    }
                }
                Unfiltered::Row { position, row } => {
                    if self.row_at(sources, position, row)? {
                        return Ok(Step::Row);
                    }
                }
            }
        }
    }

    /// Gives every source a head, or knows that it has ended. False if blocks are missing.
    fn fill(&mut self, sources: &mut [Source], access: &mut Access<'_>) -> Result<bool> {
        let mut index = 0;
        while index < self.unfilled.len() {
            let source = self.unfilled[index];
            match sources[source].fill(access)? {
                Fill::Missing => index += 1,
                Fill::End => {
                    self.unfilled.swap_remove(index);
                }
                Fill::Head => {
                    self.unfilled.swap_remove(index);
                    self.insert(sources, source);
                }
            }
        }
        Ok(self.unfilled.is_empty())
    }

    fn insert(&mut self, sources: &[Source], source: usize) {
        let mut at = self.order.len();
        while at > 0 && self.is_later(sources, source, self.order[at - 1]) {
            at -= 1;
        }
        self.order.insert(at, source);
    }

    /// Whether the head of `a` comes after the head of `b`.
    fn is_later(&self, sources: &[Source], a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (&sources[a].head, &sources[b].head) else { return false };
        let is_marker = |unfiltered: &Unfiltered| matches!(unfiltered, Unfiltered::Marker { .. });
        // A row at a marker's own position is under the deletion above the marker: forwards the
        // marker must be known first, backwards afterwards.
        let (positions, markers_first) = if self.reversed {
            (b.position().cmp(a.position()), is_marker(a).cmp(&is_marker(b)))
        } else {
            (a.position().cmp(b.position()), is_marker(b).cmp(&is_marker(a)))
        };
        positions.then(markers_first) == Ordering::Greater
    }

    /// Takes in all markers at `position`; whether the newest range deletion changed.
    fn marker_at(
        &mut self,
        sources: &mut [Source],
        first: usize,
        position: Slice,
        before: Deletion,
        after: Deletion,
    ) -> bool {
        sources[first].open = if self.reversed { before } else { after };
        while let Some(&next) = self.order.last() {
            let Some(Unfiltered::Marker { position: other, before, after }) = &sources[next].head
            else {
                break;
            };
            if *other != position {
                break;
            }
            sources[next].open = if self.reversed { *before } else { *after };
            sources[next].head = None;
            self.order.pop();
            self.unfilled.push(next);
        }
        self.before = self.open;
        let opens = self.participants.iter().map(|&source| sources[source].open);
        let newest = opens.fold(Deletion::NONE, Deletion::newer);
        self.open = if self.partition.deletes(newest.timestamp) { Deletion::NONE } else { newest };
        self.position = position;
        self.open != self.before
    }

    /// Takes in the versions of the row at `position`; whether anything of it is left.
    fn row_at(&mut self, sources: &mut [Source], position: Slice, row: Slice) -> Result<bool> {
        self.group.clear();
        while let Some(&next) = self.order.last() {
            match &sources[next].head {
                Some(Unfiltered::Row { position: other, .. }) if *other == position => {}
                _ => break,
            }
            self.order.pop();
            self.group.push(next);
        }
        self.is_merged = !self.group.is_empty();
        let mut is_left = true;
        if self.is_merged {
            let mut rows = Vec::with_capacity(self.group.len() + 1);
            rows.push(RowRef::parse(&row)?);
            for &source in &self.group {
                if let Some(Unfiltered::Row { row, .. }) = &sources[source].head {
                    rows.push(RowRef::parse(row)?);
                }
            }
            self.merged.clear();
            is_left = merge_rows(&rows, self.covering(), &mut self.merged)?;
        }
        for &source in &self.group {
            sources[source].head = None;
            self.unfilled.push(source);
        }
        self.position = position;
        self.row = row;
        Ok(is_left)
    }
}
