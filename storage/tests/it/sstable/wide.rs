//! Wide partitions: the last slice costs what the first costs, and memory does not grow.
//!
//! 200,000 rows by default; `HELENUS_WIDE_ROWS=1000000` for the full proof.

use std::sync::Arc;

use helenus_storage::model::{PartitionHead, PositionRange, Slice, Unfiltered};
use helenus_storage::sstable::{BlockCache, SsTable};

use super::support::{FlakyAccess, key, memory_disk, numbered, numbered_rows, options, write};

const SLICE_ROWS: u32 = 100;

fn rows() -> u32 {
    std::env::var("HELENUS_WIDE_ROWS").map_or(200_000, |rows| rows.parse().unwrap())
}

fn slice_of(first: u32) -> PositionRange {
    let start = numbered(first);
    let end = numbered(first + SLICE_ROWS);
    // Bounds as clients make them: before a prefix.
    let before = |row: &Slice| {
        let mut bytes = row.to_vec();
        bytes.pop();
        bytes.push(0x00);
        Slice::from(bytes)
    };
    PositionRange::new(before(&start), before(&end))
}

/// Reads all slices in this direction, each with a new cursor; the most blocks one has asked for.
fn blocks_per_slice(table: &Arc<SsTable>, head: &PartitionHead, reversed: bool) -> (u64, u64) {
    let mut counts = Vec::new();
    let slices = rows() / SLICE_ROWS;
    for number in 0..slices {
        let first = SLICE_ROWS * if reversed { slices - 1 - number } else { number };
        let access = FlakyAccess::new(table, 0, 1);
        let mut cursor = table.cursor();
        let found = access.retry(|access| cursor.seek_partition(access, &head.key));
        assert_eq!(found.as_ref(), Some(head));
        cursor.slice(&slice_of(first), reversed);
        for row in 0..SLICE_ROWS {
            let expected = first + if reversed { SLICE_ROWS - 1 - row } else { row };
            match access.retry(|access| cursor.next(access)) {
                Some(Unfiltered::Row { position, .. }) => assert_eq!(position, numbered(expected)),
                other => panic!("{other:?} in the place of row {expected}"),
            }
        }
        assert_eq!(access.retry(|access| cursor.next(access)), None);
        counts.push(access.asked.get());
    }
    (counts.iter().copied().min().unwrap(), counts.iter().copied().max().unwrap())
}

#[test]
fn the_last_slice_costs_what_the_first_costs() {
    let disk = memory_disk();
    let partition = numbered_rows(key(5, b"wide"), rows(), 50);
    let others = [numbered_rows(key(4, b"a"), 3, 50), numbered_rows(key(6, b"z"), 3, 50)];
    let [before, after] = others;
    let head = partition.head.clone();
    let table = write(&disk, 1, options(), &[before, partition, after], &BlockCache::new(0));
    for reversed in [false, true] {
        // Index block and head; index block and data of the slice; the slice's next block.
        let (least, most) = blocks_per_slice(&table, &head, reversed);
        assert!(least >= 2 && most <= 6, "{least} to {most} blocks for a slice");
    }
    let data_blocks = table.stats().content_bytes / (16 << 10);
    assert!(data_blocks > 500, "{data_blocks} blocks are not many");
    let heap = table.heap_bytes() as u64;
    assert!(heap < 2000 + data_blocks * 2, "{heap} bytes in memory for {data_blocks} blocks");
}

#[test]
fn a_wide_partition_is_read_whole_in_both_directions() {
    let disk = memory_disk();
    let partition = numbered_rows(key(5, b"wide"), 100_000, 20);
    let head = partition.head.clone();
    let table = write(&disk, 1, options(), &[partition], &BlockCache::new(0));
    for reversed in [false, true] {
        let access = FlakyAccess::new(&table, 50, 9);
        let mut cursor = table.cursor();
        assert_eq!(access.retry(|a| cursor.seek_partition(a, &head.key)).as_ref(), Some(&head));
        cursor.slice(&PositionRange::whole(), reversed);
        let mut count = 0;
        while let Some(item) = access.retry(|access| cursor.next(access)) {
            let number = if reversed { 99_999 - count } else { count };
            assert_eq!(*item.position(), numbered(number));
            count += 1;
        }
        assert_eq!(count, 100_000);
    }
}
