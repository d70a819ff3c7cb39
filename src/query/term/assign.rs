//! Whether a term as written can be assigned to a type: what Cassandra's `testAssignment` says.

use cql_lite::ast;
use cql_lite::types::CqlType;
use cql_lite::types::text::{accepts_constant, exact_type};

use crate::query::function;
use crate::query::type_name;
use crate::schema::Schema;

/// How well a term fits a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Assignment {
    /// Not at all.
    No,
    /// It can be taken for it.
    Weak,
    /// It is what one would write for this type.
    Exact,
}

impl Assignment {
    /// Whether the term fits.
    pub(crate) fn fits(self) -> bool {
        self != Assignment::No
    }

    fn exact_if(exact: bool) -> Assignment {
        if exact { Assignment::Exact } else { Assignment::No }
    }
}

/// How well `term` fits `ty`, in a statement on `keyspace`.
pub(crate) fn assignment(
    schema: &Schema,
    keyspace: &str,
    term: &ast::Term,
    ty: &CqlType,
) -> Assignment {
    let all = |elements: &[ast::Term], ty: &CqlType| {
        let each = elements.iter().map(|element| assignment(schema, keyspace, element, ty));
        each.min().unwrap_or(Assignment::Weak)
    };
    let ty = ty.unfrozen();
    match (term, ty) {
        (ast::Term::Null(_) | ast::Term::Marker(_), _) => Assignment::Weak,
        (ast::Term::Literal(literal), _) => literal_assignment(literal, ty),
        (ast::Term::List(list), CqlType::List(element)) => all(&list.elements, element),
        (ast::Term::List(list), CqlType::Vector(element, dimensions)) => {
            let fits = list.elements.len() == *dimensions;
            if fits { all(&list.elements, element) } else { Assignment::No }
        }
        (ast::Term::Set(set), CqlType::Set(element)) => all(&set.elements, element),
        (ast::Term::Set(set), CqlType::Map(..)) if set.elements.is_empty() => Assignment::Weak,
        (ast::Term::Map(map), CqlType::Map(key, value)) => {
            let each = map.entries.iter().map(|(k, v)| {
                let key = assignment(schema, keyspace, k, key);
                key.min(assignment(schema, keyspace, v, value))
            });
            each.min().unwrap_or(Assignment::Weak)
        }
        (ast::Term::Tuple(tuple), CqlType::Tuple(types)) => {
            if tuple.elements.len() > types.len() {
                return Assignment::No;
            }
            let pairs = tuple.elements.iter().zip(types);
            let fits = pairs.map(|(element, ty)| assignment(schema, keyspace, element, ty));
            if fits.min().is_some_and(|worst| worst.fits()) {
                Assignment::Weak
            } else {
                Assignment::No
            }
        }
        // Parentheses around a single term are only that.
        (ast::Term::Tuple(tuple), _) => match tuple.elements.as_slice() {
            [single] => assignment(schema, keyspace, single, ty),
            _ => Assignment::No,
        },
        (ast::Term::Udt(literal), CqlType::Udt(udt)) => {
            let fits = literal.fields.iter().all(|(name, value)| {
                let field = udt.field(name.as_str());
                field.is_some_and(|(_, ty)| assignment(schema, keyspace, value, ty).fits())
            });
            if fits { Assignment::Weak } else { Assignment::No }
        }
        (ast::Term::TypeHint(hint), _) => {
            match type_name::resolve(schema, keyspace, &hint.type_name) {
                Ok(hinted) if hinted.unfrozen() == ty => Assignment::Exact,
                Ok(hinted) if ty.is_value_compatible_with(&hinted) => Assignment::Weak,
                _ => Assignment::No,
            }
        }
        (ast::Term::Cast(cast), _) => {
            Assignment::exact_if(type_name::native_type(cast.target) == *ty)
        }
        (ast::Term::Function(call), _) => function::term_assignment(schema, keyspace, call, ty),
        (ast::Term::Arithmetic(_) | ast::Term::Negate(_), _) => {
            if ty.is_numeric() || is_temporal(ty) { Assignment::Weak } else { Assignment::No }
        }
        _ => Assignment::No,
    }
}

fn is_temporal(ty: &CqlType) -> bool {
    matches!(ty, CqlType::Timestamp | CqlType::Date | CqlType::Duration)
}

/// How well a constant fits a type.
fn literal_assignment(literal: &ast::Literal, ty: &CqlType) -> Assignment {
    if exact_type(literal.kind, &literal.text) == *ty {
        Assignment::Exact
    } else if accepts_constant(literal.kind, ty) {
        Assignment::Weak
    } else {
        Assignment::No
    }
}
