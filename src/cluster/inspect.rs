//! `IDENTITY` and the metadata log's files as text, for `helenus inspect`.

use std::path::Path;
use std::sync::Arc;

use helenus_platform::disk::Disk;

use super::change::{Change, decode_payload};
use super::identity::{Identity, IdentityError};
use super::metadata_log::{self, MetadataLogError};
use super::raft::{Config, Snapshot};
use super::state::changes_of_state;
use crate::error::Error;
use crate::schema::{self, Table};

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
    line(&format!("  gossip generation  {}", identity.gossip_generation));
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
    if let Some(Snapshot { state, term, config, .. }) = &contents.snapshot {
        let (base, bytes) = (contents.base, state.len());
        line(&format!("  state at version {base}, term {term}, {bytes} bytes"));
        describe_config(config, line);
        describe(changes_of_state(state), line);
        return Ok(());
    }
    for entry in &contents.entries {
        let (version, term, bytes) = (entry.index, entry.term, entry.payload.len());
        line(&format!("  version {version}, term {term}, {bytes} bytes"));
        entry.config.iter().for_each(|config| describe_config(config, line));
        if entry.payload.is_empty() {
            line("    a leader begins its term");
        } else {
            describe(decode_payload(&entry.payload).map(|(_, changes)| changes), line);
        }
    }
    let voted_for = contents.vote.voted_for.map_or("nobody".to_owned(), print);
    line(&format!("  voted for {voted_for} in term {}", contents.vote.term));
    line(&format!("  committed up to version {}", contents.commit));
    Ok(())
}

fn print(host: [u8; 16]) -> String {
    uuid::Uuid::from_bytes(host).to_string()
}

fn describe_config(config: &Config, line: &mut dyn FnMut(&str)) {
    for (what, hosts) in [("voters", &config.voters), ("learners", &config.learners)] {
        if !hosts.is_empty() {
            let hosts: Vec<String> = hosts.iter().copied().map(print).collect();
            line(&format!("    {what} {}", hosts.join(" ")));
        }
    }
}

fn describe(changes: Result<Vec<Change>, Error>, line: &mut dyn FnMut(&str)) {
    match changes {
        Ok(changes) => changes.iter().for_each(|change| describe_change(change, line)),
        Err(error) => line(&format!("    unreadable: {error}")),
    }
}

fn describe_change(change: &Change, line: &mut dyn FnMut(&str)) {
    match change {
        Change::Schema(change) => describe_schema_change(change, line),
        Change::FeatureLevel(level) => line(&format!("    feature level {level}")),
        Change::Received { host, ring_version } => {
            let host = print(*host);
            line(&format!("    member {host} has the data that ring {ring_version} brings it"));
        }
        Change::Settled { keyspace } => {
            line(&format!("    keyspace {keyspace:?} is where its replication says"));
        }
        Change::PutMember(member) => {
            let (host, state, voter) = (print(member.host_id), member.state, member.voter);
            let voter = if voter { ", votes" } else { "" };
            let (dc, rack, tokens) = (&member.data_center, &member.rack, member.tokens.len());
            line(&format!("    member {host} {state}{voter}, {dc} {rack}, {tokens} tokens"));
            let (node, cql) = (member.internode_address, member.cql_address);
            line(&format!("      nodes at {node}, clients at {cql}"));
        }
    }
}

fn describe_schema_change(change: &schema::Change, line: &mut dyn FnMut(&str)) {
    use schema::Change;
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
