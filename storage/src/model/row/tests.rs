//! What the row format promises: it comes back as written, canonical, and never panics on damage.

use super::*;
use crate::model::counter::{CounterId, Shard};

const NOW: i64 = 1_700_000_000;
const T: i64 = NOW * 1_000_000;

fn column(id: u32) -> ColumnId {
    ColumnId(id)
}

/// A row with every kind of entry.
fn everything() -> Vec<u8> {
    let mut shards = Vec::new();
    let id = CounterId { host: [7; 16], generation: 1 };
    Shard::after(None, id, -5, T + 3).encode(&mut shards);
    let mut row = RowBuilder::new();
    row.liveness(Liveness::expiring(T, 60, NOW + 60)).deletion(Deletion::new(T - 9, NOW));
    row.spelling(b"1.00");
    row.cell(Cell::live(column(1), T, b"value")).cell(Cell::live(column(2), T - 8, b""));
    row.column_deletion(column(3), Deletion::new(T - 1, NOW));
    row.cell(Cell::expiring(column(3), T, 5, NOW + 5, b"x").with_path(b"a"));
    row.cell(Cell::tombstone(column(3), T, NOW).with_path(b"b").with_path_spelling(b"B"));
    row.cell(Cell {
        kind: CellKind::Expired { ttl: 1, expiry: 2 },
        ..Cell::live(column(4), T, b"")
    });
    row.cell(Cell::counter(column(300), T + 3, &shards));
    row.cell(Cell::counter_tombstone(column(70_000), T, NOW));
    row.finish().unwrap()
}

#[test]
fn a_row_comes_back_as_written() {
    let bytes = everything();
    let row = RowRef::parse(&bytes).unwrap();
    row.validate().unwrap();
    assert_eq!(row.liveness(), Some(Liveness { timestamp: T, ttl: 60, expiry: NOW + 60 }));
    assert_eq!(row.deletion(), Deletion::new(T - 9, NOW));
    assert_eq!(row.spelling(), Some(&b"1.00"[..]));
    let entries: Vec<_> = row.entries().map(Result::unwrap).collect();
    assert_eq!(entries.len(), 8);
    assert_eq!(entries[0], Entry::Cell(Cell::live(column(1), T, b"value")));
    assert_eq!(entries[1], Entry::Cell(Cell::live(column(2), T - 8, b"")));
    assert_eq!(entries[2], Entry::ColumnDeletion(column(3), Deletion::new(T - 1, NOW)));
    let expiring = Cell::expiring(column(3), T, 5, NOW + 5, b"x").with_path(b"a");
    assert_eq!(entries[3], Entry::Cell(expiring));
    let spelt = Cell::tombstone(column(3), T, NOW).with_path(b"b").with_path_spelling(b"B");
    assert_eq!(entries[4], Entry::Cell(spelt));
    assert_eq!(entries[7], Entry::Cell(Cell::counter_tombstone(column(70_000), T, NOW)));
}

#[test]
fn timestamps_at_both_ends_come_back() {
    let mut row = RowBuilder::new();
    row.liveness(Liveness::new(i64::MAX));
    row.cell(Cell::live(column(u32::MAX), i64::MIN, b"v"));
    let bytes = row.finish().unwrap();
    let row = RowRef::parse(&bytes).unwrap();
    row.validate().unwrap();
    assert_eq!(row.entries().next().unwrap().unwrap().timestamp(), i64::MIN);
}

#[test]
fn parts_in_any_order_give_the_same_bytes() {
    let mut tidy = RowBuilder::new();
    tidy.liveness(Liveness::new(T)).deletion(Deletion::new(T - 2, NOW)).spelling(b"s");
    tidy.column_deletion(column(1), Deletion::new(T - 1, NOW));
    tidy.cell(Cell::live(column(1), T, b"1").with_path(b"a"));
    tidy.cell(Cell::live(column(1), T, b"2").with_path(b"b"));
    tidy.cell(Cell::live(column(2), T, b"3"));
    let mut untidy = RowBuilder::new();
    untidy.cell(Cell::live(column(2), T, b"2")).cell(Cell::live(column(2), T, b"3"));
    untidy.cell(Cell::live(column(1), T, b"2").with_path(b"b"));
    untidy.cell(Cell::live(column(1), T - 1, b"hidden").with_path(b"c"));
    untidy.cell(Cell::live(column(1), T, b"1").with_path(b"a"));
    untidy.column_deletion(column(1), Deletion::new(T - 1, NOW));
    untidy.cell(Cell::live(column(3), T - 2, b"hidden"));
    untidy.spelling(b"s").deletion(Deletion::new(T - 2, NOW)).deletion(Deletion::new(T - 3, NOW));
    untidy.liveness(Liveness::new(T)).liveness(Liveness::new(T - 1));
    assert_eq!(tidy.finish().unwrap(), untidy.finish().unwrap());
}

#[test]
fn what_the_rows_own_deletion_hides_is_not_written() {
    let mut row = RowBuilder::new();
    row.liveness(Liveness::new(T)).deletion(Deletion::new(T, NOW));
    row.cell(Cell::live(column(1), T, b"v"));
    let bytes = row.finish().unwrap();
    let row = RowRef::parse(&bytes).unwrap();
    row.validate().unwrap();
    assert_eq!((row.liveness(), row.entries().count()), (None, 0));
}

#[test]
fn a_collection_overwrite_needs_no_timestamps_of_its_own() {
    let mut row = RowBuilder::new();
    row.column_deletion(column(1), Deletion::new(T - 1, NOW));
    row.cell(Cell::live(column(1), T, b"v").with_path(b"p"));
    // head 9, deletion 2 + 1 + 5, cell 2 + 2 + 2
    assert_eq!(row.finish().unwrap().len(), 23);
}

#[test]
fn an_empty_row_is_a_row() {
    let bytes = RowBuilder::new().finish().unwrap();
    let row = RowRef::parse(&bytes).unwrap();
    row.validate().unwrap();
    assert!(row.is_empty());
}

#[test]
fn damage_gives_errors_and_validate_accepts_only_canonical_bytes() {
    let bytes = everything();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let Ok(row) = RowRef::parse(&damaged) else { continue };
            let decoded: Result<Vec<_>> = row.entries().collect();
            if row.validate().is_ok() {
                assert!(decoded.is_ok());
                let mut builder = RowBuilder::new();
                row.liveness().map(|liveness| builder.liveness(liveness));
                builder.deletion(row.deletion());
                row.spelling().map(|spelling| builder.spelling(spelling));
                for entry in decoded.unwrap() {
                    match entry {
                        Entry::Cell(cell) => builder.cell(cell),
                        Entry::ColumnDeletion(id, deletion) => {
                            builder.column_deletion(id, deletion)
                        }
                    };
                }
                assert_eq!(builder.finish().unwrap(), damaged);
            }
        }
    }
}

#[test]
fn a_row_cut_short_is_an_error_or_a_shorter_row() {
    let bytes = everything();
    for length in 0..bytes.len() {
        if let Ok(row) = RowRef::parse(&bytes[..length]) {
            let entries: Vec<_> = row.entries().collect();
            assert!(entries.len() <= 8);
            assert!(entries.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}

#[test]
fn a_longer_spelling_of_the_same_row_is_refused() {
    let mut row = RowBuilder::new();
    row.cell(Cell::live(column(1), T, b"v"));
    let bytes = row.finish().unwrap();
    let head = &bytes[..9];
    let spellings: [&[u8]; 3] = [&[1, 1, 1, b'v'], &[1, 0, 0, 1, b'v'], &[0x81, 0x00, 1, 1, b'v']];
    for (index, entry) in spellings.into_iter().enumerate() {
        let bytes = [head, entry].concat();
        let row = RowRef::parse(&bytes).unwrap();
        assert_eq!(row.entries().count(), 1);
        assert_eq!(
            row.entries().next().unwrap().unwrap(),
            Entry::Cell(Cell::live(column(1), T, b"v"))
        );
        assert_eq!(row.validate().is_ok(), index == 0);
    }
}
