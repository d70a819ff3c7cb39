//! A file of hints for one target, byte by byte. All integers are little endian.
//!
//! ```text
//! header, 44 bytes:
//!    0  8 bytes  "HELHINTS"
//!    8  u16      format version: 1
//!   10  u16      0
//!   12  16 bytes host id of the target
//!   28  u64      sequence number of the file, as in its name
//!   36  u32      drawn at random
//!   40  u32      CRC-32 of all before; it is the salt of what follows
//! then, until the end, hints:
//!    0  u8       0xB1
//!    1  u32      bytes of the mutation
//!    5  u64      bytes of this file that had been synced when the hint was written
//!   13  i64      when the mutation was made, microseconds since the epoch
//!   21  u32      CRC-32 of the 21 bytes before, salted
//!   25  bytes    the mutation (docs/format/mutation.md)
//!       u32      CRC-32 of the mutation, salted
//! ```
//!
//! Bytes that are no hint are *damage* if a hint behind them says that they had been synced, and a
//! *torn tail* otherwise. A damaged mutation is left out by itself, as its head vouches for where it
//! ends; behind other damage the rest of the file is left out.
#![deny(clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use helenus_platform::checksum::{crc32, crc32_salted};
use helenus_platform::codec::{CodecError, Put, Reader};

use super::store::HostId;

pub(super) const MAGIC: &[u8; 8] = b"HELHINTS";
pub(super) const FORMAT_VERSION: u16 = 1;
pub(super) const HEADER_BYTES: usize = 44;
const HINT: u8 = 0xB1;
pub(super) const HINT_HEAD_BYTES: usize = 25;
/// Bytes that a hint takes beside its mutation.
pub(super) const HINT_OVERHEAD_BYTES: usize = HINT_HEAD_BYTES + 4;
/// No mutation is larger, see `helenus_storage::model::mutation::MAX_MUTATION_BYTES`.
pub(super) const MUTATION_BYTES_MAX: usize = helenus_storage::model::mutation::MAX_MUTATION_BYTES;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum HintFileError {
    /// The disk refused.
    #[error("hints: {what} {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The header is not what was written.
    #[error("hints: {path} is damaged at offset {offset}: {what}")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A file was written by a newer version of the program.
    #[error("hints: {path} has format version {found}, this program reads up to {known}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// Ours.
        known: u16,
    },
}

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) target: HostId,
    pub(super) sequence: u64,
    pub(super) drawn: u32,
}

impl Header {
    pub(super) fn encode(&self) -> (Vec<u8>, u32) {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.put_bytes(MAGIC);
        out.put_u16_le(FORMAT_VERSION);
        out.put_u16_le(0);
        out.put_bytes(&self.target.0);
        out.put_u64_le(self.sequence);
        out.put_u32_le(self.drawn);
        let salt = crc32(&out);
        out.put_u32_le(salt);
        (out, salt)
    }

    /// The header and the salt of what follows; `Ok(None)` of a file that ends inside of it.
    pub(super) fn decode(
        path: &Path,
        bytes: &[u8],
    ) -> Result<Option<(Header, u32)>, HintFileError> {
        let corrupt = |offset: usize, what| HintFileError::Corrupt {
            path: path.to_owned(),
            offset: offset as u64,
            what,
        };
        let broken = |error: CodecError| corrupt(error.offset, error.what);
        let Some(head) = bytes.get(..HEADER_BYTES) else { return Ok(None) };
        let mut reader = Reader::new(head);
        if reader.bytes(MAGIC.len()).map_err(broken)? != MAGIC {
            return Err(corrupt(0, "it does not begin as a file of hints"));
        }
        let version = reader.u16_le().map_err(broken)?;
        if version > FORMAT_VERSION {
            let (path, known) = (path.to_owned(), FORMAT_VERSION);
            return Err(HintFileError::Newer { path, found: version, known });
        }
        let zero = reader.u16_le().map_err(broken)?;
        let mut target = [0; 16];
        target.copy_from_slice(reader.bytes(16).map_err(broken)?);
        let sequence = reader.u64_le().map_err(broken)?;
        let drawn = reader.u32_le().map_err(broken)?;
        let vouched = crc32(head.get(..reader.position()).unwrap_or_default());
        let salt = reader.u32_le().map_err(broken)?;
        if salt != vouched || version != FORMAT_VERSION || zero != 0 {
            return Err(corrupt(8, "the header's checksum is wrong"));
        }
        Ok(Some((Header { target: HostId(target), sequence, drawn }, salt)))
    }
}

/// Appends a hint.
pub(super) fn put_hint(
    out: &mut Vec<u8>,
    salt: u32,
    synced: u64,
    created_micros: i64,
    mutation: &[u8],
) {
    let begin = out.len();
    out.put_u8(HINT);
    out.put_u32_le(u32::try_from(mutation.len()).unwrap_or(u32::MAX));
    out.put_u64_le(synced);
    out.put_u64_le(created_micros as u64);
    let crc = crc32_salted(salt, out.get(begin..).unwrap_or_default());
    out.put_u32_le(crc);
    out.put_bytes(mutation);
    out.put_u32_le(crc32_salted(salt, mutation));
}

/// The head of a hint whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HintHead {
    pub(super) length: usize,
    pub(super) synced: u64,
    pub(super) created_micros: i64,
}

impl HintHead {
    /// The head at the beginning of `bytes`; none if that is no head of a hint.
    pub(super) fn decode(bytes: &[u8], salt: u32) -> Option<HintHead> {
        let head = bytes.get(..HINT_HEAD_BYTES)?;
        let mut reader = Reader::new(head);
        if reader.u8().ok()? != HINT {
            return None;
        }
        let length = reader.u32_le().ok()? as usize;
        let (synced, created) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
        let vouched = crc32_salted(salt, head.get(..reader.position())?);
        let is_whole = reader.u32_le().ok()? == vouched && length <= MUTATION_BYTES_MAX;
        is_whole.then_some(HintHead { length, synced, created_micros: created as i64 })
    }
}

/// What stands at a place of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A hint, and where it ends.
    Hint { head: HintHead, mutation: &'a [u8], end: usize },
    /// A hint whose mutation is damaged, and where it ends.
    Damaged { end: usize },
    /// Nothing from here on can be read. Damage, or a torn tail.
    Lost { is_damage: bool },
    /// The end.
    End,
}

/// What stands at `offset` of a whole file's bytes.
pub(super) fn find(bytes: &[u8], offset: usize, salt: u32) -> Found<'_> {
    let rest = bytes.get(offset..).unwrap_or_default();
    if rest.is_empty() {
        return Found::End;
    }
    let lost = || Found::Lost { is_damage: was_synced(bytes, offset, salt) };
    let Some(head) = HintHead::decode(rest, salt) else { return lost() };
    let end = HINT_HEAD_BYTES + head.length;
    let Some(mutation) = rest.get(HINT_HEAD_BYTES..end) else { return lost() };
    let Some(crc) = rest.get(end..end + 4) else { return lost() };
    let end = offset + end + 4;
    if Reader::new(crc).u32_le() != Ok(crc32_salted(salt, mutation)) {
        return if was_synced(bytes, offset, salt) { Found::Damaged { end } } else { lost() };
    }
    Found::Hint { head, mutation, end }
}

/// Whether a hint behind `offset` says that what stands there had been synced.
fn was_synced(bytes: &[u8], offset: usize, salt: u32) -> bool {
    let rest = bytes.get(offset + 1..).unwrap_or_default();
    let heads = rest.iter().enumerate().filter(|(_, byte)| **byte == HINT);
    let mut heads =
        heads.filter_map(|(at, _)| HintHead::decode(rest.get(at..).unwrap_or_default(), salt));
    heads.any(|head| head.synced > offset as u64)
}
