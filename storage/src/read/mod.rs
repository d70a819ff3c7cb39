//! Reading: merges all sources of a table into rows for a sink, in slices of work.
//!
//! `command` says what is asked and how it is told; `cursor` and `run` are one read's place and
//! its steps; `partitions` walks from partition to partition over all sources, `merge` from
//! position to position inside one; `single` is the short cut for one source; a `source` is a
//! memtable or an SSTable; `survey` tells which of them a read would look at; `blocks` are those that a read has to wait for.

mod blocks;
mod command;
mod cursor;
mod merge;
mod partitions;
mod run;
mod single;
mod source;
mod survey;

pub use blocks::BlockList;
pub use command::{Budget, Flow, Partitions, Read, ReadCommand, Sink};
pub use cursor::Cursor;
pub use survey::{SourceFate, Survey};

pub(crate) use blocks::{Pinned, PinnedAccess};
pub(crate) use cursor::ReadContext;
pub(crate) use merge::{Merge, Step};
pub(crate) use partitions::{PartitionWalk, Walk};
pub(crate) use run::{first_key, range_bound};
pub(crate) use single::{Found, only_source};
pub(crate) use source::{Access, Fill, Source, after};
