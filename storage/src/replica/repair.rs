//! What one replica lacks, gathered into mutations.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;

use crate::error::{ErrorKind, Result};
use crate::model::mutation::TableUpdateBuilder;
use crate::model::row::{Entries, RowWriter};
use crate::model::{
    CellKind, ColumnSet, Deletion, Entry, KeyspaceId, MutationBuilder, PartitionKey, PositionRange,
    RowRef, Slice, TableId,
};

/// A mutation that brings a replica nearer to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Which replica lacks it.
    pub replica: usize,
    /// The mutation, of one partition.
    pub mutation: Vec<u8>,
}

/// Room that an update takes beside what it is made of.
const OVERHEAD_BYTES: usize = 64;

/// Builds mutations, one after the other, each of one partition and within a size.
pub(super) struct Mutations {
    keyspace: KeyspaceId,
    table: TableId,
    bytes_max: usize,
    builder: Option<MutationBuilder>,
    bytes: usize,
    /// The range deletion that is being written, and where it begins in reading order.
    range: Option<(Slice, Deletion)>,
    finished: Vec<Vec<u8>>,
    /// Something could not be written, because it is too large for a mutation.
    pub(super) is_short: bool,
}

impl Mutations {
    pub(super) fn new(keyspace: KeyspaceId, table: TableId, bytes_max: usize) -> Mutations {
        Mutations {
            keyspace,
            table,
            bytes_max,
            builder: None,
            bytes: 0,
            range: None,
            finished: Vec::new(),
            is_short: false,
        }
    }

    /// Deletes the whole partition.
    pub(super) fn partition_deletion(&mut self, key: &PartitionKey, deletion: Deletion) {
        self.update(key, 0).partition_deletion(deletion);
    }

    /// What of the static row `merged` is not in `own`; as [`Mutations::row`].
    pub(super) fn static_row(
        &mut self,
        key: &PartitionKey,
        merged: RowRef<'_>,
        own: Option<RowRef<'_>>,
        columns: &ColumnSet,
    ) -> Result<bool> {
        let mut lacking = Lacking::new(merged, own, columns, self.bytes_max)?;
        while let Some(row) = lacking.next()? {
            self.update(key, row.len()).static_row(row)?;
        }
        Ok(lacking.has_unknown)
    }

    /// What of the row `merged` is not in `own`. Whether there is more, of which this read does
    /// not know the values.
    pub(super) fn row(
        &mut self,
        key: &PartitionKey,
        position: &[u8],
        merged: RowRef<'_>,
        own: Option<RowRef<'_>>,
        columns: &ColumnSet,
    ) -> Result<bool> {
        let mut lacking = Lacking::new(merged, own, columns, self.bytes_max)?;
        while let Some(row) = lacking.next()? {
            self.update(key, position.len() + row.len()).row(position, row);
        }
        Ok(lacking.has_unknown)
    }

    /// From `position` on, in reading order, this range deletion is to be written.
    pub(super) fn range(
        &mut self,
        key: &PartitionKey,
        position: &Slice,
        deletion: Deletion,
        reversed: bool,
    ) {
        let written = self.range.as_ref().map_or(Deletion::NONE, |(_, deletion)| *deletion);
        if written == deletion {
            return;
        }
        if let Some((began, deletion)) = self.range.take() {
            let position = position.clone();
            let range = match reversed {
                false => PositionRange { start: began, end: position },
                true => PositionRange { start: position, end: began },
            };
            let bytes = range.start.len() + range.end.len();
            self.update(key, bytes).range_tombstone(&range, deletion);
        }
        self.range = (!deletion.is_none()).then(|| (position.clone(), deletion));
    }

    /// Ends the mutation of the current partition, if there is one. A range deletion whose end is
    /// not known is given up.
    pub(super) fn end_partition(&mut self) -> Result<()> {
        self.range = None;
        self.bytes = 0;
        let Some(builder) = self.builder.take() else { return Ok(()) };
        match builder.finish() {
            Ok(mutation) => self.finished.push(mutation),
            // Of one cell that was just within the limit beside another spelling of its row.
            Err(error) if error.kind() == ErrorKind::TooLarge => self.is_short = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The mutations that are done.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.finished)
    }

    /// The update of the current partition, in which there is room for this much more.
    fn update(&mut self, key: &PartitionKey, bytes: usize) -> &mut TableUpdateBuilder {
        let bytes = bytes + OVERHEAD_BYTES;
        if self.bytes > 0 && self.bytes + bytes > self.bytes_max {
            let range = self.range.take();
            if self.end_partition().is_err() {
                self.is_short = true;
            }
            self.range = range;
        }
        self.bytes += bytes;
        let (keyspace, table) = (self.keyspace, self.table);
        let new = || MutationBuilder::new(keyspace, key.as_ref());
        self.builder.get_or_insert_with(new).table(table)
    }
}

/// What of a merged row one replica's version lacks, as rows of a bounded size.
struct Lacking<'a> {
    merged: RowRef<'a>,
    columns: &'a ColumnSet,
    bytes_max: usize,
    entries: Entries<'a>,
    own: Entries<'a>,
    own_next: Option<Entry<'a>>,
    /// An entry that did not fit into the row before.
    kept: Option<Entry<'a>>,
    head: Option<RowHead>,
    /// All of the merged row is to be written.
    is_whole: bool,
    row: Vec<u8>,
    /// A live cell of a column that is not wanted is lacking: its value is not there to be sent.
    has_unknown: bool,
}

type RowHead = (Option<crate::model::Liveness>, Deletion);

const NOTHING: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0];

impl<'a> Lacking<'a> {
    fn new(
        merged: RowRef<'a>,
        own: Option<RowRef<'a>>,
        columns: &'a ColumnSet,
        bytes_max: usize,
    ) -> Result<Lacking<'a>> {
        let own = match own {
            Some(own) => own,
            None => RowRef::parse(NOTHING)?,
        };
        // A spelling counts with the newest timestamp of its row, so it goes with all of it.
        let is_whole = merged.spelling().is_some() && merged.spelling() != own.spelling();
        let liveness =
            merged.liveness().filter(|_| is_whole || merged.liveness() != own.liveness());
        let deletion = match is_whole || merged.deletion() != own.deletion() {
            true => merged.deletion(),
            false => Deletion::NONE,
        };
        let mut entries = own.entries();
        let own_next = entries.next().transpose()?;
        Ok(Lacking {
            merged,
            columns,
            bytes_max,
            entries: merged.entries(),
            own: entries,
            own_next,
            kept: None,
            head: Some((liveness, deletion)),
            is_whole,
            row: Vec::new(),
            has_unknown: false,
        })
    }

    /// The next row of what is lacking; none if there is no more.
    fn next(&mut self) -> Result<Option<&[u8]>> {
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        let (liveness, deletion) = self.head.take().unwrap_or((None, Deletion::NONE));
        let mut writer = RowWriter::new(&mut row, liveness, deletion, self.merged.spelling());
        let mut bytes = 0;
        while let Some(entry) = self.next_entry()? {
            let more = bytes_of(&entry);
            if bytes > 0 && bytes + more > self.bytes_max {
                self.kept = Some(entry);
                break;
            }
            bytes += more;
            writer.push(&entry);
        }
        let is_left = writer.finish();
        self.row = row;
        Ok(is_left.then_some(&self.row))
    }

    /// The next entry that is lacking and can be sent.
    fn next_entry(&mut self) -> Result<Option<Entry<'a>>> {
        if let Some(entry) = self.kept.take() {
            return Ok(Some(entry));
        }
        while let Some(entry) = self.entries.next().transpose()? {
            let is_known = self.is_known(&entry)?;
            if is_known && !self.is_whole {
                continue;
            }
            match &entry {
                Entry::Cell(cell)
                    if matches!(cell.kind, CellKind::Live | CellKind::Expiring { .. })
                        && !self.columns.contains(cell.column) =>
                {
                    self.has_unknown |= !is_known;
                }
                _ => return Ok(Some(entry)),
            }
        }
        Ok(None)
    }

    /// Whether the replica has this very entry.
    fn is_known(&mut self, entry: &Entry<'_>) -> Result<bool> {
        while let Some(own) = &self.own_next {
            match own.cmp_place(entry) {
                Ordering::Less => self.own_next = self.own.next().transpose()?,
                Ordering::Equal => return Ok(own == entry),
                Ordering::Greater => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// About the bytes that an entry takes.
fn bytes_of(entry: &Entry<'_>) -> usize {
    match entry {
        Entry::ColumnDeletion(..) => OVERHEAD_BYTES,
        Entry::Cell(cell) => {
            let path = cell.path.map_or(0, <[u8]>::len);
            let spelling = cell.path_spelling.map_or(0, <[u8]>::len);
            OVERHEAD_BYTES + path + spelling + cell.value.len()
        }
    }
}
