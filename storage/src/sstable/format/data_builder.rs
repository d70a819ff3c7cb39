//! The layout of a data block, and the one place that writes it.
//!
//! ```text
//! content   := entries
//!              tokens     8 bytes each, biased big-endian, one per partition in the block;
//!                         absent with DERIVED
//!              starts     one per partition: offset of its partition entry
//!              runs       offset of every run but the first of a partition
//!              u32 LE     number of partitions
//!              u32 LE     number of runs listed
//!              u8         0x01 WIDE: offsets are u32 LE, else u16 LE
//!                         0x02 CONTINUES: the last partition goes on in the next block
//!                         0x04 DERIVED: every token is the Murmur3 token of its key
//! entries   := (partition row-or-marker*)*
//! partition := u8         0x01 DELETION, 0x02 STATIC_ROW, 0x04 CONTINUED
//!              varint key length, key
//!              [DELETION:   deletion]
//!              [STATIC_ROW: varint length, row]
//! entry     := u8         0x01 MARKER, 0x02 RUN_START, 0x04 OPEN, 0x08 BEFORE, 0x10 AFTER
//!              [OPEN:       deletion]      only with RUN_START
//!              [!RUN_START: varint bytes shared with the previous position]
//!              varint rest length, rest of the position
//!              row:    varint length, row
//!              marker: [BEFORE: deletion] [AFTER: deletion]
//! deletion  := zigzag timestamp, varint local deletion time
//! ```
//!
//! A partition's entries fall into runs of [`RUN_ENTRIES`]; each run's first position is stored
//! whole and carries the range deletion in force just below it (OPEN), so a reader can begin at
//! any run. The first run begins right behind the partition entry. A block that begins inside a
//! partition repeats its key in a CONTINUED partition entry, without deletion and static row.
//! Tokens stand together because every point read searches them.

use helenus_platform::codec::{Put, varint_len};

use super::composite::{put_token, shared_prefix};
use super::murmur3::murmur3_token;
use crate::model::{Deletion, Token};

/// Entries of a run: positions between its start and its end are stored as differences.
pub(crate) const RUN_ENTRIES: usize = 16;
/// Bytes behind the offset arrays.
pub(crate) const TRAILER_BYTES: usize = 9;

pub(crate) const WIDE: u8 = 0x01;
pub(crate) const CONTINUES: u8 = 0x02;
pub(crate) const DERIVED: u8 = 0x04;

pub(crate) const PARTITION_DELETION: u8 = 0x01;
pub(crate) const PARTITION_STATIC_ROW: u8 = 0x02;
pub(crate) const PARTITION_CONTINUED: u8 = 0x04;

pub(crate) const ENTRY_MARKER: u8 = 0x01;
pub(crate) const ENTRY_RUN_START: u8 = 0x02;
pub(crate) const ENTRY_OPEN: u8 = 0x04;
pub(crate) const ENTRY_BEFORE: u8 = 0x08;
pub(crate) const ENTRY_AFTER: u8 = 0x10;

/// Appends a deletion.
pub(crate) fn put_deletion(out: &mut Vec<u8>, deletion: Deletion) {
    out.put_zigzag(deletion.timestamp);
    out.put_varint(deletion.local_deletion_time as u64);
}

/// A data block that is being filled.
#[derive(Default)]
pub(crate) struct DataBuilder {
    entries: Vec<u8>,
    tokens: Vec<u8>,
    starts: Vec<u32>,
    runs: Vec<u32>,
    /// Entries in the current run; 0 before the first entry of a partition.
    in_run: usize,
    last_position: Vec<u8>,
    /// Some token of the block is not the Murmur3 token of its key.
    foreign_tokens: bool,
    /// Bytes of a repeated partition key: they do not count towards the block's size.
    repeated: usize,
    rows: u32,
}

impl DataBuilder {
    /// Whether nothing has been added since the last `finish`.
    pub(crate) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Bytes of entries so far, without a repeated partition key.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + 2 * self.starts.len() - self.repeated
    }

    /// Clustered rows so far.
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether the last partition has a row or a marker in this block.
    pub(crate) fn partition_has_entries(&self) -> bool {
        self.in_run > 0
    }

    /// Begins a partition.
    pub(crate) fn partition(
        &mut self,
        token: Token,
        key: &[u8],
        deletion: Deletion,
        static_row: Option<&[u8]>,
    ) {
        let mut flags = 0;
        if !deletion.is_none() {
            flags |= PARTITION_DELETION;
        }
        if static_row.is_some() {
            flags |= PARTITION_STATIC_ROW;
        }
        self.partition_entry(flags, token, key);
        if !deletion.is_none() {
            put_deletion(&mut self.entries, deletion);
        }
        if let Some(row) = static_row {
            self.entries.put_bytes_varint(row);
        }
    }

    /// Goes on with the partition in which the block before ended.
    pub(crate) fn continued(&mut self, token: Token, key: &[u8]) {
        debug_assert!(self.is_empty());
        self.partition_entry(PARTITION_CONTINUED, token, key);
        self.repeated = self.entries.len();
    }

    fn partition_entry(&mut self, flags: u8, token: Token, key: &[u8]) {
        self.foreign_tokens = self.foreign_tokens || murmur3_token(key) != token;
        put_token(&mut self.tokens, token);
        self.starts.push(self.entries.len() as u32);
        self.in_run = 0;
        self.entries.put_u8(flags);
        self.entries.put_bytes_varint(key);
    }

    /// Adds a row of the last partition; `open` is the range deletion in force around it.
    pub(crate) fn row(&mut self, position: &[u8], row: &[u8], open: Deletion) {
        self.position(0, position, open);
        self.entries.put_bytes_varint(row);
        self.rows += 1;
    }

    /// Adds a marker of the last partition; `before` is the range deletion in force below it.
    pub(crate) fn marker(&mut self, position: &[u8], before: Deletion, after: Deletion) {
        let mut flags = ENTRY_MARKER;
        for (deletion, flag) in [(before, ENTRY_BEFORE), (after, ENTRY_AFTER)] {
            if !deletion.is_none() {
                flags |= flag;
            }
        }
        self.position(flags, position, before);
        for deletion in [before, after] {
            if !deletion.is_none() {
                put_deletion(&mut self.entries, deletion);
            }
        }
    }

    fn position(&mut self, flags: u8, position: &[u8], open: Deletion) {
        debug_assert!(!self.is_empty());
        let starts_run = self.in_run == 0 || self.in_run == RUN_ENTRIES;
        if starts_run {
            if self.in_run > 0 {
                self.runs.push(self.entries.len() as u32);
            }
            let open_flag = if open.is_none() { 0 } else { ENTRY_OPEN };
            self.entries.put_u8(flags | ENTRY_RUN_START | open_flag);
            if !open.is_none() {
                put_deletion(&mut self.entries, open);
            }
            self.entries.put_bytes_varint(position);
            self.in_run = 1;
        } else {
            debug_assert!(self.last_position.as_slice() <= position);
            let shared = shared_prefix(&self.last_position, position);
            self.entries.put_u8(flags);
            self.entries.put_varint(shared as u64);
            self.entries.put_bytes_varint(position.get(shared..).unwrap_or_default());
            self.in_run += 1;
        }
        self.last_position.clear();
        self.last_position.extend_from_slice(position);
    }

    /// Writes the content into `out`, which is cleared first, and begins an empty block.
    pub(crate) fn finish(&mut self, continues: bool, out: &mut Vec<u8>) {
        out.clear();
        let wide = self.entries.len() > usize::from(u16::MAX);
        out.put_bytes(&self.entries);
        if self.foreign_tokens {
            out.put_bytes(&self.tokens);
        }
        for offset in self.starts.iter().chain(&self.runs) {
            match wide {
                true => out.put_u32_le(*offset),
                false => out.put_u16_le(*offset as u16),
            }
        }
        out.put_u32_le(self.starts.len() as u32);
        out.put_u32_le(self.runs.len() as u32);
        let flag = |set, flag| if set { flag } else { 0 };
        let derived = flag(!self.foreign_tokens, DERIVED);
        out.put_u8(flag(wide, WIDE) | flag(continues, CONTINUES) | derived);
        self.entries.clear();
        self.tokens.clear();
        self.starts.clear();
        self.runs.clear();
        self.in_run = 0;
        self.foreign_tokens = false;
        self.repeated = 0;
        self.rows = 0;
    }
}

/// About how many bytes a row will take in a block.
pub(crate) fn row_entry_bytes(position: &[u8], row: &[u8]) -> usize {
    2 + varint_len(row.len() as u64) + position.len() + row.len()
}
