//! Random tables against the model: every partition, random slices in both directions, with
//! blocks that are missing at random.

use helenus_storage::model::{PartitionBound, PartitionKey, PositionRange, Token};
use helenus_storage::options::Compression;
use helenus_storage::sstable::{BlockCache, SsTableCursor};

use super::support::{
    FlakyAccess, Generator, ModelPartition, expected, key, memory_disk, options, write,
};

fn read_slice(
    cursor: &mut SsTableCursor,
    access: &FlakyAccess,
    partition: &ModelPartition,
    range: &PositionRange,
    reversed: bool,
) {
    cursor.slice(range, reversed);
    let mut found = Vec::new();
    while let Some(item) = access.retry(|access| cursor.next(access)) {
        found.push(item);
    }
    assert_eq!(found, expected(&partition.items, range, reversed), "{range:?} {reversed}");
    assert!(access.retry(|access| cursor.next(access)).is_none());
}

fn random_bound(generator: &Generator, partitions: &[ModelPartition]) -> PartitionBound {
    let pick = &partitions[generator.below(partitions.len() as u64) as usize].head.key;
    let near = PartitionKey {
        token: Token(pick.token.0.saturating_add(generator.below(3) as i64 - 1)),
        key: pick.key.sub(0..pick.key.len() - pick.key.len().min(generator.below(2) as usize)),
    };
    match generator.below(8) {
        0 => PartitionBound::Min,
        1 => PartitionBound::Max,
        2 => PartitionBound::Before(near.token),
        3 => PartitionBound::After(near.token),
        4 => PartitionBound::AtKey(near),
        5 => PartitionBound::AfterKey(near),
        6 => PartitionBound::AtKey(pick.clone()),
        _ => PartitionBound::AfterKey(pick.clone()),
    }
}

fn check(seed: u64) {
    let generator = Generator::new(seed);
    let (partitions, spread) = generator.partitions();
    let mut options = options();
    options.block_bytes = [64, 500, 4096, 16 << 10][generator.below(4) as usize];
    options.compression = [Compression::None, Compression::Lz4][generator.below(2) as usize];
    options.bloom_fp_chance = [0.01, 1.0][generator.below(2) as usize];
    let disk = memory_disk();
    let table = write(&disk, 1, options, &partitions, &BlockCache::new(0));
    table.verify().unwrap();
    assert_eq!(table.stats().partitions, partitions.len() as u64);
    let access = FlakyAccess::new(&table, [0, 30, 100][generator.below(3) as usize], seed);

    // By key, in random order, with random slices.
    let mut cursor = table.cursor();
    for _ in 0..100 {
        let partition = &partitions[generator.below(partitions.len() as u64) as usize];
        let head = access.retry(|access| cursor.seek_partition(access, &partition.head.key));
        assert_eq!(head.as_ref(), Some(&partition.head));
        for _ in 0..generator.below(4) {
            let (range, reversed) = (generator.range(spread), generator.below(2) == 0);
            read_slice(&mut cursor, &access, partition, &range, reversed);
        }
    }
    for number in 0..50 {
        let absent = key(number * 7 - 600, b"absent key");
        assert!(access.retry(|access| cursor.seek_partition(access, &absent)).is_none());
    }

    // As a scan, with jumps.
    let mut bound = PartitionBound::Min;
    for _ in 0..300 {
        let next = partitions.iter().find(|p| bound.is_before(p.head.key.as_ref()));
        let head = access.retry(|access| cursor.next_partition(access, &bound));
        assert_eq!(head.as_ref(), next.map(|p| &p.head), "{bound:?}");
        bound = match next {
            Some(partition) => {
                if generator.below(2) == 0 {
                    let (range, reversed) = (generator.range(spread), generator.below(2) == 0);
                    read_slice(&mut cursor, &access, partition, &range, reversed);
                }
                PartitionBound::AfterKey(partition.head.key.clone())
            }
            None => random_bound(&generator, &partitions),
        };
        if generator.below(10) == 0 {
            bound = random_bound(&generator, &partitions);
        }
    }
}

#[test]
fn random_tables_read_like_the_model() {
    for seed in 0..150 {
        let run = std::panic::catch_unwind(|| check(seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}
