//! Which columns a reader wants.

use std::sync::Arc;

use crate::model::ColumnId;

/// All columns, or these.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ColumnSet {
    /// Every column.
    #[default]
    All,
    /// These columns: ascending, each once. [`ColumnSet::of`] makes it so.
    Some(Arc<[ColumnId]>),
}

impl ColumnSet {
    /// The set of these columns, given in any order.
    pub fn of(columns: impl IntoIterator<Item = ColumnId>) -> ColumnSet {
        let mut columns: Vec<ColumnId> = columns.into_iter().collect();
        columns.sort_unstable();
        columns.dedup();
        ColumnSet::Some(columns.into())
    }

    /// Whether the column is wanted.
    #[inline]
    pub fn contains(&self, column: ColumnId) -> bool {
        match self {
            ColumnSet::All => true,
            ColumnSet::Some(columns) => columns.binary_search(&column).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_given() {
        let set = ColumnSet::of([ColumnId(9), ColumnId(2), ColumnId(9)]);
        assert!(set.contains(ColumnId(2)) && set.contains(ColumnId(9)));
        assert!(!set.contains(ColumnId(3)));
        assert!(ColumnSet::All.contains(ColumnId(3)));
    }
}
