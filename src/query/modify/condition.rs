//! IF: what must hold of a row, or of the static row, for a modification to happen.

use cql_lite::ast::{self, CompareOperator, ConditionPart, InValues, Predicate};
use cql_lite::types::order::compare;
use cql_lite::types::{CqlType, frames};

use crate::error::{Error, Result};
use crate::query::restriction::{ColumnRef, InTerms, find_column};
use crate::query::term::{Bound, Environment, Receiver, Term, TermCompiler};
use crate::schema::{Column, ColumnKind, Table};

/// What must hold.
#[derive(Debug, Clone)]
pub(crate) enum Conditions {
    /// Nothing.
    None,
    /// IF NOT EXISTS
    NotExists,
    /// IF EXISTS
    Exists,
    /// IF column = value AND …
    Columns(Vec<Condition>),
}

/// What must hold of one column.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    /// The column.
    pub(crate) column: ColumnRef,
    ty: CqlType,
    part: Part,
    test: Test,
}

#[derive(Debug, Clone)]
enum Part {
    Whole,
    Element(Term),
    Field(usize),
}

#[derive(Debug, Clone)]
enum Test {
    Compare(CompareOperator, Term),
    In(InTerms),
    Contains(Term),
    ContainsKey(Term),
}

impl Conditions {
    /// Whether the statement is conditional.
    pub(crate) fn is_some(&self) -> bool {
        !matches!(self, Conditions::None)
    }

    /// The conditions on columns.
    pub(crate) fn columns(&self) -> &[Condition] {
        match self {
            Conditions::Columns(conditions) => conditions,
            _ => &[],
        }
    }

    /// Whether there are conditions on static columns, and no others.
    pub(crate) fn only_static(&self) -> bool {
        let columns = self.columns();
        !columns.is_empty() && columns.iter().all(|c| c.column.kind == ColumnKind::Static)
    }

    /// Whether there is a condition on a regular column.
    pub(crate) fn has_regular(&self) -> bool {
        self.columns().iter().any(|c| c.column.kind == ColumnKind::Regular)
    }
}

/// Compiles what stands after IF.
pub(super) fn compile(
    compiler: &mut TermCompiler<'_>,
    table: &Table,
    clause: Option<&ast::IfClause>,
    attributes: &ast::Attributes,
) -> Result<Conditions> {
    let conditions = match clause {
        None => return Ok(Conditions::None),
        Some(ast::IfClause::Exists) => Conditions::Exists,
        Some(ast::IfClause::Conditions(list)) => {
            check_timestamp(attributes)?;
            let compiled = list.iter().map(|condition| one(compiler, table, condition));
            Conditions::Columns(compiled.collect::<Result<_>>()?)
        }
    };
    check_table(table, attributes)?;
    Ok(conditions)
}

/// What no conditional statement may have.
pub(super) fn check_table(table: &Table, attributes: &ast::Attributes) -> Result<()> {
    if table.counter {
        return Err(Error::invalid("Conditional updates are not supported on counter tables"));
    }
    check_timestamp(attributes)
}

fn check_timestamp(attributes: &ast::Attributes) -> Result<()> {
    if attributes.timestamp().is_some() {
        return Err(Error::invalid("Cannot provide custom timestamp for conditional updates"));
    }
    Ok(())
}

fn one(
    compiler: &mut TermCompiler<'_>,
    table: &Table,
    condition: &ast::Condition,
) -> Result<Condition> {
    let (reference, column) = find_column(table, condition.column.as_str())?;
    if column.ty.is_counter() {
        return Err(Error::invalid("Conditions on counters are not supported"));
    }
    let (part, ty, name) = part_of(compiler, column, &condition.part)?;
    let receiver = Receiver::new(name, ty.clone());
    let test = match &condition.predicate {
        Predicate::Compare { operator, value } => {
            check_durations(*operator, &ty)?;
            Test::Compare(*operator, compiler.compile(value, &receiver)?)
        }
        Predicate::In(InValues::List(terms)) => {
            let terms = terms.iter().map(|term| compiler.compile(term, &receiver));
            Test::In(InTerms::List(terms.collect::<Result<_>>()?))
        }
        Predicate::In(InValues::Marker(marker)) => {
            let list = CqlType::List(Box::new(ty.clone())).canonical();
            let list = Receiver::new(format!("in({})", receiver.name), list);
            Test::In(InTerms::Marker { term: compiler.marker(marker, &list), element: ty.clone() })
        }
        Predicate::Contains(term) => {
            let receiver = element_receiver(column, false)?;
            Test::Contains(compiler.compile(term, &receiver)?)
        }
        Predicate::ContainsKey(term) => {
            let receiver = element_receiver(column, true)?;
            Test::ContainsKey(compiler.compile(term, &receiver)?)
        }
        Predicate::Between { .. } | Predicate::Like(_) | Predicate::IsNotNull => {
            return Err(Error::invalid("Unsupported operator in a condition"));
        }
    };
    if reference.kind.is_key() {
        return Err(Error::invalid(format!(
            "PRIMARY KEY column '{}' cannot have IF conditions",
            column.name
        )));
    }
    Ok(Condition { column: reference, ty: column.ty.clone(), part, test })
}

fn check_durations(operator: CompareOperator, ty: &CqlType) -> Result<()> {
    let equality = matches!(operator, CompareOperator::Equal | CompareOperator::NotEqual);
    if equality || !ty.contains_duration() {
        return Ok(());
    }
    let what = match ty.unfrozen() {
        CqlType::Duration => "durations",
        CqlType::Tuple(_) => "tuples containing durations",
        CqlType::Udt(_) => "UDTs containing durations",
        _ => "collections containing durations",
    };
    Err(Error::invalid(format!("Slice conditions are not supported on {what}")))
}

/// The part of the column that is meant, with its type and the name of its receiver.
fn part_of(
    compiler: &mut TermCompiler<'_>,
    column: &Column,
    part: &ConditionPart,
) -> Result<(Part, CqlType, String)> {
    let name = &column.name;
    match part {
        ConditionPart::Whole => Ok((Part::Whole, column.ty.clone(), name.clone())),
        ConditionPart::Element(key) => {
            let (key_receiver, value) = match column.ty.unfrozen() {
                CqlType::List(element) => {
                    (Receiver::new(format!("idx({name})"), CqlType::Int), element)
                }
                CqlType::Map(key, value) => {
                    (Receiver::new(format!("key({name})"), (**key).clone()), value)
                }
                CqlType::Set(_) => {
                    return Err(Error::invalid(format!(
                        "Invalid element access syntax for set column {name}"
                    )));
                }
                _ => {
                    return Err(Error::invalid(format!(
                        "Invalid element access syntax for non-collection column {name}"
                    )));
                }
            };
            let key = compiler.compile(key, &key_receiver)?;
            Ok((Part::Element(key), (**value).clone(), format!("value({name})")))
        }
        ConditionPart::Field(field) => {
            let CqlType::Udt(udt) = column.ty.unfrozen() else {
                return Err(Error::invalid(format!(
                    "Invalid field access syntax for non-UDT column {name}"
                )));
            };
            match udt.field(field.as_str()) {
                Some((index, ty)) => {
                    Ok((Part::Field(index), ty.clone(), format!("{name}.{}", field.as_str())))
                }
                None => Err(Error::invalid(format!(
                    "Unknown field {} for column {name}",
                    field.as_str()
                ))),
            }
        }
    }
}

fn element_receiver(column: &Column, key: bool) -> Result<Receiver> {
    let name = &column.name;
    let (what, ty) = match (column.ty.unfrozen(), key) {
        (CqlType::Map(ty, _), true) => ("key", ty),
        (CqlType::Map(_, ty) | CqlType::List(ty) | CqlType::Set(ty), false) => ("value", ty),
        (_, true) => {
            return Err(Error::invalid(format!(
                "Cannot use CONTAINS KEY on non-map column {name}"
            )));
        }
        (_, false) => {
            return Err(Error::invalid(format!(
                "Cannot use CONTAINS on non-collection column {name}"
            )));
        }
    };
    Ok(Receiver::new(format!("{what}({name})"), (**ty).clone()))
}

/// A value for a condition; unset has no meaning there.
fn bound(term: &Term, environment: &Environment<'_>) -> Result<Option<Vec<u8>>> {
    match term.evaluate(environment)? {
        Bound::Unset => Err(Error::invalid("Invalid 'unset' value in condition")),
        value => Ok(value.bytes().map(<[u8]>::to_vec)),
    }
}

impl Condition {
    /// Whether the condition holds of the column's value.
    pub(crate) fn holds(
        &self,
        value: Option<&[u8]>,
        environment: &Environment<'_>,
    ) -> Result<bool> {
        let ty = self.ty.unfrozen();
        let (value, part_type) = match &self.part {
            Part::Whole => (value.map(<[u8]>::to_vec), ty.clone()),
            Part::Element(key) => element(ty, value, bound(key, environment)?)?,
            Part::Field(index) => field(ty, value, *index)?,
        };
        // A collection of cells without any is null.
        let many = matches!(self.part, Part::Whole) && self.ty.is_multi_cell();
        let given = |term: &Term| -> Result<Option<Vec<u8>>> {
            let given = bound(term, environment)?;
            Ok(given.filter(|bytes| !(many && is_empty_collection(&part_type, bytes))))
        };
        match &self.test {
            Test::Compare(operator, term) => {
                compared(*operator, &part_type, value.as_deref(), given(term)?.as_deref())
            }
            Test::In(values) => {
                let values = values.evaluate(environment, "in")?;
                for other in values {
                    if equal(&part_type, value.as_deref(), other.as_deref()) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Test::Contains(term) => {
                let wanted = bound(term, environment)?.ok_or_else(|| null_compared("CONTAINS"))?;
                contains(&part_type, value.as_deref(), &wanted, false)
            }
            Test::ContainsKey(term) => {
                let wanted =
                    bound(term, environment)?.ok_or_else(|| null_compared("CONTAINS KEY"))?;
                contains(&part_type, value.as_deref(), &wanted, true)
            }
        }
    }
}

fn is_empty_collection(ty: &CqlType, bytes: &[u8]) -> bool {
    matches!(ty, CqlType::List(_) | CqlType::Set(_) | CqlType::Map(..)) && bytes == [0; 4]
}

fn null_compared(operator: &str) -> Error {
    Error::invalid(format!("Invalid comparison with null for operator \"{operator}\""))
}

fn equal(ty: &CqlType, value: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    match (value, other) {
        (None, None) => true,
        (Some(value), Some(other)) => compare(ty, value, other).is_eq(),
        _ => false,
    }
}

fn compared(
    operator: CompareOperator,
    ty: &CqlType,
    value: Option<&[u8]>,
    other: Option<&[u8]>,
) -> Result<bool> {
    match operator {
        CompareOperator::Equal => return Ok(equal(ty, value, other)),
        CompareOperator::NotEqual => return Ok(!equal(ty, value, other)),
        _ => {}
    }
    let other = other.ok_or_else(|| null_compared(operator.symbol()))?;
    let Some(value) = value else { return Ok(false) };
    let order = compare(ty, value, other);
    Ok(match operator {
        CompareOperator::Less => order.is_lt(),
        CompareOperator::LessOrEqual => order.is_le(),
        CompareOperator::Greater => order.is_gt(),
        _ => order.is_ge(),
    })
}

type PartValue = (Option<Vec<u8>>, CqlType);

fn element(ty: &CqlType, value: Option<&[u8]>, key: Option<Vec<u8>>) -> Result<PartValue> {
    match ty {
        CqlType::List(element) => {
            let key =
                key.ok_or_else(|| Error::invalid("Invalid null value for list element access"))?;
            let index = i32::try_from(crate::query::number::to_i64(&key)).unwrap_or(-1);
            let index = usize::try_from(index)
                .map_err(|_| Error::invalid(format!("Invalid negative list index {index}")))?;
            let found = match value {
                Some(bytes) => frames::list_elements(bytes)?.nth(index).transpose()?,
                None => None,
            };
            Ok((found.map(<[u8]>::to_vec), (**element).clone()))
        }
        CqlType::Map(key_type, value_type) => {
            let key =
                key.ok_or_else(|| Error::invalid("Invalid null value for map element access"))?;
            let entries = value.map(frames::map_entries).transpose()?.unwrap_or_default();
            let mut found = entries.into_iter().filter(|(k, _)| compare(key_type, k, &key).is_eq());
            let found = found.next().map(|(_, value)| value.to_vec());
            Ok((found, (**value_type).clone()))
        }
        other => Ok((None, other.clone())),
    }
}

fn field(ty: &CqlType, value: Option<&[u8]>, index: usize) -> Result<PartValue> {
    let CqlType::Udt(udt) = ty else { return Ok((None, ty.clone())) };
    let field_type = udt.fields.get(index).map_or(CqlType::Empty, |(_, ty)| ty.clone());
    let fields = value.map(|bytes| frames::udt_fields(bytes, udt)).transpose()?;
    let found = fields.and_then(|fields| fields.get(index).copied().flatten().map(<[u8]>::to_vec));
    Ok((found, field_type))
}

fn contains(ty: &CqlType, value: Option<&[u8]>, wanted: &[u8], key: bool) -> Result<bool> {
    let Some(value) = value else { return Ok(false) };
    match (ty, key) {
        (CqlType::Map(key_type, value_type), _) => {
            let entries = frames::map_entries(value)?;
            Ok(entries.iter().any(|(k, v)| {
                if key {
                    compare(key_type, k, wanted).is_eq()
                } else {
                    compare(value_type, v, wanted).is_eq()
                }
            }))
        }
        (CqlType::List(element) | CqlType::Set(element), false) => {
            for found in frames::list_elements(value)? {
                if compare(element, found?, wanted).is_eq() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}
