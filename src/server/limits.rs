//! What one connection, and all of them together, may take.

use std::time::Duration;

/// Bounds of the server. Every one is finite, so that no client can take the node's memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Longest body of a frame (`native_transport_max_frame_size`).
    pub frame_bytes_max: usize,
    /// Longest body of a frame before the connection is set up.
    pub first_frame_bytes_max: usize,
    /// Requests that a connection executes before it lets others run.
    pub turn_requests_max: usize,
    /// Work that it does before it lets others run; see [`TurnBudget`](super::TurnBudget). A unit
    /// is about 50 ns.
    pub turn_units: u64,
    /// Requests of a connection that are executed apart from it.
    pub pending_max: usize,
    /// Bytes of answers that wait for the log.
    pub held_bytes_max: usize,
    /// Bytes of answers that wait for the client to read them. The last answer may exceed it.
    pub output_bytes_max: usize,
    /// A connection that has not been set up by then is closed.
    pub startup_timeout: Duration,
    /// How long answers on their way may take when the server stops.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 10_000,
            frame_bytes_max: 16 << 20,
            first_frame_bytes_max: 100_000,
            turn_requests_max: 64,
            turn_units: 4000,
            pending_max: 1024,
            held_bytes_max: 4 << 20,
            output_bytes_max: 1 << 20,
            startup_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
