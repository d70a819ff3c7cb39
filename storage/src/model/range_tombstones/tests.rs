//! Range deletions beside an array that holds the deletion in force at every position.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const POSITIONS: usize = 24;

fn at(position: usize) -> Slice {
    Slice::copy(&[u8::try_from(position).unwrap()])
}

fn range(start: usize, end: usize) -> PositionRange {
    PositionRange::new(at(start), at(end))
}

fn deletion(timestamp: i64) -> Deletion {
    Deletion::new(timestamp, timestamp + 100)
}

/// The markers of `range` in an array of the deletions in force.
fn expected(model: &[Deletion], start: usize, end: usize, reversed: bool) -> Vec<Unfiltered> {
    let mut markers = Vec::new();
    let inside = |position: usize| start <= position && position < end;
    let force = |position: usize| if inside(position) { model[position] } else { Deletion::NONE };
    for position in 0..=POSITIONS {
        let before = if position == 0 { Deletion::NONE } else { force(position - 1) };
        let after = if position == POSITIONS { Deletion::NONE } else { force(position) };
        if before != after {
            markers.push(Unfiltered::Marker { position: at(position), before, after });
        }
    }
    if reversed {
        markers.reverse();
    }
    markers
}

proptest! {
    #[test]
    fn the_newest_deletion_counts_everywhere(
        added in vec((0..=POSITIONS, 0..=POSITIONS, 0..5i64), 0..40),
        start in 0..=POSITIONS, end in 0..=POSITIONS
    ) {
        let mut ranges = RangeTombstones::new();
        let mut model = [Deletion::NONE; POSITIONS];
        for (from, to, timestamp) in added {
            let snapshot = (ranges.clone(), model);
            ranges.add(&range(from, to), deletion(timestamp));
            for own in model.iter_mut().take(to).skip(from) {
                *own = own.newer(deletion(timestamp));
            }
            let whole: Vec<_> = snapshot.0.markers(&range(0, POSITIONS), false).collect();
            prop_assert_eq!(whole, expected(&snapshot.1, 0, POSITIONS, false));
        }
        for (position, own) in model.iter().enumerate() {
            prop_assert_eq!(ranges.covering(&at(position)), *own);
        }
        for reversed in [false, true] {
            let markers: Vec<_> = ranges.markers(&range(start, end), reversed).collect();
            prop_assert_eq!(markers, expected(&model, start, end, reversed));
        }
        let joined = expected(&model, 0, POSITIONS, false);
        let opened = |marker: &&Unfiltered| {
            matches!(marker, Unfiltered::Marker { after, .. } if !after.is_none())
        };
        prop_assert_eq!(ranges.len(), joined.iter().filter(opened).count());
    }
}

#[test]
fn heap_returns_to_nothing_much_when_ranges_are_swallowed() {
    let mut ranges = RangeTombstones::new();
    for start in 0..100 {
        ranges.add(&range(2 * start, 2 * start + 1), deletion(1));
    }
    let many = ranges.heap();
    ranges.add(&range(0, 255), deletion(2));
    assert_eq!(ranges.len(), 1);
    assert!(ranges.heap() < many / 10, "{} of {many}", ranges.heap());
}
