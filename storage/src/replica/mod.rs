//! What the coordinator of a cluster needs of a replica, and what it does with several answers.
//!
//! A replica reads a [`ReplicaCommand`] into a page ([`ReplicaRead`]): the merged content with its
//! tombstones, in the one form that does not show how it lies in memtables and files (`page`).
//! Equal content gives equal bytes, so a [`digest`] of them stands for it. The coordinator merges
//! the pages of several replicas ([`Reconciliation`]): live rows for a [`crate::Sink`], for every
//! replica the mutations that it lacks, and whom to ask for more. A page also turns into mutations
//! as it stands ([`page_mutations`]), for a node that is to hold what another one holds.

mod command;
mod command_codec;
mod input;
mod page;
mod reader;
mod reconcile;
mod repair;
mod run;
mod stream;
mod writer;

pub use command::{Place, Reach, ReplicaCommand};
pub use command_codec::{COMMAND_ITEMS_MAX, COMMAND_VERSION};
pub use page::{PAGE_BYTES_MAX, PAGE_VERSION, digest};
pub use reader::{PageEnd, PageItem, PageReader};
pub use reconcile::{Reconciled, Reconciliation, Wanted};
pub use repair::Repair;
pub use run::ReplicaRead;
pub use stream::page_mutations;
