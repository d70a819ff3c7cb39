//! Helenus: a wide-column database that speaks Cassandra's language and protocol.

pub mod cli;
pub mod cluster;
pub mod config;
pub mod coordinator;
pub mod error;
pub mod internode;
pub mod node;
pub mod query;
pub mod schema;
pub mod server;
mod suggest;
pub mod telemetry;

/// The Cassandra release that clients are told; drivers choose their schema queries by it.
pub const RELEASE_VERSION: &str = "5.0.5";
/// The version of CQL.
pub const CQL_VERSION: &str = "3.4.7";
/// The newest native protocol.
pub const NATIVE_PROTOCOL_VERSION: &str = "5";
/// The partitioner's name, which some clients compare in full.
pub const PARTITIONER: &str = "org.apache.cassandra.dht.Murmur3Partitioner";
