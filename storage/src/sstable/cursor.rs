//! A cursor over one SSTable: partitions, and slices of them, in either direction.
//!
//! Every method that may need a block takes a [`BlockAccess`]. Where that answers
//! [`ReadStop::Missing`], the method returns it and has changed nothing that shows: once the
//! block was fetched, the same call goes on.

use std::sync::Arc;

use helenus_platform::codec::CodecError;

use super::access::{BlockAccess, ReadStop};
use super::block::BlockRef;
use super::format::composite::{put_bound, put_partition};
use super::slice_read::{SliceRead, Step, in_block};
use super::table::SsTable;
use super::walk::Walk;
use crate::model::{PartitionBound, PartitionHead, PartitionKey, PositionRange, Slice, Unfiltered};

/// Reads partitions of one SSTable.
pub struct SsTableCursor {
    walk: Walk,
    partition: Option<Partition>,
    slice: SliceRead,
    /// What was looked up last; reused.
    target: Vec<u8>,
}

/// The partition that the cursor is in.
pub(super) struct Partition {
    key: PartitionKey,
    home: Home,
    /// Its composite, and behind that the position of a target. Empty until one is asked for:
    /// small partitions need none.
    composite: Vec<u8>,
    composite_bytes: usize,
}

/// Where the head of a partition stands.
struct Home {
    /// The block's place in the file.
    block: u64,
    /// The partition's number in the block.
    number: usize,
    /// Where its entries begin.
    body: usize,
    /// Whether all of the partition is in this block.
    whole: bool,
}

impl Partition {
    pub(super) fn key(&self) -> &PartitionKey {
        &self.key
    }

    /// The composite of a position in this partition.
    pub(super) fn target(&mut self, position: &[u8]) -> &[u8] {
        if self.composite.is_empty() {
            put_partition(&mut self.composite, self.key.as_ref());
            self.composite_bytes = self.composite.len();
        }
        self.composite.truncate(self.composite_bytes);
        self.composite.extend_from_slice(position);
        &self.composite
    }

    /// Its number in the block that the walk stands at, and where its entries begin, if that is
    /// the block with its head.
    pub(super) fn known_place(&self, walk: &Walk) -> Option<(usize, usize)> {
        let here = walk.at.as_ref().is_some_and(|place| place.name.offset == self.home.block);
        here.then_some((self.home.number, self.home.body))
    }

    /// Whether all of it is in the block that the walk stands at.
    pub(super) fn is_whole_in(&self, walk: &Walk) -> bool {
        self.home.whole && self.known_place(walk).is_some()
    }
}

impl SsTableCursor {
    pub(super) fn new(table: Arc<SsTable>) -> SsTableCursor {
        let walk = Walk::new(table);
        SsTableCursor { walk, partition: None, slice: SliceRead::new(), target: Vec::new() }
    }

    /// The table.
    pub fn table(&self) -> &Arc<SsTable> {
        &self.walk.table
    }

    /// Goes to the partition with this key; `None` if the table has no such partition. An absent
    /// key outside the table's range, or unknown to its filter, costs no block.
    pub fn seek_partition(
        &mut self,
        access: &dyn BlockAccess,
        key: &PartitionKey,
    ) -> Result<Option<PartitionHead>, ReadStop> {
        self.leave();
        if !self.walk.table.may_contain(key) {
            return Ok(None);
        }
        self.target.clear();
        put_partition(&mut self.target, key.as_ref());
        if !self.walk.seek(access, &self.target)? {
            return Ok(None);
        }
        match in_block(&self.walk, |data| data.find(key.token, &key.key))? {
            Some(partition) => self.enter(partition, Some(key)),
            None => Ok(None),
        }
    }

    /// Goes to the first partition behind the bound.
    pub fn next_partition(
        &mut self,
        access: &dyn BlockAccess,
        bound: &PartitionBound,
    ) -> Result<Option<PartitionHead>, ReadStop> {
        self.slice.end();
        if self
            .walk
            .table
            .stats()
            .keys
            .as_ref()
            .is_none_or(|(_, last)| !bound.is_before(last.as_ref()))
        {
            self.leave();
            return Ok(None);
        }
        let found = match self.following(bound)? {
            Some(partition) => partition,
            None => {
                self.target.clear();
                if !put_bound(&mut self.target, bound) || !self.walk.seek(access, &self.target)? {
                    self.leave();
                    return Ok(None);
                }
                self.first_behind(bound)?
            }
        };
        let partitions = in_block(&self.walk, |data| Ok(data.partitions()))?;
        if found < partitions {
            return self.enter(found, None);
        }
        // The separator of the next block is above the bound: it begins with a new partition.
        if !self.walk.step(access, true)? {
            self.leave();
            return Ok(None);
        }
        self.enter(0, None)
    }

    /// If the bound is just behind the current partition, and that ends in the current block: the
    /// number of the partition after it, which may be the first of the next block.
    fn following(&self, bound: &PartitionBound) -> Result<Option<usize>, ReadStop> {
        let (PartitionBound::AfterKey(key), Some(own)) = (bound, &self.partition) else {
            return Ok(None);
        };
        if *key != own.key || self.walk.at.is_none() {
            return Ok(None);
        }
        in_block(&self.walk, |data| {
            let partition = match own.known_place(&self.walk) {
                Some((partition, _)) => Some(partition),
                None => data.find(own.key.token, &own.key.key)?,
            };
            let ends_here =
                |partition: &usize| partition + 1 < data.partitions() || !data.continues();
            Ok(partition.filter(ends_here).map(|partition| partition + 1))
        })
    }

    /// The first partition of the current block that is behind the bound.
    fn first_behind(&self, bound: &PartitionBound) -> Result<usize, ReadStop> {
        let Some(token) = bound.first_token() else {
            return in_block(&self.walk, |data| Ok(data.partitions()));
        };
        let (key, after): (&[u8], bool) = match bound {
            PartitionBound::AtKey(key) => (&key.key, false),
            PartitionBound::AfterKey(key) => (&key.key, true),
            _ => (&[], false),
        };
        in_block(&self.walk, |data| {
            let (partition, same) = data.lower_bound(token, key)?;
            Ok(if same && after { partition + 1 } else { partition })
        })
    }

    /// Forgets the partition, if the cursor is in one.
    fn leave(&mut self) {
        self.slice.end();
        self.partition = None;
    }

    /// Enters a partition of the current block, whose head must stand there.
    fn enter(
        &mut self,
        partition: usize,
        key: Option<&PartitionKey>,
    ) -> Result<Option<PartitionHead>, ReadStop> {
        self.slice.end();
        let (head, body, whole) = in_block(&self.walk, |data| {
            let entry = data.partition(partition)?;
            if entry.continued {
                let what = "head of a partition where the index leads";
                return Err(CodecError { offset: entry.body, what });
            }
            let share = |range| data.content().sub(range);
            let key = match key {
                Some(key) => key.clone(),
                None => PartitionKey { token: data.token(partition)?, key: share(entry.key) },
            };
            let static_row: Option<Slice> = entry.static_row.map(share);
            let whole = partition + 1 < data.partitions() || !data.continues();
            let head = PartitionHead { key, deletion: entry.deletion, static_row };
            Ok((head, entry.body, whole))
        })?;
        let mut composite = self.partition.take().map(|old| old.composite).unwrap_or_default();
        composite.clear();
        let block = self.walk.at.as_ref().map_or(0, |place| place.name.offset);
        let home = Home { block, number: partition, body, whole };
        let key = head.key.clone();
        self.partition = Some(Partition { key, home, composite, composite_bytes: 0 });
        Ok(Some(head))
    }

    /// Begins a slice of the current partition: `next` then gives what lies in it, in ascending
    /// order of positions, or descending if `reversed`. Any slice may follow any other.
    pub fn slice(&mut self, range: &PositionRange, reversed: bool) {
        match self.partition {
            Some(_) => self.slice.begin(range, reversed),
            None => self.slice.end(),
        }
    }

    /// The next row or marker of the slice.
    pub fn next(&mut self, access: &dyn BlockAccess) -> Result<Option<Unfiltered>, ReadStop> {
        loop {
            match self.slice.step() {
                Step::Item(item) => return Ok(Some(item)),
                Step::End => return Ok(None),
                Step::Load => match &mut self.partition {
                    Some(partition) => self.slice.load(&mut self.walk, partition, access)?,
                    None => return Ok(None),
                },
            }
        }
    }

    /// What is worth fetching together with a missing block: the block itself, and those that a
    /// longer read needs after it, at most `count`. They stand side by side in the file.
    pub fn ahead(&self, missing: BlockRef, reversed: bool, count: usize) -> Vec<BlockRef> {
        let blocks = self.walk.ahead(missing, !reversed, count);
        if blocks.is_empty() { vec![missing] } else { blocks }
    }

    /// The number of clustered rows of the whole table before the block that the cursor stands
    /// at; `None` before the first seek.
    pub fn rows_before_block(&self) -> Option<u64> {
        self.walk.at.as_ref().map(|place| place.rows_before)
    }
}
