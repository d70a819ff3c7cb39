//! Makes committed schema changes real in the engine.

use std::sync::Arc;

use cql_lite::wire::Event;
use helenus_storage::model::{KeyspaceId, TableId};
use helenus_storage::{CompactionOptions, Compression, Engine, TableOptions};

use super::schema_events::schema_events;
use super::snapshots::Snapshots;
use crate::cluster::identity::IdentityFile;
use crate::cluster::metadata::Applier;
use crate::cluster::state::ClusterState;
use crate::error::{Error, Result};
use crate::schema::{Change, Schema, Table, TableSource};
use crate::server::EventHub;

/// Creates, alters and drops the engine's tables.
pub(super) struct EngineApplier {
    pub(super) engine: Engine,
    /// Takes a snapshot of what a change removes, if the node is to.
    pub(super) auto_snapshots: Option<Arc<Snapshots>>,
    pub(super) identity: Arc<IdentityFile>,
    /// Where clients are told of what has changed, through whichever node it was.
    pub(super) events: Arc<EventHub>,
}

impl Applier for EngineApplier {
    fn prepare(&self, state: &ClusterState, changes: &[Change]) -> Result<()> {
        let Some(snapshots) = &self.auto_snapshots else { return Ok(()) };
        let before = &state.schema;
        for change in changes {
            let (what, name, tables) = match change {
                Change::Truncate { table } => match before.table_by_id(*table) {
                    Some(table) => ("truncated", table.name.as_str(), vec![table.clone()]),
                    None => continue,
                },
                Change::DropTable { name, id, .. } => {
                    let table = before.table_by_id(*id).cloned();
                    ("dropped", name.as_str(), table.into_iter().collect())
                }
                Change::DropKeyspace { name } => {
                    let tables = before.keyspace(name).into_iter().flat_map(|k| k.tables.values());
                    ("dropped", name.as_str(), tables.cloned().collect())
                }
                _ => continue,
            };
            let stored: Vec<Arc<Table>> =
                tables.into_iter().filter(|table| table.source == TableSource::Stored).collect();
            snapshots.take_before(what, state, name, &stored)?;
        }
        Ok(())
    }

    fn apply(&self, before: &ClusterState, after: &ClusterState, changes: &[Change]) -> Result<()> {
        // Before the engine knows of it: a table that the engine has was created by a change that
        // the metadata log must have, so that one which the log does not name was dropped.
        let recorded = self.identity.update(|identity| identity.metadata_version = after.version);
        recorded.map_err(|error| failed("recording the version of the schema", &error))?;
        changes.iter().try_for_each(|change| self.apply_one(&before.schema, &after.schema, change))
    }

    fn published(&self, before: &ClusterState, after: &ClusterState) {
        for change in schema_events(&before.schema, &after.schema) {
            self.events.publish(Event::Schema(change));
        }
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::server(format!("{what}: {error}; the change is committed and a restart applies it"))
}

impl EngineApplier {
    fn apply_one(&self, before: &Schema, after: &Schema, change: &Change) -> Result<()> {
        match change {
            Change::PutTable(table) if table.source == TableSource::Stored => {
                let options = engine_options(table);
                let done = if before.table_by_id(table.id).is_some() {
                    self.engine.alter_table(table.id, options)
                } else {
                    self.engine.create_table(table.id, keyspace_of(after, table), options)
                };
                done.map_err(|e| failed(&format!("preparing storage for {}", table.name), &e))
            }
            Change::DropTable { name, id, .. } => self
                .engine
                .drop_table(*id)
                .map_err(|e| failed(&format!("removing table {name}"), &e)),
            Change::DropKeyspace { name } => {
                let tables = before.keyspace(name).into_iter().flat_map(|k| k.tables.values());
                for table in tables {
                    self.engine
                        .drop_table(table.id)
                        .map_err(|e| failed(&format!("removing table {}", table.name), &e))?;
                }
                Ok(())
            }
            Change::Truncate { table } => {
                self.engine.truncate(*table).map_err(|e| failed("removing the rows of a table", &e))
            }
            _ => Ok(()),
        }
    }
}

/// Every stored table of a schema, as the engine wants it at its opening.
pub(super) fn engine_tables(schema: &Schema) -> Vec<(TableId, KeyspaceId, TableOptions)> {
    let stored = schema.tables().values().filter(|table| table.source == TableSource::Stored);
    stored.map(|t| (t.id, keyspace_of(schema, t), engine_options(t))).collect()
}

fn keyspace_of(schema: &Schema, table: &Table) -> KeyspaceId {
    schema.keyspace(&table.keyspace).map_or(KeyspaceId(0), |keyspace| keyspace.id)
}

/// What of a table's options the engine acts on.
fn engine_options(table: &Table) -> TableOptions {
    let options = &table.options;
    let compression = if options.is_compressed() { Compression::Lz4 } else { Compression::None };
    let enabled = options.compaction.get("enabled").is_none_or(|value| value != "false");
    let defaults = CompactionOptions::default();
    let tombstone_ratio_max = options
        .compaction
        .get("tombstone_threshold")
        .and_then(|value| value.parse().ok())
        .unwrap_or(defaults.tombstone_ratio_max);
    let scaling = scaling_of(options.compaction.get("class").map_or("", String::as_str), || {
        options.compaction.get("scaling_parameters").map(String::as_str)
    });
    TableOptions {
        gc_grace_seconds: i64::from(options.gc_grace_seconds),
        bloom_fp_chance: options.bloom_filter_fp_chance,
        compression,
        compaction: CompactionOptions { enabled, scaling, tombstone_ratio_max },
    }
}

/// The unified strategy's W for a strategy of Cassandra's: tiered ones are T4, levelled is L10;
/// the unified one says so itself, of which the first level's parameter counts.
fn scaling_of<'a>(class: &str, parameters: impl Fn() -> Option<&'a str>) -> i32 {
    let tiered = CompactionOptions::default().scaling;
    if class.ends_with("LeveledCompactionStrategy") {
        return -8;
    }
    if !class.ends_with("UnifiedCompactionStrategy") {
        return tiered;
    }
    let first = parameters().and_then(|list| list.split(',').next()).unwrap_or("T4").trim();
    let fan = |digits: &str| digits.parse::<i32>().ok().filter(|fan| (2..=1024).contains(fan));
    match (first.split_at_checked(1), first.parse::<i32>()) {
        (_, Ok(w)) => w,
        (Some(("T", digits)), _) => fan(digits).map_or(tiered, |fan| fan - 2),
        (Some(("L", digits)), _) => fan(digits).map_or(tiered, |fan| 2 - fan),
        (Some(("N", "")), _) => 0,
        _ => tiered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_parameters_are_those_of_the_unified_strategy() {
        let unified = |text: &'static str| scaling_of("x.UnifiedCompactionStrategy", || Some(text));
        assert_eq!(unified("T4"), 2);
        assert_eq!(unified("L10, T4"), -8);
        assert_eq!(unified("N"), 0);
        assert_eq!(unified("-3"), -3);
        assert_eq!(scaling_of("x.LeveledCompactionStrategy", || None), -8);
        assert_eq!(scaling_of("x.SizeTieredCompactionStrategy", || None), 2);
    }
}
