//! A manifest file as text, for `helenus inspect`: read-only, and decoding as much as it can.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::path::Path;

use helenus_platform::disk::Disk;

use super::directory::{check_format, read_small};
use super::file::{Content, Parse, current, read_file};
use super::state::State;
use crate::error::Result;

/// Writes the manifest at `path` as lines of text: each edit, and what all of them say.
pub fn inspect(disk: &dyn Disk, path: &Path, line: &mut dyn FnMut(&str)) -> Result<()> {
    let bytes = read_file(disk, path)?;
    let mut parse = Parse::new(path, &bytes);
    let (number, salt) = parse.header(None)?;
    line(&format!("manifest number {number} salt {salt:08x}"));
    let mut offset = Parse::first_frame();
    let mut ended = Ok(());
    while offset < bytes.len() {
        let Some((content, next)) = parse.content(offset)? else {
            line(&format!("{offset:>8} torn or damaged from here on"));
            ended = parse.check_torn(offset, 0);
            break;
        };
        match content {
            Content::Confirmation(end) => line(&format!("{offset:>8} durable up to {end}")),
            Content::Edits(edits) => {
                line(&format!("{offset:>8} edits: {}", edits.len()));
                for edit in edits {
                    line(&format!("           {edit}"));
                    parse.apply(offset, &edit)?;
                }
            }
        }
        offset = next;
    }
    tables(&parse.state, line);
    ended
}

/// Writes what the file FORMAT says.
pub fn inspect_format(disk: &dyn Disk, path: &Path, line: &mut dyn FnMut(&str)) -> Result<()> {
    let version = check_format(path, &read_small(disk, path)?)?;
    line(&format!("a storage directory of format version {version}"));
    Ok(())
}

/// Writes what the file CURRENT says.
pub fn inspect_current(disk: &dyn Disk, path: &Path, line: &mut dyn FnMut(&str)) -> Result<()> {
    let (name, durable) = current(disk, path)?;
    line(&format!("in force is {name}, of which {durable} bytes were durable before"));
    Ok(())
}

fn tables(state: &State, line: &mut dyn FnMut(&str)) {
    for (id, table) in &state.tables {
        let bytes: u64 = table.sstables.values().map(|sstable| sstable.file_bytes).sum();
        line(&format!(
            "table {} of keyspace {}: {} SSTables, {bytes} bytes",
            id.0,
            table.keyspace.0,
            table.sstables.len()
        ));
        for id in &table.set_aside {
            line(&format!("  set aside, because it was damaged: SSTable {id}"));
        }
    }
}
