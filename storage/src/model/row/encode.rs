//! Writes rows; the layout is drawn in `model/row.rs`.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::ops::Range;

use helenus_platform::codec::{Put, varint_len, zigzag_len};

use super::{
    COLUMN_DELETION, COUNTER, COUNTER_TOMBSTONE, EXPIRED, EXPIRING, LIVENESS, LIVENESS_EXPIRING,
    PATH, PATH_SPELLING, ROW_DELETION, SAME_TIMESTAMP, SPELLING, TOMBSTONE,
};
use crate::model::Deletion;
use crate::model::cell::{Cell, CellKind, Liveness};
use crate::model::row::Entry;

/// The canonical base timestamp of a row with this head and this first entry.
pub(super) fn base_timestamp(
    liveness: Option<Liveness>,
    deletion: Deletion,
    first: Option<&Entry<'_>>,
) -> i64 {
    match (liveness, first) {
        (Some(liveness), _) => liveness.timestamp,
        (None, _) if !deletion.is_none() => deletion.timestamp,
        (None, Some(Entry::Cell(cell))) => cell.timestamp,
        (None, Some(Entry::ColumnDeletion(_, deletion))) => deletion.timestamp.wrapping_add(1),
        (None, None) => 0,
    }
}

/// Appends one row to a buffer, entry by entry, in their order.
///
/// The head is written when the first entry is known, because the base timestamp may be its.
pub(crate) struct RowWriter<'o, 'a> {
    out: &'o mut Vec<u8>,
    liveness: Option<Liveness>,
    deletion: Deletion,
    spelling: Option<&'a [u8]>,
    /// Set once the head stands in `out`.
    base: Option<i64>,
    column: u32,
}

impl<'o, 'a> RowWriter<'o, 'a> {
    /// A writer that appends to `out`.
    #[inline]
    pub(crate) fn new(
        out: &'o mut Vec<u8>,
        liveness: Option<Liveness>,
        deletion: Deletion,
        spelling: Option<&'a [u8]>,
    ) -> RowWriter<'o, 'a> {
        RowWriter { out, liveness, deletion, spelling, base: None, column: 0 }
    }

    /// Goes on with a row whose head already stands in `out`.
    #[inline]
    pub(super) fn resume(&mut self, base: i64, column: u32) {
        self.base = Some(base);
        self.column = column;
    }

    /// Appends the next entry. Its column may lie below the one before only in rows that are
    /// still to be sorted; the difference then wraps around. Gives the base timestamp, and where
    /// in `out` the path stands.
    #[inline]
    pub(crate) fn push(&mut self, entry: &Entry<'_>) -> (i64, Option<Range<usize>>) {
        let base = match self.base {
            Some(base) => base,
            None => self.write_head(Some(entry)),
        };
        let column = entry.column().0;
        self.out.put_varint(u64::from(column.wrapping_sub(self.column)));
        self.column = column;
        match entry {
            Entry::Cell(cell) => (base, put_cell(self.out, base, cell)),
            Entry::ColumnDeletion(_, deletion) => {
                put_flags(self.out, COLUMN_DELETION, base, deletion.timestamp);
                put_seconds(self.out, deletion.local_deletion_time);
                (base, None)
            }
        }
    }

    /// Ends the row; says whether there is one. If not, nothing was written.
    #[inline]
    pub(crate) fn finish(mut self) -> bool {
        let head_only = self.liveness.is_some() || !self.deletion.is_none();
        if self.base.is_none() && head_only {
            self.write_head(None);
        }
        self.base.is_some()
    }

    /// Ends the row, writing the head even of a row that says nothing.
    pub(crate) fn finish_even_if_empty(mut self) {
        if self.base.is_none() {
            self.write_head(None);
        }
    }

    fn write_head(&mut self, first: Option<&Entry<'_>>) -> i64 {
        let base = base_timestamp(self.liveness, self.deletion, first);
        let mut flags = 0;
        if let Some(liveness) = self.liveness {
            flags |= if liveness.is_expiring() { LIVENESS | LIVENESS_EXPIRING } else { LIVENESS };
        }
        if !self.deletion.is_none() {
            flags |= ROW_DELETION;
        }
        if self.spelling.is_some() {
            flags |= SPELLING;
        }
        self.out.put_u8(flags);
        self.out.put_i64_le(base);
        if let Some(liveness) = self.liveness {
            self.out.put_zigzag(liveness.timestamp.wrapping_sub(base));
            if liveness.is_expiring() {
                self.out.put_varint(u64::from(liveness.ttl));
                put_seconds(self.out, liveness.expiry);
            }
        }
        if !self.deletion.is_none() {
            self.out.put_zigzag(self.deletion.timestamp.wrapping_sub(base));
            put_seconds(self.out, self.deletion.local_deletion_time);
        }
        if let Some(spelling) = self.spelling {
            self.out.put_bytes_varint(spelling);
        }
        self.base = Some(base);
        base
    }
}

#[inline]
fn put_cell(out: &mut Vec<u8>, base: i64, cell: &Cell<'_>) -> Option<Range<usize>> {
    let mut flags = match cell.kind {
        CellKind::Live => 0,
        CellKind::Expiring { .. } => EXPIRING,
        CellKind::Tombstone { .. } => TOMBSTONE,
        CellKind::Expired { .. } => EXPIRED,
        CellKind::Counter => COUNTER,
        CellKind::CounterTombstone { .. } => COUNTER_TOMBSTONE,
    };
    if cell.path.is_some() {
        flags |= PATH;
    }
    // A spelling is of a path; one without has nothing to spell.
    let spelling = cell.path.and(cell.path_spelling);
    if spelling.is_some() {
        flags |= PATH_SPELLING;
    }
    put_flags(out, flags, base, cell.timestamp);
    match cell.kind {
        CellKind::Live | CellKind::Counter => {}
        CellKind::Expiring { ttl, expiry } | CellKind::Expired { ttl, expiry } => {
            out.put_varint(u64::from(ttl));
            put_seconds(out, expiry);
        }
        CellKind::Tombstone { local_deletion_time }
        | CellKind::CounterTombstone { local_deletion_time } => {
            put_seconds(out, local_deletion_time);
        }
    }
    let path = cell.path.map(|path| {
        out.put_bytes_varint(path);
        out.len() - path.len()..out.len()
    });
    if let Some(spelling) = spelling {
        out.put_bytes_varint(spelling);
    }
    if !cell.is_tombstone() {
        out.put_bytes_varint(cell.value);
    }
    path
}

#[inline]
fn put_flags(out: &mut Vec<u8>, flags: u8, base: i64, timestamp: i64) {
    if timestamp == base {
        out.put_u8(flags | SAME_TIMESTAMP);
    } else {
        out.put_u8(flags);
        out.put_zigzag(timestamp.wrapping_sub(base));
    }
}

/// Seconds since the epoch; a time before it is written as the epoch.
fn put_seconds(out: &mut Vec<u8>, seconds: i64) {
    out.put_varint(u64::try_from(seconds).unwrap_or(0));
}

/// Bytes of a row's head.
pub(super) fn head_len(
    base: i64,
    liveness: Option<Liveness>,
    deletion: Deletion,
    spelling: Option<&[u8]>,
) -> usize {
    let mut length = size_of::<u8>() + size_of::<i64>();
    if let Some(liveness) = liveness {
        length += zigzag_len(liveness.timestamp.wrapping_sub(base));
        if liveness.is_expiring() {
            length += varint_len(u64::from(liveness.ttl)) + seconds_len(liveness.expiry);
        }
    }
    if !deletion.is_none() {
        length += zigzag_len(deletion.timestamp.wrapping_sub(base));
        length += seconds_len(deletion.local_deletion_time);
    }
    length + spelling.map_or(0, bytes_len)
}

/// Bytes of an entry behind one of the column `before`.
#[inline]
pub(super) fn entry_len(base: i64, before: u32, entry: &Entry<'_>) -> usize {
    let mut length = varint_len(u64::from(entry.column().0.wrapping_sub(before))) + size_of::<u8>();
    if entry.timestamp() != base {
        length += zigzag_len(entry.timestamp().wrapping_sub(base));
    }
    let cell = match entry {
        Entry::ColumnDeletion(_, deletion) => {
            return length + seconds_len(deletion.local_deletion_time);
        }
        Entry::Cell(cell) => cell,
    };
    length += match cell.kind {
        CellKind::Live | CellKind::Counter => 0,
        CellKind::Expiring { ttl, expiry } | CellKind::Expired { ttl, expiry } => {
            varint_len(u64::from(ttl)) + seconds_len(expiry)
        }
        CellKind::Tombstone { local_deletion_time }
        | CellKind::CounterTombstone { local_deletion_time } => seconds_len(local_deletion_time),
    };
    length += cell.path.map_or(0, bytes_len);
    length += cell.path.and(cell.path_spelling).map_or(0, bytes_len);
    if cell.is_tombstone() { length } else { length + bytes_len(cell.value) }
}

fn bytes_len(bytes: &[u8]) -> usize {
    varint_len(bytes.len() as u64) + bytes.len()
}

fn seconds_len(seconds: i64) -> usize {
    varint_len(u64::try_from(seconds).unwrap_or(0))
}
