//! Terms, relations and conditions.

use std::fmt::{Display, Formatter, Result};

use super::{separated, separated_by, string};
use crate::ast::{
    Arithmetic, BindMarker, Condition, ConditionPart, FunctionCall, IfClause, InValues, Literal,
    LiteralKind, Predicate, Relation, RelationTarget, Term,
};

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Term::Literal(literal) => literal.fmt(f),
            Term::Null(_) => f.write_str("null"),
            Term::Marker(marker) => marker.fmt(f),
            Term::List(list) => enclosed(f, "[", &list.elements, "]"),
            Term::Set(set) => enclosed(f, "{", &set.elements, "}"),
            Term::Tuple(tuple) => enclosed(f, "(", &tuple.elements, ")"),
            Term::Map(map) => entries(f, &map.entries),
            Term::Udt(udt) => entries(f, &udt.fields),
            Term::Function(call) => call.fmt(f),
            Term::TypeHint(hint) => write!(f, "({}){}", hint.type_name, hint.term),
            Term::Cast(cast) => write!(f, "CAST({} AS {})", cast.term, cast.target.name()),
            Term::Arithmetic(arithmetic) => arithmetic.fmt(f),
            // With a space: a minus before a digit belongs to the number.
            Term::Negate(negate) => write!(f, "- {}", negate.operand),
        }
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.kind {
            LiteralKind::String => string(f, &self.text),
            _ => f.write_str(&self.text),
        }
    }
}

impl Display for BindMarker {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.name {
            Some(name) => write!(f, ":{name}"),
            None => f.write_str("?"),
        }
    }
}

impl Display for FunctionCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.name.fmt(f)?;
        enclosed(f, "(", &self.arguments, ")")
    }
}

impl<T: Display> Display for Arithmetic<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.first.fmt(f)?;
        for step in &self.rest {
            write!(f, " {} {}", step.operator.symbol(), step.operand)?;
        }
        Ok(())
    }
}

/// A list between brackets.
pub(super) fn enclosed<T: Display>(
    f: &mut Formatter<'_>,
    open: &str,
    elements: &[T],
    close: &str,
) -> Result {
    f.write_str(open)?;
    separated(f, elements, ", ")?;
    f.write_str(close)
}

/// `{key: value, …}`
pub(super) fn entries<K: Display, V: Display>(f: &mut Formatter<'_>, entries: &[(K, V)]) -> Result {
    f.write_str("{")?;
    separated_by(f, entries, ", ", |f, (key, value)| write!(f, "{key}: {value}"))?;
    f.write_str("}")
}

impl Display for Relation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Relation::Predicate { target, predicate } => write!(f, "{target} {predicate}"),
            Relation::CustomIndex { index, value, .. } => write!(f, "expr({index}, {value})"),
        }
    }
}

impl Display for RelationTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            RelationTarget::Column(column) => column.fmt(f),
            RelationTarget::Element { column, key } => write!(f, "{column}[{key}]"),
            RelationTarget::Tuple { columns, .. } => enclosed(f, "(", columns, ")"),
            RelationTarget::Token { columns, .. } => enclosed(f, "token(", columns, ")"),
        }
    }
}

impl Display for Predicate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Predicate::Compare { operator, value } => write!(f, "{} {value}", operator.symbol()),
            Predicate::Between { low, high } => write!(f, "BETWEEN {low} AND {high}"),
            Predicate::In(InValues::Marker(marker)) => write!(f, "IN {marker}"),
            Predicate::In(InValues::List(values)) => enclosed(f, "IN (", values, ")"),
            Predicate::Contains(value) => write!(f, "CONTAINS {value}"),
            Predicate::ContainsKey(value) => write!(f, "CONTAINS KEY {value}"),
            Predicate::Like(value) => write!(f, "LIKE {value}"),
            Predicate::IsNotNull => f.write_str("IS NOT NULL"),
        }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.column.fmt(f)?;
        match &self.part {
            ConditionPart::Whole => {}
            ConditionPart::Element(key) => write!(f, "[{key}]")?,
            ConditionPart::Field(field) => write!(f, ".{field}")?,
        }
        write!(f, " {}", self.predicate)
    }
}

impl Display for IfClause {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            IfClause::Exists => f.write_str("IF EXISTS"),
            IfClause::Conditions(conditions) => {
                f.write_str("IF ")?;
                separated(f, conditions, " AND ")
            }
        }
    }
}

/// ` WHERE …`, if there is anything.
pub(super) fn where_clause(f: &mut Formatter<'_>, relations: &[Relation]) -> Result {
    if relations.is_empty() {
        return Ok(());
    }
    f.write_str(" WHERE ")?;
    separated(f, relations, " AND ")
}
