//! Keyspaces, types, indexes, triggers, functions, aggregates, and what is dropped.

use std::fmt::{Display, Formatter, Result};

use super::table::with;
use super::term::enclosed;
use super::{separated_by, string, when};
use crate::ast::{
    AlterKeyspace, AlterType, CreateAggregate, CreateFunction, CreateIndex, CreateKeyspace,
    CreateTrigger, CreateType, Drop, DropFunction, DropKeyspace, DropTrigger, IndexTarget,
    IndexTargetKind, TypeAlteration,
};

const IF_EXISTS: &str = "IF EXISTS ";
const IF_NOT_EXISTS: &str = "IF NOT EXISTS ";

impl Display for CreateKeyspace {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("CREATE KEYSPACE ")?;
        when(f, self.if_not_exists, IF_NOT_EXISTS)?;
        self.keyspace.fmt(f)?;
        with(f, &self.properties)
    }
}

impl Display for AlterKeyspace {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("ALTER KEYSPACE ")?;
        when(f, self.if_exists, IF_EXISTS)?;
        self.keyspace.fmt(f)?;
        with(f, &self.properties)
    }
}

impl Display for DropKeyspace {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("DROP KEYSPACE ")?;
        when(f, self.if_exists, IF_EXISTS)?;
        self.keyspace.fmt(f)
    }
}

/// `DROP what name`
pub(super) fn drop_of(f: &mut Formatter<'_>, what: &str, drop: &Drop) -> Result {
    write!(f, "DROP {what} ")?;
    when(f, drop.if_exists, IF_EXISTS)?;
    drop.name.fmt(f)
}

/// `DROP what name(types)`
pub(super) fn drop_routine(f: &mut Formatter<'_>, what: &str, drop: &DropFunction) -> Result {
    write!(f, "DROP {what} ")?;
    when(f, drop.if_exists, IF_EXISTS)?;
    drop.name.fmt(f)?;
    match &drop.arguments {
        Some(arguments) => enclosed(f, "(", arguments, ")"),
        None => Ok(()),
    }
}

impl Display for CreateType {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("CREATE TYPE ")?;
        when(f, self.if_not_exists, IF_NOT_EXISTS)?;
        write!(f, "{} (", self.name)?;
        separated_by(f, &self.fields, ", ", |f, (name, kind)| write!(f, "{name} {kind}"))?;
        f.write_str(")")
    }
}

impl Display for AlterType {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("ALTER TYPE ")?;
        when(f, self.if_exists, IF_EXISTS)?;
        write!(f, "{} {}", self.name, self.alteration)
    }
}

impl Display for TypeAlteration {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            TypeAlteration::FieldType { field, type_name } => {
                write!(f, "ALTER {field} TYPE {type_name}")
            }
            TypeAlteration::Add { if_not_exists, field, type_name } => {
                f.write_str("ADD ")?;
                when(f, *if_not_exists, IF_NOT_EXISTS)?;
                write!(f, "{field} {type_name}")
            }
            TypeAlteration::Rename { if_exists, renames } => {
                f.write_str("RENAME ")?;
                when(f, *if_exists, IF_EXISTS)?;
                separated_by(f, renames, " AND ", |f, (from, to)| write!(f, "{from} TO {to}"))
            }
        }
    }
}

impl Display for CreateIndex {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(if self.custom { "CREATE CUSTOM INDEX " } else { "CREATE INDEX " })?;
        when(f, self.if_not_exists, IF_NOT_EXISTS)?;
        if let Some(name) = &self.name {
            write!(f, "{name} ")?;
        }
        write!(f, "ON {} ", self.table)?;
        enclosed(f, "(", &self.targets, ")")?;
        if let Some(class) = &self.class {
            f.write_str(" USING ")?;
            string(f, class)?;
        }
        with(f, &self.properties)
    }
}

impl Display for IndexTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let column = &self.column;
        match self.kind {
            IndexTargetKind::Simple => column.fmt(f),
            IndexTargetKind::Values => write!(f, "values({column})"),
            IndexTargetKind::Keys => write!(f, "keys({column})"),
            IndexTargetKind::Entries => write!(f, "entries({column})"),
            IndexTargetKind::Full => write!(f, "full({column})"),
        }
    }
}

impl Display for CreateTrigger {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("CREATE TRIGGER ")?;
        when(f, self.if_not_exists, IF_NOT_EXISTS)?;
        write!(f, "{} ON {} USING ", self.name, self.table)?;
        string(f, &self.class)
    }
}

impl Display for DropTrigger {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("DROP TRIGGER ")?;
        when(f, self.if_exists, IF_EXISTS)?;
        write!(f, "{} ON {}", self.name, self.table)
    }
}

impl Display for CreateFunction {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("CREATE ")?;
        when(f, self.or_replace, "OR REPLACE ")?;
        f.write_str("FUNCTION ")?;
        when(f, self.if_not_exists, IF_NOT_EXISTS)?;
        write!(f, "{}(", self.name)?;
        separated_by(f, &self.arguments, ", ", |f, (name, kind)| write!(f, "{name} {kind}"))?;
        f.write_str(if self.called_on_null { ") CALLED" } else { ") RETURNS NULL" })?;
        let (returns, language) = (&self.returns, &self.language);
        write!(f, " ON NULL INPUT RETURNS {returns} LANGUAGE {language} AS ")?;
        if self.body.contains("$$") || self.body.ends_with('$') {
            return string(f, &self.body);
        }
        write!(f, "$${}$$", self.body)
    }
}

impl Display for CreateAggregate {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("CREATE ")?;
        when(f, self.or_replace, "OR REPLACE ")?;
        f.write_str("AGGREGATE ")?;
        when(f, self.if_not_exists, IF_NOT_EXISTS)?;
        self.name.fmt(f)?;
        enclosed(f, "(", &self.arguments, ")")?;
        write!(f, " SFUNC {} STYPE {}", self.state_function, self.state_type)?;
        if let Some(function) = &self.final_function {
            write!(f, " FINALFUNC {function}")?;
        }
        match &self.initial_state {
            Some(term) => write!(f, " INITCOND {term}"),
            None => Ok(()),
        }
    }
}
