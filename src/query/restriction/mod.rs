//! What a WHERE clause restricts: the partition key, the clustering key, and the rest.
//!
//! `relation` compiles one relation, `merge` puts the relations of one column together, `build`
//! decides what they mean for a statement and what needs ALLOW FILTERING, `keys` and `slices`
//! turn them into partitions and positions when the statement is executed, `filter` tests rows.

mod build;
mod filter;
mod keys;
mod merge;
mod relation;
mod slices;

use cql_lite::types::CqlType;

use super::term::{Bound, Environment, Term};
use crate::error::{Error, Result};
use crate::schema::ColumnKind;

pub(crate) use build::{Builder, StatementKind};
pub(crate) use filter::{Filter, RowFilter};
pub(crate) use keys::{key_of, partition_keys, token_range};
pub(crate) use relation::find_column;
pub(crate) use slices::{ClusteringPart, row_keys, slices};

/// A column by its place in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ColumnRef {
    /// Which list.
    pub(crate) kind: ColumnKind,
    /// Where in it.
    pub(crate) index: usize,
}

/// The right side of an IN.
#[derive(Debug, Clone)]
pub(crate) enum InTerms {
    /// `(a, b, …)`
    List(Vec<Term>),
    /// One marker for a list of values.
    Marker {
        /// The marker.
        term: Term,
        /// The type of the list's elements.
        element: CqlType,
    },
}

impl InTerms {
    /// The values in the order given; none of them may be unset.
    pub(crate) fn evaluate(
        &self,
        environment: &Environment<'_>,
        column: &str,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        match self {
            InTerms::List(terms) => terms
                .iter()
                .map(|term| {
                    let value = term.evaluate(environment)?;
                    if value == Bound::Unset {
                        return Err(unset_value(column));
                    }
                    Ok(value.bytes().map(<[u8]>::to_vec))
                })
                .collect(),
            InTerms::Marker { term, element } => match term.evaluate_unchecked(environment) {
                Bound::Unset => Err(unset_value(column)),
                Bound::Null => Err(Error::invalid(format!(
                    "Invalid null value for IN restriction on {column}"
                ))),
                Bound::Bytes(bytes) => {
                    check_in_values(&bytes, column)?;
                    let elements = cql_lite::types::frames::nullable_list_elements(&bytes)?;
                    let checked = elements.into_iter().map(|value| {
                        if let Some(value) = value {
                            cql_lite::types::validate::validate(element, value)?;
                        }
                        Ok(value.map(<[u8]>::to_vec))
                    });
                    checked.collect()
                }
            },
        }
    }
}

/// The most bytes of all keys or positions that the IN restrictions of one statement name together.
const COMBINATION_BYTES_MAX: usize = 64 << 20;
/// The most of them.
const COMBINATIONS_MAX: usize = 65_535;

/// Whether every one of `have`, each made longer by every one of `more`, is too much to hold. The
/// product of two long lists is far larger than the request that brought them.
fn is_too_much(
    have: impl ExactSizeIterator<Item = usize>,
    more: impl ExactSizeIterator<Item = usize>,
) -> bool {
    let (have_count, more_count) = (have.len(), more.len());
    let (have_bytes, more_bytes) = (have.sum::<usize>(), more.sum::<usize>());
    let bytes =
        have_bytes.saturating_mul(more_count).saturating_add(more_bytes.saturating_mul(have_count));
    have_count.saturating_mul(more_count) > COMBINATIONS_MAX || bytes > COMBINATION_BYTES_MAX
}

/// Refuses a serialized list with more values than an IN restriction may have, before they are
/// taken apart.
fn check_in_values(list: &[u8], column: &str) -> Result<()> {
    let count = cql_lite::types::frames::list_elements(list)?.left();
    if count <= COMBINATIONS_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The IN restriction on {column} has {count} values, the maximum is {COMBINATIONS_MAX}"
    )))
}

/// The error for IN restrictions that name too much.
fn too_many_combinations(what: &str) -> Error {
    Error::invalid(format!(
        "The IN restrictions of this statement name more than {COMBINATIONS_MAX} {what}, or keys \
         of more than {COMBINATION_BYTES_MAX} bytes together"
    ))
}

/// The error for an unset marker where a value is needed.
pub(crate) fn unset_value(column: &str) -> Error {
    Error::invalid(format!("Invalid unset value for column {column}"))
}

/// The error for a null where a value is needed.
pub(crate) fn null_value(column: &str) -> Error {
    Error::invalid(format!("Invalid null value in condition for column {column}"))
}

/// What one component of the partition key must be.
#[derive(Debug, Clone)]
pub(crate) enum KeyPart {
    /// This value.
    One(Term),
    /// One of these values.
    Many(InTerms),
}

/// What the WHERE clause says of the partition key.
#[derive(Debug, Clone)]
pub(crate) enum PartitionRestriction {
    /// Nothing, or only what filters can test.
    None,
    /// The values of every component.
    Keys(Vec<KeyPart>),
    /// A range of tokens.
    Token {
        /// Above this; `true`: or equal.
        lower: Option<(Term, bool)>,
        /// Below this; `true`: or equal.
        upper: Option<(Term, bool)>,
    },
}

impl PartitionRestriction {
    /// Whether single partitions are named.
    pub(crate) fn names_partitions(&self) -> bool {
        matches!(self, PartitionRestriction::Keys(_))
    }

    /// Whether a component has an IN.
    pub(crate) fn has_in(&self) -> bool {
        match self {
            PartitionRestriction::Keys(parts) => {
                parts.iter().any(|part| matches!(part, KeyPart::Many(_)))
            }
            _ => false,
        }
    }
}

/// What a WHERE clause restricts.
#[derive(Debug, Clone)]
pub(crate) struct Restrictions {
    /// Which partitions.
    pub(crate) partition: PartitionRestriction,
    /// Which positions in them, in the order of the clustering columns.
    pub(crate) clustering: Vec<ClusteringPart>,
    /// What else a row must fulfil.
    pub(crate) filters: Vec<Filter>,
    /// Whether any relation names a clustering column.
    pub(crate) restricts_clustering: bool,
    /// Whether any relation names a regular column.
    pub(crate) restricts_regular: bool,
}

impl Restrictions {
    /// Whether whole partitions are asked for: then one whose only content is static is shown.
    pub(crate) fn asks_whole_partitions(&self) -> bool {
        !self.restricts_clustering && !self.restricts_regular
    }
}

/// The marker of each component of a key; empty if some component has none of its own.
pub(crate) fn markers_of(parts: &[KeyPart]) -> Vec<u16> {
    let marker = |part: &KeyPart| match part {
        KeyPart::One(term) => term.marker().and_then(|index| u16::try_from(index).ok()),
        KeyPart::Many(_) => None,
    };
    parts.iter().map(marker).collect::<Option<Vec<u16>>>().unwrap_or_default()
}

/// The marker of each component of the partition key; empty if some have none.
pub(crate) fn key_markers(partition: &PartitionRestriction) -> Vec<u16> {
    match partition {
        PartitionRestriction::Keys(parts) => markers_of(parts),
        _ => Vec::new(),
    }
}
