//! The native protocol's server: sockets and connections, their limits, and events.
//!
//! `connection/` is a state machine without I/O: bytes in, answers out. The socket shell moves the
//! bytes and runs what has to wait. Both ask the node through [`Handler`] and know nothing else of
//! it.

mod admission;
mod clients;
mod connection;
mod events;
#[cfg(test)]
mod fake;
mod handler;
mod limits;
mod listener;
mod memory;
mod metrics;
mod socket;
#[cfg(test)]
mod tests;

pub use clients::{ClientState, Clients};
pub use connection::{CQL_VERSION, Connection, Services, Turn, overloaded};
pub use events::{EVENTS_KEPT, EventHub, Lagged, Subscription};
pub use handler::{Answer, Client, Handled, Handler, Position, RequestContext, TurnBudget};
pub use limits::Limits;
pub use listener::Server;
pub use memory::{AnswerMemory, Memory, Reserved};
pub use metrics::ServerMetrics;
