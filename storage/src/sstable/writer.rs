//! Writing an SSTable: partitions in order go in, a finished, synced, renamed file comes out.
//!
//! The file is written front to back under a temporary name: header, then data blocks, each
//! index block right behind the data blocks it names, then filter, top of the index, statistics,
//! directory, footer. What the writer holds in memory is one data block, one index block, two
//! bytes or so per partition for the filter, and one separator per index block.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::checksum::crc32_salted;
use helenus_platform::disk::Disk;

use super::cache::BlockCache;
use super::collector::Collector;
use super::format::composite::{put_partition, separator};
use super::format::data_builder::{DataBuilder, row_entry_bytes};
use super::format::filter::FilterBuilder;
use super::format::footer::{FOOTER_BYTES, Footer, Section, encode_directory};
use super::format::frame::{BlockKind, salt};
use super::format::header::{Header, LOG_INTERVALS_MAX};
use super::format::index_block::{IndexBuilder, IndexEntry};
use super::format::top_index::TopIndex;
use super::options::WriterOptions;
use super::output::Output;
use super::table::{BLOCKS, FILTER, INDEX, STATS, SsTable, file_name};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Deletion, MAX_KEY_BYTES, PartitionHead, PartitionKey, SsTableId, Unfiltered};

/// The largest row, static or clustered, that is written.
pub const ROW_BYTES_MAX: usize = 256 << 20;
/// The longest clustering position that is written.
pub const POSITION_BYTES_MAX: usize = 1 << 20;
/// Suffix of a file that is not finished; such a file is garbage after a restart.
pub const UNFINISHED_SUFFIX: &str = ".tmp";
/// An index block names at least this many data blocks, however long their separators are: so
/// the top of the index stays small beside the data.
const INDEX_ENTRIES_MIN: usize = 64;

/// The partition that is being written.
struct Current {
    key: PartitionKey,
    /// The range deletion in force behind the last marker.
    open: Deletion,
    last_was_marker: bool,
}

/// Writes one SSTable.
pub struct SsTableWriter {
    // Fixed after `create`.
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    id: SsTableId,
    options: WriterOptions,
    header_bytes: u64,

    // What has been written.
    output: Output,
    top: TopIndex,
    filter: FilterBuilder,
    collector: Collector,
    /// Clustered rows in finished data blocks.
    rows_before: u64,

    // What is being filled.
    block: DataBuilder,
    /// Separator of `block`.
    block_separator: Vec<u8>,
    leaf: IndexBuilder,
    /// Separator of the first block of `leaf`, and the rows before that.
    leaf_start: (Vec<u8>, u64),
    content: Vec<u8>,

    // The partition: `None` between partitions.
    current: Option<Current>,
    /// Of its last row or marker; empty before the first.
    last_position: Vec<u8>,
    /// Its composite; between partitions and blocks, of the last thing that was added.
    composite: Vec<u8>,
    composite_bytes: usize,
    /// Reused for what comes next.
    next_composite: Vec<u8>,
}

fn order_error(what: &'static str) -> Error {
    Error::invalid(format!("writing an SSTable: {what}"))
}

impl SsTableWriter {
    /// Creates the file of table `id` in `dir`, under its temporary name.
    pub fn create(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        id: SsTableId,
        options: WriterOptions,
    ) -> Result<SsTableWriter> {
        if options.log_intervals.len() > LOG_INTERVALS_MAX {
            return Err(Error::new(ErrorKind::TooLarge, "an SSTable with too many log intervals"));
        }
        let path = dir.join(file_name(id) + UNFINISHED_SUFFIX);
        let mut output = Output::create(&**disk, path, id, options.sync_bytes)?;
        let header = Header {
            id,
            origin: options.origin,
            table: options.table,
            compression: options.compression,
            level: options.level,
            repaired_at: options.repaired_at,
            pending_session: options.pending_session,
            log_intervals: options.log_intervals.clone(),
        };
        output.append(&header.encode())?;
        Ok(SsTableWriter {
            disk: disk.clone(),
            dir: dir.to_owned(),
            id,
            header_bytes: output.offset(),
            output,
            top: TopIndex::default(),
            filter: FilterBuilder::new(options.bloom_fp_chance),
            collector: Collector::default(),
            rows_before: 0,
            block: DataBuilder::default(),
            block_separator: Vec::new(),
            leaf: IndexBuilder::default(),
            leaf_start: (Vec::new(), 0),
            content: Vec::new(),
            current: None,
            last_position: Vec::new(),
            composite: Vec::new(),
            composite_bytes: 0,
            next_composite: Vec::new(),
            options,
        })
    }

    /// Bytes of the file so far, without the block that is being filled.
    pub fn bytes_written(&self) -> u64 {
        self.output.offset()
    }

    /// Begins a partition, which must be behind the one before it.
    pub fn partition(&mut self, head: &PartitionHead) -> Result<()> {
        if self.current.is_some() {
            return Err(order_error("a partition begins inside another"));
        }
        let static_bytes = head.static_row.as_ref().map_or(0, |row| row.len());
        if head.key.key.len() > MAX_KEY_BYTES || static_bytes > ROW_BYTES_MAX {
            return Err(Error::new(ErrorKind::TooLarge, "a key or static row in an SSTable"));
        }
        self.next_composite.clear();
        put_partition(&mut self.next_composite, head.key.as_ref());
        if self.composite >= self.next_composite {
            return Err(order_error("partitions are out of order"));
        }
        let adds = head.key.key.len() + static_bytes;
        if self.block.len() >= self.options.block_bytes || self.would_overfill(adds) {
            self.finish_block(false)?;
        }
        if self.block.is_empty() {
            self.set_separator();
        }
        let static_row = head.static_row.as_ref().map(|row| row.as_bytes());
        let token = head.key.token;
        self.block.partition(token, &head.key.key, head.deletion, static_row);
        self.collector.partition(head)?;
        self.filter.add(head.key.token);
        std::mem::swap(&mut self.composite, &mut self.next_composite);
        self.composite_bytes = self.composite.len();
        self.last_position.clear();
        let (key, open) = (head.key.clone(), Deletion::NONE);
        self.current = Some(Current { key, open, last_was_marker: false });
        Ok(())
    }

    /// The block that begins now stands between `composite` and `next_composite`.
    fn set_separator(&mut self) {
        self.block_separator.clear();
        self.block_separator.extend_from_slice(separator(&self.composite, &self.next_composite));
    }

    /// Whether so much more would make the block far too large: then it is better closed before.
    fn would_overfill(&self, more: usize) -> bool {
        !self.block.is_empty() && self.block.len() + more > self.options.block_bytes * 2
    }

    /// Adds the next row or marker of the partition.
    pub fn push(&mut self, item: &Unfiltered) -> Result<()> {
        let position = item.position();
        let Some(current) = &self.current else {
            return Err(order_error("a row outside of a partition"));
        };
        // Only a row may stand where the marker before it stands.
        let is_row = matches!(item, Unfiltered::Row { .. });
        let same = position.as_bytes() == self.last_position;
        let behind = position.as_bytes() > self.last_position.as_slice();
        if !(behind || same && is_row && current.last_was_marker) {
            return Err(order_error("positions are out of order"));
        }
        let adds = match item {
            Unfiltered::Row { row, .. } if row.len() > ROW_BYTES_MAX => {
                return Err(Error::new(ErrorKind::TooLarge, "a row in an SSTable"));
            }
            Unfiltered::Row { row, .. } => row_entry_bytes(position, row),
            Unfiltered::Marker { before, .. } if *before != current.open => {
                return Err(order_error("range deletion markers do not follow each other"));
            }
            Unfiltered::Marker { position, .. } => position.len(),
        };
        if position.len() > POSITION_BYTES_MAX {
            return Err(Error::new(ErrorKind::TooLarge, "a clustering position in an SSTable"));
        }
        if behind {
            self.make_room(position, adds)?;
        }
        let Some(current) = &mut self.current else {
            return Err(order_error("a row outside of a partition"));
        };
        match item {
            Unfiltered::Row { position, row } => {
                self.block.row(position, row, current.open);
                self.collector.row(position, row)?;
            }
            Unfiltered::Marker { position, before, after } => {
                self.block.marker(position, *before, *after);
                self.collector.marker(position, *after);
                current.open = *after;
            }
        }
        current.last_was_marker = !is_row;
        self.last_position.clear();
        self.last_position.extend_from_slice(position);
        Ok(())
    }

    /// Closes the block inside the partition if it is full, and begins the next one at `position`.
    fn make_room(&mut self, position: &[u8], adds: usize) -> Result<()> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        // With a long key the repeated key must not outweigh the rows.
        let full = self.options.block_bytes.max(4 * current.key.key.len());
        // A head that stands alone would cost its readers a block.
        let closes = self.block.partition_has_entries() && self.block.len() >= full;
        if !closes && !self.would_overfill(adds) {
            return Ok(());
        }
        let key = current.key.clone();
        self.finish_block(true)?;
        self.composite.truncate(self.composite_bytes);
        self.next_composite.clear();
        self.next_composite.extend_from_slice(&self.composite);
        self.next_composite.extend_from_slice(position);
        self.composite.extend_from_slice(&self.last_position);
        self.set_separator();
        self.block.continued(key.token, &key.key);
        Ok(())
    }

    /// Ends the partition.
    pub fn end_partition(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else {
            return Err(order_error("the end of a partition that was not begun"));
        };
        if !current.open.is_none() {
            return Err(order_error("a range deletion is open at the end of a partition"));
        }
        self.composite.truncate(self.composite_bytes);
        self.composite.extend_from_slice(&self.last_position);
        self.collector.end_partition();
        Ok(())
    }

    fn finish_block(&mut self, continues: bool) -> Result<()> {
        let rows = self.block.rows();
        self.block.finish(continues, &mut self.content);
        self.collector.content(self.content.len());
        let (offset, stored) =
            self.output.append_block(BlockKind::Data, self.options.compression, &self.content)?;
        if self.leaf.count() == 0 {
            self.leaf_start = (self.block_separator.clone(), self.rows_before);
        }
        let entry = IndexEntry { offset, stored, rows_before: self.rows_before, rows };
        self.leaf.add(&self.block_separator, entry);
        self.rows_before += u64::from(rows);
        if self.leaf.len() >= self.options.block_bytes && self.leaf.count() >= INDEX_ENTRIES_MIN {
            self.finish_leaf()?;
        }
        Ok(())
    }

    fn finish_leaf(&mut self) -> Result<()> {
        let blocks = self.leaf.count();
        self.leaf.finish(&mut self.content);
        let place =
            self.output.append_block(BlockKind::Index, self.options.compression, &self.content)?;
        let (separator, rows_before) = &self.leaf_start;
        self.top.add(separator, place, *rows_before, blocks);
        Ok(())
    }

    fn append_section(&mut self, name: &str, bytes: &[u8]) -> Result<Section> {
        let offset = self.output.append(bytes)?;
        let crc = crc32_salted(salt(&self.id, offset), bytes);
        let length = bytes.len() as u64;
        let name = name.to_owned();
        Ok(Section { name, required: true, blocks: false, offset, length, crc })
    }

    /// Completes the file, syncs it, gives it its name, syncs the directory, and opens it.
    pub fn finish(mut self, cache: &BlockCache) -> Result<Arc<SsTable>> {
        if self.current.is_some() {
            return Err(order_error("the last partition was not ended"));
        }
        if !self.block.is_empty() {
            self.finish_block(false)?;
        }
        if self.leaf.count() > 0 {
            self.finish_leaf()?;
        }
        let mut sections = vec![Section {
            name: BLOCKS.to_owned(),
            required: true,
            blocks: true,
            offset: self.header_bytes,
            length: self.output.offset() - self.header_bytes,
            crc: 0,
        }];
        let filter = std::mem::replace(&mut self.filter, FilterBuilder::new(1.0)).finish();
        let stats = std::mem::take(&mut self.collector).finish();
        let top = std::mem::take(&mut self.top);
        for name in [FILTER, INDEX, STATS] {
            let mut bytes = Vec::new();
            match name {
                FILTER => filter.encode(&mut bytes),
                INDEX => top.encode(&mut bytes),
                _ => stats.encode(&mut bytes),
            }
            sections.push(self.append_section(name, &bytes)?);
        }
        let directory = encode_directory(&sections);
        let directory_offset = self.output.append(&directory)?;
        let footer = Footer {
            directory_offset,
            directory_length: directory.len() as u32,
            directory_crc: crc32_salted(salt(&self.id, directory_offset), &directory),
            file_length: self.output.offset() + FOOTER_BYTES as u64,
            id: self.id,
        };
        self.output.append(&footer.encode())?;
        self.publish(cache)
    }

    fn publish(mut self, cache: &BlockCache) -> Result<Arc<SsTable>> {
        self.output.finish()?;
        let path = self.dir.join(file_name(self.id));
        let error = |e| Error::io("naming a finished SSTable", &path, e);
        self.disk.rename(self.output.path(), &path).map_err(error)?;
        self.disk.sync_dir(&self.dir).map_err(error)?;
        SsTable::open(&*self.disk, &path, cache)
    }

    /// Gives up: removes the file.
    pub fn abandon(self) -> Result<()> {
        let path = self.output.path();
        self.disk.remove(path).map_err(|e| Error::io("removing an unfinished SSTable", path, e))
    }
}
