//! Checks and plans a DELETE.

use std::sync::Arc;

use cql_lite::ast::{Delete, DeleteTarget};

use crate::error::{Error, Result};
use crate::query::restriction::{Builder, PartitionRestriction, StatementKind, find_column};
use crate::query::term::TermCompiler;
use crate::schema::{ColumnKind, Table};

use super::condition;
use super::operation::{Operation, compile_deletion};
use super::plan::{ModifyKind, ModifyPlan, Target, attributes, check_counter_attributes};

/// Plans a DELETE from a table.
pub(crate) fn prepare(
    compiler: &mut TermCompiler<'_>,
    table: &Arc<Table>,
    statement: &Delete,
) -> Result<ModifyPlan> {
    let (mut regulars, mut statics) = (Vec::new(), Vec::new());
    for target in &statement.targets {
        let name = match target {
            DeleteTarget::Column(name) => name,
            DeleteTarget::Element { column, .. } | DeleteTarget::Field { column, .. } => column,
        };
        let (reference, column) = find_column(table, name.as_str())?;
        // For compact tables we might not have.. keys are never deleted alone.
        if reference.kind.is_key() {
            return Err(Error::invalid(format!(
                "Invalid identifier {} for deletion (should not be a PRIMARY KEY part)",
                column.name
            )));
        }
        let action = compile_deletion(compiler, column, target)?;
        let operation = Operation { column: column.clone(), action };
        match reference.kind {
            ColumnKind::Static => statics.push(operation),
            _ => regulars.push(operation),
        }
    }
    check_counter_attributes(table, &statement.attributes)?;
    let (timestamp, _) = attributes(compiler, &statement.attributes)?;
    let clause = statement.condition.as_ref();
    let conditions = condition::compile(compiler, table, clause, &statement.attributes)?;
    let mut builder = Builder::new(table, StatementKind::Delete, false);
    for relation in &statement.relations {
        builder.add(compiler, relation)?;
    }
    let touches_static = !statics.is_empty() || conditions.only_static();
    let only_static = regulars.is_empty() && touches_static && !conditions.has_regular();
    let restrictions = builder.finish(only_static, false)?;
    let PartitionRestriction::Keys(partition) = restrictions.partition else {
        return Err(Error::server("a DELETE names no partition"));
    };
    let parts = restrictions.clustering;
    let covered = parts.last().map_or(0, |part| part.end());
    let is_range = parts.iter().any(|part| part.is_slice());
    let complete = covered == table.clustering.len() && !is_range;
    let whole_rows = regulars.is_empty() && statics.is_empty() && !conditions.is_some();
    let target = if complete && table.clustering.is_empty() && whole_rows {
        // The one row of the partition, and everything else that it holds.
        Target::Partition
    } else if complete {
        Target::Rows(parts)
    } else if conditions.is_some() && !only_static {
        let what = if regulars.is_empty() && !conditions.has_regular() {
            "delete non static columns"
        } else {
            "use IF condition on non static columns"
        };
        return Err(Error::invalid(format!(
            "DELETE statements must restrict all PRIMARY KEY columns with equality relations in \
             order to {what}"
        )));
    } else if !regulars.is_empty() {
        return Err(columns_of_incomplete_rows(table, covered, is_range));
    } else if only_static {
        Target::Static
    } else if parts.is_empty() {
        Target::Partition
    } else {
        Target::Range(parts)
    };
    regulars.sort_by_key(|operation| operation.column.id);
    statics.sort_by_key(|operation| operation.column.id);
    Ok(ModifyPlan {
        table: Arc::clone(table),
        kind: ModifyKind::Delete,
        timestamp,
        ttl: None,
        partition,
        target,
        regulars,
        statics,
        conditions,
    })
}

/// Columns are deleted from rows, so the rows must be named.
fn columns_of_incomplete_rows(table: &Table, covered: usize, is_range: bool) -> Error {
    if is_range {
        return Error::invalid("Range deletions are not supported for specific columns");
    }
    let missing: Vec<&str> =
        table.clustering.iter().skip(covered).map(|column| column.name.as_str()).collect();
    Error::invalid(format!("Some clustering keys are missing: {}", missing.join(", ")))
}
