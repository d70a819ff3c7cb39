//! One column of a table.

use cql_lite::types::CqlType;
use helenus_storage::model::ColumnId;

/// The part that a column plays in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ColumnKind {
    /// A component of the partition key.
    PartitionKey = 0,
    /// A component of the clustering key.
    Clustering = 1,
    /// One value per partition.
    Static = 2,
    /// One value per row.
    Regular = 3,
}

impl ColumnKind {
    /// The name that `system_schema.columns.kind` shows.
    pub fn name(self) -> &'static str {
        match self {
            ColumnKind::PartitionKey => "partition_key",
            ColumnKind::Clustering => "clustering",
            ColumnKind::Static => "static",
            ColumnKind::Regular => "regular",
        }
    }

    /// Whether the column is part of the primary key.
    pub fn is_key(self) -> bool {
        matches!(self, ColumnKind::PartitionKey | ColumnKind::Clustering)
    }
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Never reused within its table, whatever is dropped and added. Key columns have one too,
    /// though only static and regular columns are stored under it.
    pub id: ColumnId,
    /// The name, unquoted.
    pub name: String,
    /// The type, complete: user-defined types are resolved and inside.
    pub ty: CqlType,
    /// The part that it plays.
    pub kind: ColumnKind,
    /// Index within the partition key or the clustering key; 0 for other columns.
    pub position: usize,
    /// A clustering column whose order is DESC.
    pub descending: bool,
}

impl Column {
    /// The value that `system_schema.columns.position` shows.
    pub fn schema_position(&self) -> i32 {
        if self.kind.is_key() { i32::try_from(self.position).unwrap_or(i32::MAX) } else { -1 }
    }

    /// The value that `system_schema.columns.clustering_order` shows.
    pub fn clustering_order(&self) -> &'static str {
        match (self.kind, self.descending) {
            (ColumnKind::Clustering, true) => "desc",
            (ColumnKind::Clustering, false) => "asc",
            _ => "none",
        }
    }
}
