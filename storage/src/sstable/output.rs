//! The file that a writer fills: buffered, appended to, synced as it grows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::disk::{Disk, File};

use super::format::frame::{self, BlockKind};
use crate::error::{Error, Result};
use crate::model::SsTableId;
use crate::options::Compression;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// An append-only file under a temporary name.
pub(super) struct Output {
    path: PathBuf,
    file: Arc<dyn File>,
    id: SsTableId,
    buffer: Vec<u8>,
    /// Bytes written to the file before the buffer's first.
    written: u64,
    synced: u64,
    sync_bytes: u64,
}

impl Output {
    pub(super) fn create(
        disk: &dyn Disk,
        path: PathBuf,
        id: SsTableId,
        sync_bytes: u64,
    ) -> Result<Output> {
        let file = disk.create(&path).map_err(|e| Error::io("creating an SSTable", &path, e))?;
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Ok(Output { path, file, id, buffer, written: 0, synced: 0, sync_bytes })
    }

    /// Where the next byte will stand.
    pub(super) fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// The temporary name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes; gives back where they stand.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let offset = self.offset();
        self.buffer.extend_from_slice(bytes);
        self.write_if(BUFFER_BYTES)?;
        Ok(offset)
    }

    /// Appends a block; gives back where it stands and its length in the file.
    pub(super) fn append_block(
        &mut self,
        kind: BlockKind,
        compression: Compression,
        content: &[u8],
    ) -> Result<(u64, u32)> {
        let offset = self.offset();
        frame::put(&mut self.buffer, &self.id, offset, kind, compression, content);
        let stored = (self.offset() - offset) as u32;
        self.write_if(BUFFER_BYTES)?;
        Ok((offset, stored))
    }

    fn write_if(&mut self, bytes_min: usize) -> Result<()> {
        if self.buffer.len() < bytes_min {
            return Ok(());
        }
        let error = |e| Error::io("writing an SSTable", &self.path, e);
        self.file.write_all_at(self.written, &self.buffer).map_err(error)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.sync_bytes > 0 && self.written - self.synced >= self.sync_bytes {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io("syncing an SSTable", &self.path, e))?;
        self.synced = self.written;
        Ok(())
    }

    /// Writes what is buffered and syncs.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.write_if(1)?;
        self.sync()
    }
}
