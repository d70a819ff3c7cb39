//! A segment file as text, for `helenus inspect`: read-only, and decoding as much as it can.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::path::Path;

use helenus_platform::disk::Disk;

use super::chain::{Step, find_header, parse_header, step};
use super::format::{RecordRef, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::options::SEGMENT_BYTES_MAX;
use crate::error::{Error, Result};

/// Bytes of a mutation that are shown.
const SHOWN_BYTES_MAX: usize = 32;

/// Writes the segment at `path` as lines of text; damage is told in a line of its own, and
/// reading goes on at the next intact group.
pub fn inspect(disk: &dyn Disk, path: &Path, line: &mut dyn FnMut(&str)) -> Result<()> {
    let failed = |error| Error::io("reading a commit log segment", path, error);
    let file = disk.open(path).map_err(failed)?;
    let length = file.len().map_err(failed)?.min(SEGMENT_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(0, &mut bytes).map_err(failed)?;
    let header = parse_header(&bytes).map_err(|error| error.at_file(path, Some(0)))?;
    let salt = header.salt();
    line(&format!(
        "segment id {} salt {salt:08x} base {} capacity {} created {} µs, after {}",
        hex(&header.id),
        header.base,
        header.capacity,
        header.created_micros,
        header.previous
    ));
    bytes.truncate(usize::try_from(header.capacity).unwrap_or(0));
    groups(&header, salt, &bytes, line);
    Ok(())
}

fn groups(header: &SegmentHeader, salt: u32, bytes: &[u8], line: &mut dyn FnMut(&str)) {
    let mut offset = SEGMENT_HEADER_BYTES;
    loop {
        match step(header, salt, bytes, offset) {
            Step::Group { header: group, records, end } => {
                line(&format!(
                    "{offset:>10} group at {}: records {}, bytes {}, durable {}",
                    group.position, group.records, group.length, group.durable
                ));
                let body = bytes.get(records..end).unwrap_or_default();
                show_records(header.base, salt, records, body, line);
                offset = end;
            }
            Step::Seal { header: seal, end } => {
                line(&format!(
                    "{offset:>10} seal at {}: durable {}; the segment ends at {end}",
                    seal.position, seal.durable
                ));
                return;
            }
            Step::Nothing(what) => match find_header(header, salt, bytes, offset + 1) {
                Some((at, _)) => {
                    line(&format!("{offset:>10} DAMAGED: {what}; an intact group is at {at}"));
                    offset = at;
                }
                None => {
                    line(&format!("{offset:>10} end of what was written ({what})"));
                    return;
                }
            },
        }
    }
}

fn show_records(base: u64, salt: u32, at: usize, body: &[u8], line: &mut dyn FnMut(&str)) {
    let mut offset = 0;
    while let Some(rest) = body.get(offset..).filter(|rest| !rest.is_empty()) {
        let place = at + offset;
        let record = match RecordRef::decode(rest, salt, base + place as u64) {
            Ok(record) => record,
            Err(what) => return line(&format!("{place:>10}   DAMAGED: {what}")),
        };
        let tables: Vec<String> = record.tables.iter().map(|table| table.0.to_string()).collect();
        line(&format!(
            "{place:>10}   record: bytes {}, tables [{}]",
            record.size,
            tables.join(", ")
        ));
        for mutation in &record.mutations {
            let shown = mutation.get(..SHOWN_BYTES_MAX).unwrap_or(mutation);
            let more = if shown.len() < mutation.len() { "…" } else { "" };
            line(&format!("             mutation: bytes {}, {}{more}", mutation.len(), hex(shown)));
        }
        offset += record.size;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
