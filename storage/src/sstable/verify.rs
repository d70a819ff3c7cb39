//! Reading every byte of a table and checking all that can be checked.

use std::path::Path;

use helenus_platform::checksum::Crc32;
use helenus_platform::codec::CodecError;
use helenus_platform::disk::Disk;

use super::block::{Block, BlockRef};
use super::cache::BlockCache;
use super::format::composite::put_partition;
use super::format::data_block::{DataBlock, EntryBody};
use super::format::footer::Section;
use super::format::frame::salt;
use super::format::index_block::IndexEntry;
use super::table::{BLOCKS, SsTable};
use crate::error::{Error, Result};
use crate::model::{PartitionKeyRef, RowRef};

/// Bytes of a section read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Opens a table and reads every byte of it: any single flipped bit is found and named.
pub fn verify(disk: &dyn Disk, path: &Path) -> Result<()> {
    // Verification reads each block once; nothing is worth keeping.
    SsTable::open(disk, path, &BlockCache::new(0))?.verify()
}

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    /// Where the next block must begin.
    offset: u64,
    partitions: u64,
    rows: u64,
    data_blocks: u64,
    /// Composite of the last partition, row or marker.
    last: Vec<u8>,
    /// The last block said that its last partition goes on.
    continues: bool,
}

impl SsTable {
    /// Reads every byte of the file, compares every checksum, decodes every row, and checks that
    /// index, statistics and data agree.
    pub fn verify(&self) -> Result<()> {
        let part = self.part();
        let (footer, _) = part.footer()?;
        let (_, header_length) = part.header(footer.directory_offset)?;
        for section in part.directory(&footer, header_length)? {
            if !section.blocks {
                self.verify_section(&section)?;
            }
        }
        let mut seen = Seen { offset: self.blocks_range().start, ..Seen::default() };
        for number in 0..self.top_index().count() {
            self.verify_leaf(number, &mut seen)?;
        }
        let (stats, index) = (self.stats(), self.top_index());
        let counts = [
            (seen.offset, self.blocks_range().end, "end of the blocks"),
            (seen.partitions, stats.partitions, "number of partitions"),
            (seen.rows, stats.rows, "number of rows"),
            (seen.data_blocks, index.data_blocks(), "number of data blocks"),
        ];
        for (found, expected, what) in counts {
            if found != expected || seen.continues {
                let error = CodecError { offset: 0, what };
                return Err(part.corrupt(BLOCKS, seen.offset, error));
            }
        }
        Ok(())
    }

    fn verify_section(&self, section: &Section) -> Result<()> {
        let part = self.part();
        let mut crc = Crc32::salted(salt(&self.id(), section.offset));
        let mut at = section.offset;
        while at < section.end() {
            let length = (section.end() - at).min(CHUNK_BYTES as u64);
            crc.update(&part.read(&section.name, at, length as usize)?);
            at += length;
        }
        if crc.finish() != section.crc {
            let error = CodecError { offset: 0, what: "its checksum does not match" };
            return Err(part.corrupt(&section.name, section.offset, error));
        }
        Ok(())
    }

    fn verify_leaf(&self, number: usize, seen: &mut Seen) -> Result<()> {
        let Some(top) = self.top_index().entry(number) else {
            return Ok(());
        };
        let name = self.block_ref(top.offset, top.stored);
        let leaf = self.read_block(name)?;
        let count = leaf.index().map_err(|e| self.block_error(name, e))?.count();
        let mut separator = Vec::new();
        for entry in 0..count {
            let data = leaf.index().and_then(|index| index.entry(entry, &mut separator));
            let data = data.map_err(|e| self.block_error(name, e))?;
            let agrees = entry > 0
                || (self.top_index().separator(number) == separator
                    && top.rows_before == data.rows_before);
            if !agrees || data.offset != seen.offset || data.rows_before != seen.rows {
                let what = "entry that agrees with its neighbours";
                return Err(self.block_error(name, CodecError { offset: entry, what }));
            }
            seen.offset += u64::from(data.stored);
            seen.data_blocks += 1;
            let data_name = self.block_ref(data.offset, data.stored);
            let block = self.read_block(data_name)?;
            self.verify_data(&block, data_name, &separator, data, seen)?;
        }
        if top.offset != seen.offset {
            let error = CodecError { offset: 0, what: "place right behind its data blocks" };
            return Err(self.block_error(name, error));
        }
        seen.offset += u64::from(top.stored);
        Ok(())
    }

    fn verify_data(
        &self,
        block: &Block,
        name: BlockRef,
        separator: &[u8],
        entry: IndexEntry,
        seen: &mut Seen,
    ) -> Result<()> {
        let place = |e| self.block_error(name, e);
        let wrong = |what| place(CodecError { offset: 0, what });
        let data = block.data().map_err(place)?;
        if seen.last.as_slice() >= separator && !(seen.data_blocks == 1 && separator.is_empty()) {
            return Err(wrong("separator above the block before"));
        }
        let rows_before = seen.rows;
        let mut first = Some(separator);
        for partition in 0..data.partitions() {
            let head = data.partition(partition).map_err(place)?;
            if head.continued != (seen.continues && partition == 0) {
                return Err(wrong("partition that goes on from the block before"));
            }
            let token = data.token(partition).map_err(place)?;
            let mut composite = Vec::new();
            let key = PartitionKeyRef { token, key: data.bytes(head.key.clone()) };
            put_partition(&mut composite, key);
            if !head.continued {
                seen.partitions += 1;
                check_order(&mut seen.last, &composite, &mut first).map_err(wrong)?;
            }
            if let Some(row) = head.static_row.clone() {
                check_row(data.bytes(row))
                    .map_err(|e| e.at_file(self.path(), Some(name.offset)))?;
            }
            let rows = self.verify_entries(data, partition, &composite, &mut first, seen);
            seen.rows += rows.map_err(|e| match e {
                Wrong::Codec(error) => place(error),
                Wrong::Row(error) => error.at_file(self.path(), Some(name.offset)),
            })?;
        }
        if seen.rows - rows_before != u64::from(entry.rows) {
            return Err(wrong("number of rows that the index knows"));
        }
        seen.continues = data.continues();
        Ok(())
    }

    /// Checks the rows and markers of a partition in a block; gives back the number of rows.
    fn verify_entries(
        &self,
        data: &DataBlock,
        partition: usize,
        composite: &[u8],
        first: &mut Option<&[u8]>,
        seen: &mut Seen,
    ) -> Result<u64, Wrong> {
        let body = data.partition(partition)?.body;
        let runs = data.runs(partition, body)?;
        let mut rows = 0;
        let mut position = Vec::new();
        for run in 0..runs.count() {
            let range = data.run(&runs, run)?;
            let mut at = range.start;
            while at < range.end {
                let entry = data.entry(at, range.end)?;
                if entry.run_start != (at == range.start) || entry.shared > position.len() {
                    return Err(CodecError { offset: at, what: "entry of a run" }.into());
                }
                position.truncate(entry.shared);
                position.extend_from_slice(data.bytes(entry.rest));
                let whole = [composite, &position].concat();
                // A row may stand where the marker before it stands.
                if seen.last != whole || !matches!(entry.body, EntryBody::Row(_)) {
                    check_order(&mut seen.last, &whole, first)
                        .map_err(|what| CodecError { offset: at, what })?;
                }
                if let EntryBody::Row(row) = entry.body {
                    check_row(data.bytes(row)).map_err(Wrong::Row)?;
                    rows += 1;
                }
                at = entry.next;
            }
        }
        Ok(rows)
    }
}

/// What is wrong with an entry.
enum Wrong {
    Codec(CodecError),
    Row(Error),
}

impl From<CodecError> for Wrong {
    fn from(error: CodecError) -> Wrong {
        Wrong::Codec(error)
    }
}

fn check_row(row: &[u8]) -> Result<()> {
    RowRef::parse(row)?.validate().map_err(|e| e.during("checking a row of an SSTable"))
}

/// Checks that `next` is above `last`, and not below the separator if it is the first of a block.
fn check_order(
    last: &mut Vec<u8>,
    next: &[u8],
    first: &mut Option<&[u8]>,
) -> Result<(), &'static str> {
    if last.as_slice() >= next {
        return Err("order of what is in it");
    }
    if first.take().is_some_and(|separator| separator > next) {
        return Err("separator not above its own block");
    }
    last.clear();
    last.extend_from_slice(next);
    Ok(())
}
