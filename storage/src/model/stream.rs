//! What every source of rows yields inside a partition: memtable, SSTable and their merge.

use crate::model::{Deletion, PartitionKey, Slice};

/// The next thing of a partition, in position order, forwards or backwards.
///
/// A row may be covered by the range deletion around it: sources do not apply their own
/// deletions. Markers never overlap. Asked for a range of positions, a source clips its range
/// deletions to it: one that is open where iteration begins comes first, as a marker there
/// (at `range.start` going forwards, at `range.end` going backwards), and one that is open where
/// it ends is closed by a last marker there.
///
/// Whatever the direction, `before` is in force just below the position and `after` from the
/// position on, so a row at a marker's own position is under `after`: going forwards the marker
/// comes before the row, going backwards behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfiltered {
    /// A row.
    Row {
        /// Where it stands.
        position: Slice,
        /// Its bytes, see [`crate::model::RowRef`].
        row: Slice,
    },
    /// The range deletion in force changes here.
    Marker {
        /// Where it changes.
        position: Slice,
        /// In force below; `Deletion::NONE` if none is.
        before: Deletion,
        /// In force from here on; `Deletion::NONE` if none is.
        after: Deletion,
    },
}

impl Unfiltered {
    /// Where it stands.
    pub fn position(&self) -> &Slice {
        match self {
            Unfiltered::Row { position, .. } | Unfiltered::Marker { position, .. } => position,
        }
    }
}

/// What stands before the rows of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionHead {
    /// Its key.
    pub key: PartitionKey,
    /// The deletion of the whole partition, or `Deletion::NONE`.
    pub deletion: Deletion,
    /// The static row, if there is one; it too may be covered by `deletion`.
    pub static_row: Option<Slice>,
}
