//! One keyspace: its replication and what lives in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cql_lite::types::UdtType;
use helenus_storage::model::KeyspaceId;

use super::table::Table;

/// Who a keyspace belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyspaceKind {
    /// Made by CREATE KEYSPACE.
    User = 0,
    /// Part of every node (`system`, `system_schema`, …); may not be changed.
    System = 1,
    /// As `System`, and shown in `system_virtual_schema` instead of `system_schema`.
    Virtual = 2,
}

/// What stands after WITH in CREATE KEYSPACE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyspaceOptions {
    /// `class` (the strategy's full Java name) and its options.
    pub replication: BTreeMap<String, String>,
    /// Whether writes go through the commit log. Kept; Helenus always logs.
    pub durable_writes: bool,
}

/// One keyspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Keyspace {
    /// Never reused.
    pub id: KeyspaceId,
    /// The name.
    pub name: String,
    /// Who it belongs to.
    pub kind: KeyspaceKind,
    /// Its options.
    pub options: KeyspaceOptions,
    /// Tables by name.
    pub tables: BTreeMap<String, Arc<Table>>,
    /// User-defined types by name.
    pub types: BTreeMap<String, Arc<UdtType>>,
}

impl Keyspace {
    /// An empty keyspace.
    pub fn new(id: KeyspaceId, name: String, kind: KeyspaceKind, options: KeyspaceOptions) -> Self {
        Keyspace { id, name, kind, options, tables: BTreeMap::new(), types: BTreeMap::new() }
    }
}
