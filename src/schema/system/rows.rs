//! The rows of `system_schema` and `system_virtual_schema`, computed from a snapshot.
//!
//! A row is its values in the order of the table's columns (`Table::columns`).

use std::collections::BTreeMap;

use super::super::{Column, Keyspace, KeyspaceKind, Schema, Table, TableOptions};
use super::values::{Cell, bigint, boolean, double, int, map, text, texts, uuid};

/// Keyspaces whose rows are wanted, by name; none: of all. It is the partition key of all tables
/// here, so what a statement does not name costs nothing.
pub type Wanted<'a> = Option<&'a [&'a [u8]]>;

/// The rows of the table of that name, or `None` if it does not follow from the schema.
#[must_use]
pub fn rows(
    schema: &Schema,
    keyspace: &str,
    table: &str,
    wanted: Wanted<'_>,
) -> Option<Vec<Vec<Cell>>> {
    let stored = |schema| stored(schema, wanted);
    let computed = |schema| computed(schema, wanted);
    match (keyspace, table) {
        ("system_schema", "keyspaces") => Some(stored(schema).map(keyspace_row).collect()),
        ("system_schema", "tables") => Some(tables(stored(schema)).map(table_row).collect()),
        ("system_schema", "columns") => Some(columns(stored(schema))),
        ("system_schema", "dropped_columns") => Some(dropped_columns(stored(schema))),
        ("system_schema", "types") => Some(types(stored(schema))),
        ("system_schema", _) => Some(Vec::new()),
        ("system_virtual_schema", "keyspaces") => {
            Some(computed(schema).map(|keyspace| vec![text(&keyspace.name)]).collect())
        }
        ("system_virtual_schema", "tables") => Some(
            tables(computed(schema))
                .map(|t| vec![text(&t.keyspace), text(&t.name), text(&t.options.comment)])
                .collect(),
        ),
        ("system_virtual_schema", "columns") => Some(columns(computed(schema))),
        _ => None,
    }
}

fn stored<'a>(
    schema: &'a Schema,
    wanted: Wanted<'a>,
) -> impl Iterator<Item = &'a Keyspace> + use<'a> {
    named(schema, wanted).filter(|keyspace| keyspace.kind != KeyspaceKind::Virtual)
}

fn computed<'a>(
    schema: &'a Schema,
    wanted: Wanted<'a>,
) -> impl Iterator<Item = &'a Keyspace> + use<'a> {
    named(schema, wanted).filter(|keyspace| keyspace.kind == KeyspaceKind::Virtual)
}

fn named<'a>(
    schema: &'a Schema,
    wanted: Wanted<'a>,
) -> impl Iterator<Item = &'a Keyspace> + use<'a> {
    let is_wanted = move |keyspace: &&Keyspace| {
        wanted.is_none_or(|names| names.contains(&keyspace.name.as_bytes()))
    };
    schema.keyspaces().values().map(AsRef::as_ref).filter(is_wanted)
}

fn tables<'a>(keyspaces: impl Iterator<Item = &'a Keyspace>) -> impl Iterator<Item = &'a Table> {
    keyspaces.flat_map(|keyspace| keyspace.tables.values().map(AsRef::as_ref))
}

fn text_map(entries: &BTreeMap<String, String>) -> Cell {
    map(entries)
}

fn keyspace_row(keyspace: &Keyspace) -> Vec<Cell> {
    let options = &keyspace.options;
    vec![text(&keyspace.name), boolean(options.durable_writes), text_map(&options.replication)]
}

/// In the order of the columns: the two keys, then the others by name.
fn table_row(table: &Table) -> Vec<Cell> {
    let mut cells: BTreeMap<&str, Cell> = option_cells(&table.options);
    // Without `compound`, drivers take the table for one WITH COMPACT STORAGE.
    let flags: &[&str] = if table.counter { &["compound", "counter"] } else { &["compound"] };
    cells.insert("flags", texts(flags));
    cells.insert("id", uuid(table.uuid));
    [text(&table.keyspace), text(&table.name)].into_iter().chain(cells.into_values()).collect()
}

fn option_cells(options: &TableOptions) -> BTreeMap<&'static str, Cell> {
    BTreeMap::from([
        ("additional_write_policy", text(&options.additional_write_policy)),
        ("allow_auto_snapshot", boolean(options.allow_auto_snapshot)),
        ("bloom_filter_fp_chance", double(options.bloom_filter_fp_chance)),
        ("caching", text_map(&options.caching.as_map())),
        ("cdc", boolean(options.cdc)),
        ("comment", text(&options.comment)),
        ("compaction", text_map(&options.compaction)),
        ("compression", text_map(&options.compression)),
        ("crc_check_chance", double(options.crc_check_chance)),
        ("dclocal_read_repair_chance", double(0.0)),
        ("default_time_to_live", int(options.default_time_to_live)),
        ("extensions", map(&options.extensions)),
        ("gc_grace_seconds", int(options.gc_grace_seconds)),
        ("incremental_backups", boolean(options.incremental_backups)),
        ("max_index_interval", int(options.max_index_interval)),
        // Cassandra shows the default memtable as null.
        ("memtable", Some(&options.memtable).filter(|name| *name != "default").and_then(text)),
        ("memtable_flush_period_in_ms", int(options.memtable_flush_period_in_ms)),
        ("min_index_interval", int(options.min_index_interval)),
        ("read_repair", text(options.read_repair.name())),
        ("read_repair_chance", double(0.0)),
        ("speculative_retry", text(&options.speculative_retry)),
    ])
}

fn columns<'a>(keyspaces: impl Iterator<Item = &'a Keyspace>) -> Vec<Vec<Cell>> {
    let row = |table: &Table, column: &Column| {
        vec![
            text(&table.keyspace),
            text(&table.name),
            text(&column.name),
            text(column.clustering_order()),
            Some(column.name.as_bytes().to_vec()),
            text(column.kind.name()),
            int(column.schema_position()),
            text(column.ty.to_string()),
        ]
    };
    tables(keyspaces).flat_map(|table| table.columns().map(move |c| row(table, c))).collect()
}

fn dropped_columns<'a>(keyspaces: impl Iterator<Item = &'a Keyspace>) -> Vec<Vec<Cell>> {
    tables(keyspaces)
        .flat_map(|table| {
            table.dropped.values().map(|dropped| {
                vec![
                    text(&table.keyspace),
                    text(&table.name),
                    text(&dropped.column.name),
                    bigint(dropped.dropped_at / 1000),
                    text(dropped.column.kind.name()),
                    text(dropped.column.ty.to_string()),
                ]
            })
        })
        .collect()
}

fn types<'a>(keyspaces: impl Iterator<Item = &'a Keyspace>) -> Vec<Vec<Cell>> {
    keyspaces
        .flat_map(|keyspace| keyspace.types.values())
        .map(|udt| {
            vec![
                text(&udt.keyspace),
                text(&udt.name),
                texts(udt.fields.iter().map(|(name, _)| name)),
                texts(udt.fields.iter().map(|(_, ty)| ty.to_string())),
            ]
        })
        .collect()
}
