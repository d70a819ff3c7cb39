//! What a DDL statement comes to: results, never CQL text, so that every node that applies them
//! arrives at the same schema (decision D6).

use std::sync::Arc;

use cql_lite::types::UdtType;
use helenus_storage::model::{KeyspaceId, TableId};

use super::keyspace::{KeyspaceKind, KeyspaceOptions};
use super::table::Table;

/// A keyspace without what lives in it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyspaceDefinition {
    /// Never reused.
    pub id: KeyspaceId,
    /// The name.
    pub name: String,
    /// Who it belongs to.
    pub kind: KeyspaceKind,
    /// Its options.
    pub options: KeyspaceOptions,
}

/// One change of the schema. Definitions are complete: a `Put` makes or replaces.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Makes a keyspace, or replaces its options.
    PutKeyspace(KeyspaceDefinition),
    /// Removes a keyspace with everything in it.
    DropKeyspace {
        /// Its name.
        name: String,
    },
    /// Makes a table, or replaces its definition. Its keyspace exists.
    PutTable(Arc<Table>),
    /// Removes a table.
    DropTable {
        /// Name of its keyspace.
        keyspace: String,
        /// Its name.
        name: String,
        /// Its id.
        id: TableId,
    },
    /// Makes a user-defined type, or replaces its definition. Its keyspace exists.
    PutType(Arc<UdtType>),
    /// Removes a user-defined type.
    DropType {
        /// Name of its keyspace.
        keyspace: String,
        /// Its name.
        name: String,
    },
    /// Removes a table's rows; leaves the schema as it is.
    Truncate {
        /// The table.
        table: TableId,
    },
}
