//! Gossip from outside: what single nodes do, that everybody converges, and a simulated cluster.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cluster;
mod convergence;
mod limits;
mod protocol;
mod removal;
mod shadow;
mod simulation;
