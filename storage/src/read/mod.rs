//! Reading: merges all sources of a table into rows for a sink, in slices of work.

mod command;
mod cursor;

pub use command::{Budget, Flow, Partitions, Read, ReadCommand, Sink};
pub use cursor::{BlockList, Cursor};
