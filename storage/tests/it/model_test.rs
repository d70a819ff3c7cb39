//! Random operations against the engine and the model; every read is compared.
//!
//! A failure prints its seed and the shortest list of operations found that still fails.
//! `HELENUS_MODEL_SEED` runs one seed, `HELENUS_MODEL_OPS` and `HELENUS_MODEL_RUNS` set the size.
//!
//! What keeps purging from showing: timestamps stay within 20 s of the clock, and the wall clock
//! never stands more than 100 s behind its highest, so nothing can be written that a tombstone
//! past its grace of 200 s would have hidden.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use helenus_platform::disk::CutOptions;
use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::{
    Cell, ColumnId, ColumnSet, Deletion, Liveness, MutationBuilder, PartitionBound, PositionRange,
    RowBuilder, Slice, TableId,
};
use helenus_storage::options::PlantedFault;
use helenus_storage::{
    Budget, CompactionOptions, Compression, Durability, Job, JobKind, JobStep, Options, Partitions,
    ReadCommand, TableOptions,
};

use crate::collect::{Cuts, PartitionOut, read};
use crate::harness::{Db, KEYSPACE, key, small_options};
use crate::model::{Model, Question, bound, counter_id, position};
use crate::ops::generate;
use crate::ops::{COUNTER_COLUMN, COUNTERS, CellOp, Keys, Op, Part, ReadOp, Value, WIDE, WriteOp};

const GRACE_SECONDS: i64 = 200;
const BEHIND_MAX_SECONDS: i64 = 100;

/// One engine, one model, and the jobs under way.
struct Twins {
    db: Db,
    models: BTreeMap<TableId, Model>,
    jobs: BTreeMap<JobKind, Job>,
    wall_highest: i64,
    tally: Tally,
}

/// What the engine says that it has done, over all restarts.
type Tally = BTreeMap<&'static str, u64>;

impl Twins {
    fn new(seed: u64, fault: Option<PlantedFault>) -> Twins {
        let random = SeededRandom::new(seed);
        let flip = || random.chance(0.5);
        let options = Options {
            durability: [Durability::GROUP, Durability::PERIODIC, Durability::Batch]
                [random.below(3) as usize],
            block_bytes: [64, 512, 4096][random.below(3) as usize],
            block_cache_bytes: if flip() { 0 } else { 64 << 10 },
            memtable_bytes_max: [8 << 10, 64 << 10][random.below(2) as usize],
            sstable_bytes_target: if flip() { 2 << 10 } else { 64 << 10 },
            clock_jump_max_seconds: 150,
            expiry_margin_seconds: BEHIND_MAX_SECONDS,
            planted_fault: fault,
            ..small_options()
        };
        let table = TableOptions {
            gc_grace_seconds: GRACE_SECONDS,
            compression: if flip() { Compression::Lz4 } else { Compression::None },
            bloom_fp_chance: if flip() { 0.3 } else { 1.0 },
            compaction: CompactionOptions {
                scaling: [2, 0, -2][random.below(3) as usize],
                ..CompactionOptions::default()
            },
        };
        let tables = [(WIDE, table.clone()), (COUNTERS, table)];
        let mut db = Db::new(seed, options, &tables);
        if flip() {
            db.disk.set_cold(random.below(11) as f64 / 10.0);
        }
        db.open().unwrap();
        let models = tables.iter().map(|(table, _)| (*table, Model::default())).collect();
        let wall_highest = db.wall_micros();
        Twins { db, models, jobs: BTreeMap::new(), wall_highest, tally: Tally::new() }
    }

    /// Adds up what this engine has done, before it goes.
    fn count(&mut self) {
        for (name, _, value) in self.db.engine().metrics().all() {
            *self.tally.entry(name).or_default() += value;
        }
    }

    fn run(&mut self, op: &Op) {
        if matches!(op, Op::Reopen | Op::Crash | Op::PowerCut { .. }) {
            self.count();
        }
        match op {
            Op::Write(writes) => self.write(writes),
            Op::Read(read) => self.compare(read),
            Op::FlushSteps(steps) => self.steps(JobKind::Flush, *steps),
            Op::CompactionSteps(steps) => self.steps(JobKind::Compaction, *steps),
            Op::Flush => {
                self.jobs.remove(&JobKind::Flush);
                self.db.flush().unwrap();
            }
            Op::Compact => {
                self.jobs.remove(&JobKind::Compaction);
                self.db.compact().unwrap();
            }
            Op::Reopen => {
                self.jobs.clear();
                self.db.close().unwrap();
                self.db.open().unwrap();
            }
            Op::Crash => {
                self.jobs.clear();
                self.db.crash();
            }
            Op::PowerCut { torn, reorder } => {
                if self.db.options.durability.answers_when_durable() {
                    self.jobs.clear();
                    self.db.disk.power_cut(CutOptions { torn: *torn, reorder: *reorder });
                    self.db.forget();
                    self.db.open().unwrap();
                }
            }
            Op::Truncate(table) => {
                self.db.engine().truncate(*table).unwrap();
                self.models.get_mut(table).unwrap().clear();
            }
            Op::Advance(seconds) => {
                self.db.clock.advance(Duration::from_secs(u64::from(*seconds)));
            }
            Op::Jump(seconds) => {
                let to = self.db.wall_micros() + i64::from(*seconds) * 1_000_000;
                let lowest = self.wall_highest - BEHIND_MAX_SECONDS * 1_000_000;
                self.db.clock.set_wall_micros(to.max(lowest));
            }
        }
        self.wall_highest = self.wall_highest.max(self.db.wall_micros());
    }

    fn steps(&mut self, kind: JobKind, steps: u32) {
        for _ in 0..steps {
            if !self.jobs.contains_key(&kind) {
                let Some(job) = self.db.engine().next_job(kind) else { return };
                self.jobs.insert(kind, job);
            }
            let job = self.jobs.get_mut(&kind).unwrap();
            if job.step(&mut Budget::new(20)).unwrap() == JobStep::Done {
                self.jobs.remove(&kind);
            }
        }
    }

    fn write(&mut self, writes: &[WriteOp]) {
        let mutations: Vec<Vec<u8>> = writes.iter().map(|write| self.mutation(write)).collect();
        let slices: Vec<&[u8]> = mutations.iter().map(Vec::as_slice).collect();
        // A write that is told `Full` flushes, and two flushes of a table do not go side by side.
        self.jobs.remove(&JobKind::Flush);
        self.db.write(&slices).unwrap();
    }

    /// Applies the write to the model and gives its bytes.
    fn mutation(&mut self, write: &WriteOp) -> Vec<u8> {
        let key = key(write.key);
        let (timestamp, now) = (self.db.wall_micros() + write.timestamp_offset, self.db.now());
        let model = self.models.get_mut(&write.table).unwrap();
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

    fn compare(&self, op: &ReadOp) {
        let slices = slices_of(op);
        let range = |(start, end): &(Vec<u8>, Vec<u8>)| PositionRange {
            start: Slice::copy(start),
            end: Slice::copy(end),
        };
        let columns = op.columns.as_ref().map_or(ColumnSet::All, |columns| {
            ColumnSet::of(columns.iter().map(|column| ColumnId(*column)))
        });
        let (partitions, keys) = self.partitions_of(op);
        let command = ReadCommand {
            slices: slices.iter().map(range).collect(),
            reversed: op.reversed,
            columns,
            rows_per_partition_max: op.limit,
            distinct: op.distinct,
            ..ReadCommand::new(op.table, partitions, self.db.now())
        };
        let question = Question {
            slices: &slices,
            reversed: op.reversed,
            columns: op.columns.as_deref(),
            limit: op.limit,
            distinct: op.distinct,
            now: self.db.now(),
        };
        let model = &self.models[&op.table];
        let expected: Vec<PartitionOut> =
            keys.iter().filter_map(|key| model.read(key, &question)).collect();
        let cuts = Cuts { page: op.page, units: op.units, fresh_cursors: op.fresh_cursors };
        let found = read(self.db.engine(), &command, cuts).unwrap();
        assert_eq!(found, expected, "{command:#?}");
    }

    fn partitions_of(
        &self,
        op: &ReadOp,
    ) -> (Partitions, Vec<helenus_storage::model::PartitionKey>) {
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
                let keys = self.models[&op.table].keys();
                let inside = keys
                    .filter(|key| start.is_before(key.as_ref()) && !end.is_before(key.as_ref()));
                let keys = inside.cloned().collect();
                (Partitions::Range { start, end }, keys)
            }
        }
    }

    /// Reads everything, both ways.
    fn compare_all(&self) {
        for table in [WIDE, COUNTERS] {
            for reversed in [false, true] {
                self.compare(&ReadOp {
                    table,
                    keys: Keys::Range(None, None),
                    slices: None,
                    reversed,
                    columns: None,
                    limit: u32::MAX,
                    distinct: false,
                    page: usize::MAX,
                    units: u64::MAX,
                    fresh_cursors: false,
                });
            }
        }
    }
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

/// Ascending, disjoint slices from the ends that an operation names.
fn slices_of(op: &ReadOp) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some(ends) = &op.slices else { return vec![(vec![0x00], vec![0xFF])] };
    let mut ends: Vec<Vec<u8>> = ends.iter().map(bound).collect();
    ends.sort();
    ends.dedup();
    ends.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// Runs the operations; the panic message if they fail.
fn run(seed: u64, ops: &[Op], fault: Option<PlantedFault>) -> Result<Tally, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut twins = Twins::new(seed, fault);
        ops.iter().for_each(|op| twins.run(op));
        twins.compare_all();
        twins.count();
        twins.tally
    }));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without a text".to_owned())
    })
}

/// Leaves out whatever can be left out of a failing list.
fn shrink(seed: u64, mut ops: Vec<Op>, fault: Option<PlantedFault>) -> Vec<Op> {
    let mut chunk = ops.len() / 2;
    while chunk > 0 {
        let mut start = 0;
        while start < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(start..(start + chunk).min(ops.len()));
            if run(seed, &fewer, fault).is_err() {
                ops = fewer;
            } else {
                start += chunk;
            }
        }
        chunk /= 2;
    }
    ops
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn check(seed: u64, count: usize) -> Tally {
    let ops = generate(&SeededRandom::new(seed), count);
    let outcome = run(seed, &ops, None);
    outcome.unwrap_or_else(|first| {
        std::panic::set_hook(Box::new(|_| {}));
        let short = shrink(seed, ops, None);
        let message = run(seed, &short, None).err().unwrap_or_default();
        drop(std::panic::take_hook());
        let list: Vec<String> = short.iter().map(|op| format!("  {op:?}")).collect();
        panic!("seed {seed}: {first}\nshrunk to\n{}\n{message}", list.join("\n"));
    })
}

/// What a run of the usual size must have met, or the test proves less than it says.
const MET: [&str; 15] = [
    "reads_fast",
    "flushes",
    "compactions",
    "replayed_records",
    "replay_skipped",
    "orphans_removed",
    "clock_jumps_now",
    "read_tombstones",
    "reads_waited",
    "blocks_fetched",
    "skipped_by_key",
    "skipped_by_filter",
    "skipped_by_position",
    "skipped_by_timestamp",
    "rows_purged",
];

#[test]
fn the_engine_behaves_as_the_model() {
    if let Ok(seed) = std::env::var("HELENUS_MODEL_SEED") {
        check(seed.parse().unwrap(), setting("HELENUS_MODEL_OPS", 2000) as usize);
        return;
    }
    let count = setting("HELENUS_MODEL_OPS", 2000) as usize;
    let mut total = Tally::new();
    for seed in 0..setting("HELENUS_MODEL_RUNS", 52) {
        for (name, value) in check(seed, count) {
            *total.entry(name).or_default() += value;
        }
    }
    for name in MET {
        assert!(total[name] > 0, "{name} is zero after {total:?}");
    }
}

#[test]
fn a_tombstone_purged_too_early_is_noticed() {
    let fault = Some(PlantedFault::PurgeTooEarly);
    let caught = (0..20).any(|seed| {
        let ops = generate(&SeededRandom::new(seed), 2000);
        run(seed, &ops, fault).is_err()
    });
    assert!(caught, "the model test would not notice a tombstone purged too early");
}
