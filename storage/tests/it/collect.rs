//! What a reader was told, in a form that can be compared.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use helenus_storage::model::{
    Cell, CellKind, Entry, Liveness, PartitionKey, PositionRange, RowRef, Slice,
};
use helenus_storage::read::{Cursor, Flow, Read, ReadCommand, Sink};
use helenus_storage::{Budget, Engine, Result};

/// A live cell: column, path, timestamp, value, TTL, expiry.
pub(crate) type CellOut = (u32, Option<Vec<u8>>, i64, Bytes, u32, i64);

/// A value that prints short.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [first, .., last] if first == last => write!(f, "{} x {first}", self.0.len()),
            other => write!(f, "{other:?}"),
        }
    }
}

/// A live row: its liveness (timestamp, TTL, expiry) and cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowOut {
    pub(crate) liveness: Option<(i64, u32, i64)>,
    pub(crate) cells: Vec<CellOut>,
}

/// A partition as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionOut {
    pub(crate) key: PartitionKey,
    pub(crate) static_row: Option<RowOut>,
    pub(crate) rows: Vec<(Vec<u8>, RowOut)>,
}

impl RowOut {
    pub(crate) fn of(row: RowRef<'_>) -> RowOut {
        let of_liveness = |l: Liveness| (l.timestamp, l.ttl, l.expiry);
        let cells = row.entries().map(|entry| match entry.unwrap() {
            Entry::Cell(cell) => of_cell(&cell),
            Entry::ColumnDeletion(..) => panic!("a reader was told of a deletion"),
        });
        RowOut { liveness: row.liveness().map(of_liveness), cells: cells.collect() }
    }
}

fn of_cell(cell: &Cell<'_>) -> CellOut {
    let (ttl, expiry) = match cell.kind {
        CellKind::Live | CellKind::Counter => (0, i64::MAX),
        CellKind::Expiring { ttl, expiry } => (ttl, expiry),
        dead => panic!("a reader was told of {dead:?}"),
    };
    let path = cell.path.map(<[u8]>::to_vec);
    (cell.column.0, path, cell.timestamp, Bytes(cell.value.to_vec()), ttl, expiry)
}

/// Collects what it is told, and stops after so many rows and static-only partitions.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) partitions: Vec<PartitionOut>,
    is_open: bool,
    /// Rows until the next stop.
    page: usize,
}

/// One that does not stop.
impl Default for Collector {
    fn default() -> Collector {
        Collector { partitions: Vec::new(), is_open: false, page: usize::MAX }
    }
}

impl Collector {
    /// Goes on as a new page would.
    pub(crate) fn begin_page(&mut self, rows: usize) {
        self.page = rows;
        self.is_open = false;
    }

    /// Where the last page ended: its partition, the last row of it if more of it may follow, and
    /// how many rows of it there were.
    pub(crate) fn end(&self) -> (PartitionKey, Option<Vec<u8>>, u32) {
        let last = self.partitions.last().unwrap();
        let row = last.rows.last().filter(|_| self.is_open);
        (last.key.clone(), row.map(|(position, _)| position.clone()), last.rows.len() as u32)
    }

    fn count(&mut self) -> Flow {
        self.page = self.page.saturating_sub(1);
        if self.page == 0 { Flow::Stop } else { Flow::Continue }
    }
}

impl Sink for Collector {
    fn partition(&mut self, key: &PartitionKey, static_row: Option<RowRef<'_>>) -> Flow {
        assert!(!self.is_open, "a partition begins inside another");
        self.is_open = true;
        let static_row = static_row.map(RowOut::of);
        if let Some(last) = self.partitions.last()
            && last.key == *key
        {
            assert_eq!(last.static_row, static_row, "a page repeats another static row");
            return Flow::Continue;
        }
        self.partitions.push(PartitionOut { key: key.clone(), static_row, rows: Vec::new() });
        Flow::Continue
    }

    fn row(&mut self, position: &[u8], row: RowRef<'_>) -> Flow {
        assert!(self.is_open, "a row outside of a partition");
        let partition = self.partitions.last_mut().unwrap();
        partition.rows.push((position.to_vec(), RowOut::of(row)));
        self.count()
    }

    fn end_partition(&mut self) -> Flow {
        assert!(std::mem::take(&mut self.is_open), "the end of a partition that was not begun");
        if self.partitions.last().unwrap().rows.is_empty() { self.count() } else { Flow::Continue }
    }
}

/// How a read is cut up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cuts {
    /// Rows a page; `usize::MAX` for all.
    pub(crate) page: usize,
    /// Units of budget a call.
    pub(crate) units: u64,
    /// Yields of the memtables' snapshot in between are resumed with a new cursor.
    pub(crate) fresh_cursors: bool,
}

impl Cuts {
    pub(crate) const NONE: Cuts = Cuts { page: usize::MAX, units: u64::MAX, fresh_cursors: false };
}

/// Reads everything that the command names, in pages.
pub(crate) fn read(
    engine: &Engine,
    command: &ReadCommand,
    cuts: Cuts,
) -> Result<Vec<PartitionOut>> {
    let mut collector = Collector::default();
    let mut cursor = Cursor::new(command);
    collector.begin_page(cuts.page);
    loop {
        let mut budget = Budget::new(cuts.units);
        match engine.read(command, &mut cursor, &mut collector, &mut budget)? {
            Read::Done => return Ok(collector.partitions),
            Read::NeedsBlocks(blocks) => {
                assert!(!blocks.is_empty());
                engine.fetch(blocks, &mut cursor)?;
            }
            Read::Yield => {}
            Read::TombstoneLimit => panic!("no limit was set"),
            Read::Stopped => {
                if cuts.fresh_cursors {
                    cursor = resumed(&collector);
                }
                collector.begin_page(cuts.page);
            }
        }
    }
}

/// A cursor after what the collector has been told.
fn resumed(collector: &Collector) -> Cursor {
    let (key, position, rows) = collector.end();
    let told = if position.is_some() { rows } else { 0 };
    Cursor::resume(key, position.map(Slice::from)).with_rows_told(told)
}

/// The range of one row.
pub(crate) fn point(position: &[u8]) -> PositionRange {
    let mut end = position.to_vec();
    end.push(0);
    PositionRange { start: Slice::copy(position), end: Slice::from(end) }
}
