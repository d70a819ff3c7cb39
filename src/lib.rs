//! Helenus: a wide-column database that speaks Cassandra's language and protocol.

pub mod cluster;
pub mod config;
pub mod coordinator;
pub mod error;
pub mod node;
pub mod query;
pub mod schema;
pub mod server;
pub mod telemetry;
