//! Whole nodes in one process: simulated time, a disk that forgets, an order of execution drawn
//! from a seed, random work, random faults, and an oracle that keeps what clients were promised.
//!
//! A failure is replayed from its seed. The same seed twice gives the same trace hash; that is the
//! first thing tested, because everything else rests on it.
//!
//! [`run()`] is one node, asked in process; [`cluster`] is several, with a network between them. What
//! neither checks: performance, and anything that the disk's model leaves out (see
//! `helenus_platform::disk::FaultyDisk`).

pub mod cluster;
mod eager;
mod oracle;
mod run;
mod workload;

pub use oracle::{Oracle, Value, Violation};
pub use run::{Options, Plant, Report, run};
