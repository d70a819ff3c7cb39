//! The schema as the node describes it in `system_schema`.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::session::Session;

/// Keyspaces, tables, columns and types at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The keyspaces by name, the system's own among them.
    pub keyspaces: BTreeMap<String, Keyspace>,
}

/// A keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keyspace {
    /// Its name.
    pub name: String,
    /// How it is replicated, `class` among the options.
    pub replication: BTreeMap<String, String>,
    /// Whether writes go through the commit log.
    pub durable_writes: bool,
    /// The tables by name.
    pub tables: BTreeMap<String, Table>,
    /// The user-defined types by name: the names and types of their fields, in order.
    pub types: BTreeMap<String, Vec<(String, String)>>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// Its keyspace.
    pub keyspace: String,
    /// Its name.
    pub name: String,
    /// What its owner wrote about it.
    pub comment: String,
    /// The columns: partition key, clustering key, then the others by name.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What part of a row it is.
    pub kind: ColumnKind,
    /// Its type in CQL, `list<text>` for example.
    pub cql_type: String,
    /// Whether a clustering column sorts its rows the other way round.
    pub descending: bool,
}

/// What part of a row a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ColumnKind {
    /// Part of what decides where the row is.
    PartitionKey,
    /// Part of what orders the rows of a partition.
    Clustering,
    /// A value that all rows of a partition share.
    Static,
    /// A value of the row.
    Regular,
}

impl Schema {
    /// A keyspace.
    #[must_use]
    pub fn keyspace(&self, name: &str) -> Option<&Keyspace> {
        self.keyspaces.get(name)
    }

    /// A table.
    #[must_use]
    pub fn table(&self, keyspace: &str, name: &str) -> Option<&Table> {
        self.keyspace(keyspace)?.tables.get(name)
    }

    pub(crate) async fn read(session: &Session) -> Result<Self> {
        let mut schema = Schema::default();
        let select = "SELECT keyspace_name, replication, durable_writes \
                      FROM system_schema.keyspaces";
        let rows = session.query(select, ()).await?;
        for row in rows.iter::<(String, BTreeMap<String, String>, bool)>()? {
            let (name, replication, durable_writes) = row?;
            let keyspace =
                Keyspace { name: name.clone(), replication, durable_writes, ..Keyspace::default() };
            schema.keyspaces.insert(name, keyspace);
        }
        let select = "SELECT keyspace_name, type_name, field_names, field_types \
                      FROM system_schema.types";
        let rows = session.query(select, ()).await?;
        for row in rows.iter::<(String, String, Vec<String>, Vec<String>)>()? {
            let (keyspace, name, names, types) = row?;
            if let Some(keyspace) = schema.keyspaces.get_mut(&keyspace) {
                keyspace.types.insert(name, names.into_iter().zip(types).collect());
            }
        }
        let select = "SELECT keyspace_name, table_name, comment FROM system_schema.tables";
        let rows = session.query(select, ()).await?;
        for row in rows.iter::<(String, String, Option<String>)>()? {
            let (keyspace, name, comment) = row?;
            let comment = comment.unwrap_or_default();
            let table = Table { keyspace, name, comment, columns: Vec::new() };
            if let Some(keyspace) = schema.keyspaces.get_mut(&table.keyspace) {
                keyspace.tables.insert(table.name.clone(), table);
            }
        }
        schema.read_columns(session).await?;
        Ok(schema)
    }

    async fn read_columns(&mut self, session: &Session) -> Result<()> {
        let select = "SELECT keyspace_name, table_name, column_name, kind, position, \
                      clustering_order, type FROM system_schema.columns";
        let rows = session.query(select, ()).await?;
        let mut columns = Vec::with_capacity(rows.len());
        for row in rows.iter::<(String, String, String, &str, i32, &str, String)>()? {
            let (keyspace, table, name, kind, position, order, cql_type) = row?;
            let kind = match kind {
                "partition_key" => ColumnKind::PartitionKey,
                "clustering" => ColumnKind::Clustering,
                "static" => ColumnKind::Static,
                _ => ColumnKind::Regular,
            };
            let descending = order.eq_ignore_ascii_case("desc");
            let column = Column { name, kind, cql_type, descending };
            columns.push((keyspace, table, position, column));
        }
        columns.sort_by(|(_, _, a_position, a), (_, _, b_position, b)| {
            let rank = |kind: ColumnKind| kind.min(ColumnKind::Static);
            (rank(a.kind), a_position, &a.name).cmp(&(rank(b.kind), b_position, &b.name))
        });
        for (keyspace, table, _, column) in columns {
            let keyspace = self.keyspaces.get_mut(&keyspace);
            if let Some(table) = keyspace.and_then(|keyspace| keyspace.tables.get_mut(&table)) {
                table.columns.push(column);
            }
        }
        Ok(())
    }
}

impl Table {
    /// A column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that decide where a row is.
    pub fn partition_key(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.kind == ColumnKind::PartitionKey)
    }

    /// The columns that order the rows of a partition.
    pub fn clustering_key(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.kind == ColumnKind::Clustering)
    }
}
