//! Terms.

use super::cursor::{Parsed, Parser};
use crate::ast::{
    Arithmetic, ArithmeticOperator, ArithmeticStep, BindMarker, Cast, FunctionCall, Literal,
    LiteralKind, MapLiteral, Negate, QualifiedName, Sequence, Term, TypeHint, TypeKind, UdtLiteral,
};
use crate::lexer::{Keyword, Symbol, Token, TokenKind};

impl Parser<'_> {
    /// A term.
    pub(super) fn term(&mut self) -> Parsed<Term> {
        self.nested(|parser| parser.sum(false))
    }

    /// The term of an assignment: `… + column` ends it before the plus.
    pub(super) fn assigned_term(&mut self) -> Parsed<Term> {
        self.nested(|parser| parser.sum(true))
    }

    fn sum(&mut self, column_may_end: bool) -> Parsed<Term> {
        let first = self.product()?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.peek().kind {
                TokenKind::Symbol(Symbol::Plus) => ArithmeticOperator::Add,
                TokenKind::Symbol(Symbol::Minus) => ArithmeticOperator::Subtract,
                kind if may_follow_term(kind) => break,
                _ => return self.no_viable(),
            };
            if column_may_end && operator == ArithmeticOperator::Add && self.column_follows() {
                break;
            }
            let position = self.take().position;
            rest.push(ArithmeticStep { operator, operand: self.product()?, position });
        }
        Ok(chain(first, rest, Term::Arithmetic))
    }

    /// Whether after the operator that is next stands a column rather than a function.
    fn column_follows(&mut self) -> bool {
        Self::is_column(self.peek_at(1).kind)
            && !self.at_ahead(2, Symbol::OpenParen)
            && !self.at_ahead(2, Symbol::Dot)
    }

    fn product(&mut self) -> Parsed<Term> {
        let first = self.signed_term()?;
        let mut rest = Vec::new();
        while let Some(operator) = multiplicative(self.peek().kind) {
            let position = self.take().position;
            rest.push(ArithmeticStep { operator, operand: self.signed_term()?, position });
        }
        Ok(chain(first, rest, Term::Arithmetic))
    }

    fn signed_term(&mut self) -> Parsed<Term> {
        if !self.at(Symbol::Minus) {
            return self.simple_term();
        }
        let position = self.take().position;
        Ok(Term::Negate(Box::new(Negate { operand: self.simple_term()?, position })))
    }

    fn simple_term(&mut self) -> Parsed<Term> {
        let next = self.peek();
        if let Some(literal) = self.literal() {
            return Ok(Term::Literal(literal));
        }
        if let Some(marker) = self.marker()? {
            return Ok(Term::Marker(marker));
        }
        match next.kind {
            TokenKind::Keyword(Keyword::Null) => {
                self.take();
                Ok(Term::Null(next.position))
            }
            TokenKind::Symbol(Symbol::OpenBracket) => {
                let elements = self.bracketed(Symbol::CloseBracket)?;
                Ok(Term::List(Sequence { elements, position: next.position }))
            }
            TokenKind::Symbol(Symbol::OpenBrace) => self.braced(),
            TokenKind::Symbol(Symbol::OpenParen) => self.parenthesized(),
            TokenKind::Keyword(Keyword::Cast) if self.at_ahead(1, Symbol::OpenParen) => self.cast(),
            _ => self.function_call().map(Box::new).map(Term::Function),
        }
    }

    /// A constant, if one is next.
    pub(super) fn literal(&mut self) -> Option<Literal> {
        let token = self.peek();
        let kind = match token.kind {
            TokenKind::String => LiteralKind::String,
            TokenKind::Integer => LiteralKind::Integer,
            TokenKind::Float | TokenKind::Keyword(Keyword::Nan | Keyword::Infinity) => {
                LiteralKind::Float
            }
            TokenKind::Boolean => LiteralKind::Boolean,
            TokenKind::Duration => LiteralKind::Duration,
            TokenKind::Uuid => LiteralKind::Uuid,
            TokenKind::Hex => LiteralKind::Hex,
            _ => return None,
        };
        self.take();
        let text = self.literal_text(&token, kind);
        Some(Literal { kind, text, position: token.position })
    }

    fn literal_text(&self, token: &Token, kind: LiteralKind) -> String {
        let source = token.source(self.input());
        if kind != LiteralKind::Float || source.bytes().any(|byte| byte.is_ascii_digit()) {
            return token.text(self.input());
        }
        // Only the words are left. Not-a-number has no sign.
        let word = source.trim_start_matches('-');
        let name = match (word.eq_ignore_ascii_case("nan"), word.len() < source.len()) {
            (true, _) => "NaN",
            (false, false) => "Infinity",
            (false, true) => "-Infinity",
        };
        name.to_owned()
    }

    /// `?` or `:name`, if one is next.
    pub(super) fn marker(&mut self) -> Parsed<Option<BindMarker>> {
        let position = self.position();
        if self.take_if(Symbol::Question) {
            return Ok(Some(BindMarker { index: self.next_marker(), name: None, position }));
        }
        if self.take_if(Symbol::Colon) {
            let name = Some(self.identifier()?);
            return Ok(Some(BindMarker { index: self.next_marker(), name, position }));
        }
        Ok(None)
    }

    /// An integer or a bind marker: a limit, a timestamp, a time to live.
    pub(super) fn integer_or_marker(&mut self) -> Parsed<Term> {
        if let Some(marker) = self.marker()? {
            return Ok(Term::Marker(marker));
        }
        if self.at(TokenKind::Integer)
            && let Some(literal) = self.literal()
        {
            return Ok(Term::Literal(literal));
        }
        self.no_viable()
    }

    /// Terms between brackets, perhaps none; the opening bracket is next.
    pub(super) fn bracketed(&mut self, close: Symbol) -> Parsed<Vec<Term>> {
        self.take();
        if self.take_if(close) {
            return Ok(Vec::new());
        }
        let elements = self.comma_separated(Self::term)?;
        self.expect(close)?;
        Ok(elements)
    }

    /// A set, a map or a user-defined type's literal.
    fn braced(&mut self) -> Parsed<Term> {
        if Self::is_identifier(self.peek_at(1).kind) {
            match self.peek_at(2).kind {
                TokenKind::Symbol(Symbol::Colon) => return self.udt_literal(),
                TokenKind::Symbol(Symbol::OpenParen | Symbol::Dot) => {}
                _ => return self.no_viable_at(2),
            }
        }
        let position = self.take().position;
        if self.take_if(Symbol::CloseBrace) {
            return Ok(Term::Set(Sequence { elements: Vec::new(), position }));
        }
        let first = self.term()?;
        if !self.take_if(Symbol::Colon) {
            let mut elements = vec![first];
            while self.take_if(Symbol::Comma) {
                elements.push(self.term()?);
            }
            self.expect(Symbol::CloseBrace)?;
            return Ok(Term::Set(Sequence { elements, position }));
        }
        let mut entries = vec![(first, self.term()?)];
        while self.take_if(Symbol::Comma) {
            entries.push(self.map_entry()?);
        }
        self.expect(Symbol::CloseBrace)?;
        Ok(Term::Map(MapLiteral { entries, position }))
    }

    /// `key: value`
    pub(super) fn map_entry(&mut self) -> Parsed<(Term, Term)> {
        let key = self.term()?;
        self.expect(Symbol::Colon)?;
        Ok((key, self.term()?))
    }

    fn udt_literal(&mut self) -> Parsed<Term> {
        let position = self.take().position;
        let fields = self.comma_separated(|parser| {
            let field = parser.identifier()?;
            parser.expect(Symbol::Colon)?;
            Ok((field, parser.term()?))
        })?;
        self.expect(Symbol::CloseBrace)?;
        Ok(Term::Udt(UdtLiteral { fields, position }))
    }

    /// A tuple or a type hint.
    fn parenthesized(&mut self) -> Parsed<Term> {
        let position = self.position();
        let checkpoint = self.checkpoint();
        if let Some(type_name) = self.parenthesized_type() {
            // A string in parentheses is a tuple, unless it can only be the name of a class.
            let is_tuple =
                matches!(type_name.kind, TypeKind::Custom(_)) && !self.begins_simple_term();
            if !is_tuple {
                let term = self.nested(Self::simple_term)?;
                return Ok(Term::TypeHint(Box::new(TypeHint { type_name, term, position })));
            }
            self.restore(checkpoint);
        }
        if Self::is_identifier(self.peek_at(1).kind)
            && !self.at_ahead(2, Symbol::OpenParen)
            && !self.at_ahead(2, Symbol::Dot)
        {
            return self.no_viable_at(2);
        }
        Ok(Term::Tuple(self.tuple()?))
    }

    /// Whether the next token begins what a type hint can stand before.
    fn begins_simple_term(&mut self) -> bool {
        match self.peek().kind {
            TokenKind::Keyword(Keyword::Null) => true,
            TokenKind::Keyword(Keyword::Cast) => self.at_ahead(1, Symbol::OpenParen),
            // A named marker, unless the colon is a map's and a function comes after it.
            TokenKind::Symbol(Symbol::Colon) => {
                Self::is_identifier(self.peek_at(1).kind)
                    && !self.at_ahead(2, Symbol::OpenParen)
                    && !self.at_ahead(2, Symbol::Dot)
            }
            TokenKind::Symbol(symbol) => matches!(
                symbol,
                Symbol::OpenParen | Symbol::OpenBracket | Symbol::OpenBrace | Symbol::Question
            ),
            kind => Self::begins_literal(kind) || self.function_name_length().is_ok(),
        }
    }

    /// `(a, b, …)`
    pub(super) fn tuple(&mut self) -> Parsed<Sequence> {
        let position = self.expect(Symbol::OpenParen)?.position;
        let elements = self.comma_separated(Self::term)?;
        self.expect(Symbol::CloseParen)?;
        Ok(Sequence { elements, position })
    }

    fn cast(&mut self) -> Parsed<Term> {
        let position = self.take().position;
        self.expect(Symbol::OpenParen)?;
        let term = self.nested(Self::simple_term)?;
        self.expect(Keyword::As)?;
        let target = self.native_type()?;
        self.expect(Symbol::CloseParen)?;
        Ok(Term::Cast(Box::new(Cast { term, target, position })))
    }

    /// How many tokens before its arguments' parenthesis the name of the function that is next
    /// has; how many tokens to go until it turns out that there is no function.
    pub(super) fn function_name_length(&mut self) -> Result<usize, usize> {
        let next = self.peek().kind;
        if self.at_ahead(1, Symbol::OpenParen) && Self::is_function_name(next) {
            return Ok(1);
        }
        if !Self::is_identifier(next) {
            return Err(0);
        }
        if !self.at_ahead(1, Symbol::Dot) {
            return Err(1);
        }
        if !Self::is_function_name(self.peek_at(2).kind) {
            return Err(2);
        }
        if self.at_ahead(3, Symbol::OpenParen) { Ok(3) } else { Err(3) }
    }

    /// The name of a function, of as many tokens as [`Self::function_name_length`] said.
    pub(super) fn take_function_name(&mut self, length: usize) -> QualifiedName {
        if length == 1 {
            return QualifiedName { keyspace: None, name: self.take_name() };
        }
        let keyspace = Some(self.take_name());
        self.take();
        QualifiedName { keyspace, name: self.take_name() }
    }

    fn function_call(&mut self) -> Parsed<FunctionCall> {
        let length = match self.function_name_length() {
            Ok(length) => length,
            Err(distance) => return self.no_viable_at(distance),
        };
        let name = self.take_function_name(length);
        let arguments = self.bracketed(Symbol::CloseParen)?;
        Ok(FunctionCall { name, arguments })
    }
}

/// The operator, if it binds as `*` does.
pub(super) fn multiplicative(kind: TokenKind) -> Option<ArithmeticOperator> {
    match kind {
        TokenKind::Symbol(Symbol::Star) => Some(ArithmeticOperator::Multiply),
        TokenKind::Symbol(Symbol::Slash) => Some(ArithmeticOperator::Divide),
        TokenKind::Symbol(Symbol::Percent) => Some(ArithmeticOperator::Modulo),
        _ => None,
    }
}

/// A chain of operators, or its only operand.
pub(super) fn chain<T>(
    first: T,
    rest: Vec<ArithmeticStep<T>>,
    wrap: impl FnOnce(Arithmetic<T>) -> T,
) -> T {
    if rest.is_empty() { first } else { wrap(Arithmetic { first: Box::new(first), rest }) }
}

/// Whether a token can stand after a term anywhere in the grammar. Cassandra's parser objects to
/// any other right there, before the rule around the term has its say.
fn may_follow_term(kind: TokenKind) -> bool {
    match kind {
        TokenKind::End => true,
        TokenKind::Symbol(symbol) => matches!(
            symbol,
            Symbol::Comma
                | Symbol::Semicolon
                | Symbol::Colon
                | Symbol::Range
                | Symbol::CloseParen
                | Symbol::CloseBracket
                | Symbol::CloseBrace
        ),
        TokenKind::Keyword(keyword) => matches!(
            keyword,
            Keyword::Allow
                | Keyword::And
                | Keyword::Apply
                | Keyword::As
                | Keyword::Asc
                | Keyword::Delete
                | Keyword::Desc
                | Keyword::Group
                | Keyword::If
                | Keyword::Insert
                | Keyword::Limit
                | Keyword::Order
                | Keyword::Per
                | Keyword::Primary
                | Keyword::Update
                | Keyword::Where
        ),
        _ => false,
    }
}
