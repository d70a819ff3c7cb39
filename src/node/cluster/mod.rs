//! A node among others: how it finds them, founds a cluster with them or joins theirs, and what it
//! does as a member.
//!
//! ```text
//! Node::start (start.rs)
//!   directory has an identity    engine, listen, ask seeds and members whether anything speaks
//!                                against coming back, announce
//!   empty, no seeds              found a cluster of one, listen
//!   empty, seeds (forming.rs)    listen, shadow rounds until founding.rs says Found or Join
//! then, as a member
//!   bootstrap.rs                 from Joining to Normal
//!   watch.rs                     a task: what the node says of itself, who is gone, and what
//!                                drivers are told (tell_clients.rs)
//! ```

mod addresses;
mod bootstrap;
mod connected;
mod decommission;
mod forming;
mod start;
mod tell_clients;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use addresses::Addresses;
pub(super) use connected::Connected;
pub use watch::Doom;
