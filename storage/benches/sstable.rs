//! SSTables on their own: writing, reading by key, scanning, slices of a wide partition.
//!
//! `cargo bench -p helenus-storage --bench sstable`; a smoke size by default,
//! `HELENUS_BENCH_ROWS=1000000` for figures worth writing down.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use helenus_platform::disk::{Disk, MemoryDisk};
use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::{
    Cell, ColumnId, Deletion, Liveness, PartitionBound, PartitionHead, PartitionKey, PositionRange,
    RowBuilder, Slice, SsTableId, TableId, Unfiltered,
};
use helenus_storage::sstable::{
    BlockCache, BlockingAccess, CacheAccess, SsTable, SsTableWriter, WriterOptions, murmur3_token,
};

const VALUE_BYTES: usize = 200;

fn rows() -> u64 {
    std::env::var("HELENUS_BENCH_ROWS").map_or(20_000, |rows| rows.parse().unwrap())
}

/// Half random, so that blocks compress to about half.
fn row(random: &SeededRandom, timestamp: i64, bytes: usize) -> Slice {
    let mut value = vec![b'v'; bytes];
    random.fill(&mut value[..bytes / 2]);
    let mut builder = RowBuilder::new();
    builder.liveness(Liveness::new(timestamp));
    builder.cell(Cell::live(ColumnId(1), timestamp, &value));
    Slice::from(builder.finish().unwrap())
}

fn writer(disk: &MemoryDisk, id: u8) -> SsTableWriter {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = Path::new("/bench");
    disk.create_dir_all(dir).unwrap();
    SsTableWriter::create(&disk, dir, SsTableId([id; 16]), WriterOptions::new(TableId(1))).unwrap()
}

fn head(number: u64) -> PartitionHead {
    let key = Slice::copy(format!("{number:016}").as_bytes());
    let key = PartitionKey { token: murmur3_token(&key), key };
    PartitionHead { key, deletion: Deletion::NONE, static_row: None }
}

/// Single-row partitions, in token order.
fn narrow_input() -> Vec<(PartitionHead, Unfiltered)> {
    let random = SeededRandom::new(1);
    let mut heads: Vec<_> = (0..rows()).map(head).collect();
    heads.sort_by(|a, b| a.key.cmp(&b.key));
    let position = Slice::copy(&[0x80]);
    let mut timestamp = 1_700_000_000_000_000;
    let item = |head| {
        timestamp += 17;
        let row = row(&random, timestamp, VALUE_BYTES);
        (head, Unfiltered::Row { position: position.clone(), row })
    };
    heads.into_iter().map(item).collect()
}

fn write_narrow(
    disk: &MemoryDisk,
    id: u8,
    input: &[(PartitionHead, Unfiltered)],
    cache: &BlockCache,
) -> Arc<SsTable> {
    let mut writer = writer(disk, id);
    for (head, item) in input {
        writer.partition(head).unwrap();
        writer.push(item).unwrap();
        writer.end_partition().unwrap();
    }
    writer.finish(cache).unwrap()
}

fn position(number: u64) -> Slice {
    Slice::from([&[0x30][..], &number.to_be_bytes(), &[0x80]].concat())
}

fn write_wide(disk: &MemoryDisk, id: u8, cache: &BlockCache) -> (PartitionKey, Arc<SsTable>) {
    let random = SeededRandom::new(2);
    let mut writer = writer(disk, id);
    let head = head(0);
    writer.partition(&head).unwrap();
    for number in 0..rows() {
        let row = row(&random, 1_700_000_000_000_000 + number as i64 * 17, VALUE_BYTES);
        writer.push(&Unfiltered::Row { position: position(number), row }).unwrap();
    }
    writer.end_partition().unwrap();
    (head.key, writer.finish(cache).unwrap())
}

fn writing(c: &mut Criterion) {
    let input = narrow_input();
    let disk = MemoryDisk::new();
    let cache = BlockCache::new(0);
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(rows())).sample_size(10);
    group.bench_function("partitions of one row", |b| {
        b.iter(|| {
            let table = write_narrow(&disk, 1, &input, &cache);
            disk.remove(table.path()).unwrap();
        });
    });
    group.finish();
}

fn by_key(c: &mut Criterion) {
    let cache = BlockCache::new(4 << 30);
    let input = narrow_input();
    let disk = MemoryDisk::new();
    let table = write_narrow(&disk, 1, &input, &cache);
    let random = SeededRandom::new(3);
    let access = CacheAccess::new(&cache);
    let whole = PositionRange::whole();
    let mut group = c.benchmark_group("by key");
    group.throughput(Throughput::Elements(1));
    let pick = || &input[(random.next_u64() % rows()) as usize].0.key;
    group.bench_function("present, cached", |b| {
        b.iter(|| {
            let mut cursor = table.cursor();
            cursor.seek_partition(&access, pick()).unwrap().unwrap();
            cursor.slice(&whole, false);
            black_box(cursor.next(&access).unwrap().unwrap());
        });
    });
    group.bench_function("absent", |b| {
        b.iter(|| {
            let mut key = pick().clone();
            key.token.0 ^= 1;
            black_box(table.cursor().seek_partition(&access, &key).unwrap())
        });
    });
    group.bench_function("present, not cached", |b| {
        let access = BlockingAccess::new(None);
        b.iter(|| black_box(table.cursor().seek_partition(&access, pick()).unwrap().unwrap()));
    });
    group.finish();
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Elements(rows())).sample_size(10);
    group.bench_function("partitions of one row", |b| {
        b.iter(|| {
            let mut cursor = table.cursor();
            let mut bound = PartitionBound::Min;
            while let Some(head) = cursor.next_partition(&access, &bound).unwrap() {
                cursor.slice(&whole, false);
                while let Some(item) = cursor.next(&access).unwrap() {
                    black_box(item);
                }
                bound = PartitionBound::AfterKey(head.key);
            }
        });
    });
    group.finish();
}

fn wide(c: &mut Criterion) {
    let cache = BlockCache::new(4 << 30);
    let disk = MemoryDisk::new();
    let (key, table) = write_wide(&disk, 2, &cache);
    let access = CacheAccess::new(&cache);
    let random = SeededRandom::new(4);
    let mut group = c.benchmark_group("wide partition");
    for (name, length, reversed) in
        [("one row", 1, false), ("100 rows", 100, false), ("100 rows, reversed", 100, true)]
    {
        group.throughput(Throughput::Elements(length));
        group.bench_function(name, |b| {
            let mut cursor = table.cursor();
            cursor.seek_partition(&access, &key).unwrap().unwrap();
            b.iter(|| {
                let first = random.next_u64() % (rows() - length);
                let range = PositionRange::new(position(first), position(first + length));
                cursor.slice(&range, reversed);
                let mut count = 0;
                while let Some(item) = cursor.next(&access).unwrap() {
                    black_box(item);
                    count += 1;
                }
                assert_eq!(count, length);
            });
        });
    }
    group.throughput(Throughput::Elements(rows())).sample_size(10);
    for (name, reversed) in [("whole", false), ("whole, reversed", true)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut cursor = table.cursor();
                cursor.seek_partition(&access, &key).unwrap().unwrap();
                cursor.slice(&PositionRange::whole(), reversed);
                while let Some(item) = cursor.next(&access).unwrap() {
                    black_box(item);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, writing, by_key, wide);
criterion_main!(benches);
