//! The schema as one immutable snapshot: keyspaces, tables, types.
//!
//! A statement is planned and run against one `Arc<Schema>`. A DDL statement is planned into
//! [`Change`]s; applying them to a snapshot gives the next one. The order of everything is that
//! of names or ids, so whatever walks a schema does so the same way on every node.

mod change;
mod codec;
mod column;
mod keyspace;
mod options;
pub mod print;
mod properties;
pub mod system;
mod table;
#[cfg(test)]
mod tests;
mod type_codec;

use std::collections::BTreeMap;
use std::sync::Arc;

use cql_lite::types::UdtType;
use helenus_storage::model::{KeyspaceId, TableId};
use md5::{Digest, Md5};

use crate::error::{Error, Result};

pub use change::{Change, KeyspaceDefinition};
pub(crate) use codec::VERSION as CHANGE_VERSION;
pub use column::{Column, ColumnKind};
pub use keyspace::{Keyspace, KeyspaceKind, KeyspaceOptions};
pub use options::{Caching, MAX_TTL_SECONDS, ReadRepair, RowsCached, TableOptions};
pub use properties::{Properties, Property};
pub use table::{DroppedColumn, Table, TableSource};

/// Ids below belong to the node's own keyspaces.
pub const FIRST_USER_KEYSPACE_ID: u32 = 64;
/// Ids below belong to the node's own tables.
pub const FIRST_USER_TABLE_ID: u32 = 1024;

/// All keyspaces at one moment.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Position in the metadata log that this snapshot is of; raised by every entry applied.
    pub version: u64,
    /// What `system.local.schema_version` shows: a digest of all definitions that clients can
    /// change, so nodes with equal schemas agree on it.
    pub schema_version: [u8; 16],
    keyspaces: BTreeMap<String, Arc<Keyspace>>,
    tables: BTreeMap<TableId, Arc<Table>>,
    next_keyspace_id: u32,
    next_table_id: u32,
}

impl Default for Schema {
    fn default() -> Self {
        Schema::new()
    }
}

impl Schema {
    /// A schema without any keyspace.
    pub fn new() -> Schema {
        let mut schema = Schema {
            version: 0,
            schema_version: [0; 16],
            keyspaces: BTreeMap::new(),
            tables: BTreeMap::new(),
            next_keyspace_id: FIRST_USER_KEYSPACE_ID,
            next_table_id: FIRST_USER_TABLE_ID,
        };
        schema.refresh_schema_version();
        schema
    }

    /// A schema with the node's own keyspaces, to start from.
    pub fn with_system_keyspaces(keyspaces: Vec<Keyspace>) -> Schema {
        let mut schema = Schema::new();
        for keyspace in keyspaces {
            for table in keyspace.tables.values() {
                schema.tables.insert(table.id, Arc::clone(table));
            }
            schema.keyspaces.insert(keyspace.name.clone(), Arc::new(keyspace));
        }
        schema.refresh_schema_version();
        schema
    }

    /// All keyspaces by name.
    pub fn keyspaces(&self) -> &BTreeMap<String, Arc<Keyspace>> {
        &self.keyspaces
    }

    /// The keyspace of that name.
    pub fn keyspace(&self, name: &str) -> Option<&Arc<Keyspace>> {
        self.keyspaces.get(name)
    }

    /// The table of that name.
    pub fn table(&self, keyspace: &str, name: &str) -> Option<&Arc<Table>> {
        self.keyspaces.get(keyspace)?.tables.get(name)
    }

    /// The table of that id.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables.get(&id)
    }

    /// All tables by id.
    pub fn tables(&self) -> &BTreeMap<TableId, Arc<Table>> {
        &self.tables
    }

    /// The user-defined type of that name.
    pub fn user_type(&self, keyspace: &str, name: &str) -> Option<&Arc<UdtType>> {
        self.keyspaces.get(keyspace)?.types.get(name)
    }

    /// The id that the next keyspace gets.
    pub fn next_keyspace_id(&self) -> KeyspaceId {
        KeyspaceId(self.next_keyspace_id)
    }

    /// The id that the next table gets.
    pub fn next_table_id(&self) -> TableId {
        TableId(self.next_table_id)
    }

    /// The snapshot with these ids next, which must not be below those in use.
    pub fn with_next_ids(mut self, next_keyspace_id: u32, next_table_id: u32) -> Schema {
        self.next_keyspace_id = self.next_keyspace_id.max(next_keyspace_id);
        self.next_table_id = self.next_table_id.max(next_table_id);
        self
    }

    /// The snapshot after the changes of one metadata entry, which has position `version`.
    pub fn apply_all(&self, changes: &[Change], version: u64) -> Result<Schema> {
        let mut next = self.clone();
        for change in changes {
            next.apply_one(change)?;
        }
        next.version = version;
        next.refresh_schema_version();
        Ok(next)
    }

    /// The snapshot after one change; the version is raised by one.
    pub fn apply(&self, change: &Change) -> Result<Schema> {
        self.apply_all(std::slice::from_ref(change), self.version + 1)
    }

    /// The snapshot with this keyspace made or its options replaced.
    pub fn with_keyspace(&self, definition: KeyspaceDefinition) -> Result<Schema> {
        self.apply(&Change::PutKeyspace(definition))
    }

    /// The snapshot without this keyspace.
    pub fn without_keyspace(&self, name: &str) -> Result<Schema> {
        self.apply(&Change::DropKeyspace { name: name.to_owned() })
    }

    /// The snapshot with this table made or replaced.
    pub fn with_table(&self, table: Arc<Table>) -> Result<Schema> {
        self.apply(&Change::PutTable(table))
    }

    /// The snapshot with this type made or replaced.
    pub fn with_type(&self, udt: Arc<UdtType>) -> Result<Schema> {
        self.apply(&Change::PutType(udt))
    }

    fn apply_one(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::PutKeyspace(definition) => self.put_keyspace(definition),
            Change::DropKeyspace { name } => {
                if let Some(keyspace) = self.keyspaces.remove(name) {
                    for table in keyspace.tables.values() {
                        self.tables.remove(&table.id);
                    }
                }
            }
            Change::PutTable(table) => {
                let keyspace = self.keyspace_mut(&table.keyspace)?;
                keyspace.tables.insert(table.name.clone(), Arc::clone(table));
                self.tables.insert(table.id, Arc::clone(table));
                self.next_table_id = self.next_table_id.max(table.id.0.saturating_add(1));
            }
            Change::DropTable { keyspace, name, id } => {
                self.keyspace_mut(keyspace)?.tables.remove(name);
                self.tables.remove(id);
            }
            Change::PutType(udt) => {
                let keyspace = self.keyspace_mut(&udt.keyspace)?;
                keyspace.types.insert(udt.name.clone(), Arc::clone(udt));
            }
            Change::DropType { keyspace, name } => {
                self.keyspace_mut(keyspace)?.types.remove(name);
            }
            Change::Truncate { .. } => {}
        }
        Ok(())
    }

    fn put_keyspace(&mut self, definition: &KeyspaceDefinition) {
        let keyspace = match self.keyspaces.get(&definition.name) {
            Some(old) => Keyspace { options: definition.options.clone(), ..Keyspace::clone(old) },
            None => Keyspace::new(
                definition.id,
                definition.name.clone(),
                definition.kind,
                definition.options.clone(),
            ),
        };
        self.next_keyspace_id = self.next_keyspace_id.max(keyspace.id.0.saturating_add(1));
        self.keyspaces.insert(keyspace.name.clone(), Arc::new(keyspace));
    }

    fn keyspace_mut(&mut self, name: &str) -> Result<&mut Keyspace> {
        match self.keyspaces.get_mut(name) {
            Some(keyspace) => Ok(Arc::make_mut(keyspace)),
            None => Err(Error::server(format!(
                "a schema change names keyspace '{name}', which does not exist"
            ))),
        }
    }

    /// The changes that make all user keyspaces out of nothing, in an order that applies.
    pub fn as_changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for keyspace in self.keyspaces.values().filter(|ks| ks.kind == KeyspaceKind::User) {
            changes.push(Change::PutKeyspace(KeyspaceDefinition {
                id: keyspace.id,
                name: keyspace.name.clone(),
                kind: keyspace.kind,
                options: keyspace.options.clone(),
            }));
            changes.extend(keyspace.types.values().map(|udt| Change::PutType(Arc::clone(udt))));
            changes.extend(keyspace.tables.values().map(|t| Change::PutTable(Arc::clone(t))));
        }
        changes
    }

    fn refresh_schema_version(&mut self) {
        let mut digest = Md5::new();
        let mut bytes = Vec::new();
        for change in self.as_changes() {
            bytes.clear();
            change.encode(&mut bytes);
            digest.update(&bytes);
        }
        let mut uuid: [u8; 16] = digest.finalize().into();
        // RFC 4122 version 3 (name-based, MD5), as Cassandra's own schema versions.
        uuid[6] = (uuid[6] & 0x0f) | 0x30;
        uuid[8] = (uuid[8] & 0x3f) | 0x80;
        self.schema_version = uuid;
    }
}
