//! Requests of which the client wants to know the steps (the TRACING flag). Off this path a
//! request pays a branch before and a branch after.

use std::collections::BTreeMap;
use std::sync::Arc;

use cql_lite::types::functions::time::timeuuid_at;
use cql_lite::types::text::to_literal;
use cql_lite::wire::{
    Batch, ColumnSpec, Execute, Prepare, Query, QueryOptions, ResponseWriter, Values,
};

use super::Node;
use crate::query::Prepared;
use crate::server::{Answer, Handled, Handler, Position, RequestContext};
use crate::telemetry::{Trace, TraceStart};

/// Hundreds of nanoseconds in a microsecond.
const TICKS_PER_MICRO: i64 = 10;
/// Bound values that a trace shows.
const VALUES_MAX: usize = 32;
/// Of a longer bound value a trace shows the length.
const VALUE_BYTES_MAX: usize = 256;

impl Node {
    pub(super) fn trace_query(
        &self,
        context: &RequestContext<'_>,
        out: &mut ResponseWriter<'_>,
        query: &Query<'_>,
    ) -> Arc<Trace> {
        let mut parameters = parameters(&query.options);
        parameters.insert("query".to_owned(), query.text.to_owned());
        self.begin_trace(context, out, "QUERY", "Execute CQL3 query", parameters)
    }

    pub(super) fn trace_prepare(
        &self,
        context: &RequestContext<'_>,
        out: &mut ResponseWriter<'_>,
        prepare: &Prepare<'_>,
    ) -> Arc<Trace> {
        let parameters = BTreeMap::from([("query".to_owned(), prepare.text.to_owned())]);
        self.begin_trace(context, out, "PREPARE", "Preparing CQL3 query", parameters)
    }

    pub(super) fn trace_execute(
        &self,
        context: &RequestContext<'_>,
        out: &mut ResponseWriter<'_>,
        execute: &Execute<'_>,
        prepared: &Prepared,
    ) -> Arc<Trace> {
        let mut parameters = parameters(&execute.options);
        parameters.insert("query".to_owned(), prepared.text.to_string());
        put_values(&mut parameters, &execute.options.values, &prepared.markers);
        self.begin_trace(context, out, "QUERY", "Execute CQL3 prepared query", parameters)
    }

    pub(super) fn trace_batch(
        &self,
        context: &RequestContext<'_>,
        out: &mut ResponseWriter<'_>,
        batch: &Batch<'_>,
        statements: &[(Arc<Prepared>, Values<'_>)],
    ) -> Arc<Trace> {
        let mut parameters = parameters(&batch.options);
        for (index, (prepared, _)) in statements.iter().enumerate().take(VALUES_MAX) {
            parameters.insert(format!("query_{index}"), prepared.text.to_string());
        }
        self.begin_trace(context, out, "QUERY", "Execute batch of CQL3 queries", parameters)
    }

    /// Begins a trace and tells the client its id.
    fn begin_trace(
        &self,
        context: &RequestContext<'_>,
        out: &mut ResponseWriter<'_>,
        command: &'static str,
        request: &'static str,
        parameters: BTreeMap<String, String>,
    ) -> Arc<Trace> {
        let world = self.world();
        let [.., a, b, c, d, e, f, g, h] = world.random.uuid_v4();
        let ticks = world.clock.wall_micros().saturating_mul(TICKS_PER_MICRO);
        let id = timeuuid_at(ticks, [a, b, c, d, e, f, g, h]);
        // Now: an answer that goes on elsewhere takes it along.
        out.tracing_id(id);
        self.shared.traces.begin(TraceStart {
            id,
            command,
            request,
            parameters,
            client: context.client.address.ip(),
        })
    }

    /// Completes the trace when the answer may leave: so the wait for the log is part of it.
    pub(super) fn finish_trace(
        &self,
        trace: Arc<Trace>,
        handled: Handled,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        let until = |position: &Position| *position > self.watermark();
        match handled {
            Handled::Answered { hold_until } => {
                let Some(position) = hold_until.filter(until) else {
                    trace.finish();
                    return Handled::Answered { hold_until };
                };
                let response = out.detach();
                let node = self.clone();
                Handled::Pending(Box::pin(async move {
                    node.wait_for_log(position, &trace).await;
                    trace.finish();
                    Answer::new(response, Some(position))
                }))
            }
            Handled::Pending(answer) => {
                let node = self.clone();
                Handled::Pending(Box::pin(async move {
                    let answer = answer.await;
                    if let Some(position) = answer.hold_until {
                        node.wait_for_log(position, &trace).await;
                    }
                    trace.finish();
                    answer
                }))
            }
        }
    }

    /// Until the log has come to `position`, or has failed.
    async fn wait_for_log(&self, position: Position, trace: &Trace) {
        let signal = self.watermark_signal();
        let mut waited = false;
        loop {
            let epoch = signal.epoch();
            if self.watermark() >= position {
                break;
            }
            if self.failure().is_some() {
                return trace.event("The commit log has failed");
            }
            if !waited {
                trace.event(format!("Waiting for the commit log to reach position {position}"));
                waited = true;
            }
            signal.wait_past(epoch).await;
        }
        if waited {
            trace.event(format!("The commit log has reached position {position}"));
        }
    }
}

/// What a request says beside its statement, named as Cassandra names it.
fn parameters(options: &QueryOptions<'_>) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let mut put = |name: &str, value: String| parameters.insert(name.to_owned(), value);
    put("consistency_level", options.consistency.to_string());
    if let Some(level) = options.serial_consistency {
        put("serial_consistency_level", level.to_string());
    }
    if let Some(size) = options.page_size {
        put("page_size", size.to_string());
    }
    parameters
}

fn put_values(
    parameters: &mut BTreeMap<String, String>,
    values: &Values<'_>,
    markers: &[ColumnSpec],
) {
    if values.is_named() {
        return;
    }
    for (index, (value, marker)) in values.iter().zip(markers).enumerate().take(VALUES_MAX) {
        let (_, value) = value;
        let text = match value.bytes() {
            Some(bytes) if bytes.len() > VALUE_BYTES_MAX => format!("({} bytes)", bytes.len()),
            bytes => to_literal(&marker.ty, bytes).unwrap_or_else(|_| "?".to_owned()),
        };
        parameters.insert(format!("bound_var_{index}_{}", marker.name), text);
    }
}
