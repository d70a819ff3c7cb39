//! What operations are in the engine's terms: writes as mutations, reads as commands; and what the
//! model says that a read must find.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use helenus_storage::model::{
    Cell, ColumnId, ColumnSet, Deletion, Liveness, MutationBuilder, PartitionBound, PartitionKey,
    PositionRange, RowBuilder, Slice,
};
use helenus_storage::{Partitions, ReadCommand};

use crate::collect::PartitionOut;
use crate::harness::{KEYSPACE, key};
use crate::model::{Model, Question, bound, counter_id, position};
use crate::ops::{COUNTER_COLUMN, CellOp, Keys, Part, ReadOp, Value, WriteOp};

/// Applies a write, made when the wall clock showed `wall_micros`, to the model and gives its
/// bytes. `now` is the same in seconds.
pub(crate) fn encode(model: &mut Model, write: &WriteOp, wall_micros: i64, now: i64) -> Vec<u8> {
    let key = key(write.key);
    let timestamp = wall_micros + write.timestamp_offset;
    let mut builder = MutationBuilder::new(KEYSPACE, key.as_ref());
    let table = builder.table(write.table);
    for part in &write.parts {
        if let Part::Count(prefix, host, delta) = part {
            if model.is_dead_counter(&key, prefix) {
                continue;
            }
            let shard = model.count(&key, prefix, *host, *delta, timestamp);
            let mut value = Vec::new();
            shard.encode(&mut value);
            assert_eq!(shard.id, counter_id(*host));
            let mut row = RowBuilder::new();
            row.cell(Cell::counter(ColumnId(COUNTER_COLUMN), shard.clock, &value));
            table.row(&position(prefix), &row.finish().unwrap());
            continue;
        }
        model.write(&key, part, timestamp, now);
        let deletion = Deletion::new(timestamp, now);
        match part {
            Part::Static(cells) => {
                let row = row_of(None, None, cells, timestamp, now);
                table.static_row(&row).unwrap();
            }
            Part::Row(prefix, ttl, cells) => {
                let liveness =
                    ttl.map(|ttl| Liveness::expiring(timestamp, ttl, now + i64::from(ttl)));
                let row = row_of(liveness, None, cells, timestamp, now);
                table.row(&position(prefix), &row);
            }
            Part::Overwrite(prefix, cells) => {
                let before = Some(Deletion::new(timestamp - 1, now));
                let row = row_of(None, before, cells, timestamp, now);
                table.row(&position(prefix), &row);
            }
            Part::RowDeletion(prefix) => {
                let mut row = RowBuilder::new();
                row.deletion(deletion);
                table.row(&position(prefix), &row.finish().unwrap());
            }
            Part::Range(start, end) => {
                let range = PositionRange {
                    start: Slice::from(bound(start)),
                    end: Slice::from(bound(end)),
                };
                if !range.is_empty() {
                    table.range_tombstone(&range, deletion);
                }
            }
            Part::PartitionDeletion => {
                table.partition_deletion(deletion);
            }
            Part::CounterDeletion(prefix) => {
                let mut row = RowBuilder::new();
                row.cell(Cell::counter_tombstone(ColumnId(COUNTER_COLUMN), timestamp, now));
                table.row(&position(prefix), &row.finish().unwrap());
            }
            Part::Count(..) => {}
        }
    }
    builder.finish().unwrap()
}

fn row_of(
    liveness: Option<Liveness>,
    column_deletion: Option<Deletion>,
    cells: &[CellOp],
    timestamp: i64,
    now: i64,
) -> Vec<u8> {
    let mut row = RowBuilder::new();
    if let Some(liveness) = liveness {
        row.liveness(liveness);
    }
    for CellOp { column, path, value } in cells {
        let column = ColumnId(*column);
        if let Some(deletion) = column_deletion {
            row.column_deletion(column, deletion);
        }
        let cell = match value {
            Value::Live(value) => Cell::live(column, timestamp, &value.0),
            Value::Expiring(value, ttl) => {
                Cell::expiring(column, timestamp, *ttl, now + i64::from(*ttl), &value.0)
            }
            Value::Tombstone => Cell::tombstone(column, timestamp, now),
        };
        row.cell(match path {
            Some(path) => cell.with_path(path),
            None => cell,
        });
    }
    row.sort_and_finish().unwrap()
}

/// The read in the engine's terms, of the partitions that `model` has.
pub(crate) fn command_of(op: &ReadOp, model: &Model, now: i64) -> ReadCommand {
    let range = |(start, end): &(Vec<u8>, Vec<u8>)| PositionRange {
        start: Slice::copy(start),
        end: Slice::copy(end),
    };
    let columns = op.columns.as_ref().map_or(ColumnSet::All, |columns| {
        ColumnSet::of(columns.iter().map(|column| ColumnId(*column)))
    });
    ReadCommand {
        slices: slices_of(op).iter().map(range).collect(),
        reversed: op.reversed,
        columns,
        rows_per_partition_max: op.limit,
        distinct: op.distinct,
        ..ReadCommand::new(op.table, partitions_of(op, model).0, now)
    }
}

/// What the read must find.
pub(crate) fn expected(op: &ReadOp, model: &Model, now: i64) -> Vec<PartitionOut> {
    let slices = slices_of(op);
    let question = Question {
        slices: &slices,
        reversed: op.reversed,
        columns: op.columns.as_deref(),
        limit: op.limit,
        distinct: op.distinct,
        now,
    };
    let (_, keys) = partitions_of(op, model);
    keys.iter().filter_map(|key| model.read(key, &question)).collect()
}

fn partitions_of(op: &ReadOp, model: &Model) -> (Partitions, Vec<PartitionKey>) {
    match &op.keys {
        Keys::One(n) => (Partitions::One(key(*n)), vec![key(*n)]),
        Keys::Many(numbers) => {
            let mut keys = Vec::new();
            for n in numbers {
                if !keys.contains(&key(*n)) {
                    keys.push(key(*n));
                }
            }
            (Partitions::Many(keys.clone()), keys)
        }
        Keys::Range(from, to) => {
            let start = match from {
                None => PartitionBound::Min,
                Some((n, true)) => PartitionBound::AtKey(key(*n)),
                Some((n, false)) => PartitionBound::AfterKey(key(*n)),
            };
            let end = match to {
                None => PartitionBound::Max,
                Some((n, true)) => PartitionBound::After(key(*n).token),
                Some((n, false)) => PartitionBound::AtKey(key(*n)),
            };
            let keys = model.keys();
            let inside =
                keys.filter(|key| start.is_before(key.as_ref()) && !end.is_before(key.as_ref()));
            let keys = inside.cloned().collect();
            (Partitions::Range { start, end }, keys)
        }
    }
}

/// Ascending, disjoint slices from the ends that an operation names.
fn slices_of(op: &ReadOp) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some(ends) = &op.slices else { return vec![(vec![0x00], vec![0xFF])] };
    let mut ends: Vec<Vec<u8>> = ends.iter().map(bound).collect();
    ends.sort();
    ends.dedup();
    ends.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}
