//! Compaction: fewer, larger SSTables, without what nobody can see any more.
//!
//! The ladder of names: a `Strategy` looks at what files there are and says what ought to be
//! done, a [`Plan`]; a `CompactionJob` is a plan being carried out, in slices; an `Outcome` is
//! what it has made, which the manifest puts in the place of the inputs in one step. Until then
//! nothing has happened: a crash leaves files that the manifest does not know, and opening the
//! directory removes them.

mod job;
mod output;
mod purge;
mod rewrite;
mod strategy;
mod unified;

pub(crate) use job::CompactionJob;
pub(crate) use output::Output;
pub(crate) use purge::Purge;
pub(crate) use rewrite::Rewrite;
pub use strategy::{Candidate, Plan, Reason, Strategy};
pub use unified::Unified;
