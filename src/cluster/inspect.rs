//! `IDENTITY` and the metadata log's files as text, for `helenus inspect`.

use std::path::Path;
use std::sync::Arc;

use helenus_platform::disk::Disk;

use super::identity::{Identity, IdentityError};
use super::metadata;
use super::metadata_log::{self, MetadataLogError};
use crate::error::Error;
use crate::schema::{Change, Table};

/// Describes the identity in the data directory `dir`.
///
/// # Errors
/// Names the file when it is damaged or newer.
pub fn identity(
    disk: &dyn Disk,
    dir: &Path,
    line: &mut dyn FnMut(&str),
) -> Result<(), IdentityError> {
    let Some(identity) = Identity::load(disk, dir)? else { return Ok(()) };
    let uuid = |id| uuid::Uuid::from_bytes(id);
    line(&format!("identity of host {}", uuid(identity.host_id)));
    line(&format!("  cluster            {}", uuid(identity.cluster_id)));
    line(&format!("  counter generation {}", identity.counter_generation));
    line(&format!("  timestamp ceiling  {} µs", identity.timestamp_ceiling));
    line(&format!("  metadata version   {}", identity.metadata_version));
    line(&format!("  stopped cleanly    {}", identity.stopped_cleanly));
    let tokens: Vec<String> = identity.tokens.iter().map(ToString::to_string).collect();
    line(&format!("  tokens             {}", tokens.join(" ")));
    Ok(())
}

/// Describes one log or snapshot of the metadata.
///
/// # Errors
/// Names the file when it is damaged or newer, after telling what comes before the damage.
pub fn metadata(
    disk: &Arc<dyn Disk>,
    path: &Path,
    line: &mut dyn FnMut(&str),
) -> Result<(), MetadataLogError> {
    let contents = metadata_log::read(disk.as_ref(), path)?;
    let cluster = uuid::Uuid::from_bytes(contents.cluster_id);
    line(&format!("metadata of cluster {cluster}, from version {}", contents.base));
    if let Some(state) = &contents.snapshot {
        line(&format!("  state at version {}, {} bytes", contents.base, state.len()));
        describe(metadata::changes_of_state(state), line);
    }
    for (version, entry) in (contents.base + 1..).zip(&contents.entries) {
        line(&format!("  version {version}, {} bytes", entry.len()));
        describe(metadata::changes_of_entry(entry), line);
    }
    Ok(())
}

fn describe(changes: Result<Vec<Change>, Error>, line: &mut dyn FnMut(&str)) {
    match changes {
        Ok(changes) => changes.iter().for_each(|change| describe_change(change, line)),
        Err(error) => line(&format!("    unreadable: {error}")),
    }
}

fn describe_change(change: &Change, line: &mut dyn FnMut(&str)) {
    match change {
        Change::PutKeyspace(keyspace) => {
            let replication = &keyspace.options.replication;
            line(&format!("    keyspace {} ({:?}) {replication:?}", keyspace.name, keyspace.id));
        }
        Change::DropKeyspace { name } => line(&format!("    drop keyspace {name}")),
        Change::PutTable(table) => describe_table(table, line),
        Change::DropTable { keyspace, name, .. } => {
            line(&format!("    drop table {keyspace}.{name}"));
        }
        Change::PutType(udt) => line(&format!("    type {}.{}", udt.keyspace, udt.name)),
        Change::DropType { keyspace, name } => line(&format!("    drop type {keyspace}.{name}")),
        Change::Truncate { table } => line(&format!("    truncate {table:?}")),
    }
}

fn describe_table(table: &Table, line: &mut dyn FnMut(&str)) {
    let uuid = uuid::Uuid::from_bytes(table.uuid);
    line(&format!("    table {}.{} ({:?}, {uuid})", table.keyspace, table.name, table.id));
    for column in table.columns() {
        let (id, kind) = (column.id.0, column.kind.name());
        line(&format!("      {id:>4} {} {} {kind}", column.name, column.ty));
    }
}
