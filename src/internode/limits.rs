//! What connections between nodes may take, and how patient they are.

use std::time::Duration;

/// Bounds of a node's connections to other nodes. Every one is finite.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Offer LZ4: it is used where both sides do.
    pub compression: bool,
    /// Longest payload of a message. The same on all nodes: a longer message than the receiver
    /// takes costs its connection.
    pub message_bytes_max: usize,
    /// A payload of so many bytes or more takes the large channel.
    pub large_bytes: usize,
    /// Bytes that may wait to be sent on one connection. A single message may exceed it when
    /// nothing else waits.
    pub queue_bytes: usize,
    /// Bytes that may wait to be sent on all connections together.
    pub node_queue_bytes: usize,
    /// Requests on one connection that wait for their answers.
    pub requests_max: usize,
    /// Frames that are being received, or worked on, beyond what every connection may hold
    /// anyway, on all connections together: others are not read meanwhile.
    pub receive_bytes: usize,
    /// Answers of one connection that may wait for the commit log, or for the peer to read them;
    /// it reads no further requests meanwhile.
    pub answer_bytes: usize,
    /// Requests of one connection that are executed apart from it.
    pub pending_max: usize,
    /// Messages that a connection handles before it lets others run.
    pub turn_messages_max: usize,
    /// Connections of other nodes at a time.
    pub connections_max: usize,
    /// Those of them that have not said who they are.
    pub handshakes_max: usize,
    /// How long connecting may take, both sides' introductions included.
    pub connect_timeout: Duration,
    /// How long a one-way message may wait to be sent.
    pub one_way_timeout: Duration,
    /// After the first failure, a peer is left alone for so long, give or take; twice as long
    /// after each further one.
    pub backoff_min: Duration,
    /// The longest that it is left alone.
    pub backoff_max: Duration,
    /// How often deadlines are looked at while there are any.
    pub sweep_interval: Duration,
    /// A peer that has said nothing since it was last sent something is asked after so long.
    pub probe_interval: Duration,
    /// A connection is given up when its peer, asked or not, has said nothing for so long.
    pub silence_timeout: Duration,
    /// A frame that has begun must have come by then.
    pub frame_timeout: Duration,
    /// A connection that nobody has used for so long is closed.
    pub idle_timeout: Duration,
    /// How long answers may take that are under way when the node stops.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            compression: false,
            // A mutation of 16 MiB, and whatever its owner says around it.
            message_bytes_max: (16 << 20) + (64 << 10),
            large_bytes: 64 << 10,
            queue_bytes: 32 << 20,
            node_queue_bytes: 256 << 20,
            requests_max: 64 << 10,
            receive_bytes: 128 << 20,
            answer_bytes: 4 << 20,
            pending_max: 1024,
            turn_messages_max: 64,
            connections_max: 4096,
            handshakes_max: 128,
            connect_timeout: Duration::from_secs(2),
            one_way_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            sweep_interval: Duration::from_millis(16),
            probe_interval: Duration::from_secs(1),
            silence_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(5),
        }
    }
}
