//! SELECT.

use super::cursor::{Parsed, Parser};
use super::term::{chain, multiplicative};
use crate::ast::{
    ArithmeticOperator, ArithmeticStep, CellInfo, CellInfoKind, Direction, Negate, Ordering,
    PathStep, Select, Selected, Selection, Selector, SelectorCall, SelectorCast, SelectorMap,
    SelectorPath, SelectorSequence, SelectorTypeHint, Term,
};
use crate::lexer::{Keyword, Symbol, TokenKind};

impl Parser<'_> {
    /// `SELECT …`; the keyword is next.
    pub(super) fn select(&mut self) -> Parsed<Select> {
        self.take();
        let json = self.take_modifier(Keyword::Json);
        let distinct = self.take_modifier(Keyword::Distinct);
        let selection = self.selection()?;
        self.expect(Keyword::From)?;
        let table = self.table_name()?;
        let relations = self.optional_where()?;
        let group_by = if self.take_phrase(&[Keyword::Group, Keyword::By])? {
            self.comma_separated(Self::selector)?
        } else {
            Vec::new()
        };
        let order_by = if self.take_phrase(&[Keyword::Order, Keyword::By])? {
            self.comma_separated(Self::ordering)?
        } else {
            Vec::new()
        };
        let per_partition =
            self.take_phrase(&[Keyword::Per, Keyword::Partition, Keyword::Limit])?;
        let per_partition_limit =
            if per_partition { Some(self.integer_or_marker()?) } else { None };
        let limit =
            if self.take_if(Keyword::Limit) { Some(self.integer_or_marker()?) } else { None };
        let allow_filtering = self.take_phrase(&[Keyword::Allow, Keyword::Filtering])?;
        Ok(Select {
            json,
            distinct,
            selection,
            table,
            relations,
            group_by,
            order_by,
            per_partition_limit,
            limit,
            allow_filtering,
        })
    }

    /// Takes `JSON` or `DISTINCT`, unless what follows shows that it is a column of that name.
    fn take_modifier(&mut self, keyword: Keyword) -> bool {
        if !self.at(keyword) {
            return false;
        }
        let is_column = match self.peek_at(1).kind {
            TokenKind::End | TokenKind::Keyword(Keyword::From) => true,
            TokenKind::Keyword(Keyword::As) => self.alias_follows(1),
            TokenKind::Symbol(symbol) => matches!(
                symbol,
                Symbol::Comma | Symbol::Dot | Symbol::Plus | Symbol::Slash | Symbol::Percent
            ),
            _ => false,
        };
        if !is_column {
            self.take();
        }
        !is_column
    }

    /// Whether `AS`, at `distance`, is followed by an alias or by the type of a CAST, so that it
    /// is not itself a column.
    fn alias_follows(&mut self, distance: usize) -> bool {
        Self::is_identifier(self.peek_at(distance + 1).kind)
            && (self.at_ahead(distance + 2, Keyword::From)
                || self.at_ahead(distance + 2, Symbol::Comma)
                || self.at_ahead(distance + 2, Symbol::CloseParen))
    }

    /// `*` or a list.
    pub(super) fn selection(&mut self) -> Parsed<Selection> {
        if self.take_if(Symbol::Star) {
            return Ok(Selection::All);
        }
        self.comma_separated(|parser| {
            let selector = parser.selector()?;
            let alias = if parser.take_if(Keyword::As) { Some(parser.identifier()?) } else { None };
            Ok(Selected { selector, alias })
        })
        .map(Selection::List)
    }

    fn ordering(&mut self) -> Parsed<Ordering> {
        let column = self.column()?;
        let ann_of =
            if self.take_phrase(&[Keyword::Ann, Keyword::Of])? { Some(self.term()?) } else { None };
        let direction = if self.take_if(Keyword::Desc) {
            Direction::Descending
        } else {
            self.take_if(Keyword::Asc);
            Direction::Ascending
        };
        Ok(Ordering { column, ann_of, direction })
    }

    /// An expression over columns.
    pub(super) fn selector(&mut self) -> Parsed<Selector> {
        self.nested(|parser| {
            let first = parser.selector_product()?;
            let mut rest = Vec::new();
            loop {
                let operator = match parser.peek().kind {
                    TokenKind::Symbol(Symbol::Plus) => ArithmeticOperator::Add,
                    TokenKind::Symbol(Symbol::Minus) => ArithmeticOperator::Subtract,
                    _ => break,
                };
                let position = parser.take().position;
                let operand = parser.selector_product()?;
                rest.push(ArithmeticStep { operator, operand, position });
            }
            Ok(chain(first, rest, Selector::Arithmetic))
        })
    }

    fn selector_product(&mut self) -> Parsed<Selector> {
        let first = self.signed_selector()?;
        let mut rest = Vec::new();
        while let Some(operator) = multiplicative(self.peek().kind) {
            let position = self.take().position;
            rest.push(ArithmeticStep { operator, operand: self.signed_selector()?, position });
        }
        Ok(chain(first, rest, Selector::Arithmetic))
    }

    fn signed_selector(&mut self) -> Parsed<Selector> {
        if self.at(Symbol::Minus) {
            let position = self.take().position;
            let operand = self.nested(Self::signed_selector)?;
            return Ok(Selector::Negate(Box::new(Negate { operand, position })));
        }
        let base = self.simple_selector()?;
        let steps = self.path_steps()?;
        if steps.is_empty() {
            return Ok(base);
        }
        Ok(Selector::Path(SelectorPath { base: Box::new(base), steps }))
    }

    /// `.field[key]…`, as long as it goes.
    fn path_steps(&mut self) -> Parsed<Vec<PathStep>> {
        let mut steps = Vec::new();
        loop {
            if self.take_if(Symbol::Dot) {
                steps.push(PathStep::Field(self.identifier()?));
            } else if self.take_if(Symbol::OpenBracket) {
                steps.push(self.sub_selection()?);
                self.expect(Symbol::CloseBracket)?;
            } else {
                return Ok(steps);
            }
        }
    }

    fn sub_selection(&mut self) -> Parsed<PathStep> {
        if self.take_if(Symbol::Range) {
            return Ok(PathStep::Slice(None, Some(self.term()?)));
        }
        let first = self.term()?;
        if !self.take_if(Symbol::Range) {
            return Ok(PathStep::Element(first));
        }
        let last = if self.at(Symbol::CloseBracket) { None } else { Some(self.term()?) };
        Ok(PathStep::Slice(Some(first), last))
    }

    fn simple_selector(&mut self) -> Parsed<Selector> {
        let next = self.peek();
        if let Some(literal) = self.literal() {
            return Ok(Selector::Term(Term::Literal(literal)));
        }
        if let Some(marker) = self.marker()? {
            return Ok(Selector::Term(Term::Marker(marker)));
        }
        match next.kind {
            TokenKind::Keyword(Keyword::Null) => {
                self.take();
                Ok(Selector::Term(Term::Null(next.position)))
            }
            TokenKind::Symbol(Symbol::OpenParen) => self.parenthesized_selector(),
            TokenKind::Symbol(Symbol::OpenBracket) => {
                let elements = self.bracketed_selectors(Symbol::CloseBracket)?;
                Ok(Selector::List(SelectorSequence { elements, position: next.position }))
            }
            TokenKind::Symbol(Symbol::OpenBrace) => self.braced_selector(),
            TokenKind::Keyword(keyword) if self.at_ahead(1, Symbol::OpenParen) => {
                match self.special_function(keyword)? {
                    Some(selector) => Ok(selector),
                    None => self.column_or_function(),
                }
            }
            _ => self.column_or_function(),
        }
    }

    fn column_or_function(&mut self) -> Parsed<Selector> {
        if let Ok(length) = self.function_name_length() {
            let name = self.take_function_name(length);
            let arguments = self.bracketed_selectors(Symbol::CloseParen)?;
            return Ok(Selector::Function(Box::new(SelectorCall { name, arguments })));
        }
        self.identifier().map(Selector::Column)
    }

    /// Expressions between brackets, perhaps none; the opening bracket is next.
    fn bracketed_selectors(&mut self, close: Symbol) -> Parsed<Vec<Selector>> {
        self.take();
        if self.take_if(close) {
            return Ok(Vec::new());
        }
        let elements = self.comma_separated(Self::selector)?;
        self.expect(close)?;
        Ok(elements)
    }

    /// A function with a syntax of its own, if `keyword`, which is next, names one.
    fn special_function(&mut self, keyword: Keyword) -> Parsed<Option<Selector>> {
        let kind = match keyword {
            Keyword::Count if self.at_ahead(2, Symbol::Star) => {
                let position = self.take().position;
                self.take();
                self.take();
                self.expect(Symbol::CloseParen)?;
                return Ok(Some(Selector::CountRows(position)));
            }
            Keyword::Cast => return self.selector_cast().map(Some),
            Keyword::WriteTime => CellInfoKind::WriteTime,
            Keyword::MaxWriteTime => CellInfoKind::MaxWriteTime,
            Keyword::Ttl => CellInfoKind::Ttl,
            _ => return Ok(None),
        };
        let position = self.take().position;
        self.take();
        let column = self.identifier()?;
        let path = self.path_steps()?;
        self.expect(Symbol::CloseParen)?;
        Ok(Some(Selector::CellInfo(Box::new(CellInfo { kind, column, path, position }))))
    }

    fn selector_cast(&mut self) -> Parsed<Selector> {
        let position = self.take().position;
        self.take();
        let selector = self.selector()?;
        self.expect(Keyword::As)?;
        let target = self.native_type()?;
        self.expect(Symbol::CloseParen)?;
        Ok(Selector::Cast(Box::new(SelectorCast { selector, target, position })))
    }

    /// A type hint, a tuple, or an expression in parentheses.
    fn parenthesized_selector(&mut self) -> Parsed<Selector> {
        let position = self.position();
        let checkpoint = self.checkpoint();
        if let Some(type_name) = self.parenthesized_type() {
            if self.begins_simple_selector() {
                let selector = self.nested(Self::simple_selector)?;
                let hint = SelectorTypeHint { type_name, selector, position };
                return Ok(Selector::TypeHint(Box::new(hint)));
            }
            self.restore(checkpoint);
        }
        self.take();
        let elements = self.comma_separated(Self::selector)?;
        self.expect(Symbol::CloseParen)?;
        Ok(Selector::Parenthesized(SelectorSequence { elements, position }))
    }

    /// Whether the next token begins what a type hint can stand before.
    fn begins_simple_selector(&mut self) -> bool {
        match self.peek().kind {
            TokenKind::Keyword(Keyword::As) => !self.alias_follows(0),
            TokenKind::Keyword(Keyword::Per) => !self.at_ahead(1, Keyword::Partition),
            TokenKind::Keyword(Keyword::Null | Keyword::Token) => true,
            TokenKind::Symbol(Symbol::Colon) => Self::is_identifier(self.peek_at(1).kind),
            TokenKind::Symbol(symbol) => matches!(
                symbol,
                Symbol::OpenParen | Symbol::OpenBracket | Symbol::OpenBrace | Symbol::Question
            ),
            kind => Self::begins_literal(kind) || Self::is_identifier(kind),
        }
    }

    /// A set, a map or a user-defined type.
    fn braced_selector(&mut self) -> Parsed<Selector> {
        let position = self.take().position;
        if self.take_if(Symbol::CloseBrace) {
            return Ok(Selector::Set(SelectorSequence { elements: Vec::new(), position }));
        }
        let first = self.selector()?;
        if !self.take_if(Symbol::Colon) {
            let mut elements = vec![first];
            while self.take_if(Symbol::Comma) {
                elements.push(self.selector()?);
            }
            self.expect(Symbol::CloseBrace)?;
            return Ok(Selector::Set(SelectorSequence { elements, position }));
        }
        let mut entries = vec![(first, self.selector()?)];
        while self.take_if(Symbol::Comma) {
            let key = self.selector()?;
            self.expect(Symbol::Colon)?;
            entries.push((key, self.selector()?));
        }
        self.expect(Symbol::CloseBrace)?;
        Ok(Selector::MapOrUdt(SelectorMap { entries, position }))
    }
}
