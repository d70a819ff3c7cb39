//! Rows of several partitions, sorted: ORDER BY with an IN on the partition key.

use std::cmp::Ordering;

use cql_lite::types::CqlType;
use cql_lite::types::order::compare_nullable;

use crate::error::{Error, Result};
use crate::query::restriction::ColumnRef;

/// The most bytes that a statement may sort in memory.
const SORTED_BYTES_MAX: usize = 64 << 20;

/// A column to sort by.
#[derive(Debug, Clone)]
pub(crate) struct SortColumn {
    /// Which.
    pub(crate) column: ColumnRef,
    /// Its type.
    pub(crate) ty: CqlType,
    /// Largest first.
    pub(crate) descending: bool,
}

/// A row on its way to be sorted.
#[derive(Debug)]
struct SortedRow {
    keys: Vec<Option<Vec<u8>>>,
    cells: Vec<Option<Vec<u8>>>,
}

/// Rows gathered to be sorted.
#[derive(Debug, Default)]
pub(super) struct Sorter {
    rows: Vec<SortedRow>,
    bytes: usize,
}

impl Sorter {
    /// Adds a row.
    pub(super) fn push(
        &mut self,
        keys: Vec<Option<Vec<u8>>>,
        cells: Vec<Option<Vec<u8>>>,
    ) -> Result<()> {
        let size = |values: &[Option<Vec<u8>>]| -> usize {
            values.iter().flatten().map(|value| value.len() + 32).sum()
        };
        self.bytes += size(&keys) + size(&cells) + 64;
        if self.bytes > SORTED_BYTES_MAX {
            return Err(Error::invalid(format!(
                "ORDER BY over several partitions would sort more than {SORTED_BYTES_MAX} bytes; \
                 name fewer partitions, or sort client side"
            )));
        }
        self.rows.push(SortedRow { keys, cells });
        Ok(())
    }

    /// The rows' cells in order.
    pub(super) fn finish(mut self, columns: &[SortColumn]) -> Vec<Vec<Option<Vec<u8>>>> {
        self.rows.sort_by(|a, b| {
            let pairs = columns.iter().zip(a.keys.iter().zip(&b.keys));
            let mut orders = pairs.map(|(column, (a, b))| {
                let order = compare_nullable(&column.ty, a.as_deref(), b.as_deref());
                if column.descending { order.reverse() } else { order }
            });
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        self.rows.into_iter().map(|row| row.cells).collect()
    }
}
