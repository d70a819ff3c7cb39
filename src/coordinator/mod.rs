//! One client request on its replicas. With one node, that is this node: timestamps, and the
//! order of those requests of one partition that read before they write.

pub mod batch_log;
pub mod failure;
pub mod hints;
mod level;
mod locks;
mod moving;
pub mod mutation_message;
mod placement;
pub mod read;
mod read_plan;
mod replica;
pub mod replica_read;
mod requests;
mod timestamps;
mod write;

pub use level::Needs;
pub use locks::{PartitionGuard, PartitionLocks};
pub use moving::{MoveProgress, Mover};
pub use placement::{NodeNumber, PlacedRange, Placement, Placements, ReplicaNode, Replicas};
pub use read_plan::ReadRequested;
pub use replica::{Replica, ReplicaWrites};
pub use requests::{Coordinator, Peers, Timeouts};
pub use timestamps::Timestamps;
pub use write::{ReplicatedWrite, WriteOptions, Written};
