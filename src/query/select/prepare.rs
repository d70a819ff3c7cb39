//! Checks a SELECT and plans it. The order of the checks, and their sentences, are Cassandra's.

use std::sync::Arc;

use cql_lite::ast::{self, Direction, Selection};
use cql_lite::types::CqlType;
use cql_lite::wire::ColumnSpec;

use crate::error::{Error, Result};
use crate::query::restriction::{Builder, ColumnRef, Restrictions, StatementKind, find_column};
use crate::query::row::RowShape;
use crate::query::term::{Receiver, Term, TermCompiler};
use crate::schema::{ColumnKind, KeyspaceKind, Table};

use super::SelectPlan;
use super::aggregate::Aggregates;
use super::columns::NeededColumns;
use super::selector::{Selector, SelectorCompiler, result_name};
use super::sort::SortColumn;

/// Plans a SELECT on a table; `text` is the whole statement's.
pub(crate) fn prepare(
    compiler: &mut TermCompiler<'_>,
    table: &Arc<Table>,
    statement: &ast::Select,
    text: &Arc<str>,
) -> Result<SelectPlan> {
    let (outputs, names, aggregate_count) = selection(compiler, table, statement)?;
    let only_static = selects_only_static(table, &outputs);
    let mut builder = Builder::new(table, StatementKind::Select, statement.allow_filtering);
    for relation in &statement.relations {
        builder.add(compiler, relation)?;
    }
    let implicit = compiler
        .schema
        .keyspace(&table.keyspace)
        .is_some_and(|keyspace| keyspace.kind == KeyspaceKind::Virtual);
    let restrictions = builder.finish(only_static, implicit)?;
    if statement.distinct {
        check_distinct(table, statement, &outputs, &restrictions)?;
    }
    let group_by = group_by(table, statement)?;
    let aggregates = (aggregate_count > 0 || group_by.is_some()).then_some(Aggregates { group_by });
    check_limits(statement, aggregates.as_ref())?;
    let (reversed, sort) = ordering(table, statement, &restrictions)?;
    let limit = limit_term(compiler, statement.limit.as_ref(), "[limit]")?;
    let per_partition_limit =
        limit_term(compiler, statement.per_partition_limit.as_ref(), "[per_partition_limit]")?;
    let mut needed = NeededColumns::default();
    outputs.iter().for_each(|output| needed.add_selector(output));
    restrictions.filters.iter().for_each(|filter| needed.add(filter.column));
    sort.iter().flatten().for_each(|column| needed.add(column.column));
    let group_columns = aggregates.as_ref().and_then(|aggregates| aggregates.group_by.as_ref());
    group_columns.into_iter().flatten().for_each(|column| needed.add(*column));
    let plain = outputs
        .iter()
        .map(|output| match output {
            Selector::Column { column, .. } => Some(*column),
            _ => None,
        })
        .collect();
    Ok(SelectPlan {
        columns: result_columns(table, statement.json, &outputs, &names),
        shape: RowShape::new(table, &needed.columns, &needed.info),
        plain,
        json: statement.json.then(|| names.iter().map(|name| json_name(name)).collect()),
        text: Arc::clone(text),
        table: Arc::clone(table),
        allow_filtering: statement.allow_filtering,
        outputs,
        aggregates,
        restrictions,
        distinct: statement.distinct,
        limit,
        per_partition_limit,
        reversed,
        sort,
    })
}

/// Names with upper-case letters stand in quotes inside the JSON key, as Cassandra has it.
fn json_name(name: &str) -> String {
    if name.chars().any(char::is_uppercase) { format!("\"{name}\"") } else { name.to_owned() }
}

fn selection(
    compiler: &mut TermCompiler<'_>,
    table: &Table,
    statement: &ast::Select,
) -> Result<(Vec<Selector>, Vec<String>, usize)> {
    let list = match &statement.selection {
        Selection::All => {
            let lists = [&table.partition_key, &table.clustering, &table.statics, &table.regulars];
            let columns = lists.into_iter().flat_map(|list| list.iter().enumerate());
            let (outputs, names) = columns
                .map(|(index, column)| {
                    let reference = ColumnRef { kind: column.kind, index };
                    let output = Selector::Column { column: reference, ty: column.ty.clone() };
                    (output, column.name.clone())
                })
                .unzip();
            return Ok((outputs, names, 0));
        }
        Selection::List(list) => list,
    };
    let mut selectors = SelectorCompiler { terms: compiler, table, aggregates: 0 };
    let mut outputs = Vec::with_capacity(list.len());
    let mut names = Vec::with_capacity(list.len());
    for selected in list {
        let output = selectors.compile(&selected.selector, None)?;
        names.push(match &selected.alias {
            Some(alias) => alias.name.clone(),
            None => result_name(&selected.selector, &output),
        });
        outputs.push(output);
    }
    let aggregates = selectors.aggregates;
    Ok((outputs, names, aggregates))
}

fn result_columns(
    table: &Table,
    json: bool,
    outputs: &[Selector],
    names: &[String],
) -> Vec<ColumnSpec> {
    let spec = |name: &str, ty: CqlType| ColumnSpec {
        keyspace: table.keyspace.clone(),
        table: table.name.clone(),
        name: name.to_owned(),
        ty,
    };
    if json {
        return vec![spec("[json]", CqlType::Text)];
    }
    outputs.iter().zip(names).map(|(output, name)| spec(name, output.ty())).collect()
}

fn selects_only_static(table: &Table, outputs: &[Selector]) -> bool {
    let mut needed = NeededColumns::default();
    outputs.iter().for_each(|output| needed.add_selector(output));
    !table.statics.is_empty()
        && needed.columns.iter().any(|column| column.kind == ColumnKind::Static)
        && needed
            .columns
            .iter()
            .all(|column| matches!(column.kind, ColumnKind::Static | ColumnKind::PartitionKey))
}

fn check_distinct(
    table: &Table,
    statement: &ast::Select,
    outputs: &[Selector],
    restrictions: &Restrictions,
) -> Result<()> {
    if restrictions.restricts_clustering || restrictions.restricts_regular {
        return Err(Error::invalid(
            "SELECT DISTINCT with WHERE clause only supports restriction by partition key and/or \
             static columns.",
        ));
    }
    let mut needed = NeededColumns::default();
    outputs.iter().for_each(|output| needed.add_selector(output));
    let name = |column: &ColumnRef| {
        let list = match column.kind {
            ColumnKind::Clustering => &table.clustering,
            ColumnKind::Static => &table.statics,
            ColumnKind::Regular => &table.regulars,
            ColumnKind::PartitionKey => &table.partition_key,
        };
        list.get(column.index).map_or_else(String::new, |column| column.name.clone())
    };
    let wrong =
        |column: &&ColumnRef| matches!(column.kind, ColumnKind::Clustering | ColumnKind::Regular);
    if let Some(column) = needed.columns.iter().find(wrong) {
        return Err(Error::invalid(format!(
            "SELECT DISTINCT queries must only request partition key columns and/or static columns \
             (not {})",
            name(column)
        )));
    }
    // One partition per row: without a key that names single ones, all of it must be shown.
    for (index, column) in table.partition_key.iter().enumerate() {
        let reference = ColumnRef { kind: ColumnKind::PartitionKey, index };
        if !restrictions.partition.names_partitions() && !needed.columns.contains(&reference) {
            return Err(Error::invalid(format!(
                "SELECT DISTINCT queries must request all the partition key columns (missing {})",
                column.name
            )));
        }
    }
    if statement.per_partition_limit.is_some() {
        return Err(Error::invalid(
            "PER PARTITION LIMIT is not allowed with SELECT DISTINCT queries",
        ));
    }
    Ok(())
}

/// GROUP BY: a prefix of the primary key.
fn group_by(table: &Table, statement: &ast::Select) -> Result<Option<Vec<ColumnRef>>> {
    if statement.group_by.is_empty() {
        return Ok(None);
    }
    let mut key = (0..table.partition_key.len())
        .map(|index| ColumnRef { kind: ColumnKind::PartitionKey, index })
        .chain(
            (0..table.clustering.len())
                .map(|index| ColumnRef { kind: ColumnKind::Clustering, index }),
        );
    let mut columns = Vec::with_capacity(statement.group_by.len());
    for selector in &statement.group_by {
        let ast::Selector::Column(name) = selector else {
            return Err(Error::invalid(format!(
                "GROUP BY on functions is not supported: {selector}"
            )));
        };
        let (column, found) = find_column(table, name.as_str())?;
        if !column.kind.is_key() {
            return Err(Error::invalid(format!(
                "Group by is currently only supported on the columns of the PRIMARY KEY, got {}",
                found.name
            )));
        }
        // Columns fixed by `=` may be left out.
        let next = key.by_ref().find(|next| *next == column || !fixed(table, statement, *next));
        if next != Some(column) {
            return Err(Error::invalid(
                "Group by currently only support groups of columns following their declared order \
                 in the PRIMARY KEY",
            ));
        }
        columns.push(column);
    }
    if columns.iter().all(|column| column.kind == ColumnKind::PartitionKey) {
        let left = key
            .find(|next| next.kind == ColumnKind::PartitionKey && !fixed(table, statement, *next));
        if left.is_some() {
            return Err(Error::invalid(
                "Group by is not supported on only a part of the partition key",
            ));
        }
    }
    // A group never spans partitions, so the whole partition key belongs to it.
    let partition = (0..table.partition_key.len())
        .map(|index| ColumnRef { kind: ColumnKind::PartitionKey, index })
        .filter(|column| !columns.contains(column))
        .collect::<Vec<_>>();
    columns.extend(partition);
    Ok(Some(columns))
}

/// Whether a relation fixes this column with `=`.
fn fixed(table: &Table, statement: &ast::Select, column: ColumnRef) -> bool {
    statement.relations.iter().any(|relation| match relation {
        ast::Relation::Predicate {
            target: ast::RelationTarget::Column(name),
            predicate: ast::Predicate::Compare { operator: ast::CompareOperator::Equal, .. },
        } => find_column(table, name.as_str()).is_ok_and(|(found, _)| found == column),
        _ => false,
    })
}

fn check_limits(statement: &ast::Select, aggregates: Option<&Aggregates>) -> Result<()> {
    let whole = aggregates.is_some_and(|aggregates| aggregates.group_by.is_none());
    if statement.per_partition_limit.is_some() && whole {
        return Err(Error::invalid("PER PARTITION LIMIT is not allowed with aggregate queries."));
    }
    Ok(())
}

fn ordering(
    table: &Table,
    statement: &ast::Select,
    restrictions: &Restrictions,
) -> Result<(bool, Option<Vec<SortColumn>>)> {
    if statement.order_by.is_empty() {
        return Ok((false, None));
    }
    if statement.order_by.iter().any(|ordering| ordering.ann_of.is_some()) {
        return Err(Error::invalid("ANN ordering by vector requires the column to be indexed"));
    }
    if !restrictions.partition.names_partitions() {
        return Err(Error::invalid(
            "ORDER BY is only supported when the partition key is restricted by an EQ or an IN.",
        ));
    }
    let mut reversed = None;
    let mut sort = Vec::new();
    let mut next = 0;
    for ordering in &statement.order_by {
        let (column, found) = find_column(table, ordering.column.as_str())?;
        if column.kind != ColumnKind::Clustering {
            return Err(Error::invalid(format!(
                "Order by is currently only supported on the clustered columns of the PRIMARY KEY, \
                 got {}",
                found.name
            )));
        }
        while next < column.index && is_fixed_clustering(restrictions, next) {
            next += 1;
        }
        if column.index != next {
            return Err(Error::invalid(
                "Order by currently only supports the ordering of columns following their declared \
                 order in the PRIMARY KEY",
            ));
        }
        next += 1;
        let descending = ordering.direction == Direction::Descending;
        let against = descending != found.descending;
        if reversed.is_some_and(|reversed| reversed != against) {
            return Err(Error::invalid("Unsupported order by relation"));
        }
        reversed = Some(against);
        sort.push(SortColumn { column, ty: found.ty.clone(), descending });
    }
    let sort = restrictions.partition.has_in().then_some(sort);
    Ok((reversed.unwrap_or_default(), sort))
}

fn is_fixed_clustering(restrictions: &Restrictions, index: usize) -> bool {
    restrictions
        .clustering
        .iter()
        .any(|part| part.is_equal() && part.first <= index && index < part.end())
}

fn limit_term(
    compiler: &mut TermCompiler<'_>,
    term: Option<&ast::Term>,
    name: &str,
) -> Result<Option<Term>> {
    let receiver = Receiver::new(name, CqlType::Int);
    term.map(|term| compiler.compile(term, &receiver)).transpose()
}
