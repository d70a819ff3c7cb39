//! The Cassandra Query Language and the native protocol: types, values, lexer, parser, syntax
//! tree, and the wire codec in both directions. No I/O, no clock, no state.

pub mod ast;
pub mod lexer;
pub mod parser;
pub mod types;
pub mod wire;

pub use parser::{SyntaxError, parse};
