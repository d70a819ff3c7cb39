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
use helenus_storage::model::TableId;
use helenus_storage::options::PlantedFault;
use helenus_storage::{
    Budget, CompactionOptions, Compression, Durability, Job, JobKind, JobStep, Options,
    TableOptions,
};

use crate::collect::{Cuts, read};
use crate::encode::{command_of, encode, expected};
use crate::harness::{Db, small_options};
use crate::model::Model;
use crate::ops::{COUNTERS, Keys, Op, ReadOp, WIDE, WriteOp, generate};

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
        let model = self.models.get_mut(&write.table).unwrap();
        encode(model, write, self.db.wall_micros(), self.db.now())
    }

    fn compare(&self, op: &ReadOp) {
        let model = &self.models[&op.table];
        let command = command_of(op, model, self.db.now());
        let expected = expected(op, model, self.db.now());
        let cuts = Cuts { page: op.page, units: op.units, fresh_cursors: op.fresh_cursors };
        let found = read(self.db.engine(), &command, cuts).unwrap();
        assert_eq!(found, expected, "{command:#?}");
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
