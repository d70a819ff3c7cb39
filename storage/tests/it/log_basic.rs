//! The commit log without faults: order, watermarks, modes, limits, recycling.

use std::time::Duration;

use helenus_platform::clock::Clock as _;
use helenus_platform::disk::Disk as _;
use helenus_storage::error::ErrorKind;
use helenus_storage::log::{Append, Durability, LogOptions, SyncStep};
use helenus_storage::model::{LogPosition, TableId};

use crate::log_rig::{Rig, disk, files, records, reread, small};

const PERIODIC: Durability =
    Durability::Periodic { sync_every: Duration::from_secs(10), pace: Duration::from_micros(100) };

#[test]
fn what_was_appended_is_replayed_in_order_with_its_tables() {
    let disk = disk(1);
    let (rig, replay) = Rig::open(&disk, &small()).unwrap();
    assert!(replay.is_empty());
    let tables = [TableId(7), TableId(1)];
    let Append::Done(first) = rig.log.append(&[b"a", b"", b"c"], &tables, |end| end).unwrap()
    else {
        panic!("full")
    };
    assert_eq!(first.value, first.end);
    let second = rig.append(b"second", 3);
    assert_eq!(second.start, first.end);
    rig.log.sync().unwrap();
    drop(rig);
    let (_, replay) = Rig::open(&disk, &small()).unwrap();
    let records = records(replay).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].tables, tables);
    assert_eq!((records[0].start, records[0].end), (first.start, first.end));
    let mutations: Vec<&[u8]> = records[0].mutations.iter().map(|slice| &**slice).collect();
    assert_eq!(mutations, [&b"a"[..], b"", b"c"]);
    assert_eq!(records[1].end, second.end);
}

#[test]
fn watermarks_move_as_the_mode_says() {
    for (durability, durable) in
        [(Durability::GROUP, true), (Durability::Batch, true), (PERIODIC, false)]
    {
        let disk = disk(1);
        let options = LogOptions { durability, ..small() };
        let (rig, _) = Rig::open(&disk, &options).unwrap();
        rig.settle();
        let before = rig.log.signal().epoch();
        let appended = rig.append(b"x", 1);
        assert!(rig.log.written() < appended.end && rig.log.durable() < appended.end);
        rig.settle();
        assert!(rig.log.written() >= appended.end);
        assert_eq!(rig.log.durable() >= appended.end, durable, "{durability:?}");
        assert!(rig.log.answerable() >= appended.end);
        assert!(rig.log.signal().epoch() > before);
        if !durable {
            let SyncStep::WaitUntil(at) = rig.log.sync_step() else { panic!("no sync planned") };
            assert_eq!(at, rig.clock.monotonic() + Duration::from_secs(10));
            rig.clock.advance(Duration::from_secs(10));
            rig.settle();
            assert!(rig.log.durable() >= appended.end);
        }
    }
}

#[test]
fn a_lone_write_is_synced_at_once_and_more_are_paced() {
    let disk = disk(1);
    let pace = Duration::from_micros(500);
    let options = LogOptions { durability: Durability::Group { pace }, ..small() };
    let (rig, _) = Rig::open(&disk, &options).unwrap();
    rig.settle();
    let start = rig.clock.monotonic();
    for _ in 0..3 {
        let alone = rig.append(b"alone", 1);
        rig.log.sync_step();
        assert!(rig.log.durable() >= alone.end);
    }
    let work = rig.log.work_signal().epoch();
    rig.append(b"one", 1);
    let two = rig.append(b"two", 1);
    assert_eq!(rig.log.work_signal().epoch(), work + 1, "one wake-up for many");
    assert_eq!(rig.log.sync_step(), SyncStep::WaitUntil(start + pace));
    rig.clock.advance(Duration::from_micros(499));
    assert_eq!(rig.log.sync_step(), SyncStep::WaitUntil(start + pace));
    rig.clock.advance(Duration::from_micros(1));
    let syncs = rig.log.stats().syncs;
    rig.log.sync_step();
    assert!(rig.log.durable() >= two.end);
    assert_eq!(rig.log.stats().syncs, syncs + 1);
}

#[test]
fn the_first_of_several_writers_is_not_taken_for_alone() {
    let disk = disk(1);
    let pace = Duration::from_micros(500);
    let options = LogOptions { durability: Durability::Group { pace }, ..small() };
    let (rig, _) = Rig::open(&disk, &options).unwrap();
    rig.settle();
    rig.clock.advance(pace);
    rig.append(b"one", 1);
    rig.append(b"two", 1);
    rig.log.sync_step();
    let due = rig.clock.monotonic() + pace;
    assert_eq!(rig.log.sync_step(), SyncStep::WaitUntil(due));
    // The worker comes back by itself; nobody wakes it, and what comes until then goes together.
    let (work, syncs) = (rig.log.work_signal().epoch(), rig.log.stats().syncs);
    rig.append(b"three", 1);
    rig.clock.advance(pace - Duration::from_micros(1));
    assert_eq!(rig.log.sync_step(), SyncStep::WaitUntil(due));
    let four = rig.append(b"four", 1);
    assert_eq!(rig.log.work_signal().epoch(), work);
    rig.clock.advance(Duration::from_micros(1));
    rig.log.sync_step();
    assert!(rig.log.durable() >= four.end);
    assert_eq!(rig.log.stats().syncs, syncs + 1);
    // Nothing came for a whole pace: the worker rests, has to be woken, and syncs at once.
    rig.clock.advance(pace);
    rig.settle();
    let work = rig.log.work_signal().epoch();
    let alone = rig.append(b"alone", 1);
    assert_eq!(rig.log.work_signal().epoch(), work + 1);
    rig.log.sync_step();
    assert!(rig.log.durable() >= alone.end);
}

#[test]
fn no_pace_delays_by_more_than_a_millisecond() {
    let disk = disk(1);
    let pace = Duration::from_secs(60);
    let options = LogOptions { durability: Durability::Group { pace }, ..small() };
    let (rig, _) = Rig::open(&disk, &options).unwrap();
    rig.append(b"x", 1);
    rig.settle();
    rig.append(b"y", 1);
    rig.append(b"z", 1);
    let SyncStep::WaitUntil(at) = rig.log.sync_step() else { panic!("not paced") };
    assert_eq!(at, rig.clock.monotonic() + Duration::from_millis(1));
}

#[test]
fn a_batch_waits_for_nothing() {
    let disk = disk(1);
    let options = LogOptions { durability: Durability::Batch, ..small() };
    let (rig, _) = Rig::open(&disk, &options).unwrap();
    for _ in 0..3 {
        rig.append(b"x", 1);
        let last = rig.append(b"y", 1);
        rig.log.sync_step();
        assert!(rig.log.durable() >= last.end);
    }
}

#[test]
fn records_fill_segment_after_segment() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &small()).unwrap();
    rig.settle();
    let mut expected = Vec::new();
    let mut last = LogPosition::START;
    for i in 0..200u32 {
        let mutation = vec![i as u8; (i as usize * 37) % 900];
        let appended = rig.append(&mutation, 1);
        assert!(appended.start >= last);
        last = appended.end;
        expected.push(mutation);
        if i % 3 == 0 {
            rig.settle();
        }
    }
    rig.log.close().unwrap();
    assert!(rig.log.stats().segments > 10);
    assert_eq!(reread(&disk, &small()).unwrap(), expected);
    // And again: opening changes nothing of what is there.
    assert_eq!(reread(&disk, &small()).unwrap(), expected);
}

#[test]
fn a_record_is_half_a_segment_at_most() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &small()).unwrap();
    rig.settle();
    for _ in 0..5 {
        rig.append(&[1; 2048], 1);
        rig.settle();
    }
    let error = rig.log.append(&[&[1; 2000], &[1; 49]], &[], |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(
        error.to_string(),
        "Mutation of 2049 bytes is too large for the maximum size of 2048 bytes"
    );
    let tables: Vec<TableId> = (0..3000).map(TableId).collect();
    assert_eq!(rig.log.append(&[b""], &tables, |_| ()).unwrap_err().kind(), ErrorKind::TooLarge);
    rig.log.close().unwrap();
    assert_eq!(reread(&disk, &small()).unwrap(), vec![vec![1; 2048]; 5]);
}

#[test]
fn a_full_buffer_says_so_and_takes_more_after_writing() {
    let disk = disk(1);
    let options = LogOptions { buffer_bytes_max: 1000, ..small() };
    let (rig, _) = Rig::open(&disk, &options).unwrap();
    rig.settle();
    let mut taken = 0;
    let full = loop {
        let mut ran = false;
        match rig.log.append(&[&[0; 100]], &[TableId(1)], |_| ran = true).unwrap() {
            Append::Done(_) => taken += 1,
            Append::Full => break !ran,
        }
        assert!(taken < 100);
    };
    assert!(full, "what was refused has not run under the lock");
    assert_eq!(taken, 8);
    rig.settle();
    rig.append(&[0; 100], 1);
    rig.settle();
    // A record over the bound is taken when nothing else waits.
    rig.append(&[0; 1500], 1);
}

#[test]
fn without_a_next_segment_appending_stops_until_there_is_one() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &small()).unwrap();
    // The worker has not run yet: there is only the first segment.
    let mut taken = 0;
    while let Append::Done(_) = rig.log.append(&[&[0; 500]], &[], |_| ()).unwrap() {
        taken += 1;
        assert!(taken < 100);
    }
    assert_eq!(taken, 7);
    rig.settle();
    rig.append(&[0; 500], 1);
}

#[test]
fn the_lock_separates_earlier_records_from_later_ones() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &small()).unwrap();
    rig.settle();
    for i in 0..50 {
        let before = rig.append(&[0; 300], 1);
        let tail = rig.log.with_lock(|tail| tail);
        let after = rig.append(&[0; 300], 1);
        assert!(before.end <= tail && tail <= after.start, "{i}");
        rig.settle();
    }
}

#[test]
fn positions_never_go_back_over_restarts() {
    let disk = disk(1);
    let mut last = LogPosition::START;
    for _ in 0..10 {
        let (rig, replay) = Rig::open(&disk, &small()).unwrap();
        records(replay).unwrap();
        assert!(rig.log.with_lock(|tail| tail) > last);
        last = rig.append(b"x", 1).end;
        // Neither written nor synced: the position was given out all the same.
    }
    let options = LogOptions { min_position: LogPosition(1 << 40), ..small() };
    let (rig, _) = Rig::open(&disk, &options).unwrap();
    assert!(rig.append(b"x", 1).start > LogPosition(1 << 40));
}

#[test]
fn covered_segments_are_recycled_and_others_stay() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &small()).unwrap();
    rig.settle();
    let cold = rig.append(b"cold", 2);
    for _ in 0..60 {
        rig.append(&[1; 500], 1);
        rig.settle();
    }
    let segments = rig.log.stats().segments;
    assert_eq!(rig.log.recycle(&|_, _, _| false, &|_| Ok(())).unwrap(), 0);
    assert_eq!(rig.log.oldest_dirty().unwrap().1, [TableId(1), TableId(2)]);
    // Table 1 is flushed; table 2 holds only the first segment back.
    let flushed = rig.log.with_lock(|tail| tail);
    let covered = |table, start: LogPosition, end| {
        assert!(start < end && end <= flushed);
        table == TableId(1)
    };
    assert_eq!(rig.log.recycle(&covered, &|_| Ok(())).unwrap() as u64, segments - 2);
    assert_eq!(rig.log.stats().segments, 2);
    let interval =
        |table, start, end| table == TableId(1) || (start, end) == (cold.start, cold.end);
    assert_eq!(rig.log.recycle(&interval, &|_| Ok(())).unwrap(), 1);
    rig.log.close().unwrap();
    let left = reread(&disk, &small()).unwrap();
    assert!(left.iter().all(|mutation| mutation == &[1; 500]));
    let spares = files(&disk).into_iter().filter(|path| path.to_string_lossy().contains("spare"));
    assert_eq!(spares.count(), 2, "two files are kept for reuse");
}

#[test]
fn a_segment_that_is_not_durable_yet_is_not_recycled() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &small()).unwrap();
    rig.settle();
    for _ in 0..10 {
        rig.append(&[1; 500], 1);
    }
    assert_eq!(rig.log.stats().segments, 2);
    assert_eq!(rig.log.recycle(&|_, _, _| true, &|_| Ok(())).unwrap(), 0);
    rig.settle();
    assert_eq!(rig.log.recycle(&|_, _, _| true, &|_| Ok(())).unwrap(), 1);
}

#[test]
fn a_recycled_file_never_shows_its_earlier_life() {
    let disk = disk(1);
    let mut expected = Vec::new();
    for round in 0..20u8 {
        let (rig, replay) = Rig::open_seeded(&disk, &small(), round.into()).unwrap();
        assert_eq!(records(replay).unwrap().len(), expected.len());
        expected.clear();
        rig.settle();
        assert!(rig.log.recycle(&|_, _, _| true, &|_| Ok(())).unwrap() > 0 || round == 0);
        for i in 0..(round % 5 + 1) * 4 {
            rig.append(&[round, i], 1);
            expected.push(vec![round, i]);
        }
        rig.settle();
        disk.crash_process();
    }
}

#[test]
fn segments_of_earlier_runs_are_recycled_after_their_replay() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &small()).unwrap();
    rig.settle();
    let appended = rig.append(b"x", 5);
    rig.log.close().unwrap();
    let (rig, replay) = Rig::open(&disk, &small()).unwrap();
    assert_eq!(rig.log.recycle(&|_, _, _| true, &|_| Ok(())).unwrap(), 0, "not replayed yet");
    records(replay).unwrap();
    let interval = |table, start, end| {
        assert_eq!((table, start, end), (TableId(5), appended.start, appended.end));
        true
    };
    assert_eq!(rig.log.recycle(&interval, &|_| Ok(())).unwrap(), 1);
    drop(rig);
    assert!(reread(&disk, &small()).unwrap().is_empty());
}

#[test]
fn a_closed_log_takes_nothing_and_starts_clean() {
    let disk = disk(1);
    let (rig, _) = Rig::open(&disk, &small()).unwrap();
    rig.append(b"x", 1);
    rig.log.close().unwrap();
    rig.log.close().unwrap();
    let error = rig.log.append(&[b"y"], &[], |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(rig.log.sync_step(), SyncStep::Idle);
    disk.power_cut(Default::default());
    assert_eq!(reread(&disk, &small()).unwrap(), [b"x"]);
}

#[test]
fn restarts_without_writes_do_not_pile_up_files() {
    let disk = disk(1);
    for _ in 0..20 {
        let (rig, replay) = Rig::open(&disk, &small()).unwrap();
        assert!(records(replay).unwrap().is_empty());
        rig.settle();
        disk.crash_process();
    }
    assert!(disk.list(crate::log_rig::dir()).unwrap().len() <= 4);
}

#[test]
fn a_segment_size_out_of_range_is_refused() {
    let disk = disk(1);
    for segment_bytes in [0, 1023, (1 << 30) + 1] {
        let options = LogOptions { segment_bytes, ..LogOptions::default() };
        let error = Rig::open(&disk, &options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn segments_of_another_size_are_read_and_reused() {
    let disk = disk(1);
    for (round, segment_bytes) in [4096, 16384, 2048, 8192].into_iter().enumerate() {
        let options = LogOptions { segment_bytes, ..small() };
        let (rig, replay) = Rig::open(&disk, &options).unwrap();
        assert_eq!(records(replay).unwrap().len(), if round == 0 { 0 } else { 40 });
        rig.settle();
        rig.log.recycle(&|_, _, _| true, &|_| Ok(())).unwrap();
        for _ in 0..40 {
            rig.append(&[7; 300], 1);
            rig.settle();
        }
        disk.crash_process();
    }
}
