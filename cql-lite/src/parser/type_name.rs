//! Types.

use super::cursor::{Parsed, Parser};
use crate::ast::{NativeType, TypeKind, TypeName};
use crate::lexer::{Keyword, KeywordClass, Symbol, TokenKind};

impl Parser<'_> {
    /// A type.
    pub(super) fn type_name(&mut self) -> Parsed<TypeName> {
        self.nested(Self::type_name_here)
    }

    fn type_name_here(&mut self) -> Parsed<TypeName> {
        let next = self.peek();
        let position = next.position;
        let angle = self.at_ahead(1, Symbol::Less);
        let kind = match next.kind {
            TokenKind::String => {
                self.take();
                TypeKind::Custom(next.text(self.input()))
            }
            TokenKind::Keyword(keyword) if angle => match self.parameterized(keyword)? {
                Some(kind) => kind,
                None => self.user_type()?,
            },
            TokenKind::Keyword(keyword) => match keyword.class() {
                KeywordClass::Type(native) if !self.at_ahead(1, Symbol::Dot) => {
                    if !self.may_follow_type() {
                        return self.no_viable_at(1);
                    }
                    self.take();
                    TypeKind::Native(native)
                }
                _ => self.user_type()?,
            },
            _ => self.user_type()?,
        };
        Ok(TypeName { kind, position })
    }

    fn user_type(&mut self) -> Parsed<TypeKind> {
        let name = self.type_name_of_user()?;
        Ok(TypeKind::User { keyspace: name.keyspace, name: name.name })
    }

    /// Whether the token after the next can stand after a type anywhere in the grammar. Cassandra
    /// looks this far only to tell a native type from a keyspace of that name.
    fn may_follow_type(&mut self) -> bool {
        match self.peek_at(1).kind {
            TokenKind::End => true,
            TokenKind::Symbol(symbol) => matches!(
                symbol,
                Symbol::Comma | Symbol::CloseParen | Symbol::Greater | Symbol::Semicolon
            ),
            TokenKind::Keyword(keyword) => matches!(
                keyword,
                Keyword::Static
                    | Keyword::Masked
                    | Keyword::Primary
                    | Keyword::Language
                    | Keyword::FinalFunc
                    | Keyword::InitCond
            ),
            _ => false,
        }
    }

    /// A type with parameters, if `keyword`, which is next, names one.
    fn parameterized(&mut self, keyword: Keyword) -> Parsed<Option<TypeKind>> {
        let known = matches!(
            keyword,
            Keyword::List
                | Keyword::Set
                | Keyword::Map
                | Keyword::Tuple
                | Keyword::Vector
                | Keyword::Frozen
        );
        if !known {
            return Ok(None);
        }
        self.take();
        self.expect(Symbol::Less)?;
        if keyword == Keyword::Tuple {
            let components = self.comma_separated(Self::type_name)?;
            self.expect(Symbol::Greater)?;
            return Ok(Some(TypeKind::Tuple(components)));
        }
        let first = Box::new(self.type_name()?);
        let kind = match keyword {
            Keyword::List => TypeKind::List(first),
            Keyword::Set => TypeKind::Set(first),
            Keyword::Map => {
                self.expect(Symbol::Comma)?;
                TypeKind::Map(first, Box::new(self.type_name()?))
            }
            Keyword::Vector => {
                self.expect(Symbol::Comma)?;
                TypeKind::Vector(first, self.dimension()?)
            }
            _ => {
                self.expect(Symbol::Greater)?;
                return self.frozen(first).map(Some);
            }
        };
        self.expect(Symbol::Greater)?;
        Ok(Some(kind))
    }

    fn frozen(&mut self, inner: Box<TypeName>) -> Parsed<TypeKind> {
        if matches!(inner.kind, TypeKind::Native(_) | TypeKind::Custom(_)) {
            let message = format!(
                "frozen<> is only allowed on collections, tuples, and user-defined types \
                 (got {inner})"
            );
            return self.rule_broken(inner.position, message);
        }
        Ok(TypeKind::Frozen(inner))
    }

    fn dimension(&mut self) -> Parsed<i32> {
        let token = self.expect(TokenKind::Integer)?;
        let source = token.source(self.input());
        match source.parse() {
            Ok(dimension) => Ok(dimension),
            Err(_) => {
                let message = format!("{} {source} is not a possible dimension", token.position);
                self.rule_broken(token.position, message)
            }
        }
    }

    /// A native type, as CAST wants it.
    pub(super) fn native_type(&mut self) -> Parsed<NativeType> {
        if let TokenKind::Keyword(keyword) = self.peek().kind
            && let KeywordClass::Type(native) = keyword.class()
        {
            self.take();
            return Ok(native);
        }
        self.no_viable()
    }

    /// `(type)`, if that is what comes next; otherwise nothing is taken.
    ///
    /// A type holds no parenthesis, so that however many parentheses are nested, no token is
    /// looked at by more than one attempt.
    pub(super) fn parenthesized_type(&mut self) -> Option<TypeName> {
        let inside = self.peek_at(1).kind;
        let begins = inside == TokenKind::String
            || Self::is_identifier(inside)
            || inside == TokenKind::Keyword(Keyword::Set);
        if !begins {
            return None;
        }
        let checkpoint = self.checkpoint();
        self.take();
        if let Ok(type_name) = self.type_name()
            && self.take_if(Symbol::CloseParen)
        {
            return Some(type_name);
        }
        self.restore(checkpoint);
        None
    }
}
