//! INSERT, UPDATE, DELETE, BATCH.

use std::fmt::{Display, Formatter, Result};

use super::term::{enclosed, where_clause};
use super::{separated, when};
use crate::ast::{
    Assignment, AssignmentOperation, Attribute, Attributes, Batch, BatchKind, Delete, DeleteTarget,
    IfClause, Insert, InsertSource, JsonDefault, JsonValue, Modification, Update,
};

impl Display for Attributes {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.is_empty() {
            return Ok(());
        }
        f.write_str(" USING ")?;
        separated(f, &self.list, " AND ")
    }
}

impl Display for Attribute {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Attribute::Timestamp(term) => write!(f, "TIMESTAMP {term}"),
            Attribute::Ttl(term) => write!(f, "TTL {term}"),
        }
    }
}

impl Display for Insert {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "INSERT INTO {} {}", self.table, self.source)?;
        when(f, self.if_not_exists, " IF NOT EXISTS")?;
        self.attributes.fmt(f)
    }
}

impl Display for InsertSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            InsertSource::Values { columns, values } => {
                enclosed(f, "(", columns, ") VALUES ")?;
                enclosed(f, "(", values, ")")
            }
            InsertSource::Json { value, default } => {
                write!(f, "JSON {value}")?;
                when(f, *default == JsonDefault::Unset, " DEFAULT UNSET")
            }
        }
    }
}

impl Display for JsonValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            JsonValue::Literal(literal) => literal.fmt(f),
            JsonValue::Marker(marker) => marker.fmt(f),
        }
    }
}

impl Display for Update {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "UPDATE {}{} SET ", self.table, self.attributes)?;
        separated(f, &self.assignments, ", ")?;
        where_clause(f, &self.relations)?;
        condition(f, self.condition.as_ref())
    }
}

impl Display for Assignment {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let column = &self.column;
        match &self.operation {
            AssignmentOperation::Set(term) => write!(f, "{column} = {term}"),
            AssignmentOperation::Add(term) => write!(f, "{column} += {term}"),
            AssignmentOperation::Subtract(term) => write!(f, "{column} -= {term}"),
            AssignmentOperation::Prepend(term) => write!(f, "{column} = {term} + {column}"),
            AssignmentOperation::SetElement { key, value } => {
                write!(f, "{column}[{key}] = {value}")
            }
            AssignmentOperation::SetField { field, value } => {
                write!(f, "{column}.{field} = {value}")
            }
        }
    }
}

impl Display for Delete {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("DELETE ")?;
        separated(f, &self.targets, ", ")?;
        when(f, !self.targets.is_empty(), " ")?;
        write!(f, "FROM {}{}", self.table, self.attributes)?;
        where_clause(f, &self.relations)?;
        condition(f, self.condition.as_ref())
    }
}

impl Display for DeleteTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            DeleteTarget::Column(column) => column.fmt(f),
            DeleteTarget::Element { column, key } => write!(f, "{column}[{key}]"),
            DeleteTarget::Field { column, field } => write!(f, "{column}.{field}"),
        }
    }
}

impl Display for Batch {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self.kind {
            BatchKind::Logged => "BEGIN BATCH",
            BatchKind::Unlogged => "BEGIN UNLOGGED BATCH",
            BatchKind::Counter => "BEGIN COUNTER BATCH",
        })?;
        self.attributes.fmt(f)?;
        for statement in &self.statements {
            write!(f, " {statement};")?;
        }
        f.write_str(" APPLY BATCH")
    }
}

impl Display for Modification {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Modification::Insert(insert) => insert.fmt(f),
            Modification::Update(update) => update.fmt(f),
            Modification::Delete(delete) => delete.fmt(f),
        }
    }
}

fn condition(f: &mut Formatter<'_>, condition: Option<&IfClause>) -> Result {
    match condition {
        Some(condition) => write!(f, " {condition}"),
        None => Ok(()),
    }
}
