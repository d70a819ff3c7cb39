//! Terms: what stands for a value in a statement, compiled against the type that is wanted.
//!
//! A term that needs neither the client's values nor the moment is evaluated when the statement
//! is prepared, and is a constant from then on.

mod assign;
mod compile;
mod evaluate;

use std::sync::Arc;

use cql_lite::types::CqlType;

use super::function::Call;

pub(crate) use assign::Assignment;
pub(crate) use compile::{Markers, Receiver, TermCompiler};
pub(crate) use evaluate::{Bound, Environment, assemble};

/// A compiled term.
#[derive(Debug, Clone)]
pub(crate) enum Term {
    /// A serialized value, or null.
    Constant(Option<Box<[u8]>>),
    /// What the client sends for a marker.
    Marker {
        /// The marker's index in the statement.
        index: usize,
        /// The type that the value must have.
        ty: CqlType,
    },
    /// A literal of several parts, one of which at least is not constant.
    Composite {
        /// What the parts are of.
        ty: CqlType,
        /// Elements; of a map keys and values by turns.
        parts: Vec<Term>,
    },
    /// A call of a function.
    Call(Box<Call<Term>>),
    /// A column's value in the object of INSERT JSON.
    Json(Arc<JsonColumn>),
}

/// A column's value in the object of INSERT JSON.
#[derive(Debug)]
pub(crate) struct JsonColumn {
    /// The object.
    pub(crate) source: Arc<JsonSource>,
    /// The column.
    pub(crate) name: String,
    /// Its type.
    pub(crate) ty: CqlType,
    /// A column that the object does not name stays as it is, instead of becoming null.
    pub(crate) keep_missing: bool,
}

/// The object of INSERT JSON.
#[derive(Debug)]
pub(crate) struct JsonSource {
    /// Its text.
    pub(crate) term: Term,
    /// All columns of the table: no others may be named.
    pub(crate) columns: Vec<String>,
}

impl Term {
    /// The marker that this term is, if it is one.
    pub(crate) fn marker(&self) -> Option<usize> {
        match self {
            Term::Marker { index, .. } => Some(*index),
            _ => None,
        }
    }

    fn is_constant(&self) -> bool {
        matches!(self, Term::Constant(_))
    }
}
