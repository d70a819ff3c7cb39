//! What is left of a merged row for a reader at some moment, and for compaction.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use crate::error::Result;
use crate::model::cell::{Cell, CellKind, Liveness};
use crate::model::merge::{Shadow, newest_spelling};
use crate::model::row::{Entry, RowRef, RowWriter};
use crate::model::{ColumnSet, Deletion};

/// What a reader at some moment finds in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Liveliness {
    /// Whether the row exists: its liveness lives, or any of its cells does, wanted or not.
    pub exists: bool,
    /// Live cells written out.
    pub cells: u32,
    /// Deletions, tombstones and expired cells that were walked over.
    pub tombstones: u32,
}

/// Appends to `out` what a reader at `now` (seconds since the epoch) sees of a merged row under
/// the deletion `covering` of its range or partition: the live cells of `columns`, liveness if it
/// lives, the spelling. If the row does not exist, nothing is appended.
pub fn live_row(
    row: RowRef<'_>,
    covering: Deletion,
    now: i64,
    columns: &ColumnSet,
    out: &mut Vec<u8>,
) -> Result<Liveliness> {
    let begin = out.len();
    let found = match live_as_it_is(row, covering, columns)? {
        Some(found) => {
            out.extend_from_slice(row.bytes());
            found
        }
        None => write_live(row, covering, now, columns, out)?,
    };
    if !found.exists {
        out.truncate(begin);
    }
    Ok(found)
}

/// What [`live_row`] appends, as a row: `row` itself where everything in it is seen, else written
/// to `scratch`. None if the row does not exist.
pub fn see_row<'a>(
    row: RowRef<'a>,
    covering: Deletion,
    now: i64,
    columns: &ColumnSet,
    scratch: &'a mut Vec<u8>,
) -> Result<(Liveliness, Option<RowRef<'a>>)> {
    if let Some(found) = live_as_it_is(row, covering, columns)? {
        return Ok((found, found.exists.then_some(row)));
    }
    scratch.clear();
    let found = write_live(row, covering, now, columns, scratch)?;
    let seen = if found.exists { Some(RowRef::parse(scratch)?) } else { None };
    Ok((found, seen))
}

/// The common case: everything in the row is live for ever and wanted.
fn live_as_it_is(
    row: RowRef<'_>,
    covering: Deletion,
    columns: &ColumnSet,
) -> Result<Option<Liveliness>> {
    let clean = covering.is_none()
        && row.deletion().is_none()
        && row.liveness().is_none_or(|liveness| !liveness.is_expiring());
    if !clean {
        return Ok(None);
    }
    let mut cells = 0;
    for entry in row.entries() {
        match entry? {
            Entry::Cell(Cell { kind: CellKind::Live | CellKind::Counter, column, .. })
                if columns.contains(column) =>
            {
                cells += 1;
            }
            _ => return Ok(None),
        }
    }
    let exists = row.liveness().is_some() || cells > 0;
    Ok(Some(Liveliness { exists, cells, tombstones: 0 }))
}

fn write_live(
    row: RowRef<'_>,
    covering: Deletion,
    now: i64,
    columns: &ColumnSet,
    out: &mut Vec<u8>,
) -> Result<Liveliness> {
    let mut found = Liveliness::default();
    if !row.deletion().is_none() {
        found.tombstones += 1;
    }
    let deletion = covering.newer(row.deletion());
    let mut liveness = row.liveness().filter(|own| !deletion.deletes(own.timestamp));
    if liveness.is_some_and(|own| !own.is_live(now)) {
        found.tombstones += 1;
        liveness = None;
    }
    found.exists = liveness.is_some();
    let mut writer = RowWriter::new(out, liveness, Deletion::NONE, row.spelling());
    let mut shadow = Shadow::new(deletion);
    let mut scratch = Vec::new();
    for entry in row.entries() {
        match shadow.apply(entry?, &mut scratch)? {
            Some(Entry::Cell(cell)) if cell.is_live(now) => {
                found.exists = true;
                if columns.contains(cell.column) {
                    found.cells += 1;
                    writer.push(&Entry::Cell(cell));
                }
            }
            Some(_) => found.tombstones += 1,
            None => {}
        }
    }
    writer.finish_even_if_empty();
    Ok(found)
}

/// Appends to `out` what compaction keeps at `now` (seconds since the epoch) of a merged row under
/// the deletion `covering`: expired cells without their values, and no tombstone of which
/// `purge(timestamp, local_deletion_time)` says that nothing of that timestamp or an older one can
/// hide behind it: for a deleted counter that is `i64::MAX`, since it hides every shard. Says
/// whether anything is left; if not, nothing is appended.
pub fn purge_row(
    row: RowRef<'_>,
    covering: Deletion,
    now: i64,
    purge: &dyn Fn(i64, i64) -> bool,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let mut deletion = row.deletion();
    let shadow = covering.newer(deletion);
    let purgeable = |deletion: Deletion| purge(deletion.timestamp, deletion.local_deletion_time);
    if deletion <= covering || !deletion.is_none() && purgeable(deletion) {
        deletion = Deletion::NONE;
    }
    let keeps = |own: &Liveness| {
        let written = own.expiry.saturating_sub(i64::from(own.ttl));
        !shadow.deletes(own.timestamp) && (own.is_live(now) || !purge(own.timestamp, written))
    };
    let liveness = row.liveness().filter(keeps);
    let spelling = newest_spelling(&[row], covering)?;
    let mut writer = RowWriter::new(out, liveness, deletion, spelling);
    let mut shadow = Shadow::new(shadow);
    let mut scratch = Vec::new();
    for entry in row.entries() {
        match shadow.apply(entry?, &mut scratch)? {
            Some(Entry::Cell(cell)) => {
                if let Some(kept) = purge_cell(cell, now, purge) {
                    writer.push(&Entry::Cell(kept));
                }
            }
            Some(entry @ Entry::ColumnDeletion(_, deletion)) if !purgeable(deletion) => {
                writer.push(&entry);
            }
            _ => {}
        }
    }
    Ok(writer.finish())
}

/// What [`canonical_row`] found in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Canonical {
    /// Something of the row is left and was appended.
    pub is_left: bool,
    /// As [`Liveliness::exists`].
    pub exists: bool,
    /// As [`Liveliness::tombstones`].
    pub tombstones: u32,
}

/// Appends to `out` what replicas compare of a merged row under the deletion `covering` at `now`
/// (seconds since the epoch): expired cells without their values, and nothing that is hidden, and
/// no tombstone of a local deletion time before `grace_over_before`. Unlike [`purge_row`] it asks
/// nothing else, so that the same versions give the same bytes wherever they lie.
///
/// Values of columns that are not wanted are left out, those of counters excepted: what is left of
/// their cells only says whether the row exists, whichever replica's version of them wins.
pub fn canonical_row(
    row: RowRef<'_>,
    covering: Deletion,
    now: i64,
    grace_over_before: i64,
    columns: &ColumnSet,
    out: &mut Vec<u8>,
) -> Result<Canonical> {
    if let Some(Liveliness { exists, .. }) = live_as_it_is(row, covering, columns)? {
        if exists {
            out.extend_from_slice(row.bytes());
        }
        return Ok(Canonical { is_left: exists, exists, tombstones: 0 });
    }
    let is_over = |local_deletion_time: i64| local_deletion_time < grace_over_before;
    let mut found = Canonical::default();
    let mut deletion = row.deletion();
    let shadow = covering.newer(deletion);
    if !deletion.is_none() {
        found.tombstones += 1;
        if deletion <= covering || is_over(deletion.local_deletion_time) {
            deletion = Deletion::NONE;
        }
    }
    let mut liveness = row.liveness().filter(|own| !shadow.deletes(own.timestamp));
    if let Some(own) = liveness {
        found.exists = own.is_live(now);
        found.tombstones += u32::from(!found.exists);
        if !found.exists && is_over(own.expiry.saturating_sub(i64::from(own.ttl))) {
            liveness = None;
        }
    }
    let spelling = newest_spelling(&[row], covering)?;
    let mut writer = RowWriter::new(out, liveness, deletion, spelling);
    let mut shadow = Shadow::new(shadow);
    let mut scratch = Vec::new();
    for entry in row.entries() {
        match shadow.apply(entry?, &mut scratch)? {
            Some(Entry::Cell(cell)) if cell.is_live(now) => {
                found.exists = true;
                let is_whole = columns.contains(cell.column) || cell.kind == CellKind::Counter;
                writer.push(&Entry::Cell(if is_whole { cell } else { without_value(cell) }));
            }
            Some(Entry::Cell(cell)) => {
                found.tombstones += 1;
                if let Some(kept) = purge_cell(cell, now, &|_, time| is_over(time)) {
                    writer.push(&Entry::Cell(kept));
                }
            }
            Some(entry @ Entry::ColumnDeletion(_, deletion)) => {
                found.tombstones += 1;
                if !is_over(deletion.local_deletion_time) {
                    writer.push(&entry);
                }
            }
            None => {}
        }
    }
    found.is_left = writer.finish();
    Ok(found)
}

fn without_value(cell: Cell<'_>) -> Cell<'_> {
    Cell { value: &[], path_spelling: None, ..cell }
}

fn purge_cell<'a>(cell: Cell<'a>, now: i64, purge: &dyn Fn(i64, i64) -> bool) -> Option<Cell<'a>> {
    if cell.is_live(now) {
        return Some(cell);
    }
    let dead_since = cell.local_deletion_time().unwrap_or(i64::MAX);
    // A deleted counter hides shards of any timestamp.
    let is_dead_counter = matches!(cell.kind, CellKind::CounterTombstone { .. });
    let hides_up_to = if is_dead_counter { i64::MAX } else { cell.timestamp };
    if purge(hides_up_to, dead_since) {
        return None;
    }
    match cell.kind {
        CellKind::Expiring { ttl, expiry } => {
            Some(Cell { kind: CellKind::Expired { ttl, expiry }, value: &[], ..cell })
        }
        _ => Some(cell),
    }
}
