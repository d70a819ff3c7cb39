//! SELECT and DESCRIBE.

use std::fmt::{Display, Formatter, Result};

use super::term::{enclosed, entries, where_clause};
use super::{separated, when};
use crate::ast::{
    CellInfo, Describe, DescribeTarget, Direction, Ordering, PathStep, Select, Selected, Selection,
    Selector,
};

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("SELECT ")?;
        when(f, self.json, "JSON ")?;
        when(f, self.distinct, "DISTINCT ")?;
        write!(f, "{} FROM {}", self.selection, self.table)?;
        where_clause(f, &self.relations)?;
        if !self.group_by.is_empty() {
            f.write_str(" GROUP BY ")?;
            separated(f, &self.group_by, ", ")?;
        }
        if !self.order_by.is_empty() {
            f.write_str(" ORDER BY ")?;
            separated(f, &self.order_by, ", ")?;
        }
        if let Some(limit) = &self.per_partition_limit {
            write!(f, " PER PARTITION LIMIT {limit}")?;
        }
        if let Some(limit) = &self.limit {
            write!(f, " LIMIT {limit}")?;
        }
        when(f, self.allow_filtering, " ALLOW FILTERING")
    }
}

impl Display for Selection {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Selection::All => f.write_str("*"),
            Selection::List(list) => separated(f, list, ", "),
        }
    }
}

impl Display for Selected {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.selector.fmt(f)?;
        match &self.alias {
            Some(alias) => write!(f, " AS {alias}"),
            None => Ok(()),
        }
    }
}

impl Display for Selector {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Selector::Column(column) => column.fmt(f),
            Selector::Term(term) => term.fmt(f),
            Selector::CountRows(_) => f.write_str("count(*)"),
            Selector::CellInfo(info) => info.fmt(f),
            Selector::Cast(cast) => {
                write!(f, "CAST({} AS {})", cast.selector, cast.target.name())
            }
            Selector::Function(call) => {
                call.name.fmt(f)?;
                enclosed(f, "(", &call.arguments, ")")
            }
            Selector::TypeHint(hint) => write!(f, "({}){}", hint.type_name, hint.selector),
            Selector::Parenthesized(sequence) => enclosed(f, "(", &sequence.elements, ")"),
            Selector::List(sequence) => enclosed(f, "[", &sequence.elements, "]"),
            Selector::Set(sequence) => enclosed(f, "{", &sequence.elements, "}"),
            Selector::MapOrUdt(map) => entries(f, &map.entries),
            Selector::Path(path) => {
                path.base.fmt(f)?;
                when(f, ends_with_constant(&path.base), " ")?;
                separated(f, &path.steps, "")
            }
            Selector::Arithmetic(arithmetic) => arithmetic.fmt(f),
            Selector::Negate(negate) => write!(f, "- {}", negate.operand),
        }
    }
}

/// Whether a dot after the expression could be taken for a decimal point.
fn ends_with_constant(selector: &Selector) -> bool {
    match selector {
        Selector::Term(_) => true,
        Selector::TypeHint(hint) => ends_with_constant(&hint.selector),
        _ => false,
    }
}

impl Display for CellInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}({}", self.kind.name(), self.column)?;
        separated(f, &self.path, "")?;
        f.write_str(")")
    }
}

impl Display for PathStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            PathStep::Field(field) => write!(f, ".{field}"),
            PathStep::Element(key) => write!(f, "[{key}]"),
            PathStep::Slice(from, to) => {
                f.write_str("[")?;
                if let Some(from) = from {
                    from.fmt(f)?;
                }
                f.write_str(" .. ")?;
                if let Some(to) = to {
                    to.fmt(f)?;
                }
                f.write_str("]")
            }
        }
    }
}

impl Display for Ordering {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.column.fmt(f)?;
        if let Some(vector) = &self.ann_of {
            write!(f, " ANN OF {vector}")?;
        }
        when(f, self.direction == Direction::Descending, " DESC")
    }
}

impl Display for Direction {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Direction::Ascending => "ASC",
            Direction::Descending => "DESC",
        })
    }
}

impl Display for Describe {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "DESCRIBE {}", self.target)?;
        when(f, self.with_internals, " WITH INTERNALS")
    }
}

impl Display for DescribeTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            DescribeTarget::Cluster => f.write_str("CLUSTER"),
            DescribeTarget::Schema { full } => {
                f.write_str(if *full { "FULL SCHEMA" } else { "SCHEMA" })
            }
            DescribeTarget::Keyspaces => f.write_str("KEYSPACES"),
            DescribeTarget::Keyspace { only, name } => {
                f.write_str(if *only { "ONLY KEYSPACE" } else { "KEYSPACE" })?;
                match name {
                    Some(name) => write!(f, " {name}"),
                    None => Ok(()),
                }
            }
            DescribeTarget::Tables => f.write_str("TABLES"),
            DescribeTarget::Table(name) => write!(f, "TABLE {name}"),
            DescribeTarget::Index(name) => write!(f, "INDEX {name}"),
            DescribeTarget::View(name) => write!(f, "MATERIALIZED VIEW {name}"),
            DescribeTarget::Types => f.write_str("TYPES"),
            DescribeTarget::Type(name) => write!(f, "TYPE {name}"),
            DescribeTarget::Functions => f.write_str("FUNCTIONS"),
            DescribeTarget::Function(name) => write!(f, "FUNCTION {name}"),
            DescribeTarget::Aggregates => f.write_str("AGGREGATES"),
            DescribeTarget::Aggregate(name) => write!(f, "AGGREGATE {name}"),
            DescribeTarget::Any(name) => name.fmt(f),
        }
    }
}
