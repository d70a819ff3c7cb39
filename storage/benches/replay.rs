//! What replaying the commit log costs: MB of log per second, from opening the directory until
//! the engine serves, and seconds of CPU.
//!
//! `cargo bench -p helenus-storage --bench replay` replays a million single-row writes that fit
//! into memory, on one thread and on all, and then the same log with too little memory, where
//! replay has to flush on its way; `cargo test --benches` takes a few thousand rows, to see that it
//! still runs. The log stands in the system's cache, so it is the replay that is measured, not
//! the device.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "makes its own directory, reads its own CPU time")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use helenus_platform::clock::{Clock, RealClock};
use helenus_platform::codec::Put;
use helenus_platform::disk::RealDisk;
use helenus_platform::fork::{ForkJoin, InTurn, Threads};
use helenus_platform::random::SeededRandom;
use helenus_storage::model::{
    Cell, ColumnId, KeyspaceId, Liveness, MutationBuilder, PartitionKeyRef, RowBuilder, TableId,
    Token, position,
};
use helenus_storage::{Budget, Durability, Engine, JobKind, JobStep, Options, TableOptions, Write};

/// The allocator of the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TABLE: TableId = TableId(1);
const KEYSPACE: KeyspaceId = KeyspaceId(1);
const COLUMNS: u32 = 5;
const VALUE_BYTES: usize = 34;
const ROWS: u32 = 1_000_000;
const ROWS_SMOKE: u32 = 4_000;
/// Runs of each; the median counts.
const RUNS: usize = 3;
/// What DESIGN holds replay to.
const MB_PER_SECOND_MIN: f64 = 200.0;

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let rows = if full { ROWS } else { ROWS_SMOKE };
    let dir = std::env::temp_dir().join(format!("helenus-replay-{}", std::process::id()));
    let dir = Dir(dir);
    std::fs::create_dir_all(&dir.0).unwrap();
    let roomy = if full { 4 << 30 } else { 64 << 20 };
    let log_bytes = fill(&dir.0, rows, roomy);
    println!("{rows} rows of {COLUMNS} x {VALUE_BYTES} bytes, {} MB of log", log_bytes / 1_000_000);
    let alone: Arc<dyn ForkJoin> = Arc::new(InTurn);
    let threads: Arc<dyn ForkJoin> = Arc::new(Threads);
    let mut measure = Measure { dir: &dir.0, rows, log_bytes, memory: roomy, runs: RUNS };
    measure.print("one thread", &alone);
    let rate = measure.print(&format!("{} threads", threads.width()), &threads);
    if full {
        let verdict = if rate >= MB_PER_SECOND_MIN { "within" } else { "MISSES" };
        println!("{verdict} {MB_PER_SECOND_MIN} MB/s");
    }
    // The last, because it leaves SSTables and a shorter log.
    measure.memory = log_bytes as usize * 5 / 8;
    measure.runs = 1;
    measure.print("threads, flushing on the way", &threads);
}

fn options(dir: &Path, memory: usize, fork: &Arc<dyn ForkJoin>) -> Options {
    Options {
        fork: fork.clone(),
        durability: Durability::PERIODIC,
        memtable_bytes_max: usize::MAX,
        memtable_total_bytes_max: memory,
        log_bytes_max: u64::MAX,
        ..Options::new(dir.join("engine"))
    }
}

fn open(dir: &Path, memory: usize, fork: &Arc<dyn ForkJoin>) -> Engine {
    let disk = Arc::new(RealDisk);
    let clock = Arc::new(RealClock::new());
    let random = Arc::new(SeededRandom::new(1));
    let tables = [(TABLE, KEYSPACE, TableOptions::default())];
    Engine::open(options(dir, memory, fork), disk, clock, random, &tables).unwrap()
}

/// Writes the rows and leaves the directory as a killed process would; the bytes of log.
fn fill(dir: &Path, rows: u32, memory: usize) -> u64 {
    let fork: Arc<dyn ForkJoin> = Arc::new(InTurn);
    let engine = open(dir, memory, &fork);
    let mut last = None;
    for row in 0..rows {
        let mutation = mutation(row);
        loop {
            match engine.write(&[&mutation]).unwrap() {
                Write::Done { position, .. } => {
                    last = Some(position);
                    break;
                }
                Write::Full => sync(&engine),
            }
        }
        if row % 1000 == 0 {
            sync(&engine);
        }
    }
    sync(&engine);
    last.unwrap().0
}

fn sync(engine: &Engine) {
    let mut job = engine.next_job(JobKind::LogSync).unwrap();
    while job.step(&mut Budget::UNLIMITED.clone()).unwrap() == JobStep::Again {}
}

fn mutation(row: u32) -> Vec<u8> {
    let timestamp = 1_700_000_000_000_000 + i64::from(row);
    let mut built = RowBuilder::new();
    built.liveness(Liveness::new(timestamp));
    for column in 1..=COLUMNS {
        let value: Vec<u8> = (0..VALUE_BYTES as u32).map(|i| (i ^ row ^ column) as u8).collect();
        built.cell(Cell::live(ColumnId(column), timestamp, &value));
    }
    let key = format!("k{row:09}");
    // A token as random as a Murmur3 one, and never the same twice.
    let token = Token(i64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64));
    let mut mutation =
        MutationBuilder::new(KEYSPACE, PartitionKeyRef { token, key: key.as_bytes() });
    let mut place = Vec::new();
    place.put_u8(position::ROW);
    mutation.table(TABLE).row(&place, &built.finish().unwrap());
    mutation.finish().unwrap()
}

/// A directory to be opened again and again.
struct Measure<'a> {
    dir: &'a Path,
    rows: u32,
    log_bytes: u64,
    memory: usize,
    runs: usize,
}

impl Measure<'_> {
    /// Opens the directory and prints the run of median length; its MB per second.
    fn print(&self, name: &str, fork: &Arc<dyn ForkJoin>) -> f64 {
        let clock = RealClock::new();
        let mut runs = Vec::new();
        for _ in 0..self.runs {
            let (began, cpu) = (clock.monotonic(), cpu_time());
            let engine = open(self.dir, self.memory, fork);
            let (took, cpu) = (clock.monotonic() - began, cpu_time() - cpu);
            assert_eq!(engine.metrics().replayed_records.get(), u64::from(self.rows));
            runs.push((took, cpu, engine.metrics().flushes.get()));
        }
        runs.sort();
        let (took, cpu, flushes) = runs[self.runs / 2];
        let seconds = took.as_secs_f64();
        let rate = self.log_bytes as f64 / 1e6 / seconds;
        println!(
            "{name:<30} {rate:5.0} MB/s  {seconds:.2} s, {:.2} s of CPU, {flushes} flushes",
            cpu.as_secs_f64(),
        );
        rate
    }
}

/// What this process has used of the processor.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = after.split(' ').skip(12).take(2).map(|n| n.parse().unwrap()).collect();
    // The kernel counts in hundredths of a second.
    Duration::from_millis(fields.iter().sum::<u64>() * 10)
}
