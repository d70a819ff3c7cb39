//! The manifest's file: checksummed frames, appended and synced one by one.
//!
//! `manifest-NNNNNNNNNN` (the number in decimal):
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 8 | `HELMANIF` |
//! | 8 | 4 LE | version, 1 |
//! | 12 | 4 LE | salt of all checksums below, random |
//! | 16 | 8 LE | the file's number |
//! | 24 | 4 LE | crc32 of bytes 0 to 23 |
//! | 28 | | frames |
//!
//! A frame is `u32 LE` payload length, `u32 LE` crc32 (salted; over the frame's offset as u64 LE,
//! then the payload), payload. A payload is `u8` kind: 1, edits until its end (see `edit`), all
//! of which hold or none; or 2, a *confirmation*: `u64 LE`, everything below this offset is
//! durable.
//!
//! A confirmation is written, not synced, once the sync of the frame before it has returned. So a
//! frame that does not check was torn by a power cut, and ends the file, unless a confirmation
//! further on vouches for it: then it is damage, and is refused by name and offset.
//!
//! `CURRENT` is one line: file name, number of leading bytes of that file which were durable
//! before CURRENT was written, and the crc32 of the line up to there in hex:
//! `manifest-0000000007 4711 89abcdef\n`. Each opening of the directory, and each time that the
//! edits outgrow the snapshot, begins the next file with a snapshot and switches CURRENT to it.
//! It is replaced after each append too, so that a manifest which has lost its end is known for
//! one: its SSTables would otherwise look like leftovers, and be removed.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::checksum::{Crc32, crc32};
use helenus_platform::codec::{Put, Reader};
use helenus_platform::disk::{Disk, File};

use super::directory::{CURRENT, Directory, read_small, read_whole};
use super::edit::Edit;
use super::state::State;
use crate::error::{Error, ErrorKind, Result};

const MAGIC: &[u8; 8] = b"HELMANIF";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 28;
const FRAME_HEADER_BYTES: usize = 8;
const KIND_EDITS: u8 = 1;
const KIND_CONFIRMATION: u8 = 2;
/// No manifest comes near this; a longer file is not read into memory.
const FILE_BYTES_MAX: u64 = 1 << 30;
const NAME_PREFIX: &str = "manifest-";

/// Why edits were not appended.
#[derive(Debug)]
pub(super) enum Append {
    /// They certainly do not hold; others may be tried.
    Refused(Error),
    /// Nobody knows whether they hold.
    Failed(Error),
}

/// A manifest file open for appending.
pub(super) struct ManifestFile {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    file: Arc<dyn File>,
    salt: u32,
    /// Where the next frame goes.
    end: u64,
    /// Where the snapshot at the file's beginning ends.
    snapshot_end: u64,
}

impl ManifestFile {
    /// Writes `state` as file `number` and puts it in force.
    pub(super) fn begin(
        directory: &Directory,
        number: u64,
        salt: u32,
        state: &State,
    ) -> Result<ManifestFile> {
        let name = file_name(number);
        let path = directory.path.join(&name);
        let io = |error| Error::io("beginning a manifest", &path, error);
        if directory.exists(&path)? {
            // CURRENT names another file, so this one never came into force.
            directory.disk.remove(&path).map_err(io)?;
        }
        let file = directory.disk.create(&path).map_err(io)?;
        let mut bytes = header(number, salt);
        put_frame(&mut bytes, salt, 0, |out| put_edits(out, &state.snapshot()));
        file.write_all_at(0, &bytes).and_then(|()| file.sync_data()).map_err(io)?;
        directory.disk.sync_dir(&directory.path).map_err(io)?;
        let end = bytes.len() as u64;
        put_in_force(directory, number, end)?;
        Ok(ManifestFile { path, number, file, salt, end, snapshot_end: end })
    }

    /// Appends edits as one frame; when this returns they are durable.
    pub(super) fn append(&mut self, directory: &Directory, edits: &[Edit]) -> Result<(), Append> {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, self.salt, self.end, |out| put_edits(out, edits));
        let io = |error| Error::io("appending to the manifest", &self.path, error);
        if let Err(error) = self.file.write_all_at(self.end, &bytes) {
            // What was written of the frame does not check, and the next one overwrites it.
            return Err(match self.file.set_len(self.end) {
                Ok(()) => Append::Refused(io(error)),
                Err(_) => Append::Failed(io(error)),
            });
        }
        self.file.sync_data().map_err(|error| Append::Failed(io(error)))?;
        self.end += bytes.len() as u64;
        self.confirm(directory);
        Ok(())
    }

    /// Vouches for all that is below `end`, behind it and in CURRENT. Best effort: nothing is lost
    /// without it, only the means to tell a damaged or missing last frame from a torn one.
    fn confirm(&mut self, directory: &Directory) {
        // A full disk has no room for it; what CURRENT said before still holds.
        let _ = put_in_force(directory, self.number, self.end);
        let mut bytes = Vec::new();
        put_frame(&mut bytes, self.salt, self.end, |out| {
            out.put_u8(KIND_CONFIRMATION);
            out.put_u64_le(self.end);
        });
        if self.file.write_all_at(self.end, &bytes).is_ok() {
            self.end += bytes.len() as u64;
        }
    }

    /// Whether the edits have outgrown the snapshot.
    pub(super) fn is_long(&self) -> bool {
        self.end > self.snapshot_end * 2 + (1 << 20)
    }
}

/// Reads what the manifest in force says, and its number.
pub(super) fn read_current(directory: &Directory) -> Result<(u64, State)> {
    let disk = directory.disk.as_ref();
    let path = directory.path.join(CURRENT);
    let (name, durable) = current(disk, &path)?;
    let number = parse_name(&name)
        .ok_or_else(|| Error::corrupt("CURRENT names no manifest").at_file(&path, None))?;
    let path = directory.path.join(&name);
    let bytes = read_file(disk, &path)?;
    let mut parse = Parse::new(&path, &bytes);
    parse.header(Some(number))?;
    parse.frames(durable)?;
    Ok((number, parse.state))
}

/// Makes CURRENT say that this manifest is in force, and that its first bytes are durable.
fn put_in_force(directory: &Directory, number: u64, durable: u64) -> Result<()> {
    let line = format!("{} {durable}", file_name(number));
    let current = format!("{line} {:08x}\n", crc32(line.as_bytes()));
    directory.replace(CURRENT, current.as_bytes())
}

/// What the file CURRENT at `path` says: the name of the manifest in force, and how many of its
/// bytes must be there.
pub(super) fn current(disk: &dyn Disk, path: &Path) -> Result<(String, u64)> {
    parse_current(&read_small(disk, path)?)
        .ok_or_else(|| Error::corrupt("CURRENT does not check").at_file(path, None))
}

/// The whole of a manifest file.
pub(super) fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    let file = disk.open(path).map_err(|e| Error::io("opening the manifest", path, e))?;
    read_whole(file.as_ref(), path, FILE_BYTES_MAX)
}

pub(super) fn file_name(number: u64) -> String {
    format!("{NAME_PREFIX}{number:010}")
}

/// The number in a manifest's file name.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(NAME_PREFIX)?;
    let number = digits.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

fn parse_current(bytes: &[u8]) -> Option<(String, u64)> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (line, crc) = text.rsplit_once(' ')?;
    if crc != format!("{:08x}", crc32(line.as_bytes())) {
        return None;
    }
    let (name, end) = line.split_once(' ')?;
    Some((name.to_owned(), end.parse().ok()?))
}

pub(super) fn header(number: u64, salt: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.put_bytes(MAGIC);
    out.put_u32_le(VERSION);
    out.put_u32_le(salt);
    out.put_u64_le(number);
    let crc = crc32(&out);
    out.put_u32_le(crc);
    out
}

fn put_edits(out: &mut Vec<u8>, edits: &[Edit]) {
    out.put_u8(KIND_EDITS);
    edits.iter().for_each(|edit| edit.encode(out));
}

/// Appends a frame to `out`, whose first byte stands at `base` in the file.
fn put_frame(out: &mut Vec<u8>, salt: u32, base: u64, payload: impl FnOnce(&mut Vec<u8>)) {
    let offset = base + out.len() as u64;
    let mut body = Vec::new();
    payload(&mut body);
    out.put_u32_le(body.len() as u32);
    out.put_u32_le(frame_crc(salt, offset, &body));
    out.put_bytes(&body);
}

fn frame_crc(salt: u32, offset: u64, payload: &[u8]) -> u32 {
    let mut crc = Crc32::salted(salt);
    crc.update(&offset.to_le_bytes());
    crc.update(payload);
    crc.finish()
}

/// A manifest's bytes being read.
pub(super) struct Parse<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    salt: u32,
    pub(super) state: State,
}

/// What a frame says.
pub(super) enum Content {
    Edits(Vec<Edit>),
    /// Everything below this offset is durable.
    Confirmation(u64),
}

impl<'a> Parse<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Parse<'a> {
        Parse { path, bytes, salt: 0, state: State::default() }
    }

    pub(super) fn first_frame() -> usize {
        HEADER_BYTES
    }

    /// Checks the header; gives the file's number, which must be `expected` if that is known, and
    /// its salt.
    pub(super) fn header(&mut self, expected: Option<u64>) -> Result<(u64, u32)> {
        let mut reader = Reader::new(self.bytes);
        let placed = |error: Error| error.at_file(self.path, Some(0));
        let fields = (|| {
            let magic = reader.bytes(MAGIC.len())?;
            let version = reader.u32_le()?;
            let salt = reader.u32_le()?;
            let number = reader.u64_le()?;
            let checked = self.bytes.get(..reader.position()).unwrap_or_default();
            Ok::<_, Error>((magic, version, salt, number, reader.u32_le()? == crc32(checked)))
        })();
        let (magic, version, salt, number, checks) = fields.map_err(placed)?;
        if magic != MAGIC || !checks || expected.is_some_and(|expected| expected != number) {
            return Err(placed(Error::corrupt("the manifest's header does not check")));
        }
        if version > VERSION {
            let what = format!(
                "the manifest has version {version}; this program reads versions up to {VERSION}"
            );
            return Err(placed(Error::new(ErrorKind::Newer, what)));
        }
        self.salt = salt;
        Ok((number, salt))
    }

    /// Applies every frame up to the end or to a torn tail; both must lie behind what is durable.
    fn frames(&mut self, durable: u64) -> Result<()> {
        let mut offset = HEADER_BYTES;
        while offset < self.bytes.len() {
            let Some((content, next)) = self.content(offset)? else {
                return self.check_torn(offset, durable);
            };
            if let Content::Edits(edits) = content {
                edits.iter().try_for_each(|edit| self.apply(offset, edit))?;
            }
            offset = next;
        }
        if (offset as u64) < durable {
            return Err(self.damage(offset, "the manifest ends early: a part of it is missing"));
        }
        Ok(())
    }

    /// What the frame at `offset` says and where the next one begins; none if it does not check.
    pub(super) fn content(&self, offset: usize) -> Result<Option<(Content, usize)>> {
        let Some(payload) = self.frame(offset) else { return Ok(None) };
        let damage = |what| self.damage(offset, what);
        let mut reader = Reader::new(payload);
        let content = match reader.u8().ok() {
            Some(KIND_CONFIRMATION) => {
                Content::Confirmation(reader.u64_le().map_err(|error| damage(error.what))?)
            }
            Some(KIND_EDITS) => {
                let mut edits = Vec::new();
                while !reader.is_empty() {
                    edits.push(Edit::decode(&mut reader).map_err(|error| damage(error.what))?);
                }
                Content::Edits(edits)
            }
            _ => return Err(damage("an unknown kind of manifest frame")),
        };
        Ok(Some((content, offset + FRAME_HEADER_BYTES + payload.len())))
    }

    /// Applies an edit that stands in the frame at `offset`.
    pub(super) fn apply(&mut self, offset: usize, edit: &Edit) -> Result<()> {
        let applied = self.state.apply(edit);
        applied.map_err(|what| self.damage(offset, what))
    }

    /// The payload of the frame at `offset`, if there is one and it checks.
    fn frame(&self, offset: usize) -> Option<&'a [u8]> {
        let mut reader = Reader::new(self.bytes.get(offset..)?);
        let len = reader.u32_le().ok()? as usize;
        let crc = reader.u32_le().ok()?;
        let payload = reader.bytes(len).ok()?;
        (frame_crc(self.salt, offset as u64, payload) == crc).then_some(payload)
    }

    /// The frame at `offset` does not check: fine if nothing vouches for it.
    pub(super) fn check_torn(&self, offset: usize, durable: u64) -> Result<()> {
        let later = (offset + 1..self.bytes.len()).filter_map(|at| self.confirmation(at));
        let durable = later.max().unwrap_or(0).max(durable);
        if (offset as u64) < durable {
            return Err(self.damage(offset, "the manifest is damaged"));
        }
        Ok(())
    }

    fn confirmation(&self, offset: usize) -> Option<u64> {
        let kind = self.bytes.get(offset + FRAME_HEADER_BYTES)?;
        if *kind != KIND_CONFIRMATION {
            return None;
        }
        match self.content(offset).ok()?? {
            (Content::Confirmation(end), _) => Some(end),
            (Content::Edits(_), _) => None,
        }
    }

    fn damage(&self, offset: usize, what: &'static str) -> Error {
        Error::corrupt(what).at_file(self.path, Some(offset as u64))
    }
}
