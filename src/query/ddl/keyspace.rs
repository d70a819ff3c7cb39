//! CREATE, ALTER and DROP KEYSPACE.

use cql_lite::ast::{AlterKeyspace, CreateKeyspace, DropKeyspace};

use cql_lite::wire::SchemaChangeKind;

use crate::error::{Error, ErrorKind, Result};
use crate::query::guardrails::definition::{DefinitionGuard, check_drop_keyspace};
use crate::schema::{
    Change, KeyspaceDefinition, KeyspaceKind, KeyspaceOptions, Properties, Schema,
};

use super::{DdlContext, DdlPlan, check_modifiable, properties, replication};

const NAMES: [&str; 2] = ["durable_writes", "replication"];

pub(super) fn create(
    schema: &Schema,
    context: &DdlContext<'_>,
    statement: &CreateKeyspace,
) -> Result<DdlPlan> {
    let name = statement.keyspace.as_str();
    check_modifiable(schema, name)?;
    let given = properties(&statement.properties)?;
    given.check_names(&NAMES)?;
    let Some(map) = given.map("replication")? else {
        return Err(Error::invalid("Missing mandatory option 'replication'"));
    };
    if schema.keyspace(name).is_some() {
        if statement.if_not_exists {
            return Ok(DdlPlan::nothing());
        }
        let kind = ErrorKind::AlreadyExists { keyspace: name.to_owned(), table: String::new() };
        return Err(Error::new(kind, format!("Cannot add existing keyspace \"{name}\"")));
    }
    let mut guard = DefinitionGuard::new(context.limits);
    guard.one_keyspace_more(schema, name)?;
    let replication = replication::normalize(context, name, map, None, &mut guard)?;
    let options = KeyspaceOptions { replication, durable_writes: durable_writes(&given, true)? };
    let change = Change::PutKeyspace(KeyspaceDefinition {
        id: schema.next_keyspace_id(),
        name: name.to_owned(),
        kind: KeyspaceKind::User,
        options,
    });
    let plan = DdlPlan::keyspace(change, SchemaChangeKind::Created, name);
    Ok(DdlPlan { warnings: guard.into_warnings(), ..plan })
}

pub(super) fn alter(
    schema: &Schema,
    context: &DdlContext<'_>,
    statement: &AlterKeyspace,
) -> Result<DdlPlan> {
    let name = statement.keyspace.as_str();
    check_modifiable(schema, name)?;
    let given = properties(&statement.properties)?;
    given.check_names(&NAMES)?;
    let Some(keyspace) = schema.keyspace(name) else {
        return missing(name, statement.if_exists);
    };
    let mut options = keyspace.options.clone();
    let mut guard = DefinitionGuard::new(context.limits);
    if let Some(map) = given.map("replication")? {
        let previous = Some(&keyspace.options.replication);
        options.replication = replication::normalize(context, name, map, previous, &mut guard)?;
    }
    options.durable_writes = durable_writes(&given, options.durable_writes)?;
    let change = Change::PutKeyspace(KeyspaceDefinition {
        id: keyspace.id,
        name: name.to_owned(),
        kind: keyspace.kind,
        options,
    });
    let plan = DdlPlan::keyspace(change, SchemaChangeKind::Updated, name);
    Ok(DdlPlan { warnings: guard.into_warnings(), ..plan })
}

pub(super) fn drop(
    schema: &Schema,
    context: &DdlContext<'_>,
    statement: &DropKeyspace,
) -> Result<DdlPlan> {
    let name = statement.keyspace.as_str();
    check_modifiable(schema, name)?;
    check_drop_keyspace(context.limits)?;
    if schema.keyspace(name).is_none() {
        return missing(name, statement.if_exists);
    }
    let change = Change::DropKeyspace { name: name.to_owned() };
    Ok(DdlPlan::keyspace(change, SchemaChangeKind::Dropped, name))
}

fn missing(name: &str, if_exists: bool) -> Result<DdlPlan> {
    if if_exists {
        return Ok(DdlPlan::nothing());
    }
    Err(Error::invalid(format!("Keyspace '{name}' doesn't exist")))
}

fn durable_writes(given: &Properties, otherwise: bool) -> Result<bool> {
    Ok(given.boolean("durable_writes")?.unwrap_or(otherwise))
}
