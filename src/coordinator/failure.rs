//! How a replica says that it could not do what it was asked, as codes of an internode
//! [`Failure`]. Numbers are for ever.

use crate::internode::Failure;

/// The node has not opened its data yet.
pub const STARTING: u16 = Failure::OWN_CODES;
/// The request cannot be read.
pub const MALFORMED: u16 = Failure::OWN_CODES + 1;
/// The request names a table that there is not, at the metadata version that it names.
pub const UNKNOWN_TABLE: u16 = Failure::OWN_CODES + 2;
/// The memory for writes is full, or too much waits for a worker.
pub const OVERLOADED: u16 = Failure::OWN_CODES + 3;
/// A read went over more tombstones than it may.
pub const TOMBSTONES: u16 = Failure::OWN_CODES + 4;
/// The engine failed: a damaged file, a full disk.
pub const ENGINE: u16 = Failure::OWN_CODES + 5;
/// The sender does not know of the newest change of the ring, which this node has applied.
pub const OLD_RING: u16 = Failure::OWN_CODES + 6;
/// This node has not reached the metadata version that the request was planned at.
pub const BEHIND: u16 = Failure::OWN_CODES + 7;
/// The node stops, or is drained.
pub const STOPPING: u16 = Failure::OWN_CODES + 8;
