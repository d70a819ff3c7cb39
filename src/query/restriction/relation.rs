//! One relation of a WHERE clause, its columns found and its terms compiled.

use cql_lite::ast::{self, CompareOperator, Identifier, InValues, Predicate, RelationTarget};
use cql_lite::types::CqlType;
use cql_lite::types::names::maybe_quote;

use crate::error::{Error, Result};
use crate::query::term::{Receiver, Term, TermCompiler};
use crate::schema::{Column, Table};

use super::{ColumnRef, InTerms};

/// How a value is compared.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    /// `= term`
    Equal(Term),
    /// `IN …`
    In(InTerms),
    /// `> term`, or `>=` if true.
    Above(Term, bool),
    /// `< term`, or `<=` if true.
    Below(Term, bool),
    /// `CONTAINS term`
    Contains(Term),
    /// `CONTAINS KEY term`
    ContainsKey(Term),
    /// `column[key] = value`
    Entry(Term, Term),
}

/// What is compared, and how.
#[derive(Debug, Clone)]
pub(crate) enum Relation {
    /// A column.
    Single {
        /// Which.
        column: ColumnRef,
        /// How.
        test: Test,
    },
    /// Several clustering columns that follow one another, as a tuple.
    Multi {
        /// The position of the first in the clustering key.
        first: usize,
        /// How many.
        count: usize,
        /// How; terms are tuples.
        test: MultiTest,
    },
    /// The token of the partition key.
    Token {
        /// How.
        test: Test,
    },
}

/// A tuple of values to compare several columns with.
#[derive(Debug, Clone)]
pub(crate) enum TupleTerm {
    /// One term per column.
    Parts(Vec<Term>),
    /// A term for the whole tuple, of this type.
    Whole(Term, Vec<CqlType>),
}

/// How several columns are compared.
#[derive(Debug, Clone)]
pub(crate) enum MultiTest {
    /// `= (…)`
    Equal(TupleTerm),
    /// `IN ((…), …)`
    In(Vec<TupleTerm>),
    /// `IN ?`, a list of tuples of these types.
    InMarker(Term, Vec<CqlType>),
    /// `> (…)`, or `>=` if true.
    Above(TupleTerm, bool),
    /// `< (…)`, or `<=` if true.
    Below(TupleTerm, bool),
}

/// The column of that name with its place, or Cassandra's error.
pub(crate) fn find_column<'t>(table: &'t Table, name: &str) -> Result<(ColumnRef, &'t Column)> {
    let lists = [&table.partition_key, &table.clustering, &table.statics, &table.regulars];
    for list in lists {
        if let Some(index) = list.iter().position(|column| column.name == name)
            && let Some(column) = list.get(index)
        {
            return Ok((ColumnRef { kind: column.kind, index }, column));
        }
    }
    Err(Error::invalid(format!(
        "Undefined column name {} in table {}.{}",
        maybe_quote(name),
        maybe_quote(&table.keyspace),
        maybe_quote(&table.name)
    )))
}

/// Compiles a relation; `BETWEEN` becomes two.
pub(crate) fn compile(
    compiler: &mut TermCompiler<'_>,
    table: &Table,
    relation: &ast::Relation,
) -> Result<Vec<Relation>> {
    let ast::Relation::Predicate { target, predicate } = relation else {
        return Err(Error::invalid(
            "Custom index expression cannot be used because no index exists",
        ));
    };
    if matches!(predicate, Predicate::IsNotNull) {
        return Err(Error::invalid(format!("Unsupported restriction: {relation}")));
    }
    match target {
        RelationTarget::Column(name) => single(compiler, table, name, predicate, relation),
        RelationTarget::Element { column, key } => {
            entry(compiler, table, column, key, predicate).map(|relation| vec![relation])
        }
        RelationTarget::Tuple { columns, .. } => {
            multi(compiler, table, columns, predicate, relation)
        }
        RelationTarget::Token { columns, .. } => {
            token(compiler, table, columns, predicate, relation)
        }
    }
}

fn unsupported(operator: &str, relation: &ast::Relation) -> Error {
    Error::invalid(format!("Unsupported \"{operator}\" relation: {relation}"))
}

/// The operator as Cassandra names it in messages.
fn operator_name(predicate: &Predicate) -> &'static str {
    match predicate {
        Predicate::Compare { operator, .. } => operator.symbol(),
        Predicate::Between { .. } => "BETWEEN",
        Predicate::In(_) => "IN",
        Predicate::Contains(_) => "CONTAINS",
        Predicate::ContainsKey(_) => "CONTAINS KEY",
        Predicate::Like(_) => "LIKE",
        Predicate::IsNotNull => "IS NOT",
    }
}

fn check_column(column: &Column, predicate: &Predicate) -> Result<()> {
    let (name, ty) = (&column.name, &column.ty);
    if matches!(predicate, Predicate::ContainsKey(_)) && !matches!(ty.unfrozen(), CqlType::Map(..))
    {
        return Err(Error::invalid(format!("Cannot use CONTAINS KEY on non-map column {name}")));
    }
    let contains = matches!(predicate, Predicate::Contains(_) | Predicate::ContainsKey(_));
    if contains && !ty.is_collection() {
        return Err(Error::invalid(format!("Cannot use CONTAINS on non-collection column {name}")));
    }
    if ty.is_udt() && ty.is_multi_cell() {
        return Err(Error::invalid(format!(
            "Non-frozen UDT column '{name}' ({ty}) cannot be restricted by any relation"
        )));
    }
    if ty.is_collection() && ty.is_multi_cell() && !contains {
        return Err(Error::invalid(format!(
            "Collection column '{name}' ({ty}) cannot be restricted by a '{}' relation",
            operator_name(predicate)
        )));
    }
    let slice = matches!(predicate, Predicate::Between { .. })
        || matches!(predicate, Predicate::Compare { operator, .. }
            if !matches!(operator, CompareOperator::Equal | CompareOperator::NotEqual));
    if slice && ty.contains_duration() {
        let what = match ty.unfrozen() {
            CqlType::Duration => "duration columns",
            CqlType::Tuple(_) => "tuples containing durations",
            CqlType::Udt(_) => "UDTs containing durations",
            _ => "collections containing durations",
        };
        return Err(Error::invalid(format!("Slice restrictions are not supported on {what}")));
    }
    Ok(())
}

/// The receiver of a value, a key or an element of a collection column.
fn part_receiver(column: &Column, key: bool) -> Receiver {
    let what = if key { "key" } else { "value" };
    let ty = match column.ty.unfrozen() {
        CqlType::List(element) | CqlType::Set(element) => element,
        CqlType::Map(map_key, value) => {
            if key {
                map_key
            } else {
                value
            }
        }
        other => other,
    };
    Receiver::new(format!("{what}({})", column.name), ty.clone())
}

fn single(
    compiler: &mut TermCompiler<'_>,
    table: &Table,
    name: &Identifier,
    predicate: &Predicate,
    relation: &ast::Relation,
) -> Result<Vec<Relation>> {
    let (reference, column) = find_column(table, name.as_str())?;
    check_column(column, predicate)?;
    let receiver = Receiver::new(column.name.clone(), column.ty.clone());
    let tests = match predicate {
        Predicate::Contains(term) => {
            vec![Test::Contains(compiler.compile(term, &part_receiver(column, false))?)]
        }
        Predicate::ContainsKey(term) => {
            vec![Test::ContainsKey(compiler.compile(term, &part_receiver(column, true))?)]
        }
        Predicate::Like(_) => {
            return Err(Error::invalid(format!(
                "LIKE restriction is only supported on properly indexed columns. {relation} is \
                 not valid."
            )));
        }
        other => plain_tests(compiler, &receiver, other, relation)?,
    };
    Ok(tests.into_iter().map(|test| Relation::Single { column: reference, test }).collect())
}

/// Comparisons, BETWEEN and IN of something with one value.
fn plain_tests(
    compiler: &mut TermCompiler<'_>,
    receiver: &Receiver,
    predicate: &Predicate,
    relation: &ast::Relation,
) -> Result<Vec<Test>> {
    Ok(vec![match predicate {
        Predicate::Compare { operator, value } => {
            let operator = *operator;
            if operator == CompareOperator::NotEqual {
                return Err(unsupported("!=", relation));
            }
            let term = compiler.compile(value, receiver)?;
            match operator {
                CompareOperator::Less => Test::Below(term, false),
                CompareOperator::LessOrEqual => Test::Below(term, true),
                CompareOperator::Greater => Test::Above(term, false),
                CompareOperator::GreaterOrEqual => Test::Above(term, true),
                CompareOperator::Equal | CompareOperator::NotEqual => Test::Equal(term),
            }
        }
        Predicate::Between { low, high } => {
            let low = compiler.compile(low, receiver)?;
            let high = compiler.compile(high, receiver)?;
            return Ok(vec![Test::Above(low, true), Test::Below(high, true)]);
        }
        Predicate::In(values) => in_test(compiler, receiver, values)?,
        other => return Err(unsupported(operator_name(other), relation)),
    }])
}

/// An IN; with a single value it means the same as `=`.
fn in_test(
    compiler: &mut TermCompiler<'_>,
    receiver: &Receiver,
    values: &InValues,
) -> Result<Test> {
    Ok(match values {
        InValues::List(terms) => {
            let terms = terms.iter().map(|term| compiler.compile(term, receiver));
            let mut terms = terms.collect::<Result<Vec<_>>>()?;
            match terms.len() {
                1 => Test::Equal(terms.swap_remove(0)),
                _ => Test::In(InTerms::List(terms)),
            }
        }
        InValues::Marker(marker) => {
            let list = CqlType::List(Box::new(receiver.ty.clone())).canonical();
            let list = Receiver::new(format!("in({})", receiver.name), list);
            let term = compiler.marker(marker, &list);
            Test::In(InTerms::Marker { term, element: receiver.ty.clone() })
        }
    })
}

fn entry(
    compiler: &mut TermCompiler<'_>,
    table: &Table,
    name: &Identifier,
    key: &ast::Term,
    predicate: &Predicate,
) -> Result<Relation> {
    let (reference, column) = find_column(table, name.as_str())?;
    let name = &column.name;
    match column.ty.unfrozen() {
        CqlType::List(_) => {
            return Err(Error::invalid(format!(
                "Indexes on list entries ({name}[index] = value) are not currently supported."
            )));
        }
        CqlType::Map(..) if !column.ty.is_multi_cell() => {
            return Err(Error::invalid(format!(
                "Map-entry equality predicates on frozen map column {name} are not supported"
            )));
        }
        CqlType::Map(..) => {}
        _ => return Err(Error::invalid(format!("Column {name} cannot be used as a map"))),
    }
    let Predicate::Compare { operator: CompareOperator::Equal, value } = predicate else {
        return Err(Error::invalid("Only EQ relations are supported on map entries"));
    };
    let key = compiler.compile(key, &part_receiver(column, true))?;
    let value = compiler.compile(value, &part_receiver(column, false))?;
    Ok(Relation::Single { column: reference, test: Test::Entry(key, value) })
}

/// Finds the columns of a tuple: clustering columns that follow one another.
fn tuple_columns<'t>(
    table: &'t Table,
    names: &[Identifier],
    relation: &ast::Relation,
) -> Result<(usize, Vec<&'t Column>)> {
    let mut columns: Vec<&Column> = Vec::with_capacity(names.len());
    let mut first = 0;
    for name in names {
        let (reference, column) = find_column(table, name.as_str())?;
        if !matches!(column.kind, crate::schema::ColumnKind::Clustering) {
            return Err(Error::invalid(format!(
                "Multi-column relations can only be applied to clustering columns but was applied \
                 to: {}",
                column.name
            )));
        }
        if columns.iter().any(|seen| seen.name == column.name) {
            return Err(Error::invalid(format!(
                "Column \"{}\" appeared twice in a relation: {relation}",
                column.name
            )));
        }
        match columns.last() {
            None => first = reference.index,
            Some(previous) if previous.position + 1 != column.position => {
                return Err(Error::invalid(format!(
                    "Clustering columns must appear in the PRIMARY KEY order in multi-column \
                     relations: {relation}"
                )));
            }
            Some(_) => {}
        }
        columns.push(column);
    }
    Ok((first, columns))
}

fn tuple_term(
    compiler: &mut TermCompiler<'_>,
    columns: &[&Column],
    term: &ast::Term,
) -> Result<TupleTerm> {
    let types: Vec<CqlType> = columns.iter().map(|column| column.ty.clone()).collect();
    match term {
        ast::Term::Tuple(tuple) => {
            if tuple.elements.len() != columns.len() {
                return Err(Error::invalid(format!(
                    "Expected {} elements in value tuple, but got {}: {term}",
                    columns.len(),
                    tuple.elements.len()
                )));
            }
            let pairs = tuple.elements.iter().zip(columns);
            let parts = pairs.map(|(element, column)| {
                let receiver = Receiver::new(column.name.clone(), column.ty.clone());
                compiler.compile(element, &receiver)
            });
            Ok(TupleTerm::Parts(parts.collect::<Result<_>>()?))
        }
        ast::Term::Marker(marker) => {
            let receiver =
                Receiver::new(tuple_name(columns), CqlType::Tuple(types.clone()).canonical());
            Ok(TupleTerm::Whole(compiler.marker(marker, &receiver), types))
        }
        other => Err(Error::invalid(format!("Invalid tuple literal: {other}"))),
    }
}

/// `(a,b)`: the name of a marker for several columns.
fn tuple_name(columns: &[&Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    format!("({})", names.join(","))
}

fn multi(
    compiler: &mut TermCompiler<'_>,
    table: &Table,
    names: &[Identifier],
    predicate: &Predicate,
    relation: &ast::Relation,
) -> Result<Vec<Relation>> {
    let (first, columns) = tuple_columns(table, names, relation)?;
    let tests = match predicate {
        Predicate::Compare { operator, value } => {
            if *operator == CompareOperator::NotEqual {
                return Err(unsupported("!=", relation));
            }
            let term = tuple_term(compiler, &columns, value)?;
            vec![match operator {
                CompareOperator::Less => MultiTest::Below(term, false),
                CompareOperator::LessOrEqual => MultiTest::Below(term, true),
                CompareOperator::Greater => MultiTest::Above(term, false),
                CompareOperator::GreaterOrEqual => MultiTest::Above(term, true),
                CompareOperator::Equal | CompareOperator::NotEqual => MultiTest::Equal(term),
            }]
        }
        Predicate::Between { low, high } => vec![
            MultiTest::Above(tuple_term(compiler, &columns, low)?, true),
            MultiTest::Below(tuple_term(compiler, &columns, high)?, true),
        ],
        Predicate::In(InValues::List(terms)) => {
            let terms = terms.iter().map(|term| tuple_term(compiler, &columns, term));
            vec![MultiTest::In(terms.collect::<Result<_>>()?)]
        }
        Predicate::In(InValues::Marker(marker)) => {
            let types: Vec<CqlType> = columns.iter().map(|column| column.ty.clone()).collect();
            let tuple = CqlType::Tuple(types.clone());
            let list = CqlType::List(Box::new(tuple)).canonical();
            let receiver = Receiver::new(format!("in{}", tuple_name(&columns)), list);
            vec![MultiTest::InMarker(compiler.marker(marker, &receiver), types)]
        }
        other => return Err(unsupported(operator_name(other), relation)),
    };
    let count = columns.len();
    Ok(tests.into_iter().map(|test| Relation::Multi { first, count, test }).collect())
}

fn token(
    compiler: &mut TermCompiler<'_>,
    table: &Table,
    names: &[Identifier],
    predicate: &Predicate,
    relation: &ast::Relation,
) -> Result<Vec<Relation>> {
    for name in names {
        find_column(table, name.as_str())?;
    }
    let key: Vec<&str> = table.partition_key.iter().map(|column| column.name.as_str()).collect();
    let given: Vec<&str> = names.iter().map(Identifier::as_str).collect();
    if given != key {
        let mut sorted = (given.clone(), key.clone());
        sorted.0.sort_unstable();
        sorted.1.sort_unstable();
        if sorted.0 == sorted.1 {
            return Err(Error::invalid(format!(
                "The token function arguments must be in the partition key order: {}",
                key.join(", ")
            )));
        }
        return Err(Error::invalid(
            "The token() function must be applied to all partition key components or none of them",
        ));
    }
    let receiver = Receiver::new("partition key token", CqlType::Bigint);
    if matches!(predicate, Predicate::In(_)) {
        return Err(Error::invalid(format!(
            "IN cannot be used with the token function: {relation}"
        )));
    }
    let tests = plain_tests(compiler, &receiver, predicate, relation)?;
    Ok(tests.into_iter().map(|test| Relation::Token { test }).collect())
}
