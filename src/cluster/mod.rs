//! What the cluster agrees on, and how: who the node is, the metadata log that a group of members
//! keeps by Raft, the members and the schema that it leads to, and the ring.

pub mod change;
pub mod founding;
pub mod gossiping;
pub mod identity;
pub mod inspect;
pub mod members;
pub mod metadata;
pub mod metadata_log;
pub mod newcomer;
pub mod over_internode;
pub mod raft;
pub mod ring;
pub mod state;
pub mod transport;
pub(crate) mod wait;
