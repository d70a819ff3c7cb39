//! Checks and plans an INSERT.

use std::sync::Arc;

use cql_lite::ast::{Insert, InsertSource};

use crate::error::{Error, Result};
use crate::query::restriction::{ClusteringPart, KeyPart, find_column};
use crate::query::term::{Receiver, TermCompiler};
use crate::schema::{ColumnKind, Table};

use super::condition::{self, Conditions};
use super::operation::{Action, Operation};
use super::plan::{ModifyKind, ModifyPlan, Target, attributes};

/// Plans an INSERT into a table.
pub(crate) fn prepare(
    compiler: &mut TermCompiler<'_>,
    table: &Arc<Table>,
    statement: &Insert,
) -> Result<ModifyPlan> {
    if table.counter {
        return Err(Error::invalid(
            "INSERT statements are not allowed on counter tables, use UPDATE instead",
        ));
    }
    let InsertSource::Values { columns, values } = &statement.source else {
        return Err(Error::invalid("INSERT JSON is not supported yet"));
    };
    if columns.is_empty() {
        return Err(Error::invalid("No columns provided to INSERT"));
    }
    if columns.len() != values.len() {
        return Err(Error::invalid("Unmatched column names/values"));
    }
    let mut key = vec![None; table.partition_key.len()];
    let mut clustering = vec![None; table.clustering.len()];
    let (mut regulars, mut statics) = (Vec::new(), Vec::new());
    for (index, (name, value)) in columns.iter().zip(values).enumerate() {
        let earlier = columns.get(..index).unwrap_or_default();
        if earlier.iter().any(|other| other.as_str() == name.as_str()) {
            return Err(Error::invalid(format!(
                "The column names contains duplicates: {}",
                name.as_str()
            )));
        }
        let (reference, column) = find_column(table, name.as_str())?;
        let receiver = Receiver::new(column.name.clone(), column.ty.clone());
        let term = compiler.compile(value, &receiver)?;
        let operation = |term| Operation { column: column.clone(), action: Action::Set(term) };
        match reference.kind {
            ColumnKind::PartitionKey => {
                if let Some(place) = key.get_mut(reference.index) {
                    *place = Some(KeyPart::One(term));
                }
            }
            ColumnKind::Clustering => {
                if let Some(place) = clustering.get_mut(reference.index) {
                    *place = Some(ClusteringPart::equal(reference.index, term));
                }
            }
            ColumnKind::Static => statics.push(operation(term)),
            ColumnKind::Regular => regulars.push(operation(term)),
        }
    }
    if statement.if_not_exists {
        condition::check_table(table, &statement.attributes)?;
    }
    let (timestamp, ttl) = attributes(compiler, &statement.attributes)?;
    let missing = |given: Vec<&str>| given.join(", ");
    let unset: Vec<&str> = table
        .partition_key
        .iter()
        .zip(&key)
        .filter(|(_, part)| part.is_none())
        .map(|(column, _)| column.name.as_str())
        .collect();
    if !unset.is_empty() {
        return Err(Error::invalid(format!(
            "Some partition key parts are missing: {}",
            missing(unset)
        )));
    }
    let unset: Vec<&str> = table
        .clustering
        .iter()
        .zip(&clustering)
        .filter(|(_, part)| part.is_none())
        .map(|(column, _)| column.name.as_str())
        .collect();
    // Static columns alone may be inserted without a row.
    let only_static =
        regulars.is_empty() && !statics.is_empty() && unset.len() == table.clustering.len();
    if !unset.is_empty() && !only_static {
        return Err(Error::invalid(format!(
            "Some clustering keys are missing: {}",
            missing(unset)
        )));
    }
    let target = if only_static && !table.clustering.is_empty() {
        Target::Static
    } else {
        Target::Rows(clustering.into_iter().flatten().collect())
    };
    regulars.sort_by_key(|operation| operation.column.id);
    statics.sort_by_key(|operation| operation.column.id);
    Ok(ModifyPlan {
        table: Arc::clone(table),
        kind: ModifyKind::Insert,
        timestamp,
        ttl,
        partition: key.into_iter().flatten().collect(),
        target,
        regulars,
        statics,
        conditions: if statement.if_not_exists { Conditions::NotExists } else { Conditions::None },
    })
}
