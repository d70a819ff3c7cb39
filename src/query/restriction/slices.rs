//! From restrictions on clustering columns to ranges of positions.
//!
//! Restrictions stand on a prefix of the clustering columns: values, lists of values, and at the
//! end perhaps bounds. Every combination of values is a prefix of positions; the bounds cut a
//! range, or several, out of what has that prefix. Several, because a tuple is compared in the
//! order of its values while positions lie in the order of the columns, some of which descend:
//! `(a, b) > (1, 2)` is `a = 1 AND b > 2` and `a > 1`, two ranges that touch only if neither or
//! both columns descend.

use cql_lite::types::CqlType;
use cql_lite::types::frames;
use cql_lite::types::key::encode_component;
use helenus_storage::model::position::{AFTER, BEFORE};
use helenus_storage::model::{PositionRange, Slice};

use crate::error::{Error, Result};
use crate::query::term::{Bound, Environment, Term};
use crate::schema::Column;

use super::relation::TupleTerm;
use super::{
    InTerms, check_in_values, is_too_much, null_value, too_many_combinations, unset_value,
};

/// A restriction on clustering columns that follow one another.
#[derive(Debug, Clone)]
pub(crate) struct ClusteringPart {
    /// Position of the first column in the clustering key.
    pub(crate) first: usize,
    /// What is said of them.
    pub(crate) kind: PartKind,
}

/// What is said of a group of clustering columns.
#[derive(Debug, Clone)]
pub(crate) enum PartKind {
    /// They have these values.
    Equal {
        /// How many columns.
        count: usize,
        /// The values.
        term: TupleTerm,
    },
    /// The one column has one of these values.
    InSingle(InTerms),
    /// They have one of these tuples of values.
    InTuples {
        /// How many columns.
        count: usize,
        /// The tuples.
        tuples: Vec<TupleTerm>,
    },
    /// They have one of the tuples in the client's list.
    InMarker {
        /// The marker.
        term: Term,
        /// The columns' types.
        types: Vec<CqlType>,
    },
    /// They lie between bounds.
    Slice {
        /// Above this.
        lower: Option<TupleBound>,
        /// Below this.
        upper: Option<TupleBound>,
    },
}

/// A bound on a group of columns; the group may be shorter than that of the other bound.
#[derive(Debug, Clone)]
pub(crate) struct TupleBound {
    /// The values.
    pub(crate) term: TupleTerm,
    /// How many columns they are for.
    pub(crate) count: usize,
    /// Whether the bound itself is included.
    pub(crate) inclusive: bool,
}

impl ClusteringPart {
    /// The column at this position has this value.
    pub(crate) fn equal(first: usize, term: Term) -> ClusteringPart {
        let kind = PartKind::Equal { count: 1, term: TupleTerm::Parts(vec![term]) };
        ClusteringPart { first, kind }
    }

    /// The value of the one column that it fixes, if that is what it does.
    pub(crate) fn single_term(&self) -> Option<&Term> {
        match &self.kind {
            PartKind::Equal { term: TupleTerm::Parts(parts), .. } => match parts.as_slice() {
                [term] => Some(term),
                _ => None,
            },
            _ => None,
        }
    }

    /// The position after the last column.
    pub(crate) fn end(&self) -> usize {
        let count = match &self.kind {
            PartKind::Equal { count, .. } | PartKind::InTuples { count, .. } => *count,
            PartKind::InSingle(_) => 1,
            PartKind::InMarker { types, .. } => types.len(),
            PartKind::Slice { lower, upper } => {
                let count = |bound: &Option<TupleBound>| bound.as_ref().map_or(0, |b| b.count);
                count(lower).max(count(upper))
            }
        };
        self.first + count
    }

    /// Whether it has bounds rather than values.
    pub(crate) fn is_slice(&self) -> bool {
        matches!(self.kind, PartKind::Slice { .. })
    }

    /// Whether it fixes its columns.
    pub(crate) fn is_equal(&self) -> bool {
        matches!(self.kind, PartKind::Equal { .. })
    }
}

/// A tuple's values; none of them null or unset.
fn tuple_values(
    term: &TupleTerm,
    columns: &[Column],
    environment: &Environment<'_>,
) -> Result<Vec<Vec<u8>>> {
    let name = |index: usize| columns.get(index).map_or("", |column| column.name.as_str());
    match term {
        TupleTerm::Parts(parts) => {
            let values =
                parts.iter().enumerate().map(|(index, part)| match part.evaluate(environment)? {
                    Bound::Bytes(bytes) => Ok(bytes.into_owned()),
                    Bound::Null => Err(null_value(name(index))),
                    Bound::Unset => Err(unset_value(name(index))),
                });
            values.collect()
        }
        TupleTerm::Whole(term, types) => match term.evaluate(environment)? {
            Bound::Bytes(bytes) => split_tuple(&bytes, types, columns),
            Bound::Null => Err(Error::invalid(format!(
                "Invalid null value for {}",
                joined_names(columns, types.len())
            ))),
            Bound::Unset => Err(Error::invalid(format!(
                "Invalid unset value for {}",
                joined_names(columns, types.len())
            ))),
        },
    }
}

fn joined_names(columns: &[Column], count: usize) -> String {
    let names: Vec<&str> = columns.iter().take(count).map(|c| c.name.as_str()).collect();
    names.join(", ")
}

fn split_tuple(bytes: &[u8], types: &[CqlType], columns: &[Column]) -> Result<Vec<Vec<u8>>> {
    let components = frames::tuple_components(bytes, types.len())?;
    let named = components.into_iter().enumerate().map(|(index, component)| {
        let name = columns.get(index).map_or("", |column| column.name.as_str());
        component.map(<[u8]>::to_vec).ok_or_else(|| null_value(name))
    });
    named.collect()
}

/// All tuples that a part of values allows.
fn alternatives(
    part: &ClusteringPart,
    columns: &[Column],
    environment: &Environment<'_>,
) -> Result<Vec<Vec<Vec<u8>>>> {
    let name = columns.first().map_or("", |column| column.name.as_str());
    match &part.kind {
        PartKind::Equal { term, .. } => Ok(vec![tuple_values(term, columns, environment)?]),
        PartKind::InSingle(values) => {
            let values = values.evaluate(environment, name)?.into_iter();
            values.map(|value| Ok(vec![value.ok_or_else(|| null_value(name))?])).collect()
        }
        PartKind::InTuples { tuples, .. } => {
            tuples.iter().map(|tuple| tuple_values(tuple, columns, environment)).collect()
        }
        PartKind::InMarker { term, types } => match term.evaluate(environment)? {
            Bound::Bytes(bytes) => {
                check_in_values(&bytes, name)?;
                let tuples = frames::list_elements(&bytes)?;
                tuples.map(|tuple| split_tuple(tuple?, types, columns)).collect()
            }
            Bound::Null => Err(null_value(name)),
            Bound::Unset => Err(unset_value(name)),
        },
        PartKind::Slice { .. } => Ok(Vec::new()),
    }
}

/// The one range of parts that each fix one column, if that is what all of them do.
fn single_range(
    parts: &[ClusteringPart],
    columns: &[Column],
    environment: &Environment<'_>,
) -> Result<Option<PositionRange>> {
    let mut prefix = Vec::new();
    for (part, column) in parts.iter().zip(columns) {
        let Some(term) = part.single_term() else { return Ok(None) };
        match term.evaluate(environment)? {
            Bound::Bytes(bytes) => {
                encode_component(&column.ty, Some(&bytes), column.descending, &mut prefix)?;
            }
            Bound::Null => return Err(null_value(&column.name)),
            Bound::Unset => return Err(unset_value(&column.name)),
        }
    }
    Ok(Some(PositionRange::of_prefix(&prefix)))
}

/// The ranges of positions that the parts allow: ascending, disjoint, not touching.
pub(crate) fn slices(
    parts: &[ClusteringPart],
    columns: &[Column],
    environment: &Environment<'_>,
) -> Result<Vec<PositionRange>> {
    if let Some(range) = single_range(parts, columns, environment)? {
        return Ok(vec![range]);
    }
    let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
    let mut ranges = None;
    for part in parts {
        let group = columns.get(part.first..).unwrap_or_default();
        if let PartKind::Slice { lower, upper } = &part.kind {
            ranges = Some(bounded(&prefixes, lower, upper, group, environment)?);
            break;
        }
        let tuples = alternatives(part, group, environment)?;
        if is_too_much(prefixes.iter().map(Vec::len), tuples.iter().map(|tuple| bytes_of(tuple))) {
            return Err(too_many_combinations("rows"));
        }
        let mut longer = Vec::with_capacity(prefixes.len() * tuples.len());
        for prefix in &prefixes {
            for tuple in &tuples {
                let mut prefix = prefix.clone();
                push_values(&mut prefix, tuple, group)?;
                longer.push(prefix);
            }
        }
        prefixes = longer;
    }
    let ranges = ranges.unwrap_or_else(|| {
        prefixes.iter().map(|prefix| PositionRange::of_prefix(prefix)).collect()
    });
    Ok(united(ranges))
}

/// The clustering values of all rows that the parts name; they fix every clustering column.
pub(crate) fn row_keys(
    parts: &[ClusteringPart],
    columns: &[Column],
    environment: &Environment<'_>,
) -> Result<Vec<Vec<Vec<u8>>>> {
    let mut rows: Vec<Vec<Vec<u8>>> = vec![Vec::with_capacity(columns.len())];
    for part in parts {
        let group = columns.get(part.first..).unwrap_or_default();
        let mut tuples = alternatives(part, group, environment)?;
        if let ([row], 1) = (rows.as_mut_slice(), tuples.len()) {
            row.extend(tuples.swap_remove(0));
            continue;
        }
        if is_too_much(
            rows.iter().map(|row| bytes_of(row)),
            tuples.iter().map(|tuple| bytes_of(tuple)),
        ) {
            return Err(too_many_combinations("rows"));
        }
        let longer = rows.iter().flat_map(|row| {
            tuples.iter().map(|tuple| row.iter().chain(tuple).cloned().collect::<Vec<_>>())
        });
        rows = longer.collect();
    }
    Ok(rows)
}

fn bytes_of(values: &[Vec<u8>]) -> usize {
    values.iter().map(Vec::len).sum()
}

fn push_values(prefix: &mut Vec<u8>, values: &[Vec<u8>], columns: &[Column]) -> Result<()> {
    for (value, column) in values.iter().zip(columns) {
        encode_component(&column.ty, Some(value), column.descending, prefix)?;
    }
    Ok(())
}

/// The ranges between two bounds behind each prefix.
fn bounded(
    prefixes: &[Vec<u8>],
    lower: &Option<TupleBound>,
    upper: &Option<TupleBound>,
    columns: &[Column],
    environment: &Environment<'_>,
) -> Result<Vec<PositionRange>> {
    let values = |bound: &Option<TupleBound>| -> Result<Option<(Vec<Vec<u8>>, bool)>> {
        let Some(bound) = bound else { return Ok(None) };
        Ok(Some((tuple_values(&bound.term, columns, environment)?, bound.inclusive)))
    };
    let (lower, upper) = (values(lower)?, values(upper)?);
    let mut ranges = Vec::new();
    for prefix in prefixes {
        let whole = || vec![PositionRange::of_prefix(prefix)];
        let side = |bound: &Option<(Vec<Vec<u8>>, bool)>, above: bool| match bound {
            Some((values, inclusive)) => one_sided(prefix, values, *inclusive, above, columns),
            None => Ok(whole()),
        };
        let (above, below) = (side(&lower, true)?, side(&upper, false)?);
        for low in &above {
            for high in &below {
                ranges.push(low.intersect(high));
            }
        }
    }
    Ok(ranges)
}

/// What lies above (or below) a tuple of values, in the order of the values.
fn one_sided(
    prefix: &[u8],
    values: &[Vec<u8>],
    inclusive: bool,
    above: bool,
    columns: &[Column],
) -> Result<Vec<PositionRange>> {
    let mut ranges = Vec::with_capacity(values.len());
    let mut fixed = prefix.to_vec();
    for (index, (value, column)) in values.iter().zip(columns).enumerate() {
        let mut longer = fixed.clone();
        encode_component(&column.ty, Some(value), column.descending, &mut longer)?;
        let includes_value = inclusive && index + 1 == values.len();
        // In a descending column larger values have smaller positions.
        let range = if above != column.descending {
            let from = if includes_value { BEFORE } else { AFTER };
            PositionRange::new(ended(&longer, from), ended(&fixed, AFTER))
        } else {
            let to = if includes_value { AFTER } else { BEFORE };
            PositionRange::new(ended(&fixed, BEFORE), ended(&longer, to))
        };
        ranges.push(range);
        fixed = longer;
    }
    Ok(ranges)
}

fn ended(prefix: &[u8], ending: u8) -> Slice {
    let mut bytes = Vec::with_capacity(prefix.len() + 1);
    bytes.extend_from_slice(prefix);
    bytes.push(ending);
    Slice::from(bytes)
}

/// Sorts ranges and joins those that overlap or touch.
fn united(mut ranges: Vec<PositionRange>) -> Vec<PositionRange> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by(|a, b| a.start.cmp(&b.start).then_with(|| a.end.cmp(&b.end)));
    let mut out: Vec<PositionRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => {
                if range.end > last.end {
                    last.end = range.end;
                }
            }
            _ => out.push(range),
        }
    }
    out
}
