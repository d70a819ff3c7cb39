//! docs/format/sstable.md against the code: its hex dump is the file that the writer makes of its
//! example, and its listing is what `inspect` says about those bytes.

use std::path::Path;

use helenus_platform::disk::{Disk, MemoryDisk};
use helenus_storage::Compression;
use helenus_storage::model::{
    Cell, ColumnId, Deletion, Liveness, LogPosition, PartitionHead, RowBuilder, Slice, SsTableId,
    Unfiltered,
};
use helenus_storage::sstable::inspect::{InspectOptions, inspect};
use helenus_storage::sstable::{BlockCache, murmur3_token, verify};

use super::support::{ModelPartition, key, memory_disk, options, write};

const TEXT: &str = include_str!("../../../../docs/format/sstable.md");

/// The lines of the fenced block that follows this heading.
fn block(heading: &str) -> Vec<&'static str> {
    let mut lines = TEXT.lines().skip_while(|line| *line != heading);
    lines.by_ref().find(|line| line.starts_with("```")).unwrap();
    lines.take_while(|line| !line.starts_with("```")).collect()
}

/// The bytes of the dump; every line says where it stands.
fn dumped() -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in block("## A whole file, byte by byte") {
        let Some((offset, rest)) = line.split_once("  ") else {
            continue;
        };
        let Ok(offset) = usize::from_str_radix(offset, 16) else {
            continue;
        };
        assert_eq!(offset, bytes.len(), "{line}");
        let hex = rest.split(';').next().unwrap();
        bytes.extend(hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

fn example() -> Vec<ModelPartition> {
    let row = |timestamp, value: &[u8]| {
        let mut builder = RowBuilder::new();
        builder.liveness(Liveness::new(timestamp));
        builder.cell(Cell::live(ColumnId(2), timestamp, value));
        Slice::from(builder.finish().unwrap())
    };
    let at = |text: &[u8]| Slice::copy(text);
    let named = |name: &[u8]| key(murmur3_token(name).0, name);
    let gone = Deletion::new(900, 60);
    let head = |key, deletion, static_row| PartitionHead { key, deletion, static_row };
    let first = ModelPartition {
        head: head(named(b"bob"), Deletion::new(500, 30), None),
        items: vec![Unfiltered::Row { position: at(b"\x30a\x80"), row: row(1000, b"one") }],
    };
    let second = ModelPartition {
        head: head(named(b"ann"), Deletion::NONE, Some(row(1001, b"s"))),
        items: vec![
            Unfiltered::Marker { position: at(b"\x30a\x00"), before: Deletion::NONE, after: gone },
            Unfiltered::Row { position: at(b"\x30a\x80"), row: row(1002, b"two") },
            Unfiltered::Marker { position: at(b"\x30b\xFF"), before: gone, after: Deletion::NONE },
        ],
    };
    vec![first, second]
}

#[test]
fn the_dump_is_what_the_writer_makes_of_the_example() {
    let disk = memory_disk();
    let mut options = options();
    options.compression = Compression::None;
    options.origin = [0xaa; 16];
    options.log_intervals = vec![(LogPosition(0), LogPosition(4096))];
    let table = write(&disk, 0x11, options, &example(), &BlockCache::new(0));
    let mut written = vec![0; table.file_bytes() as usize];
    disk.open(table.path()).unwrap().read_exact_at(0, &mut written).unwrap();
    let text: Vec<_> = written.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(dumped() == written, "the writer makes {}", text.join(" "));
}

#[test]
fn the_dump_reads_as_the_listing_says() {
    let disk = MemoryDisk::new();
    let path = Path::new("/example").join(format!("{}.sst", SsTableId([0x11; 16])));
    disk.create_dir_all(Path::new("/example")).unwrap();
    disk.create(&path).unwrap().write_all_at(0, &dumped()).unwrap();
    verify(&disk, &path).unwrap();
    let mut lines = Vec::new();
    let everything = InspectOptions { blocks: true, rows: true };
    inspect(&disk, &path, everything, &mut |line| lines.push(line.to_owned())).unwrap();
    let listing = block("## What `helenus inspect` says about it");
    assert!(lines == listing, "inspect says\n{}", lines.join("\n"));
}
