//! The files that a flush or a compaction writes.

use std::path::PathBuf;
use std::sync::Arc;

use helenus_platform::disk::Disk;

use crate::error::Result;
use crate::manifest::Manifest;
use crate::model::{PartitionHead, Token, Unfiltered};
use crate::sstable::{BlockCache, SsTable, SsTableWriter, WriterOptions};

/// New SSTables of one table. Dropped before `finish`, it removes what it has written.
pub(crate) struct Output {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    manifest: Arc<Manifest>,
    cache: Arc<BlockCache>,
    options: WriterOptions,
    /// The ring is cut into this many equal parts, a power of two; files end where parts do.
    parts: u32,
    writer: Option<(u32, SsTableWriter)>,
    finished: Vec<Arc<SsTable>>,
}

impl Output {
    pub(crate) fn new(
        manifest: Arc<Manifest>,
        cache: Arc<BlockCache>,
        options: WriterOptions,
        parts: u32,
    ) -> Output {
        let directory = manifest.directory();
        let (disk, dir) = (directory.disk.clone(), directory.table(options.table));
        Output {
            disk,
            dir,
            manifest,
            cache,
            options,
            parts: parts.max(1),
            writer: None,
            finished: Vec::new(),
        }
    }

    /// Begins a partition, in a new file if one ends before it.
    pub(crate) fn partition(&mut self, head: &PartitionHead) -> Result<()> {
        let part = part_of(head.key.token, self.parts);
        if self.writer.as_ref().is_some_and(|(current, _)| *current != part) {
            self.finish_file()?;
        }
        if self.writer.is_none() {
            let id = self.manifest.next_id()?;
            let options = self.options.clone();
            let writer = SsTableWriter::create(&self.disk, &self.dir, id, options)?;
            self.writer = Some((part, writer));
        }
        self.each(|writer| writer.partition(head))
    }

    pub(crate) fn push(&mut self, item: &Unfiltered) -> Result<()> {
        self.each(|writer| writer.push(item))
    }

    pub(crate) fn end_partition(&mut self) -> Result<()> {
        self.each(SsTableWriter::end_partition)
    }

    fn each(&mut self, what: impl FnOnce(&mut SsTableWriter) -> Result<()>) -> Result<()> {
        self.writer.as_mut().map_or(Ok(()), |(_, writer)| what(writer))
    }

    fn finish_file(&mut self) -> Result<()> {
        if let Some((_, writer)) = self.writer.take() {
            self.finished.push(writer.finish(&self.cache)?);
        }
        Ok(())
    }

    /// Completes the last file and hands all over: from now on they are the caller's.
    pub(crate) fn finish(&mut self) -> Result<Vec<Arc<SsTable>>> {
        self.finish_file()?;
        Ok(std::mem::take(&mut self.finished))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Best effort: what stays is an orphan by its id, and goes when the directory is opened.
        if let Some((_, writer)) = self.writer.take() {
            let _ = writer.abandon();
        }
        for table in &self.finished {
            let _ = self.disk.remove(table.path());
        }
    }
}

/// Which of `parts` equal parts of the ring a token lies in.
fn part_of(token: Token, parts: u32) -> u32 {
    let place = (token.0 as u64) ^ (1 << 63);
    match parts.ilog2() {
        0 => 0,
        bits => (place >> (64 - bits)) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_equal_and_ascending() {
        let part = |token| part_of(Token(token), 4);
        assert_eq!([i64::MIN, -1, 0, i64::MAX].map(part), [0, 1, 2, 3]);
        assert_eq!(part(-(1 << 62) - 1), 0);
        assert_eq!(part(-(1 << 62)), 1);
        assert_eq!(part_of(Token(i64::MAX), 1), 0);
    }
}
