//! What the faulty disk forgets, keeps and refuses: the harness that other proofs stand on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use helenus_platform::disk::faulty::Call;
use helenus_platform::disk::{CutOptions, Disk, FaultyDisk, File};

const CLEAN: CutOptions = CutOptions { torn: false, reorder: false };
const TORN: CutOptions = CutOptions { torn: true, reorder: false };
const REORDER: CutOptions = CutOptions { torn: false, reorder: true };
const WORST: CutOptions = CutOptions { torn: true, reorder: true };

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// A disk with a synced directory `/d` and in it a synced, empty file `/d/f`.
fn prepared(seed: u64) -> (FaultyDisk, Arc<dyn File>) {
    let disk = FaultyDisk::new(seed);
    disk.create_dir_all(path("/d")).unwrap();
    disk.sync_dir(path("/")).unwrap();
    let file = disk.create(path("/d/f")).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(path("/d")).unwrap();
    (disk, file)
}

fn contents(disk: &FaultyDisk, name: &str) -> Vec<u8> {
    let file = disk.open(path(name)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn names(disk: &FaultyDisk) -> Vec<String> {
    disk.list(path("/d")).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_clean_cut_keeps_what_was_synced_and_nothing_else() {
    let (disk, file) = prepared(1);
    file.write_all_at(0, b"synced").unwrap();
    file.sync_data().unwrap();
    file.write_all_at(3, b"lost and longer").unwrap();
    disk.power_cut(CLEAN);
    assert_eq!(contents(&disk, "/d/f"), b"synced");
    assert!(file.read_at(0, &mut [0]).is_err(), "an old handle is dead");
}

#[test]
fn a_killed_process_loses_nothing_written() {
    let (disk, file) = prepared(1);
    let process = disk.for_process();
    file.write_all_at(0, b"written").unwrap();
    disk.create(path("/d/new")).unwrap();
    disk.crash_process();
    assert_eq!(contents(&disk, "/d/f"), b"written");
    assert_eq!(names(&disk), ["f", "new"]);
    assert!(process.exists(path("/d/f")).is_err());
    assert!(file.write_all_at(0, b"x").is_err());
    // It was written, not synced: power takes it.
    disk.power_cut(CLEAN);
    assert_eq!(contents(&disk, "/d/f"), b"");
}

#[test]
fn a_name_needs_its_directory_synced() {
    let (disk, _) = prepared(1);
    let new = disk.create(path("/d/new")).unwrap();
    new.write_all_at(0, b"bytes").unwrap();
    new.sync_data().unwrap();
    let fork = disk.fork(2);
    disk.power_cut(CLEAN);
    assert_eq!(names(&disk), ["f"]);
    fork.sync_dir(path("/d")).unwrap();
    fork.power_cut(CLEAN);
    assert_eq!(names(&fork), ["f", "new"]);
    assert_eq!(contents(&fork, "/d/new"), b"bytes");
}

#[test]
fn removing_and_renaming_need_it_too() {
    let (disk, file) = prepared(1);
    file.write_all_at(0, b"x").unwrap();
    file.sync_data().unwrap();
    disk.rename(path("/d/f"), path("/d/g")).unwrap();
    let renamed = disk.fork(1);
    disk.remove(path("/d/g")).unwrap();
    disk.power_cut(CLEAN);
    assert_eq!(names(&disk), ["f"]);
    renamed.sync_dir(path("/d")).unwrap();
    renamed.power_cut(CLEAN);
    assert_eq!(names(&renamed), ["g"]);
    assert_eq!(contents(&renamed, "/d/g"), b"x");
}

#[test]
fn a_directory_needs_its_parent_synced() {
    let (disk, _) = prepared(1);
    disk.create_dir_all(path("/d/sub")).unwrap();
    disk.create(path("/d/sub/x")).unwrap();
    disk.sync_dir(path("/d/sub")).unwrap();
    disk.power_cut(CLEAN);
    assert_eq!(names(&disk), ["f"]);
}

#[test]
fn unsynced_names_survive_in_order_or_in_any_combination() {
    let outcomes = |options| {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let (disk, _) = prepared(seed);
            disk.create(path("/d/1")).unwrap();
            disk.remove(path("/d/f")).unwrap();
            disk.create(path("/d/2")).unwrap();
            disk.power_cut(options);
            seen.insert(names(&disk).join(" "));
        }
        seen.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(outcomes(TORN), ["1", "1 2", "1 f", "f"]);
    assert_eq!(outcomes(REORDER), ["", "1", "1 2", "1 2 f", "1 f", "2", "2 f", "f"]);
}

/// Cuts in the middle of two unsynced writes of three sectors each, `1`s and then `2`s.
fn torn_sectors(options: CutOptions) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let (disk, file) = prepared(seed);
        file.write_all_at(0, &[b'1'; 1536]).unwrap();
        file.write_all_at(1536, &[b'2'; 1536]).unwrap();
        disk.power_cut(options);
        let bytes = contents(&disk, "/d/f");
        assert_eq!(bytes.len() % 512, 0);
        let sectors = bytes.chunks(512).map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
            if sector[0] == 0 { '.' } else { char::from(sector[0]) }
        });
        seen.insert(sectors.collect());
    }
    seen
}

#[test]
fn a_torn_tail_ends_at_a_sector() {
    let expected = ["", "1", "11", "111", "1112", "11122", "111222"];
    assert!(torn_sectors(TORN).iter().eq(expected));
}

#[test]
fn reordering_keeps_later_writes_without_earlier_ones() {
    assert!(torn_sectors(REORDER).iter().eq(["", "...222", "111", "111222"]));
    let seen = torn_sectors(WORST);
    for outcome in ["..1", "1.1.2", "......", "111222"] {
        assert!(seen.contains(outcome), "{outcome} not among {seen:?}");
    }
}

#[test]
fn a_sector_is_never_newer_than_itself() {
    // The second write of a sector cannot survive without the first.
    for seed in 0..200 {
        let (disk, file) = prepared(seed);
        file.write_all_at(0, b"first").unwrap();
        file.write_all_at(5, b"second").unwrap();
        disk.power_cut(WORST);
        let bytes = contents(&disk, "/d/f");
        let zeros = bytes.iter().all(|byte| *byte == 0);
        assert!(zeros || bytes.starts_with(b"first"), "{bytes:?}");
    }
}

#[test]
fn a_failed_sync_loses_bytes_that_a_later_sync_does_not_bring_back() {
    let mut lost = 0;
    for seed in 0..20 {
        let (disk, file) = prepared(seed);
        file.write_all_at(0, b"bytes").unwrap();
        disk.fail_sync(true);
        assert!(file.sync_data().is_err());
        assert!(disk.sync_dir(path("/d")).is_err());
        disk.fail_sync(false);
        file.sync_data().unwrap();
        assert_eq!(contents(&disk, "/d/f"), b"bytes", "the cache still shows them");
        disk.power_cut(CLEAN);
        lost += usize::from(contents(&disk, "/d/f").is_empty());
    }
    assert!((1..20).contains(&lost), "{lost}");
}

#[test]
fn power_goes_at_the_nth_sync_and_stays_off() {
    let (disk, file) = prepared(1);
    assert_eq!(disk.syncs(), 3);
    disk.cut_at_sync(5);
    file.write_all_at(0, b"a").unwrap();
    file.sync_data().unwrap();
    file.write_all_at(1, b"b").unwrap();
    assert!(!disk.is_off());
    assert!(file.sync_data().is_err());
    assert!(disk.is_off());
    assert!(disk.exists(path("/d/f")).is_err());
    disk.power_cut(CLEAN);
    assert_eq!(contents(&disk, "/d/f"), b"a");
    disk.sync_dir(path("/d")).unwrap();
}

#[test]
fn a_full_disk_takes_only_what_it_has_room_for() {
    let (disk, file) = prepared(1);
    file.allocate(1024).unwrap();
    disk.set_full(true);
    file.write_all_at(0, &[1; 1024]).unwrap();
    assert_eq!(file.write_all_at(1000, &[2; 100]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 1024);
    assert_eq!(disk.create(path("/d/x")).err().unwrap().kind(), ErrorKind::StorageFull);
    assert_eq!(file.allocate(2048).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.free_bytes(path("/d")).unwrap(), 0);
    disk.remove(path("/d/f")).unwrap();
    disk.set_full(false);
    file.write_all_at(1024, &[3; 100]).unwrap();
}

#[test]
fn calls_fail_when_planned() {
    let (disk, file) = prepared(1);
    disk.fail_one_call_after(1, ErrorKind::TimedOut);
    file.write_all_at(0, b"a").unwrap();
    assert_eq!(file.write_all_at(0, b"b").unwrap_err().kind(), ErrorKind::TimedOut);
    file.write_all_at(0, b"c").unwrap();
    let calls = disk.calls();
    disk.fail_after_calls(0, ErrorKind::TimedOut);
    for _ in 0..3 {
        assert!(disk.list(path("/d")).is_err());
    }
    assert_eq!(disk.calls(), calls + 3);
    disk.heal();
    assert!(disk.list(path("/d")).is_ok());
}

#[test]
fn a_bit_flips_for_good() {
    let (disk, file) = prepared(1);
    file.write_all_at(0, b"ab").unwrap();
    file.sync_data().unwrap();
    disk.flip_bit(path("/d/f"), 9).unwrap();
    assert_eq!(contents(&disk, "/d/f"), b"a`");
    disk.power_cut(CLEAN);
    assert_eq!(contents(&disk, "/d/f"), b"a`");
    assert!(disk.flip_bit(path("/d/f"), 16).is_err());
}

#[test]
fn cold_reads_would_wait_and_slow_calls_are_told() {
    let (disk, file) = prepared(1);
    disk.set_cold(1.0);
    assert_eq!(file.try_read_at(0, &mut [0]).unwrap(), None);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    disk.slow(Some(Arc::new(move |call| {
        if call == Call::Sync {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    })));
    file.sync_data().unwrap();
    file.read_at(0, &mut [0]).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_read_only_is_read_and_not_changed() {
    let (disk, file) = prepared(1);
    file.write_all_at(0, b"kept").unwrap();
    disk.set_read_only(true);
    let refused = [
        file.write_all_at(0, b"lost"),
        file.set_len(0),
        file.allocate(9),
        disk.create(path("/d/g")).map(drop),
        disk.open_write(path("/d/f")).map(drop),
        disk.rename(path("/d/f"), path("/d/g")),
        disk.hard_link(path("/d/f"), path("/d/g")),
        disk.remove(path("/d/f")),
        disk.remove_dir_all(path("/d")),
        disk.create_dir_all(path("/d/e")),
        disk.lock(path("/d/LOCK"), "me").map(drop).map_err(|error| error.source.unwrap()),
    ];
    for (index, answer) in refused.into_iter().enumerate() {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem, "{index}");
    }
    disk.create_dir_all(path("/d")).unwrap();
    assert_eq!(contents(&disk, "/d/f"), b"kept");
    assert_eq!(disk.list(path("/d")).unwrap().len(), 1);
    disk.set_read_only(false);
    file.write_all_at(0, b"more").unwrap();
}

#[test]
fn a_lock_ends_with_its_process() {
    let (disk, _) = prepared(1);
    let held = disk.lock(path("/d/LOCK"), "first").unwrap();
    assert!(disk.lock(path("/d/LOCK"), "second").is_err());
    disk.crash_process();
    let second = disk.lock(path("/d/LOCK"), "second").unwrap();
    drop(held);
    assert!(disk.lock(path("/d/LOCK"), "third").is_err());
    drop(second);
}

#[test]
fn the_same_seed_loses_the_same() {
    let run = |seed| {
        let (disk, file) = prepared(seed);
        for i in 0..50u64 {
            file.write_all_at(i * 700, &[i as u8; 700]).unwrap();
        }
        disk.power_cut(WORST);
        contents(&disk, "/d/f")
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
