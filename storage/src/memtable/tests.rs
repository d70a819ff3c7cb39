//! The memtable beside plain maps that merge only when they are asked.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::model::position::ROW;
use crate::model::{
    Cell, ColumnId, Deletion, KeyspaceId, Liveness, MutationBuilder, MutationRef, PositionRange,
    RangeTombstones, RowBuilder, RowRef, Unfiltered, merge_rows,
};

const TABLE: TableId = TableId(7);

/// One thing an update says; keys, positions and timestamps collide on purpose.
#[derive(Clone, Debug)]
enum Part {
    Row { position: u8, column: u32, timestamp: i64, bytes: usize },
    Element { position: u8, path: u16, timestamp: i64 },
    Static { timestamp: i64 },
    DeleteRow { position: u8, timestamp: i64 },
    DeleteRange { start: u8, end: u8, timestamp: i64 },
    DeletePartition { timestamp: i64 },
}

fn part() -> impl Strategy<Value = Part> {
    let (position, timestamp) = (0..12u8, 0..50i64);
    let bytes = prop_oneof![8 => 0..40usize, 1 => 1000..5000usize];
    prop_oneof![
        6 => (position.clone(), 1..4u32, timestamp.clone(), bytes).prop_map(
            |(position, column, timestamp, bytes)| Part::Row { position, column, timestamp, bytes }
        ),
        3 => (0..2u8, any::<u16>(), timestamp.clone())
            .prop_map(|(position, path, timestamp)| Part::Element { position, path, timestamp }),
        1 => timestamp.clone().prop_map(|timestamp| Part::Static { timestamp }),
        1 => (position.clone(), timestamp.clone())
            .prop_map(|(position, timestamp)| Part::DeleteRow { position, timestamp }),
        1 => (position, 1..9u8, timestamp.clone()).prop_map(|(start, length, timestamp)| {
            Part::DeleteRange { start, end: start + length, timestamp }
        }),
        1 => timestamp.prop_map(|timestamp| Part::DeletePartition { timestamp }),
    ]
}

fn at(position: u8) -> Slice {
    Slice::copy(&[0x30, position, ROW])
}

fn key(number: u8) -> PartitionKey {
    // Several keys share a token.
    let token = Token((i64::from(number) / 3 - 1) * (i64::MAX / 2));
    PartitionKey { token, key: Slice::copy(&[b'k', number]) }
}

fn row(build: impl FnOnce(&mut RowBuilder) -> &mut RowBuilder) -> Vec<u8> {
    let mut row = RowBuilder::new();
    build(&mut row);
    row.finish().unwrap()
}

/// A partition, nothing merged.
#[derive(Clone, Default)]
struct Model {
    deletion: Deletion,
    newest: LogPosition,
    static_rows: Vec<Vec<u8>>,
    rows: BTreeMap<Slice, Vec<Vec<u8>>>,
    ranges: RangeTombstones,
}

impl Model {
    fn row(&mut self, mutation: &mut MutationBuilder, position: u8, row: Vec<u8>) {
        mutation.table(TABLE).row(&at(position), &row);
        self.rows.entry(at(position)).or_default().push(row);
    }

    /// Adds the part to the mutation and to the model.
    fn add(&mut self, part: &Part, mutation: &mut MutationBuilder) {
        match *part {
            Part::Row { position, column, timestamp, bytes } => {
                let value = vec![timestamp as u8; bytes];
                let row = row(|row| {
                    row.liveness(Liveness::new(timestamp));
                    row.cell(Cell::live(ColumnId(column), timestamp, &value))
                });
                self.row(mutation, position, row);
            }
            Part::Element { position, path, timestamp } => {
                let path = path.to_be_bytes();
                let cell = Cell::live(ColumnId(9), timestamp, b"element").with_path(&path);
                self.row(mutation, position, row(|row| row.cell(cell)));
            }
            Part::Static { timestamp } => {
                let cell = Cell::live(ColumnId(5), timestamp, b"static");
                let row = row(|row| row.cell(cell));
                mutation.table(TABLE).static_row(&row).unwrap();
                self.static_rows.push(row);
            }
            Part::DeleteRow { position, timestamp } => {
                let deletion = Deletion::new(timestamp, 1);
                self.row(mutation, position, row(|row| row.deletion(deletion)));
            }
            Part::DeleteRange { start, end, timestamp } => {
                let range = PositionRange::new(at(start), at(end));
                let deletion = Deletion::new(timestamp, 1);
                mutation.table(TABLE).range_tombstone(&range, deletion);
                self.ranges.add(&range, deletion);
            }
            Part::DeletePartition { timestamp } => {
                let deletion = Deletion::new(timestamp, 1);
                mutation.table(TABLE).partition_deletion(deletion);
                self.deletion = self.deletion.newer(deletion);
            }
        }
    }

    fn items(&self, range: &PositionRange, reversed: bool) -> Vec<Unfiltered> {
        let rows = self.rows.iter().filter(|(position, _)| range.contains(position));
        let mut items: Vec<_> = rows
            .map(|(position, rows)| {
                let (position, row) = (position.clone(), merged(rows));
                Unfiltered::Row { position, row }
            })
            .chain(self.ranges.markers(range, false))
            .collect();
        let is_row = |item: &Unfiltered| matches!(item, Unfiltered::Row { .. });
        items.sort_by_key(|item| (item.position().clone(), is_row(item)));
        if reversed {
            items.reverse();
        }
        items
    }
}

fn merged(rows: &[Vec<u8>]) -> Slice {
    let rows: Vec<_> = rows.iter().map(|row| RowRef::parse(row).unwrap()).collect();
    let mut out = Vec::new();
    assert!(merge_rows(&rows, Deletion::NONE, &mut out).unwrap());
    Slice::from(out)
}

fn check(partition: &MemPartition, model: &Model, range: &PositionRange) {
    let head = partition.head().unwrap();
    assert_eq!((head.deletion, partition.newest()), (model.deletion, model.newest));
    let static_row = (!model.static_rows.is_empty()).then(|| merged(&model.static_rows));
    assert_eq!(head.static_row, static_row);
    for range in [range, &PositionRange::whole()] {
        for reversed in [false, true] {
            let items = partition.iter(range, reversed).collect::<Result<Vec<_>>>().unwrap();
            assert_eq!(items, model.items(range, reversed), "{range:?} reversed: {reversed}");
        }
    }
}

fn apply(memtable: &Memtable, mutation: MutationBuilder, position: u64) {
    let bytes = mutation.finish().unwrap();
    let mutation = MutationRef::parse(&bytes).unwrap();
    for update in mutation.tables() {
        memtable.apply(mutation.key(), &update.unwrap(), LogPosition(position)).unwrap();
    }
}

fn scan(memtable: &Memtable) -> Vec<(PartitionKey, MemPartition)> {
    let mut after = PartitionBound::Min;
    std::iter::from_fn(|| {
        let found = memtable.next_partition(&after)?;
        after = PartitionBound::AfterKey(found.0.clone());
        Some(found)
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_gives_back_what_was_written(
        updates in vec((0..9u8, vec(part(), 1..4)), 1..120),
        shards in 1..9usize, start in 0..12u8, end in 0..12u8
    ) {
        let memtable = Memtable::new(TABLE, shards, LogPosition::START);
        let mut models: BTreeMap<PartitionKey, Model> = BTreeMap::new();
        let range = PositionRange::new(at(start), at(end));
        let mut snapshot = None;
        for (index, (number, parts)) in updates.iter().enumerate() {
            let key = key(*number);
            let mut mutation = MutationBuilder::new(KeyspaceId(1), key.as_ref());
            mutation.table(TABLE);
            let mut model = models.get(&key).cloned().unwrap_or_default();
            parts.iter().for_each(|part| model.add(part, &mut mutation));
            model.newest = LogPosition(index as u64 + 1);
            models.insert(key.clone(), model.clone());
            apply(&memtable, mutation, index as u64 + 1);
            if index == updates.len() / 2 {
                snapshot = memtable.partition(&key).map(|partition| (partition, model));
            }
        }
        if let Some((partition, model)) = &snapshot {
            check(partition, model, &range);
        }
        let found = scan(&memtable);
        let keys: Vec<_> = found.iter().map(|(key, _)| key.clone()).collect();
        prop_assert_eq!(keys, models.keys().cloned().collect::<Vec<_>>());
        prop_assert_eq!(memtable.partitions(), models.len());
        for (key, partition) in &found {
            check(partition, &models[key], &range);
            check(&memtable.partition(key).unwrap(), &models[key], &range);
        }
    }
}

#[test]
fn a_row_that_grows_by_elements_is_not_copied_at_each() {
    let memtable = Memtable::new(TABLE, 1, LogPosition::START);
    let key = key(1);
    let mut model = Model::default();
    for path in 0..20_000u16 {
        let mut mutation = MutationBuilder::new(KeyspaceId(1), key.as_ref());
        let part = Part::Element { position: 0, path: path.wrapping_mul(40_503), timestamp: 1 };
        model.add(&part, &mut mutation);
        apply(&memtable, mutation, 1);
    }
    model.newest = LogPosition(1);
    let partition = memtable.partition(&key).unwrap();
    let Slot::Wide(wide) = &partition.slot else { panic!("a large partition is wide") };
    let row = wide.rows.get(&at(0)).unwrap();
    assert!((2..12).contains(&row.versions()), "{} versions", row.versions());
    check(&partition, &model, &PositionRange::whole());
}

#[test]
fn readers_see_an_update_whole_or_not_at_all() {
    let memtable = Memtable::new(TABLE, 4, LogPosition::START);
    let key = key(2);
    let write = |number: i64| {
        let value = number.to_be_bytes();
        let row = row(|row| row.cell(Cell::live(ColumnId(1), number, &value)));
        let mut mutation = MutationBuilder::new(KeyspaceId(1), key.as_ref());
        let update = mutation.table(TABLE);
        for position in 0..40 {
            update.row(&at(position), &row);
        }
        apply(&memtable, mutation, number as u64);
    };
    write(0);
    let all_rows = || {
        let partition = memtable.partition(&key).unwrap();
        let rows: Vec<_> = partition
            .iter(&PositionRange::whole(), false)
            .map(|item| match item.unwrap() {
                Unfiltered::Row { row, .. } => row,
                marker => panic!("no range was deleted: {marker:?}"),
            })
            .collect();
        assert_eq!(rows.len(), 40);
        assert!(rows.iter().all(|row| *row == rows[0]), "half an update shows");
        partition.newest()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| (1..2000).for_each(write));
        while all_rows() < LogPosition(1999) {}
    });
}

#[test]
fn a_malformed_update_changes_nothing() {
    let memtable = Memtable::new(TABLE, 1, LogPosition::START);
    let key = key(0);
    let good = row(|row| row.liveness(Liveness::new(1)));
    let mut bad = row(|row| row.cell(Cell::live(ColumnId(1), 1, b"value")));
    bad.truncate(bad.len() - 1);
    for (position, row) in [(at(2), &bad), (Slice::copy(&[0x30, 2, 0xFF]), &good)] {
        let mut mutation = MutationBuilder::new(KeyspaceId(1), key.as_ref());
        mutation.table(TABLE).row(&at(1), &good).row(&position, row);
        let bytes = mutation.finish().unwrap();
        let mutation = MutationRef::parse(&bytes).unwrap();
        let update = mutation.tables().next().unwrap().unwrap();
        assert!(memtable.apply(mutation.key(), &update, LogPosition(1)).is_err());
        assert!(memtable.is_empty() && memtable.bytes() == 0);
        assert!(memtable.partition(&key).is_none());
    }
}

#[test]
fn shards_ascend_with_tokens() {
    let memtable = Memtable::new(TABLE, 6, LogPosition::START);
    assert_eq!(memtable.shards.len(), 8);
    let index = |token| memtable.shard_index(Token(token));
    assert_eq!((index(i64::MIN), index(-1), index(0), index(i64::MAX)), (0, 3, 4, 7));
    let single = Memtable::new(TABLE, 1, LogPosition::START);
    assert_eq!(single.shard_index(Token(i64::MAX)), 0);
    assert_eq!((single.min_timestamp(), single.max_timestamp()), (i64::MAX, i64::MIN));
}

/// Heap per byte of values, of `partitions` times `rows` rows of `columns` values of `bytes`.
fn overhead(partitions: u32, rows: u32, columns: u32, bytes: usize) -> f64 {
    let memtable = Memtable::new(TABLE, 16, LogPosition::START);
    let value = vec![b'v'; bytes];
    for number in 0..partitions * rows {
        let partition = number % partitions;
        let name = format!("key{partition:07}");
        // A hash good enough to spread tokens.
        let token = Token((u64::from(partition) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64);
        let mut position = vec![0x30, 0x80];
        position.extend_from_slice(&(number / partitions).to_be_bytes());
        position.push(ROW);
        let row = row(|row| {
            row.liveness(Liveness::new(1_700_000_000_000_000));
            for column in 1..=columns {
                row.cell(Cell::live(ColumnId(column), 1_700_000_000_000_000, &value));
            }
            row
        });
        let key = PartitionKeyRef { token, key: name.as_bytes() };
        let mut mutation = MutationBuilder::new(KeyspaceId(1), key);
        let at = if rows == 1 { &[ROW][..] } else { &position };
        mutation.table(TABLE).row(at, &row);
        apply(&memtable, mutation, u64::from(number));
    }
    let raw = f64::from(partitions * rows * columns) * bytes as f64;
    memtable.bytes() as f64 / raw
}

#[test]
fn memory_stays_near_the_raw_bytes() {
    let cases = [(20_000, 1, 1, 200, 1.6), (20_000, 1, 5, 34, 2.2)];
    let wide = [(20, 1000, 1, 200, 1.6), (20, 1000, 5, 34, 2.2)];
    for (partitions, rows, columns, bytes, most) in cases.into_iter().chain(wide) {
        let times = overhead(partitions, rows, columns, bytes);
        let what = format!("{partitions} x {rows} rows of {columns} x {bytes} bytes");
        println!("{what}: {times:.2} times the raw bytes");
        assert!(times > 1.0 && times <= most, "{what}: {times:.2} times the raw bytes");
    }
}
