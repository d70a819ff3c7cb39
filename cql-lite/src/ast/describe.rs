//! DESCRIBE, answered by the server.

use super::{Identifier, QualifiedName};

/// `DESCRIBE …`, `DESC …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Describe {
    /// What is described.
    pub target: DescribeTarget,
    /// `WITH INTERNALS`
    pub with_internals: bool,
}

/// What a DESCRIBE is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DescribeTarget {
    /// `CLUSTER`
    Cluster,
    /// `SCHEMA`, or `FULL SCHEMA` with the system keyspaces.
    Schema {
        /// `FULL`
        full: bool,
    },
    /// `KEYSPACES`
    Keyspaces,
    /// `[ONLY] KEYSPACE [name]`; without a name, the keyspace in use.
    Keyspace {
        /// `ONLY`: without what is in it.
        only: bool,
        /// The keyspace.
        name: Option<Identifier>,
    },
    /// `TABLES`
    Tables,
    /// `TABLE name`
    Table(QualifiedName),
    /// `INDEX name`
    Index(QualifiedName),
    /// `MATERIALIZED VIEW name`
    View(QualifiedName),
    /// `TYPES`
    Types,
    /// `TYPE name`
    Type(QualifiedName),
    /// `FUNCTIONS`
    Functions,
    /// `FUNCTION name`: every overload.
    Function(QualifiedName),
    /// `AGGREGATES`
    Aggregates,
    /// `AGGREGATE name`: every overload.
    Aggregate(QualifiedName),
    /// `name`: a keyspace, table, view or index, whichever there is.
    Any(QualifiedName),
}
