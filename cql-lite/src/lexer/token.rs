//! Tokens.

use super::Keyword;
use crate::ast::Position;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The end of the text.
    End,
    /// Here the text stops being tokens; the lexer has said why.
    Invalid,
    /// A bare word that is no keyword.
    Identifier,
    /// A keyword.
    Keyword(Keyword),
    /// `"name"`
    QuotedName,
    /// `""`
    EmptyQuotedName,
    /// `'text'` or `$$text$$`
    String,
    /// `12`, `-12`
    Integer,
    /// `1.5`, `1e9`, `-NaN`, `-Infinity` (without the minus, these are keywords)
    Float,
    /// `true`, `false`
    Boolean,
    /// `1h30m`, `P1Y`
    Duration,
    /// A UUID.
    Uuid,
    /// `0xCAFE`
    Hex,
    /// Punctuation.
    Symbol(Symbol),
}

impl From<Keyword> for TokenKind {
    fn from(keyword: Keyword) -> Self {
        TokenKind::Keyword(keyword)
    }
}

impl From<Symbol> for TokenKind {
    fn from(symbol: Symbol) -> Self {
        TokenKind::Symbol(symbol)
    }
}

impl TokenKind {
    /// Whether it is a constant by its form; NaN and Infinity are keywords.
    pub fn is_constant(self) -> bool {
        matches!(
            self,
            TokenKind::String
                | TokenKind::Integer
                | TokenKind::Float
                | TokenKind::Boolean
                | TokenKind::Duration
                | TokenKind::Uuid
                | TokenKind::Hex
        )
    }

    /// Its name in error messages.
    pub fn name(self) -> &'static str {
        match self {
            TokenKind::End => "EOF",
            TokenKind::Invalid => "<invalid>",
            TokenKind::Identifier => "IDENT",
            TokenKind::Keyword(keyword) => keyword.token_name(),
            TokenKind::QuotedName => "QUOTED_NAME",
            TokenKind::EmptyQuotedName => "EMPTY_QUOTED_NAME",
            TokenKind::String => "STRING_LITERAL",
            TokenKind::Integer => "INTEGER",
            TokenKind::Float => "FLOAT",
            TokenKind::Boolean => "BOOLEAN",
            TokenKind::Duration => "DURATION",
            TokenKind::Uuid => "UUID",
            TokenKind::Hex => "HEXNUMBER",
            TokenKind::Symbol(Symbol::Question) => "QMARK",
            TokenKind::Symbol(Symbol::Range) => "RANGE",
            TokenKind::Symbol(symbol) => symbol.quoted(),
        }
    }
}

macro_rules! symbols {
    ($($variant:ident $text:literal)*) => {
        /// Punctuation and operators.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Symbol { $(#[doc = concat!("`", $text, "`")] $variant,)* }

        impl Symbol {
            /// The symbol in single quotes.
            fn quoted(self) -> &'static str {
                match self { $(Symbol::$variant => concat!("'", $text, "'"),)* }
            }
        }
    };
}

symbols! {
    OpenParen "(" CloseParen ")" OpenBracket "[" CloseBracket "]" OpenBrace "{" CloseBrace "}"
    Comma "," Semicolon ";" Colon ":" Dot "." Range ".." Question "?"
    Equal "=" NotEqual "!=" Less "<" LessOrEqual "<=" Greater ">" GreaterOrEqual ">="
    Plus "+" PlusEqual "+=" Minus "-" MinusEqual "-=" Star "*" Slash "/" Percent "%"
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it begins in the text, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Where it begins for a reader.
    pub position: Position,
}

impl Token {
    /// Its text as written.
    pub fn source<'a>(&self, input: &'a str) -> &'a str {
        input.get(self.start..self.end).unwrap_or_default()
    }

    /// Its text without quotes and with doubled quotes undone.
    pub fn text(&self, input: &str) -> String {
        let source = self.source(input);
        match self.kind {
            TokenKind::QuotedName => unquote(source, "\""),
            TokenKind::String if source.starts_with('$') => {
                source.get(2..source.len().saturating_sub(2)).unwrap_or_default().to_owned()
            }
            TokenKind::String => unquote(source, "'"),
            _ => source.to_owned(),
        }
    }
}

/// Takes the quotes off both ends and undoes doubled quotes between them.
fn unquote(source: &str, quote: &str) -> String {
    let inner = source.get(1..source.len().saturating_sub(1)).unwrap_or_default();
    if inner.contains(quote) { inner.replace(&quote.repeat(2), quote) } else { inner.to_owned() }
}
