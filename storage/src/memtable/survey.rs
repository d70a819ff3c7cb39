//! Goes over an update before anything of it is applied.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::model::{CellKind, Deletion, Entry, RowRef, TableUpdateRef, counter, position};

/// That an update is sound, and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    /// Rows that say something, the static row not counted.
    pub(super) rows: u64,
    pub(super) static_row: bool,
    pub(super) partition_deletion: bool,
    pub(super) ranges: bool,
    pub(super) timestamp_min: i64,
    pub(super) timestamp_max: i64,
}

impl Survey {
    /// Walks through all of the update. After this, applying it cannot meet malformed bytes.
    pub(super) fn of(update: &TableUpdateRef<'_>) -> Result<Survey> {
        let mut survey = Survey {
            rows: 0,
            static_row: false,
            partition_deletion: !update.partition_deletion().is_none(),
            ranges: false,
            timestamp_min: i64::MAX,
            timestamp_max: i64::MIN,
        };
        survey.deletion(update.partition_deletion());
        if let Some(row) = update.static_row() {
            let row = RowRef::parse(row)?;
            survey.row(row)?;
            survey.static_row = !row.is_empty();
        }
        for row in update.rows() {
            let (position, row) = row?;
            if position.last() != Some(&position::ROW) {
                return Err(Error::corrupt("a row is not at the position of a row"));
            }
            survey.row(row)?;
            survey.rows += u64::from(!row.is_empty());
        }
        for range in update.range_tombstones() {
            survey.deletion(range?.2);
            survey.ranges = true;
        }
        Ok(survey)
    }

    /// Whether the update changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        !self.partition_deletion && !self.static_row && !self.ranges && self.rows == 0
    }

    /// Whether it is one row and nothing else.
    pub(super) fn is_single_row(&self) -> bool {
        self.rows == 1 && !self.partition_deletion && !self.static_row && !self.ranges
    }

    fn row(&mut self, row: RowRef<'_>) -> Result<()> {
        self.deletion(row.deletion());
        if let Some(liveness) = row.liveness() {
            self.timestamp(liveness.timestamp);
        }
        let mut previous: Option<Entry<'_>> = None;
        for entry in row.entries() {
            let entry = entry?;
            if previous.is_some_and(|previous| previous.cmp_place(&entry) != Ordering::Less) {
                return Err(Error::corrupt("the entries of a row are out of order"));
            }
            if let Entry::Cell(cell) = entry
                && cell.kind == CellKind::Counter
                && counter::newest_clock(cell.value)? != Some(cell.timestamp)
            {
                return Err(Error::corrupt("a counter's timestamp is not its newest clock"));
            }
            self.timestamp(entry.timestamp());
            previous = Some(entry);
        }
        Ok(())
    }

    fn deletion(&mut self, deletion: Deletion) {
        if !deletion.is_none() {
            self.timestamp(deletion.timestamp);
        }
    }

    #[inline]
    fn timestamp(&mut self, timestamp: i64) {
        self.timestamp_min = self.timestamp_min.min(timestamp);
        self.timestamp_max = self.timestamp_max.max(timestamp);
    }
}
