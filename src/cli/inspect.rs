//! `helenus inspect`: says what is in a file of a data directory. Reads, never writes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::disk::{Disk, RealDisk};
use helenus_storage::sstable::inspect::InspectOptions;

use crate::cluster::inspect as cluster;
use crate::coordinator::hints;
use crate::node;

/// Prints what is in `files`; with the rows or records if `rows`.
///
/// # Errors
/// Names the first file that is not ours or is damaged; what could be decoded is printed before.
pub(super) fn run(files: &[PathBuf], rows: bool) -> Result<(), String> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let mut out = std::io::stdout().lock();
    let mut printed = Ok(());
    for file in files {
        // After a reader such as `head` has gone, nothing more can be printed, and nothing is.
        let mut line = |line: &str| {
            printed = std::mem::replace(&mut printed, Ok(())).and_then(|()| writeln!(out, "{line}"))
        };
        one(&disk, file, rows, &mut line)?;
    }
    printed.map_err(|error| format!("printing: {error}"))
}

fn one(
    disk: &Arc<dyn Disk>,
    path: &Path,
    rows: bool,
    line: &mut dyn FnMut(&str),
) -> Result<(), String> {
    let describe = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    // Some files begin with nothing that would tell them from others, so their name must.
    let named = path.file_name().and_then(|name| name.to_str());
    let text = |error: helenus_storage::Error| error.to_string();
    match named {
        Some("FORMAT") => {
            return helenus_storage::manifest::inspect_format(disk.as_ref(), path, line)
                .map_err(text);
        }
        Some("CURRENT") => {
            return helenus_storage::manifest::inspect_current(disk.as_ref(), path, line)
                .map_err(text);
        }
        Some("LOCK") => return lock(disk.as_ref(), path, line),
        Some("manifest.json") => {
            return node::inspect_snapshot(disk.as_ref(), path, line).map_err(|e| e.to_string());
        }
        Some("schema.cql") => {
            line("the schema of a snapshot, as CQL: a text to read");
            return Ok(());
        }
        _ => {}
    }
    let file = disk.open(path).map_err(|error| describe(&error))?;
    let mut magic = [0; 8];
    let read = file.read_at(0, &mut magic).map_err(|error| describe(&error))?;
    match (&magic, read) {
        (b"HELENLOG", 8) => {
            helenus_storage::log::inspect(disk.as_ref(), path, line).map_err(|e| e.to_string())
        }
        (b"HelenusT", 8) => {
            let options = InspectOptions { blocks: rows, rows };
            helenus_storage::sstable::inspect::inspect(disk.as_ref(), path, options, line)
                .map_err(|e| e.to_string())
        }
        (b"HELMANIF", 8) => {
            helenus_storage::manifest::inspect(disk.as_ref(), path, line).map_err(|e| e.to_string())
        }
        (b"HELHINTS", 8) => {
            hints::inspect(disk.as_ref(), path, rows, line).map_err(|e| e.to_string())
        }
        ([b'H', b'M', b'I', b'D', ..], _) => {
            let dir = path.parent().unwrap_or(Path::new("."));
            cluster::identity(disk.as_ref(), dir, line).map_err(|e| e.to_string())
        }
        ([b'H', b'M', b'L' | b'S', ..], _) => {
            cluster::metadata(disk, path, line).map_err(|e| e.to_string())
        }
        _ => Err(describe(&"it does not begin as any file of Helenus does")),
    }
}

/// Bytes of the note in a lock's file; the rest is nobody's.
const LOCK_NOTE_BYTES_MAX: usize = 256;

/// Says who held a lock last; whether it is held, only the system knows.
fn lock(disk: &dyn Disk, path: &Path, line: &mut dyn FnMut(&str)) -> Result<(), String> {
    let describe = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = disk.open(path).map_err(describe)?;
    let mut note = vec![0; LOCK_NOTE_BYTES_MAX];
    let read = file.read_at(0, &mut note).map_err(describe)?;
    note.truncate(read);
    match String::from_utf8_lossy(&note).trim() {
        "" => line("a lock that nobody has held"),
        holder => line(&format!("a lock, last held by {}", holder.escape_debug())),
    }
    Ok(())
}
