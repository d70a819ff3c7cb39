//! Finding data blocks through the index, and going from one to its neighbours.
//!
//! A walk remembers the index block and the data block it used last. So a call that was stopped
//! for a missing block finds the blocks before it again without asking anybody, and makes
//! progress however small the cache is.

use std::cmp::Ordering;
use std::sync::Arc;

use helenus_platform::codec::CodecError;

use super::access::{BlockAccess, ReadStop};
use super::block::{Block, BlockRef};
use super::format::index_block::IndexEntry;
use super::table::SsTable;
use crate::error::Error;

/// Most bytes of the file that are worth fetching at once; one block may be larger.
const AHEAD_BYTES_MAX: u64 = 1 << 20;

/// An index block that is held.
struct Leaf {
    number: usize,
    name: BlockRef,
    block: Arc<Block>,
}

/// A data block that is held, and where the index has it.
pub(super) struct Place {
    leaf: Leaf,
    entry: usize,
    pub name: BlockRef,
    pub data: Arc<Block>,
    /// Clustered rows in all blocks before this one.
    pub rows_before: u64,
}

/// A place in the sequence of data blocks.
pub(super) struct Walk {
    pub table: Arc<SsTable>,
    /// The index block used last, if it is not the one of `at`.
    leaf: Option<Leaf>,
    pub at: Option<Place>,
    separator: Vec<u8>,
}

impl Walk {
    pub(super) fn new(table: Arc<SsTable>) -> Walk {
        Walk { table, leaf: None, at: None, separator: Vec::new() }
    }

    /// A decoding error in a block, placed in the file.
    pub(super) fn error(&self, name: BlockRef, error: CodecError) -> ReadStop {
        ReadStop::Error(self.table.block_error(name, error))
    }

    /// The index block of this number, which is held from now on.
    fn leaf(&mut self, access: &dyn BlockAccess, number: usize) -> Result<&Leaf, ReadStop> {
        let held = |leaf: &Leaf| leaf.number == number;
        let at = self.at.as_ref().is_some_and(|place| held(&place.leaf));
        if !at && !self.leaf.as_ref().is_some_and(held) {
            let entry = self.table.top_index().entry(number);
            let entry =
                entry.ok_or_else(|| Error::corrupt("SSTable, section index: no such entry"))?;
            let name = self.table.block_ref(entry.offset, entry.stored);
            self.leaf = Some(Leaf { number, name, block: access.block(&self.table, name)? });
        }
        let found = if at { self.at.as_ref().map(|place| &place.leaf) } else { self.leaf.as_ref() };
        found.ok_or_else(|| Error::corrupt("SSTable, section index: no such entry").into())
    }

    /// Goes to the data block in which the first thing at or above `target` stands, or to the one
    /// just before it. False if the table has no blocks.
    pub(super) fn seek(
        &mut self,
        access: &dyn BlockAccess,
        target: &[u8],
    ) -> Result<bool, ReadStop> {
        let top = self.table.top_index();
        if top.count() == 0 {
            return Ok(false);
        }
        let number = top.search(target);
        let leaf = self.leaf(access, number)?;
        let name = leaf.name;
        let found = leaf.block.index().and_then(|index| index.search(target));
        let (entry, found) = found.map_err(|e| self.error(name, e))?;
        self.enter(access, number, entry, found)?;
        Ok(true)
    }

    /// Goes to a data block of an index block that is held.
    fn enter(
        &mut self,
        access: &dyn BlockAccess,
        number: usize,
        entry: usize,
        found: IndexEntry,
    ) -> Result<(), ReadStop> {
        let name = self.table.block_ref(found.offset, found.stored);
        if self.at.as_ref().is_some_and(|place| place.name == name) {
            return Ok(());
        }
        let data = access.block(&self.table, name)?;
        data.data().map_err(|e| self.error(name, e))?;
        let old = self.at.take().map(|place| place.leaf);
        let leaf = old.filter(|leaf| leaf.number == number).or_else(|| self.leaf.take());
        let leaf = leaf.ok_or_else(|| Error::corrupt("SSTable, section index: no such entry"))?;
        self.at = Some(Place { leaf, entry, name, data, rows_before: found.rows_before });
        Ok(())
    }

    /// This data block and those behind it in the direction of reading: at most `count`, and none
    /// beyond the index block that is held. Empty if that does not name the block.
    pub(super) fn ahead(&self, block: BlockRef, forwards: bool, count: usize) -> Vec<BlockRef> {
        let leaves = self.leaf.iter().chain(self.at.as_ref().map(|place| &place.leaf));
        for index in leaves.filter_map(|leaf| leaf.block.index().ok()) {
            let Some(first) = index.find_offset(block.offset) else {
                continue;
            };
            let steps = 0..count.min(index.count());
            let numbers = steps.map_while(|step| match forwards {
                true => Some(first + step).filter(|number| *number < index.count()),
                false => first.checked_sub(step),
            });
            let places = numbers.map_while(|number| index.place(number).ok());
            let mut bytes = 0;
            let small = places.take_while(|place| {
                let first = bytes == 0;
                bytes += u64::from(place.stored);
                first || bytes <= AHEAD_BYTES_MAX
            });
            return small.map(|place| self.table.block_ref(place.offset, place.stored)).collect();
        }
        Vec::new()
    }

    /// The number of the index block and of the entry in it that stand `step` blocks further.
    fn neighbour(&self, forwards: bool) -> Result<Option<(usize, Option<usize>)>, ReadStop> {
        let Some(place) = &self.at else {
            return Ok(None);
        };
        let number = place.leaf.number;
        let index = place.leaf.block.index().map_err(|e| self.error(place.leaf.name, e))?;
        Ok(match forwards {
            true if place.entry + 1 < index.count() => Some((number, Some(place.entry + 1))),
            true if number + 1 < self.table.top_index().count() => Some((number + 1, Some(0))),
            false if place.entry > 0 => Some((number, Some(place.entry - 1))),
            // The last one of the index block before.
            false if number > 0 => Some((number - 1, None)),
            _ => None,
        })
    }

    /// Goes to the next data block, or to the one before; false if there is none.
    pub(super) fn step(
        &mut self,
        access: &dyn BlockAccess,
        forwards: bool,
    ) -> Result<bool, ReadStop> {
        let Some((number, entry)) = self.neighbour(forwards)? else {
            return Ok(false);
        };
        let leaf = self.leaf(access, number)?;
        let name = leaf.name;
        let found = leaf.block.index().and_then(|index| {
            let entry = entry.unwrap_or(index.count().saturating_sub(1));
            Ok((entry, index.place(entry)?))
        });
        let (entry, found) = found.map_err(|e| self.error(name, e))?;
        self.enter(access, number, entry, found)?;
        Ok(true)
    }

    /// How the separator of the current data block compares with `target`: everything in the
    /// block is at or above it, everything before the block is below it.
    pub(super) fn compare_start(&mut self, target: &[u8]) -> Result<Ordering, ReadStop> {
        match &self.at {
            None => Ok(Ordering::Less),
            Some(place) => {
                let (number, entry) = (place.leaf.number, place.entry);
                self.compare(number, entry, target)
            }
        }
    }

    /// As `compare_start` for the next data block; `Greater` if there is none.
    pub(super) fn compare_next(&mut self, target: &[u8]) -> Result<Ordering, ReadStop> {
        match self.neighbour(true)? {
            Some((number, Some(entry))) => self.compare(number, entry, target),
            _ => Ok(Ordering::Greater),
        }
    }

    fn compare(
        &mut self,
        number: usize,
        entry: usize,
        target: &[u8],
    ) -> Result<Ordering, ReadStop> {
        // The first separator of an index block also stands in memory.
        if entry == 0 {
            return Ok(self.table.top_index().separator(number).cmp(target));
        }
        let Some(leaf) = self.at.as_ref().map(|place| &place.leaf) else {
            return Ok(Ordering::Less);
        };
        debug_assert_eq!(leaf.number, number);
        let read = leaf.block.index().and_then(|index| index.entry(entry, &mut self.separator));
        read.map_err(|e| self.error(leaf.name, e))?;
        Ok(self.separator.as_slice().cmp(target))
    }
}
