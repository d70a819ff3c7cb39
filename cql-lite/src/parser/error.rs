//! What is wrong with a text that is not CQL.

use std::fmt;

/// A syntax error, worded as Cassandra's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line where reading stopped, from 1.
    pub line: u32,
    /// The column, from 0, in UTF-16 units.
    pub column: u32,
    /// The text that was not expected there; `None` at the end of the statement.
    pub near: Option<String>,
    /// What was expected, in the grammar's words (`K_FROM`, `')'`), where it was one thing.
    pub expected: Option<String>,
    /// Cassandra's message.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}
