//! One table: its columns by the part they play, its options, and what was dropped from it.

use std::collections::BTreeMap;

use helenus_storage::model::{ColumnId, TableId};

use super::column::{Column, ColumnKind};
use super::options::TableOptions;

/// Where the rows of a table come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TableSource {
    /// The storage engine.
    Stored = 0,
    /// Computed from live state when read (decision D8).
    View = 1,
}

/// A column that was dropped; its id stays used for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct DroppedColumn {
    /// The column as it was.
    pub column: Column,
    /// When, in microseconds since the epoch.
    pub dropped_at: i64,
}

/// One table of one keyspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Never reused.
    pub id: TableId,
    /// The id that clients see in `system_schema.tables.id`.
    pub uuid: [u8; 16],
    /// Name of its keyspace.
    pub keyspace: String,
    /// Name of the table.
    pub name: String,
    /// Components of the partition key, in order; at least one.
    pub partition_key: Vec<Column>,
    /// Components of the clustering key, in order.
    pub clustering: Vec<Column>,
    /// Static columns, by name.
    pub statics: Vec<Column>,
    /// Regular columns, by name.
    pub regulars: Vec<Column>,
    /// What stands after WITH.
    pub options: TableOptions,
    /// Columns dropped and not added again, by name.
    pub dropped: BTreeMap<String, DroppedColumn>,
    /// The id that the next new column gets.
    pub next_column_id: u32,
    /// All columns outside the primary key are counters.
    pub counter: bool,
    /// Stored or computed.
    pub source: TableSource,
}

impl Table {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns().find(|column| column.name == name)
    }

    /// The static or regular column of that id.
    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns().find(|column| column.id == id)
    }

    /// All columns in the order of `SELECT *`: partition key, clustering key, statics by name,
    /// regulars by name.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.partition_key.iter().chain(&self.clustering).chain(&self.statics).chain(&self.regulars)
    }

    /// Puts a column where its kind belongs, keeping statics and regulars sorted by name.
    pub fn insert_column(&mut self, column: Column) {
        let list = self.columns_of_kind_mut(column.kind);
        let at = match column.kind {
            ColumnKind::PartitionKey | ColumnKind::Clustering => column.position.min(list.len()),
            _ => list.partition_point(|c| c.name < column.name),
        };
        list.insert(at, column);
    }

    /// Takes the column of that name out.
    pub fn remove_column(&mut self, name: &str) -> Option<Column> {
        for kind in [ColumnKind::Static, ColumnKind::Regular] {
            let list = self.columns_of_kind_mut(kind);
            if let Some(at) = list.iter().position(|c| c.name == name) {
                return Some(list.remove(at));
            }
        }
        None
    }

    /// Hands out a column id.
    pub fn take_column_id(&mut self) -> ColumnId {
        let id = ColumnId(self.next_column_id);
        self.next_column_id += 1;
        id
    }

    /// Whether it has clustering columns.
    pub fn is_clustered(&self) -> bool {
        !self.clustering.is_empty()
    }

    /// Whether any column's type contains this user-defined type, at any depth.
    pub fn uses_type(&self, keyspace: &str, name: &str) -> bool {
        self.columns().any(|c| c.ty.references_udt(keyspace, name))
    }

    fn columns_of_kind_mut(&mut self, kind: ColumnKind) -> &mut Vec<Column> {
        match kind {
            ColumnKind::PartitionKey => &mut self.partition_key,
            ColumnKind::Clustering => &mut self.clustering,
            ColumnKind::Static => &mut self.statics,
            ColumnKind::Regular => &mut self.regulars,
        }
    }
}
