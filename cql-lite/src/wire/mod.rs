//! The native protocol of Cassandra, versions 3 to 5, in both directions: servers decode requests
//! and encode responses, clients and tests the other way round.
//!
//! Section numbers in this folder are those of `native_protocol_v5.spec` (and v3, v4, which are
//! numbered alike from §3 on). A message is one frame (v5: an envelope), see `frame.rs`; from v5
//! on, frames travel inside checksummed segments, see `segment.rs`.
//!
//! Nothing here trusts its input: every length is checked before it is used, nothing is allocated
//! on the word of a count, and malformed bytes give a [`WireError`].
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod class_name;
mod client;
pub mod compression;
mod consistency;
mod error;
pub mod frame;
pub mod notation;
mod request;
mod response;
pub mod segment;
#[cfg(test)]
mod tests;
mod type_spec;
mod values;
mod version;
mod writer;

pub use client::{ClientCodec, RESPONSE_BYTES_MAX};
pub use compression::Compression;
pub use consistency::{BatchKind, Consistency, WriteType};
pub use error::{Result, WireError, WireErrorKind};
pub use frame::{FrameHeader, Opcode};
pub use request::{
    Batch, BatchBuilder, BatchStatement, BatchStatements, Execute, Prepare, Query, QueryOptions,
    Request, RequestBody, StatementSource, decode_request,
};
pub use response::{
    ColumnSpec, EncodedColumns, ErrorBody, ErrorKind, Event, EventKind, Failures, Prepared,
    Progress, Response, ResponseBody, ResultBody, Rows, RowsEncoder, RowsMetadata, SchemaChange,
    SchemaChangeKind, SchemaTarget, StatusChangeKind, TopologyChangeKind, decode_response,
    decode_shared_response, failure_reason, result_kind,
};
pub use type_spec::{put_type, read_type};
pub use values::{BoundValue, Values, ValuesBuilder, ValuesIter};
pub use version::{ProtocolVersion, unsupported_version_message};
pub use writer::{DetachedResponse, Finished, ResponseWriter};
