//! CREATE, ALTER and DROP TYPE.
//!
//! Definitions carry the types they use in full, so a type that changes changes every definition
//! that uses it: types in which it nests, and tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use cql_lite::ast::{AlterType, CreateType, Drop, Identifier, TypeAlteration, TypeName};
use cql_lite::types::names::maybe_quote;
use cql_lite::types::{CqlType, UdtType};

use cql_lite::wire::SchemaChangeKind;

use crate::error::{Error, Result};
use crate::query::guardrails::definition::DefinitionGuard;
use crate::query::type_name;
use crate::schema::{Change, Column, Keyspace, Schema, Table};

use super::{DdlContext, DdlPlan, check_modifiable, existing_keyspace, keyspace_of};

pub(super) fn create(
    schema: &Schema,
    context: &DdlContext<'_>,
    statement: &CreateType,
) -> Result<DdlPlan> {
    let keyspace = keyspace_of(&statement.name, context.keyspace)?;
    let name = statement.name.name.as_str();
    check_modifiable(schema, keyspace)?;
    if existing_keyspace(schema, keyspace)?.types.contains_key(name) {
        if statement.if_not_exists {
            return Ok(DdlPlan::nothing());
        }
        return Err(Error::invalid(format!("A user type with name '{name}' already exists")));
    }
    let mut seen = BTreeSet::new();
    for (field, _) in &statement.fields {
        if !seen.insert(field.as_str()) {
            return Err(Error::invalid(format!(
                "Duplicate field name '{}' in type '{name}'",
                field.as_str()
            )));
        }
    }
    for (_, ty) in &statement.fields {
        check_field_type(ty)?;
    }
    let field = |(field, ty): &(Identifier, TypeName)| -> Result<(String, CqlType)> {
        Ok((field.name.clone(), type_name::resolve(schema, keyspace, ty)?))
    };
    let fields: Vec<(String, CqlType)> =
        statement.fields.iter().map(field).collect::<Result<_>>()?;
    let mut guard = DefinitionGuard::new(context.limits);
    guard.fields(name, fields.len())?;
    for (field, ty) in &fields {
        guard.vectors(&format!("Field {field}"), ty)?;
    }
    let udt = UdtType { keyspace: keyspace.to_owned(), name: name.to_owned(), fields };
    let change = Change::PutType(Arc::new(udt));
    let plan = DdlPlan::user_type(change, SchemaChangeKind::Created, keyspace, name);
    Ok(DdlPlan { warnings: guard.into_warnings(), ..plan })
}

fn check_field_type(ty: &TypeName) -> Result<()> {
    if type_name::is_counter(ty) {
        return Err(Error::invalid("A user type cannot contain counters"));
    }
    if type_name::is_bare_user_type(ty) {
        return Err(Error::invalid("A user type cannot contain non-frozen UDTs"));
    }
    Ok(())
}

pub(super) fn alter(
    schema: &Schema,
    context: &DdlContext<'_>,
    statement: &AlterType,
) -> Result<DdlPlan> {
    let keyspace_name = keyspace_of(&statement.name, context.keyspace)?;
    let name = statement.name.name.as_str();
    check_modifiable(schema, keyspace_name)?;
    let found = schema
        .keyspace(keyspace_name)
        .and_then(|keyspace| keyspace.types.get(name).map(|udt| (keyspace, udt)));
    let Some((keyspace, old)) = found else {
        if statement.if_exists {
            return Ok(DdlPlan::nothing());
        }
        return Err(Error::invalid(format!("Type {keyspace_name}.{name} doesn't exist")));
    };
    let new = match &statement.alteration {
        TypeAlteration::FieldType { .. } => {
            return Err(Error::invalid("Altering field types is no longer supported"));
        }
        TypeAlteration::Add { if_not_exists, field, type_name } => {
            with_field(schema, keyspace, old, field, type_name, *if_not_exists)?
        }
        TypeAlteration::Rename { if_exists, renames } => {
            with_renamed_fields(old, renames, *if_exists)?
        }
    };
    if new == **old {
        return Ok(DdlPlan::nothing());
    }
    let mut guard = DefinitionGuard::new(context.limits);
    if let Some((field, ty)) = new.fields.get(old.fields.len()) {
        guard.fields(name, new.fields.len())?;
        guard.vectors(&format!("Field {field}"), ty)?;
    }
    let new = Arc::new(new);
    let first = Change::PutType(Arc::clone(&new));
    let mut plan = DdlPlan::user_type(first, SchemaChangeKind::Updated, keyspace_name, name);
    plan.changes.extend(dependents(keyspace, &new));
    plan.warnings = guard.into_warnings();
    Ok(plan)
}

/// `keyspace.type` as Cassandra shows it in messages.
fn full_name(udt: &UdtType) -> String {
    format!("{}.{}", maybe_quote(&udt.keyspace), maybe_quote(&udt.name))
}

fn with_field(
    schema: &Schema,
    keyspace: &Keyspace,
    old: &UdtType,
    field: &Identifier,
    ty: &TypeName,
    if_not_exists: bool,
) -> Result<UdtType> {
    let mut new = old.clone();
    let (field, type_shown) = (field.as_str(), full_name(old));
    if old.field(field).is_some() {
        if if_not_exists {
            return Ok(new);
        }
        return Err(Error::invalid(format!(
            "Cannot add field {field} to type {type_shown}: a field with name {field} already \
             exists"
        )));
    }
    check_field_type(ty)?;
    let field_type = type_name::resolve(schema, &keyspace.name, ty)?;
    if field_type.references_udt(&old.keyspace, &old.name) {
        return Err(Error::invalid(format!(
            "Cannot add new field {field} of type {ty} to user type {type_shown} as it would \
             create a circular reference"
        )));
    }
    let in_key = |table: &&Arc<Table>| {
        table.partition_key.iter().any(|c| c.ty.references_udt(&old.keyspace, &old.name))
    };
    let users: Vec<String> = keyspace
        .tables
        .values()
        .filter(in_key)
        .map(|table| format!("{}.{}", maybe_quote(&table.keyspace), maybe_quote(&table.name)))
        .collect();
    if !users.is_empty() {
        return Err(Error::invalid(format!(
            "Cannot add new field {field} of type {ty} to user type {type_shown} as the type is \
             being used in partition key by the following tables: {}",
            users.join(", ")
        )));
    }
    new.fields.push((field.to_owned(), field_type));
    Ok(new)
}

fn with_renamed_fields(
    old: &UdtType,
    renames: &[(Identifier, Identifier)],
    if_exists: bool,
) -> Result<UdtType> {
    let mut new = old.clone();
    for (from, to) in renames {
        let at = old.fields.iter().position(|(name, _)| name == from.as_str());
        match at.and_then(|at| new.fields.get_mut(at)) {
            Some(field) => field.0 = to.name.clone(),
            None if if_exists => {}
            // The missing letter is Cassandra's.
            None => {
                return Err(Error::invalid(format!(
                    "Unkown field {} in user type {}",
                    from.as_str(),
                    full_name(old)
                )));
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (name, _) in &new.fields {
        if !seen.insert(name) {
            // Cassandra's format names the keyspace where it means the type.
            return Err(Error::invalid(format!(
                "Duplicate field name {name} in type {}",
                old.keyspace
            )));
        }
    }
    Ok(new)
}

/// The changes that carry a new definition of a type into everything that uses it.
fn dependents(keyspace: &Keyspace, new: &Arc<UdtType>) -> Vec<Change> {
    let mut changes = Vec::new();
    for udt in keyspace.types.values() {
        if udt.name != new.name && udt_uses(udt, new) {
            changes.push(Change::PutType(replace_in_udt(udt, new)));
        }
    }
    for table in keyspace.tables.values() {
        if !table.columns().any(|column| column.ty.references_udt(&new.keyspace, &new.name)) {
            continue;
        }
        let mut table = Table::clone(table);
        let replace = |columns: &mut Vec<Column>| {
            columns.iter_mut().for_each(|column| column.ty = replace(&column.ty, new));
        };
        replace(&mut table.partition_key);
        replace(&mut table.clustering);
        replace(&mut table.statics);
        replace(&mut table.regulars);
        changes.push(Change::PutTable(Arc::new(table)));
    }
    changes
}

fn udt_uses(udt: &UdtType, used: &UdtType) -> bool {
    udt.fields.iter().any(|(_, ty)| ty.references_udt(&used.keyspace, &used.name))
}

fn replace_in_udt(udt: &Arc<UdtType>, new: &Arc<UdtType>) -> Arc<UdtType> {
    if udt.keyspace == new.keyspace && udt.name == new.name {
        return Arc::clone(new);
    }
    if !udt_uses(udt, new) {
        return Arc::clone(udt);
    }
    let fields = udt.fields.iter().map(|(name, ty)| (name.clone(), replace(ty, new))).collect();
    Arc::new(UdtType { keyspace: udt.keyspace.clone(), name: udt.name.clone(), fields })
}

/// A type with every use of a user-defined type replaced by its new definition.
fn replace(ty: &CqlType, new: &Arc<UdtType>) -> CqlType {
    let boxed = |ty: &CqlType| Box::new(replace(ty, new));
    match ty {
        CqlType::List(element) => CqlType::List(boxed(element)),
        CqlType::Set(element) => CqlType::Set(boxed(element)),
        CqlType::Map(key, value) => CqlType::Map(boxed(key), boxed(value)),
        CqlType::Tuple(parts) => {
            CqlType::Tuple(parts.iter().map(|part| replace(part, new)).collect())
        }
        CqlType::Vector(element, dimensions) => CqlType::Vector(boxed(element), *dimensions),
        CqlType::Frozen(inner) => CqlType::Frozen(boxed(inner)),
        CqlType::Udt(udt) => CqlType::Udt(replace_in_udt(udt, new)),
        other => other.clone(),
    }
}

pub(super) fn drop(schema: &Schema, context: &DdlContext<'_>, statement: &Drop) -> Result<DdlPlan> {
    let keyspace_name = keyspace_of(&statement.name, context.keyspace)?;
    let name = statement.name.name.as_str();
    check_modifiable(schema, keyspace_name)?;
    let found = schema.keyspace(keyspace_name).filter(|ks| ks.types.contains_key(name));
    let Some(keyspace) = found else {
        if statement.if_exists {
            return Ok(DdlPlan::nothing());
        }
        return Err(Error::invalid(format!("Type '{keyspace_name}.{name}' doesn't exist")));
    };
    let uses = |ty: &CqlType| ty.references_udt(keyspace_name, name);
    let types: Vec<&str> = keyspace
        .types
        .values()
        .filter(|udt| udt.name != name && udt.fields.iter().any(|(_, ty)| uses(ty)))
        .map(|udt| udt.name.as_str())
        .collect();
    let tables: Vec<&str> = keyspace
        .tables
        .values()
        .filter(|table| table.columns().any(|column| uses(&column.ty)))
        .map(|table| table.name.as_str())
        .collect();
    for (what, users) in [("user types", types), ("tables", tables)] {
        if !users.is_empty() {
            return Err(Error::invalid(format!(
                "Cannot drop user type '{keyspace_name}.{name}' as it is still used by {what} {}",
                users.join(", ")
            )));
        }
    }
    let change = Change::DropType { keyspace: keyspace_name.to_owned(), name: name.to_owned() };
    Ok(DdlPlan::user_type(change, SchemaChangeKind::Dropped, keyspace_name, name))
}
