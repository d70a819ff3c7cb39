//! Tables and materialized views.

use super::cursor::{Parsed, Parser};
use crate::ast::{
    AlterTable, AlterView, ColumnDefinition, ColumnMask, CreateTable, CreateView, PrimaryKey,
    TableAlteration,
};
use crate::lexer::{Keyword, Symbol, TokenKind};

impl Parser<'_> {
    /// What stands after `CREATE TABLE`.
    pub(super) fn create_table(&mut self) -> Parsed<CreateTable> {
        let if_not_exists = self.if_not_exists()?;
        let table = self.table_name()?;
        let (mut columns, mut primary_keys) = (Vec::new(), Vec::new());
        self.expect(Symbol::OpenParen)?;
        loop {
            if self.at(Keyword::Primary) {
                primary_keys.push(self.primary_key()?);
            } else {
                let mut column = self.column_definition()?;
                column.primary_key = self.take_phrase(&[Keyword::Primary, Keyword::Key])?;
                columns.push(column);
            }
            // A comma may also stand after the last one, or twice.
            let mut comma = false;
            while self.take_if(Symbol::Comma) {
                comma = true;
            }
            if !comma || self.at(Symbol::CloseParen) {
                break;
            }
        }
        self.expect(Symbol::CloseParen)?;
        let options = self.table_options(false)?;
        Ok(CreateTable { if_not_exists, table, columns, primary_keys, options })
    }

    /// `name type [STATIC] [MASKED WITH …]`
    fn column_definition(&mut self) -> Parsed<ColumnDefinition> {
        let name = self.identifier()?;
        let type_name = self.type_name()?;
        let is_static = self.take_if(Keyword::Static);
        let mask = if self.at(Keyword::Masked) { Some(self.column_mask()?) } else { None };
        Ok(ColumnDefinition { name, type_name, is_static, mask, primary_key: false })
    }

    fn column_mask(&mut self) -> Parsed<ColumnMask> {
        let position = self.expect(Keyword::Masked)?.position;
        self.expect(Keyword::With)?;
        if self.at(Keyword::Default) && !self.at_ahead(1, Symbol::OpenParen) {
            self.take();
            return Ok(ColumnMask { function: None, arguments: Vec::new(), position });
        }
        let function = Some(self.function_name()?);
        if !self.at(Symbol::OpenParen) {
            return self.no_viable();
        }
        let arguments = self.bracketed(Symbol::CloseParen)?;
        Ok(ColumnMask { function, arguments, position })
    }

    /// `PRIMARY KEY ((a, b), c)`
    fn primary_key(&mut self) -> Parsed<PrimaryKey> {
        let position = self.position();
        self.expect_all(&[Keyword::Primary, Keyword::Key])?;
        self.expect(Symbol::OpenParen)?;
        let partition = if self.take_if(Symbol::OpenParen) {
            let partition = self.comma_separated(Self::identifier)?;
            self.expect(Symbol::CloseParen)?;
            partition
        } else {
            vec![self.identifier()?]
        };
        let mut clustering = Vec::new();
        while self.take_if(Symbol::Comma) {
            clustering.push(self.identifier()?);
        }
        self.expect(Symbol::CloseParen)?;
        Ok(PrimaryKey { partition, clustering, position })
    }

    /// What stands after `ALTER TABLE`.
    pub(super) fn alter_table(&mut self) -> Parsed<AlterTable> {
        let if_exists = self.if_exists()?;
        let table = self.table_name()?;
        let alteration = match self.peek().kind {
            TokenKind::Keyword(Keyword::Alter) => self.alter_column()?,
            TokenKind::Keyword(Keyword::Add) => self.add_columns()?,
            TokenKind::Keyword(Keyword::Drop) => self.drop_columns()?,
            TokenKind::Keyword(Keyword::Rename) => {
                self.take();
                let if_exists = self.if_exists()?;
                TableAlteration::Rename { if_exists, renames: self.renames()? }
            }
            TokenKind::Keyword(Keyword::With) => {
                self.take();
                TableAlteration::Properties(self.properties()?)
            }
            _ => return self.no_viable(),
        };
        Ok(AlterTable { if_exists, table, alteration })
    }

    fn alter_column(&mut self) -> Parsed<TableAlteration> {
        self.take();
        let if_exists = self.if_exists()?;
        let column = self.column()?;
        if self.at(Keyword::Type) && !if_exists {
            self.take();
            return Ok(TableAlteration::ColumnType { column, type_name: self.type_name()? });
        }
        let mask = if self.take_phrase(&[Keyword::Drop, Keyword::Masked])? {
            None
        } else if self.at(Keyword::Masked) {
            Some(self.column_mask()?)
        } else {
            return self.no_viable();
        };
        Ok(TableAlteration::Mask { if_exists, column, mask })
    }

    fn add_columns(&mut self) -> Parsed<TableAlteration> {
        self.take();
        let if_not_exists = self.if_not_exists()?;
        let columns = if self.take_if(Symbol::OpenParen) {
            let columns = self.comma_separated(Self::column_definition)?;
            self.expect(Symbol::CloseParen)?;
            columns
        } else {
            vec![self.column_definition()?]
        };
        Ok(TableAlteration::Add { if_not_exists, columns })
    }

    fn drop_columns(&mut self) -> Parsed<TableAlteration> {
        self.take();
        if self.at(Keyword::Compact) && self.at_ahead(1, Keyword::Storage) {
            self.expect_all(&[Keyword::Compact, Keyword::Storage])?;
            return Ok(TableAlteration::DropCompactStorage);
        }
        let if_exists = self.if_exists()?;
        let columns = if self.take_if(Symbol::OpenParen) {
            let columns = self.comma_separated(Self::identifier)?;
            self.expect(Symbol::CloseParen)?;
            columns
        } else {
            vec![self.identifier()?]
        };
        let timestamp = if self.take_phrase(&[Keyword::Using, Keyword::Timestamp])? {
            Some(self.long()?)
        } else {
            None
        };
        Ok(TableAlteration::Drop { if_exists, columns, timestamp })
    }

    fn long(&mut self) -> Parsed<i64> {
        let token = self.expect(TokenKind::Integer)?;
        let source = token.source(self.input());
        match source.parse() {
            Ok(long) => Ok(long),
            Err(_) => {
                let message = format!("{} {source} is not a possible timestamp", token.position);
                self.rule_broken(token.position, message)
            }
        }
    }

    /// What stands after `CREATE MATERIALIZED VIEW`.
    pub(super) fn create_view(&mut self) -> Parsed<CreateView> {
        let if_not_exists = self.if_not_exists()?;
        let view = self.table_name()?;
        self.expect_all(&[Keyword::As, Keyword::Select])?;
        let selection = self.selection()?;
        self.expect(Keyword::From)?;
        let base_table = self.table_name()?;
        let relations = self.optional_where()?;
        if !self.at(Keyword::Primary) {
            return self.mismatch("K_PRIMARY");
        }
        let primary_key = self.primary_key()?;
        let options = self.table_options(true)?;
        Ok(CreateView {
            if_not_exists,
            view,
            selection,
            base_table,
            relations,
            primary_key,
            options,
        })
    }

    /// What stands after `ALTER MATERIALIZED VIEW`.
    pub(super) fn alter_view(&mut self) -> Parsed<AlterView> {
        let if_exists = self.if_exists()?;
        let view = self.table_name()?;
        self.expect(Keyword::With)?;
        Ok(AlterView { if_exists, view, properties: self.properties()? })
    }
}
