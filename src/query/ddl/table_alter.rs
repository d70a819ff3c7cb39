//! ALTER TABLE.

use std::sync::Arc;

use cql_lite::ast::{AlterTable, ColumnDefinition, Identifier, TableAlteration};
use cql_lite::types::names::maybe_quote;

use cql_lite::wire::SchemaChangeKind;

use crate::error::{Error, Result};
use crate::query::guardrails::definition::DefinitionGuard;
use crate::query::type_name;
use crate::schema::{Change, Column, ColumnKind, DroppedColumn, Properties, Schema, Table};

use super::table_create::{check_bare_udt, check_mask};
use super::{DdlContext, DdlPlan, check_modifiable, keyspace_of, off, properties};

pub(super) fn alter(
    schema: &Schema,
    context: &DdlContext<'_>,
    statement: &AlterTable,
) -> Result<DdlPlan> {
    let keyspace = keyspace_of(&statement.table, context.keyspace)?;
    let name = statement.table.name.as_str();
    check_modifiable(schema, keyspace)?;
    let Some(old) = schema.table(keyspace, name) else {
        if statement.if_exists {
            return Ok(DdlPlan::nothing());
        }
        return Err(Error::invalid(format!("Table '{keyspace}.{name}' doesn't exist")));
    };
    let mut table = Table::clone(old);
    let mut guard = DefinitionGuard::new(context.limits);
    let mut warnings = Vec::new();
    if changes_columns(&statement.alteration) {
        guard.alter_columns()?;
    }
    match &statement.alteration {
        TableAlteration::ColumnType { .. } => {
            return Err(Error::invalid("Altering column types is no longer supported"));
        }
        TableAlteration::Mask { if_exists, column, mask } => {
            check_masked_column(&table, column, *if_exists, mask.is_some())?;
        }
        TableAlteration::Add { if_not_exists, columns } => {
            for column in columns {
                add_column(schema, &mut table, column, *if_not_exists, &mut guard)?;
            }
            guard.columns(name, table.columns().count())?;
        }
        TableAlteration::Drop { if_exists, columns, timestamp } => {
            let dropped_at = timestamp.unwrap_or(context.now);
            for column in columns {
                drop_column(&mut table, column, *if_exists, dropped_at)?;
            }
        }
        TableAlteration::Rename { if_exists, renames } => {
            for (from, to) in renames {
                rename_column(&mut table, from, to, *if_exists)?;
            }
        }
        TableAlteration::DropCompactStorage => {
            return Err(Error::invalid(
                "DROP COMPACT STORAGE is disabled. Enable in cassandra.yaml to use.",
            ));
        }
        TableAlteration::Properties(list) => {
            let mut given = properties(list)?;
            guard.properties(&mut given)?;
            set_options(&mut table, &given)?;
            if ["compaction", "compression", "default_time_to_live"].iter().any(|p| given.has(p)) {
                guard.options(&table.options)?;
            }
            warnings = table.options.warnings(&given);
        }
    }
    warnings.splice(0..0, guard.into_warnings());
    if table == **old {
        return Ok(DdlPlan { warnings, ..DdlPlan::nothing() });
    }
    let change = Change::PutTable(Arc::new(table));
    let plan = DdlPlan::table(change, SchemaChangeKind::Updated, keyspace, name);
    Ok(DdlPlan { warnings, ..plan })
}

fn changes_columns(alteration: &TableAlteration) -> bool {
    matches!(
        alteration,
        TableAlteration::Add { .. } | TableAlteration::Drop { .. } | TableAlteration::Rename { .. }
    )
}

/// `keyspace.table` as Cassandra shows it in messages.
fn full_name(table: &Table) -> String {
    format!("{}.{}", maybe_quote(&table.keyspace), maybe_quote(&table.name))
}

fn check_masked_column(
    table: &Table,
    column: &Identifier,
    if_exists: bool,
    adds_mask: bool,
) -> Result<()> {
    if adds_mask {
        return Err(off::masking());
    }
    if table.column(column.as_str()).is_none() && !if_exists {
        return Err(Error::invalid(format!(
            "Column with name '{}' doesn't exist on table '{}'",
            column.as_str(),
            table.name
        )));
    }
    Ok(())
}

fn add_column(
    schema: &Schema,
    table: &mut Table,
    definition: &ColumnDefinition,
    if_not_exists: bool,
    guard: &mut DefinitionGuard<'_>,
) -> Result<()> {
    check_mask(definition)?;
    let name = definition.name.as_str();
    let ty = type_name::resolve(schema, &table.keyspace, &definition.type_name)?;
    guard.vectors(&format!("Column {name}"), &ty)?;
    if table.column(name).is_some() {
        if if_not_exists {
            return Ok(());
        }
        return Err(Error::invalid(format!("Column with name '{name}' already exists")));
    }
    if definition.is_static && !table.is_clustered() {
        return Err(Error::invalid(
            "Static columns are only useful (and thus allowed) if the table has at least one \
             clustering column",
        ));
    }
    check_bare_udt(&ty, &format!(" for column {name}"))?;
    let kind = if definition.is_static { ColumnKind::Static } else { ColumnKind::Regular };
    check_dropped(table, name, &ty, kind)?;
    if table.counter != ty.is_counter() && table.counter {
        return Err(Error::config(format!(
            "{}.{}: Cannot have a non counter column (\"{name}\") in a counter table",
            table.keyspace, table.name
        )));
    }
    if table.counter != ty.is_counter() {
        return Err(Error::config(format!(
            "{}.{}: Cannot have a counter column (\"{name}\") in a non counter table",
            table.keyspace, table.name
        )));
    }
    table.dropped.remove(name);
    let id = table.take_column_id();
    let name = name.to_owned();
    table.insert_column(Column { id, name, ty, kind, position: 0, descending: false });
    Ok(())
}

/// What Cassandra refuses when a dropped column's name comes back. Helenus could allow it (the
/// new column has a new id), but a statement that works on one node must work on the other.
fn check_dropped(
    table: &Table,
    name: &str,
    ty: &cql_lite::types::CqlType,
    kind: ColumnKind,
) -> Result<()> {
    let Some(dropped) = table.dropped.get(name).map(|dropped| &dropped.column) else {
        return Ok(());
    };
    let same_shape = ty.is_multi_cell() == dropped.ty.is_multi_cell();
    if !same_shape || !ty.is_value_compatible_with(&dropped.ty) {
        return Err(Error::invalid(format!(
            "Cannot re-add previously dropped column '{name}' of type {ty}, incompatible with \
             previous type {}",
            dropped.ty
        )));
    }
    if dropped.kind != kind {
        return Err(Error::invalid(format!(
            "Cannot re-add previously dropped column '{name}' of kind {}, incompatible with \
             previous kind {}",
            kind.name().to_uppercase(),
            dropped.kind.name().to_uppercase()
        )));
    }
    if table.counter {
        return Err(Error::invalid(format!(
            "Cannot re-add previously dropped counter column {name}"
        )));
    }
    Ok(())
}

fn drop_column(
    table: &mut Table,
    column: &Identifier,
    if_exists: bool,
    dropped_at: i64,
) -> Result<()> {
    let name = column.as_str();
    let Some(current) = table.column(name) else {
        if if_exists {
            return Ok(());
        }
        return Err(Error::invalid(format!(
            "Column {name} was not found in table '{}'",
            full_name(table)
        )));
    };
    if current.kind.is_key() {
        return Err(Error::invalid(format!("Cannot drop PRIMARY KEY column {name}")));
    }
    if current.ty.is_udt() && current.ty.is_multi_cell() {
        return Err(Error::invalid(format!(
            "Cannot drop non-frozen column {name} of user type {}",
            current.ty
        )));
    }
    if let Some(column) = table.remove_column(name) {
        table.dropped.insert(name.to_owned(), DroppedColumn { column, dropped_at });
    }
    Ok(())
}

fn rename_column(
    table: &mut Table,
    from: &Identifier,
    to: &Identifier,
    if_exists: bool,
) -> Result<()> {
    let (old, new) = (from.as_str(), to.as_str());
    let Some(column) = table.column(old) else {
        if if_exists {
            return Ok(());
        }
        return Err(Error::invalid(format!(
            "Undefined column name {} in table {}",
            maybe_quote(old),
            full_name(table)
        )));
    };
    if !column.kind.is_key() {
        return Err(Error::invalid(format!("Cannot rename non PRIMARY KEY column {old}")));
    }
    if table.column(new).is_some() {
        return Err(Error::invalid(format!(
            "Cannot rename column {old} to {new} in table '{}'; another column with that name \
             already exists",
            full_name(table)
        )));
    }
    let keys = table.partition_key.iter_mut().chain(&mut table.clustering);
    for column in keys.filter(|column| column.name == old) {
        column.name = new.to_owned();
    }
    Ok(())
}

fn set_options(table: &mut Table, given: &Properties) -> Result<()> {
    if given.has("id") {
        return Err(Error::config("Cannot alter table id."));
    }
    table.options = table.options.clone().with(given)?;
    if table.counter && table.options.default_time_to_live > 0 {
        return Err(Error::invalid("Cannot set default_time_to_live on a table with counters"));
    }
    Ok(())
}
