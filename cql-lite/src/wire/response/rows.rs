//! The rows of a result (§4.2.5.2): metadata, a count, then the cells of every row as \[bytes\].
//!
//! A server appends cells straight to its output while it reads them. The count stands before
//! them, so it is filled in at the end; a paging state stands before the columns, so it is
//! inserted at the end, which moves one page's bytes once.

use bytes::{Bytes, BytesMut};
use helenus_platform::codec::{Put, Reader};

use super::metadata::{EncodedColumns, RowsMetadata, bit};
use super::result_kind;
use crate::wire::error::{Result, WireError};
use crate::wire::notation::{PutNotation, ReadNotation, insert, patch_u32};

/// Appends rows to the output. Offsets are relative to the start of the body's frame, so that
/// what was written may move to another buffer in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsEncoder {
    /// Where the metadata's flags stand.
    flags_at: usize,
    /// Where a paging state belongs.
    paging_state_at: usize,
    /// Where the count stands.
    count_at: usize,
    rows: u32,
}

impl RowsEncoder {
    /// Appends the kind of the result and the metadata. `start` is where the frame begins in
    /// `out`; `skip_metadata` leaves the columns out, unless `new_metadata_id` says that the
    /// client's are out of date.
    pub fn begin(
        out: &mut BytesMut,
        start: usize,
        columns: &EncodedColumns,
        skip_metadata: bool,
        new_metadata_id: Option<&[u8]>,
    ) -> Self {
        debug_assert!(start <= out.len());
        out.put_u32_be(result_kind::ROWS);
        let flags_at = out.len() - start;
        let skip = skip_metadata && new_metadata_id.is_none();
        let state_offset = columns.put_rows_metadata(skip, new_metadata_id, out);
        let count_at = out.len() - start;
        out.put_u32_be(0);
        RowsEncoder { flags_at, paging_state_at: flags_at + state_offset, count_at, rows: 0 }
    }

    /// Appends a cell; none is null.
    #[inline]
    pub fn cell(&mut self, out: &mut BytesMut, value: Option<&[u8]>) {
        out.put_bytes_or_null(value);
    }

    /// The cells since the last call make up a row.
    #[inline]
    pub fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Rows so far.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Fills in the count, and the paging state if more pages follow.
    pub fn finish(self, out: &mut BytesMut, start: usize, paging_state: Option<&[u8]>) {
        patch_u32(out, start + self.count_at, self.rows);
        let Some(state) = paging_state else { return };
        let mut bytes = Vec::with_capacity(4 + state.len());
        bytes.put_bytes_or_null(Some(state));
        insert(out, start + self.paging_state_at, &bytes);
        // The bit stands in the lowest byte of the big-endian flags.
        if let Some(flags) = out.get_mut(start + self.flags_at + 3) {
            *flags |= bit::HAS_MORE_PAGES as u8;
        }
    }
}

/// Rows as a client decodes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// The description of the columns.
    pub metadata: RowsMetadata,
    count: usize,
    /// All cells, checked.
    cells: Bytes,
}

impl Rows {
    /// `shared` is what `reader` reads, if it can be shared.
    pub(super) fn read(reader: &mut Reader<'_>, shared: Option<&Bytes>) -> Result<Self> {
        let metadata = RowsMetadata::read(reader)?;
        let count = reader.u32_be()? as usize;
        let rest = reader.rest();
        let columns = metadata.column_count;
        // A cell has four bytes at least, so a count that is too large ends soon; rows without
        // columns have none, and would not.
        if columns == 0 && count > 0 {
            return Err(WireError::malformed(format!("{count} rows without columns")));
        }
        for _ in 0..count.saturating_mul(columns) {
            reader.bytes_or_null()?;
        }
        let cells = rest.get(..rest.len() - reader.remaining()).unwrap_or_default();
        let cells =
            shared.map_or_else(|| Bytes::copy_from_slice(cells), |all| all.slice_ref(cells));
        Ok(Rows { metadata, count, cells })
    }

    /// The description of the columns, how many rows there are, and their cells as \[bytes\], row
    /// by row, checked.
    pub fn into_parts(self) -> (RowsMetadata, usize, Bytes) {
        (self.metadata, self.count, self.cells)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The rows; each has one value a column, none for null.
    pub fn iter(&self) -> impl Iterator<Item = Vec<Option<&[u8]>>> {
        let mut reader = Reader::new(&self.cells);
        let columns = self.metadata.column_count;
        (0..self.count).map(move |_| {
            (0..columns).map(|_| reader.bytes_or_null().unwrap_or_default()).collect()
        })
    }

    pub(super) fn put(&self, out: &mut BytesMut, version: crate::wire::ProtocolVersion) {
        let columns = self.metadata.columns.as_deref();
        let mut encoded = EncodedColumns::new(columns.unwrap_or_default(), version);
        if columns.is_none() {
            encoded = encoded.of_unknown(self.metadata.column_count);
        }
        let id = self.metadata.new_metadata_id.as_deref();
        let start = out.len();
        let mut encoder = RowsEncoder::begin(out, start, &encoded, columns.is_none(), id);
        out.put_bytes(&self.cells);
        encoder.rows = self.count as u32;
        encoder.finish(out, start, self.metadata.paging_state.as_deref());
    }
}
