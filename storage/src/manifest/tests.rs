//! The manifest on a disk in memory: founding, edits, damage, strangers.

use std::path::Path;
use std::sync::Arc;

use helenus_platform::disk::{Disk, MemoryDisk};
use helenus_platform::random::SeededRandom;

use super::*;
use crate::model::{KeyspaceId, LogPosition, TableId};

const DIR: &str = "/data/storage";

fn open(disk: &MemoryDisk) -> Result<Manifest> {
    Manifest::open(Arc::new(disk.clone()), Path::new(DIR), Arc::new(SeededRandom::new(7)))
}

fn create(table: u32) -> Edit {
    let position = LogPosition(u64::from(table));
    Edit::CreateTable { table: TableId(table), keyspace: KeyspaceId(1), position }
}

fn file_names(disk: &MemoryDisk) -> Vec<String> {
    let entries = disk.list(Path::new(DIR)).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

/// A disk with the same small files.
fn copy(disk: &MemoryDisk) -> MemoryDisk {
    let copy = MemoryDisk::new();
    copy.create_dir_all(Path::new(DIR)).unwrap();
    for name in file_names(disk) {
        let path = Path::new(DIR).join(name);
        let file = disk.open(&path).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        copy.create(&path).unwrap().write_all_at(0, &bytes).unwrap();
    }
    copy
}

#[test]
fn edits_survive_reopening_and_old_files_go() {
    let disk = MemoryDisk::new();
    for table in 1..=5 {
        let manifest = open(&disk).unwrap();
        assert_eq!(manifest.state().tables.len() as u32, table - 1);
        manifest.commit(&[create(table)]).unwrap();
    }
    assert_eq!(file_names(&disk), ["CURRENT", "FORMAT", "LOCK", "manifest-0000000005"]);
}

#[test]
fn ids_are_never_given_twice() {
    let disk = MemoryDisk::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let manifest = open(&disk).unwrap();
        for _ in 0..IDS_RESERVED_AT_ONCE + 3 {
            let id = manifest.next_id().unwrap();
            assert!(manifest.state().is_own_id(&id));
            assert!(seen.insert(id));
        }
    }
    let manifest = open(&disk).unwrap();
    assert!(!manifest.state().is_own_id(&SsTableId([0xff; 16])));
}

#[test]
fn a_long_manifest_rolls_over() {
    let disk = MemoryDisk::new();
    let manifest = open(&disk).unwrap();
    manifest.commit(&[create(1)]).unwrap();
    let table = TableId(1);
    for n in 0..70_000u64 {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&n.to_be_bytes());
        let id = SsTableId(id);
        let add = Edit::AddSsTable { table, id, file_bytes: n };
        manifest.commit(&[add, Edit::RemoveSsTable { table, id }]).unwrap();
    }
    assert!(!file_names(&disk).contains(&"manifest-0000000001".to_owned()));
    drop(manifest);
    assert_eq!(open(&disk).unwrap().state().tables.len(), 1);
}

#[test]
fn a_contradictory_commit_changes_nothing() {
    let disk = MemoryDisk::new();
    let manifest = open(&disk).unwrap();
    assert!(manifest.commit(&[create(1), create(1)]).is_err());
    assert!(manifest.state().tables.is_empty());
    manifest.commit(&[create(1)]).unwrap();
}

#[test]
fn a_strange_directory_is_refused() {
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk.create(&Path::new(DIR).join("photo.jpg")).unwrap();
    let error = open(&disk).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("photo.jpg"), "{error}");
}

#[test]
fn a_newer_format_and_a_second_opener_are_refused_by_name() {
    let disk = MemoryDisk::new();
    let manifest = open(&disk).unwrap();
    assert_eq!(open(&disk).err().unwrap().kind(), ErrorKind::Locked);
    drop(manifest);
    let path = Path::new(DIR).join("FORMAT");
    disk.remove(&path).unwrap();
    disk.create(&path).unwrap().write_all_at(0, b"helenus-storage 9\n").unwrap();
    let error = open(&disk).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Newer);
    assert!(error.to_string().contains("version 9"), "{error}");
}

#[test]
fn a_torn_tail_is_dropped_and_a_vouched_frame_is_not() {
    let disk = MemoryDisk::new();
    let manifest = open(&disk).unwrap();
    manifest.commit(&[create(1)]).unwrap();
    manifest.commit(&[create(2)]).unwrap();
    drop(manifest);
    let path = Path::new(DIR).join("manifest-0000000001");
    let file = disk.open_write(&path).unwrap();
    let len = file.len().unwrap();
    // The last confirmation is 17 bytes; cutting into it loses nothing.
    file.set_len(len - 5).unwrap();
    drop(file);
    assert_eq!(open(&disk).unwrap().state().tables.len(), 2);
}

#[test]
fn a_manifest_that_has_lost_its_end_is_refused_by_name() {
    let disk = MemoryDisk::new();
    let manifest = open(&disk).unwrap();
    (1..=3).for_each(|table| manifest.commit(&[create(table)]).unwrap());
    drop(manifest);
    let path = Path::new(DIR).join("manifest-0000000001");
    // What comes behind the last edits only vouches for them.
    let len = disk.open(&path).unwrap().len().unwrap() - 17;
    for cut in 0..len {
        let copy = copy(&disk);
        copy.open_write(&path).unwrap().set_len(cut).unwrap();
        let error = open(&copy).err().unwrap_or_else(|| panic!("{cut} of {len} bytes do"));
        assert!(error.to_string().contains("manifest-0000000001"), "{cut}: {error}");
    }
    disk.open_write(&path).unwrap().set_len(len).unwrap();
    assert_eq!(open(&disk).unwrap().state().tables.len(), 3);
}

#[test]
fn every_flipped_bit_is_named_or_harmless() {
    let disk = MemoryDisk::new();
    let manifest = open(&disk).unwrap();
    (1..=4).for_each(|table| manifest.commit(&[create(table)]).unwrap());
    let state = manifest.state();
    drop(manifest);
    let mut refused = 0;
    for name in ["CURRENT", "FORMAT", "manifest-0000000001"] {
        let path = Path::new(DIR).join(name);
        let len = disk.open(&path).unwrap().len().unwrap();
        for bit in 0..len * 8 {
            let copy = copy(&disk);
            let file = copy.open_write(&path).unwrap();
            let mut byte = [0];
            file.read_exact_at(bit / 8, &mut byte).unwrap();
            file.write_all_at(bit / 8, &[byte[0] ^ 1 << (bit % 8)]).unwrap();
            match open(&copy) {
                Ok(manifest) => assert_eq!(manifest.state(), state, "{name} bit {bit}"),
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains(DIR), "{error}");
                }
            }
        }
    }
    assert!(refused > 1000, "only {refused} flips were noticed");
}

const DOCUMENT: &str = include_str!("../../../docs/format/manifest.md");

/// The lines of the document's code block of this kind.
fn block(kind: &str) -> Vec<&'static str> {
    let opening = format!("```{kind}");
    let lines = DOCUMENT.lines().skip_while(|line| *line != opening).skip(1);
    lines.take_while(|line| *line != "```").collect()
}

#[test]
fn the_document_shows_what_is_written_and_read() {
    let disk = MemoryDisk::new();
    let directory = Directory::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    let mut state = State { instance: *b"INSTANCE", ..State::default() };
    state.apply(&create(3)).unwrap();
    let mut file = ManifestFile::begin(&directory, 7, 0x0102_0304, &state).unwrap();
    let table = TableId(3);
    let added = Edit::AddSsTable { table, id: SsTableId([0xAB; 16]), file_bytes: 300 };
    let covered = Edit::Covered { table, start: LogPosition(0), end: LogPosition(300) };
    file.append(&directory, &[added, covered]).unwrap();
    let mut bytes = vec![0; disk.open(&file.path).unwrap().len().unwrap() as usize];
    disk.open(&file.path).unwrap().read_exact_at(0, &mut bytes).unwrap();
    let dump: Vec<String> = bytes
        .chunks(16)
        .enumerate()
        .map(|(row, chunk)| {
            let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{:04x}  {}", row * 16, hex.join(" "))
        })
        .collect();
    let shown: Vec<&str> =
        block("hex").iter().map(|line| line.split('|').next().unwrap_or("").trim_end()).collect();
    assert_eq!(shown, dump);
    let mut text = Vec::new();
    inspect(&disk, &file.path, &mut |line| text.push(line.to_owned())).unwrap();
    assert_eq!(block("text"), text);
    let current = directory::read_small(&disk, &Path::new(DIR).join("CURRENT")).unwrap();
    assert_eq!(block("current").join("\n") + "\n", String::from_utf8(current).unwrap());
}
