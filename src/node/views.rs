//! The rows of the node's own tables that follow from its live state (decision D8).
//!
//! A row is its values in the order of the table's columns: partition key, clustering key, then
//! the others by name.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cql_lite::types::functions::time::timeuuid_at;
use helenus_storage::Engine;
use helenus_storage::model::PartitionKey;

use crate::cluster::identity::Identity;
use crate::config::Config;
use crate::error::Result;
use crate::query::source::{ViewRow, Views};
use crate::schema::system::rows as schema_rows;
use crate::schema::system::values::{Cell, bigint, inet, int, map, text, texts, uuid};
use crate::schema::{Schema, Table, TableSource};
use crate::telemetry::{Trace, Traces};
use crate::{CQL_VERSION, NATIVE_PROTOCOL_VERSION, PARTITIONER, RELEASE_VERSION};

const MEBIBYTE: u64 = 1 << 20;
/// The port that other nodes would use.
const STORAGE_PORT: i32 = 7000;

/// What the views are computed from.
pub(super) struct LiveViews {
    pub(super) config: Config,
    pub(super) identity: Arc<Mutex<Identity>>,
    pub(super) engine: Engine,
    pub(super) traces: Arc<Traces>,
}

impl Views for LiveViews {
    fn rows(
        &self,
        schema: &Schema,
        table: &Table,
        keys: Option<&[PartitionKey]>,
    ) -> Result<Vec<ViewRow>> {
        if let Some(rows) = schema_rows::rows(schema, &table.keyspace, &table.name) {
            return Ok(rows);
        }
        Ok(match (table.keyspace.as_str(), table.name.as_str()) {
            ("system", "local") => vec![self.local(schema)],
            ("system", "size_estimates") => self.size_estimates(schema, None),
            ("system", "table_estimates") => self.size_estimates(schema, Some("local_primary")),
            ("system_traces", "sessions") => self.trace_sessions(keys),
            ("system_traces", "events") => self.trace_events(keys),
            ("system_views", "settings") => {
                self.config.settings().map(|(name, value)| vec![text(name), text(value)]).collect()
            }
            ("system_views", "disk_usage") => self.disk_usage(schema),
            ("system_views", "helenus") => self.versions(),
            _ => Vec::new(),
        })
    }
}

impl LiveViews {
    fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where clients reach the node.
    fn client_address(&self) -> IpAddr {
        let address = self.config.listen_address;
        if address.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { address }
    }

    fn local(&self, schema: &Schema) -> Vec<Cell> {
        let config = &self.config;
        let identity = self.identity();
        let address = self.client_address();
        let mut tokens: Vec<String> = identity.tokens.iter().map(ToString::to_string).collect();
        // A set<text> is in the order of its texts, not of its numbers.
        tokens.sort_unstable();
        vec![
            text("local"),
            text("COMPLETED"),
            inet(address),
            int(STORAGE_PORT),
            text(&config.cluster_name),
            text(CQL_VERSION),
            text(&config.data_center),
            int(i32::try_from(identity.counter_generation).unwrap_or(i32::MAX)),
            uuid(identity.host_id),
            inet(address),
            int(STORAGE_PORT),
            text(NATIVE_PROTOCOL_VERSION),
            text(PARTITIONER),
            text(&config.rack),
            text(RELEASE_VERSION),
            inet(address),
            int(i32::from(config.cql_port)),
            uuid(schema.schema_version),
            texts(tokens),
            None,
        ]
    }

    /// Each token range of the node with an even share of every table's partitions.
    fn size_estimates(&self, schema: &Schema, range_type: Option<&str>) -> Vec<Vec<Cell>> {
        let mut tokens = self.identity().tokens;
        tokens.sort_unstable();
        let Some(last) = tokens.last().copied() else { return Vec::new() };
        let ends = tokens.iter().copied();
        let starts = std::iter::once(last).chain(ends.clone());
        let ranges: Vec<(i64, i64)> = starts.zip(ends).collect();
        let mut rows = Vec::new();
        let stored = schema.tables().values().filter(|table| table.source == TableSource::Stored);
        for table in stored {
            let Some(stats) = self.engine.table_stats(table.id) else { continue };
            let mean = stats.sstable_bytes.checked_div(stats.partitions).unwrap_or(0);
            let share = stats.partitions / ranges.len() as u64;
            for (start, end) in &ranges {
                let mut row = vec![text(&table.keyspace), text(&table.name)];
                row.extend(range_type.map(text));
                row.extend([text(start.to_string()), text(end.to_string())]);
                row.extend([bigint(signed(mean)), bigint(signed(share))]);
                rows.push(row);
            }
        }
        rows
    }

    fn disk_usage(&self, schema: &Schema) -> Vec<Vec<Cell>> {
        let stored = schema.tables().values().filter(|table| table.source == TableSource::Stored);
        stored
            .filter_map(|table| {
                let bytes = self.engine.table_stats(table.id)?.sstable_bytes;
                let mebibytes = bigint(signed(bytes.div_ceil(MEBIBYTE)));
                Some(vec![text(&table.keyspace), text(&table.name), mebibytes])
            })
            .collect()
    }

    /// The traces whose ids are wanted.
    fn traces(&self, keys: Option<&[PartitionKey]>) -> Vec<Arc<Trace>> {
        let mut traces = self.traces.all();
        if let Some(keys) = keys {
            traces.retain(|trace| keys.iter().any(|key| key.key[..] == trace.start.id));
        }
        traces
    }

    fn trace_sessions(&self, keys: Option<&[PartitionKey]>) -> Vec<Vec<Cell>> {
        let row = |trace: Arc<Trace>| {
            let start = &trace.start;
            vec![
                uuid(start.id),
                inet(start.client),
                text(start.command),
                inet(self.client_address()),
                int(STORAGE_PORT),
                trace.duration().and_then(|duration| int(micros(duration))),
                map(&start.parameters),
                text(start.request),
                bigint(trace.started_at.div_euclid(1000)),
            ]
        };
        self.traces(keys).into_iter().map(row).collect()
    }

    fn trace_events(&self, keys: Option<&[PartitionKey]>) -> Vec<Vec<Cell>> {
        let mut rows = Vec::new();
        for trace in self.traces(keys) {
            let mut last = i64::MIN;
            for event in trace.events() {
                let elapsed = micros(event.elapsed);
                let at = trace.started_at.saturating_add(i64::from(elapsed));
                // Each a tick later than the one before, so that none takes another's place.
                let ticks = at.saturating_mul(10).max(last.saturating_add(1));
                last = ticks;
                rows.push(vec![
                    uuid(trace.start.id),
                    uuid(timeuuid_at(ticks, [0; 8])),
                    text(event.activity),
                    inet(self.client_address()),
                    int(elapsed),
                    int(STORAGE_PORT),
                    text(event.thread),
                ]);
            }
        }
        rows
    }

    fn versions(&self) -> Vec<Vec<Cell>> {
        vec![vec![text("version"), text(env!("CARGO_PKG_VERSION"))]]
    }
}

/// Microseconds as traces count them.
fn micros(duration: Duration) -> i32 {
    i32::try_from(duration.as_micros()).unwrap_or(i32::MAX)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
