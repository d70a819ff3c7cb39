//! The metadata log: one ordered history of every change to the schema.
//!
//! It lives outside the engine, in files of its own, so that a node knows its tables before it
//! opens them. Entries carry results (whole definitions with their assigned ids), never CQL, so
//! that two versions of the program that read the same log have the same schema. One member
//! commits by syncing; a group of members will carry the same entries by consensus.
//!
//! # Files
//!
//! A directory holds at most one `snapshot-V` and one `log-V`, where `V` is the version, in 16
//! hexadecimal digits, that the log's first entry follows. All integers are little endian unless
//! they are varints.
//!
//! ```text
//! both begin with   "HMLG" or "HMSN" | u16 format version (1) | u16 0 | 16 bytes cluster id |
//!                   u64 V | u32 CRC-32 of all before
//! snapshot then     u64 length | state | u32 CRC-32 of length and state, salted
//! log then, each    entry   0xE1 | u32 length | u64 version | i64 wall clock, microseconds |
//!                           payload | u32 CRC-32 of all before, salted
//!                   commit  0xC1 | u64 version | u32 CRC-32 of all before, salted
//! ```
//!
//! The salt is the CRC-32 of the cluster id, so a file of another cluster is not taken for ours.
//!
//! # Commit
//!
//! An entry is written and synced, then its commit mark is written and synced, then it is applied
//! and answered. The mark tells a torn entry (no mark: nobody was promised it, it is dropped) from
//! a damaged one (a mark: refused as corrupt, by file and offset). Files appear by rename, whole.
#![deny(clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::checksum::crc32_salted;
use helenus_platform::clock::Clock;
use helenus_platform::codec::{CodecError, Put, Reader};
use helenus_platform::disk::{Disk, File};

const FORMAT_VERSION: u16 = 1;
const LOG_MAGIC: &[u8; 4] = b"HMLG";
const SNAPSHOT_MAGIC: &[u8; 4] = b"HMSN";
const ENTRY: u8 = 0xE1;
const COMMIT: u8 = 0xC1;
const HEADER_BYTES: usize = 4 + 2 + 2 + 16 + 8 + 4;
/// The most that one change of the schema may take, and far more than any real one.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;
/// A file larger than this is not read: it is not a metadata log.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// The log is replaced by a snapshot when it has grown past this.
const LOG_BYTES_BEFORE_SNAPSHOT: u64 = 1 << 20;

/// Why the metadata log could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MetadataLogError {
    /// The disk failed.
    #[error("metadata log: {what} {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("metadata log: {path} is damaged at offset {offset}: {what}")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A file was written by a newer version of the program.
    #[error("metadata log: {path} has format version {found}, this program reads up to {known}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// Ours.
        known: u16,
    },
    /// The log ends before a change that was committed.
    #[error(
        "metadata log: {path} ends with version {found}, but version {committed} was committed: \
         its end is lost; restore the file from a backup"
    )]
    EndLost {
        /// Which file.
        path: PathBuf,
        /// Its last version.
        found: u64,
        /// The version that must be there.
        committed: u64,
    },
    /// An entry was larger than [`ENTRY_BYTES_MAX`].
    #[error("metadata log: a change of {bytes} bytes is larger than the {max} that one may have")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// An earlier write or sync failed: what is on disk is no longer known.
    #[error("metadata log: refuses changes after a failed write; restart the node")]
    Failed,
}

type Result<T> = std::result::Result<T, MetadataLogError>;

/// What was on disk when the log was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The state of the newest snapshot, if there is one.
    pub snapshot: Option<Vec<u8>>,
    /// The payloads committed since, oldest first.
    pub entries: Vec<Vec<u8>>,
}

/// The open log. Appending blocks on the disk: call it from a worker that may.
pub struct MetadataLog {
    // Fixed after open.
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    cluster_id: [u8; 16],
    salt: u32,
    // Changed by appending, which takes `&mut self`.
    base: u64,
    version: u64,
    file: Arc<dyn File>,
    path: PathBuf,
    end: u64,
    failed: bool,
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> MetadataLogError {
    let path = path.to_path_buf();
    move |source| MetadataLogError::Io { what, path, source }
}

fn log_name(base: u64) -> String {
    format!("log-{base:016x}")
}

fn snapshot_name(base: u64) -> String {
    format!("snapshot-{base:016x}")
}

fn base_of(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

impl MetadataLog {
    /// Founds an empty log in `dir`, which must exist.
    ///
    /// # Errors
    /// Those of the disk; a log that is there already is refused.
    pub fn create(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        cluster_id: [u8; 16],
    ) -> Result<Self> {
        let salt = salt_of(&cluster_id);
        let (file, path) = create_log(disk.as_ref(), dir, &cluster_id, 0)?;
        let dir = dir.to_path_buf();
        let end = HEADER_BYTES as u64;
        let (base, version, failed) = (0, 0, false);
        Ok(Self { disk, clock, dir, cluster_id, salt, base, version, file, path, end, failed })
    }

    /// Founds a log in `dir`, which must exist and be empty, that begins at `version` with `state`.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_at(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        cluster_id: [u8; 16],
        version: u64,
        state: &[u8],
    ) -> Result<()> {
        let mut log = Self::create(disk, clock, dir, cluster_id)?;
        log.version = version;
        log.snapshot(state)
    }

    /// Opens the log that [`Self::create`] founded in `dir`, in which the change `committed` and
    /// all before it must be.
    ///
    /// # Errors
    /// [`MetadataLogError::Corrupt`], [`MetadataLogError::EndLost`] and
    /// [`MetadataLogError::Newer`] name the file.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        cluster_id: [u8; 16],
        committed: u64,
    ) -> Result<(Self, Recovered)> {
        let names = names_in(disk.as_ref(), dir)?;
        let snapshot = names.iter().filter_map(|name| base_of(name, "snapshot-")).max();
        let base = snapshot.unwrap_or(0);
        let salt = salt_of(&cluster_id);
        let path = dir.join(log_name(base));
        if !disk.exists(&path).map_err(io("looking for", &path))? {
            let what = "it is missing, and with it the schema";
            // Beside a log that goes on from a snapshot, it is the snapshot that is missing.
            let continued = names.iter().filter_map(|name| base_of(name, "log-")).max();
            let missing = continued.filter(|_| snapshot.is_none());
            let path = missing.map_or(path, |base| dir.join(snapshot_name(base)));
            return Err(MetadataLogError::Corrupt { path, offset: 0, what });
        }
        let mut recovered = Recovered::default();
        if snapshot.is_some() {
            let path = dir.join(snapshot_name(base));
            recovered.snapshot = Some(read_snapshot(disk.as_ref(), &path, &cluster_id, base)?);
        }
        let bytes = read_file(disk.as_ref(), &path)?;
        let scan = Scan { path: &path, salt, base };
        let found = scan.entries(&bytes, &cluster_id, &mut recovered.entries)?;
        let version = base + recovered.entries.len() as u64;
        if version < committed {
            return Err(MetadataLogError::EndLost { path, found: version, committed });
        }
        let file = disk.open_write(&path).map_err(io("opening", &path))?;
        file.set_len(found.end).map_err(io("cutting the torn end of", &path))?;
        let (dir, end, failed) = (dir.to_path_buf(), found.end, false);
        let mut log =
            Self { disk, clock, dir, cluster_id, salt, base, version, file, path, end, failed };
        if !found.marked {
            log.write(&commit_mark(version, salt))?;
        }
        log.remove_others(&names)?;
        Ok((log, recovered))
    }

    /// The files of the log: that of the changes since the last snapshot, and that snapshot's.
    #[must_use]
    pub fn paths(&self) -> (PathBuf, PathBuf) {
        (self.path.clone(), self.dir.join(snapshot_name(self.base)))
    }

    /// How many changes have been committed since the cluster was founded.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether the log has grown so much that [`Self::snapshot`] should be called.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        self.end > LOG_BYTES_BEFORE_SNAPSHOT
    }

    /// Refuses every later change, as after a failed write.
    pub fn refuse_changes(&mut self) {
        self.failed = true;
    }

    /// Commits one change: when this returns, it is durable and has the version returned.
    ///
    /// # Errors
    /// After a failed write or sync, every later call is refused.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64> {
        if self.failed {
            return Err(MetadataLogError::Failed);
        }
        if payload.len() > ENTRY_BYTES_MAX {
            let bytes = payload.len();
            return Err(MetadataLogError::TooLarge { bytes, max: ENTRY_BYTES_MAX });
        }
        let version = self.version + 1;
        let mut entry = vec![ENTRY];
        entry.put_u32_le(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        entry.put_u64_le(version);
        entry.put_i64_le(self.clock.wall_micros());
        entry.put_bytes(payload);
        seal(&mut entry, self.salt);
        for bytes in [entry, commit_mark(version, self.salt)] {
            if let Err(error) = self.write(&bytes) {
                self.failed = true;
                return Err(error);
            }
        }
        self.version = version;
        Ok(version)
    }

    /// Replaces everything before now by `state`, which must be what the entries so far lead to.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn snapshot(&mut self, state: &[u8]) -> Result<()> {
        if self.failed {
            return Err(MetadataLogError::Failed);
        }
        let base = self.version;
        let mut body = Vec::with_capacity(state.len() + 12);
        body.put_u64_le(state.len() as u64);
        body.put_bytes(state);
        seal(&mut body, self.salt);
        let mut bytes = header(SNAPSHOT_MAGIC, &self.cluster_id, base);
        bytes.extend_from_slice(&body);

        // The log first: an open that finds the snapshot must find what continues it.
        let (file, log_path) = create_log(self.disk.as_ref(), &self.dir, &self.cluster_id, base)?;
        publish(self.disk.as_ref(), &self.dir, &snapshot_name(base), &bytes)?;
        (self.file, self.path) = (file, log_path);
        (self.base, self.end) = (base, HEADER_BYTES as u64);
        self.remove_others(&names_in(self.disk.as_ref(), &self.dir)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(self.end, bytes).map_err(io("writing", &self.path))?;
        self.file.sync_data().map_err(io("syncing", &self.path))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Removes what a snapshot has replaced, and what an interrupted one left.
    fn remove_others(&self, names: &[String]) -> Result<()> {
        for name in names {
            let base = base_of(name, "log-").or_else(|| base_of(name, "snapshot-"));
            if name.ends_with(".tmp") || base.is_some_and(|base| base != self.base) {
                let path = self.dir.join(name);
                self.disk.remove(&path).map_err(io("removing", &path))?;
            }
        }
        Ok(())
    }
}

fn salt_of(cluster_id: &[u8; 16]) -> u32 {
    crc32_salted(0, cluster_id)
}

fn names_in(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>> {
    let entries = disk.list(dir).map_err(io("listing", dir))?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

/// Makes a whole file appear under its name at once.
fn publish(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    let temporary = dir.join(format!("{name}.tmp"));
    for old in [&temporary, &path] {
        if disk.exists(old).map_err(io("looking for", old))? {
            disk.remove(old).map_err(io("removing", old))?;
        }
    }
    let file = disk.create(&temporary).map_err(io("creating", &temporary))?;
    file.write_all_at(0, bytes).map_err(io("writing", &temporary))?;
    file.sync_data().map_err(io("syncing", &temporary))?;
    disk.rename(&temporary, &path).map_err(io("renaming to", &path))?;
    disk.sync_dir(dir).map_err(io("syncing", dir))
}

fn create_log(
    disk: &dyn Disk,
    dir: &Path,
    cluster_id: &[u8; 16],
    base: u64,
) -> Result<(Arc<dyn File>, PathBuf)> {
    let path = dir.join(log_name(base));
    publish(disk, dir, &log_name(base), &header(LOG_MAGIC, cluster_id, base))?;
    Ok((disk.open_write(&path).map_err(io("opening", &path))?, path))
}

fn commit_mark(version: u64, salt: u32) -> Vec<u8> {
    let mut mark = vec![COMMIT];
    mark.put_u64_le(version);
    seal(&mut mark, salt);
    mark
}

fn header(magic: &[u8; 4], cluster_id: &[u8; 16], base: u64) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.put_u16_le(FORMAT_VERSION);
    bytes.put_u16_le(0);
    bytes.put_bytes(cluster_id);
    bytes.put_u64_le(base);
    seal(&mut bytes, 0);
    bytes
}

fn seal(bytes: &mut Vec<u8>, salt: u32) {
    let sum = crc32_salted(salt, bytes);
    bytes.put_u32_le(sum);
}

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    let file = disk.open(path).map_err(io("opening", path))?;
    let len = file.len().map_err(io("measuring", path))?;
    if len > FILE_BYTES_MAX {
        let what = "it is larger than any metadata log";
        return Err(MetadataLogError::Corrupt { path: path.to_path_buf(), offset: len, what });
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_exact_at(0, &mut bytes).map_err(io("reading", path))?;
    Ok(bytes)
}

/// Where the log goes on, and whether the last change in it has its commit mark.
struct FoundEnd {
    end: u64,
    marked: bool,
}

/// One pass over the bytes of a file whose header says that they continue version `base`.
struct Scan<'a> {
    path: &'a Path,
    salt: u32,
    base: u64,
}

impl Scan<'_> {
    fn corrupt(&self, offset: usize, what: &'static str) -> MetadataLogError {
        MetadataLogError::Corrupt { path: self.path.to_path_buf(), offset: offset as u64, what }
    }

    fn header(&self, reader: &mut Reader<'_>, magic: &[u8; 4], cluster: &[u8; 16]) -> Result<()> {
        let short = |_: CodecError| self.corrupt(0, "its header is cut short");
        let mut whole = reader.clone();
        if reader.bytes(4).map_err(short)? != magic {
            return Err(self.corrupt(0, "it does not begin as a metadata log does"));
        }
        let found = reader.u16_le().map_err(short)?;
        let bytes = whole.bytes(HEADER_BYTES - 4).map_err(short)?;
        let sum = whole.u32_le().map_err(short)?;
        if crc32_salted(0, bytes) != sum {
            return Err(self.corrupt(0, "the checksum of its header is wrong"));
        }
        if found > FORMAT_VERSION {
            let path = self.path.to_path_buf();
            return Err(MetadataLogError::Newer { path, found, known: FORMAT_VERSION });
        }
        reader.skip(2).map_err(short)?;
        if reader.bytes(16).map_err(short)? != cluster {
            return Err(self.corrupt(8, "it belongs to another cluster"));
        }
        if reader.u64_le().map_err(short)? != self.base {
            return Err(self.corrupt(24, "its name and its header disagree on its version"));
        }
        reader.skip(4).map_err(short)
    }

    /// Collects the entries that count; answers where the file should end.
    ///
    /// The last entry counts when it is whole, marked or not: nobody was promised that it would
    /// not. Before it, everything must be as it was written.
    fn entries(
        &self,
        bytes: &[u8],
        cluster: &[u8; 16],
        out: &mut Vec<Vec<u8>>,
    ) -> Result<FoundEnd> {
        let mut reader = Reader::new(bytes);
        self.header(&mut reader, LOG_MAGIC, cluster)?;
        let mut end = reader.position();
        while !reader.is_empty() {
            let version = self.base + out.len() as u64 + 1;
            let start = reader.position();
            let Some(payload) = self.entry(&mut reader, version) else {
                if self.commit_mark_after(bytes, start, version) {
                    return Err(self.corrupt(start, "a committed change is damaged"));
                }
                break;
            };
            out.push(payload);
            end = reader.position();
            let mark = commit_mark(version, self.salt);
            if !reader.bytes(mark.len()).is_ok_and(|bytes| bytes == mark) {
                if self.commit_mark_after(bytes, end, version + 1) {
                    return Err(self.corrupt(end, "the mark of a committed change is damaged"));
                }
                return Ok(FoundEnd { end: end as u64, marked: false });
            }
            end = reader.position();
        }
        Ok(FoundEnd { end: end as u64, marked: true })
    }

    fn entry(&self, reader: &mut Reader<'_>, version: u64) -> Option<Vec<u8>> {
        let mut sealed = reader.clone();
        (reader.u8().ok()? == ENTRY).then_some(())?;
        let length = usize::try_from(reader.u32_le().ok()?).ok()?;
        (reader.u64_le().ok()? == version && length <= ENTRY_BYTES_MAX).then_some(())?;
        reader.skip(8).ok()?;
        let payload = reader.bytes(length).ok()?;
        let body = sealed.bytes(1 + 4 + 8 + 8 + length).ok()?;
        let sum = crc32_salted(self.salt, body);
        (sum == reader.u32_le().ok()?).then(|| payload.to_vec())
    }

    /// Whether a commit mark of `version` or a later one stands anywhere behind `start`.
    fn commit_mark_after(&self, bytes: &[u8], start: usize, version: u64) -> bool {
        (start..bytes.len()).any(|at| {
            let Some(rest) = bytes.get(at..) else { return false };
            let mut reader = Reader::new(rest);
            if reader.u8() != Ok(COMMIT) {
                return false;
            }
            let Ok(found) = reader.u64_le() else { return false };
            found >= version && rest.starts_with(&commit_mark(found, self.salt))
        })
    }
}

/// What one file of a metadata log holds.
#[derive(Debug)]
pub struct Contents {
    /// The cluster it belongs to.
    pub cluster_id: [u8; 16],
    /// The version that it begins with.
    pub base: u64,
    /// The state, if it is a snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// The changes, if it is a log.
    pub entries: Vec<Vec<u8>>,
}

/// Reads one file of a metadata log, whichever it is, without changing it.
///
/// # Errors
/// As [`MetadataLog::open`].
pub fn read(disk: &dyn Disk, path: &Path) -> Result<Contents> {
    let bytes = read_file(disk, path)?;
    let cut = |_| {
        let what = "its header is cut short";
        MetadataLogError::Corrupt { path: path.to_path_buf(), offset: 0, what }
    };
    let mut reader = Reader::new(&bytes);
    let is_snapshot = reader.bytes(4).map_err(cut)? == SNAPSHOT_MAGIC;
    reader.skip(4).map_err(cut)?;
    let cluster_id = reader.bytes(16).map_err(cut)?.try_into().unwrap_or([0; 16]);
    let base = reader.u64_le().map_err(cut)?;
    let mut contents = Contents { cluster_id, base, snapshot: None, entries: Vec::new() };
    if is_snapshot {
        contents.snapshot = Some(read_snapshot(disk, path, &cluster_id, base)?);
    } else {
        let scan = Scan { path, salt: salt_of(&cluster_id), base };
        scan.entries(&bytes, &cluster_id, &mut contents.entries)?;
    }
    Ok(contents)
}

fn read_snapshot(disk: &dyn Disk, path: &Path, cluster: &[u8; 16], base: u64) -> Result<Vec<u8>> {
    let salt = salt_of(cluster);
    let bytes = read_file(disk, path)?;
    let scan = Scan { path, salt, base };
    let mut reader = Reader::new(&bytes);
    scan.header(&mut reader, SNAPSHOT_MAGIC, cluster)?;
    let start = reader.position();
    let cut = |_: CodecError| scan.corrupt(start, "it is cut short");
    let mut sealed = reader.clone();
    let length = usize::try_from(reader.u64_le().map_err(cut)?)
        .map_err(|_| scan.corrupt(start, "its length is impossible"))?;
    let state = reader.bytes(length).map_err(cut)?;
    let body = sealed.bytes(8 + length).map_err(cut)?;
    if crc32_salted(salt, body) != reader.u32_le().map_err(cut)? {
        return Err(scan.corrupt(start, "the checksum of its state is wrong"));
    }
    if !reader.is_empty() {
        return Err(scan.corrupt(reader.position(), "bytes follow its end"));
    }
    Ok(state.to_vec())
}

#[cfg(test)]
mod tests;
