//! What the node has: keyspaces, tables, columns, types. For completion, colours and hints.

use std::collections::BTreeMap;

use cql_lite::types::{CqlType, Value, decode};
use cql_lite::wire::Rows;

use super::failure::Failure;
use super::session::Session;

/// What a column is in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ColumnKind {
    /// A part of the partition key.
    PartitionKey,
    /// A clustering column.
    Clustering,
    /// A static column.
    Static,
    /// Any other.
    Regular,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// What it is.
    pub(super) kind: ColumnKind,
    /// Its place in the key.
    pub(super) position: i32,
    /// Its type, as `system_schema` has it.
    pub(super) ty: String,
}

/// What a keyspace holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Keyspace {
    /// Tables and views, with their columns: keys first, then by name.
    pub(super) tables: BTreeMap<String, Vec<Column>>,
    /// User-defined types, with the names of their fields.
    pub(super) types: BTreeMap<String, Vec<String>>,
}

/// All keyspaces by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Schema {
    /// All keyspaces by name.
    pub(super) keyspaces: BTreeMap<String, Keyspace>,
}

impl Schema {
    /// Asks the node for its schema.
    pub(super) fn load(session: &mut Session) -> Result<Self, Failure> {
        let mut schema = Schema::default();
        for name in texts(session, "SELECT keyspace_name FROM system_schema.keyspaces", 1)? {
            let Some(name) = name.into_iter().next() else { continue };
            schema.keyspaces.insert(name, Keyspace::default());
        }
        let select = "SELECT keyspace_name, table_name, column_name, kind, position, type FROM";
        for table in ["system_schema.columns", "system_virtual_schema.columns"] {
            for row in texts(session, &format!("{select} {table}"), 6)? {
                schema.add_column(row);
            }
        }
        let select = "SELECT keyspace_name, type_name, field_names FROM system_schema.types";
        for row in session.rows(select)? {
            if let [
                Some(Value::Text(keyspace)),
                Some(Value::Text(name)),
                Some(Value::List(fields)),
            ] = row.as_slice()
            {
                let fields = fields.iter().filter_map(text).collect();
                let keyspace = schema.keyspaces.entry(keyspace.clone()).or_default();
                keyspace.types.insert(name.clone(), fields);
            }
        }
        for keyspace in schema.keyspaces.values_mut() {
            for columns in keyspace.tables.values_mut() {
                columns.sort_by(|a, b| {
                    (a.kind, a.position, &a.name).cmp(&(b.kind, b.position, &b.name))
                });
            }
        }
        Ok(schema)
    }

    fn add_column(&mut self, row: Vec<String>) {
        let Ok([keyspace, table, name, kind, position, ty]) = <[String; 6]>::try_from(row) else {
            return;
        };
        let kind = match kind.as_str() {
            "partition_key" => ColumnKind::PartitionKey,
            "clustering" => ColumnKind::Clustering,
            "static" => ColumnKind::Static,
            _ => ColumnKind::Regular,
        };
        let position = position.parse().unwrap_or(-1);
        let keyspace = self.keyspaces.entry(keyspace).or_default();
        keyspace.tables.entry(table).or_default().push(Column { name, kind, position, ty });
    }

    /// The columns of a table; `keyspace` none is none.
    pub(super) fn columns(&self, keyspace: Option<&str>, table: &str) -> Option<&[Column]> {
        self.keyspaces.get(keyspace?)?.tables.get(table).map(Vec::as_slice)
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Ascii(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

fn texts(session: &mut Session, query: &str, columns: usize) -> Result<Vec<Vec<String>>, Failure> {
    let rows = session.rows(query)?;
    let texts = rows.iter().map(|row| row.iter().flatten().filter_map(text).collect::<Vec<_>>());
    Ok(texts.filter(|row| row.len() == columns).collect())
}

/// The values of rows.
pub(super) fn values(rows: &Rows) -> Vec<Vec<Option<Value>>> {
    let columns = rows.metadata.columns.as_deref().unwrap_or_default();
    let value = |ty: &CqlType, bytes: Option<&[u8]>| bytes.and_then(|bytes| decode(ty, bytes).ok());
    rows.iter()
        .map(|row| columns.iter().zip(row).map(|(spec, bytes)| value(&spec.ty, bytes)).collect())
        .collect()
}
