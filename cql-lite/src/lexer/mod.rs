//! The lexer: from text to tokens, one at a time, in time linear in the text.
//!
//! It behaves as Cassandra's does, also where that surprises: `a -1` is a name and the integer
//! -1; `1d` is a duration; a word of eight hexadecimal digits with a dash after it must be a UUID.
//! One thing is more lenient: a `--` comment may end with the text, without a new line.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod keyword;
mod number;
mod token;

pub use keyword::{Keyword, KeywordClass};
pub use token::{Symbol, Token, TokenKind};

use crate::ast::Position;
use number::UuidMatch;

/// Whether `name` can be written without quotes and means itself: lower-case letters, digits and
/// underscores, a letter first, and no reserved keyword or boolean.
pub fn is_plain_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !matches!(name, "true" | "false")
        && Keyword::lookup(name.as_bytes())
            .is_none_or(|keyword| keyword.class() != KeywordClass::Reserved)
}

/// Why the text stops being tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexError {
    /// Where.
    pub position: Position,
    /// The character there; `None` at the end of the text.
    pub found: Option<char>,
    /// What had to stand there, if it was one thing.
    pub expected: Option<&'static str>,
    /// Cassandra's message, without the position.
    pub message: String,
}

/// Reads tokens off a text. Copying it marks a place to return to.
#[derive(Clone, Copy, Debug)]
pub struct Lexer<'a> {
    input: &'a str,
    offset: usize,
    line: u32,
    line_start: usize,
    /// How many more bytes than UTF-16 units lie between the line's start and `offset`. Within a
    /// character it may be wrong, even negative.
    wide: isize,
}

impl<'a> Lexer<'a> {
    /// A lexer at the beginning of `input`.
    pub fn new(input: &'a str) -> Self {
        Lexer { input, offset: 0, line: 1, line_start: 0, wide: 0 }
    }

    /// How far it has read, in bytes.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The text that it reads.
    pub fn input(&self) -> &'a str {
        self.input
    }

    /// The next token that matters to the grammar.
    pub fn next_token(&mut self) -> Result<Token, Box<LexError>> {
        while self.skip_hidden()? {}
        self.read()
    }

    /// Skips one run of white space or one comment, and says whether there was one.
    pub fn skip_hidden(&mut self) -> Result<bool, Box<LexError>> {
        let rest = self.rest();
        let length = match rest {
            [b' ' | b'\t' | b'\r' | b'\n', ..] => {
                rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
            }
            [b'-', b'-', ..] | [b'/', b'/', ..] => rest
                .iter()
                .position(|byte| matches!(byte, b'\n' | b'\r'))
                .map_or(rest.len(), |end| end + 1),
            [b'/', b'*', ..] => match find(rest, 2, b"*/") {
                Some(end) => end + 2,
                None => {
                    self.advance(rest.len());
                    return Err(self.mismatch("*"));
                }
            },
            _ => return Ok(false),
        };
        self.advance(length);
        Ok(true)
    }

    fn rest(&self) -> &'a [u8] {
        self.input.as_bytes().get(self.offset..).unwrap_or_default()
    }

    /// Where the next token begins.
    fn position(&self) -> Position {
        let column = (self.offset - self.line_start).saturating_add_signed(-self.wide);
        Position { line: self.line, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    /// Moves over `length` bytes, keeping count of lines and columns.
    fn advance(&mut self, length: usize) {
        for (index, byte) in self.rest().iter().take(length).enumerate() {
            match byte {
                b'\n' => {
                    self.line = self.line.saturating_add(1);
                    self.line_start = self.offset + index + 1;
                    self.wide = 0;
                }
                // Bytes after the first of a character count for nothing, but a character of
                // four bytes is two UTF-16 units.
                0x80..=0xBF => self.wide += 1,
                0xF0.. => self.wide -= 1,
                _ => {}
            }
        }
        self.offset = (self.offset + length).min(self.input.len());
    }

    /// The error for a character here that had to be `expected`.
    fn mismatch(&self, expected: &'static str) -> Box<LexError> {
        let found = self.found();
        let message = match expected {
            "" => format!("mismatched character {} expecting set null", display(found)),
            _ => format!("mismatched character {} expecting '{expected}'", display(found)),
        };
        let expected = Some(expected).filter(|expected| !expected.is_empty());
        Box::new(LexError { position: self.position(), found, expected, message })
    }

    fn found(&self) -> Option<char> {
        self.input.get(self.offset..).and_then(|rest| rest.chars().next())
    }

    fn read(&mut self) -> Result<Token, Box<LexError>> {
        let (start, position) = (self.offset, self.position());
        let rest = self.rest();
        let kind = match rest.first() {
            None => TokenKind::End,
            Some(b'\'') => self.quoted_text(b'\'', "'", TokenKind::String)?,
            Some(b'"') if rest.get(1) == Some(&b'"') && rest.get(2) != Some(&b'"') => {
                self.offset += 2;
                TokenKind::EmptyQuotedName
            }
            Some(b'"') => self.quoted_text(b'"', "\"", TokenKind::QuotedName)?,
            Some(b'$') => self.dollar_text()?,
            Some(byte) if byte.is_ascii_digit() => self.number_or_uuid()?,
            Some(byte) if byte.is_ascii_alphabetic() => self.word_or_uuid()?,
            Some(b'-') => self.minus(),
            Some(_) => self.symbol()?,
        };
        Ok(Token { kind, start, end: self.offset, position })
    }

    /// `'text'` or `"name"`, the quote doubled where it belongs to the text.
    fn quoted_text(
        &mut self,
        quote: u8,
        quote_text: &'static str,
        kind: TokenKind,
    ) -> Result<TokenKind, Box<LexError>> {
        let rest = self.rest();
        let mut end = 1;
        loop {
            let Some(next) = rest.iter().skip(end).position(|byte| *byte == quote) else {
                self.advance(rest.len());
                return Err(self.mismatch(quote_text));
            };
            end += next + 1;
            if rest.get(end) != Some(&quote) {
                break;
            }
            end += 1;
        }
        self.advance(end);
        Ok(kind)
    }

    /// `$$text$$`
    fn dollar_text(&mut self) -> Result<TokenKind, Box<LexError>> {
        let rest = self.rest();
        if rest.get(1) != Some(&b'$') {
            self.advance(1);
            return Err(self.mismatch("$"));
        }
        let Some(end) = find(rest, 2, b"$$") else {
            self.advance(rest.len());
            return Err(self.mismatch("$"));
        };
        self.advance(end + 2);
        Ok(TokenKind::String)
    }

    /// A UUID, if one begins here.
    fn uuid(&mut self) -> Result<Option<TokenKind>, Box<LexError>> {
        match number::uuid(self.rest()) {
            UuidMatch::No => Ok(None),
            UuidMatch::Yes(length) => {
                self.offset += length;
                Ok(Some(TokenKind::Uuid))
            }
            UuidMatch::Broken(offset, dash) => {
                self.offset += offset;
                Err(self.mismatch(if dash { "-" } else { "" }))
            }
        }
    }

    fn number_or_uuid(&mut self) -> Result<TokenKind, Box<LexError>> {
        if let Some(uuid) = self.uuid()? {
            return Ok(uuid);
        }
        if let [b'0', b'x' | b'X', hex @ ..] = self.rest() {
            self.offset += 2 + hex.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            return Ok(TokenKind::Hex);
        }
        Ok(self.number())
    }

    /// An integer, float or duration that begins here with a digit.
    fn number(&mut self) -> TokenKind {
        self.offset += number::digits(self.rest());
        let units = number::duration_units(self.rest());
        if units > 0 {
            // The micro sign is two bytes.
            self.advance(units);
            return TokenKind::Duration;
        }
        match number::fraction_and_exponent(self.rest()) {
            0 => TokenKind::Integer,
            length => {
                self.offset += length;
                TokenKind::Float
            }
        }
    }

    fn word_or_uuid(&mut self) -> Result<TokenKind, Box<LexError>> {
        if let Some(uuid) = self.uuid()? {
            return Ok(uuid);
        }
        let rest = self.rest();
        let length = word_length(rest);
        let duration = number::iso_duration(rest);
        if duration >= length {
            self.offset += duration;
            return Ok(TokenKind::Duration);
        }
        self.offset += length;
        let word = rest.get(..length).unwrap_or_default();
        if word.eq_ignore_ascii_case(b"true") || word.eq_ignore_ascii_case(b"false") {
            return Ok(TokenKind::Boolean);
        }
        Ok(Keyword::lookup(word).map_or(TokenKind::Identifier, TokenKind::Keyword))
    }

    /// What begins with a minus: a negative constant or an operator.
    fn minus(&mut self) -> TokenKind {
        self.offset += 1;
        let rest = self.rest();
        match rest.first() {
            Some(b'=') => {
                self.offset += 1;
                return Symbol::MinusEqual.into();
            }
            Some(byte) if byte.is_ascii_digit() => return self.number(),
            _ => {}
        }
        let duration = number::iso_duration(rest);
        if duration > 0 {
            self.offset += duration;
            return TokenKind::Duration;
        }
        let length = word_length(rest);
        let word = rest.get(..length).unwrap_or_default();
        if word.eq_ignore_ascii_case(b"nan") || word.eq_ignore_ascii_case(b"infinity") {
            self.offset += length;
            return TokenKind::Float;
        }
        Symbol::Minus.into()
    }

    fn symbol(&mut self) -> Result<TokenKind, Box<LexError>> {
        let (symbol, length) = match self.rest() {
            [b'!', b'=', ..] => (Symbol::NotEqual, 2),
            [b'<', b'=', ..] => (Symbol::LessOrEqual, 2),
            [b'>', b'=', ..] => (Symbol::GreaterOrEqual, 2),
            [b'+', b'=', ..] => (Symbol::PlusEqual, 2),
            [b'.', b'.', ..] => (Symbol::Range, 2),
            [b'!', ..] => {
                self.advance(1);
                return Err(self.mismatch("="));
            }
            [byte, ..] => (self.single_symbol(*byte)?, 1),
            [] => return Ok(TokenKind::End),
        };
        self.offset += length;
        Ok(symbol.into())
    }

    fn single_symbol(&self, byte: u8) -> Result<Symbol, Box<LexError>> {
        Ok(match byte {
            b'(' => Symbol::OpenParen,
            b')' => Symbol::CloseParen,
            b'[' => Symbol::OpenBracket,
            b']' => Symbol::CloseBracket,
            b'{' => Symbol::OpenBrace,
            b'}' => Symbol::CloseBrace,
            b',' => Symbol::Comma,
            b';' => Symbol::Semicolon,
            b':' => Symbol::Colon,
            b'.' => Symbol::Dot,
            b'?' => Symbol::Question,
            b'=' => Symbol::Equal,
            b'<' => Symbol::Less,
            b'>' => Symbol::Greater,
            b'+' => Symbol::Plus,
            b'*' => Symbol::Star,
            b'/' => Symbol::Slash,
            b'%' => Symbol::Percent,
            _ => {
                let found = self.found();
                let message = format!("no viable alternative at character {}", display(found));
                let position = self.position();
                return Err(Box::new(LexError { position, found, expected: None, message }));
            }
        })
    }
}

/// The length of the word at the beginning of `bytes`.
fn word_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// Where `pattern`, two bytes, first occurs in `bytes` from `from` on.
fn find(bytes: &[u8], from: usize, pattern: &[u8; 2]) -> Option<usize> {
    let tail = bytes.get(from..)?;
    tail.windows(2).position(|window| window == pattern).map(|offset| from + offset)
}

/// A character as error messages show it.
fn display(character: Option<char>) -> String {
    match character {
        None => "'<EOF>'".to_owned(),
        Some('\n') => "'\\n'".to_owned(),
        Some('\r') => "'\\r'".to_owned(),
        Some('\t') => "'\\t'".to_owned(),
        Some(other) => format!("'{other}'"),
    }
}
