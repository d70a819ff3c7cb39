//! What connections between nodes count.

use std::sync::Arc;

use super::verb::Channel;
use crate::telemetry::{Counter, Registry};

/// One counter for each channel.
type PerChannel = [Arc<Counter>; 4];

/// The metrics of all connections together, by channel.
#[derive(Debug)]
pub struct InternodeMetrics {
    /// Messages written, answers included.
    pub(super) sent: PerChannel,
    /// Messages read, answers included.
    pub(super) received: PerChannel,
    pub(super) sent_bytes: PerChannel,
    pub(super) received_bytes: PerChannel,
    /// Their deadlines passed before they could be sent.
    pub(super) expired_before_sending: PerChannel,
    /// Their deadlines passed before they could be handled.
    pub(super) expired_before_handling: PerChannel,
    /// Answers that were ready only after the deadline of their request.
    pub(super) answered_late: PerChannel,
    /// Refused because too much waited.
    pub(super) queue_full: PerChannel,
    /// One-way messages that were not sent because there was no connection.
    pub(super) lost: PerChannel,
    /// Requests without an answer by their deadline.
    pub(super) timeouts: PerChannel,
    /// Connections that this node opened.
    pub(super) opened: PerChannel,
    /// Of those: how many were lost, or could not be opened.
    pub(super) failed: PerChannel,
    /// Connections of other nodes, or strangers, that were not accepted.
    pub(super) refused: Arc<Counter>,
    /// Connections that were closed because what came made no sense.
    pub(super) damaged: Arc<Counter>,
    /// Handlers of messages or answers that panicked.
    pub(super) panics: Arc<Counter>,
}

/// What is refused or given up, and why.
const DROPPED: &str = "helenus_internode_dropped_total";
const DROPPED_HELP: &str = "Messages between nodes that were given up.";

impl InternodeMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Arc<Self> {
        let counter = |name, help| {
            Channel::ALL.map(|channel| {
                registry.counter(name, help, vec![("channel", channel.name().to_owned())])
            })
        };
        let dropped = |reason: &str| {
            Channel::ALL.map(|channel| {
                let labels =
                    vec![("channel", channel.name().to_owned()), ("reason", reason.to_owned())];
                registry.counter(DROPPED, DROPPED_HELP, labels)
            })
        };
        let plain = |name, help| registry.counter(name, help, Vec::new());
        Arc::new(InternodeMetrics {
            sent: counter("helenus_internode_sent_total", "Messages written to other nodes."),
            received: counter("helenus_internode_received_total", "Messages of other nodes."),
            sent_bytes: counter(
                "helenus_internode_sent_bytes_total",
                "Bytes written to other nodes, as they were on the wire.",
            ),
            received_bytes: counter(
                "helenus_internode_received_bytes_total",
                "Bytes read from other nodes, as they were on the wire.",
            ),
            expired_before_sending: dropped("expired_before_sending"),
            expired_before_handling: dropped("expired_before_handling"),
            answered_late: dropped("answered_late"),
            queue_full: dropped("queue_full"),
            lost: dropped("no_connection"),
            timeouts: counter(
                "helenus_internode_timeouts_total",
                "Requests to other nodes without an answer by their deadline.",
            ),
            opened: counter(
                "helenus_internode_connections_opened_total",
                "Connections opened to other nodes.",
            ),
            failed: counter(
                "helenus_internode_connections_failed_total",
                "Connections to other nodes that were lost, or could not be opened.",
            ),
            refused: plain(
                "helenus_internode_refused_total",
                "Connections to the internode port that were not accepted.",
            ),
            damaged: plain(
                "helenus_internode_damaged_total",
                "Connections between nodes closed because what came made no sense.",
            ),
            panics: plain(
                "helenus_internode_panics_total",
                "Messages of other nodes whose handling panicked.",
            ),
        })
    }
}
