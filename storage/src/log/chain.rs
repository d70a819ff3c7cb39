//! Reading a segment that may be damaged: from group to group, and past a hole to the next one.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::sync::Arc;

use helenus_platform::codec::Reader;

use super::format::{
    GROUP_HEADER_BYTES, GroupHeader, HeaderError, RecordRef, SEGMENT_HEADER_BYTES, SegmentHeader,
    VERSION,
};
use super::options::SEGMENT_BYTES_MAX;
use super::segment::{Segment, SegmentStore, segment_name};
use crate::error::{Error, ErrorKind, Result};

/// Opens the segment that begins at `base`; its header must be intact.
pub(crate) fn open_segment(store: &SegmentStore, base: u64) -> Result<Arc<Segment>> {
    let path = store.dir.join(segment_name(base));
    let failed = |error| Error::io("opening a commit log segment", &path, error);
    let file = store.disk.open_write(&path).map_err(failed)?;
    let mut head = [0; SEGMENT_HEADER_BYTES];
    let short = file.len().map_err(failed)? < SEGMENT_HEADER_BYTES as u64;
    if !short {
        file.read_exact_at(0, &mut head).map_err(failed)?;
    }
    let header = parse_header(if short { &[] } else { &head })
        .map_err(|error| error.at_file(&path, Some(0)))?;
    if header.base != base {
        let what = "the segment's header is that of another segment";
        return Err(Error::corrupt(what).at_file(&path, Some(0)));
    }
    Ok(Arc::new(Segment::new(header, path, file)))
}

/// Decodes and checks a segment's header.
pub(crate) fn parse_header(bytes: &[u8]) -> Result<SegmentHeader> {
    let header = SegmentHeader::decode(bytes).map_err(|error| match error {
        HeaderError::Newer(version) => {
            let text = format!(
                "a commit log segment of format version {version}; this program reads versions \
                 up to {VERSION}"
            );
            Error::new(ErrorKind::Newer, text)
        }
        HeaderError::Damaged(what) => Error::corrupt(what),
    })?;
    let sound = header.capacity <= SEGMENT_BYTES_MAX
        && header.capacity > (SEGMENT_HEADER_BYTES + GROUP_HEADER_BYTES) as u64
        && header.base.checked_add(header.capacity).is_some()
        && header.previous <= header.base;
    if sound { Ok(header) } else { Err(Error::corrupt("the segment header contradicts itself")) }
}

/// Fills `bytes` with what the segment's file holds, as far as it can be part of the log. The same
/// vector for one segment after another spares the system from clearing fresh memory for each.
pub(crate) fn load(segment: &Segment, bytes: &mut Vec<u8>) -> Result<()> {
    let failed = |error| Error::io("reading a commit log segment", &segment.path, error);
    // `capacity` was checked against the largest segment.
    let length = segment.file.len().map_err(failed)?.min(segment.header.capacity);
    bytes.resize(usize::try_from(length).unwrap_or(0), 0);
    segment.file.read_exact_at(0, bytes).map_err(failed)
}

/// What stands at some offset of a segment.
pub(crate) enum Step {
    /// A group whose header is intact, and whose records lie inside the file.
    Group { header: GroupHeader, records: usize, end: usize },
    /// The end of a sealed segment, which stands behind the seal.
    Seal { header: GroupHeader, end: usize },
    /// Neither: the end of a segment that was not sealed, or damage.
    Nothing(&'static str),
}

/// Reads the group header at `offset`.
pub(crate) fn step(segment: &SegmentHeader, salt: u32, bytes: &[u8], offset: usize) -> Step {
    let rest = bytes.get(offset..).unwrap_or_default();
    let header = match GroupHeader::decode(rest, salt, segment.base + offset as u64) {
        Ok(header) => header,
        Err(what) => return Step::Nothing(what),
    };
    let records = offset + GROUP_HEADER_BYTES;
    if header.seal {
        return Step::Seal { header, end: records };
    }
    match records.checked_add(header.length as usize) {
        Some(end) if end <= bytes.len() => Step::Group { header, records, end },
        _ => Step::Nothing("the group is longer than its segment"),
    }
}

/// The first intact group header at or behind `from`, wherever it stands.
pub(crate) fn find_header(
    segment: &SegmentHeader,
    salt: u32,
    bytes: &[u8],
    from: usize,
) -> Option<(usize, GroupHeader)> {
    let rest = bytes.get(from..)?;
    for (index, window) in rest.windows(GROUP_HEADER_BYTES).enumerate() {
        let position = segment.base + (from + index) as u64;
        // Almost every place fails on this one comparison.
        let mut reader = Reader::new(window.get(8..).unwrap_or_default());
        if reader.u64_le() != Ok(position) {
            continue;
        }
        if let Ok(header) = GroupHeader::decode(window, salt, position) {
            return Some((from + index, header));
        }
    }
    None
}

/// How far a segment's groups go.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Log position behind the last group that follows from the first one.
    pub(crate) end: u64,
    /// Whether a seal stands at the end.
    pub(crate) sealed: bool,
    /// Whether the file is shorter than its header says.
    pub(crate) short: bool,
    /// What was found instead of a group at the end, if no seal.
    pub(crate) what: &'static str,
    /// The largest durable position that any intact header tells, even one behind a hole.
    pub(crate) durable: u64,
}

/// Follows the groups of a segment by their headers.
pub(crate) fn walk(segment: &SegmentHeader, salt: u32, bytes: &[u8]) -> Chain {
    let mut offset = SEGMENT_HEADER_BYTES;
    let mut durable = 0;
    let short = (bytes.len() as u64) < segment.capacity;
    let what = loop {
        match step(segment, salt, bytes, offset) {
            Step::Group { header, end, .. } => {
                durable = durable.max(header.durable);
                offset = end;
            }
            Step::Seal { header, end } => {
                let durable = durable.max(header.durable);
                let end = segment.base + end as u64;
                return Chain { end, sealed: true, short, what: "", durable };
            }
            Step::Nothing(what) => break what,
        }
    };
    let mut from = offset;
    while let Some((at, header)) = find_header(segment, salt, bytes, from) {
        durable = durable.max(header.durable);
        from = at + 1;
    }
    Chain { end: segment.base + offset as u64, sealed: false, short, what, durable }
}

/// Checks the records of a group; the error has the log position of the one that is damaged.
pub(crate) fn check_records(
    salt: u32,
    position: u64,
    records: &[u8],
    count: u32,
) -> Result<(), (u64, &'static str)> {
    let (mut offset, mut found) = (0, 0u32);
    while let Some(rest) = records.get(offset..).filter(|rest| !rest.is_empty()) {
        let at = position + offset as u64;
        let record = RecordRef::decode(rest, salt, at).map_err(|what| (at, what))?;
        offset += record.size;
        found = found.saturating_add(1);
    }
    if found == count { Ok(()) } else { Err((position, MISCOUNTED)) }
}

/// What is wrong with a group whose header tells another number of records than there are.
pub(crate) const MISCOUNTED: &str = "the group does not hold the records that its header counts";

/// Bytes of a record in which a flipped bit is looked for. Of torn records, one in
/// `2^32 / (8 * FLIP_BYTES_MAX)` has the checksum of one with a flipped bit: 8 in a million.
const FLIP_BYTES_MAX: usize = 4096;
/// What a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Where a bit is flipped in the group at `offset`, which does not check: the log position of the
/// header or record that does with one bit turned back.
///
/// A write that was torn lacks whole sectors, or all from some byte on; what stands there instead,
/// zeros or an earlier life of the file, may differ from what is missing in a single bit. So the
/// sector of that bit must also hold a checksum of this group that is right, and behind the bit
/// there must be something other than zeros: then that place was written.
pub(crate) fn flipped_bit(
    segment: &SegmentHeader,
    salt: u32,
    bytes: &[u8],
    offset: usize,
) -> Option<u64> {
    let position = |at: usize| segment.base + at as u64;
    let rest = bytes.get(offset..)?;
    let Ok(header) = GroupHeader::decode(rest, salt, position(offset)) else {
        let mut head = rest.get(..GROUP_HEADER_BYTES)?.to_vec();
        let mut end = 0;
        let at = turned_bit(&mut head, |head| {
            let decoded = GroupHeader::decode(head, salt, position(offset));
            decoded.map(|header| end = GROUP_HEADER_BYTES + header.length as usize).is_ok()
        })?;
        let is_written = is_vouched_for(offset + at, offset) && goes_on(rest.get(at + 1..end)?);
        return is_written.then_some(position(offset));
    };
    let records = offset + GROUP_HEADER_BYTES;
    let group = bytes.get(..records.checked_add(header.length as usize)?)?;
    let checked = check_records(salt, position(records), group.get(records..)?, header.records);
    let start = usize::try_from(checked.err()?.0 - segment.base).ok()?;
    let record = group.get(start..)?;
    let mut part = record.get(..FLIP_BYTES_MAX).unwrap_or(record).to_vec();
    let mut size = 0;
    let at = turned_bit(&mut part, |part| {
        let decoded = RecordRef::decode(part, salt, position(start));
        decoded.map(|record| size = record.size).is_ok()
    })?;
    let next = start + size;
    let follower = group.get(next..).filter(|rest| !rest.is_empty());
    let is_sound = |rest: &[u8]| RecordRef::decode(rest, salt, position(next)).is_ok();
    let witnesses = [Some(offset), Some(start), follower.filter(|r| is_sound(r)).map(|_| next)];
    let mut witnesses = witnesses.into_iter().flatten();
    let is_written = witnesses.any(|checksum| is_vouched_for(start + at, checksum))
        && goes_on(group.get(start + at + 1..)?);
    is_written.then_some(position(start))
}

/// The first byte of `bytes` of which one bit can be turned so that all of them check.
fn turned_bit(bytes: &mut [u8], mut checks: impl FnMut(&[u8]) -> bool) -> Option<usize> {
    for bit in 0..bytes.len() * 8 {
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        bytes.get_mut(at).map(|byte| *byte ^= mask)?;
        let is_sound = checks(bytes);
        bytes.get_mut(at).map(|byte| *byte ^= mask)?;
        if is_sound {
            return Some(at);
        }
    }
    None
}

/// Whether anything was written to these bytes, for all that is known.
fn goes_on(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

/// Whether the byte at `offset` of a file stands in the sector of the checksum at `checksum`.
fn is_vouched_for(offset: usize, checksum: usize) -> bool {
    let sector = offset / SECTOR_BYTES;
    sector == checksum / SECTOR_BYTES && sector == (checksum + 3) / SECTOR_BYTES
}

/// The log position of the first group behind `from` that does not check; the chain up to it,
/// and the headers behind it, are known to be intact.
pub(crate) fn first_torn_group(
    segment: &SegmentHeader,
    salt: u32,
    bytes: &[u8],
    from: u64,
) -> Option<u64> {
    let mut offset = SEGMENT_HEADER_BYTES;
    while let Step::Group { header, records, end } = step(segment, salt, bytes, offset) {
        if segment.base + end as u64 > from {
            let position = segment.base + records as u64;
            let body = bytes.get(records..end).unwrap_or_default();
            if check_records(salt, position, body, header.records).is_err() {
                return Some(segment.base + offset as u64);
            }
        }
        offset = end;
    }
    None
}
