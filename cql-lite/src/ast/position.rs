//! Where in the statement's text a node stands.

use std::fmt;

/// A place in a statement: line from 1, column from 0, as Cassandra counts them in its messages.
/// Columns count UTF-16 units, because that is what Cassandra's messages count.
///
/// All positions are equal to one another: two syntax trees are the same when they mean the same,
/// wherever their text stood, and every node can then derive `PartialEq`.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 0.
    pub column: u32,
}

impl Position {
    /// The beginning of a text; also what a node made by a program, not by the parser, carries.
    pub const START: Position = Position { line: 1, column: 0 };
}

impl Default for Position {
    fn default() -> Self {
        Position::START
    }
}

impl PartialEq for Position {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Position {}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}:{}", self.line, self.column)
    }
}
