//! What the memtable costs: nanoseconds of CPU per write and read, heap per byte of data.
//!
//! `cargo bench -p helenus-storage --bench memtable` takes a million rows of each shape;
//! `cargo test --benches` takes a few thousand, to see that everything still runs and that the
//! hash of what was read back is still the same.
#![expect(clippy::disallowed_methods, reason = "reads its own memory and time from /proc")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "prints what it measured")]

use std::process::ExitCode;

use helenus_platform::checksum::crc32;
use helenus_platform::clock::{Clock, RealClock};
use helenus_platform::codec::Put;
use helenus_storage::error::Result;
use helenus_storage::memtable::Memtable;
use helenus_storage::model::{
    Cell, ColumnId, KeyspaceId, Liveness, LogPosition, MutationBuilder, MutationRef, PartitionKey,
    PartitionKeyRef, PositionRange, RowBuilder, Slice, TableId, Token, Unfiltered, position,
};

/// The allocator of the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TABLE: TableId = TableId(1);
const SHARDS: usize = 16;
const ROWS: u32 = 1_000_000;
const ROWS_SMOKE: u32 = 4_000;
/// Mutations are encoded in batches, outside of the time that is measured.
const BATCH: u32 = 1_000;
/// Rows of a slice that is read from a wide partition.
const SLICE_ROWS: u32 = 100;

/// What the rows look like.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    columns: u32,
    value_bytes: usize,
    /// Rows of a partition; with more than one they arrive in clustering order.
    rows_per_partition: u32,
    /// Heap per byte of values that DESIGN allows.
    overhead_max: f64,
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "one row of 200 bytes a partition",
        columns: 1,
        value_bytes: 200,
        rows_per_partition: 1,
        overhead_max: 1.6,
    },
    Shape {
        name: "one row of 5 x 34 bytes a partition",
        columns: 5,
        value_bytes: 34,
        rows_per_partition: 1,
        overhead_max: 2.2,
    },
    Shape {
        name: "1000 rows of 200 bytes a partition",
        columns: 1,
        value_bytes: 200,
        rows_per_partition: 1000,
        overhead_max: 1.6,
    },
    Shape {
        name: "1000 rows of 5 x 34 bytes a partition",
        columns: 5,
        value_bytes: 34,
        rows_per_partition: 1000,
        overhead_max: 2.2,
    },
];

fn main() -> ExitCode {
    let full = std::env::args().any(|argument| argument == "--bench");
    let clock = RealClock::new();
    // All are kept, so that each takes fresh memory from the system and can be weighed.
    let mut kept = Vec::new();
    for shape in SHAPES {
        let memtable = Memtable::new(TABLE, SHARDS, LogPosition::START);
        let measured = measure(&memtable, shape, if full { ROWS } else { ROWS_SMOKE }, &clock);
        kept.push(memtable);
        match measured {
            Ok(within) if within || !full => {}
            Ok(_) => return ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{}: {error}", shape.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

impl Shape {
    fn key_name(self, row: u32, partitions: u32) -> String {
        format!("k{:09}", row % partitions)
    }

    fn position(self, row: u32, partitions: u32) -> Vec<u8> {
        let mut position = Vec::new();
        if self.rows_per_partition > 1 {
            position.put_u8(0x30);
            position.put_i64_be(i64::from(row / partitions) ^ i64::MIN);
        }
        position.put_u8(position::ROW);
        position
    }

    fn mutation(self, row: u32, partitions: u32) -> Result<Vec<u8>> {
        let timestamp = 1_700_000_000_000_000 + i64::from(row);
        let value: Vec<u8> = (0..self.value_bytes).map(|byte| (byte as u32 ^ row) as u8).collect();
        let mut built = RowBuilder::new();
        built.liveness(Liveness::new(timestamp));
        for column in 1..=self.columns {
            built.cell(Cell::live(ColumnId(column), timestamp, &value));
        }
        let name = self.key_name(row, partitions);
        let key = PartitionKeyRef { token: token(&name), key: name.as_bytes() };
        let mut mutation = MutationBuilder::new(KeyspaceId(1), key);
        mutation.table(TABLE).row(&self.position(row, partitions), &built.finish()?);
        mutation.finish()
    }
}

/// Any hash that spreads: the storage engine does not compute tokens.
fn token(name: &str) -> Token {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    Token(hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64)
}

/// Writes, reads and weighs rows of one shape; says whether their weight is within bounds.
fn measure(memtable: &Memtable, shape: Shape, rows: u32, clock: &RealClock) -> Result<bool> {
    let partitions = (rows / shape.rows_per_partition).max(1);
    let resident_before = resident_bytes();
    let apply = apply_all(memtable, shape, rows, partitions, clock)?;
    let resident = resident_bytes().saturating_sub(resident_before);
    let (read, hash) = read_all(memtable, shape, rows, partitions, clock)?;
    let raw = f64::from(rows * shape.columns) * shape.value_bytes as f64;
    let accounted = memtable.bytes() as f64 / raw;
    println!(
        "{}: apply {apply:.0} ns, read {read:.0} ns, heap {accounted:.2} x, resident {:.2} x, \
         hash {hash:016x}",
        shape.name,
        resident as f64 / raw,
    );
    Ok(accounted <= shape.overhead_max)
}

fn apply_all(
    memtable: &Memtable,
    shape: Shape,
    rows: u32,
    partitions: u32,
    clock: &RealClock,
) -> Result<f64> {
    let mut nanos = 0;
    for first in (0..rows).step_by(BATCH as usize) {
        let batch = first..rows.min(first + BATCH);
        let mutations: Vec<_> =
            batch.map(|row| shape.mutation(row, partitions)).collect::<Result<_>>()?;
        let start = busy_nanos(clock);
        for (index, bytes) in mutations.iter().enumerate() {
            let mutation = MutationRef::parse(bytes)?;
            for update in mutation.tables() {
                let position = LogPosition(u64::from(first) + index as u64);
                memtable.apply(mutation.key(), &update?, position)?;
            }
        }
        nanos += busy_nanos(clock) - start;
    }
    Ok(nanos as f64 / f64::from(rows))
}

/// Reads a row of every partition, or a slice of every wide one: time per read, hash of the rows.
fn read_all(
    memtable: &Memtable,
    shape: Shape,
    rows: u32,
    partitions: u32,
    clock: &RealClock,
) -> Result<(f64, u64)> {
    let mut hash = 0u64;
    let start = busy_nanos(clock);
    for number in 0..partitions {
        // Any order but that of the tokens.
        let name = shape.key_name(number, partitions);
        let key = PartitionKey { token: token(&name), key: Slice::copy(name.as_bytes()) };
        let Some(partition) = memtable.partition(&key) else { continue };
        let mut range = PositionRange::whole();
        if shape.rows_per_partition > 1 {
            let middle = (rows / partitions / 2) * partitions;
            range.start = Slice::from(shape.position(middle, partitions));
        }
        for item in partition.iter(&range, number % 2 == 1).take(SLICE_ROWS as usize) {
            if let Unfiltered::Row { row, .. } = item? {
                hash = hash.rotate_left(5) ^ u64::from(crc32(&row));
            }
        }
    }
    let nanos = (busy_nanos(clock) - start) as f64;
    Ok((nanos / f64::from(partitions), hash))
}

/// Time that this thread has run, not counting when others had its core; where the system does
/// not say, plain time.
fn busy_nanos(clock: &RealClock) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let busy = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    busy.unwrap_or_else(|| clock.monotonic().as_nanos() as u64)
}

/// Resident memory of this process; 0 where the system does not say.
fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * PAGE_BYTES
}
