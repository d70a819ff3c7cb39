//! Aggregates, and the groups of rows that they are computed over.

use std::borrow::Cow;

use cql_lite::types::CqlType;
use cql_lite::types::order::compare;
use helenus_platform::codec::Put;

use crate::error::{Error, Result};
use crate::query::restriction::ColumnRef;

/// The aggregates there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    /// Rows, or values that are not null.
    Count,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// Their sum, in their own type.
    Sum,
    /// Their average, in their own type.
    Avg,
}

impl AggregateKind {
    /// The aggregate of that name.
    pub(crate) fn named(name: &str) -> Option<AggregateKind> {
        Some(match name.to_lowercase().as_str() {
            "count" => AggregateKind::Count,
            "min" => AggregateKind::Min,
            "max" => AggregateKind::Max,
            "sum" => AggregateKind::Sum,
            "avg" => AggregateKind::Avg,
            _ => return None,
        })
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            AggregateKind::Count => "count",
            AggregateKind::Min => "min",
            AggregateKind::Max => "max",
            AggregateKind::Sum => "sum",
            AggregateKind::Avg => "avg",
        }
    }

    /// The type of its result for arguments of this type.
    pub(crate) fn result_type(self, argument: Option<&CqlType>) -> Result<CqlType> {
        match (self, argument) {
            (AggregateKind::Count, _) | (_, None) => Ok(CqlType::Bigint),
            (AggregateKind::Min | AggregateKind::Max, Some(ty)) => Ok(ty.clone().frozen()),
            (_, Some(CqlType::Counter)) => Ok(CqlType::Bigint),
            (_, Some(ty)) if ty.is_numeric() => Ok(ty.clone()),
            (kind, Some(ty)) => Err(Error::invalid(format!(
                "Invalid call to function {}, none of its type signatures match: it takes numbers, \
                 not {ty}",
                kind.name()
            ))),
        }
    }
}

/// How rows are grouped.
#[derive(Debug, Clone)]
pub(crate) struct Aggregates {
    /// Columns that are equal within a group: those of the partition key and the first clustering
    /// columns. None: all rows are one group.
    pub(crate) group_by: Option<Vec<ColumnRef>>,
}

/// One aggregate over the rows of the current group.
#[derive(Debug, Clone)]
pub(crate) struct Accumulator {
    kind: AggregateKind,
    /// The type of the values.
    ty: CqlType,
    count: i64,
    best: Option<Vec<u8>>,
    sum: super::super::number::Sum,
}

impl Accumulator {
    /// Over no rows yet.
    pub(crate) fn new(kind: AggregateKind, ty: CqlType) -> Accumulator {
        Accumulator { kind, ty, count: 0, best: None, sum: Default::default() }
    }

    /// Forgets the rows.
    pub(crate) fn reset(&mut self) {
        self.count = 0;
        self.best = None;
        self.sum = Default::default();
    }

    /// Counts a row.
    pub(crate) fn add_row(&mut self) {
        self.count += 1;
    }

    /// Takes a value in; nulls do not count.
    pub(crate) fn add(&mut self, value: Option<Cow<'_, [u8]>>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        self.count += 1;
        match self.kind {
            AggregateKind::Count => {}
            AggregateKind::Min | AggregateKind::Max => {
                let better = self.best.as_ref().is_none_or(|best| {
                    let order = compare(&self.ty, &value, best);
                    if self.kind == AggregateKind::Min { order.is_lt() } else { order.is_gt() }
                });
                if better {
                    self.best = Some(value.into_owned());
                }
            }
            AggregateKind::Sum | AggregateKind::Avg => self.sum.add(&self.ty, &value)?,
        }
        Ok(())
    }

    /// The result over the rows since the last reset.
    pub(crate) fn result(&self) -> Result<Option<Vec<u8>>> {
        match self.kind {
            AggregateKind::Count => {
                let mut bytes = Vec::with_capacity(8);
                bytes.put_i64_be(self.count);
                Ok(Some(bytes))
            }
            AggregateKind::Min | AggregateKind::Max => Ok(self.best.clone()),
            AggregateKind::Sum => self.sum.total(&self.ty).map(Some),
            AggregateKind::Avg => self.sum.average(&self.ty, self.count).map(Some),
        }
    }
}
