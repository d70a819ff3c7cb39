//! An SSTable as lines of text, for `helenus inspect`. Reads only; tells as much as can be read.

use std::path::Path;
use std::sync::Arc;

use helenus_platform::disk::Disk;

use super::access::BlockingAccess;
use super::block::BlockRef;
use super::cache::BlockCache;
use super::format::header::Header;
use super::format::stats::Stats;
use super::table::{Part, SsTable};
use crate::error::{Error, Result};
use crate::model::{Deletion, Entry, PartitionBound, PositionRange, RowRef, Unfiltered};

/// How much to tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct InspectOptions {
    /// Every index block and data block.
    pub blocks: bool,
    /// Every partition, row, marker and cell.
    pub rows: bool,
}

/// Bytes of a key, position or value that are shown.
const SHOWN_BYTES_MAX: usize = 64;

/// Describes the table in `path`, line by line. What could be read before an error has been told
/// when the error comes back.
pub fn inspect(
    disk: &dyn Disk,
    path: &Path,
    options: InspectOptions,
    line: &mut dyn FnMut(&str),
) -> Result<()> {
    let file = disk.open(path).map_err(|e| Error::io("opening an SSTable", path, e))?;
    let part = Part { path, file: &*file };
    line(&format!("SSTable {}", path.display()));
    // Told even if the other end of the file is damaged.
    let header = part.header(u64::MAX);
    if let Ok((header, _)) = &header {
        describe_header(header, line);
    }
    part.footer()?;
    header?;
    let table = SsTable::open(disk, path, &BlockCache::new(0))?;
    line("sections");
    for section in table.sections() {
        let (name, offset, length) = (&section.name, section.offset, section.length);
        let crc = if section.blocks { "per block".into() } else { format!("{:08x}", section.crc) };
        line(&format!("  {name}: {length} bytes at {offset}, checksum {crc}"));
    }
    describe_stats(table.stats(), line);
    line("filter");
    table.filter().describe().for_each(|text| line(&format!("  {text}")));
    describe_index(&table, options.blocks, line)?;
    if options.rows {
        describe_rows(&table, line)?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(bytes);
    let mut text: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    if shown.len() < bytes.len() {
        text += &format!("… ({} bytes)", bytes.len());
    }
    text
}

fn deletion(deletion: Deletion) -> String {
    if deletion.is_none() {
        return "none".to_owned();
    }
    format!("{} made at {}", deletion.timestamp, deletion.local_deletion_time)
}

fn describe_header(header: &Header, line: &mut dyn FnMut(&str)) {
    line("header");
    line(&format!("  id {}", header.id));
    line(&format!("  table {}, level {}", header.table.0, header.level));
    line(&format!("  compression {:?}", header.compression));
    line(&format!("  origin {}", hex(&header.origin)));
    for (start, end) in &header.log_intervals {
        line(&format!("  log interval {}..{}", start.0, end.0));
    }
    match header.repaired_at {
        0 => line("  not repaired"),
        at => line(&format!("  repaired at {at} ms")),
    }
    if let Some(session) = header.pending_session {
        line(&format!("  pending repair session {}", hex(&session)));
    }
}

fn describe_stats(stats: &Stats, line: &mut dyn FnMut(&str)) {
    line("stats");
    let counts = [
        ("partitions", stats.partitions),
        ("rows", stats.rows),
        ("static rows", stats.static_rows),
        ("cells", stats.cells),
        ("partition deletions", stats.partition_deletions),
        ("range deletion markers", stats.markers),
        ("row deletions", stats.row_deletions),
        ("column deletions", stats.column_deletions),
        ("cell tombstones", stats.cell_tombstones),
        ("expiring cells and rows", stats.expiring),
        ("counter cells", stats.counters),
        ("bytes of blocks before compression", stats.content_bytes),
        ("bytes of the largest row", stats.largest_row_bytes),
        ("bytes of the largest partition", stats.largest_partition_bytes),
    ];
    for (name, count) in counts {
        line(&format!("  {name}: {count}"));
    }
    let never = |time, none| if time == none { "none".to_owned() } else { format!("{time}") };
    let min = never(stats.min_timestamp, i64::MAX);
    line(&format!("  timestamps: {min}..={}", never(stats.max_timestamp, i64::MIN)));
    let min = never(stats.min_local_deletion_time, i64::MAX);
    let max = match stats.max_local_deletion_time {
        i64::MAX => "never".to_owned(),
        time => never(time, i64::MIN),
    };
    line(&format!("  local deletion times: {min}..={max}"));
    if let Some((first, last)) = &stats.keys {
        for (name, key) in [("first", first), ("last", last)] {
            line(&format!("  {name} key: token {} key {}", key.token.0, hex(&key.key)));
        }
    }
    if let Some((lowest, highest)) = &stats.positions {
        line(&format!("  positions: {}..={}", hex(lowest), hex(highest)));
    }
    for (second, count) in stats.drop_times.bins() {
        line(&format!("  droppable after {second}: {count}"));
    }
}

fn describe_index(table: &SsTable, blocks: bool, line: &mut dyn FnMut(&str)) -> Result<()> {
    let top = table.top_index();
    line("index");
    line(&format!("  {} index blocks, {} data blocks", top.count(), top.data_blocks()));
    for number in 0..top.count() {
        let Some(entry) = top.entry(number) else {
            continue;
        };
        let separator = hex(top.separator(number));
        let (offset, stored, rows) = (entry.offset, entry.stored, entry.rows_before);
        let text = format!("{stored} bytes at {offset}, {rows} rows before, from {separator}");
        line(&format!("  index block {number}: {text}"));
        if blocks {
            describe_leaf(table, table.block_ref(offset, stored), line)?;
        }
    }
    Ok(())
}

fn describe_leaf(table: &SsTable, name: BlockRef, line: &mut dyn FnMut(&str)) -> Result<()> {
    let leaf = table.read_block(name)?;
    let index = leaf.index().map_err(|e| table.block_error(name, e))?;
    let mut separator = Vec::new();
    for number in 0..index.count() {
        let entry = index.entry(number, &mut separator);
        let entry = entry.map_err(|e| table.block_error(name, e))?;
        let (offset, stored, rows) = (entry.offset, entry.stored, entry.rows);
        line(&format!("    data block {number}: {stored} bytes at {offset}, {rows} rows"));
        line(&format!("      from {}", hex(&separator)));
        let name = table.block_ref(offset, stored);
        let block = table.read_block(name)?;
        let data = block.data().map_err(|e| table.block_error(name, e))?;
        let (partitions, content) = (data.partitions(), data.content().len());
        let goes_on = if data.continues() { ", the last goes on" } else { "" };
        line(&format!("      {content} bytes of content, {partitions} partitions{goes_on}"));
    }
    Ok(())
}

fn describe_rows(table: &Arc<SsTable>, line: &mut dyn FnMut(&str)) -> Result<()> {
    let access = BlockingAccess::new(None);
    let mut cursor = table.cursor();
    let mut bound = PartitionBound::Min;
    line("rows");
    while let Some(head) =
        cursor.next_partition(&access, &bound).map_err(|stop| stop.into_error(table))?
    {
        line(&format!("  partition {} key {}", head.key.token.0, hex(&head.key.key)));
        if !head.deletion.is_none() {
            line(&format!("    deleted by {}", deletion(head.deletion)));
        }
        if let Some(row) = &head.static_row {
            line("    static row");
            describe_row(row, line)?;
        }
        cursor.slice(&PositionRange::whole(), false);
        while let Some(item) = cursor.next(&access).map_err(|stop| stop.into_error(table))? {
            match item {
                Unfiltered::Row { position, row } => {
                    line(&format!("    row {}", hex(&position)));
                    describe_row(&row, line)?;
                }
                Unfiltered::Marker { position, before, after } => {
                    let (before, after) = (deletion(before), deletion(after));
                    let text = format!("below deleted by {before}, above by {after}");
                    line(&format!("    marker {}: {text}", hex(&position)));
                }
            }
        }
        bound = PartitionBound::AfterKey(head.key);
    }
    Ok(())
}

fn describe_row(row: &[u8], line: &mut dyn FnMut(&str)) -> Result<()> {
    let row = RowRef::parse(row)?;
    if let Some(liveness) = row.liveness() {
        let ends = match liveness.ttl {
            0 => String::new(),
            ttl => format!(", ttl {ttl}, expires at {}", liveness.expiry),
        };
        line(&format!("      inserted at {}{ends}", liveness.timestamp));
    }
    if !row.deletion().is_none() {
        line(&format!("      deleted by {}", deletion(row.deletion())));
    }
    for entry in row.entries() {
        match entry? {
            Entry::ColumnDeletion(column, by) => {
                line(&format!("      column {} deleted by {}", column.0, deletion(by)));
            }
            Entry::Cell(cell) => {
                let path = cell.path.map(|path| format!(" path {}", hex(path)));
                let (column, path) = (cell.column.0, path.unwrap_or_default());
                let (at, kind, value) = (cell.timestamp, cell.kind, hex(cell.value));
                line(&format!("      column {column}{path} at {at}: {kind:?} {value}"));
            }
        }
    }
    Ok(())
}
