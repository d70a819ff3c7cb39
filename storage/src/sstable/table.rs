//! An open SSTable: what of it is kept in memory, and how its blocks are read.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::checksum::crc32_salted;
use helenus_platform::codec::CodecError;
use helenus_platform::disk::{Disk, File};

use super::block::{Block, BlockRef};
use super::cache::BlockCache;
use super::cursor::SsTableCursor;
use super::format::filter::Filter;
use super::format::footer::{
    DIRECTORY_BYTES_MAX, FOOTER_BYTES, Footer, FooterError, Section, decode_directory,
};
use super::format::frame::{CONTENT_BYTES_MAX, FRAME_BYTES, salt};
use super::format::header::{Header, LENGTH_KNOWN_BYTES, VERSION};
use super::format::stats::Stats;
use super::format::top_index::TopIndex;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{PartitionKey, SsTableId};

/// Names of the sections, in file order.
pub(super) const BLOCKS: &str = "blocks";
pub(super) const FILTER: &str = "filter";
pub(super) const INDEX: &str = "index";
pub(super) const STATS: &str = "stats";

/// An open SSTable. Immutable; shared by all its readers.
pub struct SsTable {
    path: PathBuf,
    file: Arc<dyn File>,
    handle: u64,
    header: Header,
    sections: Vec<Section>,
    /// Where the blocks stand in the file.
    blocks: Range<u64>,
    file_bytes: u64,
    stats: Stats,
    filter: Filter,
    index: TopIndex,
}

impl fmt::Debug for SsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SsTable({})", self.path.display())
    }
}

/// The name of the file of the table with this id.
pub fn file_name(id: SsTableId) -> String {
    format!("{id}.sst")
}

/// A part of the file that is being opened, with errors that name it.
pub(super) struct Part<'a> {
    pub path: &'a Path,
    pub file: &'a dyn File,
}

impl Part<'_> {
    /// What decoding found wrong, as an error of this file.
    pub(super) fn corrupt(&self, section: &str, offset: u64, error: CodecError) -> Error {
        let CodecError { offset: within, what } = error;
        Error::corrupt(format!("SSTable, section {section}, at byte {within} of it: {what}"))
            .at_file(self.path, Some(offset.saturating_add(within as u64)))
    }

    /// Reads bytes that must be there.
    pub(super) fn read(&self, section: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(offset, &mut bytes).map_err(|error| {
            let what = format!("reading section {section} of an SSTable");
            Error::io(what, self.path, error).at_file(self.path, Some(offset))
        })?;
        Ok(bytes)
    }

    /// The footer, and the length of the file.
    pub(super) fn footer(&self) -> Result<(Footer, u64)> {
        let length = self
            .file
            .len()
            .map_err(|e| Error::io("asking for an SSTable's length", self.path, e))?;
        let Some(offset) = length.checked_sub(FOOTER_BYTES as u64) else {
            let short = format!("SSTable, section footer: the file has only {length} bytes");
            return Err(Error::corrupt(short).at_file(self.path, Some(0)));
        };
        let footer = match Footer::decode(&self.read("footer", offset, FOOTER_BYTES)?) {
            Ok(footer) => footer,
            Err(FooterError::Corrupt(error)) => return Err(self.corrupt("footer", offset, error)),
            Err(FooterError::Newer(version)) => {
                let what = format!(
                    "SSTable of format version {version}; this binary reads versions up to {VERSION}"
                );
                return Err(Error::new(ErrorKind::Newer, what).at_file(self.path, None));
            }
        };
        let directory_end = offset.checked_sub(u64::from(footer.directory_length));
        if footer.file_length != length || directory_end != Some(footer.directory_offset) {
            let error = CodecError { offset: 0, what: "length of the file" };
            return Err(self.corrupt("footer", offset, error));
        }
        Ok((footer, length))
    }

    /// The header and its length.
    pub(super) fn header(&self, limit: u64) -> Result<(Header, u64)> {
        let corrupt = |error| self.corrupt("header", 0, error);
        let start = self.read("header", 0, LENGTH_KNOWN_BYTES)?;
        let length = Header::length(&start).map_err(corrupt)?;
        if length as u64 > limit {
            return Err(corrupt(CodecError { offset: 12, what: "header length" }));
        }
        let header = Header::decode(&self.read("header", 0, length)?).map_err(corrupt)?;
        Ok((header, length as u64))
    }

    /// The sections, which must lie between header and directory.
    pub(super) fn directory(&self, footer: &Footer, header_length: u64) -> Result<Vec<Section>> {
        let offset = footer.directory_offset;
        let corrupt = |error| self.corrupt("directory", offset, error);
        let length = footer.directory_length as usize;
        if length > DIRECTORY_BYTES_MAX {
            return Err(corrupt(CodecError { offset: 0, what: "length of the directory" }));
        }
        let bytes = self.read("directory", offset, length)?;
        if crc32_salted(salt(&footer.id, offset), &bytes) != footer.directory_crc {
            return Err(corrupt(CodecError { offset: 0, what: "its checksum does not match" }));
        }
        decode_directory(&bytes, header_length, offset).map_err(corrupt)
    }

    /// The bytes of a section that is kept in memory.
    pub(super) fn section(&self, id: &SsTableId, section: &Section) -> Result<Vec<u8>> {
        let bytes = self.read(&section.name, section.offset, section.length as usize)?;
        if crc32_salted(salt(id, section.offset), &bytes) != section.crc {
            let error = CodecError { offset: 0, what: "its checksum does not match" };
            return Err(self.corrupt(&section.name, section.offset, error));
        }
        Ok(bytes)
    }
}

impl SsTable {
    /// Opens a table and checks everything of it but its blocks, which are checked as they are
    /// read.
    pub fn open(disk: &dyn Disk, path: &Path, cache: &BlockCache) -> Result<Arc<SsTable>> {
        let file = disk.open(path).map_err(|e| Error::io("opening an SSTable", path, e))?;
        let part = Part { path, file: &*file };
        let (footer, file_bytes) = part.footer()?;
        let (header, header_length) = part.header(footer.directory_offset)?;
        if footer.id != header.id {
            let error = CodecError { offset: 24, what: "id that differs from the header's" };
            return Err(part.corrupt("footer", file_bytes - FOOTER_BYTES as u64, error));
        }
        let sections = part.directory(&footer, header_length)?;
        for section in &sections {
            let known = [BLOCKS, FILTER, INDEX, STATS].contains(&section.name.as_str());
            if section.required && !known {
                let name = &section.name;
                let what =
                    format!("SSTable with a section `{name}` that this binary does not know");
                return Err(Error::new(ErrorKind::Newer, what).at_file(path, None));
            }
        }
        let find = |name: &str| {
            let error = CodecError { offset: 0, what: "a section that every table has" };
            let found = sections.iter().find(|section| section.name == name);
            found.ok_or_else(|| part.corrupt("directory", footer.directory_offset, error))
        };
        let decoded = |name: &str| {
            let section = find(name)?;
            Ok::<_, Error>((section.offset, part.section(&header.id, section)?))
        };
        let (at, bytes) = decoded(STATS)?;
        let stats = Stats::decode(&bytes).map_err(|e| part.corrupt(STATS, at, e))?;
        let (at, bytes) = decoded(FILTER)?;
        let filter = Filter::decode(&bytes).map_err(|e| part.corrupt(FILTER, at, e))?;
        let (at, bytes) = decoded(INDEX)?;
        let index = TopIndex::decode(&bytes).map_err(|e| part.corrupt(INDEX, at, e))?;
        let blocks = find(BLOCKS)?;
        let blocks = blocks.offset..blocks.end();
        let (path, handle) = (path.to_owned(), cache.new_handle());
        Ok(Arc::new(SsTable {
            path,
            file,
            handle,
            header,
            sections,
            blocks,
            file_bytes,
            stats,
            filter,
            index,
        }))
    }

    /// Its unique name.
    pub fn id(&self) -> SsTableId {
        self.header.id
    }

    /// What it is and where it came from.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What is known about it without reading its data.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Where its file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of its file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The number by which its blocks are cached: every opening has its own.
    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// Bytes that it keeps in memory while it is open, cached blocks not counted.
    pub fn heap_bytes(&self) -> usize {
        size_of::<SsTable>() + self.filter.heap_bytes() + self.index.heap_bytes()
    }

    /// Whether the partition may be in it; false is certain. Reads nothing.
    #[inline]
    pub fn may_contain(&self, key: &PartitionKey) -> bool {
        let Some((first, last)) = &self.stats.keys else {
            return false;
        };
        first <= key && key <= last && self.filter.may_contain(key.token)
    }

    /// A cursor that stands nowhere yet.
    pub fn cursor(self: &Arc<SsTable>) -> SsTableCursor {
        SsTableCursor::new(self.clone())
    }

    /// Reads a block, waiting for the disk if it must.
    pub fn read_block(&self, block: BlockRef) -> Result<Arc<Block>> {
        let length = self.checked_length(block)?;
        let stored = self.part().read(BLOCKS, block.offset, length)?;
        self.decode_block(&stored, block)
    }

    /// Reads blocks, waiting for the disk if it must; those that stand side by side in the file,
    /// in ascending or descending order, with one read.
    pub fn read_blocks(&self, blocks: &[BlockRef]) -> Result<Vec<(BlockRef, Arc<Block>)>> {
        let end = |block: &BlockRef| block.offset.saturating_add(u64::from(block.stored));
        let touch = |a: &BlockRef, b: &BlockRef| end(a) == b.offset || end(b) == a.offset;
        let mut read = Vec::with_capacity(blocks.len());
        for group in blocks.chunk_by(touch) {
            group.iter().try_for_each(|block| self.checked_length(*block).map(|_| ()))?;
            let start = group.iter().map(|block| block.offset).min().unwrap_or(0);
            let length = group.iter().map(end).max().unwrap_or(0).saturating_sub(start);
            let bytes = self.part().read(BLOCKS, start, length as usize)?;
            for block in group {
                let at = usize::try_from(block.offset - start).unwrap_or(usize::MAX);
                let stored = bytes.get(at..).and_then(|rest| rest.get(..block.stored as usize));
                read.push((*block, self.decode_block(stored.unwrap_or_default(), *block)?));
            }
        }
        Ok(read)
    }

    /// Reads a block if that needs no waiting.
    pub fn try_read_block(&self, block: BlockRef) -> Result<Option<Arc<Block>>> {
        let mut stored = vec![0; self.checked_length(block)?];
        match self.file.try_read_at(block.offset, &mut stored) {
            Ok(Some(read)) if read == stored.len() => self.decode_block(&stored, block).map(Some),
            // A short read comes from a file that is only partly in the system's cache.
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => {
                let error = Error::io("reading a block of an SSTable", &self.path, error);
                Err(error.at_file(&self.path, Some(block.offset)))
            }
        }
    }

    fn decode_block(&self, stored: &[u8], block: BlockRef) -> Result<Arc<Block>> {
        Block::decode(stored, &self.header.id, block.offset)
            .map_err(|error| self.part().corrupt(BLOCKS, block.offset, error))
    }

    /// The block's length, if the block can be one of this table: checked before anything of
    /// that length is allocated.
    fn checked_length(&self, block: BlockRef) -> Result<usize> {
        let length = block.stored as usize;
        let end = block.offset.checked_add(u64::from(block.stored));
        let inside = block.offset >= self.blocks.start && end <= Some(self.blocks.end);
        let lengths = FRAME_BYTES..=CONTENT_BYTES_MAX + FRAME_BYTES;
        if block.table == self.handle && inside && end.is_some() && lengths.contains(&length) {
            return Ok(length);
        }
        let error = CodecError { offset: 0, what: "place of a block" };
        Err(self.part().corrupt(BLOCKS, block.offset, error))
    }

    pub(super) fn part(&self) -> Part<'_> {
        Part { path: &self.path, file: &*self.file }
    }

    /// What decoding found wrong in a block of this table.
    pub(super) fn block_error(&self, block: BlockRef, error: CodecError) -> Error {
        let CodecError { offset, what } = error;
        let what =
            format!("SSTable, section {BLOCKS}, at byte {offset} of a block's content: {what}");
        Error::corrupt(what).at_file(&self.path, Some(block.offset))
    }

    pub(super) fn top_index(&self) -> &TopIndex {
        &self.index
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(super) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Where the blocks stand in the file.
    pub(super) fn blocks_range(&self) -> Range<u64> {
        self.blocks.clone()
    }

    pub(super) fn block_ref(&self, offset: u64, stored: u32) -> BlockRef {
        BlockRef { table: self.handle, offset, stored }
    }
}
