//! Index blocks: separators of consecutive data blocks. Written and read here.
//!
//! ```text
//! content := entry*
//!            runs      offset of every 16th entry, u32 LE each
//!            u32 LE    number of entries
//! entry   := every 16th, beginning with the first:
//!              varint separator length, separator
//!              varint offset of the data block in the file
//!              varint clustered rows in all data blocks before it
//!            the others:
//!              varint bytes shared with the separator before
//!              varint rest length, rest of the separator
//!            both:
//!              varint stored length of the data block
//!              varint clustered rows in it
//! ```
//!
//! A separator is above everything in the block before and not above anything in its own block.
//! The data blocks of one index block follow each other in the file without a gap, so only run
//! starts carry an offset and a row ordinal. Separators ascend strictly and share as much as they
//! can, which the search relies on.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;

use helenus_platform::codec::{CodecError, Put, Reader};

use super::composite::shared_prefix;
use crate::model::Slice;

/// Entries between two whole separators.
const RUN_ENTRIES: usize = 16;
const TRAILER_BYTES: usize = 4;

/// A data block as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Its place in the file.
    pub offset: u64,
    /// Its bytes in the file, frame included.
    pub stored: u32,
    /// Clustered rows in all data blocks before it.
    pub rows_before: u64,
    /// Clustered rows in it.
    pub rows: u32,
}

/// An index block that is being filled.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    entries: Vec<u8>,
    runs: Vec<u8>,
    count: u32,
    last: Vec<u8>,
}

impl IndexBuilder {
    /// Entries so far.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.runs.len() + TRAILER_BYTES
    }

    /// Adds the next data block.
    pub(crate) fn add(&mut self, separator: &[u8], entry: IndexEntry) {
        let out = &mut self.entries;
        if (self.count as usize).is_multiple_of(RUN_ENTRIES) {
            self.runs.put_u32_le(out.len() as u32);
            out.put_bytes_varint(separator);
            out.put_varint(entry.offset);
            out.put_varint(entry.rows_before);
        } else {
            debug_assert!(self.last.as_slice() < separator);
            let shared = shared_prefix(&self.last, separator);
            out.put_varint(shared as u64);
            out.put_bytes_varint(separator.get(shared..).unwrap_or_default());
        }
        out.put_varint(u64::from(entry.stored));
        out.put_varint(u64::from(entry.rows));
        self.count += 1;
        self.last.clear();
        self.last.extend_from_slice(separator);
    }

    /// Writes the content into `out`, which is cleared first, and begins an empty block.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.clear();
        out.put_bytes(&self.entries);
        out.put_bytes(&self.runs);
        out.put_u32_le(self.count);
        *self = IndexBuilder::default();
    }
}

/// An index block in memory.
#[derive(Debug)]
pub(crate) struct IndexBlock {
    content: Slice,
    runs_at: usize,
    count: usize,
}

/// Walks the entries of a run.
struct RunWalk<'a> {
    reader: Reader<'a>,
    next: IndexEntry,
}

/// One step of a [`RunWalk`].
struct Step<'a> {
    shared: usize,
    rest: &'a [u8],
    entry: IndexEntry,
}

impl<'a> RunWalk<'a> {
    fn step(&mut self, run_start: bool) -> Result<Step<'a>, CodecError> {
        let reader = &mut self.reader;
        let shared = if run_start { 0 } else { reader.varint()? as usize };
        let rest = reader.bytes_varint(usize::MAX)?;
        if run_start {
            self.next.offset = reader.varint()?;
            self.next.rows_before = reader.varint()?;
        }
        let stored = u32::try_from(reader.varint()?).map_err(|_| reader.error("block length"))?;
        let rows = u32::try_from(reader.varint()?).map_err(|_| reader.error("rows of a block"))?;
        let entry = IndexEntry { stored, rows, ..self.next };
        let after = |n: u64, more: u32| n.checked_add(u64::from(more));
        let offset = after(entry.offset, stored).ok_or(reader.error("offset of a block"))?;
        let rows_before = after(entry.rows_before, rows).ok_or(reader.error("row ordinal"))?;
        self.next = IndexEntry { offset, rows_before, stored: 0, rows: 0 };
        Ok(Step { shared, rest, entry })
    }
}

impl IndexBlock {
    /// Checks the trailer of a block's content.
    pub(crate) fn parse(content: Slice) -> Result<IndexBlock, CodecError> {
        let error = |what| CodecError { offset: content.len(), what };
        let trailer_at =
            content.len().checked_sub(TRAILER_BYTES).ok_or(error("index block trailer"))?;
        let trailer = content.get(trailer_at..).unwrap_or_default();
        let count = Reader::new(trailer).u32_le()? as usize;
        let runs_at = trailer_at
            .checked_sub(count.div_ceil(RUN_ENTRIES) * 4)
            .ok_or(error("runs of an index block"))?;
        if count == 0 {
            return Err(error("entries of an index block"));
        }
        Ok(IndexBlock { content, runs_at, count })
    }

    /// The bytes of the block.
    pub(crate) fn content(&self) -> &Slice {
        &self.content
    }

    /// How many data blocks it names; at least one.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn run(&self, run: usize) -> Result<RunWalk<'_>, CodecError> {
        let mut runs = Reader::new(self.content.get(self.runs_at..).unwrap_or_default());
        runs.skip(run * 4)?;
        let start = runs.u32_le()? as usize;
        let entries = self.content.get(start..self.runs_at);
        let entries = entries.ok_or(CodecError { offset: start, what: "run of an index block" })?;
        let next = IndexEntry { offset: 0, stored: 0, rows_before: 0, rows: 0 };
        Ok(RunWalk { reader: Reader::new(entries), next })
    }

    /// The last data block whose separator is not above `target`; the first if all are.
    pub(crate) fn search(&self, target: &[u8]) -> Result<(usize, IndexEntry), CodecError> {
        let (mut low, mut high) = (0, self.count.div_ceil(RUN_ENTRIES));
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.run(middle)?.reader.bytes_varint(usize::MAX)? <= target {
                low = middle;
            } else {
                high = middle;
            }
        }
        let mut walk = self.run(low)?;
        let first = walk.step(true)?;
        let mut found = (low * RUN_ENTRIES, first.entry);
        if first.rest > target {
            return Ok(found);
        }
        // `matched`: bytes that the target and the last separator passed have in common. As that
        // separator is not above the target, how much the next one shares with it tells the order
        // without looking further, unless it shares exactly as much.
        let mut matched = shared_prefix(first.rest, target);
        let end = self.count.min((low + 1) * RUN_ENTRIES);
        for index in low * RUN_ENTRIES + 1..end {
            let step = walk.step(false)?;
            match step.shared.cmp(&matched) {
                Ordering::Less => break,
                Ordering::Greater => {}
                Ordering::Equal => {
                    let target_rest = target.get(matched..).unwrap_or_default();
                    if step.rest > target_rest {
                        break;
                    }
                    matched += shared_prefix(step.rest, target_rest);
                }
            }
            found = (index, step.entry);
        }
        Ok(found)
    }

    /// The data block of this number; its separator goes into `separator`, cleared first.
    pub(crate) fn entry(
        &self,
        index: usize,
        separator: &mut Vec<u8>,
    ) -> Result<IndexEntry, CodecError> {
        let error = CodecError { offset: self.runs_at, what: "entry of an index block" };
        if index >= self.count {
            return Err(error);
        }
        let mut walk = self.run(index / RUN_ENTRIES)?;
        separator.clear();
        let mut found = None;
        for in_run in 0..=index % RUN_ENTRIES {
            let step = walk.step(in_run == 0)?;
            if step.shared > separator.len() {
                return Err(error);
            }
            separator.truncate(step.shared);
            separator.put_bytes(step.rest);
            found = Some(step.entry);
        }
        found.ok_or(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(count: u64) -> (Vec<Vec<u8>>, IndexBlock) {
        let mut builder = IndexBuilder::default();
        let mut separators = Vec::new();
        let (mut offset, mut rows_before) = (100, 7);
        for n in 0..count {
            // Different lengths, long shared heads, and one that is a prefix of the next.
            let number = (n / 2 * 1000).to_string();
            let mut separator = format!("head{:0>9}", number).into_bytes();
            separator.extend_from_slice(if n % 2 == 0 { b"" } else { b"tail" });
            let (stored, rows) = (10 + n as u32, n as u32 % 5);
            builder.add(&separator, IndexEntry { offset, stored, rows_before, rows });
            offset += u64::from(stored);
            rows_before += u64::from(rows);
            separators.push(separator);
        }
        let mut content = Vec::new();
        builder.finish(&mut content);
        (separators, IndexBlock::parse(Slice::from(content)).unwrap())
    }

    #[test]
    fn search_agrees_with_a_plain_list() {
        for count in [1, 2, 15, 16, 17, 33, 300] {
            let (separators, block) = block(count);
            let mut targets = vec![Vec::new(), b"g".to_vec(), b"i".to_vec()];
            for separator in &separators {
                targets.push(separator.clone());
                targets.push(separator[..separator.len() - 1].to_vec());
                targets.push([separator.as_slice(), b"\0"].concat());
                targets.push([separator.as_slice(), b"zz"].concat());
            }
            for target in targets {
                let expected = separators.partition_point(|s| *s <= target).saturating_sub(1);
                let (found, entry) = block.search(&target).unwrap();
                assert_eq!(found, expected);
                let mut separator = Vec::new();
                assert_eq!(block.entry(found, &mut separator).unwrap(), entry);
                assert_eq!(separator, separators[found]);
            }
            assert!(block.entry(count as usize, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn offsets_and_ordinals_add_up() {
        let (_, block) = block(40);
        let mut expected = block.entry(0, &mut Vec::new()).unwrap();
        assert_eq!((expected.offset, expected.rows_before), (100, 7));
        for index in 1..40 {
            let entry = block.entry(index, &mut Vec::new()).unwrap();
            assert_eq!(entry.offset, expected.offset + u64::from(expected.stored));
            assert_eq!(entry.rows_before, expected.rows_before + u64::from(expected.rows));
            expected = entry;
        }
    }
}
