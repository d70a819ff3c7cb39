//! DROP TABLE.

use cql_lite::ast::Drop;

use cql_lite::wire::SchemaChangeKind;

use crate::error::{Error, Result};
use crate::query::guardrails::definition::check_drop_table;
use crate::schema::{Change, Schema};

use super::{DdlContext, DdlPlan, check_modifiable, keyspace_of};

pub(super) fn drop(schema: &Schema, context: &DdlContext<'_>, statement: &Drop) -> Result<DdlPlan> {
    let keyspace = keyspace_of(&statement.name, context.keyspace)?;
    let name = statement.name.name.as_str();
    check_modifiable(schema, keyspace)?;
    check_drop_table(context.limits)?;
    let Some(table) = schema.table(keyspace, name) else {
        if statement.if_exists {
            return Ok(DdlPlan::nothing());
        }
        return Err(Error::invalid(format!("Table '{keyspace}.{name}' doesn't exist")));
    };
    let change =
        Change::DropTable { keyspace: keyspace.to_owned(), name: name.to_owned(), id: table.id };
    Ok(DdlPlan::table(change, SchemaChangeKind::Dropped, keyspace, name))
}
