//! One partition in a shard's map: packed or wide.

use std::sync::Arc;

use helenus_platform::codec::{Put, Reader};

use crate::error::{Error, Result};
use crate::memtable::row::RowEntry;
use crate::memtable::survey::Survey;
use crate::model::tree::Tree;
use crate::model::{
    Deletion, LogPosition, PositionRange, RangeTombstones, RowRef, Slice, TableUpdateRef, memory,
    merge_rows,
};

/// A packed partition grows up to this many bytes; then it becomes wide, where a large row is not
/// copied at every write.
const PACKED_BYTES_MAX: usize = 4096;

/// One update of one partition, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write<'a> {
    pub(super) key: &'a [u8],
    pub(super) update: &'a TableUpdateRef<'a>,
    pub(super) survey: &'a Survey,
    pub(super) position: LogPosition,
}

impl<'a> Write<'a> {
    /// The rows that say something.
    fn rows(&self) -> impl Iterator<Item = Result<(&'a [u8], RowRef<'a>)>> + use<'a> {
        let says_something = |row: &Result<(_, RowRef<'a>)>| match row {
            Ok((_, row)) => !row.is_empty(),
            Err(_) => true,
        };
        self.update.rows().filter(says_something)
    }

    /// The only row, if the update is one row that fits into a packed partition.
    fn packable(&self) -> Result<Option<(&'a [u8], RowRef<'a>)>> {
        if !self.survey.is_single_row() || self.key.len() > usize::from(u16::MAX) {
            return Ok(None);
        }
        let row = self.rows().next().transpose()?;
        Ok(row.filter(|(position, row)| position.len() + row.bytes().len() <= PACKED_BYTES_MAX))
    }
}

/// A partition. Two words, of which a million cost something.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// One row and nothing else.
    Packed(Packed),
    /// Anything.
    Wide(Arc<Wide>),
}

const _: () = assert!(size_of::<Slot>() == 2 * size_of::<usize>());

impl Slot {
    /// A new partition of what is written.
    pub(super) fn create(write: &Write<'_>, scratch: &mut Vec<u8>) -> Result<Slot> {
        if let Some((position, row)) = write.packable()? {
            Packed::begin(write.key, position, write.position, scratch);
            scratch.put_bytes(row.bytes());
            return Ok(Slot::Packed(Packed(Arc::from(scratch.as_slice()))));
        }
        let mut wide = Wide::new(Slice::copy(write.key));
        wide.apply(write, scratch)?;
        Ok(Slot::Wide(Arc::new(wide)))
    }

    /// Merges a write into the partition.
    pub(super) fn apply(&mut self, write: &Write<'_>, scratch: &mut Vec<u8>) -> Result<()> {
        if let Slot::Packed(packed) = self {
            if packed.0.len() <= PACKED_BYTES_MAX
                && let Some((position, row)) = write.packable()?
                && position == packed.position()
            {
                let newest = packed.newest().max(write.position);
                Packed::begin(write.key, position, newest, scratch);
                let own = RowRef::parse(packed.row())?;
                merge_rows(&[own, row], Deletion::NONE, scratch)?;
                packed.0 = Arc::from(scratch.as_slice());
                return Ok(());
            }
            *self = Slot::Wide(Arc::new(Wide::unpack(packed, scratch)));
        }
        match self {
            Slot::Wide(wide) => Arc::make_mut(wide).apply(write, scratch),
            Slot::Packed(_) => Err(Error::corrupt("a partition was not unpacked")),
        }
    }

    /// The partition key.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Slot::Packed(packed) => packed.key(),
            Slot::Wide(wide) => &wide.key,
        }
    }

    /// Heap that the partition takes, without the slot itself.
    pub(super) fn heap(&self) -> usize {
        match self {
            Slot::Packed(packed) => memory::shared(packed.0.len()),
            Slot::Wide(wide) => wide.heap(),
        }
    }
}

/// A partition of one row in one block of memory:
///
/// ```text
/// u64 newest log position | u16 key length | u32 position length | key | position | row
/// ```
///
/// Integers are little-endian. Made by [`Packed::begin`] only; never leaves memory.
#[derive(Clone, Debug)]
pub(super) struct Packed(Arc<[u8]>);

const NEWEST_BYTES: usize = 8;
const HEAD_BYTES: usize = NEWEST_BYTES + 2 + 4;

impl Packed {
    /// Writes everything before the row.
    fn begin(key: &[u8], position: &[u8], newest: LogPosition, block: &mut Vec<u8>) {
        block.clear();
        block.put_u64_le(newest.0);
        // Checked by `Write::packable`; and a position is part of a mutation, so far below 4 GiB.
        block.put_u16_le(key.len() as u16);
        block.put_u32_le(position.len() as u32);
        block.put_bytes(key);
        block.put_bytes(position);
    }

    /// Where the position begins, and where the row does.
    #[inline]
    fn bounds(&self) -> (usize, usize) {
        let mut reader = Reader::new(self.0.get(NEWEST_BYTES..).unwrap_or_default());
        let key = reader.u16_le().unwrap_or_default();
        let position = reader.u32_le().unwrap_or_default();
        let position_at = HEAD_BYTES + usize::from(key);
        (position_at, position_at + position as usize)
    }

    pub(super) fn newest(&self) -> LogPosition {
        LogPosition(Reader::new(&self.0).u64_le().unwrap_or_default())
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.0.get(HEAD_BYTES..self.bounds().0).unwrap_or_default()
    }

    fn position(&self) -> &[u8] {
        let (position, row) = self.bounds();
        self.0.get(position..row).unwrap_or_default()
    }

    fn row(&self) -> &[u8] {
        self.0.get(self.bounds().1..).unwrap_or_default()
    }

    /// Key, position and row as slices of the block.
    pub(super) fn slices(&self) -> (Slice, Slice, Slice) {
        let (position, row) = self.bounds();
        let block = Slice::from(self.0.clone());
        (block.sub(HEAD_BYTES..position), block.sub(position..row), block.sub(row..block.len()))
    }
}

/// A partition of any content.
#[derive(Clone, Debug)]
pub(super) struct Wide {
    pub(super) key: Slice,
    pub(super) newest: LogPosition,
    pub(super) deletion: Deletion,
    pub(super) static_row: Option<RowEntry>,
    pub(super) rows: Tree<RowEntry>,
    pub(super) ranges: RangeTombstones,
    /// Heap of what `rows` and `static_row` point to.
    row_heap: usize,
}

impl Wide {
    fn new(key: Slice) -> Wide {
        Wide {
            key,
            newest: LogPosition::START,
            deletion: Deletion::NONE,
            static_row: None,
            rows: Tree::default(),
            ranges: RangeTombstones::new(),
            row_heap: 0,
        }
    }

    fn unpack(packed: &Packed, scratch: &mut Vec<u8>) -> Wide {
        let row = RowEntry::new(packed.position(), packed.row(), scratch);
        let mut wide = Wide::new(Slice::copy(packed.key()));
        wide.newest = packed.newest();
        wide.row_heap = row.heap();
        wide.rows.insert(row);
        wide
    }

    fn apply(&mut self, write: &Write<'_>, scratch: &mut Vec<u8>) -> Result<()> {
        self.newest = self.newest.max(write.position);
        self.deletion = self.deletion.newer(write.update.partition_deletion());
        for range in write.update.range_tombstones() {
            let (start, end, deletion) = range?;
            self.ranges.add(&PositionRange::new(start.into(), end.into()), deletion);
        }
        if let Some(row) = write.update.static_row().filter(|_| write.survey.static_row) {
            let row = RowRef::parse(row)?;
            match &mut self.static_row {
                Some(own) => {
                    self.row_heap -= own.heap();
                    let added = own.add(row, scratch);
                    self.row_heap += own.heap();
                    added?;
                }
                None => {
                    let row = RowEntry::new(&[], row.bytes(), scratch);
                    self.row_heap += row.heap();
                    self.static_row = Some(row);
                }
            }
        }
        for row in write.rows() {
            let (position, row) = row?;
            self.add_row(position, row, scratch)?;
        }
        Ok(())
    }

    fn add_row(&mut self, position: &[u8], row: RowRef<'_>, scratch: &mut Vec<u8>) -> Result<()> {
        let mut added = Ok(());
        let (mut before, mut after) = (0, 0);
        self.rows.update(position, |own| match own {
            Some(own) => {
                before = own.heap();
                added = own.add(row, scratch);
                after = own.heap();
                None
            }
            None => {
                let row = RowEntry::new(position, row.bytes(), scratch);
                after = row.heap();
                Some(row)
            }
        });
        self.row_heap = self.row_heap + after - before;
        added
    }

    fn heap(&self) -> usize {
        memory::shared(size_of::<Wide>())
            + memory::shared(self.key.len())
            + self.rows.heap()
            + self.row_heap
            + self.ranges.heap()
    }
}
