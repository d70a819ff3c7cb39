//! Checks and plans an INSERT.

use std::sync::Arc;

use cql_lite::ast::{self, Identifier, Insert, InsertSource, JsonDefault, JsonValue};
use cql_lite::types::CqlType;

use crate::error::{Error, Result};
use crate::query::restriction::{ClusteringPart, ColumnRef, KeyPart, find_column};
use crate::query::term::{JsonColumn, JsonSource, Receiver, Term, TermCompiler};
use crate::schema::{Column, ColumnKind, Table};

use super::condition::{self, Conditions};
use super::operation::{Action, Operation};
use super::plan::{ModifyKind, ModifyPlan, Target, attributes};

/// What an INSERT gives to the columns of a table.
struct Assigned {
    key: Vec<Option<KeyPart>>,
    clustering: Vec<Option<ClusteringPart>>,
    regulars: Vec<Operation>,
    statics: Vec<Operation>,
}

impl Assigned {
    fn new(table: &Table) -> Assigned {
        Assigned {
            key: vec![None; table.partition_key.len()],
            clustering: vec![None; table.clustering.len()],
            regulars: Vec::new(),
            statics: Vec::new(),
        }
    }

    fn add(&mut self, reference: ColumnRef, column: &Column, term: Term) {
        let operation = |term| Operation { column: column.clone(), action: Action::Set(term) };
        match reference.kind {
            ColumnKind::PartitionKey => {
                if let Some(place) = self.key.get_mut(reference.index) {
                    *place = Some(KeyPart::One(term));
                }
            }
            ColumnKind::Clustering => {
                if let Some(place) = self.clustering.get_mut(reference.index) {
                    *place = Some(ClusteringPart::equal(reference.index, term));
                }
            }
            ColumnKind::Static => self.statics.push(operation(term)),
            ColumnKind::Regular => self.regulars.push(operation(term)),
        }
    }

    fn add_values(
        &mut self,
        compiler: &mut TermCompiler<'_>,
        table: &Table,
        columns: &[Identifier],
        values: &[ast::Term],
    ) -> Result<()> {
        if columns.is_empty() {
            return Err(Error::invalid("No columns provided to INSERT"));
        }
        if columns.len() != values.len() {
            return Err(Error::invalid("Unmatched column names/values"));
        }
        for (index, (name, value)) in columns.iter().zip(values).enumerate() {
            let mut earlier = columns.iter().take(index);
            if earlier.any(|other| other.as_str() == name.as_str()) {
                return Err(Error::invalid(format!(
                    "The column names contains duplicates: {}",
                    name.as_str()
                )));
            }
            let (reference, column) = find_column(table, name.as_str())?;
            let receiver = Receiver::new(column.name.clone(), column.ty.clone());
            let term = compiler.compile(value, &receiver)?;
            self.add(reference, column, term);
        }
        Ok(())
    }

    /// Every column gets what the object says of it.
    fn add_json(
        &mut self,
        compiler: &mut TermCompiler<'_>,
        table: &Table,
        value: &JsonValue,
        default: JsonDefault,
    ) -> Result<()> {
        let receiver = Receiver::new("[json]", CqlType::Text);
        let term = match value {
            JsonValue::Literal(literal) => {
                compiler.compile(&ast::Term::Literal(literal.clone()), &receiver)?
            }
            JsonValue::Marker(marker) => compiler.marker(marker, &receiver),
        };
        let columns = table.columns().map(|column| column.name.clone()).collect();
        let source = Arc::new(JsonSource { term, columns });
        let lists = [&table.partition_key, &table.clustering, &table.statics, &table.regulars];
        for (index, column) in lists.into_iter().flat_map(|list| list.iter().enumerate()) {
            let term = Term::Json(Arc::new(JsonColumn {
                source: Arc::clone(&source),
                name: column.name.clone(),
                ty: column.ty.clone(),
                keep_missing: default == JsonDefault::Unset,
            }));
            self.add(ColumnRef { kind: column.kind, index }, column, term);
        }
        Ok(())
    }
}

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
    let mut assigned = Assigned::new(table);
    match &statement.source {
        InsertSource::Values { columns, values } => {
            assigned.add_values(compiler, table, columns, values)?;
        }
        InsertSource::Json { value, default } => {
            assigned.add_json(compiler, table, value, *default)?;
        }
    }
    if statement.if_not_exists {
        condition::check_table(table, &statement.attributes)?;
    }
    let (timestamp, ttl) = attributes(compiler, &statement.attributes)?;
    let Assigned { key, clustering, mut regulars, mut statics } = assigned;
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
