//! What the engine stores: partitions of rows of cells, the bytes they are, and how two versions
//! of them become one.

pub mod cell;
mod column_set;
pub mod counter;
mod deletion;
mod ids;
mod key;
pub(crate) mod memory;
pub mod merge;
pub mod mutation;
pub mod position;
mod range_tombstones;
pub mod row;
mod slice;
mod stream;
pub(crate) mod tree;

pub use cell::{Cell, CellKind, Liveness};
pub use column_set::ColumnSet;
pub use deletion::Deletion;
pub use ids::{ColumnId, KeyspaceId, LogPosition, SsTableId, TableId, Token};
pub use key::{MAX_KEY_BYTES, PartitionBound, PartitionKey, PartitionKeyRef};
pub use merge::{Canonical, Liveliness, canonical_row, live_row, merge_rows, purge_row, see_row};
pub use mutation::{MutationBuilder, MutationRef, TableUpdateRef};
pub use position::PositionRange;
pub use range_tombstones::{Markers, RangeTombstones};
pub use row::{Entry, RowBuilder, RowRef};
pub use slice::Slice;
pub use stream::{PartitionHead, Unfiltered};
