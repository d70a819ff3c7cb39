//! DESCRIBE.

use super::cursor::{Parsed, Parser};
use crate::ast::{Describe, DescribeTarget};
use crate::lexer::{Keyword, Symbol, TokenKind};

impl Parser<'_> {
    /// `DESCRIBE …` or `DESC …`; the keyword is next.
    pub(super) fn describe(&mut self) -> Parsed<Describe> {
        self.take();
        let target = self.describe_target()?;
        let with_internals = self.take_phrase(&[Keyword::With, Keyword::Internals])?;
        Ok(Describe { target, with_internals })
    }

    fn describe_target(&mut self) -> Parsed<DescribeTarget> {
        let TokenKind::Keyword(keyword) = self.peek().kind else { return self.describe_any() };
        // `cluster.t` is a table in the keyspace `cluster`.
        if self.at_ahead(1, Symbol::Dot) {
            return self.describe_any();
        }
        let simple = match keyword {
            Keyword::Cluster => DescribeTarget::Cluster,
            Keyword::Schema => DescribeTarget::Schema { full: false },
            Keyword::Keyspaces => DescribeTarget::Keyspaces,
            Keyword::Tables | Keyword::ColumnFamilies => DescribeTarget::Tables,
            Keyword::Types => DescribeTarget::Types,
            Keyword::Functions => DescribeTarget::Functions,
            Keyword::Aggregates => DescribeTarget::Aggregates,
            _ => return self.describe_named(keyword),
        };
        self.take();
        Ok(simple)
    }

    fn describe_named(&mut self, keyword: Keyword) -> Parsed<DescribeTarget> {
        let names_follow = Self::is_function_name(self.peek_at(1).kind)
            || Self::is_identifier(self.peek_at(1).kind);
        match keyword {
            Keyword::Full => {
                self.expect_all(&[Keyword::Full, Keyword::Schema])?;
                Ok(DescribeTarget::Schema { full: true })
            }
            Keyword::Only if self.at_ahead(1, Keyword::Keyspace) => {
                self.take();
                self.describe_keyspace(true)
            }
            Keyword::Keyspace => self.describe_keyspace(false),
            Keyword::Table | Keyword::ColumnFamily => {
                self.take();
                self.table_name().map(DescribeTarget::Table)
            }
            Keyword::Index => {
                self.take();
                self.index_name().map(DescribeTarget::Index)
            }
            Keyword::Materialized => {
                self.expect_all(&[Keyword::Materialized, Keyword::View])?;
                self.table_name().map(DescribeTarget::View)
            }
            Keyword::Type if names_follow => {
                self.take();
                self.type_name_of_user().map(DescribeTarget::Type)
            }
            Keyword::Function if names_follow => {
                self.take();
                self.function_name().map(DescribeTarget::Function)
            }
            Keyword::Aggregate if names_follow => {
                self.take();
                self.function_name().map(DescribeTarget::Aggregate)
            }
            _ => self.describe_any(),
        }
    }

    fn describe_keyspace(&mut self, only: bool) -> Parsed<DescribeTarget> {
        self.take();
        let named = Self::is_identifier(self.peek().kind) || self.at(Symbol::Question);
        let name = if named { Some(self.keyspace_name()?) } else { None };
        Ok(DescribeTarget::Keyspace { only, name })
    }

    fn describe_any(&mut self) -> Parsed<DescribeTarget> {
        self.table_name().map(DescribeTarget::Any)
    }
}
