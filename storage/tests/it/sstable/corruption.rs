//! Damaged files: whatever is wrong is found and named, and no wrong row is ever read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::disk::Disk;
use helenus_storage::model::{PartitionBound, PartitionHead, PositionRange, Unfiltered};
use helenus_storage::sstable::inspect::{InspectOptions, inspect};
use helenus_storage::sstable::{BlockCache, BlockingAccess, SsTable, verify};
use helenus_storage::{Error, ErrorKind, Place};

use super::support::{Generator, ModelPartition, key, memory_disk, numbered_rows, options, write};

/// A named part of the file.
struct Part {
    name: String,
    start: u64,
    end: u64,
}

/// The parts of an intact file, as `inspect` tells them.
fn parts(disk: &dyn Disk, path: &Path) -> Vec<Part> {
    let mut lines = Vec::new();
    inspect(disk, path, InspectOptions::default(), &mut |line| lines.push(line.to_owned()))
        .unwrap();
    let mut parts = Vec::new();
    for line in lines {
        let words: Vec<_> = line.trim().split([' ', ',']).collect();
        if let [name, length, "bytes", "at", offset, "", "checksum", ..] = words[..] {
            let start: u64 = offset.parse().unwrap();
            let end = start + length.parse::<u64>().unwrap();
            parts.push(Part { name: name.trim_end_matches(':').to_owned(), start, end });
        }
    }
    let length = disk.open(path).unwrap().len().unwrap();
    let (first, last) = (parts[0].start, parts[parts.len() - 1].end);
    parts.push(Part { name: "header".to_owned(), start: 0, end: first });
    parts.push(Part { name: "directory".to_owned(), start: last, end: length - 64 });
    parts.push(Part { name: "footer".to_owned(), start: length - 64, end: length });
    parts
}

fn flip(disk: &dyn Disk, path: &Path, bit: u64) {
    let file = disk.open_write(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(bit / 8, &mut byte).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(bit / 8, &byte).unwrap();
}

/// Everything in the table, or the first error.
fn scan(table: &Arc<SsTable>) -> Result<Vec<(PartitionHead, Vec<Unfiltered>)>, Error> {
    let access = BlockingAccess::new(None);
    let mut cursor = table.cursor();
    let mut all = Vec::new();
    let mut bound = PartitionBound::Min;
    while let Some(head) =
        cursor.next_partition(&access, &bound).map_err(|stop| stop.into_error(table))?
    {
        cursor.slice(&PositionRange::whole(), false);
        let mut items = Vec::new();
        while let Some(item) = cursor.next(&access).map_err(|stop| stop.into_error(table))? {
            items.push(item);
        }
        bound = PartitionBound::AfterKey(head.key.clone());
        all.push((head, items));
    }
    Ok(all)
}

fn assert_named(error: &Error, path: &Path, bit: u64, parts: &[Part]) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
    let byte = bit / 8;
    let part = parts.iter().find(|part| (part.start..part.end).contains(&byte)).unwrap();
    let text = error.to_string();
    assert!(text.contains(&format!("section {}", part.name)), "bit {bit}: {text}");
    let Place::File { path: named, offset: Some(offset) } = error.place() else {
        panic!("bit {bit}: no place in {text}");
    };
    assert_eq!(named, path);
    assert!((part.start..=byte).contains(offset), "bit {bit} of {}: {text}", part.name);
}

/// Flips each of these bits alone.
fn check_flips(disk: &dyn Disk, path: &Path, bits: impl Iterator<Item = u64>, read: bool) {
    let parts = parts(disk, path);
    let cache = BlockCache::new(0);
    let intact = scan(&SsTable::open(disk, path, &cache).unwrap()).unwrap();
    for bit in bits {
        flip(disk, path, bit);
        let Err(error) = verify(disk, path) else {
            panic!("bit {bit} was not noticed");
        };
        assert_named(&error, path, bit, &parts);
        if read && let Ok(table) = SsTable::open(disk, path, &cache) {
            match scan(&table) {
                Ok(found) => assert!(found == intact, "bit {bit}: a wrong row"),
                Err(error) => assert_named(&error, path, bit, &parts),
            }
        }
        flip(disk, path, bit);
    }
    verify(disk, path).unwrap();
}

fn small() -> (Arc<dyn Disk>, PathBuf) {
    let disk = memory_disk();
    let mut partitions = vec![numbered_rows(key(-3, b"wide"), 40, 10)];
    partitions.extend((0..6).map(|n| numbered_rows(key(n, b"narrow"), 1, 20)));
    let mut options = options();
    options.block_bytes = 300;
    let table = write(&disk, 1, options, &partitions, &BlockCache::new(0));
    (disk, table.path().to_owned())
}

#[test]
fn every_bit_of_a_small_file_is_guarded() {
    let (disk, path) = small();
    let length = disk.open(&path).unwrap().len().unwrap();
    assert!(length < 4096, "{length} bytes is too much for trying every bit");
    check_flips(&*disk, &path, 0..length * 8, true);
}

#[test]
fn a_thousand_random_bits_of_a_larger_file_are_guarded() {
    let disk = memory_disk();
    let generator = Generator::new(11);
    let partitions: Vec<ModelPartition> =
        (0..2000).map(|n| numbered_rows(key(n, b"key"), 1 + n as u32 % 5, 20)).collect();
    let table = write(&disk, 2, options(), &partitions, &BlockCache::new(0));
    let bits: Vec<u64> = (0..1000).map(|_| generator.below(table.file_bytes() * 8)).collect();
    check_flips(&*disk, table.path(), bits.into_iter(), false);
}

#[test]
fn a_file_that_is_cut_or_grown_is_refused() {
    let (disk, path) = small();
    let file = disk.open_write(&path).unwrap();
    let length = file.len().unwrap();
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    file.write_all_at(length, b"x").unwrap();
    assert_eq!(verify(&*disk, &path).unwrap_err().kind(), ErrorKind::Corrupt);
    for cut in (0..length).rev() {
        file.set_len(cut).unwrap();
        let error = verify(&*disk, &path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{cut} bytes: {error}");
    }
}

#[test]
fn a_block_in_the_place_of_another_is_noticed() {
    let disk = memory_disk();
    let partitions = [numbered_rows(key(1, b"k"), 1000, 10)];
    let mut options = options();
    options.compression = helenus_storage::Compression::None;
    options.block_bytes = 500;
    let table = write(&disk, 3, options, &partitions, &BlockCache::new(0));
    let mut blocks = Vec::new();
    let everything = InspectOptions { blocks: true, rows: false };
    inspect(&*disk, table.path(), everything, &mut |line| {
        let words: Vec<_> = line.trim().split([' ', ',']).collect();
        if let ["data", "block", _, stored, "bytes", "at", offset, ..] = words[..] {
            blocks.push((stored.parse::<usize>().unwrap(), offset.parse::<u64>().unwrap()));
        }
    })
    .unwrap();
    let file = disk.open_write(table.path()).unwrap();
    let read = |(length, offset): (usize, u64)| {
        let mut bytes = vec![0; length];
        file.read_exact_at(offset, &mut bytes).unwrap();
        bytes
    };
    let (a, b) = (blocks[3], blocks[4]);
    assert_eq!(a.0, b.0, "the test needs two blocks of one length");
    let (a_bytes, b_bytes) = (read(a), read(b));
    file.write_all_at(a.1, &b_bytes).unwrap();
    file.write_all_at(b.1, &a_bytes).unwrap();
    let error = verify(&*disk, table.path()).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
    let place = Place::File { path: table.path().to_owned(), offset: Some(a.1) };
    assert_eq!(*error.place(), place);
}
