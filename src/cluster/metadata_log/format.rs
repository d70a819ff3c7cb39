//! The bytes of the metadata log's files, and what is torn and what damaged in them.
//!
//! A directory holds one `log-V`, and the `snapshot-V` that it goes on from unless `V` is 0; `V`
//! is an index in 16 hexadecimal digits. Integers are little endian unless they are varints.
//!
//! ```text
//! both begin with   "HMLG" or "HMSN" | u16 format version (2) | u16 0 | 16 bytes cluster id |
//!                   u64 V | u64 term of entry V | u32 CRC-32 of all before
//! snapshot then     u64 length | config | state | u32 CRC-32 of all from the length on, salted
//! log then, each    entry  0xE1 | u32 length | entry | u32 CRC-32 of all before, salted
//!                   vote   0xE2 | u64 term | 16 bytes voted for, or 0 | u32 CRC-32, salted
//!                   mark   0xC1 | u64 commit | u64 offset of the mark | u32 CRC-32, salted
//! ```
//!
//! Entries and configurations are written as in messages (`raft/message.rs`). The salt is the
//! CRC-32 of the cluster id, so what belongs to another cluster does not pass. An entry replaces
//! everything from its index on.
//!
//! A mark is written after what stands before it is durable. So a record that does not check is
//! torn, and was promised to nobody, unless a mark stands anywhere behind it: then it is damage.
#![deny(clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use helenus_platform::checksum::{crc32, crc32_salted};
use helenus_platform::codec::{CodecError, Put, Reader};

use super::{MetadataLogError, Result};
use crate::cluster::raft::{Config, ENTRY_BYTES_MAX, Entry, Log, NodeId, Snapshot, Vote};

pub(super) const FORMAT_VERSION: u16 = 2;
pub(super) const LOG_MAGIC: &[u8; 4] = b"HMLG";
pub(super) const SNAPSHOT_MAGIC: &[u8; 4] = b"HMSN";
const ENTRY: u8 = 0xE1;
const VOTE: u8 = 0xE2;
const MARK: u8 = 0xC1;
pub(super) const HEADER_BYTES: usize = 4 + 2 + 2 + 16 + 8 + 8 + 4;
/// What an entry's record has besides its payload, configuration included.
const ENTRY_EXTRA_BYTES_MAX: usize = 1 << 20;

pub(super) fn salt_of(cluster_id: &[u8; 16]) -> u32 {
    crc32_salted(0, cluster_id)
}

fn seal(bytes: &mut Vec<u8>, salt: u32, from: usize) {
    let sum = crc32_salted(salt, bytes.get(from..).unwrap_or_default());
    bytes.put_u32_le(sum);
}

pub(super) fn header(magic: &[u8; 4], cluster_id: &[u8; 16], index: u64, term: u64) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.put_u16_le(FORMAT_VERSION);
    bytes.put_u16_le(0);
    bytes.put_bytes(cluster_id);
    bytes.put_u64_le(index);
    bytes.put_u64_le(term);
    let sum = crc32(&bytes);
    bytes.put_u32_le(sum);
    bytes
}

pub(super) fn put_entry(out: &mut Vec<u8>, entry: &Entry, salt: u32) {
    let from = out.len();
    let mut body = Vec::new();
    entry.encode(&mut body);
    out.put_u8(ENTRY);
    out.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.put_bytes(&body);
    seal(out, salt, from);
}

pub(super) fn put_vote(out: &mut Vec<u8>, vote: &Vote, salt: u32) {
    let from = out.len();
    out.put_u8(VOTE);
    out.put_u64_le(vote.term);
    out.put_bytes(&vote.voted_for.unwrap_or_default());
    seal(out, salt, from);
}

/// The mark that stands at `offset`.
pub(super) fn mark(commit: u64, offset: u64, salt: u32) -> Vec<u8> {
    let mut out = vec![MARK];
    out.put_u64_le(commit);
    out.put_u64_le(offset);
    seal(&mut out, salt, 0);
    out
}

pub(super) fn snapshot_file(snapshot: &Snapshot, cluster_id: &[u8; 16]) -> Vec<u8> {
    let mut bytes = header(SNAPSHOT_MAGIC, cluster_id, snapshot.index, snapshot.term);
    let from = bytes.len();
    let mut body = Vec::with_capacity(snapshot.state.len() + 64);
    snapshot.config.encode(&mut body);
    body.put_bytes(&snapshot.state);
    bytes.put_u64_le(body.len() as u64);
    bytes.put_bytes(&body);
    seal(&mut bytes, salt_of(cluster_id), from);
    bytes
}

/// What stands in a log: the entries, the newest vote, how far they are known to be committed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) log: Log,
    pub(super) vote: Vote,
    pub(super) commit: u64,
    /// Where the log goes on.
    pub(super) end: u64,
    /// Whether all of it has a mark behind it.
    pub(super) marked: bool,
}

/// One pass over the bytes of a file.
pub(super) struct Scan<'a> {
    pub(super) path: &'a Path,
    pub(super) cluster_id: &'a [u8; 16],
    /// The index in the file's name.
    pub(super) index: u64,
}

impl Scan<'_> {
    fn corrupt(&self, offset: usize, what: &'static str) -> MetadataLogError {
        MetadataLogError::Corrupt { path: self.path.to_path_buf(), offset: offset as u64, what }
    }

    /// Answers the term of the entry that the file's name says.
    fn header(&self, reader: &mut Reader<'_>, magic: &[u8; 4]) -> Result<u64> {
        let short = |_: CodecError| self.corrupt(0, "its header is cut short");
        let mut whole = reader.clone();
        if reader.bytes(4).map_err(short)? != magic {
            return Err(self.corrupt(0, "it does not begin as a metadata log does"));
        }
        let found = reader.u16_le().map_err(short)?;
        if found != FORMAT_VERSION {
            // Version 1 had a shorter header, so its checksum stands elsewhere.
            let path = self.path.to_path_buf();
            return Err(MetadataLogError::Version { path, found, known: FORMAT_VERSION });
        }
        let bytes = whole.bytes(HEADER_BYTES - 4).map_err(short)?;
        if whole.u32_le().map_err(short)? != crc32(bytes) {
            return Err(self.corrupt(0, "the checksum of its header is wrong"));
        }
        reader.skip(2).map_err(short)?;
        if reader.bytes(16).map_err(short)? != self.cluster_id {
            return Err(self.corrupt(8, "it belongs to another cluster"));
        }
        if reader.u64_le().map_err(short)? != self.index {
            return Err(self.corrupt(24, "its name and its header disagree on its version"));
        }
        let term = reader.u64_le().map_err(short)?;
        reader.skip(4).map_err(short)?;
        Ok(term)
    }

    /// Reads a snapshot.
    pub(super) fn snapshot(&self, bytes: &[u8]) -> Result<Snapshot> {
        let mut reader = Reader::new(bytes);
        let term = self.header(&mut reader, SNAPSHOT_MAGIC)?;
        let start = reader.position();
        let cut = |_: CodecError| self.corrupt(start, "it is cut short");
        let mut sealed = reader.clone();
        let length = usize::try_from(reader.u64_le().map_err(cut)?)
            .map_err(|_| self.corrupt(start, "its length is impossible"))?;
        let body = reader.bytes(length).map_err(cut)?;
        let all = sealed.bytes(8 + length).map_err(cut)?;
        if crc32_salted(salt_of(self.cluster_id), all) != reader.u32_le().map_err(cut)? {
            return Err(self.corrupt(start, "the checksum of its state is wrong"));
        }
        if !reader.is_empty() {
            return Err(self.corrupt(reader.position(), "bytes follow its end"));
        }
        let mut body = Reader::new(body);
        let config = Config::decode(&mut body)
            .map_err(|_| self.corrupt(start, "its configuration cannot be read"))?;
        let state = Bytes::copy_from_slice(body.rest());
        Ok(Snapshot { index: self.index, term, config: Arc::new(config), state })
    }

    /// Reads a log that goes on from a configuration.
    ///
    /// The last record counts when it is whole, marked or not: nobody was promised that it would
    /// not. Before the last mark, everything must be as it was written.
    pub(super) fn log(&self, bytes: &[u8], config: Arc<Config>) -> Result<Found> {
        let salt = salt_of(self.cluster_id);
        let mut reader = Reader::new(bytes);
        let term = self.header(&mut reader, LOG_MAGIC)?;
        let mut found = Found {
            log: Log::new(self.index, term, config),
            vote: Vote::default(),
            commit: self.index,
            end: reader.position() as u64,
            marked: true,
        };
        while !reader.is_empty() {
            let start = reader.position();
            let Some(()) = take(&mut reader, salt, &mut found) else {
                if is_marked_behind(bytes, start, salt) {
                    return Err(self.corrupt(start, "a committed change is damaged"));
                }
                break;
            };
            found.end = reader.position() as u64;
        }
        Ok(found)
    }
}

/// Takes one record, if it is whole.
fn take(reader: &mut Reader<'_>, salt: u32, found: &mut Found) -> Option<()> {
    let offset = reader.position();
    let whole = reader.rest();
    let kind = reader.u8().ok()?;
    let length = match kind {
        ENTRY => {
            let length = usize::try_from(reader.u32_le().ok()?).ok()?;
            (length <= ENTRY_BYTES_MAX + ENTRY_EXTRA_BYTES_MAX).then_some(length)?
        }
        VOTE => 8 + 16,
        MARK => 8 + 8,
        _ => return None,
    };
    let body = reader.bytes(length).ok()?;
    let sealed = whole.get(..reader.position() - offset)?;
    (reader.u32_le().ok()? == crc32_salted(salt, sealed)).then_some(())?;
    let mut body = Reader::new(body);
    match kind {
        ENTRY => {
            let entry = Entry::decode(&mut body).ok().filter(|_| body.is_empty())?;
            let fits = entry.index > found.commit && entry.index <= found.log.last_index() + 1;
            fits.then_some(())?;
            found.log.replace_from(entry);
            found.marked = false;
        }
        VOTE => {
            let term = body.u64_le().ok()?;
            let voted_for: NodeId = body.bytes(16).ok()?.try_into().ok()?;
            let voted_for = Some(voted_for).filter(|id| *id != NodeId::default());
            found.vote = Vote { term, voted_for };
            found.marked = false;
        }
        _ => {
            let commit = body.u64_le().ok()?;
            (body.u64_le().ok()? == offset as u64).then_some(())?;
            (commit <= found.log.last_index()).then_some(())?;
            found.commit = found.commit.max(commit);
            found.marked = true;
        }
    }
    Some(())
}

/// Whether a mark stands anywhere behind `start`.
fn is_marked_behind(bytes: &[u8], start: usize, salt: u32) -> bool {
    (start..bytes.len()).any(|at| {
        let Some(rest) = bytes.get(at..) else { return false };
        let mut reader = Reader::new(rest);
        if reader.u8() != Ok(MARK) {
            return false;
        }
        let Ok(commit) = reader.u64_le() else { return false };
        rest.starts_with(&mark(commit, at as u64, salt))
    })
}
