//! What reads cost, what writers refuse, what statistics say, and what survives a power cut.

use std::path::Path;
use std::sync::Arc;

use helenus_platform::disk::{CutOptions, Disk, FaultyDisk};
use helenus_storage::model::{
    Cell, ColumnId, Deletion, Liveness, LogPosition, PartitionBound, PartitionHead, PositionRange,
    RowBuilder, Slice, SsTableId, Unfiltered,
};
use helenus_storage::sstable::{
    BlockAccess, BlockCache, BlockingAccess, CacheAccess, ReadStop, SsTable, SsTableWriter, verify,
};
use helenus_storage::{Compression, ErrorKind};

use super::support::{
    FlakyAccess, ModelPartition, key, memory_disk, numbered, numbered_rows, options, row, write,
};

fn narrow(count: i64) -> Vec<ModelPartition> {
    (0..count).map(|n| numbered_rows(key(n * 10, b"some key"), 1, 100)).collect()
}

#[test]
fn an_absent_key_costs_no_block_and_a_present_one_costs_two() {
    let table = write(&memory_disk(), 1, options(), &narrow(10_000), &BlockCache::new(0));
    let access = FlakyAccess::new(&table, 0, 1);
    let mut cursor = table.cursor();
    let mut find = |token, bytes: &[u8]| {
        let before = access.asked.get();
        let found = access.retry(|access| cursor.seek_partition(access, &key(token, bytes)));
        (found.is_some(), access.asked.get() - before)
    };
    for outside in [-1, 99_991, i64::MAX, i64::MIN] {
        assert_eq!(find(outside, b"some key"), (false, 0));
    }
    let false_positives = (0..10_000).filter(|n| find(n * 10 + 1, b"some key").1 > 0).count();
    assert!(false_positives < 200, "{false_positives}");
    assert!(!find(50_000, b"some other key").0);
    assert_eq!(find(50_000, b"some key"), (true, 0), "the cursor holds its blocks");
    assert_eq!(find(20_000, b"some key"), (true, 1), "the cursor holds the index block");
    let access = FlakyAccess::new(&table, 0, 1);
    let mut fresh = table.cursor();
    let wanted = key(70_000, b"some key");
    assert!(access.retry(|access| fresh.seek_partition(access, &wanted)).is_some());
    assert_eq!(access.asked.get(), 2);
    fresh.slice(&PositionRange::whole(), false);
    assert!(access.retry(|access| fresh.next(access)).is_some());
    assert!(access.retry(|access| fresh.next(access)).is_none());
    assert_eq!(access.asked.get(), 2, "a small partition is read from one block");
}

fn refusal(items: &[Unfiltered], end: bool) -> String {
    let disk = memory_disk();
    let dir = Path::new("/data");
    disk.create_dir_all(dir).unwrap();
    let mut writer = SsTableWriter::create(&disk, dir, SsTableId([1; 16]), options()).unwrap();
    let head = |key| PartitionHead { key, deletion: Deletion::NONE, static_row: None };
    writer.partition(&head(key(3, b"k"))).unwrap();
    let pushed = items.iter().try_for_each(|item| writer.push(item));
    let error = match pushed {
        Ok(()) if end => writer.end_partition().unwrap_err(),
        Ok(()) => writer.partition(&head(key(2, b"k"))).unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Invalid);
    writer.abandon().unwrap();
    assert_eq!(disk.list(dir).unwrap(), []);
    error.to_string()
}

#[test]
fn disorder_is_refused() {
    let at = |number| Unfiltered::Row { position: numbered(number), row: row(1, b"v") };
    let marker = |position: &[u8], before, after| Unfiltered::Marker {
        position: Slice::copy(position),
        before,
        after,
    };
    let (none, some) = (Deletion::NONE, Deletion::new(3, 4));
    assert!(refusal(&[at(2), at(1)], true).contains("positions are out of order"));
    assert!(refusal(&[at(2), at(2)], true).contains("positions are out of order"));
    assert!(refusal(&[marker(&[0], some, none)], true).contains("do not follow each other"));
    assert!(refusal(&[marker(&[0], none, some)], true).contains("open at the end"));
    assert!(refusal(&[at(1)], false).contains("begins inside another"));
    let disk = memory_disk();
    disk.create_dir_all(Path::new("/data")).unwrap();
    let id = SsTableId([1; 16]);
    let mut writer = SsTableWriter::create(&disk, Path::new("/data"), id, options()).unwrap();
    for key in [key(3, b"k"), key(3, b"k")] {
        let head = PartitionHead { key, deletion: none, static_row: None };
        match writer.partition(&head) {
            Ok(()) => writer.end_partition().unwrap(),
            Err(error) => assert!(error.to_string().contains("partitions are out of order")),
        }
    }
}

#[test]
fn statistics_tell_what_was_written() {
    let mut first = RowBuilder::new();
    first.liveness(Liveness { timestamp: 50, ttl: 10, expiry: 1010 });
    first.cell(Cell::live(ColumnId(1), 50, b"value"));
    first.cell(Cell::expiring(ColumnId(2), 60, 10, 2000, b"value"));
    let mut second = RowBuilder::new();
    second.deletion(Deletion::new(40, 500));
    let mut static_row = RowBuilder::new();
    static_row.column_deletion(ColumnId(3), Deletion::new(30, 600));
    let bytes = |builder: RowBuilder| Slice::from(builder.finish().unwrap());
    let open = Deletion::new(35, 700);
    let items = vec![
        Unfiltered::Row { position: numbered(1), row: bytes(first) },
        Unfiltered::Row { position: numbered(2), row: bytes(second) },
        Unfiltered::Marker { position: Slice::copy(&[0x40]), before: Deletion::NONE, after: open },
        Unfiltered::Marker { position: Slice::copy(&[0xFF]), before: open, after: Deletion::NONE },
    ];
    let head = PartitionHead {
        key: key(-4, b"one"),
        deletion: Deletion::new(20, 400),
        static_row: Some(bytes(static_row)),
    };
    let last = numbered_rows(key(9, b"two"), 1, 3);
    let mut options = options();
    options.log_intervals = vec![(LogPosition(5), LogPosition(9))];
    options.pending_session = Some([6; 16]);
    let partitions = [ModelPartition { head, items }, last];
    let table = write(&memory_disk(), 1, options, &partitions, &BlockCache::new(0));
    table.verify().unwrap();
    assert_eq!(table.header().log_intervals, [(LogPosition(5), LogPosition(9))]);
    assert_eq!(table.header().pending_session, Some([6; 16]));
    let stats = table.stats();
    assert_eq!((stats.partitions, stats.rows, stats.static_rows, stats.cells), (2, 3, 1, 3));
    assert_eq!((stats.partition_deletions, stats.markers, stats.row_deletions), (1, 2, 1));
    assert_eq!((stats.column_deletions, stats.cell_tombstones, stats.expiring), (1, 0, 2));
    assert_eq!((stats.min_timestamp, stats.max_timestamp), (0, 60));
    let times = (stats.min_local_deletion_time, stats.max_local_deletion_time);
    assert_eq!(times, (400, i64::MAX));
    assert_eq!(stats.keys, Some((key(-4, b"one"), key(9, b"two"))));
    assert_eq!(stats.positions, Some((numbered(0), Slice::copy(&[0xFF]))));
    assert_eq!((stats.drop_times.total(), stats.drop_times.before(721)), (6, 4));
}

#[test]
fn the_cache_keeps_its_budget_and_scans_leave_no_trace() {
    let disk = memory_disk();
    let cache = BlockCache::new(1 << 20);
    let table = write(&disk, 1, options(), &narrow(40_000), &cache);
    let scan = |access: &dyn BlockAccess| {
        let mut cursor = table.cursor();
        let mut bound = PartitionBound::Min;
        let mut count = 0;
        while let Some(head) = cursor.next_partition(access, &bound).unwrap() {
            cursor.slice(&PositionRange::whole(), false);
            while cursor.next(access).unwrap().is_some() {
                count += 1;
            }
            bound = PartitionBound::AfterKey(head.key);
        }
        assert_eq!(count, 40_000);
    };
    scan(&BlockingAccess::new(Some(&cache)));
    assert_eq!(cache.held_bytes(), 0);
    scan(&CacheAccess::new(&cache));
    assert!((1 << 19..=1 << 20).contains(&cache.held_bytes()), "{cache:?}");
    cache.forget(table.handle());
    assert_eq!(cache.held_bytes(), 0);
}

#[test]
fn a_cold_block_is_missing_until_it_is_fetched_even_without_a_cache() {
    // This disk never answers without waiting.
    let faulty = FaultyDisk::new(1);
    faulty.set_cold(1.0);
    let disk: Arc<dyn Disk> = Arc::new(faulty);
    let table = write(&disk, 1, options(), &narrow(1000), &BlockCache::new(0));
    let cache = BlockCache::new(0);
    let access = CacheAccess::new(&cache);
    let mut cursor = table.cursor();
    let mut missing = 0;
    let found = loop {
        match cursor.seek_partition(&access, &key(500, b"some key")) {
            Ok(found) => break found,
            Err(ReadStop::Missing(block)) => {
                missing += 1;
                access.fetch(&table, block).unwrap();
            }
            Err(ReadStop::Error(error)) => panic!("{error}"),
        }
    };
    assert!(found.is_some());
    assert_eq!(missing, 2, "an index block and a data block");
}

#[test]
fn after_a_power_cut_a_table_is_whole_or_not_there() {
    let partitions = [numbered_rows(key(1, b"k"), 20_000, 40)];
    let write = |disk: &FaultyDisk| {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let dir = Path::new("/data");
        disk.create_dir_all(dir)?;
        disk.sync_dir(Path::new("/"))?;
        let mut options = options();
        options.sync_bytes = 100_000;
        options.compression = Compression::None;
        let id = SsTableId([1; 16]);
        let mut writer = SsTableWriter::create(&disk, dir, id, options)?;
        for partition in &partitions {
            writer.partition(&partition.head)?;
            partition.items.iter().try_for_each(|item| writer.push(item))?;
            writer.end_partition()?;
        }
        let table: Arc<SsTable> = writer.finish(&BlockCache::new(0))?;
        Ok::<_, Box<dyn std::error::Error>>(table)
    };
    let disk = FaultyDisk::new(0);
    write(&disk).unwrap();
    let syncs = disk.syncs();
    assert!(syncs > 4, "{syncs}");
    for cut in 1..=syncs + 1 {
        let disk = FaultyDisk::new(cut);
        disk.cut_at_sync(cut);
        let written = write(&disk).is_ok();
        assert_eq!(written, cut > syncs);
        disk.power_cut(CutOptions { torn: true, reorder: true });
        let path = Path::new("/data").join(format!("{}.sst", SsTableId([1; 16])));
        let there = disk.exists(&path).unwrap_or(false);
        assert!(there || !written, "cut {cut}: a finished table is gone");
        if there {
            verify(&disk, &path).unwrap();
        }
    }
}

#[test]
fn blocks_side_by_side_are_fetched_together() {
    let faulty = FaultyDisk::new(1);
    faulty.set_cold(1.0);
    let disk: Arc<dyn Disk> = Arc::new(faulty);
    let mut options = options();
    options.block_bytes = 2000;
    let partition = numbered_rows(key(1, b"k"), 20_000, 40);
    let wanted = partition.head.key.clone();
    let table = write(&disk, 1, options, &[partition], &BlockCache::new(0));
    for reversed in [false, true] {
        let cache = BlockCache::new(64 << 20);
        let access = CacheAccess::new(&cache);
        let mut cursor = table.cursor();
        let (mut stops, mut rows, mut begun) = (0, 0, false);
        loop {
            let stop = match begun {
                false => cursor.seek_partition(&access, &wanted).map(|found| {
                    assert!(found.is_some());
                    cursor.slice(&PositionRange::whole(), reversed);
                    begun = true;
                }),
                true => match cursor.next(&access) {
                    Ok(None) => break,
                    Ok(Some(_)) => {
                        rows += 1;
                        Ok(())
                    }
                    Err(stop) => Err(stop),
                },
            };
            if let Err(stop) = stop {
                let ReadStop::Missing(block) = stop else { panic!("{stop:?}") };
                stops += 1;
                let ahead = cursor.ahead(block, reversed, 16);
                assert_eq!(ahead[0], block);
                for (name, read) in table.read_blocks(&ahead).unwrap() {
                    cache.insert(name, read);
                }
            }
        }
        assert_eq!(rows, 20_000);
        let blocks = table.stats().content_bytes / 2000;
        assert!(blocks > 300 && stops < blocks / 8, "{stops} stops for {blocks} blocks");
    }
}
