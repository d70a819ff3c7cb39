//! The rows of the node's own tables that follow from its live state (decision D8).
//!
//! A row is its values in the order of the table's columns: partition key, clustering key, then
//! the others by name.

mod clients;
mod figures;
mod peers;
mod traces;

use std::sync::Arc;

use cql_lite::types::text::print_uuid;
use helenus_platform::pool::Pool;
use helenus_storage::Engine;
use helenus_storage::model::PartitionKey;

use super::cluster::Addresses;
use super::statements::StatementCache;
use crate::cluster::identity::{Identity, IdentityFile};
use crate::cluster::metadata::Metadata;
use crate::cluster::ring::TokenRange;
use crate::config::Config;
use crate::error::Result;
use crate::query::source::{ViewRow, Views};
use crate::schema::system::rows as schema_rows;
use crate::schema::system::values::{Cell, bigint, inet, int, text, texts, uuid};
use crate::schema::{Schema, Table, TableSource};
use crate::server::Clients;
use crate::telemetry::Traces;
use crate::{CQL_VERSION, NATIVE_PROTOCOL_VERSION, PARTITIONER, RELEASE_VERSION};

/// What the views are computed from.
pub(super) struct LiveViews {
    pub(super) config: Config,
    pub(super) identity: Arc<IdentityFile>,
    /// Where others reach the node.
    pub(super) own: Addresses,
    pub(super) metadata: Arc<Metadata>,
    pub(super) engine: Engine,
    pub(super) traces: Arc<Traces>,
    pub(super) statements: Arc<StatementCache>,
    pub(super) clients: Arc<Clients>,
    pub(super) pool: Arc<Pool>,
}

impl Views for LiveViews {
    fn rows(
        &self,
        schema: &Schema,
        table: &Table,
        keys: Option<&[PartitionKey]>,
    ) -> Result<Vec<ViewRow>> {
        let names: Option<Vec<&[u8]>> = keys.map(|keys| keys.iter().map(|k| &*k.key).collect());
        let wanted = names.as_deref();
        if let Some(rows) = schema_rows::rows(schema, &table.keyspace, &table.name, wanted) {
            return Ok(rows);
        }
        Ok(match (table.keyspace.as_str(), table.name.as_str()) {
            ("system", "local") => vec![self.local(schema)],
            ("system", "peers") => self.peers(schema),
            ("system", "peers_v2") => self.peers_v2(schema),
            ("system", "size_estimates") => self.size_estimates(schema, None),
            ("system", "table_estimates") => self.size_estimates(schema, Some("local_primary")),
            ("system_traces", "sessions") => self.trace_sessions(keys),
            ("system_traces", "events") => self.trace_events(keys),
            ("system_views", "settings") => self.settings(),
            ("system", "prepared_statements") => self.prepared_statements(),
            ("system_views", "clients") => self.clients(),
            ("system_views", "caches") => self.caches(),
            ("system_views", "thread_pools") => self.thread_pools(),
            ("system_views", "sstable_tasks") => self.sstable_tasks(schema),
            ("system_views", "disk_usage") => self.disk_usage(schema),
            ("system_views", "max_partition_size") => self.max_partition_size(schema),
            ("system_views", "local_read_latency" | "coordinator_read_latency") => {
                self.latency(schema, |stats| Some(stats.reads))
            }
            ("system_views", "local_write_latency" | "coordinator_write_latency") => {
                self.latency(schema, |stats| Some(stats.writes))
            }
            ("system_views", "local_scan_latency" | "coordinator_scan_latency") => {
                self.latency(schema, |_| None)
            }
            ("system_views", "system_properties") => system_properties(),
            ("system_views", "helenus") => self.helenus(),
            _ => Vec::new(),
        })
    }
}

impl LiveViews {
    fn identity(&self) -> Identity {
        self.identity.get()
    }

    fn local(&self, schema: &Schema) -> Vec<Cell> {
        let config = &self.config;
        let identity = self.identity();
        let (clients, nodes) = (self.own.clients, self.own.internode);
        vec![
            text("local"),
            text("COMPLETED"),
            inet(nodes.ip()),
            int(i32::from(nodes.port())),
            text(&config.cluster_name),
            text(CQL_VERSION),
            text(&config.data_center),
            int(i32::try_from(identity.gossip_generation).unwrap_or(i32::MAX)),
            uuid(identity.host_id),
            inet(nodes.ip()),
            int(i32::from(nodes.port())),
            text(NATIVE_PROTOCOL_VERSION),
            text(PARTITIONER),
            text(&config.rack),
            text(RELEASE_VERSION),
            inet(clients.ip()),
            int(i32::from(clients.port())),
            uuid(schema.schema_version),
            token_set(&identity.tokens),
            None,
        ]
    }

    /// Each token range of the node with an even share of every table's partitions.
    fn size_estimates(&self, schema: &Schema, range_type: Option<&str>) -> Vec<Vec<Cell>> {
        let ring = self.metadata.state().ring.clone();
        let own = ring.index_of(&self.identity().host_id);
        let is_own = |range: &TokenRange| Some(range.owner) == own;
        let ranges: Vec<TokenRange> = ring.ranges().filter(is_own).collect();
        let mut rows = Vec::new();
        let stored = schema.tables().values().filter(|table| table.source == TableSource::Stored);
        for table in stored {
            let Some(stats) = self.engine.table_stats(table.id) else { continue };
            let mean = stats.sstable_bytes.checked_div(stats.partitions).unwrap_or(0);
            let share = stats.partitions.checked_div(ranges.len() as u64).unwrap_or(0);
            for TokenRange { start, end, .. } in &ranges {
                let mut row = vec![text(&table.keyspace), text(&table.name)];
                row.extend(range_type.map(text));
                row.extend([text(start.to_string()), text(end.to_string())]);
                row.extend([bigint(signed(mean)), bigint(signed(share))]);
                rows.push(row);
            }
        }
        rows
    }

    /// Every key of the configuration; guardrails have Cassandra's names.
    fn settings(&self) -> Vec<Vec<Cell>> {
        let shown = |name: &'static str| name.strip_prefix("guardrails.").unwrap_or(name);
        self.config.settings().map(|(name, value)| vec![text(shown(name)), text(value)]).collect()
    }

    /// What is this program's own, Cassandra has no table for it.
    fn helenus(&self) -> Vec<Vec<Cell>> {
        let state = self.metadata.state();
        let leader = self.metadata.standing().leader;
        let voters = state.members.config().voters.len();
        let rows = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("feature_level", state.feature_level.to_string()),
            ("metadata_version", state.version.to_string()),
            ("metadata_leader", leader.map(|host| print_uuid(&host)).unwrap_or_default()),
            ("metadata_voters", voters.to_string()),
        ];
        rows.into_iter().map(|(name, value)| vec![text(name), text(value)]).collect()
    }
}

/// Tokens as clients are told them.
fn token_set(tokens: &[i64]) -> Cell {
    let mut tokens: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    // A set<text> is in the order of its texts, not of its numbers.
    tokens.sort_unstable();
    texts(tokens)
}

/// What the process was built for.
fn system_properties() -> Vec<Vec<Cell>> {
    let properties = [("os.arch", std::env::consts::ARCH), ("os.name", std::env::consts::OS)];
    properties.map(|(name, value)| vec![text(name), text(value)]).into()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
