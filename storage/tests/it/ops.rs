//! What the model test does: operations that depend on nothing but themselves, so that any part
//! of a list of them is a list that can be run.

use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::TableId;

use crate::collect::Bytes;

/// Rows with clustering, static, expiring and multi-cell columns.
pub(crate) const WIDE: TableId = TableId(1);
/// A table of counters.
pub(crate) const COUNTERS: TableId = TableId(2);

pub(crate) const STATIC_COLUMNS: [u32; 2] = [1, 2];
pub(crate) const COLUMNS: [u32; 3] = [3, 4, 6];
/// A multi-cell column.
pub(crate) const COLLECTION: u32 = 5;
pub(crate) const COUNTER_COLUMN: u32 = 7;

/// A clustering prefix of 0, 1 or 2 components, or a whole row's two.
pub(crate) type Prefix = Vec<u8>;

/// What a cell is set to.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Live(Bytes),
    /// TTL in seconds.
    Expiring(Bytes, u32),
    Tombstone,
}

/// A column or an element of the collection.
#[derive(Clone, Debug)]
pub(crate) struct CellOp {
    pub(crate) column: u32,
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) value: Value,
}

/// One thing that a mutation says of a partition.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Static(Vec<CellOp>),
    /// Row, liveness with TTL (0 for none) if it is an insert, cells.
    Row(Prefix, Option<u32>, Vec<CellOp>),
    /// The collection is overwritten: deleted just before its new cells.
    Overwrite(Prefix, Vec<CellOp>),
    RowDeletion(Prefix),
    /// From before or after a prefix to before or after another.
    Range((Prefix, bool), (Prefix, bool)),
    PartitionDeletion,
    /// A shard of host so-and-so has counted this much more.
    Count(Prefix, u8, i64),
    CounterDeletion(Prefix),
}

/// Writes to one partition of one table.
#[derive(Clone, Debug)]
pub(crate) struct WriteOp {
    pub(crate) table: TableId,
    pub(crate) key: u8,
    /// Added to the clock, microseconds.
    pub(crate) timestamp_offset: i64,
    pub(crate) parts: Vec<Part>,
}

/// Which partitions are read.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    One(u8),
    Many(Vec<u8>),
    /// From this key on, included or not, to that one.
    Range(Option<(u8, bool)>, Option<(u8, bool)>),
}

/// A read.
#[derive(Clone, Debug)]
pub(crate) struct ReadOp {
    pub(crate) table: TableId,
    pub(crate) keys: Keys,
    /// Ends of slices: prefix, and whether after it.
    pub(crate) slices: Option<Vec<(Prefix, bool)>>,
    pub(crate) reversed: bool,
    pub(crate) columns: Option<Vec<u32>>,
    pub(crate) limit: u32,
    pub(crate) distinct: bool,
    pub(crate) page: usize,
    pub(crate) units: u64,
    pub(crate) fresh_cursors: bool,
}

/// One step of the test.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// One record: all or nothing.
    Write(Vec<WriteOp>),
    Read(ReadOp),
    /// Begins or goes on with a flush, so many steps.
    FlushSteps(u32),
    /// Begins or goes on with a compaction, so many steps.
    CompactionSteps(u32),
    Flush,
    Compact,
    Reopen,
    Crash,
    /// Ignored in the periodic mode, where it may lose what was acknowledged.
    PowerCut {
        torn: bool,
        reorder: bool,
    },
    Truncate(TableId),
    /// Both clocks.
    Advance(u32),
    /// The wall clock alone.
    Jump(i32),
}

fn pick<T: Clone>(random: &SeededRandom, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize].clone()
}

fn below(random: &SeededRandom, n: u64) -> u8 {
    random.below(n) as u8
}

/// Two components; encodings that end themselves, with a marker below and one above 0x80.
fn component(first: bool, n: u8) -> Vec<u8> {
    if first { vec![0x30, n, 0] } else { vec![0xCF, n] }
}

fn row_prefix(random: &SeededRandom) -> Prefix {
    let mut prefix = component(true, below(random, 5));
    prefix.extend(component(false, below(random, 8)));
    prefix
}

fn any_prefix(random: &SeededRandom) -> Prefix {
    match random.below(5) {
        0 => Vec::new(),
        1 | 2 => component(true, below(random, 5)),
        _ => row_prefix(random),
    }
}

fn value(random: &SeededRandom) -> Value {
    let len = if random.chance(0.05) { random.below(700) } else { random.below(12) };
    let byte = below(random, 256);
    let bytes = Bytes(vec![byte; len as usize]);
    match random.below(10) {
        0 | 1 => Value::Tombstone,
        2..=4 => Value::Expiring(bytes, 1 + random.below(120) as u32),
        _ => Value::Live(bytes),
    }
}

fn cells(random: &SeededRandom, columns: &[u32]) -> Vec<CellOp> {
    let count = random.below(4);
    let cell = |_| CellOp { column: pick(random, columns), path: None, value: value(random) };
    (0..count).map(cell).collect()
}

fn elements(random: &SeededRandom) -> Vec<CellOp> {
    let count = random.below(4);
    let element = |_| CellOp {
        column: COLLECTION,
        path: Some(vec![0x30, below(random, 4)]),
        value: value(random),
    };
    (0..count).map(element).collect()
}

fn part(random: &SeededRandom) -> Part {
    match random.below(100) {
        0..=9 => Part::Static(cells(random, &STATIC_COLUMNS)),
        10..=59 => {
            let liveness = random.chance(0.6).then(|| match random.below(4) {
                0 => 1 + random.below(120) as u32,
                _ => 0,
            });
            let mut all = cells(random, &COLUMNS);
            all.extend(elements(random));
            Part::Row(row_prefix(random), liveness, all)
        }
        60..=69 => Part::Overwrite(row_prefix(random), elements(random)),
        70..=79 => Part::RowDeletion(row_prefix(random)),
        80..=96 => {
            let bound = || (any_prefix(random), random.chance(0.5));
            Part::Range(bound(), bound())
        }
        _ => Part::PartitionDeletion,
    }
}

fn counter_part(random: &SeededRandom) -> Part {
    match random.below(20) {
        0 => Part::RowDeletion(row_prefix(random)),
        1 => Part::Range((any_prefix(random), false), (any_prefix(random), true)),
        2 if random.chance(0.2) => Part::CounterDeletion(row_prefix(random)),
        3 if random.chance(0.2) => Part::PartitionDeletion,
        _ => {
            let delta = random.below(100) as i64 - 50;
            Part::Count(row_prefix(random), below(random, 3), delta)
        }
    }
}

/// One write to one of so many partitions.
pub(crate) fn write(random: &SeededRandom, keys: u64) -> WriteOp {
    let table = if random.chance(0.15) { COUNTERS } else { WIDE };
    let count = 1 + random.below(if random.chance(0.05) { 40 } else { 3 });
    let parts =
        (0..count).map(|_| if table == COUNTERS { counter_part(random) } else { part(random) });
    let spread = if random.chance(0.3) { 3 } else { 20_000_000 };
    WriteOp {
        table,
        key: below(random, keys),
        timestamp_offset: random.below(2 * spread) as i64 - spread as i64,
        parts: parts.collect(),
    }
}

/// A read of some of so many partitions.
pub(crate) fn read(random: &SeededRandom, keys: u64) -> ReadOp {
    let key = || below(random, keys);
    let table = if random.chance(0.15) { COUNTERS } else { WIDE };
    let slices = random.chance(0.7).then(|| {
        let count = 2 * (1 + random.below(3));
        (0..count).map(|_| (any_prefix(random), random.chance(0.5))).collect()
    });
    let mut columns = [&STATIC_COLUMNS[..], &COLUMNS[..], &[COLLECTION, COUNTER_COLUMN]].concat();
    columns.retain(|_| random.chance(0.5));
    ReadOp {
        table,
        keys: match random.below(10) {
            0..=4 => Keys::One(key()),
            5 | 6 => Keys::Many((0..3).map(|_| key()).collect()),
            _ => {
                let bound = || random.chance(0.5).then(|| (key(), random.chance(0.5)));
                Keys::Range(bound(), bound())
            }
        },
        slices,
        reversed: random.chance(0.4),
        columns: random.chance(0.3).then_some(columns),
        limit: if random.chance(0.2) { 1 + random.below(5) as u32 } else { u32::MAX },
        distinct: random.chance(0.08),
        page: if random.chance(0.5) { usize::MAX } else { 1 + random.below(6) as usize },
        units: if random.chance(0.5) { u64::MAX } else { 1 + random.below(30) },
        fresh_cursors: random.chance(0.7),
    }
}

/// So many operations from a seed.
pub(crate) fn generate(random: &SeededRandom, count: usize) -> Vec<Op> {
    let keys = 1 + random.below(12);
    let one = |_| match random.below(1000) {
        0..=549 => {
            let writes = if random.chance(0.1) { 2 + random.below(3) } else { 1 };
            Op::Write((0..writes).map(|_| write(random, keys)).collect())
        }
        550..=849 => Op::Read(read(random, keys)),
        850..=889 => Op::FlushSteps(1 + random.below(8) as u32),
        890..=929 => Op::CompactionSteps(1 + random.below(20) as u32),
        930..=944 => Op::Flush,
        945..=950 => Op::Compact,
        951..=956 => Op::Reopen,
        957..=962 => Op::Crash,
        963..=968 => Op::PowerCut { torn: random.chance(0.5), reorder: random.chance(0.5) },
        969 => Op::Truncate(pick(random, &[WIDE, COUNTERS])),
        970..=992 => Op::Advance(random.below(if random.chance(0.2) { 300 } else { 15 }) as u32),
        _ => Op::Jump(random.below(if random.chance(0.3) { 500 } else { 100 }) as i32 - 100),
    };
    (0..count).map(one).collect()
}
