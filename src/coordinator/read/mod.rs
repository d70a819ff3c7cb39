//! Reads over several replicas.
//!
//! ```text
//! ReplicatedRead  parts in order, repairs, the end             replicated.rs
//!   PartRead      one part: pages into a Reconciliation         part.rs
//!     Round       who was asked for a page, who has answered    round.rs
//!   Caller        sends requests, knows the time                caller.rs
//!     Arrivals    answers come in here                          arrivals.rs
//! Latencies       whom to ask first, when to ask another        latency.rs
//! ```
//!
//! A part is read from as many replicas as the level needs. One of them is asked for a page and
//! the others for its digest. While digests agree, one page stands for all. When they do not, the
//! replicas are asked for that page again, this time with all columns: the pages are merged, and
//! each replica is sent what it lacks before the read ends, so that no later read at a quorum sees
//! less (blocking read repair). From then on this part goes on in pages.
//!
//! A replica that fails or is late is replaced by a spare one wherever the read is. What the read
//! has told by then is on the others, and what the one that is gone lacked is sent to its
//! successor; so every row that is told is on as many replicas as the level needs.

mod arrivals;
mod caller;
mod error;
mod latency;
mod message;
mod metrics;
mod part;
mod replicated;
mod round;

use std::sync::Arc;

use helenus_platform::clock::Clock;
use helenus_platform::runtime::Runtime;
use helenus_storage::model::KeyspaceId;
use helenus_storage::replica::Place;
use helenus_storage::{Engine, ReadCommand};

use crate::internode::{Internode, Target};

pub use arrivals::Arrived;
pub use error::ReadError;
pub use latency::{Latencies, Speculation};
pub use message::{
    Asked, PAGE_BYTES_MAX, READ_MESSAGE_VERSION, ReadAnswer, ReadRequest, put_digest, put_page,
};
pub use metrics::ReadMetrics;
pub use replicated::{ReadStep, ReplicatedRead};

/// What reads need of the node.
#[derive(Clone)]
pub struct ReadWorld {
    /// This node's own data.
    pub engine: Engine,
    /// Reaches the other nodes.
    pub internode: Arc<Internode>,
    /// Deadlines are on its monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Wakes a read that waits too long for a replica.
    pub runtime: Arc<dyn Runtime>,
    /// How fast other nodes are.
    pub latencies: Arc<Latencies>,
    /// What all reads count.
    pub metrics: Arc<ReadMetrics>,
}

impl std::fmt::Debug for ReadWorld {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ReadWorld")
    }
}

/// A replica that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Which.
    pub host_id: [u8; 16],
    /// Where it is.
    pub target: Target,
    /// It is this node.
    pub is_self: bool,
    /// How near it is: nearer ones, of a lower rank, are asked first.
    pub rank: u8,
}

/// Who is asked for one part of a read.
#[derive(Debug, Clone)]
pub struct Contacts {
    /// In order of preference. Any `block_for` of them must be enough for the level: the first
    /// ones are asked, the rest are spares.
    pub replicas: Vec<Contact>,
    /// How many must answer; at least one.
    pub block_for: usize,
}

/// One part of a read: some keys, or one range of tokens, and who has it.
#[derive(Debug, Clone)]
pub struct Part {
    /// What is read.
    pub command: ReadCommand,
    /// Who has it.
    pub contacts: Contacts,
}

/// What is the same for all parts of a read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The keyspace of the table.
    pub keyspace: KeyspaceId,
    /// Where an earlier page of the read ended. Parts before it are passed over.
    pub from: Option<Place>,
    /// Live rows that the client wants: replicas' pages have as many.
    pub rows_hint: u64,
    /// The version of the metadata that the read was planned against.
    pub metadata_version: u64,
    /// By then everything must have come; on the clock's monotonic time.
    pub deadline: std::time::Duration,
    /// When spares are asked.
    pub speculation: Speculation,
}
