//! Definitions as the CQL that would make them, line by line as Cassandra's DESCRIBE prints them.

use std::collections::BTreeMap;
use std::fmt::Write;

use cql_lite::types::UdtType;
use cql_lite::types::names::maybe_quote;
use cql_lite::types::text::{hex, java_double, print_uuid};

use super::{Column, ColumnKind, Keyspace, KeyspaceKind, Table, TableOptions, TableSource};

const LOCATOR: &str = "org.apache.cassandra.locator.";

/// A text as a literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn map_literal(map: &BTreeMap<String, String>) -> String {
    let entries: Vec<String> =
        map.iter().map(|(name, value)| format!("{}: {}", literal(name), literal(value))).collect();
    format!("{{{}}}", entries.join(", "))
}

impl Keyspace {
    /// `CREATE KEYSPACE …`
    pub fn create_statement(&self) -> String {
        let name = maybe_quote(&self.name);
        if self.kind == KeyspaceKind::Virtual {
            return format!(
                "/*\nWarning: Keyspace {name} is a virtual keyspace and cannot be recreated with \
                 CQL.\nStructure, for reference:\nVIRTUAL KEYSPACE {name};\n*/"
            );
        }
        let mut options = self.options.replication.clone();
        let class = options.remove("class").unwrap_or_default();
        let mut replication =
            format!("{{'class': {}", literal(class.strip_prefix(LOCATOR).unwrap_or(&class)));
        for (name, value) in &options {
            // Writing to a String cannot fail.
            let _ = write!(replication, ", {}: {}", literal(name), literal(value));
        }
        format!(
            "CREATE KEYSPACE {name} WITH replication = {replication}}} AND durable_writes = {};",
            self.options.durable_writes
        )
    }
}

/// `CREATE TYPE …`
pub fn create_type(udt: &UdtType) -> String {
    let fields: Vec<String> =
        udt.fields.iter().map(|(name, ty)| format!("    {} {ty}", maybe_quote(name))).collect();
    format!(
        "CREATE TYPE {}.{} (\n{}\n);",
        maybe_quote(&udt.keyspace),
        maybe_quote(&udt.name),
        fields.join(",\n")
    )
}

impl Table {
    /// `CREATE TABLE …`; `internals`: with its id.
    pub fn create_statement(&self, internals: bool) -> String {
        let name = format!("{}.{}", maybe_quote(&self.keyspace), maybe_quote(&self.name));
        let structure = format!("{name} (\n{}) WITH ", self.columns_listed());
        if self.source == TableSource::View {
            let comment = literal(&self.options.comment);
            return format!(
                "/*\nWarning: Table {name} is a virtual table and cannot be recreated with CQL.\n\
                 Structure, for reference:\nVIRTUAL TABLE {structure}comment = {comment};\n*/"
            );
        }
        let mut parts = Vec::new();
        if internals {
            parts.push(format!("ID = {}", print_uuid(&self.uuid)));
        }
        if !self.clustering.is_empty() {
            let order = |column: &Column| {
                let direction = if column.descending { "DESC" } else { "ASC" };
                format!("{} {direction}", maybe_quote(&column.name))
            };
            let order: Vec<String> = self.clustering.iter().map(order).collect();
            parts.push(format!("CLUSTERING ORDER BY ({})", order.join(", ")));
        }
        parts.extend(self.options.listed());
        format!("CREATE TABLE {structure}{};", parts.join("\n    AND "))
    }

    /// One line for each column; the primary key at its column if it is a single one.
    fn columns_listed(&self) -> String {
        let single = self.partition_key.len() == 1 && self.clustering.is_empty();
        // Columns stored as several cells come after the others.
        let mut others: Vec<&Column> = self.statics.iter().chain(&self.regulars).collect();
        others.sort_by_key(|column| {
            (column.kind != ColumnKind::Static, column.ty.is_multi_cell(), &column.name)
        });
        let keys = self.partition_key.iter().chain(&self.clustering);
        let mut lines: Vec<String> = keys
            .chain(others)
            .map(|column| {
                let suffix = match column.kind {
                    ColumnKind::Static => " static",
                    ColumnKind::PartitionKey if single => " PRIMARY KEY",
                    _ => "",
                };
                format!("    {} {}{suffix}", maybe_quote(&column.name), column.ty)
            })
            .collect();
        if !single {
            let names = |columns: &[Column]| -> String {
                let names: Vec<String> =
                    columns.iter().map(|column| maybe_quote(&column.name)).collect();
                names.join(", ")
            };
            let partition = match self.partition_key.as_slice() {
                [one] => maybe_quote(&one.name),
                several => format!("({})", names(several)),
            };
            let separator = if self.clustering.is_empty() { "" } else { ", " };
            let clustering = names(&self.clustering);
            lines.push(format!("    PRIMARY KEY ({partition}{separator}{clustering})"));
        }
        lines.join(",\n") + "\n"
    }
}

impl TableOptions {
    /// `name = value` for every option, in the order of the names as Cassandra prints them.
    fn listed(&self) -> Vec<String> {
        let extensions: Vec<String> = self
            .extensions
            .iter()
            .map(|(name, value)| format!("{}: 0x{}", literal(name), hex(value)))
            .collect();
        vec![
            format!("additional_write_policy = {}", literal(&self.additional_write_policy)),
            format!("allow_auto_snapshot = {}", self.allow_auto_snapshot),
            format!("bloom_filter_fp_chance = {}", java_double(self.bloom_filter_fp_chance)),
            format!("caching = {}", map_literal(&self.caching.as_map())),
            format!("cdc = {}", self.cdc),
            format!("comment = {}", literal(&self.comment)),
            format!("compaction = {}", map_literal(&self.compaction)),
            format!("compression = {}", map_literal(&self.compression)),
            format!("memtable = {}", literal(&self.memtable)),
            format!("crc_check_chance = {}", java_double(self.crc_check_chance)),
            format!("default_time_to_live = {}", self.default_time_to_live),
            format!("extensions = {{{}}}", extensions.join(", ")),
            format!("gc_grace_seconds = {}", self.gc_grace_seconds),
            format!("incremental_backups = {}", self.incremental_backups),
            format!("max_index_interval = {}", self.max_index_interval),
            format!("memtable_flush_period_in_ms = {}", self.memtable_flush_period_in_ms),
            format!("min_index_interval = {}", self.min_index_interval),
            format!("read_repair = {}", literal(self.read_repair.name())),
            format!("speculative_retry = {}", literal(&self.speculative_retry)),
        ]
    }
}
