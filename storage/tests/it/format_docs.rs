//! The worked examples in docs/format are true: each dump decodes to what the text says.
//!
//! A dump stands in a block fenced as `hex`. Each line is bytes, then a field with its type and
//! value, then perhaps a remark, separated by `|`. Every line is decoded by itself, and all of
//! them together by the engine.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use helenus_platform::codec::Reader;
use helenus_storage::model::{
    Cell, ColumnId, ColumnSet, Deletion, Entry, KeyspaceId, Liveness, MutationRef, PartitionBound,
    PartitionHead, PartitionKeyRef, RowBuilder, RowRef, Slice, TableId, Token,
};
use helenus_storage::replica::{PageEnd, PageItem, PageReader, Place, Reach, ReplicaCommand};
use helenus_storage::{Partitions, ReadCommand};

const ROW: &str = include_str!("../../../docs/format/row.md");
const MUTATION: &str = include_str!("../../../docs/format/mutation.md");

const PAGE: &str = include_str!("../../../docs/format/replica-page.md");

const READ: &str = include_str!("../../../docs/format/replica-read.md");

const T: i64 = 1_700_000_000_000_000;
const NOW: i64 = 1_700_000_000;

/// The bytes of the dump in a document, each line checked against its own field.
fn dump(document: &str) -> Vec<u8> {
    let (_, rest) = document.split_once("```hex\n").expect("a dump begins");
    let (dump, _) = rest.split_once("```").expect("a dump ends");
    let mut all = Vec::new();
    for line in dump.lines() {
        let mut parts = line.split('|');
        let (hex, field) = (parts.next().unwrap(), parts.next().expect(line));
        let bytes: Vec<u8> =
            hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect(line)).collect();
        let (ty, rest) = field.trim().split_once(' ').expect(line);
        let (_, value) = rest.split_once(" = ").expect(line);
        check(ty, value, &bytes, line);
        all.extend_from_slice(&bytes);
    }
    all
}

fn check(ty: &str, value: &str, bytes: &[u8], line: &str) {
    let mut reader = Reader::new(bytes);
    let decoded = match ty {
        "u8" => i64::from(reader.u8().unwrap()),
        "i64_le" => reader.i64_le().unwrap(),
        "i64_be" => reader.i64_be().unwrap(),
        "varint" => i64::try_from(reader.varint().unwrap()).unwrap(),
        "zigzag" => reader.zigzag().unwrap(),
        "bytes" => {
            let text = bytes.escape_ascii().to_string().replace("\\x00", "\\0");
            assert_eq!(value, format!("\"{text}\""), "{line}");
            return;
        }
        other => panic!("unknown type {other}: {line}"),
    };
    assert!(reader.is_empty(), "bytes are left over: {line}");
    let expected = match value.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => value.parse(),
    };
    assert_eq!(decoded, expected.expect(line), "{line}");
}

#[test]
fn the_row_is_what_its_document_says() {
    let bytes = dump(ROW);
    let row = RowRef::parse(&bytes).unwrap();
    row.validate().unwrap();
    assert_eq!(row.liveness(), Some(Liveness::new(T)));
    assert!(row.deletion().is_none());
    assert_eq!(row.spelling(), Some(&b"1.00"[..]));
    let entries: Vec<_> = row.entries().map(Result::unwrap).collect();
    let eye = Cell::expiring(ColumnId(7), T, 60, NOW + 60, b"blue").with_path(b"0eye\0");
    assert_eq!(
        entries,
        [
            Entry::Cell(Cell::live(ColumnId(4), T, b"Ada")),
            Entry::Cell(Cell::tombstone(ColumnId(5), T + 2, NOW)),
            Entry::ColumnDeletion(ColumnId(7), Deletion::new(T - 1, NOW)),
            Entry::Cell(eye),
        ]
    );
}

#[test]
fn the_mutation_is_what_its_document_says() {
    let bytes = dump(MUTATION);
    let mutation = MutationRef::parse(&bytes).unwrap();
    mutation.validate().unwrap();
    assert_eq!(mutation.keyspace(), KeyspaceId(3));
    let key = PartitionKeyRef { token: Token(-4_069_959_284_402_364_209), key: b"k1" };
    assert_eq!(mutation.key(), key);
    let updates: Vec<_> = mutation.tables().map(Result::unwrap).collect();
    assert_eq!(updates.len(), 1);
    let update = &updates[0];
    assert_eq!(update.table(), TableId(12));
    assert_eq!(update.partition_deletion(), Deletion::new(T - 1, NOW));
    let mut static_row = RowBuilder::new();
    static_row.cell(Cell::live(ColumnId(9), T, b"s"));
    assert_eq!(update.static_row(), Some(&static_row.finish().unwrap()[..]));
    let mut row = RowBuilder::new();
    row.liveness(Liveness::new(T)).cell(Cell::live(ColumnId(4), T, b"Ada"));
    let rows: Vec<_> = update.rows().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].0, b"\x30\x80\x00\x00\x07\x80");
    assert_eq!(rows[0].1.bytes(), row.finish().unwrap());
    let ranges: Vec<_> = update.range_tombstones().map(Result::unwrap).collect();
    let deletion = Deletion::new(T, NOW);
    assert_eq!(
        ranges,
        [(&b"\x30\x80\x00\x00\x09\x00"[..], &b"\x30\x80\x00\x00\x09\xff"[..], deletion)]
    );
}

#[test]
fn the_page_is_what_its_document_says() {
    let all = Partitions::Range { start: PartitionBound::Min, end: PartitionBound::Max };
    let command = ReadCommand::new(TableId(12), all, NOW);
    let mut reader = PageReader::new(dump(PAGE), &command, None).unwrap();
    let mut static_row = RowBuilder::new();
    static_row.cell(Cell::live(ColumnId(9), T, b"s"));
    let mut row = RowBuilder::new();
    row.liveness(Liveness::new(T)).cell(Cell::live(ColumnId(4), T, b"Ada"));
    let head = PartitionHead {
        key: PartitionKeyRef { token: Token(-4_069_959_284_402_364_209), key: b"k1" }.to_key(),
        deletion: Deletion::new(T - 1, NOW),
        static_row: Some(Slice::from(static_row.finish().unwrap())),
    };
    let at = |position: &[u8]| Slice::copy(position);
    let expected = [
        PageItem::Partition(head),
        PageItem::Marker { position: at(b"\x30\x80\0\0\x05\0"), open: Deletion::new(T, NOW) },
        PageItem::Marker { position: at(b"\x30\x80\0\0\x05\xff"), open: Deletion::NONE },
        PageItem::Row {
            position: at(b"\x30\x80\0\0\x07\x80"),
            row: Slice::from(row.finish().unwrap()),
        },
        PageItem::PartitionEnd(Reach::Whole),
        PageItem::End(PageEnd::Complete),
    ];
    for item in expected {
        assert_eq!(reader.next(&command).unwrap(), item);
    }
}

#[test]
fn the_command_is_what_its_document_says() {
    let command = ReplicaCommand::decode(&dump(READ)).unwrap();
    let token = Token(-4_069_959_284_402_364_209);
    let key = PartitionKeyRef { token, key: b"k1" }.to_key();
    let mut read = ReadCommand::new(TableId(12), Partitions::One(key.clone()), NOW);
    read.columns = ColumnSet::of([ColumnId(4), ColumnId(9)]);
    read.tombstones_max = 100_000;
    let reach = Reach::Upto(Slice::copy(b"\x30\x80\0\0\x07\x80\0"));
    let from = Some(Place { key, reach, rows: 1 });
    let expected =
        ReplicaCommand { from, rows_max: 101, bytes_max: 1 << 20, ..ReplicaCommand::new(read) };
    assert_eq!(format!("{command:?}"), format!("{expected:?}"));
    let mut bytes = Vec::new();
    expected.encode(&mut bytes);
    assert_eq!(bytes, dump(READ));
}

#[test]
fn the_numbers_in_the_text_are_the_code_s() {
    let maximum = helenus_storage::model::mutation::MAX_MUTATION_BYTES;
    assert!(MUTATION.contains(&format!("({maximum} bytes)")));
    assert!(PAGE.contains(&format!("({} bytes)", helenus_storage::replica::PAGE_BYTES_MAX)));
    assert!(MUTATION.contains(&format!("at most {}", helenus_storage::model::MAX_KEY_BYTES)));
}
