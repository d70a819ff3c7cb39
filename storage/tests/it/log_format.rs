//! The worked example in `docs/format/commit-log.md`: what the code writes is what the text
//! shows, and what the text shows is what the code reads.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use helenus_platform::disk::{Disk as _, FaultyDisk};
use helenus_storage::log::{LogOptions, inspect};
use helenus_storage::model::TableId;

use crate::log_rig::{Rig, dir, disk, files, records};

const DOCUMENT: &str = include_str!("../../../docs/format/commit-log.md");

fn options() -> LogOptions {
    LogOptions { segment_bytes: 1024, ..LogOptions::default() }
}

/// Bytes of the example, up to behind the seal.
const EXAMPLE_BYTES: usize = 197;

/// The lines of the document's code block of this kind.
fn block(kind: &str) -> Vec<&'static str> {
    let opening = format!("```{kind}");
    let lines = DOCUMENT.lines().skip_while(|line| *line != opening).skip(1);
    lines.take_while(|line| *line != "```").collect()
}

/// The bytes of the document's hex dump: sixteen a line, behind the offset and before `|`.
fn example() -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in block("hex") {
        let (offset, rest) = line.split_once("  ").unwrap();
        assert_eq!(usize::from_str_radix(offset, 16).unwrap(), bytes.len(), "{line}");
        let digits = rest.split('|').next().unwrap().split_whitespace();
        bytes.extend(digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()));
    }
    bytes
}

fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(out, "{:04x}  {}", line * 16, hex.join(" "));
    }
    out
}

/// The log that the document tells of.
fn written() -> FaultyDisk {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &options()).unwrap();
    rig.log.append(&[b"hello"], &[TableId(3)], |_| ()).unwrap();
    rig.settle();
    rig.log.append(&[b"abc", b"de"], &[TableId(3), TableId(300)], |_| ()).unwrap();
    rig.log.close().unwrap();
    disk
}

#[test]
fn the_example_is_what_the_code_writes() {
    let disk = written();
    let file = disk.open(&files(&disk)[0]).unwrap();
    let mut bytes = vec![0; EXAMPLE_BYTES];
    file.read_exact_at(0, &mut bytes).unwrap();
    assert_eq!(example(), bytes, "the document should show:\n{}", dump(&bytes));
}

#[test]
fn the_example_reads_as_the_document_says() {
    let disk = disk(1);
    let path = dir().join("segment-0000000000000000.log");
    let file = disk.create(&path).unwrap();
    file.write_all_at(0, &example()).unwrap();
    file.set_len(1024).unwrap();
    let mut lines = Vec::new();
    inspect(&disk, &path, &mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(block("text"), lines, "the document should say:\n{}", lines.join("\n"));
    let (_, replay) = Rig::open(&disk, &options()).unwrap();
    let records = records(replay).unwrap();
    assert_eq!(&*records[0].mutations[0], b"hello");
    assert_eq!(records[1].tables, [TableId(3), TableId(300)]);
    assert_eq!(records.len(), 2);
}
