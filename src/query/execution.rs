//! A statement that is being run: steps that never wait, between which the caller does what the
//! statement waits for.

use cql_lite::wire::{ProtocolVersion, QueryOptions};
use helenus_platform::runtime::BoxFuture;
use helenus_storage::BlockList;
use helenus_storage::model::LogPosition;

use crate::coordinator::PartitionGuard;
use crate::coordinator::read::Arrived;
use crate::error::Result;

use super::bindings::Bindings;
use super::ddl::DdlPlan;
use super::services::Services;
use super::term::Environment;

/// How a step ended.
pub enum Step {
    /// The answer is written.
    Done {
        /// It may leave when the log's answer position has reached this; at once if none.
        hold: Option<LogPosition>,
    },
    /// The budget is spent: step again when there is time.
    Yield,
    /// Call `fetch` with these where waiting for the disk is allowed, then step again.
    NeedsBlocks(BlockList),
    /// Await this, hand what it gives to `waited`, then step again.
    Wait(BoxFuture<'static, Waited>),
}

/// What a statement has waited for.
#[derive(Debug)]
pub enum Waited {
    /// The locks of its partitions.
    Locked(PartitionGuard),
    /// A change of the schema, or of a whole table's data: it is done, or it failed.
    Changed(Result<Box<DdlPlan>>),
    /// The replicas of what was written: enough have it, or an error. The answer is held for the
    /// position, if there is one.
    Written(Result<Option<LogPosition>>),
    /// Answers of replicas to a read.
    Arrived(Arrived),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Step::Done { .. } => "Done",
            Step::Yield => "Yield",
            Step::NeedsBlocks(_) => "NeedsBlocks",
            Step::Wait(_) => "Wait",
        })
    }
}

/// One execution of a statement, as a client asks for it.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The client's values, by marker.
    pub(crate) bindings: Bindings<'a>,
    /// Consistency, paging, timestamps.
    pub(crate) options: &'a QueryOptions<'a>,
    /// The version that the client speaks.
    pub(crate) version: ProtocolVersion,
    /// The moment of the request: microseconds since the epoch.
    pub(crate) now: i64,
    /// The same in seconds, or what the client wants it to be.
    pub(crate) now_seconds: i64,
    /// Set if the client's idea of the result's columns is out of date: the new one.
    pub(crate) changed_metadata: Option<[u8; 16]>,
}

impl<'a> Request<'a> {
    /// What the statement's terms can depend on.
    pub(crate) fn environment(&'a self, services: &'a Services) -> Environment<'a> {
        Environment::new(&self.bindings, self.now, &*services.random)
    }

    /// See `changed_metadata`.
    pub(crate) fn new_metadata_id(&self) -> Option<&[u8]> {
        self.changed_metadata.as_ref().map(<[u8; 16]>::as_slice)
    }
}
