//! Which statement it is.

use super::cursor::{Parsed, Parser};
use crate::ast::Statement;
use crate::lexer::{Keyword, TokenKind};

impl Parser<'_> {
    /// A statement.
    pub(super) fn statement(&mut self) -> Parsed<Statement> {
        let TokenKind::Keyword(keyword) = self.peek().kind else { return self.no_viable() };
        match keyword {
            Keyword::Select => self.select().map(Box::new).map(Statement::Select),
            Keyword::Insert => self.insert().map(Box::new).map(Statement::Insert),
            Keyword::Update => self.update().map(Box::new).map(Statement::Update),
            Keyword::Delete => self.delete().map(Box::new).map(Statement::Delete),
            Keyword::Begin => self.batch().map(Statement::Batch),
            Keyword::Use => {
                self.take();
                self.keyspace_name().map(Statement::Use)
            }
            Keyword::Truncate => {
                self.take();
                if self.at(Keyword::Table) || self.at(Keyword::ColumnFamily) {
                    self.take();
                }
                self.table_name().map(Statement::Truncate)
            }
            Keyword::Create => self.create(),
            Keyword::Alter => self.alter(),
            Keyword::Drop => self.drop_statement(),
            Keyword::Grant | Keyword::Revoke => self.grant_or_revoke(),
            Keyword::List => self.list(),
            Keyword::Describe | Keyword::Desc => self.describe().map(Statement::Describe),
            Keyword::Add => {
                self.expect_all(&[Keyword::Add, Keyword::Identity])?;
                self.add_identity().map(Statement::AddIdentity)
            }
            _ => self.no_viable(),
        }
    }

    /// Takes the keyword that began the statement and `others` after it.
    fn take_words(&mut self, others: &[Keyword]) -> Parsed<()> {
        self.take();
        self.expect_all(others)
    }

    /// The keyword after the next token, if it is one.
    fn second_keyword(&mut self) -> Option<Keyword> {
        match self.peek_at(1).kind {
            TokenKind::Keyword(keyword) => Some(keyword),
            _ => None,
        }
    }

    fn create(&mut self) -> Parsed<Statement> {
        let Some(keyword) = self.second_keyword() else { return self.no_viable_at(1) };
        match keyword {
            Keyword::Keyspace | Keyword::Schema => {
                self.take_words(&[keyword])?;
                self.create_keyspace().map(Statement::CreateKeyspace)
            }
            Keyword::Table | Keyword::ColumnFamily => {
                self.take_words(&[keyword])?;
                self.create_table().map(Box::new).map(Statement::CreateTable)
            }
            Keyword::Type => {
                self.take_words(&[keyword])?;
                self.create_type().map(Statement::CreateType)
            }
            Keyword::Custom | Keyword::Index => {
                let custom = keyword == Keyword::Custom;
                self.take_words(if custom { &[Keyword::Custom] } else { &[] })?;
                self.expect(Keyword::Index)?;
                self.create_index(custom).map(Box::new).map(Statement::CreateIndex)
            }
            Keyword::Materialized => {
                self.take_words(&[keyword, Keyword::View])?;
                self.create_view().map(Box::new).map(Statement::CreateView)
            }
            Keyword::Trigger => {
                self.take_words(&[keyword])?;
                self.create_trigger().map(Box::new).map(Statement::CreateTrigger)
            }
            Keyword::Role => {
                self.take_words(&[keyword])?;
                self.create_role().map(Statement::CreateRole)
            }
            Keyword::User => {
                self.take_words(&[keyword])?;
                self.create_user().map(Statement::CreateUser)
            }
            Keyword::Function | Keyword::Aggregate | Keyword::Or => self.create_routine(keyword),
            _ => self.no_viable_at(1),
        }
    }

    /// `CREATE [OR REPLACE] FUNCTION` or `AGGREGATE`
    fn create_routine(&mut self, second: Keyword) -> Parsed<Statement> {
        let or_replace = second == Keyword::Or;
        let distance = if or_replace { 3 } else { 1 };
        if or_replace && !self.at_ahead(2, Keyword::Replace) {
            return self.no_viable_at(2);
        }
        let kind = self.peek_at(distance).kind;
        let aggregate = kind == TokenKind::Keyword(Keyword::Aggregate);
        if !aggregate && kind != TokenKind::Keyword(Keyword::Function) {
            return self.no_viable_at(distance);
        }
        for _ in 0..=distance {
            self.take();
        }
        if aggregate {
            return self.create_aggregate(or_replace).map(Box::new).map(Statement::CreateAggregate);
        }
        self.create_function(or_replace).map(Box::new).map(Statement::CreateFunction)
    }

    fn alter(&mut self) -> Parsed<Statement> {
        let Some(keyword) = self.second_keyword() else { return self.no_viable_at(1) };
        match keyword {
            Keyword::Keyspace | Keyword::Schema => {
                self.take_words(&[keyword])?;
                self.alter_keyspace().map(Statement::AlterKeyspace)
            }
            Keyword::Table | Keyword::ColumnFamily => {
                self.take_words(&[keyword])?;
                self.alter_table().map(Box::new).map(Statement::AlterTable)
            }
            Keyword::Type => {
                self.take_words(&[keyword])?;
                self.alter_type().map(Box::new).map(Statement::AlterType)
            }
            Keyword::Materialized => {
                self.take_words(&[keyword, Keyword::View])?;
                self.alter_view().map(Statement::AlterView)
            }
            Keyword::Role => {
                self.take_words(&[keyword])?;
                self.alter_role().map(Statement::AlterRole)
            }
            Keyword::User => {
                self.take_words(&[keyword])?;
                self.alter_user().map(Statement::AlterUser)
            }
            _ => self.no_viable_at(1),
        }
    }

    fn drop_statement(&mut self) -> Parsed<Statement> {
        let Some(keyword) = self.second_keyword() else { return self.no_viable_at(1) };
        if !DROPPABLE.contains(&keyword) {
            return self.no_viable_at(1);
        }
        let more: &[Keyword] =
            if keyword == Keyword::Materialized { &[Keyword::View] } else { &[] };
        self.take();
        self.take_words(more)?;
        match keyword {
            Keyword::Keyspace | Keyword::Schema => {
                self.drop_keyspace().map(Statement::DropKeyspace)
            }
            Keyword::Type => self.drop(Self::type_name_of_user).map(Statement::DropType),
            Keyword::Index => self.drop(Self::index_name).map(Statement::DropIndex),
            Keyword::Materialized => self.drop(Self::table_name).map(Statement::DropView),
            Keyword::Trigger => self.drop_trigger().map(Statement::DropTrigger),
            Keyword::Function => self.drop_function().map(Statement::DropFunction),
            Keyword::Aggregate => self.drop_function().map(Statement::DropAggregate),
            Keyword::Role => self.drop_role().map(Statement::DropRole),
            Keyword::User => self.drop_user().map(Statement::DropUser),
            Keyword::Identity => self.drop_identity().map(Statement::DropIdentity),
            _ => self.drop(Self::table_name).map(Statement::DropTable),
        }
    }
}

/// What can stand after DROP.
const DROPPABLE: [Keyword; 13] = [
    Keyword::Keyspace,
    Keyword::Schema,
    Keyword::Table,
    Keyword::ColumnFamily,
    Keyword::Type,
    Keyword::Index,
    Keyword::Materialized,
    Keyword::Trigger,
    Keyword::Function,
    Keyword::Aggregate,
    Keyword::Role,
    Keyword::User,
    Keyword::Identity,
];
