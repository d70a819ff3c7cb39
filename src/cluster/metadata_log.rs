//! The metadata log on disk: one ordered history of every change to the schema and to the members,
//! with what a member of a group must not forget of its votes.
//!
//! It lives outside the engine, in files of its own, so that a node knows its tables before it
//! opens them. The bytes are laid out in `metadata_log/format.rs`.
//!
//! # Saving
//!
//! What a member has to save is written in one piece and synced, then a mark is written and synced
//! behind it, and only then it is acted on and answered. The mark tells a torn record (nobody was
//! promised it, it is dropped) from a damaged one (refused as corrupt, by file and offset). It
//! also says how far entries are committed: for the only voter, all of them. Files appear by
//! rename, whole.
#![deny(clippy::indexing_slicing)]

mod format;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use helenus_platform::codec::Reader;
use helenus_platform::disk::{Disk, File};

use self::format::{
    Found, LOG_MAGIC, SNAPSHOT_MAGIC, Scan, header, mark, put_entry, put_vote, salt_of,
    snapshot_file,
};
use super::raft::{Config, Entry, Log, Snapshot, Vote};

pub use super::raft::ENTRY_BYTES_MAX;

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
    /// A file was written by a version of the program that writes another format.
    #[error(
        "metadata log: {path} has format version {found}, this program reads {known}: use the \
         program that wrote it"
    )]
    Version {
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
#[derive(Debug)]
pub struct Recovered {
    /// The newest snapshot, if there is one.
    pub snapshot: Option<Snapshot>,
    /// The entries since.
    pub log: Log,
    /// The newest vote.
    pub vote: Vote,
    /// How far entries are known to be committed.
    pub commit: u64,
}

/// The open log. Saving blocks on the disk: call it from a worker that may.
pub struct MetadataLog {
    // Fixed after open.
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    cluster_id: [u8; 16],
    salt: u32,
    // Changed by saving, which takes `&mut self`.
    base: u64,
    file: Arc<dyn File>,
    path: PathBuf,
    end: u64,
    failed: bool,
    /// Lets a test plant the fault of answering before what was promised is durable.
    #[cfg(test)]
    pub(crate) skips_sync: bool,
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

fn base_of(name: &str, kind: &str) -> Option<u64> {
    let digits = name.strip_prefix(kind)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

impl MetadataLog {
    /// Makes the log of a directory that has none: after a snapshot, if one is given, with these
    /// entries, all of them committed.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn create(
        disk: &dyn Disk,
        dir: &Path,
        cluster_id: [u8; 16],
        snapshot: Option<&Snapshot>,
        vote: &Vote,
        entries: &[Entry],
    ) -> Result<()> {
        let base = snapshot.map_or((0, 0), |snapshot| (snapshot.index, snapshot.term));
        let commit = entries.last().map_or(base.0, |entry| entry.index);
        let bytes = log_file(&cluster_id, base, vote, entries, commit);
        publish(disk, dir, &log_name(base.0), &bytes)?;
        match snapshot {
            Some(snapshot) => {
                let bytes = snapshot_file(snapshot, &cluster_id);
                publish(disk, dir, &snapshot_name(base.0), &bytes)
            }
            None => Ok(()),
        }
    }

    /// Opens the log in `dir`, in which entry `committed` must be.
    ///
    /// # Errors
    /// Damaged files, those of other versions and those of another cluster are named and left as
    /// they are.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        cluster_id: [u8; 16],
        committed: u64,
    ) -> Result<(Self, Recovered)> {
        let names = names_in(disk.as_ref(), dir)?;
        let newest = names.iter().filter_map(|name| base_of(name, "snapshot-")).max();
        let base = newest.unwrap_or(0);
        let path = dir.join(log_name(base));
        if !disk.exists(&path).map_err(io("looking for", &path))? {
            let what = "it is missing, and with it the schema";
            // Beside a log that goes on from a snapshot, it is the snapshot that is missing.
            let continued = names.iter().filter_map(|name| base_of(name, "log-")).max();
            let missing = continued.filter(|_| newest.is_none());
            let path = missing.map_or(path, |base| dir.join(snapshot_name(base)));
            return Err(MetadataLogError::Corrupt { path, offset: 0, what });
        }
        let snapshot = match newest {
            Some(_) => Some(read_snapshot(disk.as_ref(), dir, &cluster_id, base)?),
            None => None,
        };
        let bytes = read_file(disk.as_ref(), &path)?;
        let config = snapshot.as_ref().map_or_else(Arc::default, |found| found.config.clone());
        let scan = Scan { path: &path, cluster_id: &cluster_id, index: base };
        let Found { log: entries, vote, commit, end, marked } = scan.log(&bytes, config)?;
        let found = entries.last_index();
        if found < committed {
            return Err(MetadataLogError::EndLost { path, found, committed });
        }
        let commit = commit.max(committed);
        let file = disk.open_write(&path).map_err(io("opening", &path))?;
        file.set_len(end).map_err(io("cutting the torn end of", &path))?;
        let mut log = Self {
            disk,
            dir: dir.to_path_buf(),
            cluster_id,
            salt: salt_of(&cluster_id),
            base,
            file,
            path,
            end,
            failed: false,
            #[cfg(test)]
            skips_sync: super::metadata::planted() == super::metadata::Plant::SkipSync,
        };
        if !marked {
            log.mark(commit)?;
        }
        log.remove_others(&names)?;
        Ok((log, Recovered { snapshot, log: entries, vote, commit }))
    }

    /// The files of the log: that of the changes since the last snapshot, and that snapshot's.
    #[must_use]
    pub fn paths(&self) -> (PathBuf, PathBuf) {
        (self.path.clone(), self.dir.join(snapshot_name(self.base)))
    }

    /// Whether the log has grown so much that [`Self::replace`] should be called.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        self.end > LOG_BYTES_BEFORE_SNAPSHOT
    }

    /// Writes a vote and entries: when this returns, they are durable. [`Self::mark`] comes next.
    ///
    /// # Errors
    /// After a failed write or sync, every later call is refused.
    pub fn save(&mut self, vote: Option<&Vote>, entries: &[Entry]) -> Result<()> {
        let mut bytes = Vec::new();
        if let Some(vote) = vote {
            put_vote(&mut bytes, vote, self.salt);
        }
        for entry in entries {
            let length = entry.payload.len();
            if length > ENTRY_BYTES_MAX {
                let max = ENTRY_BYTES_MAX;
                return Err(MetadataLogError::TooLarge { bytes: length, max });
            }
            put_entry(&mut bytes, entry, self.salt);
        }
        if bytes.is_empty() { Ok(()) } else { self.write(&bytes) }
    }

    /// Vouches for everything before, and notes how far it is committed.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn mark(&mut self, commit: u64) -> Result<()> {
        self.write(&mark(commit, self.end, self.salt))
    }

    /// Replaces everything by a snapshot, with what has been saved that follows it.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn replace(
        &mut self,
        snapshot: &Snapshot,
        vote: &Vote,
        entries: &[Entry],
        commit: u64,
    ) -> Result<()> {
        if self.failed {
            return Err(MetadataLogError::Failed);
        }
        if snapshot.index == self.base {
            return Ok(());
        }
        let replaced = self.try_replace(snapshot, vote, entries, commit);
        self.failed |= replaced.is_err();
        replaced
    }

    fn try_replace(
        &mut self,
        snapshot: &Snapshot,
        vote: &Vote,
        entries: &[Entry],
        commit: u64,
    ) -> Result<()> {
        let (disk, base) = (self.disk.clone(), snapshot.index);
        // The log first: an open that finds the snapshot must find what continues it.
        let bytes = log_file(&self.cluster_id, (base, snapshot.term), vote, entries, commit);
        publish(disk.as_ref(), &self.dir, &log_name(base), &bytes)?;
        let state = snapshot_file(snapshot, &self.cluster_id);
        publish(disk.as_ref(), &self.dir, &snapshot_name(base), &state)?;
        let path = self.dir.join(log_name(base));
        self.file = disk.open_write(&path).map_err(io("opening", &path))?;
        (self.path, self.base, self.end) = (path, base, bytes.len() as u64);
        self.remove_others(&names_in(disk.as_ref(), &self.dir)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.failed {
            return Err(MetadataLogError::Failed);
        }
        let written = self.try_write(bytes);
        self.failed |= written.is_err();
        written
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(self.end, bytes).map_err(io("writing", &self.path))?;
        #[cfg(test)]
        if self.skips_sync {
            self.end += bytes.len() as u64;
            return Ok(());
        }
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

/// A log's whole file, vouched for by a mark.
fn log_file(
    cluster_id: &[u8; 16],
    base: (u64, u64),
    vote: &Vote,
    entries: &[Entry],
    commit: u64,
) -> Vec<u8> {
    let salt = salt_of(cluster_id);
    let mut bytes = header(LOG_MAGIC, cluster_id, base.0, base.1);
    put_vote(&mut bytes, vote, salt);
    entries.iter().for_each(|entry| put_entry(&mut bytes, entry, salt));
    let mark = mark(commit, bytes.len() as u64, salt);
    bytes.extend_from_slice(&mark);
    bytes
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

fn read_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    cluster_id: &[u8; 16],
    index: u64,
) -> Result<Snapshot> {
    let path = dir.join(snapshot_name(index));
    Scan { path: &path, cluster_id, index }.snapshot(&read_file(disk, &path)?)
}

/// What one file of a metadata log holds.
#[derive(Debug)]
pub struct Contents {
    /// The cluster it belongs to.
    pub cluster_id: [u8; 16],
    /// The version that it begins with.
    pub base: u64,
    /// The state, if it is a snapshot.
    pub snapshot: Option<Snapshot>,
    /// The changes, if it is a log.
    pub entries: Vec<Entry>,
    /// The newest vote, if it is a log.
    pub vote: Vote,
    /// How far the changes are known to be committed, if it is a log.
    pub commit: u64,
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
    let cluster_id: [u8; 16] = reader.bytes(16).map_err(cut)?.try_into().unwrap_or([0; 16]);
    let base = reader.u64_le().map_err(cut)?;
    let scan = Scan { path, cluster_id: &cluster_id, index: base };
    if is_snapshot {
        let snapshot = Some(scan.snapshot(&bytes)?);
        let (entries, vote, commit) = (Vec::new(), Vote::default(), base);
        return Ok(Contents { cluster_id, base, snapshot, entries, vote, commit });
    }
    let found = scan.log(&bytes, Arc::new(Config::default()))?;
    let entries = found.log.from(base + 1).to_vec();
    let (vote, commit) = (found.vote, found.commit);
    Ok(Contents { cluster_id, base, snapshot: None, entries, vote, commit })
}

#[cfg(test)]
mod tests;
