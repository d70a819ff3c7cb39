//! What the mutation format promises.

use super::*;
use crate::model::{Cell, ColumnId, Liveness, RowBuilder, position};

const NOW: i64 = 1_700_000_000;
const T: i64 = NOW * 1_000_000;

fn row(value: &[u8]) -> Vec<u8> {
    let mut row = RowBuilder::new();
    row.liveness(Liveness::new(T)).cell(Cell::live(ColumnId(1), T, value));
    row.finish().unwrap()
}

fn sample() -> Vec<u8> {
    let key = PartitionKeyRef { token: Token(-7), key: b"key" };
    let mut mutation = MutationBuilder::new(KeyspaceId(3), key);
    let update = mutation.table(TableId(5));
    update.partition_deletion(Deletion::new(T - 1, NOW));
    update.static_row(&row(b"s")).unwrap();
    update.row(&position::row(b"\x30b"), &row(b"2")).row(&position::row(b"\x30a"), &row(b"1"));
    update.range_tombstone(&PositionRange::of_prefix(b"\x30c"), Deletion::new(T, NOW));
    mutation.table(TableId(900)).row(&[position::ROW], &row(b"3"));
    mutation.table(TableId(5)).static_row(&row(b"t")).unwrap();
    mutation.finish().unwrap()
}

#[test]
fn a_mutation_comes_back_as_written() {
    let bytes = sample();
    let mutation = MutationRef::parse(&bytes).unwrap();
    mutation.validate().unwrap();
    assert_eq!(mutation.keyspace(), KeyspaceId(3));
    assert_eq!(mutation.key(), PartitionKeyRef { token: Token(-7), key: b"key" });
    let tables: Vec<_> = mutation.tables().map(Result::unwrap).collect();
    assert_eq!(
        tables.iter().map(TableUpdateRef::table).collect::<Vec<_>>(),
        [TableId(5), TableId(900)]
    );
    assert_eq!(tables[0].partition_deletion(), Deletion::new(T - 1, NOW));
    assert_eq!(tables[0].static_row(), Some(&row(b"t")[..]));
    let rows: Vec<_> = tables[0].rows().map(Result::unwrap).collect();
    assert_eq!(rows[0].0, b"\x30b\x80");
    assert_eq!(rows[1].1.bytes(), row(b"1"));
    let ranges: Vec<_> = tables[0].range_tombstones().map(Result::unwrap).collect();
    assert_eq!(ranges, [(&b"\x30c\x00"[..], &b"\x30c\xff"[..], Deletion::new(T, NOW))]);
    assert!(tables[1].partition_deletion().is_none() && tables[1].static_row().is_none());
    assert_eq!((tables[1].rows().count(), tables[1].range_tombstones().count()), (1, 0));
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut bytes = sample();
    bytes[0] = 2;
    let error = MutationRef::parse(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Newer);
    assert!(error.to_string().contains("format version 2"), "{error}");
}

#[test]
fn a_mutation_over_the_maximum_is_refused() {
    let key = PartitionKeyRef { token: Token(0), key: b"k" };
    let mut mutation = MutationBuilder::new(KeyspaceId(1), key);
    mutation.table(TableId(1)).row(&[position::ROW], &row(&vec![0; MAX_MUTATION_BYTES]));
    let error = mutation.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("maximum of 16777216"), "{error}");
}

#[test]
fn an_empty_range_is_not_written() {
    let key = PartitionKeyRef { token: Token(0), key: b"k" };
    let mut mutation = MutationBuilder::new(KeyspaceId(1), key);
    let range = PositionRange::new(position::row(b"b"), position::row(b"a"));
    mutation.table(TableId(1)).range_tombstone(&range, Deletion::new(T, NOW));
    let bytes = mutation.finish().unwrap();
    let mutation = MutationRef::parse(&bytes).unwrap();
    mutation.validate().unwrap();
    assert_eq!(mutation.tables().next().unwrap().unwrap().range_tombstones().count(), 0);
}

#[test]
fn damage_gives_errors_and_never_a_panic() {
    let bytes = sample();
    let walk = |bytes: &[u8]| -> Result<()> {
        let mutation = MutationRef::parse(bytes)?;
        for update in mutation.tables() {
            let update = update?;
            update.rows().try_for_each(|row| row?.1.entries().try_for_each(|e| e.map(drop)))?;
            update.range_tombstones().try_for_each(|range| range.map(drop))?;
        }
        mutation.validate()
    };
    walk(&bytes).unwrap();
    for at in 0..bytes.len() {
        // Every cut is noticed, except between two updates.
        let cut = walk(&bytes[..at]);
        assert!(cut.is_err() || MutationRef::parse(&bytes[..at]).unwrap().tables().count() < 2);
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let _ = walk(&damaged);
        }
    }
}
