//! Writes a page, item by item; the layout is drawn in `replica/page.rs`.

use helenus_platform::codec::Put;

use super::command::{Reach, ReplicaCommand};
use super::page::{
    COMPLETE, PAGE_VERSION, PARTITION, PARTITION_BEFORE_ROWS, PARTITION_DELETION, PARTITION_END,
    PARTITION_STOPPED, RANGE, RANGE_END, REVERSED, ROW, STATIC_ROW, STOPPED,
};
use crate::error::Result;
use crate::model::mutation::put_deletion;
use crate::model::{Canonical, Deletion, PartitionHead, PartitionKey, RowRef, canonical_row};

/// A page being written.
pub(super) struct PageWriter {
    out: Vec<u8>,
    /// Deletions made before this are past their grace.
    grace_over_before: i64,
    /// The partition that has been begun, if anything of it has been written.
    is_begun: bool,
    /// As the sources have it, purgeable or not.
    partition_deletion: Deletion,
    /// Range deletion in force, as the sources have it, as far as the partition's shows it.
    open: Deletion,
    /// The same as it stands in the page.
    written: Deletion,
    /// Rows and range deletions of this partition that have been written.
    items: u64,
    /// Live rows, and partitions with nothing but a live static row.
    pub(super) rows: u64,
    scratch: Vec<u8>,
}

impl PageWriter {
    pub(super) fn new(command: &ReplicaCommand, gc_grace_seconds: i64) -> PageWriter {
        let mut out = Vec::with_capacity(PAGE_BYTES_TYPICAL.min(command.bytes_max));
        out.put_u8(PAGE_VERSION);
        out.put_varint(u64::from(command.read.table.0));
        out.put_u8(if command.read.reversed { REVERSED } else { 0 });
        let grace_over_before = match command.keeps_purgeable {
            true => i64::MIN,
            false => command.read.now.saturating_sub(gc_grace_seconds),
        };
        PageWriter {
            out,
            grace_over_before,
            is_begun: false,
            partition_deletion: Deletion::NONE,
            open: Deletion::NONE,
            written: Deletion::NONE,
            items: 0,
            rows: 0,
            scratch: Vec::new(),
        }
    }

    /// Whether the page has all the bytes or rows that it may have. To be asked only when
    /// something has been written just before, so that every page has something, and that what is
    /// left out of pages does not show in where they end.
    pub(super) fn is_full(&self, command: &ReplicaCommand) -> bool {
        self.out.len() >= command.bytes_max || self.rows >= command.rows_max
    }

    /// Something of the partition has been written.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// A partition begins; what there is of its static row. Nothing is written before anything is
    /// left of it.
    pub(super) fn partition(
        &mut self,
        head: &PartitionHead,
        command: &ReplicaCommand,
    ) -> Result<Canonical> {
        self.is_begun = false;
        self.items = 0;
        self.partition_deletion = head.deletion;
        self.open = Deletion::NONE;
        self.written = Deletion::NONE;
        let mut found = Canonical::default();
        let mut row = std::mem::take(&mut self.scratch);
        row.clear();
        if let Some(static_row) = &head.static_row {
            found = self.canonical(RowRef::parse(static_row)?, head.deletion, command, &mut row)?;
        }
        let deletion = self.rest(head.deletion);
        if found.is_left || !deletion.is_none() {
            self.begin(&head.key, deletion, found.is_left.then_some(&row));
        }
        self.scratch = row;
        Ok(found)
    }

    /// The row at `position`.
    pub(super) fn row(
        &mut self,
        key: &PartitionKey,
        position: &[u8],
        row: RowRef<'_>,
        command: &ReplicaCommand,
    ) -> Result<Canonical> {
        let mut canonical = std::mem::take(&mut self.scratch);
        canonical.clear();
        let covering = self.partition_deletion.newer(self.open);
        let found = self.canonical(row, covering, command, &mut canonical)?;
        if found.is_left {
            self.begin_with_item(key);
            self.out.put_u8(ROW);
            self.out.put_bytes_varint(position);
            self.out.put_bytes_varint(&canonical);
        }
        self.scratch = canonical;
        Ok(found)
    }

    /// From `position` on, in reading order, `open` is the newest range deletion. If that shows
    /// in a page that is full, nothing is done, and the page has to end before it: true.
    pub(super) fn marker(
        &mut self,
        key: &PartitionKey,
        position: &[u8],
        open: Deletion,
        command: &ReplicaCommand,
    ) -> bool {
        let is_hidden = self.partition_deletion.deletes(open.timestamp);
        let open = if is_hidden { Deletion::NONE } else { open };
        let shown = self.rest(open);
        let is_change = shown != self.written;
        if is_change && self.items > 0 && self.is_full(command) {
            return true;
        }
        self.open = open;
        if is_change {
            self.written = shown;
            self.begin_with_item(key);
            self.out.put_u8(if shown.is_none() { RANGE_END } else { RANGE });
            self.out.put_bytes_varint(position);
            if !shown.is_none() {
                put_deletion(&mut self.out, shown);
            }
        }
        false
    }

    /// The partition ends.
    pub(super) fn end_partition(&mut self, reach: &Reach) {
        if !std::mem::take(&mut self.is_begun) {
            return;
        }
        match reach {
            Reach::Whole => self.out.put_u8(PARTITION_END),
            Reach::BeforeRows => self.out.put_u8(PARTITION_BEFORE_ROWS),
            Reach::Upto(bound) => {
                self.out.put_u8(PARTITION_STOPPED);
                self.out.put_bytes_varint(bound);
            }
        }
    }

    /// The page, ended.
    pub(super) fn finish(&mut self, is_complete: bool) -> Vec<u8> {
        self.out.put_u8(if is_complete { COMPLETE } else { STOPPED });
        std::mem::take(&mut self.out)
    }

    fn canonical(
        &self,
        row: RowRef<'_>,
        covering: Deletion,
        command: &ReplicaCommand,
        out: &mut Vec<u8>,
    ) -> Result<Canonical> {
        let (now, columns) = (command.read.now, &command.read.columns);
        canonical_row(row, covering, now, self.grace_over_before, columns, out)
    }

    fn rest(&self, deletion: Deletion) -> Deletion {
        let is_over = deletion.local_deletion_time < self.grace_over_before;
        if is_over { Deletion::NONE } else { deletion }
    }

    fn begin_with_item(&mut self, key: &PartitionKey) {
        self.items += 1;
        if !self.is_begun {
            self.begin(key, Deletion::NONE, None);
        }
    }

    fn begin(&mut self, key: &PartitionKey, deletion: Deletion, static_row: Option<&Vec<u8>>) {
        self.is_begun = true;
        let mut flags = 0;
        if !deletion.is_none() {
            flags |= PARTITION_DELETION;
        }
        if static_row.is_some() {
            flags |= STATIC_ROW;
        }
        self.out.put_u8(PARTITION);
        self.out.put_i64_be(key.token.0);
        self.out.put_bytes_varint(&key.key);
        self.out.put_u8(flags);
        if !deletion.is_none() {
            put_deletion(&mut self.out, deletion);
        }
        if let Some(row) = static_row {
            self.out.put_bytes_varint(row);
        }
    }
}

/// Room made at once for a page.
const PAGE_BYTES_TYPICAL: usize = 512;
