//! CREATE TABLE.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cql_lite::ast::{ColumnDefinition, CreateTable, Direction, Identifier, TableOption};
use cql_lite::types::CqlType;

use cql_lite::wire::SchemaChangeKind;

use crate::error::{Error, ErrorKind, Result};
use crate::query::guardrails::definition::DefinitionGuard;
use crate::query::type_name;
use crate::schema::{
    Change, Column, ColumnKind, Properties, Schema, Table, TableOptions, TableSource,
};

use super::{
    DdlContext, DdlPlan, NAME_CHARS_MAX, check_modifiable, existing_keyspace, is_valid_name,
    keyspace_of, properties,
};

/// The id of a table's first column; 0 stays free.
const FIRST_COLUMN_ID: u32 = 1;

pub(super) fn create(
    schema: &Schema,
    context: &DdlContext<'_>,
    statement: &CreateTable,
) -> Result<DdlPlan> {
    let keyspace = keyspace_of(&statement.table, context.keyspace)?;
    let name = statement.table.name.as_str();
    let key = PrimaryKeyNames::of(statement, name)?;
    check_modifiable(schema, keyspace)?;
    let tables = &existing_keyspace(schema, keyspace)?.tables;
    if tables.contains_key(name) {
        if statement.if_not_exists {
            return Ok(DdlPlan::nothing());
        }
        let kind =
            ErrorKind::AlreadyExists { keyspace: keyspace.to_owned(), table: name.to_owned() };
        return Err(Error::new(
            kind,
            format!("Cannot add already existing table \"{name}\" to keyspace \"{keyspace}\""),
        ));
    }
    let mut guard = DefinitionGuard::new(context.limits);
    let mut given = given_properties(statement)?;
    guard.properties(&mut given)?;
    guard.columns(name, statement.columns.len())?;
    guard.one_table_more(schema, name)?;
    let options = TableOptions::default().with(&given)?;
    guard.options(&options)?;
    let types = column_types(schema, keyspace, statement, name)?;
    for column in &statement.columns {
        let column = column.name.as_str();
        types.get(column).map_or(Ok(()), |ty| guard.vectors(&format!("Column {column}"), ty))?;
    }
    check_key(&key, &types, statement, name)?;
    let descending = clustering_order(statement, &key.clustering, name)?;
    let counter = check_kinds(statement, &key, &types, &options)?;
    let mut table = Table {
        id: schema.next_table_id(),
        uuid: table_uuid(&given, context)?,
        keyspace: keyspace.to_owned(),
        name: name.to_owned(),
        partition_key: Vec::new(),
        clustering: Vec::new(),
        statics: Vec::new(),
        regulars: Vec::new(),
        options,
        dropped: BTreeMap::new(),
        next_column_id: FIRST_COLUMN_ID,
        counter,
        source: TableSource::Stored,
    };
    let mut warnings = guard.into_warnings();
    warnings.extend(table.options.warnings(&given));
    add_columns(&mut table, statement, &key, types, &descending);
    check_name(keyspace, name)?;
    let change = Change::PutTable(Arc::new(table));
    let plan = DdlPlan::table(change, SchemaChangeKind::Created, keyspace, name);
    Ok(DdlPlan { warnings, ..plan })
}

/// The names of the primary key, wherever it was written.
struct PrimaryKeyNames<'a> {
    partition: Vec<&'a Identifier>,
    clustering: Vec<&'a Identifier>,
}

impl<'a> PrimaryKeyNames<'a> {
    fn of(statement: &'a CreateTable, name: &str) -> Result<PrimaryKeyNames<'a>> {
        let mut keys: Vec<PrimaryKeyNames<'a>> = Vec::new();
        for column in statement.columns.iter().filter(|column| column.primary_key) {
            keys.push(PrimaryKeyNames { partition: vec![&column.name], clustering: Vec::new() });
        }
        keys.extend(statement.primary_keys.iter().map(|key| PrimaryKeyNames {
            partition: key.partition.iter().collect(),
            clustering: key.clustering.iter().collect(),
        }));
        if keys.len() > 1 {
            return Err(Error::invalid(format!(
                "Multiple PRIMARY KEY specified for table '{name}' (exactly one required)"
            )));
        }
        // The missing letter is Cassandra's.
        keys.pop().ok_or_else(|| {
            Error::invalid(format!(
                "No PRIMARY KEY specifed for table '{name}' (exactly one required)"
            ))
        })
    }

    fn all(&self) -> impl Iterator<Item = &'a Identifier> {
        self.partition.iter().chain(&self.clustering).copied()
    }

    fn contains(&self, name: &str) -> bool {
        self.all().any(|column| column.as_str() == name)
    }
}

fn given_properties(statement: &CreateTable) -> Result<Properties> {
    if statement.options.iter().any(|option| matches!(option, TableOption::CompactStorage(_))) {
        return Err(Error::invalid(
            "Guardrail compact_tables violated: Creation of new COMPACT STORAGE tables is not \
             allowed",
        ));
    }
    properties(statement.options.iter().filter_map(|option| match option {
        TableOption::Property(property) => Some(property),
        _ => None,
    }))
}

fn table_uuid(given: &Properties, context: &DdlContext<'_>) -> Result<[u8; 16]> {
    let Some(text) = given.text("id")? else { return Ok(context.uuid) };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let hex = std::str::from_utf8(&digits).unwrap_or_default();
    if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::config("Invalid table id"));
    }
    let mut uuid = [0; 16];
    for (at, byte) in uuid.iter_mut().enumerate() {
        let pair = hex.get(2 * at..2 * at + 2).unwrap_or_default();
        *byte = u8::from_str_radix(pair, 16).map_err(|_| Error::config("Invalid table id"))?;
    }
    Ok(uuid)
}

fn column_types<'a>(
    schema: &Schema,
    keyspace: &str,
    statement: &'a CreateTable,
    table: &str,
) -> Result<BTreeMap<&'a str, CqlType>> {
    let mut seen = BTreeSet::new();
    for column in &statement.columns {
        if !seen.insert(column.name.as_str()) {
            return Err(Error::invalid(format!(
                "Duplicate column '{}' declaration for table '{table}'",
                column.name.as_str()
            )));
        }
    }
    let mut types = BTreeMap::new();
    for column in &statement.columns {
        check_mask(column)?;
        let ty = type_name::resolve(schema, keyspace, &column.type_name)?;
        types.insert(column.name.as_str(), ty);
    }
    for ty in types.values() {
        check_bare_udt(ty, "")?;
    }
    Ok(types)
}

/// Masks need a feature that is off.
pub(super) fn check_mask(column: &ColumnDefinition) -> Result<()> {
    if column.mask.is_some() {
        return Err(super::off::masking());
    }
    Ok(())
}

/// A UDT that is stored field by field may not hold collections stored element by element.
pub(super) fn check_bare_udt(ty: &CqlType, suffix: &str) -> Result<()> {
    if let CqlType::Udt(udt) = ty
        && udt.fields.iter().any(|(_, field)| field.is_multi_cell())
    {
        return Err(Error::invalid(format!(
            "Non-frozen UDTs with nested non-frozen collections are not supported{suffix}"
        )));
    }
    Ok(())
}

fn check_key(
    key: &PrimaryKeyNames<'_>,
    types: &BTreeMap<&str, CqlType>,
    statement: &CreateTable,
    table: &str,
) -> Result<()> {
    let mut seen = BTreeSet::new();
    for column in key.all().map(Identifier::as_str) {
        let Some(ty) = types.get(column) else {
            return Err(Error::invalid(format!(
                "Unknown column '{column}' referenced in PRIMARY KEY for table '{table}'"
            )));
        };
        if !seen.insert(column) {
            return Err(Error::invalid(format!(
                "Duplicate column '{column}' in PRIMARY KEY clause for table '{table}'"
            )));
        }
        if ty.is_multi_cell() {
            let what = if ty.is_collection() { "collection" } else { "user-defined" };
            return Err(Error::invalid(format!(
                "Invalid non-frozen {what} type {ty} for PRIMARY KEY column '{column}'"
            )));
        }
        if ty.is_counter() {
            return Err(Error::invalid(format!(
                "counter type is not supported for PRIMARY KEY column '{column}'"
            )));
        }
        if ty.contains_duration() {
            return Err(Error::invalid(format!(
                "duration type is not supported for PRIMARY KEY column '{column}'"
            )));
        }
        if statement.columns.iter().any(|c| c.is_static && c.name.as_str() == column) {
            return Err(Error::invalid(format!(
                "Static column '{column}' cannot be part of the PRIMARY KEY"
            )));
        }
    }
    Ok(())
}

/// Which clustering columns descend.
fn clustering_order(
    statement: &CreateTable,
    clustering: &[&Identifier],
    table: &str,
) -> Result<Vec<bool>> {
    let mut order: Vec<(&str, bool)> = Vec::new();
    for option in &statement.options {
        let TableOption::ClusteringOrder { columns, .. } = option else { continue };
        for (column, direction) in columns {
            let name = column.as_str();
            if order.iter().any(|(seen, _)| *seen == name) {
                return Err(Error::invalid(format!(
                    "Duplicate column '{name}' in CLUSTERING ORDER BY clause for table '{table}'"
                )));
            }
            order.push((name, *direction == Direction::Descending));
        }
    }
    if order.len() > clustering.len() {
        return Err(Error::invalid(
            "Only clustering columns can be defined in CLUSTERING ORDER directive",
        ));
    }
    for ((ordered, _), column) in order.iter().zip(clustering) {
        let column = column.as_str();
        if *ordered == column {
            continue;
        }
        if order.iter().any(|(name, _)| *name == column) {
            return Err(Error::invalid(format!(
                "The order of columns in the CLUSTERING ORDER directive must match that of the \
                 clustering columns ({column} must appear before {ordered})"
            )));
        }
        return Err(Error::invalid(format!("Missing CLUSTERING ORDER for column {column}")));
    }
    let direction = |at: usize| order.get(at).is_some_and(|(_, descending)| *descending);
    Ok((0..clustering.len()).map(direction).collect())
}

/// Checks statics and counters; returns whether this is a counter table.
fn check_kinds(
    statement: &CreateTable,
    key: &PrimaryKeyNames<'_>,
    types: &BTreeMap<&str, CqlType>,
    options: &TableOptions,
) -> Result<bool> {
    if key.clustering.is_empty() && statement.columns.iter().any(|column| column.is_static) {
        return Err(Error::invalid(
            "Static columns are only useful (and thus allowed) if the table has at least one \
             clustering column",
        ));
    }
    let counter = types.values().any(CqlType::is_counter);
    if counter {
        if types.iter().any(|(name, ty)| !key.contains(name) && !ty.is_counter()) {
            return Err(Error::invalid(
                "Cannot mix counter and non counter columns in the same table",
            ));
        }
        if options.default_time_to_live > 0 {
            return Err(Error::invalid("Cannot set default_time_to_live on a table with counters"));
        }
    }
    Ok(counter)
}

fn add_columns(
    table: &mut Table,
    statement: &CreateTable,
    key: &PrimaryKeyNames<'_>,
    types: BTreeMap<&str, CqlType>,
    descending: &[bool],
) {
    let parts =
        [(&key.partition, ColumnKind::PartitionKey), (&key.clustering, ColumnKind::Clustering)];
    for (names, kind) in parts {
        for (position, name) in names.iter().enumerate() {
            let Some(ty) = types.get(name.as_str()) else { continue };
            let descending = kind == ColumnKind::Clustering
                && descending.get(position).copied().unwrap_or_default();
            let id = table.take_column_id();
            let name = name.as_str().to_owned();
            table.insert_column(Column { id, name, ty: ty.clone(), kind, position, descending });
        }
    }
    for (name, ty) in types {
        if key.contains(name) {
            continue;
        }
        let is_static = statement.columns.iter().any(|c| c.is_static && c.name.as_str() == name);
        let kind = if is_static { ColumnKind::Static } else { ColumnKind::Regular };
        let id = table.take_column_id();
        let name = name.to_owned();
        table.insert_column(Column { id, name, ty, kind, position: 0, descending: false });
    }
}

fn check_name(keyspace: &str, name: &str) -> Result<()> {
    if is_valid_name(name) {
        return Ok(());
    }
    Err(Error::config(format!(
        "{keyspace}.{name}: Table name must not be empty, more than {NAME_CHARS_MAX} characters \
         long, or contain non-alphanumeric-underscore characters (got \"{name}\")"
    )))
}
