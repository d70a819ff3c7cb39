//! What the server counts.

use std::sync::Arc;
use std::time::Duration;

use cql_lite::wire::Opcode;

use crate::telemetry::{Counter, Gauge, Histogram, Registry, Unit};

/// What a request asks the node for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    Query = 0,
    Prepare = 1,
    Execute = 2,
    Batch = 3,
}

/// A request on its way: what it is, and when it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) kind: RequestKind,
    pub(super) since: Duration,
}

/// Names of the kinds, as labels.
const KINDS: [&str; 4] = ["query", "prepare", "execute", "batch"];

impl RequestKind {
    /// The kind of a message that the node executes.
    pub(super) fn of(opcode: Opcode) -> Option<Self> {
        match opcode {
            Opcode::Query => Some(RequestKind::Query),
            Opcode::Prepare => Some(RequestKind::Prepare),
            Opcode::Execute => Some(RequestKind::Execute),
            Opcode::Batch => Some(RequestKind::Batch),
            _ => None,
        }
    }
}

/// The metrics of all connections together.
#[derive(Debug)]
pub struct ServerMetrics {
    /// Connections that are open.
    pub(super) connections: Arc<Gauge>,
    /// Connections that were accepted.
    pub(super) accepted: Arc<Counter>,
    /// Connections that were closed at once because there were too many.
    pub(super) refused: Arc<Counter>,
    /// Connections that were closed at once because there were too many of their address.
    pub(super) refused_of_address: Arc<Counter>,
    /// Connections that were closed because their clients let memory lie that was short.
    pub(super) stalled: Arc<Counter>,
    /// Connections that take no requests now because the node, or they, have too much to do.
    pub(super) paused: Arc<Gauge>,
    /// Requests that were answered with OVERLOADED.
    pub(super) overloaded: Arc<Counter>,
    /// Bytes read from clients.
    pub(super) received: Arc<Counter>,
    /// Bytes written to clients.
    pub(super) sent: Arc<Counter>,
    /// Requests that are executed apart from their connections now.
    pub(super) apart: Arc<Gauge>,
    /// Requests that panicked.
    pub(super) panics: Arc<Counter>,
    /// Answers that are errors.
    pub(super) errors: Arc<Counter>,
    /// Events passed on.
    pub(super) events: Arc<Counter>,
    /// From the reading of a request to the moment when its answer may leave.
    latency: [Arc<Histogram>; 4],
}

impl ServerMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help, Vec::new());
        let gauge = |name, help| registry.gauge(name, help, Vec::new());
        let refused = |limit: &str| {
            registry.counter(
                "helenus_connections_refused_total",
                "Connections over a limit: of the node, or of an address.",
                vec![("limit", limit.to_owned())],
            )
        };
        let latency = KINDS.map(|kind| {
            registry.histogram(
                "helenus_request_seconds",
                "From reading a request to the moment when its answer may leave.",
                Unit::Seconds,
                vec![("kind", kind.to_owned())],
            )
        });
        ServerMetrics {
            connections: gauge("helenus_connections", "Connections that are open."),
            accepted: counter("helenus_connections_accepted_total", "Connections accepted."),
            refused: refused("node"),
            refused_of_address: refused("address"),
            stalled: counter(
                "helenus_connections_stalled_total",
                "Connections closed because they held memory that was short and did not move.",
            ),
            paused: gauge(
                "helenus_connections_paused",
                "Connections that are not read because of a limit.",
            ),
            overloaded: counter("helenus_overloaded_total", "Requests answered with OVERLOADED."),
            received: counter("helenus_received_bytes_total", "Bytes read from clients."),
            sent: counter("helenus_sent_bytes_total", "Bytes written to clients."),
            apart: gauge("helenus_requests_apart", "Requests that wait or yield, off their turn."),
            panics: counter("helenus_request_panics_total", "Requests that panicked."),
            errors: counter("helenus_error_answers_total", "Answers that are errors."),
            events: counter("helenus_events_sent_total", "Events passed on to clients."),
            latency,
        }
    }

    /// Counts a request whose answer may leave.
    #[inline]
    pub(super) fn answered(&self, timing: Timing, now: Duration) {
        if let Some(histogram) = self.latency.get(timing.kind as usize) {
            histogram.record_duration(now.saturating_sub(timing.since));
        }
    }
}
