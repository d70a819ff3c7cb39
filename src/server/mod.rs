//! The native protocol's server: sockets and connections, their limits, and events.
//!
//! `connection/` is a state machine without I/O: bytes in, answers out. The socket shell moves the
//! bytes and runs what has to wait. Both ask the node through [`Handler`] and know nothing else of
//! it.

mod events;
mod handler;

pub use events::{EVENTS_KEPT, EventHub, Lagged, Subscription};
pub use handler::{Answer, Client, Handled, Handler, Position, RequestContext, TurnBudget};
