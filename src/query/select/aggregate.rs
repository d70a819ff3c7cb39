//! The groups of rows that aggregates are computed over.

use crate::query::restriction::ColumnRef;

/// How rows are grouped.
#[derive(Debug, Clone)]
pub(crate) struct Aggregates {
    /// Columns that are equal within a group: those of the partition key and the first clustering
    /// columns. None: all rows are one group.
    pub(crate) group_by: Option<Vec<ColumnRef>>,
}
