//! Builds a row from parts.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;
use std::ops::Range;

use crate::error::Result;
use crate::model::cell::{Cell, Liveness};
use crate::model::merge::Reconciler;
use crate::model::row::{Entry, RowRef, RowWriter};
use crate::model::{ColumnId, Deletion};

/// Room made at once for a row; most fit into it.
const ROW_BYTES_TYPICAL: usize = 256;

/// Collects liveness, deletion, spelling and cells, and gives the canonical row of them.
///
/// Cheapest is: the head (liveness, deletion, spelling) first, then the entries in the order of
/// the layout; each is then encoded once. Anything else (entries out of order, a cell named
/// twice, an entry that a deletion of the same row hides) costs a second pass and gives the row
/// that merging the parts would give.
#[derive(Clone, Debug, Default)]
pub struct RowBuilder {
    row: Vec<u8>,
    liveness: Option<Liveness>,
    deletion: Deletion,
    spelling: Option<Vec<u8>>,
    /// Base timestamp; set once the head stands in `row`.
    base: Option<i64>,
    last: Last,
    /// Set when what stands in `row` is not canonical, so that `finish` must go over it again.
    untidy: bool,
}

/// The place of the entry encoded last.
#[derive(Clone, Debug, Default)]
struct Last {
    column: u32,
    is_cell: bool,
    /// Where its path stands in the row.
    path: Option<Range<usize>>,
    /// The newest deletion of its column.
    deletion: Deletion,
}

impl RowBuilder {
    /// A builder without anything.
    pub fn new() -> RowBuilder {
        RowBuilder { row: Vec::with_capacity(ROW_BYTES_TYPICAL), ..RowBuilder::default() }
    }

    /// The row was inserted. Of several the strongest counts.
    pub fn liveness(&mut self, liveness: Liveness) -> &mut RowBuilder {
        let weaker = |own: Liveness| own.reconcile(&liveness) == Ordering::Less;
        if self.liveness.is_none_or(weaker) {
            self.liveness = Some(liveness);
            self.head_changed();
        }
        self
    }

    /// The row was deleted. Of several the newest counts.
    pub fn deletion(&mut self, deletion: Deletion) -> &mut RowBuilder {
        if self.deletion < deletion {
            self.deletion = deletion;
            self.head_changed();
        }
        self
    }

    /// The clustering values as the client spelled them. Of several the largest counts.
    pub fn spelling(&mut self, spelling: &[u8]) -> &mut RowBuilder {
        if self.spelling.as_deref() < Some(spelling) {
            self.spelling = Some(spelling.to_owned());
            self.head_changed();
        }
        self
    }

    /// A cell.
    pub fn cell(&mut self, cell: Cell<'_>) -> &mut RowBuilder {
        self.push(&Entry::Cell(cell))
    }

    /// Everything that a multi-cell column held was deleted.
    pub fn column_deletion(&mut self, column: ColumnId, deletion: Deletion) -> &mut RowBuilder {
        self.push(&Entry::ColumnDeletion(column, deletion))
    }

    /// Bytes of the row so far, before it is made canonical.
    pub fn bytes(&self) -> usize {
        self.row.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.liveness.is_none() && self.deletion.is_none() && self.base.is_none()
    }

    /// The row, canonical. Fails only on malformed counter shards.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        let hides_liveness = |own: Liveness| self.deletion.deletes(own.timestamp);
        if self.untidy || self.liveness.is_some_and(hides_liveness) {
            return self.sort_and_finish();
        }
        if self.base.is_none() {
            self.writer().finish_even_if_empty();
        }
        Ok(self.row)
    }

    /// The row, canonical, going over its entries again whatever their order; what
    /// [`RowBuilder::finish`] does where it must.
    pub fn sort_and_finish(mut self) -> Result<Vec<u8>> {
        let mut entries = Vec::new();
        if self.base.is_some() {
            for entry in RowRef::parse(&self.row)?.entries() {
                entries.push(entry?);
            }
        }
        entries.sort_by(Entry::cmp_place);
        let mut liveness = self.liveness;
        if liveness.is_some_and(|own| self.deletion.deletes(own.timestamp)) {
            liveness = None;
        }
        let mut row = Vec::with_capacity(self.row.len() + 16);
        let spelling = self.spelling.take();
        let writer = RowWriter::new(&mut row, liveness, self.deletion, spelling.as_deref());
        let mut reconciler = Reconciler::new(writer, self.deletion);
        for entry in entries {
            reconciler.push(entry)?;
        }
        reconciler.finish()?.finish_even_if_empty();
        Ok(row)
    }

    /// A head that comes after entries does not stand where it should.
    fn head_changed(&mut self) {
        self.untidy |= self.base.is_some();
    }

    fn writer(&mut self) -> RowWriter<'_, '_> {
        let spelling = self.spelling.as_deref();
        RowWriter::new(&mut self.row, self.liveness, self.deletion, spelling)
    }

    fn push(&mut self, entry: &Entry<'_>) -> &mut RowBuilder {
        self.untidy |= self.base.is_some() && !self.is_next(entry);
        let column = entry.column().0;
        if self.last.column != column {
            self.last.deletion = Deletion::NONE;
        }
        let hiding = self.deletion.newer(self.last.deletion);
        self.untidy |= hiding.deletes(entry.timestamp());
        let (base, resumed_at) = (self.base, self.last.column);
        let mut writer = self.writer();
        if let Some(base) = base {
            writer.resume(base, resumed_at);
        }
        let (base, path) = writer.push(entry);
        self.base = Some(base);
        self.last.column = column;
        self.last.path = path;
        self.last.is_cell = matches!(entry, Entry::Cell(_));
        if let Entry::ColumnDeletion(_, deletion) = entry {
            self.last.deletion = self.last.deletion.newer(*deletion);
        }
        self
    }

    /// Whether the entry's place lies behind the last one's.
    fn is_next(&self, entry: &Entry<'_>) -> bool {
        let path = self.last.path.clone().and_then(|range| self.row.get(range));
        let last = (self.last.column, self.last.is_cell, path);
        match entry {
            Entry::Cell(cell) => last < (cell.column.0, true, cell.path),
            Entry::ColumnDeletion(column, _) => last < (column.0, false, None),
        }
    }
}
