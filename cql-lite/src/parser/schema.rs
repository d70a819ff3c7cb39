//! Keyspaces, types, indexes, triggers, functions, aggregates, and what is dropped.

use super::cursor::{Parsed, Parser};
use crate::ast::{
    AlterKeyspace, AlterType, CreateAggregate, CreateFunction, CreateIndex, CreateKeyspace,
    CreateTrigger, CreateType, Drop, DropFunction, DropKeyspace, DropTrigger, Identifier,
    IndexTarget, IndexTargetKind, QualifiedName, TypeAlteration, TypeName,
};
use crate::lexer::{Keyword, Symbol, TokenKind};

impl Parser<'_> {
    /// What stands after `CREATE KEYSPACE`.
    pub(super) fn create_keyspace(&mut self) -> Parsed<CreateKeyspace> {
        let if_not_exists = self.if_not_exists()?;
        let keyspace = self.keyspace_name()?;
        self.expect(Keyword::With)?;
        Ok(CreateKeyspace { if_not_exists, keyspace, properties: self.properties()? })
    }

    /// What stands after `ALTER KEYSPACE`.
    pub(super) fn alter_keyspace(&mut self) -> Parsed<AlterKeyspace> {
        let if_exists = self.if_exists()?;
        let keyspace = self.keyspace_name()?;
        self.expect(Keyword::With)?;
        Ok(AlterKeyspace { if_exists, keyspace, properties: self.properties()? })
    }

    /// What stands after `DROP KEYSPACE`.
    pub(super) fn drop_keyspace(&mut self) -> Parsed<DropKeyspace> {
        let if_exists = self.if_exists()?;
        Ok(DropKeyspace { if_exists, keyspace: self.keyspace_name()? })
    }

    /// What stands after the keywords of a DROP.
    pub(super) fn drop(&mut self, name: fn(&mut Self) -> Parsed<QualifiedName>) -> Parsed<Drop> {
        let if_exists = self.if_exists()?;
        Ok(Drop { if_exists, name: name(self)? })
    }

    /// What stands after `CREATE TYPE`.
    pub(super) fn create_type(&mut self) -> Parsed<CreateType> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.type_name_of_user()?;
        self.expect(Symbol::OpenParen)?;
        let mut fields = Vec::new();
        loop {
            fields.push((self.identifier()?, self.type_name()?));
            let mut comma = false;
            while self.take_if(Symbol::Comma) {
                comma = true;
            }
            if !comma || self.at(Symbol::CloseParen) {
                break;
            }
        }
        self.expect(Symbol::CloseParen)?;
        Ok(CreateType { if_not_exists, name, fields })
    }

    /// What stands after `ALTER TYPE`.
    pub(super) fn alter_type(&mut self) -> Parsed<AlterType> {
        let if_exists = self.if_exists()?;
        let name = self.type_name_of_user()?;
        let alteration = if self.take_if(Keyword::Alter) {
            let field = self.identifier()?;
            self.expect(Keyword::Type)?;
            TypeAlteration::FieldType { field, type_name: self.type_name()? }
        } else if self.take_if(Keyword::Add) {
            let if_not_exists = self.if_not_exists()?;
            let field = self.identifier()?;
            TypeAlteration::Add { if_not_exists, field, type_name: self.type_name()? }
        } else if self.take_if(Keyword::Rename) {
            let if_exists = self.if_exists()?;
            TypeAlteration::Rename { if_exists, renames: self.renames()? }
        } else {
            return self.no_viable();
        };
        Ok(AlterType { if_exists, name, alteration })
    }

    /// `a TO b AND c TO d`
    pub(super) fn renames(&mut self) -> Parsed<Vec<(Identifier, Identifier)>> {
        self.and_separated(|parser| {
            let from = parser.identifier()?;
            parser.expect(Keyword::To)?;
            Ok((from, parser.identifier()?))
        })
    }

    /// What stands after `CREATE [CUSTOM] INDEX`.
    pub(super) fn create_index(&mut self, custom: bool) -> Parsed<CreateIndex> {
        let if_not_exists = self.if_not_exists()?;
        let name = if self.at(Keyword::On) { None } else { Some(self.new_index_name()?) };
        self.expect(Keyword::On)?;
        let table = self.table_name()?;
        self.expect(Symbol::OpenParen)?;
        let targets = if self.at(Symbol::CloseParen) {
            Vec::new()
        } else {
            self.comma_separated(Self::index_target)?
        };
        self.expect(Symbol::CloseParen)?;
        let class = if self.take_if(Keyword::Using) { Some(self.string()?) } else { None };
        let properties = if self.take_if(Keyword::With) { self.properties()? } else { Vec::new() };
        Ok(CreateIndex { custom, if_not_exists, name, table, targets, class, properties })
    }

    fn index_target(&mut self) -> Parsed<IndexTarget> {
        let kind = match self.peek().kind {
            TokenKind::Keyword(Keyword::Values) => IndexTargetKind::Values,
            TokenKind::Keyword(Keyword::Keys) => IndexTargetKind::Keys,
            TokenKind::Keyword(Keyword::Entries) => IndexTargetKind::Entries,
            TokenKind::Keyword(Keyword::Full) => IndexTargetKind::Full,
            _ => IndexTargetKind::Simple,
        };
        if kind == IndexTargetKind::Simple || !self.at_ahead(1, Symbol::OpenParen) {
            return Ok(IndexTarget { kind: IndexTargetKind::Simple, column: self.column()? });
        }
        self.take();
        self.take();
        let column = self.column()?;
        self.expect(Symbol::CloseParen)?;
        Ok(IndexTarget { kind, column })
    }

    /// What stands after `CREATE TRIGGER`.
    pub(super) fn create_trigger(&mut self) -> Parsed<CreateTrigger> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.identifier()?;
        self.expect(Keyword::On)?;
        let table = self.table_name()?;
        self.expect(Keyword::Using)?;
        Ok(CreateTrigger { if_not_exists, name, table, class: self.string()? })
    }

    /// What stands after `DROP TRIGGER`.
    pub(super) fn drop_trigger(&mut self) -> Parsed<DropTrigger> {
        let if_exists = self.if_exists()?;
        let name = self.identifier()?;
        self.expect(Keyword::On)?;
        Ok(DropTrigger { if_exists, name, table: self.table_name()? })
    }

    /// What stands after `CREATE [OR REPLACE] FUNCTION`.
    pub(super) fn create_function(&mut self, or_replace: bool) -> Parsed<CreateFunction> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.function_name()?;
        self.expect(Symbol::OpenParen)?;
        let arguments = if self.at(Symbol::CloseParen) {
            Vec::new()
        } else {
            self.comma_separated(|parser| Ok((parser.identifier()?, parser.type_name()?)))?
        };
        self.expect(Symbol::CloseParen)?;
        let called_on_null = self.take_if(Keyword::Called);
        if !called_on_null {
            if !self.at(Keyword::Returns) {
                return self.no_viable();
            }
            self.expect_all(&[Keyword::Returns, Keyword::Null])?;
        }
        self.expect_all(&[Keyword::On, Keyword::Null, Keyword::Input, Keyword::Returns])?;
        let returns = self.type_name()?;
        self.expect(Keyword::Language)?;
        if !self.at(TokenKind::Identifier) {
            return self.mismatch(TokenKind::Identifier.name());
        }
        let language = self.take_name();
        self.expect(Keyword::As)?;
        let body = self.string()?;
        Ok(CreateFunction {
            or_replace,
            if_not_exists,
            name,
            arguments,
            called_on_null,
            returns,
            language,
            body,
        })
    }

    /// What stands after `CREATE [OR REPLACE] AGGREGATE`.
    pub(super) fn create_aggregate(&mut self, or_replace: bool) -> Parsed<CreateAggregate> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.function_name()?;
        let arguments = self.argument_types()?;
        self.expect(Keyword::Sfunc)?;
        let state_function = self.function_name_part()?;
        self.expect(Keyword::Stype)?;
        let state_type = self.type_name()?;
        let final_function =
            if self.take_if(Keyword::FinalFunc) { Some(self.function_name_part()?) } else { None };
        let initial_state = if self.take_if(Keyword::InitCond) { Some(self.term()?) } else { None };
        Ok(CreateAggregate {
            or_replace,
            if_not_exists,
            name,
            arguments,
            state_function,
            state_type,
            final_function,
            initial_state,
        })
    }

    /// `(type, …)`
    pub(super) fn argument_types(&mut self) -> Parsed<Vec<TypeName>> {
        self.expect(Symbol::OpenParen)?;
        if self.take_if(Symbol::CloseParen) {
            return Ok(Vec::new());
        }
        let types = self.comma_separated(Self::type_name)?;
        self.expect(Symbol::CloseParen)?;
        Ok(types)
    }

    /// What stands after `DROP FUNCTION` and `DROP AGGREGATE`.
    pub(super) fn drop_function(&mut self) -> Parsed<DropFunction> {
        let if_exists = self.if_exists()?;
        let name = self.function_name()?;
        let arguments =
            if self.at(Symbol::OpenParen) { Some(self.argument_types()?) } else { None };
        Ok(DropFunction { if_exists, name, arguments })
    }
}
