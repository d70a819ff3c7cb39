//! The parser's place in the text, and the small steps that all rules are made of.

use super::failure::Failure;
use crate::ast::{Identifier, Position};
use crate::lexer::{Keyword, KeywordClass, LexError, Lexer, Symbol, Token, TokenKind};

/// The result of a rule.
pub(super) type Parsed<T> = Result<T, Box<Failure>>;

/// How deeply terms, types and relations may be nested. Each level costs stack in the parser and
/// in whoever walks the tree; a frozen collection ten levels deep is already rare.
pub const NESTING_MAX: usize = 128;

/// The most tokens of a statement. Each costs up to a few hundred bytes in the tree, so a text of
/// the largest frame full of tiny literals would take a gigabyte; bound values cost next to nothing.
pub const TOKENS_MAX: usize = 1 << 19;

/// How far rules look ahead without trying anything.
const LOOKAHEAD_MAX: usize = 5;

/// Reads tokens with a little lookahead.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: [Token; LOOKAHEAD_MAX],
    ahead_count: usize,
    /// Where the last token taken ends, in bytes.
    last_end: usize,
    /// The first place where the text stops being tokens, once it was looked at.
    lex_error: Option<Box<LexError>>,
    markers: usize,
    /// Tokens of this statement that were read; those read again after a [`Checkpoint`] count
    /// again.
    tokens: usize,
    depth: usize,
    /// The first place where something was nested too deeply.
    too_deep: Option<Position>,
}

/// A place to return to.
pub(super) struct Checkpoint<'a> {
    lexer: Lexer<'a>,
    ahead: [Token; LOOKAHEAD_MAX],
    ahead_count: usize,
    last_end: usize,
    markers: usize,
}

const NO_TOKEN: Token = Token { kind: TokenKind::End, start: 0, end: 0, position: Position::START };

impl<'a> Parser<'a> {
    pub(super) fn new(input: &'a str) -> Self {
        Parser {
            lexer: Lexer::new(input),
            ahead: [NO_TOKEN; LOOKAHEAD_MAX],
            ahead_count: 0,
            last_end: 0,
            lex_error: None,
            markers: 0,
            tokens: 0,
            depth: 0,
            too_deep: None,
        }
    }

    pub(super) fn input(&self) -> &'a str {
        self.lexer.input()
    }

    /// Where the last token taken ends, in bytes.
    pub(super) fn last_end(&self) -> usize {
        self.last_end
    }

    /// Begins the next statement of a script: bind markers and tokens count from 0 again.
    pub(super) fn restart_counts(&mut self) {
        self.markers = 0;
        self.tokens = 0;
    }

    pub(super) fn next_marker(&mut self) -> usize {
        self.markers += 1;
        self.markers - 1
    }

    pub(super) fn checkpoint(&self) -> Checkpoint<'a> {
        Checkpoint {
            lexer: self.lexer,
            ahead: self.ahead,
            ahead_count: self.ahead_count,
            last_end: self.last_end,
            markers: self.markers,
        }
    }

    pub(super) fn restore(&mut self, checkpoint: Checkpoint<'a>) {
        self.lexer = checkpoint.lexer;
        self.ahead = checkpoint.ahead;
        self.ahead_count = checkpoint.ahead_count;
        self.last_end = checkpoint.last_end;
        self.markers = checkpoint.markers;
    }

    /// The token `distance` after the next; after the end, the end again.
    #[inline]
    pub(super) fn peek_at(&mut self, distance: usize) -> Token {
        debug_assert!(distance < LOOKAHEAD_MAX, "no rule looks further");
        if self.ahead_count <= distance {
            self.look_ahead(distance);
        }
        self.ahead.get(distance).copied().unwrap_or(NO_TOKEN)
    }

    #[inline(never)]
    fn look_ahead(&mut self, distance: usize) {
        while self.ahead_count <= distance {
            let last = self.ahead_count.checked_sub(1).and_then(|last| self.ahead.get(last));
            let token = match last {
                Some(last) if matches!(last.kind, TokenKind::End | TokenKind::Invalid) => *last,
                _ => self.lex(),
            };
            if let Some(slot) = self.ahead.get_mut(self.ahead_count) {
                *slot = token;
            }
            self.ahead_count += 1;
        }
    }

    fn lex(&mut self) -> Token {
        self.tokens += 1;
        let error = match self.lexer.next_token() {
            Ok(token) if self.tokens <= TOKENS_MAX => return token,
            Ok(token) => {
                let message = format!(
                    "the statement has more than {TOKENS_MAX} tokens: send its values as bound \
                     values, or in several statements"
                );
                let position = token.position;
                Box::new(LexError { position, found: None, expected: None, message })
            }
            Err(error) => error,
        };
        let offset = self.lexer.offset();
        let position = error.position;
        self.lex_error.get_or_insert(error);
        Token { kind: TokenKind::Invalid, start: offset, end: offset, position }
    }

    #[inline]
    pub(super) fn peek(&mut self) -> Token {
        self.peek_at(0)
    }

    pub(super) fn position(&mut self) -> Position {
        self.peek().position
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) -> Token {
        let token = self.peek();
        if !matches!(token.kind, TokenKind::End | TokenKind::Invalid) {
            // Mostly there is no more than this one.
            self.ahead.copy_within(1..self.ahead_count, 0);
            self.ahead_count -= 1;
            self.last_end = token.end;
        }
        token
    }

    #[inline]
    pub(super) fn at(&mut self, kind: impl Into<TokenKind>) -> bool {
        self.peek().kind == kind.into()
    }

    pub(super) fn at_ahead(&mut self, distance: usize, kind: impl Into<TokenKind>) -> bool {
        self.peek_at(distance).kind == kind.into()
    }

    /// Takes the next token if it is of `kind`.
    pub(super) fn take_if(&mut self, kind: impl Into<TokenKind>) -> bool {
        let takes = self.at(kind);
        if takes {
            self.take();
        }
        takes
    }

    /// Takes a token that has to be there.
    pub(super) fn expect(&mut self, kind: impl Into<TokenKind>) -> Parsed<Token> {
        let kind = kind.into();
        if self.at(kind) { Ok(self.take()) } else { self.mismatch(kind.name()) }
    }

    /// Takes keywords that have to be there.
    pub(super) fn expect_all(&mut self, keywords: &[Keyword]) -> Parsed<()> {
        for keyword in keywords {
            self.expect(*keyword)?;
        }
        Ok(())
    }

    /// Takes the keywords if the first of them is next; then the others have to follow.
    pub(super) fn take_phrase(&mut self, keywords: &[Keyword]) -> Parsed<bool> {
        let begins = keywords.first().is_some_and(|first| self.at(*first));
        if begins {
            self.expect_all(keywords)?;
        }
        Ok(begins)
    }

    /// `IF NOT EXISTS`
    pub(super) fn if_not_exists(&mut self) -> Parsed<bool> {
        self.take_phrase(&[Keyword::If, Keyword::Not, Keyword::Exists])
    }

    /// `IF EXISTS`
    pub(super) fn if_exists(&mut self) -> Parsed<bool> {
        self.take_phrase(&[Keyword::If, Keyword::Exists])
    }

    /// `rule, rule, …`
    pub(super) fn comma_separated<T>(
        &mut self,
        mut rule: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut list = vec![rule(self)?];
        while self.take_if(Symbol::Comma) {
            list.push(rule(self)?);
        }
        Ok(list)
    }

    /// `rule AND rule AND …`
    pub(super) fn and_separated<T>(
        &mut self,
        mut rule: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut list = vec![rule(self)?];
        while self.take_if(Keyword::And) {
            list.push(rule(self)?);
        }
        Ok(list)
    }

    /// Runs a rule one level deeper.
    pub(super) fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == NESTING_MAX {
            let position = self.position();
            self.too_deep.get_or_insert(position);
            return self.mismatch("less nesting");
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// Fails at the next token, which no rule begins with.
    pub(super) fn no_viable<T>(&mut self) -> Parsed<T> {
        self.no_viable_at(0)
    }

    /// Fails because of the token `distance` after the next.
    pub(super) fn no_viable_at<T>(&mut self, distance: usize) -> Parsed<T> {
        let near = self.peek_at(distance);
        let decision = self.peek();
        self.fail(Failure::NoViable { decision, near })
    }

    /// Fails because the next token is not `expected`.
    pub(super) fn mismatch<T>(&mut self, expected: &'static str) -> Parsed<T> {
        let near = self.peek();
        self.fail(Failure::Mismatch { near, expected })
    }

    /// Fails because of a rule beyond the grammar.
    pub(super) fn rule_broken<T>(&mut self, position: Position, message: String) -> Parsed<T> {
        self.fail(Failure::Rule { message, position })
    }

    /// Fails; yet if the text had already stopped being tokens, or something is nested too deeply
    /// (which nothing that is tried instead can mend), that is told.
    fn fail<T>(&mut self, failure: Failure) -> Parsed<T> {
        if let Some(position) = self.too_deep {
            let message = format!("{position} nested too deeply (more than {NESTING_MAX} levels)");
            return Err(Box::new(Failure::Rule { message, position }));
        }
        let failure = self.lex_error.as_deref().cloned().map_or(failure, Failure::Lex);
        Err(Box::new(failure))
    }

    /// Whether `kind` can be a name, and if it is a keyword, of a class that `allows`.
    fn names(kind: TokenKind, allows: impl Fn(KeywordClass) -> bool) -> bool {
        match kind {
            TokenKind::Identifier | TokenKind::QuotedName => true,
            TokenKind::Keyword(keyword) => allows(keyword.class()),
            _ => false,
        }
    }

    /// Whether the token can name a column, keyspace, table or index.
    pub(super) fn is_identifier(kind: TokenKind) -> bool {
        Self::names(kind, |class| class != KeywordClass::Reserved)
    }

    /// Whether the token is a constant.
    pub(super) fn begins_literal(kind: TokenKind) -> bool {
        kind.is_constant() || matches!(kind, TokenKind::Keyword(Keyword::Nan | Keyword::Infinity))
    }

    /// Whether the token is a keyword that may be a name.
    pub(super) fn is_keyword_name(kind: TokenKind) -> bool {
        matches!(kind, TokenKind::Keyword(_)) && Self::is_identifier(kind)
    }

    /// Whether the token can name a function.
    pub(super) fn is_function_name(kind: TokenKind) -> bool {
        matches!(kind, TokenKind::Keyword(Keyword::Token | Keyword::Count))
            || Self::names(kind, |class| {
                !matches!(class, KeywordClass::Reserved | KeywordClass::ColumnOnly)
            })
    }

    /// Whether the token can name a user-defined type.
    pub(super) fn is_type_name(kind: TokenKind) -> bool {
        kind == TokenKind::Keyword(Keyword::Key)
            || Self::names(kind, |class| class == KeywordClass::Unreserved)
    }

    /// Takes the next token as a name, whatever it is.
    pub(super) fn take_name(&mut self) -> Identifier {
        let token = self.take();
        let quoted = matches!(token.kind, TokenKind::QuotedName | TokenKind::EmptyQuotedName);
        let name = if quoted {
            token.text(self.input())
        } else {
            token.source(self.input()).to_ascii_lowercase()
        };
        Identifier { name, quoted, position: token.position }
    }

    /// A name that has to be there: of a column where the schema changes, of a field, an alias.
    pub(super) fn identifier(&mut self) -> Parsed<Identifier> {
        if Self::is_identifier(self.peek().kind) { Ok(self.take_name()) } else { self.no_viable() }
    }

    /// Whether the token can name a column in a query, where an old table's column may be `""`.
    pub(super) fn is_column(kind: TokenKind) -> bool {
        kind == TokenKind::EmptyQuotedName || Self::is_identifier(kind)
    }

    /// The name of a column in a query.
    pub(super) fn column(&mut self) -> Parsed<Identifier> {
        if Self::is_column(self.peek().kind) { Ok(self.take_name()) } else { self.no_viable() }
    }

    /// A string literal that has to be there.
    pub(super) fn string(&mut self) -> Parsed<String> {
        let token = self.expect(TokenKind::String)?;
        Ok(token.text(self.input()))
    }
}
