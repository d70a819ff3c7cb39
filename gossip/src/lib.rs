//! Who is in the cluster, who is up, and what they say of themselves.
//!
//! Each node keeps of every node a versioned state ([`state`](mod@state)): generation, heartbeat,
//! addresses, data centre, rack, status, load, metadata version, feature level. Once in an interval
//! it bumps its own heartbeat and begins an exchange with a few others: a SYN says what it has
//! ([`Digest`]), the ACK brings what it lacks and asks for what the other lacks ([`NodeDelta`]),
//! the ACK2 brings that. This is the Scuttlebutt reconciliation of R. van Renesse, D. Dumitriu,
//! V. Gough, C. Thomas, "Efficient Reconciliation and Flow Control for Anti-Entropy Protocols",
//! 2008, as Cassandra uses it. Whether a node is up is each node's own opinion, taken by a
//! phi-accrual detector from how regularly its heartbeat moves on.
//!
//! [`Gossip`] is a pure state machine: in go the time and the messages of others, out come
//! messages and events. It does no I/O, reads no clock and has no threads.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use helenus_gossip::{Config, Generation, Gossip, HostId, Local};
//! use helenus_platform::random::SeededRandom;
//!
//! let address = "127.0.0.1:7000".parse()?;
//! let local = Local { host: HostId(1), generation: Generation(1), address, values: vec![] };
//! let random = Arc::new(SeededRandom::new(7));
//! let mut gossip = Gossip::new(Config::new("test"), local, &[], random, Duration::ZERO)?;
//! gossip.tick(Duration::from_millis(500));
//! for (to, message) in gossip.take_outputs() {
//!     let mut bytes = Vec::new();
//!     message.encode(&mut bytes);
//!     println!("{} bytes for {to}", bytes.len());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What holds, whatever is lost, delayed, repeated or reordered:
//!
//! - States order by (generation, version), and a node only ever goes up in that order. A
//!   removal is the highest state there is, so what is left of a removed node cannot undo it.
//! - What a node has of another one is everything up to some version, never a state with holes.
//! - Nothing depends on how long ago something was said; caches and backlogs are not gossiped.
//! - Memory is bounded by the number of nodes, which is limited; messages are bounded in bytes;
//!   there is at most one exchange of ours under way with each peer, and so many answers an
//!   interval.
//!
//! Reading order: `state`, `digest`, `delta`, `message`; `table`; `gossip` (the machine),
//! `exchange` (SYN, ACK, ACK2), `merge` (taking what others say), `peers` (whom to talk to),
//! `detector`, `shadow`, `quarantine`; `view` and `event` for who uses it.

mod config;
mod delta;
mod detector;
mod digest;
mod error;
mod event;
mod exchange;
mod gossip;
mod id;
mod merge;
mod message;
mod peers;
mod quarantine;
mod shadow;
pub mod state;
mod table;
mod view;

pub use config::{Config, Local, SEEDS_MAX};
pub use delta::NodeDelta;
pub use digest::{Digest, Window};
pub use error::{Error, MessageError};
pub use event::{Counters, Event, SeedAnswer};
pub use gossip::Gossip;
pub use id::{ClusterId, Generation, HostId};
pub use message::{Body, CLUSTER_NAME_BYTES_MAX, MESSAGE_BYTES_MAX, Message};
pub use shadow::{Conflict, ShadowReport};
pub use state::{Entry, Key, Status, Value};
pub use view::{NodeView, View};
