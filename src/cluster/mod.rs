//! The metadata log and what it holds: who the node is, and the schema that all of it agrees on.

pub mod identity;
pub mod inspect;
pub mod metadata;
pub mod metadata_log;
pub mod ring;
