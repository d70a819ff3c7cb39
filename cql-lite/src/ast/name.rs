//! Names: identifiers, qualified names, role names.

use super::Position;

/// An identifier. Unquoted text is folded to lower case when it is read, as in Cassandra.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// The name that it stands for: folded if it was not quoted, unescaped if it was.
    pub name: String,
    /// Whether it was written in double quotes.
    pub quoted: bool,
    /// Where it was written.
    pub position: Position,
}

impl Identifier {
    /// An identifier for `name` from nowhere in particular, quoted if it could not be read back
    /// otherwise.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let quoted = !crate::lexer::is_plain_identifier(&name);
        Identifier { name, quoted, position: Position::START }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// A name with an optional keyspace before it: a table, a view, an index, a function, a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QualifiedName {
    /// The keyspace, if it was written.
    pub keyspace: Option<Identifier>,
    /// The name itself.
    pub name: Identifier,
}

impl QualifiedName {
    /// Where the whole name begins.
    pub fn position(&self) -> Position {
        self.keyspace.as_ref().map_or(self.name.position, |keyspace| keyspace.position)
    }
}

/// The name of a role, a user or an identity. Strings and quoted names keep their case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleName {
    /// The name: folded to lower case if it was a bare identifier.
    pub name: String,
    /// How it was written.
    pub quoting: Quoting,
    /// Where it was written.
    pub position: Position,
}

/// How a role's name was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// `name`
    Bare,
    /// `"name"`
    Identifier,
    /// `'name'`
    String,
}
