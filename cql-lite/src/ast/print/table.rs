//! Tables, views and properties.

use std::fmt::{Display, Formatter, Result};

use super::term::{enclosed, entries, where_clause};
use super::{separated, separated_by, when};
use crate::ast::{
    AlterTable, AlterView, ColumnDefinition, ColumnMask, CreateTable, CreateView, PrimaryKey,
    Property, PropertyMap, PropertyValue, TableAlteration, TableOption,
};

impl Display for Property {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} = {}", self.name, self.value)
    }
}

impl Display for PropertyValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            PropertyValue::Literal(literal) => literal.fmt(f),
            PropertyValue::Keyword(keyword) => keyword.fmt(f),
            PropertyValue::Map(map) => map.fmt(f),
        }
    }
}

impl Display for PropertyMap {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        entries(f, &self.entries)
    }
}

/// ` WITH a AND b`, if there is anything.
pub(super) fn with<T: Display>(f: &mut Formatter<'_>, options: &[T]) -> Result {
    when(f, !options.is_empty(), " WITH ")?;
    separated(f, options, " AND ")
}

impl Display for TableOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            TableOption::Property(property) => property.fmt(f),
            TableOption::CompactStorage(_) => f.write_str("COMPACT STORAGE"),
            TableOption::ClusteringOrder { columns, .. } => {
                f.write_str("CLUSTERING ORDER BY (")?;
                separated_by(f, columns, ", ", |f, (column, direction)| {
                    write!(f, "{column} {direction}")
                })?;
                f.write_str(")")
            }
        }
    }
}

impl Display for CreateTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("CREATE TABLE ")?;
        when(f, self.if_not_exists, "IF NOT EXISTS ")?;
        write!(f, "{} (", self.table)?;
        separated(f, &self.columns, ", ")?;
        when(f, !self.columns.is_empty() && !self.primary_keys.is_empty(), ", ")?;
        separated(f, &self.primary_keys, ", ")?;
        f.write_str(")")?;
        with(f, &self.options)
    }
}

impl Display for ColumnDefinition {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} {}", self.name, self.type_name)?;
        when(f, self.is_static, " STATIC")?;
        if let Some(mask) = &self.mask {
            write!(f, " {mask}")?;
        }
        when(f, self.primary_key, " PRIMARY KEY")
    }
}

impl Display for ColumnMask {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.function {
            None => f.write_str("MASKED WITH DEFAULT"),
            Some(function) => {
                write!(f, "MASKED WITH {function}")?;
                enclosed(f, "(", &self.arguments, ")")
            }
        }
    }
}

impl Display for PrimaryKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("PRIMARY KEY (")?;
        match self.partition.as_slice() {
            [single] => single.fmt(f)?,
            several => enclosed(f, "(", several, ")")?,
        }
        when(f, !self.clustering.is_empty(), ", ")?;
        separated(f, &self.clustering, ", ")?;
        f.write_str(")")
    }
}

impl Display for AlterTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("ALTER TABLE ")?;
        when(f, self.if_exists, "IF EXISTS ")?;
        write!(f, "{} {}", self.table, self.alteration)
    }
}

impl Display for TableAlteration {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            TableAlteration::ColumnType { column, type_name } => {
                write!(f, "ALTER {column} TYPE {type_name}")
            }
            TableAlteration::Mask { if_exists, column, mask } => {
                f.write_str("ALTER ")?;
                when(f, *if_exists, "IF EXISTS ")?;
                match mask {
                    Some(mask) => write!(f, "{column} {mask}"),
                    None => write!(f, "{column} DROP MASKED"),
                }
            }
            TableAlteration::Add { if_not_exists, columns } => {
                f.write_str("ADD ")?;
                when(f, *if_not_exists, "IF NOT EXISTS ")?;
                one_or_more(f, columns)
            }
            TableAlteration::Drop { if_exists, columns, timestamp } => {
                f.write_str("DROP ")?;
                when(f, *if_exists, "IF EXISTS ")?;
                one_or_more(f, columns)?;
                match timestamp {
                    Some(timestamp) => write!(f, " USING TIMESTAMP {timestamp}"),
                    None => Ok(()),
                }
            }
            TableAlteration::Rename { if_exists, renames } => {
                f.write_str("RENAME ")?;
                when(f, *if_exists, "IF EXISTS ")?;
                separated_by(f, renames, " AND ", |f, (from, to)| write!(f, "{from} TO {to}"))
            }
            TableAlteration::DropCompactStorage => f.write_str("DROP COMPACT STORAGE"),
            TableAlteration::Properties(properties) => {
                f.write_str("WITH ")?;
                separated(f, properties, " AND ")
            }
        }
    }
}

/// `a` or `(a, b)`
fn one_or_more<T: Display>(f: &mut Formatter<'_>, list: &[T]) -> Result {
    match list {
        [single] => single.fmt(f),
        several => enclosed(f, "(", several, ")"),
    }
}

impl Display for CreateView {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("CREATE MATERIALIZED VIEW ")?;
        when(f, self.if_not_exists, "IF NOT EXISTS ")?;
        write!(f, "{} AS SELECT {} FROM {}", self.view, self.selection, self.base_table)?;
        where_clause(f, &self.relations)?;
        write!(f, " {}", self.primary_key)?;
        with(f, &self.options)
    }
}

impl Display for AlterView {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("ALTER MATERIALIZED VIEW ")?;
        when(f, self.if_exists, "IF EXISTS ")?;
        self.view.fmt(f)?;
        with(f, &self.properties)
    }
}
