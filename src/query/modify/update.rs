//! Checks and plans an UPDATE.

use std::sync::Arc;

use cql_lite::ast::Update;

use crate::error::{Error, Result};
use crate::query::restriction::{Builder, PartitionRestriction, StatementKind, find_column};
use crate::query::term::TermCompiler;
use crate::schema::{ColumnKind, Table};

use super::condition;
use super::operation::{Operation, compile_assignment};
use super::plan::{ModifyKind, ModifyPlan, Target, attributes, check_counter_attributes};

/// Plans an UPDATE of a table.
pub(crate) fn prepare(
    compiler: &mut TermCompiler<'_>,
    table: &Arc<Table>,
    statement: &Update,
) -> Result<ModifyPlan> {
    check_counter_attributes(table, &statement.attributes)?;
    let (timestamp, ttl) = attributes(compiler, &statement.attributes)?;
    let (mut regulars, mut statics) = (Vec::new(), Vec::new());
    for assignment in &statement.assignments {
        let (reference, column) = find_column(table, assignment.column.as_str())?;
        if reference.kind.is_key() {
            return Err(Error::invalid(format!(
                "PRIMARY KEY part {} found in SET part",
                column.name
            )));
        }
        let action = compile_assignment(compiler, table, column, &assignment.operation)?;
        let operation = Operation { column: column.clone(), action };
        match reference.kind {
            ColumnKind::Static => statics.push(operation),
            _ => regulars.push(operation),
        }
    }
    let clause = statement.condition.as_ref();
    let conditions = condition::compile(compiler, table, clause, &statement.attributes)?;
    let mut builder = Builder::new(table, StatementKind::Update, false);
    for relation in &statement.relations {
        builder.add(compiler, relation)?;
    }
    let only_static = regulars.is_empty() && !statics.is_empty() && !conditions.has_regular();
    let restrictions = builder.finish(only_static, false)?;
    let PartitionRestriction::Keys(partition) = restrictions.partition else {
        return Err(Error::server("an UPDATE names no partition"));
    };
    let target = if only_static && restrictions.clustering.is_empty() && table.is_clustered() {
        Target::Static
    } else {
        Target::Rows(restrictions.clustering)
    };
    regulars.sort_by_key(|operation| operation.column.id);
    statics.sort_by_key(|operation| operation.column.id);
    Ok(ModifyPlan {
        table: Arc::clone(table),
        kind: ModifyKind::Update,
        timestamp,
        ttl,
        partition,
        target,
        regulars,
        statics,
        conditions,
    })
}
