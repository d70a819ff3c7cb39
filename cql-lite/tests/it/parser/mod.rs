//! The parser and the printer.

mod errors;
mod generate;
mod hostile;
mod roundtrip;
mod script;
mod statements;
mod tree;

use cql_lite::ast::{Literal, LiteralKind, Position};

/// A string literal from nowhere in particular.
fn string_literal(text: &str) -> Literal {
    Literal { kind: LiteralKind::String, text: text.to_owned(), position: Position::START }
}
