//! Makes one row of several versions of it: the merge rule, the same on every replica.
//!
//! Between two cells of one place the order is [`Cell::reconcile`]'s. A deletion (of a multi-cell
//! column, the row, or one above the row that is passed in as `covering`) hides what is at or
//! below its timestamp. Of a row's liveness the strongest counts, of its deletions the newest; the
//! clustering spelling is that of the version with the newest timestamp, at a tie the larger.
//! Counters unite their shards, see [`counter`].
//!
//! So merging is associative, commutative and idempotent, its output is canonical, and what a
//! reader sees at some `now` does not depend on which versions were merged first.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::model::cell::{Cell, CellKind, Liveness};
use crate::model::row::{Entries, Entry, RowRef, RowWriter};
use crate::model::{ColumnId, Deletion, Slice, counter};

#[cfg(test)]
mod tests;
mod view;

pub use view::{Canonical, Liveliness, canonical_row, live_row, purge_row, see_row};

/// Rows up to this many are merged without allocating.
const INLINE_ROWS: usize = 4;

/// Appends to `out` the merge of `rows`, versions of one row, under the deletion `covering` of
/// their range or partition. Says whether anything is left; if not, nothing is appended.
///
/// A single row without a covering deletion is taken as it is.
pub fn merge_rows(rows: &[RowRef<'_>], covering: Deletion, out: &mut Vec<u8>) -> Result<bool> {
    if let [row] = rows
        && covering.is_none()
    {
        if !row.is_empty() {
            out.extend_from_slice(row.bytes());
        }
        return Ok(!row.is_empty());
    }
    let begin = out.len();
    let merged = merge_into(rows, covering, out);
    if !matches!(merged, Ok(true)) {
        out.truncate(begin);
    }
    merged
}

/// [`merge_rows`] of slices, sharing the bytes of a version that is the result as it stands.
pub fn merge_slices(
    rows: &[Slice],
    covering: Deletion,
    scratch: &mut Vec<u8>,
) -> Result<Option<Slice>> {
    if let [row] = rows
        && covering.is_none()
    {
        let empty = RowRef::parse(row)?.is_empty();
        return Ok((!empty).then(|| row.clone()));
    }
    let parsed = rows.iter().map(|row| RowRef::parse(row)).collect::<Result<Vec<_>>>()?;
    scratch.clear();
    let left = merge_rows(&parsed, covering, scratch)?;
    Ok(left.then(|| Slice::copy(scratch)))
}

fn merge_into(rows: &[RowRef<'_>], covering: Deletion, out: &mut Vec<u8>) -> Result<bool> {
    let newest = rows.iter().map(RowRef::deletion).max().unwrap_or_default();
    let deletion = if newest <= covering { Deletion::NONE } else { newest };
    let shadow = covering.newer(newest);
    let liveness = rows
        .iter()
        .filter_map(RowRef::liveness)
        .filter(|liveness| !shadow.deletes(liveness.timestamp))
        .max_by(Liveness::reconcile);
    let spelling = newest_spelling(rows, covering)?;
    out.reserve(rows.iter().map(|row| row.bytes().len()).max().unwrap_or_default());
    let writer = RowWriter::new(out, liveness, deletion, spelling);
    let reconciler = Reconciler::new(writer, shadow);

    let mut inline = [const { Source::EMPTY }; INLINE_ROWS];
    let mut spilled = Vec::new();
    let sources = match inline.get_mut(..rows.len()) {
        Some(sources) => sources,
        None => {
            spilled.resize_with(rows.len(), || Source::EMPTY);
            spilled.as_mut_slice()
        }
    };
    for (source, row) in sources.iter_mut().zip(rows) {
        source.rest = Some(row.entries());
        source.advance()?;
    }
    Ok(merge_sources(sources, reconciler)?.finish())
}

fn merge_sources<'o, 'a>(
    sources: &mut [Source<'a>],
    mut reconciler: Reconciler<'o, 'a>,
) -> Result<RowWriter<'o, 'a>> {
    loop {
        let mut least: Option<(&mut Source<'a>, Entry<'a>)> = None;
        for source in sources.iter_mut() {
            let Some(entry) = source.current else { continue };
            let before = |(_, least): &(_, Entry<'_>)| entry.cmp_place(least) == Ordering::Less;
            if least.as_ref().is_none_or(before) {
                least = Some((source, entry));
            }
        }
        let Some((source, entry)) = least else { return reconciler.finish() };
        source.advance()?;
        reconciler.push(entry)?;
    }
}

/// The spelling that belongs to the newest of the versions, at a tie the larger one. None if even
/// the newest is as old as the covering deletion: of such a row at most deletions are left, and
/// which of the versions they came from can no longer be told.
fn newest_spelling<'a>(rows: &[RowRef<'a>], covering: Deletion) -> Result<Option<&'a [u8]>> {
    if rows.iter().all(|row| row.spelling().is_none()) {
        return Ok(None);
    }
    let mut newest = (None, None);
    for row in rows {
        let mut timestamp = row.liveness().map(|liveness| liveness.timestamp);
        if !row.deletion().is_none() {
            timestamp = timestamp.max(Some(row.deletion().timestamp));
        }
        for entry in row.entries() {
            timestamp = timestamp.max(Some(entry?.timestamp()));
        }
        newest = newest.max((timestamp, row.spelling()));
    }
    Ok(newest.1.filter(|_| newest.0.is_some_and(|newest| !covering.deletes(newest))))
}

/// One version of the row, and its entry that is next.
struct Source<'a> {
    current: Option<Entry<'a>>,
    rest: Option<Entries<'a>>,
}

impl Source<'_> {
    const EMPTY: Self = Source { current: None, rest: None };

    #[inline]
    fn advance(&mut self) -> Result<()> {
        let next = self.rest.as_mut().and_then(Iterator::next).transpose()?;
        if let (Some(before), Some(next)) = (&self.current, &next)
            && before.cmp_place(next) != Ordering::Less
        {
            return Err(Error::corrupt("the entries of a row are out of order"));
        }
        self.current = next;
        Ok(())
    }
}

/// Takes entries in order of their places, several of one place one after the other, and writes
/// what is left of them.
pub(crate) struct Reconciler<'o, 'a> {
    writer: RowWriter<'o, 'a>,
    shadow: Shadow,
    pending: Option<Entry<'a>>,
    /// The united shards of `pending`, if it is a counter of which more than one came.
    shards: Vec<u8>,
    united: bool,
    scratch: Vec<u8>,
}

impl<'o, 'a> Reconciler<'o, 'a> {
    /// A reconciler under the deletion `shadow` of the row and of what is above it.
    pub(crate) fn new(writer: RowWriter<'o, 'a>, shadow: Deletion) -> Reconciler<'o, 'a> {
        let shadow = Shadow::new(shadow);
        let (shards, scratch) = (Vec::new(), Vec::new());
        Reconciler { writer, shadow, pending: None, shards, united: false, scratch }
    }

    #[inline]
    pub(crate) fn push(&mut self, entry: Entry<'a>) -> Result<()> {
        let Some(pending) = &mut self.pending else {
            self.pending = Some(entry);
            return Ok(());
        };
        match pending.cmp_place(&entry) {
            Ordering::Equal => {}
            Ordering::Less => {
                self.flush()?;
                self.pending = Some(entry);
                return Ok(());
            }
            Ordering::Greater => {
                return Err(Error::corrupt("the entries of a row are out of order"));
            }
        }
        match (pending, entry) {
            (Entry::Cell(own), Entry::Cell(cell)) => match (own.kind, cell.kind) {
                (CellKind::Counter, CellKind::Counter) => self.unite(cell)?,
                // A counter is hidden by any tombstone of its cell, whatever the timestamps.
                (CellKind::Counter, _) if cell.is_tombstone() => *own = cell,
                (_, CellKind::Counter) if own.is_tombstone() => {}
                _ if own.reconcile(&cell) == Ordering::Less => *own = cell,
                _ => {}
            },
            (Entry::ColumnDeletion(_, own), Entry::ColumnDeletion(_, other)) => {
                *own = own.newer(other);
            }
            // Of equal place, so of equal kind.
            _ => {}
        }
        Ok(())
    }

    /// Adds a counter's shards to the pending counter.
    fn unite(&mut self, cell: Cell<'a>) -> Result<()> {
        let Some(Entry::Cell(own)) = &mut self.pending else { return Ok(()) };
        if own.value == cell.value && !self.united {
            return Ok(());
        }
        self.scratch.clear();
        let value = if self.united { &self.shards } else { own.value };
        counter::merge(value, cell.value, &mut self.scratch)?;
        std::mem::swap(&mut self.shards, &mut self.scratch);
        self.united = true;
        own.timestamp = own.timestamp.max(cell.timestamp);
        own.path_spelling = own.path_spelling.max(cell.path_spelling);
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> Result<()> {
        let Some(mut entry) = self.pending.take() else { return Ok(()) };
        if let Entry::Cell(cell) = &mut entry
            && cell.kind == CellKind::Counter
            && std::mem::take(&mut self.united)
        {
            let united = Entry::Cell(Cell { value: &self.shards, ..*cell });
            if let Some(left) = self.shadow.apply(united, &mut self.scratch)? {
                self.writer.push(&left);
            }
            return Ok(());
        }
        self.united = false;
        if let Some(left) = self.shadow.apply(entry, &mut self.scratch)? {
            self.writer.push(&left);
        }
        Ok(())
    }

    /// Writes the last entry and gives the writer back.
    pub(crate) fn finish(mut self) -> Result<RowWriter<'o, 'a>> {
        self.flush()?;
        Ok(self.writer)
    }
}

/// The deletions in force at the entry that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shadow {
    /// Of the row, and of the range and partition above it.
    row: Deletion,
    /// Of the column that is being walked through, if newer than `row`.
    column: (ColumnId, Deletion),
}

impl Shadow {
    pub(crate) fn new(row: Deletion) -> Shadow {
        Shadow { row, column: (ColumnId(0), Deletion::NONE) }
    }

    /// What is left of the entry. Must be asked in the entries' order.
    #[inline]
    pub(crate) fn apply<'s>(
        &mut self,
        entry: Entry<'s>,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<Entry<'s>>> {
        let cell = match entry {
            Entry::ColumnDeletion(_, deletion) if deletion <= self.row => return Ok(None),
            Entry::ColumnDeletion(column, deletion) => {
                self.column = (column, deletion);
                return Ok(Some(entry));
            }
            Entry::Cell(cell) => cell,
        };
        let column = match self.column {
            (column, deletion) if column == cell.column => deletion,
            _ => Deletion::NONE,
        };
        let hidden = |timestamp| self.row.deletes(timestamp) || column.deletes(timestamp);
        match cell.kind {
            CellKind::CounterTombstone { .. } => Ok(Some(entry)),
            CellKind::Counter if hidden(i64::MIN) => {
                scratch.clear();
                let deleted = self.row.newer(column).timestamp;
                counter::retain_newer(cell.value, deleted, scratch)?;
                Ok(counter::newest_clock(scratch)?
                    .map(|timestamp| Entry::Cell(Cell { timestamp, value: scratch, ..cell })))
            }
            _ => Ok((!hidden(cell.timestamp)).then_some(entry)),
        }
    }
}
