//! The commit log damaged after the fact: every flipped bit is found and named, or lies where
//! nothing was promised; no record ever comes back wrong.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use helenus_platform::disk::{CutOptions, Disk as _, FaultyDisk};
use helenus_platform::random::{Random as _, SeededRandom};
use helenus_storage::error::{Error, ErrorKind, Place};
use helenus_storage::log::{LogOptions, SyncStep, inspect};
use helenus_storage::model::LogPosition;

use crate::log_rig::{Rig, dir, disk, files, records, reread, small};

fn options() -> LogOptions {
    LogOptions { segment_bytes: 2048, ..small() }
}

fn mutation(i: u32) -> Vec<u8> {
    let mut bytes = format!("mutation {i} ").into_bytes();
    bytes.resize(bytes.len() + (i as usize * 53) % 170, i as u8);
    bytes
}

/// How a written log was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Closed,
    /// Killed a while after the last write: a note tells that all of it is durable.
    Rested,
    /// Killed right after the last sync.
    Killed,
}

/// A log of 40 records in groups of one to three, over several segments.
fn written(left: Left) -> (FaultyDisk, Vec<Vec<u8>>) {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &options()).unwrap();
    rig.settle();
    let mut expected = Vec::new();
    for i in 0..40 {
        rig.append(&mutation(i), i % 3);
        expected.push(mutation(i));
        if i % 7 % 3 != 0 {
            rig.settle();
        }
    }
    rig.settle();
    match left {
        Left::Closed => rig.log.close().unwrap(),
        Left::Rested => {
            assert!(matches!(rig.log.sync_step(), SyncStep::WaitUntil(_)));
            rig.clock.advance(Duration::from_secs(2));
            assert_eq!(rig.log.sync_step(), SyncStep::Idle);
        }
        Left::Killed => {}
    }
    disk.crash_process();
    (disk, expected)
}

fn assert_names(error: &Error, file: &Path, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    let Place::File { path, offset } = error.place() else {
        panic!("{what}: {error} has no place")
    };
    assert_eq!(path, file, "{what}: {error}");
    assert!(offset.is_some(), "{what}: {error}");
}

/// What a start makes of a damaged copy: an error that names the file, everything, or the first
/// so many records. Returns how many records are missing.
fn judge(disk: &FaultyDisk, expected: &[Vec<u8>], file: &Path, what: &str) -> usize {
    match reread(disk, &options()) {
        Ok(found) => {
            assert!(expected.starts_with(&found), "{what}: a wrong record");
            expected.len() - found.len()
        }
        Err(error) if error.kind() == ErrorKind::Newer => 0,
        Err(error) => {
            assert_names(&error, file, what);
            0
        }
    }
}

/// How many records one flip costs at most, and how many flips cost any.
fn flip_every_bit(left: Left, stride: usize) -> (usize, usize) {
    let (disk, expected) = written(left);
    assert_eq!(reread(&disk.fork(1), &options()).unwrap(), expected);
    let (mut most, mut costly) = (0, 0);
    for file in files(&disk) {
        let bits = disk.open(&file).unwrap().len().unwrap() * 8;
        for bit in (0..bits).step_by(stride) {
            let copy = disk.fork(bit);
            copy.flip_bit(&file, bit).unwrap();
            let what = format!("{left:?}, {} bit {bit}", file.display());
            let missing = judge(&copy, &expected, &file, &what);
            most = most.max(missing);
            costly += usize::from(missing > 0);
        }
    }
    (most, costly)
}

#[test]
fn a_flipped_bit_of_a_closed_log_is_found_and_named() {
    assert_eq!(flip_every_bit(Left::Closed, 3), (0, 0));
}

#[test]
fn a_flipped_bit_of_a_rested_log_is_found_and_named() {
    assert_eq!(flip_every_bit(Left::Rested, 5), (0, 0));
}

#[test]
fn a_flipped_bit_of_a_killed_log_is_found_where_the_sector_proves_that_it_was_written() {
    let (most, costly) = flip_every_bit(Left::Killed, 1);
    assert!(most <= 3 && costly <= 64, "{costly} flips cost up to {most} records");
}

#[test]
fn a_flipped_bit_of_a_killed_log_costs_at_most_its_last_group() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &options()).unwrap();
    rig.append(b"before", 1);
    rig.settle();
    // Sectors of which nothing but this record could say whether they were written.
    rig.append(&[7; 900], 1);
    rig.append(b"behind", 1);
    rig.settle();
    disk.crash_process();
    drop(rig);
    let file = &files(&disk)[0];
    let mut found = [0; 4];
    for bit in (0..1200 * 8).step_by(7) {
        let copy = disk.fork(bit);
        copy.flip_bit(file, bit).unwrap();
        match reread(&copy, &options()) {
            Ok(records) => found[records.len()] += 1,
            Err(error) if error.kind() == ErrorKind::Newer => {}
            Err(error) => assert_names(&error, file, &format!("bit {bit}")),
        }
    }
    let [none, one, two, all] = found;
    assert_eq!((none, two), (0, 0), "half a group");
    // One sector of 512 bytes; what stands behind the log does not matter.
    assert!((400..=600).contains(&one) && all < 300, "{found:?}");
}

#[test]
fn a_file_cut_short_anywhere_is_found_and_named() {
    let (disk, expected) = written(Left::Closed);
    for file in files(&disk) {
        let whole = disk.open(&file).unwrap().len().unwrap();
        for len in (0..whole).step_by(3) {
            let copy = disk.fork(len);
            copy.open_write(&file).unwrap().set_len(len).unwrap();
            let what = format!("{} cut to {len}", file.display());
            assert_eq!(judge(&copy, &expected, &file, &what), 0, "{what}");
        }
    }
}

/// Sectors overwritten at the log's very end take with them all that tells how far it was
/// durable: there the promise is only that no record comes back wrong.
#[test]
fn overwritten_sectors_are_found_and_named() {
    let (disk, expected) = written(Left::Closed);
    let random = SeededRandom::new(1);
    let files = files(&disk);
    let last = &files[files.len() - 2];
    for file in files.clone() {
        let whole = disk.open(&file).unwrap().len().unwrap();
        for at in (0..whole).step_by(64) {
            for garbage in [false, true] {
                let copy = disk.fork(at);
                let mut bytes = vec![0; 512.min((whole - at) as usize)];
                if garbage {
                    random.fill(&mut bytes);
                }
                copy.open_write(&file).unwrap().write_all_at(at, &bytes).unwrap();
                let what = format!("{} at {at}, garbage {garbage}", file.display());
                let missing = judge(&copy, &expected, &file, &what);
                assert!(missing == 0 || file == *last, "{what}: {missing} records are missing");
            }
        }
    }
}

#[test]
fn a_segment_under_another_ones_name_is_refused() {
    let (disk, _) = written(Left::Closed);
    let files = files(&disk);
    disk.rename(&files[0], &files[1]).unwrap();
    assert_names(&reread(&disk, &options()).unwrap_err(), &files[1], "swapped");
}

#[test]
fn a_newer_format_is_refused_by_name_even_when_damage_is_skipped() {
    let (disk, _) = written(Left::Closed);
    let file = &files(&disk)[1];
    disk.open_write(file).unwrap().write_all_at(8, &[9]).unwrap();
    let options = LogOptions { skip_corrupt: true, ..options() };
    let error = Rig::open(&disk, &options).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Newer);
    let text = error.to_string();
    assert!(text.contains("version 9") && text.contains("segment-"), "{text}");
}

#[test]
fn skipping_damage_loses_the_damaged_group_only() {
    let (disk, expected) = written(Left::Closed);
    let skipping = LogOptions { skip_corrupt: true, ..options() };
    let file = &files(&disk)[1];
    for bit in (64 * 8..1800 * 8).step_by(41) {
        let copy = disk.fork(bit);
        copy.flip_bit(file, bit).unwrap();
        assert!(reread(&copy, &options()).is_err());
        let found = reread(&copy, &skipping).unwrap();
        assert!(found.len() + 3 >= expected.len() && found.len() < expected.len(), "bit {bit}");
        let mut rest = expected.iter();
        assert!(found.iter().all(|mutation| rest.any(|e| e == mutation)), "bit {bit}: order");
    }
}

#[test]
fn a_damaged_header_is_skipped_and_the_file_kept_aside() {
    let (disk, expected) = written(Left::Closed);
    let skipping = LogOptions { skip_corrupt: true, ..options() };
    let file = files(&disk)[1].clone();
    disk.flip_bit(&file, 20 * 8).unwrap();
    let (rig, replay) = Rig::open(&disk, &skipping).unwrap();
    assert_names(&replay.skipped()[0], &file, "header");
    let found = records(replay).unwrap();
    assert!(!found.is_empty() && found.len() < expected.len());
    let last_file = LogPosition(4 * 2048);
    assert!(rig.append(b"new", 1).start > last_file);
    let kept = files(&disk).into_iter().any(|path| path.to_string_lossy().contains("damaged-"));
    assert!(kept);
    drop(rig);
    assert_eq!(reread(&disk, &options()).unwrap().len(), found.len());
}

#[test]
fn a_segment_with_skipped_damage_is_kept_as_evidence_when_recycled() {
    let (disk, _) = written(Left::Closed);
    let skipping = LogOptions { skip_corrupt: true, ..options() };
    disk.flip_bit(&files(&disk)[1], 200 * 8).unwrap();
    let (rig, replay) = Rig::open(&disk, &skipping).unwrap();
    let mut skipped = 0;
    for segment in replay.into_segments() {
        let mut records = segment.records().unwrap();
        records.by_ref().for_each(|record| drop(record.unwrap()));
        skipped += records.skipped().len();
    }
    assert_eq!(skipped, 1);
    assert!(rig.log.recycle(&|_, _, _| true, &|_| Ok(())).unwrap() > 2);
    let damaged = |path: &std::path::PathBuf| path.to_string_lossy().contains("damaged-");
    assert_eq!(files(&disk).iter().filter(|path| damaged(path)).count(), 1);
    drop(rig);
    assert!(reread(&disk, &options()).unwrap().is_empty());
}

#[test]
fn files_of_random_bytes_are_refused() {
    for seed in 0..200 {
        let disk = disk(seed);
        let random = SeededRandom::new(seed);
        let mut bytes = vec![0; random.below(3000) as usize];
        random.fill(&mut bytes);
        let path = dir().join("segment-0000000000000800.log");
        disk.create(&path).unwrap().write_all_at(0, &bytes).unwrap();
        assert_names(&reread(&disk, &options()).unwrap_err(), &path, "random");
        let _ = inspect(&disk, &path, &mut |_| ());
    }
}

#[test]
fn a_failed_sync_ends_the_log_and_every_wait_with_it() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &options()).unwrap();
    rig.append(b"safe", 1);
    rig.settle();
    let waiting = rig.append(b"waiting", 1);
    let epoch = rig.log.signal().epoch();
    disk.fail_sync(true);
    rig.log.sync_step();
    assert!(rig.log.durable() < waiting.end);
    let cause = rig.log.failed().unwrap();
    assert_eq!(cause.kind(), ErrorKind::Io);
    assert!(rig.log.signal().epoch() > epoch, "those who wait are told");
    disk.fail_sync(false);
    // What a later sync would say is worth nothing: the bytes may be gone.
    let error = rig.log.append(&[b"later"], &[], |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("syncing the commit log"), "{error}");
    assert!(rig.log.sync().is_err() && rig.log.close().is_err());
    assert_eq!(rig.log.sync_step(), SyncStep::Idle);
    disk.power_cut(CutOptions::default());
    let found = reread(&disk, &options()).unwrap();
    assert_eq!(found[0], b"safe");
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_when_there_is_room() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &options()).unwrap();
    rig.settle();
    disk.set_full(true);
    let mut taken = 0;
    let error = loop {
        match rig.log.append(&[&[5; 300]], &[], |_| ()) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        rig.settle();
        assert!(taken < 100);
    };
    assert_eq!(error.kind(), ErrorKind::DiskFull);
    assert!(error.to_string().contains("no room for another commit log segment"), "{error}");
    assert_eq!(taken, 10, "both segments that had room were filled");
    assert!(rig.log.failed().is_none());
    disk.set_full(false);
    rig.clock.advance(Duration::from_secs(2));
    rig.settle();
    rig.append(&[6; 300], 1);
    rig.log.close().unwrap();
    assert_eq!(reread(&disk, &options()).unwrap().len(), 11);
}

#[test]
fn inspect_tells_of_damage_and_goes_on() {
    let (disk, _) = written(Left::Closed);
    let file = files(&disk)[0].clone();
    let lines = |disk: &FaultyDisk| {
        let mut lines = Vec::new();
        inspect(disk, &file, &mut |line| lines.push(line.to_owned())).unwrap();
        lines
    };
    let sound = lines(&disk);
    assert!(sound[0].starts_with("segment id "));
    assert!(sound.last().unwrap().contains("seal at"));
    assert!(!sound.iter().any(|line| line.contains("DAMAGED")));
    disk.flip_bit(&file, 70 * 8).unwrap();
    let damaged = lines(&disk);
    assert!(
        damaged[1].contains("DAMAGED: no group header stands here")
            || damaged[1].contains("DAMAGED: the group header fails")
    );
    assert_eq!(sound.last(), damaged.last());
}
