//! Names made of more than one token.

use super::cursor::{Parsed, Parser};
use crate::ast::{Identifier, QualifiedName, Quoting, RoleName};
use crate::lexer::{Symbol, TokenKind};

/// Type names that Cassandra keeps for itself although they are no keywords.
const RESERVED_TYPE_NAMES: [&str; 7] =
    ["byte", "complex", "enum", "date", "interval", "macaddr", "bitstring"];

impl Parser<'_> {
    /// A name of the schema, where a bind marker gets an error of its own.
    fn schema_name(&mut self, what: &str) -> Parsed<Identifier> {
        let next = self.peek();
        if next.kind == Symbol::Question.into() {
            let message = format!("Bind variables cannot be used for {what} names");
            return self.rule_broken(next.position, message);
        }
        self.identifier()
    }

    fn qualified(&mut self, what: &str) -> Parsed<QualifiedName> {
        if !self.at_ahead(1, Symbol::Dot) {
            return Ok(QualifiedName { keyspace: None, name: self.schema_name(what)? });
        }
        let keyspace = self.keyspace_name()?;
        self.expect(Symbol::Dot)?;
        Ok(QualifiedName { keyspace: Some(keyspace), name: self.schema_name(what)? })
    }

    /// The name of a keyspace.
    pub(super) fn keyspace_name(&mut self) -> Parsed<Identifier> {
        self.schema_name("keyspace")
    }

    /// The name of a table or view.
    pub(super) fn table_name(&mut self) -> Parsed<QualifiedName> {
        self.qualified("table")
    }

    /// The name of an index, perhaps with its keyspace.
    pub(super) fn index_name(&mut self) -> Parsed<QualifiedName> {
        self.qualified("index")
    }

    /// The name of an index that is being made.
    pub(super) fn new_index_name(&mut self) -> Parsed<Identifier> {
        self.schema_name("index")
    }

    /// The name of a user-defined type.
    pub(super) fn type_name_of_user(&mut self) -> Parsed<QualifiedName> {
        let keyspace = if self.at_ahead(1, Symbol::Dot) {
            let keyspace = self.identifier()?;
            self.expect(Symbol::Dot)?;
            Some(keyspace)
        } else {
            None
        };
        let next = self.peek();
        if !Self::is_type_name(next.kind) {
            return self.no_viable();
        }
        let name = self.take_name();
        let source = next.source(self.input());
        if next.kind == TokenKind::Identifier && RESERVED_TYPE_NAMES.contains(&source) {
            let message = format!("Invalid (reserved) user type name {source}");
            return self.rule_broken(next.position, message);
        }
        Ok(QualifiedName { keyspace, name })
    }

    /// The name of a function where no arguments need to follow.
    pub(super) fn function_name(&mut self) -> Parsed<QualifiedName> {
        let keyspace = if self.at_ahead(1, Symbol::Dot) {
            let keyspace = self.keyspace_name()?;
            self.expect(Symbol::Dot)?;
            Some(keyspace)
        } else {
            None
        };
        Ok(QualifiedName { keyspace, name: self.function_name_part()? })
    }

    /// The name of a function without a keyspace.
    pub(super) fn function_name_part(&mut self) -> Parsed<Identifier> {
        let is_name = Self::is_function_name(self.peek().kind);
        if is_name { Ok(self.take_name()) } else { self.no_viable() }
    }

    /// The name of a role.
    pub(super) fn role_name(&mut self) -> Parsed<RoleName> {
        let next = self.peek();
        let quoting = match next.kind {
            TokenKind::String => Quoting::String,
            TokenKind::QuotedName => Quoting::Identifier,
            kind if kind == Symbol::Question.into() => {
                let message = "Bind variables cannot be used for role names".to_owned();
                return self.rule_broken(next.position, message);
            }
            kind if Self::is_identifier(kind) => Quoting::Bare,
            _ => return self.no_viable(),
        };
        self.take();
        let mut name = next.text(self.input());
        if quoting == Quoting::Bare {
            name.make_ascii_lowercase();
        }
        Ok(RoleName { name, quoting, position: next.position })
    }

    /// The name of a user or an identity: a word or a string, its case kept. In double quotes it
    /// is an error, with a sentence of its own for `what`.
    pub(super) fn user_name(&mut self, what: &str) -> Parsed<RoleName> {
        let next = self.peek();
        let quoting = match next.kind {
            TokenKind::Identifier => Quoting::Bare,
            TokenKind::String => Quoting::String,
            TokenKind::QuotedName => {
                let message = format!("Quoted strings are are not supported for {what}");
                return self.rule_broken(next.position, message);
            }
            _ => return self.no_viable(),
        };
        self.take();
        Ok(RoleName { name: next.text(self.input()), quoting, position: next.position })
    }
}
