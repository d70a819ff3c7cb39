//! A row that was read before a write, column by column.

use helenus_storage::model::{PartitionKey, RowRef, Slice};

use crate::error::Result;
use crate::query::restriction::ColumnRef;
use crate::query::row::{CurrentRow, RowShape};
use crate::schema::Table;

use super::read::Reads;

/// One row as it was found, or the static row alone.
pub(super) struct View<'r> {
    shape: RowShape,
    current: CurrentRow,
    row: &'r [u8],
    pub(super) exists: bool,
}

impl<'r> View<'r> {
    pub(super) fn new(
        table: &Table,
        reads: &'r Reads,
        key: &PartitionKey,
        position: Option<&[u8]>,
    ) -> Result<View<'r>> {
        let mut columns = Vec::new();
        for list in [&table.statics, &table.regulars] {
            for (index, column) in list.iter().enumerate() {
                columns.push(ColumnRef { kind: column.kind, index });
            }
        }
        let shape = RowShape::new(table, &columns, &[]);
        let mut current = CurrentRow::default();
        let found = reads.found(table.id, key);
        let static_row = found.and_then(|found| found.static_row.as_deref());
        let parsed = static_row.map(RowRef::parse).transpose()?;
        let key = PartitionKey { token: key.token, key: Slice::copy(&key.key) };
        current.enter(&shape, &key, parsed)?;
        let row = match position {
            Some(position) => found.and_then(|found| found.rows.get(position)),
            None => None,
        };
        if let (Some(row), Some(position)) = (row, position) {
            current.step(&shape, position, RowRef::parse(row)?)?;
        }
        let exists = match position {
            Some(_) => row.is_some(),
            None => static_row.is_some(),
        };
        Ok(View { shape, current, row: row.map_or(&[], Vec::as_slice), exists })
    }

    pub(super) fn value(&self, column: ColumnRef) -> Option<&[u8]> {
        self.current.value(&self.shape, self.row, column)
    }
}
