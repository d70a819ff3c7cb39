//! The parser and the printer.

mod statements;
