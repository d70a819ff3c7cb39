//! What a modification does to one column.

use cql_lite::ast::{self, AssignmentOperation};
use cql_lite::types::CqlType;

use crate::error::{Error, Result};
use crate::query::term::{Receiver, Term, TermCompiler};
use crate::schema::{Column, Table};

/// What happens to one column.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// The column.
    pub(crate) column: Column,
    /// What happens.
    pub(crate) action: Action,
}

/// What happens to a column.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Its whole value is set; null deletes it.
    Set(Term),
    /// Elements are added to a list at its end.
    Append(Term),
    /// Elements are added to a list at its beginning.
    Prepend(Term),
    /// The element of a list at an index is set; null removes it.
    SetIndex(Term, Term),
    /// The element of a list at an index is removed.
    RemoveIndex(Term),
    /// All elements of a list equal to one of these are removed.
    RemoveValues(Term),
    /// Elements are added to a set, or entries to a map.
    Put(Term),
    /// Elements of a set, or keys of a map, are removed: the term is a set.
    RemoveKeys(Term),
    /// The entry of a map is set; null removes it.
    SetEntry(Term, Term),
    /// One element of a set, or one key of a map, is removed.
    RemoveKey(Term),
    /// A field of a UDT is set; null removes it.
    SetField(usize, Term),
    /// A field of a UDT is removed.
    RemoveField(usize),
    /// A counter is raised, or lowered if true.
    Increment(Term, bool),
}

impl Action {
    /// The operation on a list that reads the list before it writes, as guardrails name it.
    pub(crate) fn read_before_write(&self) -> Option<&'static str> {
        match self {
            Action::SetIndex(..) => Some("Setting of list items by index"),
            Action::RemoveIndex(_) => Some("Removal of list items by index"),
            Action::RemoveValues(_) => Some("Removal of list items"),
            _ => None,
        }
    }

    /// Whether the row must be read first.
    pub(crate) fn reads(&self) -> bool {
        matches!(
            self,
            Action::SetIndex(..)
                | Action::RemoveIndex(_)
                | Action::RemoveValues(_)
                | Action::Increment(..)
        )
    }
}

fn invalid_on(what: &str, column: &Column) -> Error {
    Error::invalid(format!("Invalid operation ({what}) for non collection column {}", column.name))
}

fn frozen_on(what: &str, column: &Column) -> Error {
    Error::invalid(format!(
        "Invalid operation ({what}) for frozen collection column {}",
        column.name
    ))
}

fn list_index(column: &Column) -> Receiver {
    Receiver::new(format!("idx({})", column.name), CqlType::Int)
}

fn key_receiver(column: &Column, ty: &CqlType) -> Receiver {
    Receiver::new(format!("key({})", column.name), ty.clone())
}

fn value_receiver(column: &Column, ty: &CqlType) -> Receiver {
    Receiver::new(format!("value({})", column.name), ty.clone())
}

/// Compiles an assignment of an UPDATE.
pub(super) fn compile_assignment(
    compiler: &mut TermCompiler<'_>,
    table: &Table,
    column: &Column,
    operation: &AssignmentOperation,
) -> Result<Action> {
    let own = Receiver::new(column.name.clone(), column.ty.clone());
    match operation {
        AssignmentOperation::Set(term) => {
            if table.counter {
                return Err(Error::invalid(format!(
                    "Cannot set the value of counter column {} (counters can only be \
                     incremented/decremented, not set)",
                    column.name
                )));
            }
            Ok(Action::Set(compiler.compile(term, &own)?))
        }
        AssignmentOperation::Add(term) => addition(compiler, column, term, &own),
        AssignmentOperation::Subtract(term) => subtraction(compiler, column, term, &own),
        AssignmentOperation::Prepend(term) => match &column.ty {
            CqlType::List(_) => Ok(Action::Prepend(compiler.compile(term, &own)?)),
            _ => Err(Error::invalid(format!(
                "Invalid operation ({0} = {term} + {0}) for non list column {0}",
                column.name
            ))),
        },
        AssignmentOperation::SetElement { key, value } => set_element(compiler, column, key, value),
        AssignmentOperation::SetField { field, value } => {
            let what = format!("{}.{} = {value}", column.name, field.as_str());
            let index = field_index(column, field, &what)?;
            let ty = field_type(column, index);
            let receiver = Receiver::new(format!("{}.{}", column.name, field.as_str()), ty);
            Ok(Action::SetField(index, compiler.compile(value, &receiver)?))
        }
    }
}

fn addition(
    compiler: &mut TermCompiler<'_>,
    column: &Column,
    term: &ast::Term,
    own: &Receiver,
) -> Result<Action> {
    let what = format!("{0} = {0} + {term}", column.name);
    match &column.ty {
        CqlType::Counter => {
            let receiver = Receiver::new(column.name.clone(), CqlType::Counter);
            Ok(Action::Increment(compiler.compile(term, &receiver)?, false))
        }
        CqlType::List(_) => Ok(Action::Append(compiler.compile(term, own)?)),
        CqlType::Set(_) | CqlType::Map(..) => Ok(Action::Put(compiler.compile(term, own)?)),
        ty if ty.is_collection() => Err(frozen_on(&what, column)),
        ty if ty.is_tuple() || ty.is_udt() => Err(Error::invalid(format!(
            "Invalid operation ({what}) for {} column {}",
            if ty.is_udt() { "UDT" } else { "tuple" },
            column.name
        ))),
        _ => Err(Error::invalid(format!(
            "Invalid operation ({what}) for non counter column {}",
            column.name
        ))),
    }
}

fn subtraction(
    compiler: &mut TermCompiler<'_>,
    column: &Column,
    term: &ast::Term,
    own: &Receiver,
) -> Result<Action> {
    let what = format!("{0} = {0} - {term}", column.name);
    match &column.ty {
        CqlType::Counter => {
            let receiver = Receiver::new(column.name.clone(), CqlType::Counter);
            Ok(Action::Increment(compiler.compile(term, &receiver)?, true))
        }
        CqlType::List(_) => Ok(Action::RemoveValues(compiler.compile(term, own)?)),
        CqlType::Set(_) => Ok(Action::RemoveKeys(compiler.compile(term, own)?)),
        CqlType::Map(key, _) => {
            // What is taken off a map is a set of keys.
            let ty = CqlType::Set(key.clone()).canonical();
            let receiver = Receiver::new(column.name.clone(), ty);
            Ok(Action::RemoveKeys(compiler.compile(term, &receiver)?))
        }
        ty if ty.is_collection() => Err(frozen_on(&what, column)),
        _ => Err(Error::invalid(format!(
            "Invalid operation ({what}) for non counter column {}",
            column.name
        ))),
    }
}

fn set_element(
    compiler: &mut TermCompiler<'_>,
    column: &Column,
    key: &ast::Term,
    value: &ast::Term,
) -> Result<Action> {
    let what = format!("{}[{key}] = {value}", column.name);
    match &column.ty {
        CqlType::List(element) => {
            let index = compiler.compile(key, &list_index(column))?;
            let value = compiler.compile(value, &value_receiver(column, element))?;
            Ok(Action::SetIndex(index, value))
        }
        CqlType::Map(key_type, value_type) => {
            let key = compiler.compile(key, &key_receiver(column, key_type))?;
            let value = compiler.compile(value, &value_receiver(column, value_type))?;
            Ok(Action::SetEntry(key, value))
        }
        CqlType::Set(_) => Err(Error::invalid(format!(
            "Invalid operation ({what}) for set column {}",
            column.name
        ))),
        ty if ty.is_collection() => Err(frozen_on(&what, column)),
        _ => Err(invalid_on(&what, column)),
    }
}

fn field_index(column: &Column, field: &ast::Identifier, what: &str) -> Result<usize> {
    match &column.ty {
        CqlType::Udt(udt) => match udt.field(field.as_str()) {
            Some((index, _)) => Ok(index),
            None => Err(Error::invalid(format!(
                "UDT column {} does not have a field named {}",
                column.name,
                field.as_str()
            ))),
        },
        ty if ty.is_udt() => Err(Error::invalid(format!(
            "Invalid operation ({what}) for frozen UDT column {}",
            column.name
        ))),
        _ => Err(Error::invalid(format!(
            "Invalid operation ({what}) for non-UDT column {}",
            column.name
        ))),
    }
}

fn field_type(column: &Column, index: usize) -> CqlType {
    match &column.ty {
        CqlType::Udt(udt) => udt.fields.get(index).map_or(CqlType::Empty, |(_, ty)| ty.clone()),
        _ => CqlType::Empty,
    }
}

/// Compiles the deletion of a column or of a part of one.
pub(super) fn compile_deletion(
    compiler: &mut TermCompiler<'_>,
    column: &Column,
    target: &ast::DeleteTarget,
) -> Result<Action> {
    match target {
        ast::DeleteTarget::Column(_) => Ok(Action::Set(Term::Constant(None))),
        ast::DeleteTarget::Element { key, .. } => match &column.ty {
            CqlType::List(_) => {
                Ok(Action::RemoveIndex(compiler.compile(key, &list_index(column))?))
            }
            CqlType::Set(ty) | CqlType::Map(ty, _) => {
                Ok(Action::RemoveKey(compiler.compile(key, &key_receiver(column, ty))?))
            }
            ty if ty.is_collection() => Err(Error::invalid(format!(
                "Invalid deletion operation for frozen collection column {}",
                column.name
            ))),
            _ => Err(Error::invalid(format!(
                "Invalid deletion operation for non collection column {}",
                column.name
            ))),
        },
        ast::DeleteTarget::Field { field, .. } => match &column.ty {
            CqlType::Udt(udt) => match udt.field(field.as_str()) {
                Some((index, _)) => Ok(Action::RemoveField(index)),
                None => Err(Error::invalid(format!(
                    "UDT column {} does not have a field named {}",
                    column.name,
                    field.as_str()
                ))),
            },
            ty if ty.is_udt() => Err(Error::invalid(format!(
                "Frozen UDT column {} does not support field deletions",
                column.name
            ))),
            _ => Err(Error::invalid(format!(
                "Invalid deletion operation for non-UDT column {}",
                column.name
            ))),
        },
    }
}
