//! Random partitions, an in-memory table that reads like an SSTable, and an access that misses.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;

use helenus_platform::disk::{Disk, MemoryDisk};
use helenus_platform::random::{Random, SeededRandom};
use helenus_storage::model::{
    Cell as RowCell, ColumnId, Deletion, Liveness, PartitionHead, PartitionKey, PositionRange,
    RowBuilder, Slice, SsTableId, TableId, Token, Unfiltered,
};
use helenus_storage::sstable::{
    Block, BlockAccess, BlockCache, BlockRef, ReadStop, SsTable, SsTableWriter, WriterOptions,
    murmur3_token,
};

/// A partition as the model keeps it.
#[derive(Clone, Debug)]
pub(crate) struct ModelPartition {
    pub head: PartitionHead,
    pub items: Vec<Unfiltered>,
}

pub(crate) fn key(token: i64, bytes: &[u8]) -> PartitionKey {
    PartitionKey { token: Token(token), key: Slice::copy(bytes) }
}

pub(crate) fn row(timestamp: i64, value: &[u8]) -> Slice {
    let mut builder = RowBuilder::new();
    builder.liveness(Liveness::new(timestamp));
    builder.cell(RowCell::live(ColumnId(1), timestamp, value));
    Slice::from(builder.finish().unwrap())
}

/// A row's position in a table clustered by one number.
pub(crate) fn numbered(number: u32) -> Slice {
    let [a, b, c, d] = number.to_be_bytes();
    Slice::copy(&[0x30, a, b, c, d, 0x80])
}

/// A partition of rows numbered from 0, with values of this length.
pub(crate) fn numbered_rows(key: PartitionKey, rows: u32, value_bytes: usize) -> ModelPartition {
    let head = PartitionHead { key, deletion: Deletion::NONE, static_row: None };
    let items = (0..rows).map(|number| {
        let row = row(i64::from(number), &vec![number as u8; value_bytes]);
        Unfiltered::Row { position: numbered(number), row }
    });
    ModelPartition { head, items: items.collect() }
}

pub(crate) fn write(
    disk: &Arc<dyn Disk>,
    id: u8,
    options: WriterOptions,
    partitions: &[ModelPartition],
    cache: &BlockCache,
) -> Arc<SsTable> {
    let dir = Path::new("/data");
    disk.create_dir_all(dir).unwrap();
    let mut writer = SsTableWriter::create(disk, dir, SsTableId([id; 16]), options).unwrap();
    for partition in partitions {
        writer.partition(&partition.head).unwrap();
        partition.items.iter().for_each(|item| writer.push(item).unwrap());
        writer.end_partition().unwrap();
    }
    writer.finish(cache).unwrap()
}

pub(crate) fn memory_disk() -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new())
}

pub(crate) fn options() -> WriterOptions {
    WriterOptions::new(TableId(7))
}

/// What the slice must give, computed plainly.
pub(crate) fn expected(
    items: &[Unfiltered],
    range: &PositionRange,
    reversed: bool,
) -> Vec<Unfiltered> {
    if range.is_empty() {
        return Vec::new();
    }
    let mut open = Deletion::NONE;
    let mut inside = Vec::new();
    for item in items {
        let opening = item.position() < &range.start
            || (item.position() == &range.start && matches!(item, Unfiltered::Marker { .. }));
        match item {
            Unfiltered::Marker { after, .. } if opening => open = *after,
            _ if !opening && item.position() < &range.end => inside.push(item.clone()),
            _ => {}
        }
    }
    let mut out = Vec::new();
    if !open.is_none() {
        let position = range.start.clone();
        out.push(Unfiltered::Marker { position, before: Deletion::NONE, after: open });
    }
    for item in &inside {
        if let Unfiltered::Marker { after, .. } = item {
            open = *after;
        }
    }
    out.extend(inside);
    if !open.is_none() {
        let position = range.end.clone();
        out.push(Unfiltered::Marker { position, before: open, after: Deletion::NONE });
    }
    if reversed {
        out.reverse();
    }
    out
}

/// Random content, from a seed.
pub(crate) struct Generator {
    pub random: SeededRandom,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Generator {
        Generator { random: SeededRandom::new(seed) }
    }

    pub(crate) fn below(&self, n: u64) -> u64 {
        self.random.next_u64() % n.max(1)
    }

    fn bytes(&self, length_max: u64) -> Vec<u8> {
        let mut bytes = vec![0; self.below(length_max + 1) as usize];
        self.random.fill(&mut bytes);
        // Half of them compress well.
        if self.below(2) == 0 {
            bytes.fill(b'x');
        }
        bytes
    }

    fn component(&self, spread: u64) -> Vec<u8> {
        let mut out = vec![0x30];
        out.extend_from_slice(&(self.below(spread) as u16).to_be_bytes());
        out
    }

    /// Any position: of a row, or before or after a prefix, or the bounds of the partition.
    pub(crate) fn position(&self, spread: u64) -> Slice {
        let mut out = Vec::new();
        let components = self.below(3);
        for _ in 0..components {
            out.extend(self.component(spread));
        }
        let end = match (components, self.below(4)) {
            (2, 0 | 1) => 0x80,
            (_, 2) => 0x00,
            _ => 0xFF,
        };
        out.push(end);
        Slice::from(out)
    }

    pub(crate) fn range(&self, spread: u64) -> PositionRange {
        match self.below(6) {
            0 => PositionRange::whole(),
            1 => {
                let (prefix, row) = (self.component(spread), self.component(spread));
                PositionRange::of_prefix(&[prefix, row].concat())
            }
            _ => {
                let (a, b) = (self.position(spread), self.position(spread));
                // Now and then empty or upside down.
                if self.below(10) == 0 || a <= b {
                    PositionRange::new(a, b)
                } else {
                    PositionRange::new(b, a)
                }
            }
        }
    }

    fn deletion(&self) -> Deletion {
        Deletion::new(self.below(1000) as i64, self.below(1_000_000) as i64)
    }

    fn items(&self, count: u64, spread: u64, value_max: u64) -> Vec<Unfiltered> {
        let mut positions: Vec<Slice> = (0..count).map(|_| self.position(spread)).collect();
        positions.sort();
        positions.dedup();
        let mut items = Vec::new();
        let mut open = Deletion::NONE;
        for position in positions {
            let is_row = position.last() == Some(&0x80);
            if !is_row || self.below(50) == 0 {
                let change = position.as_ref() != [0xFF] && self.below(3) > 0;
                let after = if change { self.deletion() } else { Deletion::NONE };
                if after != open {
                    let position = position.clone();
                    items.push(Unfiltered::Marker { position, before: open, after });
                    open = after;
                }
            }
            if is_row {
                let timestamp = self.below(1 << 40) as i64;
                let row = row(timestamp, &self.bytes(value_max));
                items.push(Unfiltered::Row { position, row });
            }
        }
        if !open.is_none() {
            let position = Slice::copy(&[0xFF]);
            items.push(Unfiltered::Marker { position, before: open, after: Deletion::NONE });
        }
        items
    }

    /// Partitions in order, of all shapes, and the spread of their positions.
    pub(crate) fn partitions(&self) -> (Vec<ModelPartition>, u64) {
        let spread = 1 + self.below(400);
        let tokens = [1, 20, 1 << 20][self.below(3) as usize];
        // Mostly real tokens, mostly made up ones, or all of one kind.
        let made_up = [0, 2, 98, 100][self.below(4) as usize];
        let mut keys: Vec<_> = (0..1 + self.below(200))
            .map(|_| {
                // Keys that are prefixes of one another, with bytes that need escaping.
                let bits = || (0..self.below(4)).map(|_| self.below(2) as u8 * 255).collect();
                let bytes: Vec<u8> = if self.below(3) == 0 { bits() } else { self.bytes(12) };
                let made_up = self.below(100) < made_up;
                let token =
                    if made_up { self.below(tokens) as i64 - 500 } else { murmur3_token(&bytes).0 };
                key(token, &bytes)
            })
            .collect();
        keys.sort();
        keys.dedup();
        let value_max = [3, 60, 1000, 40_000][self.below(4) as usize];
        let partitions = keys.into_iter().map(|key| {
            let count = match self.below(20) {
                0 => 3000 / (1 + value_max / 50),
                1..4 => 100 / (1 + value_max / 500),
                _ => self.below(5),
            };
            let deletion = if self.below(5) == 0 { self.deletion() } else { Deletion::NONE };
            let static_row = (self.below(4) == 0).then(|| row(5, &self.bytes(value_max)));
            let head = PartitionHead { key, deletion, static_row };
            ModelPartition { head, items: self.items(count, spread, value_max) }
        });
        (partitions.collect(), spread)
    }
}

/// Misses at random, or always: then only the block fetched last can be had.
pub(crate) struct FlakyAccess {
    table: Arc<SsTable>,
    /// Percent of requests that miss.
    misses: u64,
    generator: Generator,
    fetched: RefCell<Option<(BlockRef, Arc<Block>)>>,
    pub asked: Cell<u64>,
}

impl FlakyAccess {
    pub(crate) fn new(table: &Arc<SsTable>, misses: u64, seed: u64) -> FlakyAccess {
        let generator = Generator::new(seed);
        let fetched = RefCell::new(None);
        FlakyAccess { table: table.clone(), misses, generator, fetched, asked: Cell::new(0) }
    }

    /// Calls until nothing is missing.
    pub(crate) fn retry<T>(&self, mut call: impl FnMut(&Self) -> Result<T, ReadStop>) -> T {
        for _ in 0..1000 {
            match call(self) {
                Ok(done) => return done,
                Err(ReadStop::Missing(block)) => {
                    let read = self.table.read_block(block).unwrap();
                    *self.fetched.borrow_mut() = Some((block, read));
                }
                Err(ReadStop::Error(error)) => panic!("{error}"),
            }
        }
        panic!("no progress");
    }
}

impl BlockAccess for FlakyAccess {
    fn block(&self, table: &SsTable, block: BlockRef) -> Result<Arc<Block>, ReadStop> {
        self.asked.set(self.asked.get() + 1);
        if let Some((name, found)) = &*self.fetched.borrow()
            && *name == block
        {
            return Ok(found.clone());
        }
        if self.generator.below(100) < self.misses {
            return Err(ReadStop::Missing(block));
        }
        Ok(table.read_block(block)?)
    }
}
