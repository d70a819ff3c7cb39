//! DDL statements become schema changes: a pure function of the schema, the statement and the
//! little that comes from outside (time, a fresh uuid, the data centres there are).
//!
//! The caller proposes the changes to the metadata log; if another entry was faster, it plans
//! again against the newer schema (decision D6).

mod keyspace;
mod off;
mod replication;
mod table_alter;
mod table_create;
mod table_drop;
mod user_type;

use std::collections::BTreeMap;

use cql_lite::ast::{self, QualifiedName, Statement};
use cql_lite::wire::{SchemaChange, SchemaChangeKind, SchemaTarget};

use crate::config::Guardrails as Limits;
use crate::error::{Error, Result};
use crate::schema::{Change, Keyspace, KeyspaceKind, Properties, Property, Schema};

/// Longest name of a keyspace or table, in characters, as in Cassandra.
const NAME_CHARS_MAX: usize = 48;

/// What a plan needs besides schema and statement.
#[derive(Debug, Clone)]
pub struct DdlContext<'a> {
    /// The keyspace in use, for names without one.
    pub keyspace: Option<&'a str>,
    /// Microseconds since the epoch.
    pub now: i64,
    /// Becomes the uuid of a table that is created; fresh for every plan.
    pub uuid: [u8; 16],
    /// Nodes of every data centre.
    pub datacenters: &'a BTreeMap<String, usize>,
    /// How much the schema may hold, and what may be changed.
    pub limits: &'a Limits,
}

/// What a DDL statement comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DdlPlan {
    /// In an order that applies; empty if there is nothing to do (`IF NOT EXISTS`).
    pub changes: Vec<Change>,
    /// What clients are told when the changes are applied: the RESULT of kind 5 and the event.
    /// None if there is nothing to do: the answer is then VOID.
    pub event: Option<SchemaChange>,
    /// Sentences for the client.
    pub warnings: Vec<String>,
}

impl DdlPlan {
    fn keyspace(change: Change, kind: SchemaChangeKind, keyspace: &str) -> DdlPlan {
        let event = SchemaChange::keyspace(kind, keyspace);
        DdlPlan { changes: vec![change], event: Some(event), warnings: Vec::new() }
    }

    fn table(change: Change, kind: SchemaChangeKind, keyspace: &str, name: &str) -> DdlPlan {
        let event = SchemaChange::object(kind, SchemaTarget::Table, keyspace, name);
        DdlPlan { changes: vec![change], event: Some(event), warnings: Vec::new() }
    }

    fn user_type(change: Change, kind: SchemaChangeKind, keyspace: &str, name: &str) -> DdlPlan {
        let event = SchemaChange::object(kind, SchemaTarget::Type, keyspace, name);
        DdlPlan { changes: vec![change], event: Some(event), warnings: Vec::new() }
    }

    fn nothing() -> DdlPlan {
        DdlPlan::default()
    }
}

/// Whether a statement changes the schema (or would, if its feature were on).
pub fn is_ddl(statement: &Statement) -> bool {
    use Statement as S;
    !matches!(
        statement,
        S::Select(_)
            | S::Insert(_)
            | S::Update(_)
            | S::Delete(_)
            | S::Batch(_)
            | S::Use(_)
            | S::Truncate(_)
            | S::Describe(_)
    )
}

/// Plans a DDL statement.
pub fn plan(schema: &Schema, context: &DdlContext<'_>, statement: &Statement) -> Result<DdlPlan> {
    match statement {
        Statement::CreateKeyspace(create) => keyspace::create(schema, context, create),
        Statement::AlterKeyspace(alter) => keyspace::alter(schema, context, alter),
        Statement::DropKeyspace(drop) => keyspace::drop(schema, context, drop),
        Statement::CreateTable(create) => table_create::create(schema, context, create),
        Statement::AlterTable(alter) => table_alter::alter(schema, context, alter),
        Statement::DropTable(drop) => table_drop::drop(schema, context, drop),
        Statement::CreateType(create) => user_type::create(schema, context, create),
        Statement::AlterType(alter) => user_type::alter(schema, context, alter),
        Statement::DropType(drop) => user_type::drop(schema, context, drop),
        other => off::plan(schema, context, other),
    }
}

/// The keyspace that a name is in.
pub(crate) fn keyspace_of<'a>(name: &'a QualifiedName, in_use: Option<&'a str>) -> Result<&'a str> {
    match (&name.keyspace, in_use) {
        (Some(keyspace), _) => Ok(keyspace.as_str()),
        (None, Some(keyspace)) => Ok(keyspace),
        (None, None) => Err(Error::invalid(
            "No keyspace has been specified. USE a keyspace, or explicitly specify \
             keyspace.tablename",
        )),
    }
}

/// Refuses changes to the node's own keyspaces.
fn check_modifiable(schema: &Schema, name: &str) -> Result<()> {
    match schema.keyspace(name).map(|keyspace| keyspace.kind) {
        Some(KeyspaceKind::System) => {
            Err(Error::invalid(format!("System keyspace '{name}' is not user-modifiable")))
        }
        Some(KeyspaceKind::Virtual) => {
            Err(Error::invalid(format!("Virtual keyspace '{name}' is not user-modifiable")))
        }
        _ if !is_valid_name(name) => Err(Error::invalid(format!(
            "Keyspace name must not be empty, more than {NAME_CHARS_MAX} characters long, or \
             contain non-alphanumeric-underscore characters (got '{name}')"
        ))),
        _ => Ok(()),
    }
}

fn is_valid_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn existing_keyspace<'a>(schema: &'a Schema, name: &str) -> Result<&'a Keyspace> {
    schema
        .keyspace(name)
        .map(|keyspace| &**keyspace)
        .ok_or_else(|| Error::invalid(format!("Keyspace '{name}' doesn't exist")))
}

/// The properties of a statement by name.
fn properties<'a>(list: impl IntoIterator<Item = &'a ast::Property>) -> Result<Properties> {
    let mut properties = Properties::default();
    for property in list {
        let value = match &property.value {
            ast::PropertyValue::Literal(literal) => Property::Text(literal.text.clone()),
            ast::PropertyValue::Keyword(keyword) => Property::Text(keyword.name.clone()),
            ast::PropertyValue::Map(map) => {
                let entries = map.entries.iter();
                let pair = |(key, value): &(ast::Literal, ast::Literal)| {
                    (key.text.clone(), value.text.clone())
                };
                Property::Map(entries.map(pair).collect())
            }
        };
        properties.add(property.name.as_str(), value)?;
    }
    Ok(properties)
}
