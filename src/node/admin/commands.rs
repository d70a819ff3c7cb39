//! What the commands do.

use std::sync::Arc;
use std::time::Duration;

use helenus_gossip::{Key, Value as GossipValue};
use helenus_storage::JobKind;
use helenus_storage::model::{LogPosition, TableId};
use serde_json::{Value, json};

use super::protocol::{Command, Scope};
use crate::cluster::ring::Strategy;
use crate::error::{Error, Result};
use crate::node::Node;
use crate::node::background::wait;
use crate::schema::{Schema, Table, TableSource};

/// How often a command that waits looks whether what it waits for can still come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn is_stored(table: &&Arc<Table>) -> bool {
    table.source == TableSource::Stored
}

fn no_keyspace(name: &str) -> Error {
    Error::invalid(format!("Keyspace [{name}] does not exist."))
}

fn tables_of(schema: &Schema, keyspace: &str) -> Result<Vec<Arc<Table>>> {
    let known = schema.keyspace(keyspace).ok_or_else(|| no_keyspace(keyspace))?;
    Ok(known.tables.values().filter(is_stored).cloned().collect())
}

fn table_of(schema: &Schema, keyspace: &str, name: &str) -> Result<Arc<Table>> {
    schema.keyspace(keyspace).ok_or_else(|| no_keyspace(keyspace))?;
    let table = schema.table(keyspace, name).filter(is_stored).cloned();
    table.ok_or_else(|| Error::invalid(format!("Unknown keyspace/cf pair ({keyspace}.{name})")))
}

/// The stored tables that `names` mean: keyspaces, or `keyspace.table`.
fn named(schema: &Schema, names: &[String]) -> Result<Vec<Arc<Table>>> {
    if names.is_empty() {
        return Ok(schema.tables().values().filter(is_stored).cloned().collect());
    }
    let mut tables = Vec::new();
    for name in names {
        match name.split_once('.') {
            Some((keyspace, table)) => tables.push(table_of(schema, keyspace, table)?),
            None => tables.extend(tables_of(schema, name)?),
        }
    }
    tables.sort_by_key(|table| table.id);
    tables.dedup_by_key(|table| table.id);
    Ok(tables)
}

fn scoped(schema: &Schema, scope: &Scope) -> Result<Vec<Arc<Table>>> {
    match &scope.keyspace {
        None => named(schema, &[]),
        Some(keyspace) if scope.tables.is_empty() => tables_of(schema, keyspace),
        Some(keyspace) => {
            scope.tables.iter().map(|table| table_of(schema, keyspace, table)).collect()
        }
    }
}

fn json(value: impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::server(error.to_string()))
}

impl Node {
    /// Carries out a command; what takes long is waited for without holding a thread.
    pub(super) async fn carry_out(&self, command: Command) -> Result<Value> {
        let schema = self.metadata().schema();
        match command {
            Command::Status => json(self.status()),
            Command::Ring { keyspace } => {
                let strategy = match keyspace {
                    None => None,
                    Some(name) => {
                        let found = schema.keyspace(&name).ok_or_else(|| no_keyspace(&name))?;
                        Some(Strategy::parse(&found.options.replication)?)
                    }
                };
                json(self.ring_tokens(strategy.as_ref()))
            }
            Command::Info => json(self.info()),
            Command::Flush(scope) => {
                for table in scoped(&schema, &scope)? {
                    self.flush_table(Some(table.id)).await?;
                }
                Ok(Value::Null)
            }
            Command::Compact(scope) => {
                for table in scoped(&schema, &scope)? {
                    self.flush_table(Some(table.id)).await?;
                    self.compact_table(table.id).await?;
                }
                Ok(Value::Null)
            }
            Command::Drain => {
                tracing::info!("draining: no requests are served until the node is restarted");
                self.drain().await?;
                Ok(Value::Null)
            }
            Command::Decommission { force } => {
                self.decommission(force).await?;
                Ok(Value::Null)
            }
            Command::TableStats { names } => {
                let tables = named(&schema, &names)?;
                json(self.on_pool(move |node| node.table_figures(&tables)).await?)
            }
            Command::SetAside { files } => {
                json(self.on_pool(move |node| node.set_aside(&files)).await?)
            }
            Command::Snapshot { tag, names } => {
                let millis = self.world().clock.wall_micros() / 1000;
                let tag = tag.unwrap_or_else(|| millis.to_string());
                self.snapshot(&tag, names).await?;
                Ok(json!(tag))
            }
            Command::ListSnapshots => {
                json(self.on_pool(|node| node.shared.snapshots.list()).await?)
            }
            Command::ClearSnapshot { tag } => {
                let clear = move |node: &Node| node.shared.snapshots.clear(tag.as_deref());
                json(self.on_pool(clear).await?)
            }
        }
    }

    /// Does what waits for the disk on a thread that may.
    async fn on_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Node) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let node = self.clone();
        let done = self.pool().run(move || work(&node)).await;
        done.unwrap_or_else(|error| Err(Error::server(error.to_string())))
    }

    fn check_running(&self) -> Result<()> {
        if self.is_stopping() {
            return Err(Error::server("the node is stopping"));
        }
        match self.engine().failure() {
            Some(error) => Err(Error::server(error.to_string())),
            None => Ok(()),
        }
    }

    /// Flushes what was written so far to a table, or to all.
    async fn flush_table(&self, table: Option<TableId>) -> Result<()> {
        let engine = self.engine();
        let failures = engine.metrics().flush_failures.get();
        let position = engine.flush(table)?;
        self.flushed_to(table, position, failures).await
    }

    async fn flushed_to(
        &self,
        table: Option<TableId>,
        position: LogPosition,
        failures: u64,
    ) -> Result<()> {
        let (engine, runtime) = (self.engine(), self.world().runtime.as_ref());
        let signal = engine.work_signal(JobKind::Flush);
        loop {
            let epoch = signal.epoch();
            if engine.is_flushed(table, position) {
                return Ok(());
            }
            self.check_running()?;
            if engine.metrics().flush_failures.get() > failures {
                let what = "a flush failed and will be tried again; the log says why";
                return Err(Error::server(what));
            }
            wait(runtime, LOOK_EVERY, signal, epoch).await;
        }
    }

    async fn compact_table(&self, table: TableId) -> Result<()> {
        let (engine, runtime) = (self.engine(), self.world().runtime.as_ref());
        let failures = engine.metrics().compaction_failures.get();
        engine.compact(table)?;
        while engine.is_compacting(table) {
            self.check_running()?;
            if engine.metrics().compaction_failures.get() > failures {
                return Err(Error::server("a compaction failed; the log says why"));
            }
            runtime.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits for the disk.
    fn set_aside(&self, files: &[String]) -> Result<Vec<String>> {
        let mut kept = Vec::with_capacity(files.len());
        for file in files {
            let path = self.engine().set_aside(file)?.display().to_string();
            tracing::warn!(
                file,
                kept = path,
                "a damaged SSTable was set aside: what only it held is missing from its table"
            );
            kept.push(path);
        }
        Ok(kept)
    }

    /// Refuses requests from now on, and flushes until nothing is left in memory.
    pub(crate) async fn drain(&self) -> Result<()> {
        let engine = self.engine();
        engine.drain();
        if let Some(gossip) = self.gossip() {
            // Drivers of other nodes leave it alone.
            gossip.say(Key::CLIENT_ADDRESS, GossipValue::from(&b""[..]));
        }
        // A write may have been under way: only when nothing is left is it over.
        let all = LogPosition(u64::MAX);
        while !engine.is_flushed(None, all) {
            let failures = engine.metrics().flush_failures.get();
            let position = engine.flush(None)?;
            self.flushed_to(None, position, failures).await?;
        }
        tracing::info!("drained: everything is in SSTables");
        Ok(())
    }

    async fn snapshot(&self, tag: &str, names: Vec<String>) -> Result<()> {
        let owned = tag.to_string();
        let begin = move |node: &Node| {
            // No table comes or goes between the schema that is kept and the files that are.
            node.metadata().held(|state| {
                let tables = named(&state.schema, &names)?;
                node.shared.snapshots.begin(state, &owned, &tables)
            })
        };
        let taking = self.on_pool(begin).await?;
        let files = self.shared.snapshots.flushed(&taking).await;
        let finish = |node: &Node| node.shared.snapshots.finish(taking, files);
        self.on_pool(finish).await?;
        tracing::info!(snapshot = tag, "took a snapshot");
        Ok(())
    }
}
