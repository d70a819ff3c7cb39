//! Whole nodes in one process: simulated time, a disk that forgets, an order of execution drawn
//! from a seed, random work, random faults, and an oracle that keeps what clients were promised.
//!
//! A failure is replayed from its seed. The same seed twice gives the same trace hash; that is the
//! first thing tested, because everything else rests on it.
//!
//! What it does not check: performance, the network's faults (there is one node), and anything
//! that the disk's model leaves out (see `helenus_platform::disk::FaultyDisk`).

mod eager;
mod oracle;
mod run;
mod workload;

pub use oracle::{Oracle, Value, Violation};
pub use run::{Options, Plant, Report, run};
