//! `system_traces`: the newest traces.

use std::sync::Arc;
use std::time::Duration;

use cql_lite::types::functions::time::timeuuid_at;
use helenus_storage::model::PartitionKey;

use super::LiveViews;
use crate::schema::system::values::{Cell, bigint, inet, int, map, text, uuid};
use crate::telemetry::Trace;

impl LiveViews {
    /// The traces whose ids are wanted.
    fn traces(&self, keys: Option<&[PartitionKey]>) -> Vec<Arc<Trace>> {
        let mut traces = self.traces.all();
        if let Some(keys) = keys {
            traces.retain(|trace| keys.iter().any(|key| key.key[..] == trace.start.id));
        }
        traces
    }

    pub(super) fn trace_sessions(&self, keys: Option<&[PartitionKey]>) -> Vec<Vec<Cell>> {
        let row = |trace: Arc<Trace>| {
            let start = &trace.start;
            vec![
                uuid(start.id),
                inet(start.client),
                text(start.command),
                inet(self.own.internode.ip()),
                int(i32::from(self.own.internode.port())),
                trace.duration().and_then(|duration| int(micros(duration))),
                map(&start.parameters),
                text(start.request),
                bigint(trace.started_at.div_euclid(1000)),
            ]
        };
        self.traces(keys).into_iter().map(row).collect()
    }

    pub(super) fn trace_events(&self, keys: Option<&[PartitionKey]>) -> Vec<Vec<Cell>> {
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
                    inet(self.own.internode.ip()),
                    int(elapsed),
                    int(i32::from(self.own.internode.port())),
                    text(event.thread),
                ]);
            }
        }
        rows
    }
}

/// Microseconds as traces count them.
fn micros(duration: Duration) -> i32 {
    i32::try_from(duration.as_micros()).unwrap_or(i32::MAX)
}
