//! What a statement answers.

use cql_lite::wire::Response;
use cql_lite::wire::{ColumnSpec, ResponseBody, ResultBody, Rows as WireRows};
use helenus_platform::codec::Reader;

/// The rows of one page, empty for statements that answer none.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<Vec<Option<Vec<u8>>>>,
    columns: Vec<ColumnSpec>,
    paging_state: Option<Vec<u8>>,
    warnings: Vec<String>,
}

impl Rows {
    pub(crate) fn new(body: ResponseBody) -> Self {
        let warnings = body.warnings;
        let Response::Result(ResultBody::Rows(rows)) = body.response else {
            return Self { warnings, ..Self::default() };
        };
        let owned = |row: Vec<Option<&[u8]>>| {
            row.into_iter().map(|cell| cell.map(<[u8]>::to_vec)).collect()
        };
        let all = rows.iter().map(owned).collect();
        let WireRows { metadata, .. } = rows;
        let columns = metadata.columns.unwrap_or_default();
        Self { rows: all, columns, paging_state: metadata.paging_state, warnings }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Names and types of the columns.
    #[must_use]
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// Where the next page begins, if there may be one.
    #[must_use]
    pub fn paging_state(&self) -> Option<&[u8]> {
        self.paging_state.as_deref()
    }

    /// What the node warns of.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A serialized value; `None` if it is null or there is no such row or column.
    #[must_use]
    pub fn bytes(&self, row: usize, column: usize) -> Option<&[u8]> {
        self.rows.get(row)?.get(column)?.as_deref()
    }

    /// A text; `None` also if it is not one.
    #[must_use]
    pub fn text(&self, row: usize, column: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(row, column)?).ok()
    }

    /// An int; `None` also if it is not one.
    #[must_use]
    pub fn int(&self, row: usize, column: usize) -> Option<i32> {
        let bytes = self.bytes(row, column).filter(|bytes| bytes.len() == 4)?;
        Reader::new(bytes).i32_be().ok()
    }

    /// A bigint, counter or timestamp; `None` also if it is not one.
    #[must_use]
    pub fn bigint(&self, row: usize, column: usize) -> Option<i64> {
        let bytes = self.bytes(row, column).filter(|bytes| bytes.len() == 8)?;
        Reader::new(bytes).i64_be().ok()
    }

    /// A boolean; `None` also if it is not one.
    #[must_use]
    pub fn boolean(&self, row: usize, column: usize) -> Option<bool> {
        let bytes = self.bytes(row, column).filter(|bytes| bytes.len() == 1)?;
        bytes.first().map(|byte| *byte != 0)
    }
}
