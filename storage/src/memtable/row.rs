//! A row in a wide partition: usually one version, merged with every write.
//!
//! A large row that grows by many small writes (elements added to a collection) would be copied
//! again and again. So a write is merged with a version only if that is small, or at most twice as
//! large as what is merged into it; otherwise it starts a new version. Each version is then more
//! than twice as large as the next newer one: there are few, and every byte is copied a
//! logarithmic number of times.

use std::sync::Arc;

use helenus_platform::codec::{Put, Reader};

use crate::error::Result;
use crate::model::merge::{merge_rows, merge_slices};
use crate::model::tree::Item;
use crate::model::{Deletion, RowRef, Slice, memory};

/// A version up to this many bytes is merged with any write.
const MERGE_ALWAYS_BYTES: usize = 2048;

/// Of a position's length, which stands before it.
const LENGTH_BYTES: usize = 4;

/// A row with its position; of a static row the position is empty.
#[derive(Clone, Debug)]
pub(super) struct RowEntry {
    /// `u32` little-endian length of the position, position, row: the newest version.
    block: Arc<[u8]>,
    /// The other versions, the oldest and largest first.
    older: Option<Arc<Vec<Slice>>>,
}

impl Item for RowEntry {
    #[inline]
    fn key(&self) -> &[u8] {
        self.position()
    }
}

impl RowEntry {
    /// A row of one version. `scratch` is used to put it together.
    pub(super) fn new(position: &[u8], row: &[u8], scratch: &mut Vec<u8>) -> RowEntry {
        begin_block(position, scratch);
        scratch.put_bytes(row);
        RowEntry { block: Arc::from(scratch.as_slice()), older: None }
    }

    /// Where the row stands.
    #[inline]
    pub(super) fn position(&self) -> &[u8] {
        self.block.get(LENGTH_BYTES..self.row_at()).unwrap_or_default()
    }

    /// The row's position as a slice of its own block.
    pub(super) fn position_slice(&self) -> Slice {
        Slice::from(self.block.clone()).sub(LENGTH_BYTES..self.row_at())
    }

    /// The whole row, all versions merged.
    pub(super) fn row(&self) -> Result<Slice> {
        let newest = Slice::from(self.block.clone()).sub(self.row_at()..self.block.len());
        let Some(older) = &self.older else { return Ok(newest) };
        let mut versions = older.to_vec();
        versions.push(newest.clone());
        let merged = merge_slices(&versions, Deletion::NONE, &mut Vec::new())?;
        debug_assert!(merged.is_some(), "a row in a memtable says something");
        Ok(merged.unwrap_or(newest))
    }

    /// Merges a write into the row. On an error nothing has changed.
    pub(super) fn add(&mut self, row: RowRef<'_>, scratch: &mut Vec<u8>) -> Result<()> {
        let newest = self.block.get(self.row_at()..).unwrap_or_default();
        if newest.len() > MERGE_ALWAYS_BYTES.max(2 * row.bytes().len()) {
            let newest = Slice::from(self.block.clone()).sub(self.row_at()..self.block.len());
            let added = RowEntry::new(self.position(), row.bytes(), scratch);
            self.block = added.block;
            Arc::make_mut(self.older.get_or_insert_default()).push(newest);
            return Ok(());
        }
        let mut versions = vec![row, RowRef::parse(newest)?];
        let mut bytes = row.bytes().len() + newest.len();
        let older = self.older.as_deref().map_or(&[][..], Vec::as_slice);
        for version in older.iter().rev() {
            if version.len() > 2 * bytes {
                break;
            }
            bytes += version.len();
            versions.push(RowRef::parse(version)?);
        }
        begin_block(self.position(), scratch);
        merge_rows(&versions, Deletion::NONE, scratch)?;
        let left = older.len() - (versions.len() - 2);
        self.block = Arc::from(scratch.as_slice());
        if left == 0 {
            self.older = None;
        } else if let Some(older) = &mut self.older {
            Arc::make_mut(older).truncate(left);
        }
        Ok(())
    }

    /// Number of versions.
    #[cfg(test)]
    pub(super) fn versions(&self) -> usize {
        1 + self.older.as_ref().map_or(0, |older| older.len())
    }

    /// Heap that the row takes, without the entry itself.
    pub(super) fn heap(&self) -> usize {
        let older = self.older.as_ref().map_or(0, |older| {
            let blocks: usize = older.iter().map(|row| memory::shared(row.block_len())).sum();
            let list = memory::allocation(older.capacity() * size_of::<Slice>());
            blocks + list + memory::shared(size_of::<Vec<Slice>>())
        });
        memory::shared(self.block.len()) + older
    }

    #[inline]
    fn row_at(&self) -> usize {
        // A block is only ever made by `begin_block`.
        let length = Reader::new(&self.block).u32_le().unwrap_or_default();
        LENGTH_BYTES + length as usize
    }
}

fn begin_block(position: &[u8], block: &mut Vec<u8>) {
    block.clear();
    // A position is part of a mutation, and so shorter than that.
    block.put_u32_le(position.len() as u32);
    block.put_bytes(position);
}
