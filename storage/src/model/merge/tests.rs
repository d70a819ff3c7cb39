//! What the merge rule promises, against random rows and a reference that is slow and plain.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::model::counter::{CounterId, Shard};
use crate::model::{ColumnSet, RowBuilder};

/// Readers and deletions live at these seconds; timestamps and times overlap on purpose.
const TIMES: std::ops::Range<i64> = 0..8;

const MULTI_CELL: ColumnId = ColumnId(3);
const COUNTER: ColumnId = ColumnId(4);

/// What a builder is told; owned, so that proptest can shrink it.
#[derive(Clone, Debug)]
enum Part {
    Liveness(Liveness),
    Deletion(Deletion),
    Spelling(u8),
    Cell { column: u32, timestamp: i64, kind: CellKind, value: u8, spelt: Option<u8> },
    ColumnDeletion(Deletion),
    Shard(Shard),
    CounterTombstone(Deletion),
}

fn deletion() -> impl Strategy<Value = Deletion> {
    (TIMES, TIMES).prop_map(|(timestamp, at)| Deletion::new(timestamp, at))
}

fn covering() -> impl Strategy<Value = Deletion> {
    prop_oneof![3 => Just(Deletion::NONE), 1 => deletion()]
}

fn kind() -> impl Strategy<Value = CellKind> {
    prop_oneof![
        Just(CellKind::Live),
        (1..4u32, TIMES).prop_map(|(ttl, expiry)| CellKind::Expiring { ttl, expiry }),
        TIMES.prop_map(|local_deletion_time| CellKind::Tombstone { local_deletion_time }),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let liveness = (TIMES, 0..3u32, TIMES).prop_map(|(t, ttl, e)| Liveness::expiring(t, ttl, e));
    let cell = (1..4u32, TIMES, kind(), 0..3u8, proptest::option::of(0..2u8)).prop_map(
        |(column, timestamp, kind, value, spelt)| Part::Cell {
            column,
            timestamp,
            kind,
            value,
            spelt,
        },
    );
    prop_oneof![
        2 => liveness.prop_map(Part::Liveness),
        1 => deletion().prop_map(Part::Deletion),
        1 => (0..3u8).prop_map(Part::Spelling),
        8 => cell,
        2 => deletion().prop_map(Part::ColumnDeletion),
    ]
}

/// A counter table's row: nothing expires, and what a host counted grows with its clock.
fn counter_part() -> impl Strategy<Value = Part> {
    let shard = (0..3u8, TIMES).prop_map(|(host, clock)| {
        let id = CounterId { host: [host; 16], generation: 1 };
        Part::Shard(Shard { id, clock, count: clock * 10 + i64::from(host) })
    });
    prop_oneof![
        6 => shard,
        1 => deletion().prop_map(Part::Deletion),
        1 => deletion().prop_map(Part::CounterTombstone),
    ]
}

fn build(parts: &[Part]) -> Vec<u8> {
    let mut row = RowBuilder::new();
    for part in parts {
        match part {
            Part::Liveness(liveness) => row.liveness(*liveness),
            Part::Deletion(deletion) => row.deletion(*deletion),
            Part::Spelling(spelling) => row.spelling(&[*spelling]),
            Part::ColumnDeletion(deletion) => row.column_deletion(MULTI_CELL, *deletion),
            Part::Cell { column, timestamp, kind, value, spelt } => {
                let value = [*value];
                let spelling = spelt.map(|spelling| [spelling]);
                let live = Cell::live(ColumnId(*column), *timestamp, &value);
                let mut cell = Cell { kind: *kind, ..live };
                if ColumnId(*column) == MULTI_CELL {
                    cell.path = Some(&value);
                    cell.path_spelling = spelling.as_ref().map(|spelling| &spelling[..]);
                }
                if cell.is_tombstone() {
                    cell.value = &[];
                }
                row.cell(cell)
            }
            Part::Shard(shard) => {
                let mut shards = Vec::new();
                shard.encode(&mut shards);
                row.cell(Cell::counter(COUNTER, shard.clock, &shards))
            }
            Part::CounterTombstone(deletion) => {
                let Deletion { timestamp, local_deletion_time } = *deletion;
                row.cell(Cell::counter_tombstone(COUNTER, timestamp, local_deletion_time))
            }
        };
    }
    let bytes = row.finish().unwrap();
    RowRef::parse(&bytes).unwrap().validate().unwrap();
    bytes
}

fn rows() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let plain = vec(vec(part(), 0..8), 1..6);
    let counters = vec(vec(counter_part(), 0..5), 1..6);
    prop_oneof![3 => plain, 1 => counters]
        .prop_map(|rows| rows.iter().map(|parts| build(parts)).collect())
}

/// Their merge; an empty row if nothing is left.
fn merged(rows: &[Vec<u8>], covering: Deletion) -> Vec<u8> {
    let rows: Vec<_> = rows.iter().map(|row| RowRef::parse(row).unwrap()).collect();
    let mut out = Vec::new();
    if !merge_rows(&rows, covering, &mut out).unwrap() {
        assert!(out.is_empty());
        return build(&[]);
    }
    RowRef::parse(&out).unwrap().validate().unwrap();
    out
}

fn live(row: &[u8], covering: Deletion, now: i64) -> (Liveliness, Vec<u8>) {
    let mut out = Vec::new();
    let row = RowRef::parse(row).unwrap();
    let found = live_row(row, covering, now, &ColumnSet::All, &mut out).unwrap();
    (Liveliness { tombstones: 0, ..found }, out)
}

fn purged(row: &[u8], now: i64, purge: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let row = RowRef::parse(row).unwrap();
    if !purge_row(row, Deletion::NONE, now, &|_, _| purge, &mut out).unwrap() {
        return build(&[]);
    }
    RowRef::parse(&out).unwrap().validate().unwrap();
    out
}

type Place = (u32, Option<Vec<u8>>);
type Seen = (Option<Liveness>, BTreeMap<Place, (i64, u32, Vec<u8>)>);

/// What a reader sees of all versions together, worked out cell by cell.
fn reference(rows: &[Vec<u8>], covering: Deletion, now: i64) -> Seen {
    let rows: Vec<_> = rows.iter().map(|row| RowRef::parse(row).unwrap()).collect();
    let entries: Vec<_> = rows.iter().flat_map(RowRef::entries).map(Result::unwrap).collect();
    let row_deletion = rows.iter().map(RowRef::deletion).fold(covering, Deletion::newer);
    let mut places: BTreeMap<Place, Vec<Cell<'_>>> = BTreeMap::new();
    for entry in &entries {
        if let Entry::Cell(cell) = entry {
            let place = (cell.column.0, cell.path.map(<[u8]>::to_vec));
            places.entry(place).or_default().push(*cell);
        }
    }
    let mut seen = BTreeMap::new();
    for (place, cells) in places {
        let mut hiding = row_deletion;
        for entry in &entries {
            if let Entry::ColumnDeletion(ColumnId(column), deletion) = entry
                && *column == place.0
            {
                hiding = hiding.newer(*deletion);
            }
        }
        if cells[0].is_counter() {
            if cells.iter().all(|cell| !cell.is_tombstone()) {
                let mut shards: BTreeMap<CounterId, Shard> = BTreeMap::new();
                for shard in cells.iter().flat_map(|cell| counter::shards(cell.value).unwrap()) {
                    let own = shards.entry(shard.id).or_insert(shard);
                    if own.clock < shard.clock {
                        *own = shard;
                    }
                }
                shards.retain(|_, shard| !hiding.deletes(shard.clock));
                let mut value = Vec::new();
                shards.values().for_each(|shard| shard.encode(&mut value));
                if let Some(clock) = shards.values().map(|shard| shard.clock).max() {
                    seen.insert(place, (clock, 0, value));
                }
            }
            continue;
        }
        let winner = cells.iter().max_by(|one, other| one.reconcile(other)).unwrap();
        if winner.is_live(now) && !hiding.deletes(winner.timestamp) {
            seen.insert(place, (winner.timestamp, winner.ttl(), winner.value.to_vec()));
        }
    }
    let liveness = rows.iter().filter_map(RowRef::liveness).max_by(Liveness::reconcile);
    let lives = |own: &Liveness| own.is_live(now) && !row_deletion.deletes(own.timestamp);
    (liveness.filter(lives), seen)
}

fn seen(row: &[u8], covering: Deletion, now: i64) -> Seen {
    let (found, out) = live(row, covering, now);
    if !found.exists {
        assert!(out.is_empty());
        return (None, BTreeMap::new());
    }
    let row = RowRef::parse(&out).unwrap();
    row.validate().unwrap();
    let cells = row.entries().map(|entry| match entry.unwrap() {
        Entry::Cell(cell) => {
            let place = (cell.column.0, cell.path.map(<[u8]>::to_vec));
            (place, (cell.timestamp, cell.ttl(), cell.value.to_vec()))
        }
        Entry::ColumnDeletion(..) => panic!("a reader sees no deletion"),
    });
    (row.liveness(), cells.collect())
}

proptest! {
    // PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1000)))]

    #[test]
    fn the_order_and_grouping_of_versions_do_not_matter(
        rows in rows(), at in 0..6usize, early in covering(), covering in covering()
    ) {
        let all = merged(&rows, covering);
        let mut reversed = rows.clone();
        reversed.reverse();
        prop_assert_eq!(&merged(&reversed, covering), &all);
        let (left, right) = rows.split_at(at.min(rows.len()));
        let (left, right) = (merged(left, Deletion::NONE), merged(right, covering));
        prop_assert_eq!(&merged(&[left.clone(), right.clone()], covering), &all);
        let early = if early <= covering { early } else { Deletion::NONE };
        prop_assert_eq!(&merged(&[merged(&[left], early), right], covering), &all);
        prop_assert_eq!(&merged(&[all.clone(), all.clone()], covering), &all);
        prop_assert_eq!(&merged(&[all.clone(), rows[0].clone()], covering), &all);
    }

    #[test]
    fn a_reader_sees_what_the_reference_sees(
        rows in rows(), covering in covering(), now in TIMES
    ) {
        let expected = reference(&rows, covering, now);
        prop_assert_eq!(seen(&merged(&rows, covering), Deletion::NONE, now), expected.clone());
        prop_assert_eq!(seen(&merged(&rows, Deletion::NONE), covering, now), expected);
    }

    #[test]
    fn when_compaction_runs_changes_nothing_for_readers(
        rows in rows(), at in 0..6usize, compacted in TIMES, later in 0..2i64
    ) {
        let now = compacted + later;
        let (left, right) = rows.split_at(at.min(rows.len()));
        let (left, right) = (merged(left, Deletion::NONE), merged(right, Deletion::NONE));
        let expected = live(&merged(&rows, Deletion::NONE), Deletion::NONE, now);
        let left = purged(&left, compacted, false);
        let all = merged(&[left, right], Deletion::NONE);
        prop_assert_eq!(&live(&all, Deletion::NONE, now), &expected);
        prop_assert_eq!(&live(&purged(&all, compacted, true), Deletion::NONE, now), &expected);
    }

    #[test]
    fn purging_everything_leaves_only_the_living(rows in rows(), now in TIMES) {
        let all = merged(&rows, Deletion::NONE);
        let left = purged(&all, now, true);
        let (found, out) = live(&all, Deletion::NONE, now);
        prop_assert_eq!(left, if found.exists { out } else { build(&[]) });
    }
}

#[test]
fn an_expired_cell_loses_to_one_that_expires_later_before_and_after_compaction() {
    let [short, long] = [(3, b"short"), (9, b"long!")].map(|(expiry, value)| {
        let mut row = RowBuilder::new();
        row.cell(Cell::expiring(ColumnId(1), 1, 2, expiry, value));
        row.finish().unwrap()
    });
    let expected = merged(&[short.clone(), long.clone()], Deletion::NONE);
    assert_eq!(expected, long);
    let compacted = purged(&short, 5, false);
    assert!(compacted.len() < short.len(), "the value of an expired cell is kept");
    assert_eq!(merged(&[compacted, long], Deletion::NONE), expected);
}

#[test]
fn a_single_version_is_shared_not_copied() {
    let row = Slice::from(build(&[Part::Liveness(Liveness::new(1))]));
    let merged = merge_slices(std::slice::from_ref(&row), Deletion::NONE, &mut Vec::new());
    let merged = merged.unwrap().unwrap();
    assert_eq!(merged.as_bytes().as_ptr(), row.as_bytes().as_ptr());
    let empty = Slice::from(build(&[]));
    assert_eq!(merge_slices(&[empty], Deletion::NONE, &mut Vec::new()).unwrap(), None);
}

#[test]
fn versions_out_of_order_are_refused() {
    let [low, high] = [1, 2].map(|id| {
        let mut row = RowBuilder::new();
        row.cell(Cell::live(ColumnId(id), 1, b"v"));
        row.finish().unwrap()
    });
    // The entries of both, the higher column first: its column, then a step back.
    let mut forged = high.clone();
    forged.extend_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    forged.extend_from_slice(&low[10..]);
    let rows = [RowRef::parse(&forged).unwrap(), RowRef::parse(&low).unwrap()];
    let mut out = b"kept".to_vec();
    assert!(merge_rows(&rows, Deletion::NONE, &mut out).is_err());
    assert_eq!(out, b"kept");
}

#[test]
fn a_row_exists_for_columns_that_were_not_asked_for() {
    let mut row = RowBuilder::new();
    row.cell(Cell::live(ColumnId(1), 1, b"v")).cell(Cell::tombstone(ColumnId(2), 1, 1));
    let bytes = row.finish().unwrap();
    let row = RowRef::parse(&bytes).unwrap();
    let mut out = Vec::new();
    let wanted = ColumnSet::of([ColumnId(2)]);
    let found = live_row(row, Deletion::NONE, 5, &wanted, &mut out).unwrap();
    assert_eq!(found, Liveliness { exists: true, cells: 0, tombstones: 1 });
    assert_eq!(RowRef::parse(&out).unwrap().entries().count(), 0);
}
