//! The node's own keyspaces: their definitions, and the rows that follow from the schema alone.

mod definitions;
pub mod rows;
pub mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use cql_lite::types::CqlType;
use helenus_storage::model::{ColumnId, KeyspaceId, TableId};
use md5::{Digest, Md5};

use super::{
    Column, ColumnKind, Keyspace, KeyspaceKind, KeyspaceOptions, Table, TableOptions, TableSource,
};

/// The node's own keyspaces, all of their tables views.
#[must_use]
pub fn keyspaces() -> Vec<Keyspace> {
    let mut keyspaces: Vec<Keyspace> = Vec::new();
    for (id, (name, is_virtual)) in (1..).zip(definitions::KEYSPACES) {
        let kind = if *is_virtual { KeyspaceKind::Virtual } else { KeyspaceKind::System };
        let options = KeyspaceOptions { replication: replication_of(name), durable_writes: true };
        keyspaces.push(Keyspace::new(KeyspaceId(id), (*name).to_string(), kind, options));
    }
    for (id, definition) in (1..).zip(definitions::all()) {
        let table = table(TableId(id), &definition);
        if let Some(keyspace) = keyspaces.iter_mut().find(|k| k.name == definition.keyspace) {
            keyspace.tables.insert(table.name.clone(), Arc::new(table));
        }
    }
    keyspaces
}

fn replication_of(keyspace: &str) -> BTreeMap<String, String> {
    let strategy = |name| ("class".to_string(), format!("org.apache.cassandra.locator.{name}"));
    let factor = |n: &str| ("replication_factor".to_string(), n.to_string());
    match keyspace {
        "system_auth" => [strategy("SimpleStrategy"), factor("1")].into(),
        "system_distributed" => [strategy("SimpleStrategy"), factor("3")].into(),
        "system_traces" => [strategy("SimpleStrategy"), factor("2")].into(),
        _ => [strategy("LocalStrategy")].into(),
    }
}

fn table(id: TableId, definition: &definitions::Definition) -> Table {
    let mut next_column_id = 0;
    let mut columns = |list: &[(String, String)], kind| {
        let mut columns: Vec<Column> = Vec::new();
        for (position, (name, ty)) in list.iter().enumerate() {
            columns.push(Column {
                id: ColumnId(next_column_id),
                name: name.clone(),
                ty: type_named(ty),
                kind,
                position: if kind == ColumnKind::Regular { 0 } else { position },
                descending: false,
            });
            next_column_id += 1;
        }
        columns
    };
    let partition_key = columns(&definition.partition_key, ColumnKind::PartitionKey);
    let clustering = columns(&definition.clustering, ColumnKind::Clustering);
    let mut regulars = columns(&definition.others, ColumnKind::Regular);
    regulars.sort_by(|a, b| a.name.cmp(&b.name));
    Table {
        id,
        uuid: uuid_of(definition.keyspace, definition.name),
        keyspace: definition.keyspace.to_string(),
        name: definition.name.to_string(),
        partition_key,
        clustering,
        statics: Vec::new(),
        regulars,
        options: TableOptions { gc_grace_seconds: 0, ..TableOptions::default() },
        dropped: BTreeMap::new(),
        next_column_id,
        counter: false,
        source: TableSource::View,
    }
}

/// The id of an own table, the same on every node: as Cassandra's, a name-based UUID.
fn uuid_of(keyspace: &str, table: &str) -> [u8; 16] {
    let mut digest = Md5::new();
    digest.update(keyspace.as_bytes());
    digest.update(table.as_bytes());
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = digest.finalize().into();
    [a, b, c, d, e, f, (g & 0x0f) | 0x30, h, (i & 0x3f) | 0x80, j, k, l, m, n, o, p]
}

/// The type of that name; only what the definitions use.
fn type_named(name: &str) -> CqlType {
    let inside = |outer: &str| name.strip_prefix(outer)?.strip_suffix('>').map(str::trim);
    if let Some(inner) = inside("frozen<") {
        return type_named(inner).frozen();
    }
    if let Some(inner) = inside("set<") {
        return CqlType::Set(Box::new(type_named(inner))).canonical();
    }
    if let Some(inner) = inside("list<") {
        return CqlType::List(Box::new(type_named(inner).unfrozen().clone())).canonical();
    }
    if let Some((key, value)) = inside("map<").and_then(|inner| inner.split_once(',')) {
        return CqlType::Map(Box::new(type_named(key)), Box::new(type_named(value)));
    }
    if let Some(inner) = inside("tuple<") {
        return CqlType::Tuple(inner.split(',').map(type_named).collect());
    }
    match name {
        "bigint" => CqlType::Bigint,
        "blob" => CqlType::Blob,
        "boolean" => CqlType::Boolean,
        "double" => CqlType::Double,
        "inet" => CqlType::Inet,
        "int" => CqlType::Int,
        "timestamp" => CqlType::Timestamp,
        "timeuuid" => CqlType::Timeuuid,
        "uuid" => CqlType::Uuid,
        _ => CqlType::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_written() {
        for table in keyspaces().iter().flat_map(|keyspace| keyspace.tables.values()) {
            for column in table.columns() {
                let written = definitions::all()
                    .filter(|d| d.keyspace == table.keyspace && d.name == table.name)
                    .flat_map(|d| [d.partition_key, d.clustering, d.others].concat())
                    .find(|(name, _)| *name == column.name)
                    .unwrap()
                    .1;
                assert_eq!(column.ty.to_string().replace(' ', ""), written.replace(' ', ""));
            }
        }
    }

    #[test]
    fn ids_of_own_tables_are_those_of_cassandra() {
        // As every Cassandra shows for system.local.
        let uuid = uuid_of("system", "local");
        assert_eq!(
            uuid::Uuid::from_bytes(uuid).to_string(),
            "7ad54392-bcdd-35a6-8417-4e047860b377"
        );
    }
}
