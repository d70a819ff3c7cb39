//! Reading a data block; `data_builder` writes it and documents its layout.
//!
//! The trailer is checked once, when the block is loaded. Entries are checked as they are read:
//! every offset is compared with the slice it points into, and nothing is allocated on their word.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;
use std::ops::Range;

use helenus_platform::codec::{CodecError, Reader};

use super::composite::{TOKEN_BYTES, read_token};
use super::data_builder::{
    CONTINUES, DERIVED, ENTRY_AFTER, ENTRY_BEFORE, ENTRY_MARKER, ENTRY_OPEN, ENTRY_RUN_START,
    PARTITION_CONTINUED, PARTITION_DELETION, PARTITION_STATIC_ROW, TRAILER_BYTES, WIDE,
};
use super::murmur3::murmur3_token;
use crate::model::{Deletion, MAX_KEY_BYTES, Slice, Token};

/// A data block in memory.
#[derive(Debug)]
pub(crate) struct DataBlock {
    content: Slice,
    /// One per partition.
    tokens: Box<[Token]>,
    entries_end: usize,
    starts_at: usize,
    runs_at: usize,
    partitions: usize,
    runs: usize,
    flags: u8,
}

/// The head of a partition as it stands in a block.
#[derive(Debug)]
pub(crate) struct PartitionEntry {
    /// The block begins inside this partition; its head is in an earlier block.
    pub continued: bool,
    pub key: Range<usize>,
    pub deletion: Deletion,
    pub static_row: Option<Range<usize>>,
    /// Where its rows and markers begin.
    pub body: usize,
}

/// The runs of one partition in one block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs {
    first: usize,
    end: usize,
    /// Those of its runs that are listed: all but the first.
    listed: Range<usize>,
}

impl Runs {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        if self.first == self.end { 0 } else { 1 + self.listed.len() }
    }
}

/// A row or a marker as it stands in a block.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Whether the position is stored whole.
    pub run_start: bool,
    /// Only at the start of a run: the range deletion in force just below.
    pub open: Deletion,
    /// Bytes of the position taken over from the entry before.
    pub shared: usize,
    /// The rest of the position.
    pub rest: Range<usize>,
    pub body: EntryBody,
    /// Where the next entry begins.
    pub next: usize,
}

/// What an entry holds behind its position.
#[derive(Debug, Clone)]
pub(crate) enum EntryBody {
    /// Where the row's bytes stand.
    Row(Range<usize>),
    /// The range deletions in force below and above.
    Marker { before: Deletion, after: Deletion },
}

/// A deletion.
pub(crate) fn read_deletion(reader: &mut Reader<'_>) -> Result<Deletion, CodecError> {
    let timestamp = reader.zigzag()?;
    let local_deletion_time = reader.varint()? as i64;
    Ok(Deletion { timestamp, local_deletion_time })
}

fn read_range(reader: &mut Reader<'_>, base: usize) -> Result<Range<usize>, CodecError> {
    let length = reader.bytes_varint(usize::MAX)?.len();
    let end = base + reader.position();
    Ok(end - length..end)
}

impl DataBlock {
    /// Checks the trailer of a block's content.
    pub(crate) fn parse(content: Slice) -> Result<DataBlock, CodecError> {
        let length = content.len();
        let error = |what| CodecError { offset: length, what };
        let trailer_at = length.checked_sub(TRAILER_BYTES).ok_or(error("data block trailer"))?;
        let mut trailer = Reader::new(content.get(trailer_at..).unwrap_or_default());
        let partitions = trailer.u32_le()? as usize;
        let runs = trailer.u32_le()? as usize;
        let flags = trailer.u8()?;
        if flags & !(WIDE | CONTINUES | DERIVED) != 0 {
            return Err(error("data block flags"));
        }
        let width = if flags & WIDE == 0 { 2 } else { 4 };
        let below =
            |at: usize, count: usize, width: usize| at.checked_sub(count.checked_mul(width)?);
        let token_bytes = if flags & DERIVED == 0 { TOKEN_BYTES } else { 0 };
        let place = |()| {
            let runs_at = below(trailer_at, runs, width)?;
            let starts_at = below(runs_at, partitions, width)?;
            Some((runs_at, starts_at, below(starts_at, partitions, token_bytes)?))
        };
        let (runs_at, starts_at, entries_end) = place(()).ok_or(error("data block arrays"))?;
        if partitions == 0 {
            return Err(error("partitions of a data block"));
        }
        let mut block = DataBlock {
            content,
            tokens: Box::default(),
            entries_end,
            starts_at,
            runs_at,
            partitions,
            runs,
            flags,
        };
        block.tokens = block.read_tokens()?;
        Ok(block)
    }

    fn read_tokens(&self) -> Result<Box<[Token]>, CodecError> {
        let mut stored = Reader::new(self.bytes(self.entries_end..self.starts_at));
        let token = |partition| match self.flags & DERIVED {
            0 => read_token(&mut stored),
            _ => Ok(murmur3_token(self.key_at(self.start(partition)?)?)),
        };
        // There are at most half as many partitions as bytes: each has a start.
        (0..self.partitions).map(token).collect()
    }

    /// The bytes of the block.
    pub(crate) fn content(&self) -> &Slice {
        &self.content
    }

    /// These bytes of the block.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.content.get(range).unwrap_or_default()
    }

    /// Partitions that have a part in this block.
    pub(crate) fn partitions(&self) -> usize {
        self.partitions
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.content.len() + self.tokens.len() * size_of::<Token>()
    }

    /// Whether the last partition goes on in the next block.
    pub(crate) fn continues(&self) -> bool {
        self.flags & CONTINUES != 0
    }

    /// The token of a partition.
    pub(crate) fn token(&self, partition: usize) -> Result<Token, CodecError> {
        self.tokens.get(partition).copied().ok_or(self.error("token of a partition"))
    }

    fn error(&self, what: &'static str) -> CodecError {
        CodecError { offset: self.entries_end, what }
    }

    fn offset(&self, array: Range<usize>, index: usize) -> Result<usize, CodecError> {
        let wide = self.flags & WIDE != 0;
        let width = if wide { 4 } else { 2 };
        let mut reader = Reader::new(self.bytes(array));
        reader.skip(index.saturating_mul(width))?;
        let offset = if wide { reader.u32_le()? as usize } else { reader.u16_le()? as usize };
        if offset <= self.entries_end {
            Ok(offset)
        } else {
            Err(self.error("offset in a data block"))
        }
    }

    fn start(&self, partition: usize) -> Result<usize, CodecError> {
        self.offset(self.starts_at..self.runs_at, partition)
    }

    fn listed_run(&self, run: usize) -> Result<usize, CodecError> {
        self.offset(self.runs_at..self.content.len() - TRAILER_BYTES, run)
    }

    /// Where the entries of a partition end.
    fn end(&self, partition: usize) -> Result<usize, CodecError> {
        if partition + 1 < self.partitions {
            self.start(partition + 1)
        } else {
            Ok(self.entries_end)
        }
    }

    /// A reader of the entries from `at` to `end`, with errors placed in the block.
    fn within<'a, T>(
        &'a self,
        at: usize,
        end: usize,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, CodecError>,
    ) -> Result<T, CodecError> {
        let bytes = self.content.get(at..end).ok_or(self.error("entry of a data block"))?;
        read(&mut Reader::new(bytes)).map_err(|e| CodecError { offset: at + e.offset, ..e })
    }

    /// The key in the partition entry at `start`.
    fn key_at(&self, start: usize) -> Result<&[u8], CodecError> {
        self.within(start, self.entries_end, |reader| {
            reader.skip(1)?;
            reader.bytes_varint(MAX_KEY_BYTES)
        })
    }

    /// The first partition that is not below (token, key), and whether it has that key; the
    /// number of partitions if all are below.
    pub(crate) fn lower_bound(
        &self,
        token: Token,
        key: &[u8],
    ) -> Result<(usize, bool), CodecError> {
        let mut partition = self.tokens.partition_point(|own| *own < token);
        // Equal tokens of different keys are rare enough to be walked.
        while self.tokens.get(partition) == Some(&token) {
            match self.key_at(self.start(partition)?)?.cmp(key) {
                Ordering::Less => partition += 1,
                order => return Ok((partition, order.is_eq())),
            }
        }
        Ok((partition, false))
    }

    /// The partition with this key, if a part of it is in this block.
    pub(crate) fn find(&self, token: Token, key: &[u8]) -> Result<Option<usize>, CodecError> {
        let (partition, found) = self.lower_bound(token, key)?;
        Ok(found.then_some(partition))
    }

    /// The head of a partition.
    pub(crate) fn partition(&self, partition: usize) -> Result<PartitionEntry, CodecError> {
        let (start, end) = (self.start(partition)?, self.end(partition)?);
        self.within(start, end, |reader| {
            let flags = reader.u8()?;
            let known = PARTITION_DELETION | PARTITION_STATIC_ROW | PARTITION_CONTINUED;
            let continued = flags & PARTITION_CONTINUED != 0;
            if flags & !known != 0 || (continued && flags != PARTITION_CONTINUED) {
                return Err(reader.error("flags of a partition"));
            }
            if reader.clone().bytes_varint(MAX_KEY_BYTES).is_err() {
                return Err(reader.error("partition key"));
            }
            let key = read_range(reader, start)?;
            let deletion = match flags & PARTITION_DELETION {
                0 => Deletion::NONE,
                _ => read_deletion(reader)?,
            };
            let static_row = match flags & PARTITION_STATIC_ROW {
                0 => None,
                _ => Some(read_range(reader, start)?),
            };
            let body = start + reader.position();
            Ok(PartitionEntry { continued, key, deletion, static_row, body })
        })
    }

    /// The runs of a partition, whose entries begin at `body`.
    pub(crate) fn runs(&self, partition: usize, body: usize) -> Result<Runs, CodecError> {
        let end = self.end(partition)?;
        if body > end {
            return Err(self.error("runs of a partition"));
        }
        if self.runs == 0 {
            return Ok(Runs { first: body, end, listed: 0..0 });
        }
        let listed = self.run_bound(body)?..self.run_bound(end)?;
        Ok(Runs { first: body, end, listed })
    }

    /// The first listed run at or behind this offset.
    fn run_bound(&self, offset: usize) -> Result<usize, CodecError> {
        let (mut low, mut high) = (0, self.runs);
        while low < high {
            let middle = low.midpoint(high);
            if self.listed_run(middle)? < offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Where a run begins and ends.
    pub(crate) fn run(&self, runs: &Runs, run: usize) -> Result<Range<usize>, CodecError> {
        let at = |run: usize| match run {
            0 => Ok(runs.first),
            _ if run <= runs.listed.len() => self.listed_run(runs.listed.start + run - 1),
            _ => Ok(runs.end),
        };
        let range = at(run)?..at(run + 1)?;
        if range.start < range.end { Ok(range) } else { Err(self.error("run of a data block")) }
    }

    /// The last run whose first position is not above `position`; the first run if none is.
    pub(crate) fn find_run(&self, runs: &Runs, position: &[u8]) -> Result<usize, CodecError> {
        let (mut low, mut high) = (0, runs.count());
        // Invariant: `low` is the answer or 0; runs from `high` on begin above `position`.
        while high - low > 1 {
            let middle = low.midpoint(high);
            let range = self.run(runs, middle)?;
            let entry = self.entry(range.start, range.end)?;
            if self.bytes(entry.rest) <= position {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The entry at `at` of a run that ends at `end`.
    pub(crate) fn entry(&self, at: usize, end: usize) -> Result<Entry, CodecError> {
        self.within(at, end, |reader| {
            let flags = reader.u8()?;
            let (marker, run_start) = (flags & ENTRY_MARKER != 0, flags & ENTRY_RUN_START != 0);
            let known = ENTRY_MARKER | ENTRY_RUN_START | ENTRY_OPEN | ENTRY_BEFORE | ENTRY_AFTER;
            let fits = (marker || flags & (ENTRY_BEFORE | ENTRY_AFTER) == 0)
                && (run_start || flags & ENTRY_OPEN == 0);
            if flags & !known != 0 || !fits {
                return Err(reader.error("flags of an entry"));
            }
            let deletion = |reader: &mut Reader<'_>, flag| match flags & flag {
                0 => Ok(Deletion::NONE),
                _ => read_deletion(reader),
            };
            let open = deletion(reader, ENTRY_OPEN)?;
            let shared = if run_start { 0 } else { reader.varint()? as usize };
            let rest = read_range(reader, at)?;
            let body = match marker {
                false => EntryBody::Row(read_range(reader, at)?),
                true => EntryBody::Marker {
                    before: deletion(reader, ENTRY_BEFORE)?,
                    after: deletion(reader, ENTRY_AFTER)?,
                },
            };
            Ok(Entry { run_start, open, shared, rest, body, next: at + reader.position() })
        })
    }
}
