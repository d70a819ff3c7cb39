//! What one connection, and all of them together, may take.

use std::time::Duration;

/// Bounds of the server. Every one is finite, so that no client can take the node's memory.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections of one address at a time; 0: as many as the node may have.
    pub connections_per_address_max: usize,
    /// Longest body of a frame (`native_transport_max_frame_size`).
    pub frame_bytes_max: usize,
    /// Longest body of a frame before the connection is set up.
    pub first_frame_bytes_max: usize,
    /// Longest text of a statement.
    pub statement_bytes_max: usize,
    /// Memory of all connections together; see [`Memory`](super::Memory).
    pub bytes_in_flight_max: usize,
    /// What a connection's answers may take, those on their way and those that are expected.
    pub connection_bytes_in_flight_max: usize,
    /// An answer is expected to have so many bytes while nothing is known of a connection's.
    pub answer_bytes_expected: usize,
    /// Requests of the node that are executed apart from their connections. Beyond it, a
    /// connection has one at a time.
    pub node_pending_max: usize,
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
    /// When memory is short, a connection is closed on which nothing has moved for so long
    /// although the client has answers to read, or a frame to finish.
    pub stall_timeout: Duration,
    /// How long answers on their way may take when the server stops.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 10_000,
            connections_per_address_max: 0,
            frame_bytes_max: 16 << 20,
            first_frame_bytes_max: 100_000,
            statement_bytes_max: 16 << 20,
            bytes_in_flight_max: 512 << 20,
            connection_bytes_in_flight_max: 32 << 20,
            answer_bytes_expected: 16 << 10,
            node_pending_max: 16_384,
            turn_requests_max: 64,
            turn_units: 4000,
            pending_max: 1024,
            held_bytes_max: 4 << 20,
            output_bytes_max: 1 << 20,
            startup_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
