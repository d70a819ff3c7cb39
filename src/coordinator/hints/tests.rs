//! The store on a disk with faults: power cuts, damage, bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use helenus_platform::disk::{CutOptions, Disk, FaultyDisk};
use helenus_platform::random::{Random, SeededRandom};

use super::*;

const A: HostId = HostId([0xa1; 16]);
const B: HostId = HostId([0xb2; 16]);
const NOW: i64 = 1_700_000_000_000_000;

/// Ten days, whatever the mutation; none of what begins with an `x`.
struct TenDays;

impl SmallestGrace for TenDays {
    fn smallest_grace_seconds(&self, mutation: &[u8]) -> Option<i64> {
        (mutation.first() != Some(&b'x')).then_some(10 * 86_400)
    }
}

fn options() -> HintOptions {
    HintOptions { file_bytes_max: 300, ..HintOptions::new(PathBuf::from("/data/hints")) }
}

fn open_with(disk: &FaultyDisk, options: HintOptions) -> HintStore {
    // The node has made its data directory durable before.
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let random = Arc::new(SeededRandom::new(3));
    HintStore::open(Arc::new(disk.for_process()), random, options).unwrap()
}

fn open(disk: &FaultyDisk) -> HintStore {
    open_with(disk, options())
}

fn take(store: &HintStore, target: HostId, mutation: &[u8]) {
    assert_eq!(store.take(target, mutation, NOW, Duration::ZERO), Taken::Yes);
}

fn read(store: &HintStore, target: HostId, bytes: u64) -> HintBatch {
    store.read(target, bytes, NOW, &TenDays).unwrap()
}

fn texts(batch: &HintBatch) -> Vec<String> {
    batch.hints.iter().map(|hint| String::from_utf8(hint.mutation.clone()).unwrap()).collect()
}

#[test]
fn hints_come_in_order_and_go_when_acknowledged() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    for n in 0..40 {
        take(&store, A, format!("hint {n:02}").as_bytes());
        if n % 7 == 0 {
            store.flush().unwrap();
        }
    }
    take(&store, B, b"other");
    assert_eq!(store.counts()[&A].pending, 4);
    store.flush().unwrap();
    let counts = store.counts()[&A];
    assert!(counts.files > 3 && counts.pending == 0, "{counts:?}");

    let first = read(&store, A, 100);
    let second = read(&store, A, 100);
    assert_eq!(texts(&first), ["hint 00", "hint 01", "hint 02"]);
    assert_eq!(texts(&second), ["hint 03", "hint 04", "hint 05"]);
    // The second was not delivered: it comes again.
    store.acknowledge(A, first.cursor).unwrap();
    store.rewind(A);
    let mut seen = Vec::new();
    loop {
        let batch = read(&store, A, 100);
        if batch.hints.is_empty() {
            store.acknowledge(A, batch.cursor).unwrap();
            break;
        }
        seen.extend(texts(&batch));
        store.acknowledge(A, batch.cursor).unwrap();
    }
    let expected: Vec<String> = (3..40).map(|n| format!("hint {n:02}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(store.counts().keys().collect::<Vec<_>>(), [&B]);
    store.truncate(Some(B)).unwrap();
    assert!(store.counts().is_empty());
    assert_eq!(disk.list(Path::new("/data/hints")).unwrap(), []);
}

#[test]
fn the_window_the_sizes_and_the_grace_are_kept() {
    let disk = FaultyDisk::new(2);
    let bounds = HintOptions { target_bytes_max: 400, pending_bytes_max: 300, ..options() };
    let store = open_with(&disk, bounds.clone());
    let late = bounds.window + Duration::from_secs(1);
    assert_eq!(store.take(A, b"late", NOW, late), Taken::WindowOver);
    assert_eq!(store.take(A, &[0; 250], NOW, bounds.window), Taken::Yes);
    assert_eq!(store.take(B, &[0; 50], NOW, Duration::ZERO), Taken::Full, "not yet written");
    store.flush().unwrap();
    assert_eq!(store.take(B, &[0; 50], NOW, Duration::ZERO), Taken::Yes);
    assert_eq!(store.take(A, &[0; 150], NOW, Duration::ZERO), Taken::Full, "of one target");
    let old = NOW - 11 * 86_400 * 1_000_000;
    assert_eq!(store.take(B, b"old", old, Duration::ZERO), Taken::Yes);
    assert_eq!(store.take(B, b"x: of a dropped table", NOW, Duration::ZERO), Taken::Yes);
    store.flush().unwrap();
    drop(store);
    // What was kept before a restart counts.
    let store = open_with(&disk, bounds);
    assert_eq!(store.take(A, &[0; 150], NOW, Duration::ZERO), Taken::Full);
    let batch = read(&store, B, u64::MAX);
    assert_eq!((batch.hints.len(), batch.expired), (1, 2));
    store.truncate(None).unwrap();
    assert_eq!(store.take(A, &[0; 150], NOW, Duration::ZERO), Taken::Yes);
}

#[test]
fn a_failing_disk_loses_nothing_that_was_taken() {
    let disk = FaultyDisk::new(3);
    let store = open(&disk);
    take(&store, A, b"one");
    store.flush().unwrap();
    take(&store, A, b"two");
    disk.fail_sync(true);
    assert!(store.flush().is_err());
    disk.fail_sync(false);
    take(&store, A, b"three");
    store.flush().unwrap();
    disk.power_cut(CutOptions { torn: true, reorder: true });
    let texts = texts(&read(&open(&disk), A, u64::MAX));
    // "two" may be there twice: its first writing is a torn tail or not.
    let unique: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(unique, BTreeSet::from(["one", "three", "two"]));
}

/// What a run with power cuts must keep: hints that were flushed and whose delivery was not
/// acknowledged come, each once between two restarts, in order; nothing else comes but what was
/// taken.
fn run(seed: u64) {
    let random = SeededRandom::new(seed);
    let disk = FaultyDisk::new(seed);
    let mut store = open(&disk);
    // By target: number of each hint taken, in order.
    let mut flushed: BTreeMap<HostId, Vec<u32>> = BTreeMap::new();
    let mut taken: BTreeMap<HostId, Vec<u32>> = BTreeMap::new();
    let mut delivered: BTreeSet<u32> = BTreeSet::new();
    let mut this_run: BTreeMap<u32, u32> = BTreeMap::new();
    let mut next = 0;
    for _ in 0..300 {
        let target = if random.chance(0.5) { A } else { B };
        match random.below(100) {
            0..=44 => {
                let filler = "=".repeat(random.below(90) as usize);
                take(&store, target, format!("{next} {filler}").as_bytes());
                taken.entry(target).or_default().push(next);
                next += 1;
            }
            45..=64 => {
                store.flush().unwrap();
                for (target, numbers) in &mut taken {
                    flushed.entry(*target).or_default().append(numbers);
                }
            }
            65..=89 => {
                let batch = read(&store, target, 1 + random.below(400));
                assert!(batch.damage.is_empty(), "seed {seed}: {:?}", batch.damage);
                let numbers: Vec<u32> = texts(&batch)
                    .iter()
                    .map(|text| text.split(' ').next().unwrap().parse().unwrap())
                    .collect();
                assert!(numbers.is_sorted(), "seed {seed}: {numbers:?}");
                if random.chance(0.7) {
                    store.acknowledge(target, batch.cursor).unwrap();
                    for number in &numbers {
                        let times = this_run.entry(*number).or_default();
                        *times += 1;
                        assert_eq!(*times, 1, "seed {seed}: {number} after its acknowledgement");
                    }
                    delivered.extend(numbers);
                } else {
                    store.rewind(target);
                }
            }
            _ => {
                if random.chance(0.5) {
                    disk.power_cut(CutOptions {
                        torn: random.chance(0.5),
                        reorder: random.chance(0.5),
                    });
                } else {
                    disk.crash_process();
                }
                taken.clear();
                this_run.clear();
                store = open(&disk);
            }
        }
    }
    store.flush().unwrap();
    for (target, numbers) in taken {
        flushed.entry(target).or_default().extend(numbers);
    }
    for (target, numbers) in flushed {
        let left: BTreeSet<u32> = texts(&read(&store, target, u64::MAX))
            .iter()
            .map(|text| text.split(' ').next().unwrap().parse().unwrap())
            .collect();
        for number in numbers {
            let is_known = delivered.contains(&number) || left.contains(&number);
            assert!(is_known, "seed {seed}: hint {number} was flushed and is lost");
        }
    }
}

#[test]
fn what_was_flushed_survives_power_cuts_until_it_is_delivered() {
    (0..200).for_each(run);
}

/// The one file that a store has made, and its bytes.
fn only_file(disk: &FaultyDisk) -> (PathBuf, Vec<u8>) {
    let dir = Path::new("/data/hints");
    let entries = disk.list(dir).unwrap();
    assert_eq!(entries.len(), 1);
    let path = dir.join(&entries[0].name);
    let mut bytes = vec![0; entries[0].len as usize];
    disk.open(&path).unwrap().read_exact_at(0, &mut bytes).unwrap();
    (path, bytes)
}

#[test]
fn a_flipped_bit_costs_what_it_hits_and_is_named() {
    let hints = ["first", "second", "third"];
    let bytes = {
        let disk = FaultyDisk::new(5);
        let store = open(&disk);
        for hint in hints {
            take(&store, A, hint.as_bytes());
            store.flush().unwrap();
        }
        only_file(&disk).1
    };
    let third = bytes.len() - (format::HINT_OVERHEAD_BYTES + 5);
    for bit in 0..bytes.len() * 8 {
        let disk = FaultyDisk::new(5);
        let store = open(&disk);
        for hint in hints {
            take(&store, A, hint.as_bytes());
            store.flush().unwrap();
        }
        drop(store);
        let (path, same) = only_file(&disk);
        assert_eq!(same, bytes);
        disk.flip_bit(&path, bit as u64).unwrap();
        let random = Arc::new(SeededRandom::new(3));
        let opened = HintStore::open(Arc::new(disk.for_process()), random, options());
        let Ok(store) = opened else {
            assert!(matches!(opened, Err(HintFileError::Newer { .. })));
            continue;
        };
        let batch = store.read(A, u64::MAX, NOW, &TenDays).unwrap();
        let found = texts(&batch);
        assert!(found.len() < 3, "bit {bit} went unnoticed");
        assert!(found.iter().all(|hint| hints.contains(&hint.as_str())), "bit {bit}: {found:?}");
        // Of the last hint nobody can tell damage from a tail that was never synced.
        if bit / 8 < third {
            assert_eq!(batch.damage.len(), 1, "bit {bit}");
            assert!(batch.damaged_bytes > 0);
        }
    }
}

const DOCUMENT: &str = include_str!("../../../docs/format/hints.md");

#[test]
fn the_file_is_what_its_document_says() {
    let (_, rest) = DOCUMENT.split_once("```hex\n").unwrap();
    let (dump, _) = rest.split_once("```").unwrap();
    let mut bytes = Vec::new();
    for line in dump.lines() {
        let hex = line.split('|').next().unwrap().split_whitespace();
        bytes.extend(hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    let header = format::Header { target: A, sequence: 7, drawn: 0x0102_0304 };
    let (mut expected, salt) = header.encode();
    format::put_hint(&mut expected, salt, 44, NOW, b"k1");
    assert_eq!(bytes, expected, "{}", hex(&expected));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}

#[test]
fn inspect_tells_what_is_in_a_file() {
    let disk = FaultyDisk::new(9);
    let store = open(&disk);
    take(&store, A, b"no mutation");
    store.flush().unwrap();
    let (path, _) = only_file(&disk);
    let mut lines = Vec::new();
    inspect(&disk, &path, true, &mut |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("hints for host a1a1a1a1-"), "{lines:?}");
    assert!(lines[1].contains("made at 1700000000000000"), "{lines:?}");
    assert_eq!(lines[2], "  1 hints");
}
