//! The parser: from text to a [`Statement`], by recursive descent.
//!
//! One rule of the grammar is one method. Rules look a few tokens ahead and then go one way; only
//! `(` before what may be a type is tried out, so that the time is linear in the text. Recursion
//! happens only in nested terms, types and relations, and stops at [`NESTING_MAX`].
//!
//! Errors are worded as Cassandra's, including at which token they point.

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod auth;
mod cursor;
mod describe;
mod error;
mod failure;
mod modify;
mod name;
mod property;
mod relation;
mod schema;
mod script;
mod select;
mod statement;
mod table;
mod term;
mod type_name;

pub use cursor::{NESTING_MAX, TOKENS_MAX};
pub use error::SyntaxError;
pub use script::{ScriptStatement, Split, parse_statements, split_statements};

use crate::ast::Statement;
use crate::lexer::{Symbol, TokenKind};
use cursor::Parser;

/// Reads one statement, perhaps with semicolons after it.
pub fn parse(input: &str) -> Result<Statement, SyntaxError> {
    let mut parser = Parser::new(input);
    let parsed = parser.statement().and_then(|statement| {
        while parser.take_if(Symbol::Semicolon) {}
        parser.expect(TokenKind::End)?;
        Ok(statement)
    });
    parsed.map_err(|failure| failure.into_error(input))
}
