//! What the language knows and this version does not do: each answers with the error that
//! Cassandra gives while the feature is switched off, or that such a thing does not exist.

use cql_lite::ast::{QualifiedName, Statement};

use crate::error::{Error, Result};
use crate::schema::Schema;

use super::{DdlContext, DdlPlan, check_modifiable, keyspace_of};

/// The error for a column mask.
pub(super) fn masking() -> Error {
    Error::invalid(
        "Cannot mask columns because dynamic data masking is not enabled. You can enable it with \
         the dynamic_data_masking_enabled property on cassandra.yaml",
    )
}

pub(super) fn plan(
    schema: &Schema,
    context: &DdlContext<'_>,
    statement: &Statement,
) -> Result<DdlPlan> {
    let qualified = |name: &QualifiedName| -> Result<String> {
        let keyspace = keyspace_of(name, context.keyspace)?;
        check_modifiable(schema, keyspace)?;
        Ok(format!("{keyspace}.{}", name.name.as_str()))
    };
    let missing = |if_exists: bool, what: &str, name: &QualifiedName| -> Result<DdlPlan> {
        let name = qualified(name)?;
        if if_exists {
            return Ok(DdlPlan::nothing());
        }
        Err(Error::invalid(format!("{what} '{name}' doesn't exist")))
    };
    match statement {
        Statement::CreateFunction(_) | Statement::CreateAggregate(_) => Err(Error::invalid(
            "User-defined functions are disabled in cassandra.yaml - set \
             user_defined_functions_enabled=true to enable",
        )),
        Statement::DropFunction(drop) => missing(drop.if_exists, "Function", &drop.name),
        Statement::DropAggregate(drop) => missing(drop.if_exists, "Aggregate", &drop.name),
        Statement::CreateView(_) => {
            Err(Error::invalid("Materialized views are disabled. Enable in cassandra.yaml to use."))
        }
        Statement::AlterView(alter) => missing(alter.if_exists, "Materialized view", &alter.view),
        Statement::DropView(drop) => missing(drop.if_exists, "Materialized view", &drop.name),
        Statement::CreateIndex(_) => Err(Error::invalid(
            "Guardrail secondary_indexes violated: User creation of secondary indexes is not \
             allowed",
        )),
        Statement::DropIndex(drop) => missing(drop.if_exists, "Index", &drop.name),
        Statement::CreateTrigger(create) => {
            Err(Error::config(format!("Trigger class '{}' couldn't be loaded", create.class)))
        }
        Statement::DropTrigger(drop) => {
            let table = qualified(&drop.table)?;
            if drop.if_exists {
                return Ok(DdlPlan::nothing());
            }
            let name = drop.name.as_str();
            Err(Error::invalid(format!("Trigger '{name}' on '{table}' doesn't exist")))
        }
        // Without an authenticator every client is anonymous, and that is what Cassandra says to
        // an anonymous client about roles and permissions.
        _ => Err(Error::unauthorized(
            "You have to be logged in and not anonymous to perform this request",
        )),
    }
}
