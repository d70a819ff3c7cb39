//! The page: what a replica has of a read, as bytes.
//!
//! ```text
//! u8      version: 1
//! varint  table id
//! u8      flags: 01 REVERSED (others: 0)
//! then items, each beginning with its tag:
//!   01 PARTITION    i64 token, big-endian; varint length, bytes: the partition key
//!                   u8 flags: 01 PARTITION_DELETION  02 STATIC_ROW (others: 0)
//!                   if PARTITION_DELETION: zigzag timestamp, varint local deletion time
//!                   if STATIC_ROW: varint length, bytes: a row, see `model/row.rs`
//!   02 ROW          varint length, bytes: its position; varint length, bytes: the row
//!   03 RANGE        varint length, bytes: a position; zigzag timestamp, varint local deletion
//!                   time: from here on, in reading order, this range deletion is in force
//!   04 RANGE_END    varint length, bytes: a position: from here on none is
//!   05 PARTITION_END           all of the partition that the command names has been read
//!   06 PARTITION_STOPPED       varint length, bytes: a position: the partition has been read up
//!                              to here: forwards what lies before it, backwards it and what lies
//!                              behind it. A range deletion in force has its end here
//!   07 PARTITION_BEFORE_ROWS   nothing but deletion and static row has been read
//!   08 COMPLETE     all that the command names has been read; ends the page
//!   09 STOPPED      the page stops behind its last partition, at the end of that; ends the page
//! ```
//!
//! ROW, RANGE and RANGE_END stand between PARTITION and one of 05 to 07, in reading order. Rows
//! ascend strictly, or descend if REVERSED. At a position of both, the change of the range
//! deletion comes first if the page is not reversed, else the row. At the end of a slice of the
//! command no range deletion is in force.
//!
//! A page is *canonical*: equal content gives equal bytes.
//! - Rows are as `model::canonical_row` leaves them, under all deletions above them.
//! - A range deletion that the partition's deletion hides is absent, and so is the change from
//!   one range deletion to an equal one, except where a slice ends and another begins.
//! - No deletion's local deletion time is before `now - gc_grace_seconds`, unless the command
//!   says to keep those.
//! - A partition of which nothing is left is absent.

use twox_hash::XxHash3_128;

/// The format version that is written.
pub const PAGE_VERSION: u8 = 1;

/// The largest page that is taken: far above any limit that a command names, and what one row may
/// add to it.
pub const PAGE_BYTES_MAX: usize = 1 << 30;

pub(super) const REVERSED: u8 = 0x01;

pub(super) const PARTITION: u8 = 1;
pub(super) const ROW: u8 = 2;
pub(super) const RANGE: u8 = 3;
pub(super) const RANGE_END: u8 = 4;
pub(super) const PARTITION_END: u8 = 5;
pub(super) const PARTITION_STOPPED: u8 = 6;
pub(super) const PARTITION_BEFORE_ROWS: u8 = 7;
pub(super) const COMPLETE: u8 = 8;
pub(super) const STOPPED: u8 = 9;

pub(super) const PARTITION_DELETION: u8 = 0x01;
pub(super) const STATIC_ROW: u8 = 0x02;

/// What stands for a page where only equality matters: XXH3-128 of its bytes. Pages of one
/// command from replicas with equal content are equal, limits included, since where a page ends
/// follows from what is in it.
pub fn digest(page: &[u8]) -> u128 {
    XxHash3_128::oneshot(page)
}
