//! Index blocks: separators of consecutive data blocks. Written and read here.
//!
//! ```text
//! content   := separators
//!              runs     offset of every 16th separator, u32 LE each
//!              offsets  of every data block, and of the end of the last, minus the first
//!              rows     clustered rows before every data block, and behind the last, minus those
//!                       before the first
//!              u64 LE   offset of the first data block in the file
//!              u64 LE   clustered rows in all data blocks of the table before the first
//!              u32 LE   number of data blocks
//!              u8       0x01 WIDE: offsets and rows are u64 LE, else u32 LE
//! separator := every 16th, beginning with the first: varint length, bytes
//!              the others: varint bytes shared with the one before, varint rest length, rest
//! ```
//!
//! A separator is above everything in the block before and not above anything in its own block.
//! The data blocks of one index block follow each other in the file without a gap. Separators
//! ascend strictly and share as much as they can, which the search relies on.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;

use helenus_platform::codec::{CodecError, Put, Reader};

use super::composite::shared_prefix;
use crate::model::Slice;

/// Entries between two whole separators.
const RUN_ENTRIES: usize = 16;
const TRAILER_BYTES: usize = 21;
const WIDE: u8 = 0x01;

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
    separators: Vec<u8>,
    runs: Vec<u8>,
    /// Relative to `first`, with the end of the last block.
    offsets: Vec<u64>,
    rows: Vec<u64>,
    first: Option<IndexEntry>,
    last: Vec<u8>,
}

impl IndexBuilder {
    /// Entries so far.
    pub(crate) fn count(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.separators.len() + self.runs.len() + 8 * self.offsets.len() + TRAILER_BYTES
    }

    /// Adds the next data block, which must stand right behind the one before.
    pub(crate) fn add(&mut self, separator: &[u8], entry: IndexEntry) {
        if self.first.is_none() {
            self.offsets.push(0);
            self.rows.push(0);
        }
        let first = *self.first.get_or_insert(entry);
        let starts_run = self.count().is_multiple_of(RUN_ENTRIES);
        let out = &mut self.separators;
        if starts_run {
            self.runs.put_u32_le(out.len() as u32);
            out.put_bytes_varint(separator);
        } else {
            debug_assert!(self.last.as_slice() < separator);
            let shared = shared_prefix(&self.last, separator);
            out.put_varint(shared as u64);
            out.put_bytes_varint(separator.get(shared..).unwrap_or_default());
        }
        let offset = entry.offset - first.offset;
        debug_assert_eq!(self.offsets.last(), Some(&offset));
        self.offsets.push(offset + u64::from(entry.stored));
        self.rows.push(entry.rows_before - first.rows_before + u64::from(entry.rows));
        self.last.clear();
        self.last.extend_from_slice(separator);
    }

    /// Writes the content into `out`, which is cleared first, and begins an empty block.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.clear();
        out.put_bytes(&self.separators);
        out.put_bytes(&self.runs);
        let wide = self.offsets.iter().chain(&self.rows).any(|n| u32::try_from(*n).is_err());
        for number in self.offsets.iter().chain(&self.rows) {
            match wide {
                true => out.put_u64_le(*number),
                false => out.put_u32_le(*number as u32),
            }
        }
        out.put_u64_le(self.first.map_or(0, |first| first.offset));
        out.put_u64_le(self.first.map_or(0, |first| first.rows_before));
        out.put_u32_le(self.count() as u32);
        out.put_u8(if wide { WIDE } else { 0 });
        *self = IndexBuilder::default();
    }
}

/// An index block in memory.
#[derive(Debug)]
pub(crate) struct IndexBlock {
    content: Slice,
    /// Bytes with which all separators begin.
    common: usize,
    /// The eight bytes of every separator behind the common ones, as a number: what a lookup
    /// searches. Equal ones have to be looked at closely.
    heads: Box<[u64]>,
    runs_at: usize,
    offsets_at: usize,
    rows_at: usize,
    first_offset: u64,
    first_rows: u64,
    count: usize,
    wide: bool,
}

impl IndexBlock {
    /// Checks the trailer of a block's content.
    pub(crate) fn parse(content: Slice) -> Result<IndexBlock, CodecError> {
        let length = content.len();
        let error = |what| CodecError { offset: length, what };
        let trailer_at = length.checked_sub(TRAILER_BYTES).ok_or(error("index block trailer"))?;
        let mut trailer = Reader::new(content.get(trailer_at..).unwrap_or_default());
        let (first_offset, first_rows) = (trailer.u64_le()?, trailer.u64_le()?);
        let count = trailer.u32_le()? as usize;
        let wide = match trailer.u8()? {
            0 => false,
            WIDE => true,
            _ => return Err(error("flags of an index block")),
        };
        // A u32, so nothing here overflows.
        let numbers = (count + 1) * if wide { 8 } else { 4 };
        let place = |()| {
            let rows_at = trailer_at.checked_sub(numbers)?;
            let offsets_at = rows_at.checked_sub(numbers)?;
            Some((rows_at, offsets_at, offsets_at.checked_sub(count.div_ceil(RUN_ENTRIES) * 4)?))
        };
        let (rows_at, offsets_at, runs_at) = place(()).ok_or(error("index block arrays"))?;
        if count == 0 {
            return Err(error("entries of an index block"));
        }
        let mut block = IndexBlock {
            content,
            common: 0,
            heads: Box::default(),
            runs_at,
            offsets_at,
            rows_at,
            first_offset,
            first_rows,
            count,
            wide,
        };
        block.read_heads()?;
        Ok(block)
    }

    fn read_heads(&mut self) -> Result<(), CodecError> {
        let (mut first, mut separator) = (Vec::new(), Vec::new());
        self.entry(0, &mut first)?;
        self.entry(self.count - 1, &mut separator)?;
        // They are sorted: what first and last share, all share.
        self.common = shared_prefix(&first, &separator);
        // There are fewer than there are bytes: each takes at least two.
        let mut heads = Vec::with_capacity(self.count);
        for run in 0..self.count.div_ceil(RUN_ENTRIES) {
            let mut reader = self.run(run)?;
            for index in 0..RUN_ENTRIES.min(self.count - run * RUN_ENTRIES) {
                read_separator(&mut reader, index == 0, &mut separator)?;
                heads.push(head(separator.get(self.common..).unwrap_or_default()));
            }
        }
        self.heads = heads.into();
        Ok(())
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.content.len() + self.heads.len() * size_of::<u64>()
    }

    /// How many data blocks it names; at least one.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn from(&self, at: usize) -> Reader<'_> {
        Reader::new(self.content.get(at..).unwrap_or_default())
    }

    /// The separators from the beginning of a run on.
    fn run(&self, run: usize) -> Result<Reader<'_>, CodecError> {
        let start = self.from(self.runs_at + run * 4).u32_le()? as usize;
        let separators = self.content.get(start..self.runs_at);
        let error = CodecError { offset: start, what: "run of an index block" };
        separators.map(Reader::new).ok_or(error)
    }

    /// The data block of this number.
    pub(crate) fn place(&self, index: usize) -> Result<IndexEntry, CodecError> {
        if index >= self.count {
            let what = "entry of an index block";
            return Err(CodecError { offset: self.offsets_at, what });
        }
        let pair = |at: usize| {
            let mut reader = self.from(at + index * if self.wide { 8 } else { 4 });
            if self.wide {
                Ok((reader.u64_le()?, reader.u64_le()?))
            } else {
                Ok((u64::from(reader.u32_le()?), u64::from(reader.u32_le()?)))
            }
        };
        let (offset, offset_end) = pair(self.offsets_at)?;
        let (rows_before, rows_end) = pair(self.rows_at)?;
        let difference = |start: u64, end: u64| u32::try_from(end.checked_sub(start)?).ok();
        let place = |()| {
            Some(IndexEntry {
                offset: self.first_offset.checked_add(offset)?,
                stored: difference(offset, offset_end)?,
                rows_before: self.first_rows.checked_add(rows_before)?,
                rows: difference(rows_before, rows_end)?,
            })
        };
        place(()).ok_or(CodecError { offset: self.offsets_at, what: "place of a data block" })
    }

    /// The number of the data block that stands at this place in the file.
    pub(crate) fn find_offset(&self, offset: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.count);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.place(middle).ok()?.offset <= offset {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.place(low).ok().filter(|place| place.offset == offset).map(|_| low)
    }

    /// The last data block whose separator is not above `target`; the first if all are.
    pub(crate) fn search(&self, target: &[u8]) -> Result<(usize, IndexEntry), CodecError> {
        let found = self.search_number(target)?;
        Ok((found, self.place(found)?))
    }

    fn search_number(&self, target: &[u8]) -> Result<usize, CodecError> {
        let common = self.run(0)?.bytes_varint(usize::MAX)?;
        let common = common.get(..self.common).unwrap_or(common);
        let (start, rest) = target.split_at_checked(common.len()).unwrap_or((target, &[]));
        match start.cmp(common) {
            Ordering::Less => return Ok(0),
            Ordering::Greater => return Ok(self.count - 1),
            Ordering::Equal => {}
        }
        let head = head(rest);
        let end = self.heads.partition_point(|own| *own <= head);
        let last = end.saturating_sub(1);
        match self.heads.get(last) {
            Some(own) if *own == head => {
                let start = self.heads.partition_point(|own| *own < head);
                self.search_runs(target, start.saturating_sub(1) / RUN_ENTRIES, last / RUN_ENTRIES)
            }
            _ => Ok(last),
        }
    }

    /// As `search_number`, among the runs from `low` to `last`.
    fn search_runs(&self, target: &[u8], mut low: usize, last: usize) -> Result<usize, CodecError> {
        let mut high = last + 1;
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.run(middle)?.bytes_varint(usize::MAX)? <= target {
                low = middle;
            } else {
                high = middle;
            }
        }
        let mut reader = self.run(low)?;
        let first = reader.bytes_varint(usize::MAX)?;
        let mut found = low * RUN_ENTRIES;
        if first > target {
            return Ok(found);
        }
        // `matched`: bytes that the target and the last separator passed have in common. As that
        // separator is not above the target, how much the next one shares with it tells the order
        // without looking further, unless it shares exactly as much.
        let mut matched = shared_prefix(first, target);
        for index in found + 1..self.count.min((low + 1) * RUN_ENTRIES) {
            let shared = reader.varint()? as usize;
            let rest = reader.bytes_varint(usize::MAX)?;
            match shared.cmp(&matched) {
                Ordering::Less => break,
                Ordering::Greater => {}
                Ordering::Equal => {
                    let target_rest = target.get(matched..).unwrap_or_default();
                    if rest > target_rest {
                        break;
                    }
                    matched += shared_prefix(rest, target_rest);
                }
            }
            found = index;
        }
        Ok(found)
    }

    /// The data block of this number; its separator goes into `separator`, cleared first.
    pub(crate) fn entry(
        &self,
        index: usize,
        separator: &mut Vec<u8>,
    ) -> Result<IndexEntry, CodecError> {
        let entry = self.place(index)?;
        let mut reader = self.run(index / RUN_ENTRIES)?;
        for in_run in 0..=index % RUN_ENTRIES {
            read_separator(&mut reader, in_run == 0, separator)?;
        }
        Ok(entry)
    }
}

/// Turns `separator` from the one before into the next of a run.
fn read_separator(
    reader: &mut Reader<'_>,
    starts_run: bool,
    separator: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let shared = if starts_run { 0 } else { reader.varint()? as usize };
    if shared > separator.len() {
        return Err(reader.error("separator of an index block"));
    }
    separator.truncate(shared);
    separator.put_bytes(reader.bytes_varint(usize::MAX)?);
    Ok(())
}

/// The first eight bytes as a number, zeros behind a shorter one: orders as the bytes do, but for
/// those that are equal.
#[inline]
fn head(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(whole) => Reader::new(whole).u64_be().unwrap_or(0),
        None => (0..8).fold(0, |head, at| head << 8 | u64::from(*bytes.get(at).unwrap_or(&0))),
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
    fn places_beyond_four_gigabytes_are_kept() {
        let mut builder = IndexBuilder::default();
        let mut entry = IndexEntry { offset: 9, stored: 3 << 30, rows_before: 0, rows: 1 };
        for separator in [b"a", b"b", b"c"] {
            builder.add(separator, entry);
            entry.offset += 3 << 30;
            entry.rows_before += 1;
        }
        let mut content = Vec::new();
        builder.finish(&mut content);
        let block = IndexBlock::parse(Slice::from(content)).unwrap();
        let (found, last) = block.search(b"cc").unwrap();
        assert_eq!((found, last.offset, last.stored), (2, 9 + (6 << 30), 3 << 30));
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
