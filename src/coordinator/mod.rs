//! One client request on its replicas. With one node, that is this node: timestamps, and the
//! order of those requests of one partition that read before they write.

pub mod hints;
mod locks;
mod timestamps;

pub use locks::{PartitionGuard, PartitionLocks};
pub use timestamps::Timestamps;
