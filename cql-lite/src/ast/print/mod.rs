//! The printer: `Display` for the syntax tree, as CQL that parses back to an equal tree.
//!
//! It prints what the parser can build. A tree made otherwise may have no spelling: a sum as the
//! operand of a product, say, since parentheses make a tuple of it.

mod auth;
mod modify;
mod schema;
mod select;
mod table;
mod term;

use std::fmt::{Display, Formatter, Result, Write};

use super::{Identifier, QualifiedName, Quoting, RoleName, Statement, TypeKind, TypeName};

/// Writes a list with `separator` between its elements.
fn separated<T: Display>(f: &mut Formatter<'_>, list: &[T], separator: &str) -> Result {
    separated_by(f, list, separator, |f, element| element.fmt(f))
}

/// The same with a way to write each element.
fn separated_by<T>(
    f: &mut Formatter<'_>,
    list: &[T],
    separator: &str,
    mut write: impl FnMut(&mut Formatter<'_>, &T) -> Result,
) -> Result {
    for (index, element) in list.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write(f, element)?;
    }
    Ok(())
}

/// Writes `text` if `condition` holds.
fn when(f: &mut Formatter<'_>, condition: bool, text: &str) -> Result {
    if condition { f.write_str(text) } else { Ok(()) }
}

/// Writes a text in quotes, doubling those in it.
fn quoted(f: &mut Formatter<'_>, text: &str, quote: char) -> Result {
    f.write_char(quote)?;
    for (index, part) in text.split(quote).enumerate() {
        if index > 0 {
            f.write_char(quote)?;
            f.write_char(quote)?;
        }
        f.write_str(part)?;
    }
    f.write_char(quote)
}

/// Writes a string literal.
fn string(f: &mut Formatter<'_>, text: &str) -> Result {
    quoted(f, text, '\'')
}

impl Display for Identifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.quoted { quoted(f, &self.name, '"') } else { f.write_str(&self.name) }
    }
}

impl Display for QualifiedName {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(keyspace) = &self.keyspace {
            write!(f, "{keyspace}.")?;
        }
        self.name.fmt(f)
    }
}

impl Display for RoleName {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.quoting {
            Quoting::Bare => f.write_str(&self.name),
            Quoting::Identifier => quoted(f, &self.name, '"'),
            Quoting::String => string(f, &self.name),
        }
    }
}

impl Display for TypeName {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.kind {
            TypeKind::Native(native) => f.write_str(native.name()),
            TypeKind::List(element) => write!(f, "list<{element}>"),
            TypeKind::Set(element) => write!(f, "set<{element}>"),
            TypeKind::Map(key, value) => write!(f, "map<{key}, {value}>"),
            TypeKind::Tuple(components) => {
                f.write_str("tuple<")?;
                separated(f, components, ", ")?;
                f.write_str(">")
            }
            TypeKind::Vector(element, dimension) => write!(f, "vector<{element}, {dimension}>"),
            TypeKind::Frozen(inner) => write!(f, "frozen<{inner}>"),
            TypeKind::User { keyspace: Some(keyspace), name } => write!(f, "{keyspace}.{name}"),
            TypeKind::User { keyspace: None, name } => name.fmt(f),
            TypeKind::Custom(class) => string(f, class),
        }
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Statement::Select(select) => select.fmt(f),
            Statement::Insert(insert) => insert.fmt(f),
            Statement::Update(update) => update.fmt(f),
            Statement::Delete(delete) => delete.fmt(f),
            Statement::Batch(batch) => batch.fmt(f),
            Statement::Use(keyspace) => write!(f, "USE {keyspace}"),
            Statement::Truncate(table) => write!(f, "TRUNCATE TABLE {table}"),
            Statement::CreateKeyspace(create) => create.fmt(f),
            Statement::AlterKeyspace(alter) => alter.fmt(f),
            Statement::DropKeyspace(drop) => drop.fmt(f),
            Statement::CreateTable(create) => create.fmt(f),
            Statement::AlterTable(alter) => alter.fmt(f),
            Statement::DropTable(drop) => schema::drop_of(f, "TABLE", drop),
            Statement::CreateType(create) => create.fmt(f),
            Statement::AlterType(alter) => alter.fmt(f),
            Statement::DropType(drop) => schema::drop_of(f, "TYPE", drop),
            Statement::CreateIndex(create) => create.fmt(f),
            Statement::DropIndex(drop) => schema::drop_of(f, "INDEX", drop),
            Statement::CreateView(create) => create.fmt(f),
            Statement::AlterView(alter) => alter.fmt(f),
            Statement::DropView(drop) => schema::drop_of(f, "MATERIALIZED VIEW", drop),
            Statement::CreateTrigger(create) => create.fmt(f),
            Statement::DropTrigger(drop) => drop.fmt(f),
            Statement::CreateFunction(create) => create.fmt(f),
            Statement::DropFunction(drop) => schema::drop_routine(f, "FUNCTION", drop),
            Statement::CreateAggregate(create) => create.fmt(f),
            Statement::DropAggregate(drop) => schema::drop_routine(f, "AGGREGATE", drop),
            Statement::CreateRole(create) => create.fmt(f),
            Statement::AlterRole(alter) => alter.fmt(f),
            Statement::DropRole(drop) => auth::drop_of(f, "ROLE", drop),
            Statement::CreateUser(create) => create.fmt(f),
            Statement::AlterUser(alter) => alter.fmt(f),
            Statement::DropUser(drop) => auth::drop_of(f, "USER", drop),
            Statement::AddIdentity(add) => add.fmt(f),
            Statement::DropIdentity(drop) => drop.fmt(f),
            Statement::GrantRole(grant) => auth::role_grant(f, "GRANT", "TO", grant),
            Statement::RevokeRole(grant) => auth::role_grant(f, "REVOKE", "FROM", grant),
            Statement::Grant(grant) => auth::permission_grant(f, "GRANT", "TO", grant),
            Statement::Revoke(grant) => auth::permission_grant(f, "REVOKE", "FROM", grant),
            Statement::ListPermissions(list) => list.fmt(f),
            Statement::ListRoles(list) => list.fmt(f),
            Statement::ListUsers => f.write_str("LIST USERS"),
            Statement::ListSuperusers => f.write_str("LIST SUPERUSERS"),
            Statement::Describe(describe) => describe.fmt(f),
        }
    }
}
