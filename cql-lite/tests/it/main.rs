//! Tests of the language crate through its public face.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod parser;
mod types_functions;
mod types_gen;
mod types_key;
mod types_text;
