//! Messages and connections between nodes.
//!
//! A node reaches each other node over up to four TCP connections, one for each [`Channel`], which
//! it opens when it has something to send and keeps. It writes requests and one-way messages there,
//! and reads the answers; what the other node asks comes over connections that the other opened.
//!
//! ```text
//! Internode::send, request ── lane.rs ──── outbound.rs ══ TCP ══ listener.rs ── inbound.rs ── MessageHandler
//!                             queue,       frames out,           who is there?   frames in,
//!                             pending,     answers in                            answers out,
//!                             back-off                                           held.rs
//! ```
//!
//! - **Batches.** Whatever a lane has when its connection gets to it is one frame and one write;
//!   so are the answers of one turn. `frame.rs` and `message.rs` have the layout, and
//!   docs/format/internode.md has it with an example.
//! - **Deadlines.** Every message has one. It travels as the time that is left. What is too late is
//!   dropped before it is sent, and before it is handled; one sweep finds the timeouts of all
//!   requests.
//! - **Bounds.** Each queue has a limit in bytes, and all of them together; past it a message is
//!   refused at once. The receiver stops reading when it has too much to do, which fills the
//!   sender's queue.
//! - **Who.** Both sides introduce themselves (`handshake.rs`) and are told why if they should not
//!   talk (`own.rs`). Without TLS they are believed.
//! - **Loss.** A connection that breaks, or whose peer is silent although asked, fails what waits
//!   for answers, and is opened again when there is something to send: at once if it had held, else
//!   after a back-off, during which requests fail at once.
//!
//! # TLS
//!
//! Internode sees connections only as [`Stream`](helenus_platform::net::Stream)s of its
//! [`Network`]. TLS is a `Network` around another one, whose `connect` and listener do the TLS
//! handshake and whose streams encrypt; internode's own introduction then runs inside of it, within
//! the same time limits. Whether a certificate belongs to the host id that the introduction claims
//! is for that `Network` to know: it can refuse the address.

mod error;
mod frame;
mod handler;
mod handshake;
mod held;
mod inbound;
mod lane;
mod limits;
mod listener;
mod memory;
mod message;
mod metrics;
mod outbound;
mod own;
mod pending;
mod registry;
mod request;
mod service;
mod shared;
#[cfg(test)]
mod tests;
mod verb;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use helenus_platform::clock::Clock;
use helenus_platform::net::Network;
use helenus_platform::random::Random;
use helenus_platform::runtime::Runtime;

pub use error::{Failure, Reason, Refusal, RequestError};
pub use frame::{FRAME_BYTES_TARGET, FRAME_HEADER_BYTES, FrameError};
pub use handler::{Answer, Incoming, MessageHandler, Peer, Position, Received, ReplyWriter};
pub use handshake::{Hello, Introduction, Welcome};
pub use limits::Limits;
pub use metrics::InternodeMetrics;
pub use own::{Own, VERSIONS, Versions};
pub use pending::Responses;
pub use request::Response;
pub use service::{Internode, Request};
pub use verb::{Channel, Verb};
pub use view::{ConnectionState, ConnectionView, Direction};

/// The world outside.
#[derive(Clone)]
pub struct World {
    /// Where connections come from and go to.
    pub network: Arc<dyn Network>,
    /// Runs the connections.
    pub runtime: Arc<dyn Runtime>,
    /// Deadlines are on its monotonic time.
    pub clock: Arc<dyn Clock>,
    /// For back-off, and for telling a node from a copy of it.
    pub random: Arc<dyn Random>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("World").finish_non_exhaustive()
    }
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Where to connect to.
    pub address: SocketAddr,
    /// Who must be there; none for a seed, of which only the address is known.
    pub host_id: Option<[u8; 16]>,
}
