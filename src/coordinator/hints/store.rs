//! The files of hints: taking, writing, reading in order, forgetting what was delivered.
#![deny(clippy::indexing_slicing)]

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use helenus_platform::disk::{Disk, File};
use helenus_platform::random::Random;

use super::format::{
    Found, HEADER_BYTES, HINT_OVERHEAD_BYTES, Header, HintFileError, MUTATION_BYTES_MAX, find,
    put_hint,
};

/// A node, by the id that it was born with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub [u8; 16]);

/// What a store may use.
#[derive(Clone, Debug)]
pub struct HintOptions {
    /// Where the files are: `hints/` of the data directory.
    pub dir: PathBuf,
    /// For a target that has been away for longer, no hints are taken.
    pub window: Duration,
    /// Bytes of hints kept for one target, written or not.
    pub target_bytes_max: u64,
    /// Bytes of hints taken and not yet written, of all targets.
    pub pending_bytes_max: u64,
    /// A file that has grown past this is not added to.
    pub file_bytes_max: u64,
}

impl HintOptions {
    /// Cassandra's window of three hours, and sizes for a node of moderate load.
    pub fn new(dir: PathBuf) -> HintOptions {
        HintOptions {
            dir,
            window: Duration::from_secs(3 * 3600),
            target_bytes_max: 1 << 30,
            pending_bytes_max: 32 << 20,
            file_bytes_max: 8 << 20,
        }
    }
}

/// What became of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept, and survives a power cut once the next [`HintStore::flush`] has returned.
    Yes,
    /// The target has been away for longer than the window.
    WindowOver,
    /// The target has all the hints that it may have, or too many are waiting to be written.
    Full,
    /// No mutation is so large.
    TooLarge,
}

/// How long what a mutation says may still be needed.
pub trait SmallestGrace {
    /// The smallest `gc_grace_seconds` of the tables that the mutation writes to; none if there is
    /// no such table any more. A hint that is older is not delivered: what it deleted or overwrote
    /// may have been forgotten elsewhere.
    fn smallest_grace_seconds(&self, mutation: &[u8]) -> Option<i64>;
}

/// A hint that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// When the mutation was made, microseconds since the epoch.
    pub created_micros: i64,
    /// Its bytes.
    pub mutation: Vec<u8>,
}

/// A place in the hints of one target: file and offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HintCursor {
    sequence: u64,
    offset: u64,
}

/// The next hints of a target, in the order in which they were taken.
#[derive(Debug, Default)]
pub struct HintBatch {
    /// The hints; none if there are no more.
    pub hints: Vec<Hint>,
    /// What [`HintStore::acknowledge`] is told when all of them have been delivered.
    pub cursor: HintCursor,
    /// Hints that were passed over because they are too old or their tables are gone.
    pub expired: u64,
    /// What could not be read, for the log: damage that cost hints which had been synced.
    pub damage: Vec<HintFileError>,
    /// Bytes that were passed over because of that.
    pub damaged_bytes: u64,
}

/// What is kept for one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HintCounts {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Hints that are not written yet.
    pub pending: u64,
    /// Their bytes.
    pub pending_bytes: u64,
}

/// Why the store could not do what was asked.
pub type HintError = HintFileError;

type Result<T, E = HintError> = std::result::Result<T, E>;

/// Hints of all targets. Taking one never waits for the disk; everything else does.
pub struct HintStore {
    // Fixed after open.
    disk: Arc<dyn Disk>,
    random: Arc<dyn Random>,
    options: HintOptions,
    // Locked in this order, or alone.
    files: Mutex<Files>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    targets: BTreeMap<HostId, Queue>,
    /// Of all targets; what is being written is still counted.
    bytes: u64,
}

#[derive(Default)]
struct Queue {
    hints: Vec<Hint>,
    bytes: u64,
    stored_bytes: u64,
}

#[derive(Default)]
struct Files {
    next_sequence: u64,
    targets: BTreeMap<HostId, Target>,
}

#[derive(Default)]
struct Target {
    /// Oldest first; the last one may be `open`.
    files: VecDeque<HintFile>,
    open: Option<OpenFile>,
    read: HintCursor,
    acknowledged: HintCursor,
    /// The file that is being read.
    loaded: Option<Loaded>,
}

struct HintFile {
    sequence: u64,
    path: PathBuf,
    bytes: u64,
}

struct OpenFile {
    file: Arc<dyn File>,
    salt: u32,
    end: u64,
}

struct Loaded {
    sequence: u64,
    bytes: Vec<u8>,
    /// None of a file whose header is not there.
    salt: Option<u32>,
}

fn io<'p>(
    what: &'static str,
    path: &'p Path,
) -> impl FnOnce(std::io::Error) -> HintFileError + use<'p> {
    move |source| HintFileError::Io { what, path: path.to_owned(), source }
}

fn hint_bytes(mutation: &[u8]) -> u64 {
    (mutation.len() + HINT_OVERHEAD_BYTES) as u64
}

impl HintStore {
    /// Opens the directory, making it if there is none; the one above must exist.
    ///
    /// # Errors
    /// The disk refused, or a file is of a newer version.
    pub fn open(
        disk: Arc<dyn Disk>,
        random: Arc<dyn Random>,
        options: HintOptions,
    ) -> Result<HintStore> {
        let dir = &options.dir;
        disk.create_dir_all(dir).map_err(io("creating", dir))?;
        if let Some(parent) = dir.parent() {
            disk.sync_dir(parent).map_err(io("syncing", parent))?;
        }
        let mut files = Files::default();
        let mut pending = Pending::default();
        for entry in disk.list(dir).map_err(io("listing", dir))? {
            let Some((target, sequence)) = parse_name(&entry.name) else { continue };
            let path = dir.join(&entry.name);
            let file = disk.open(&path).map_err(io("opening", &path))?;
            let mut head = vec![0; HEADER_BYTES.min(entry.len as usize)];
            file.read_exact_at(0, &mut head).map_err(io("reading", &path))?;
            if let Err(error @ HintFileError::Newer { .. }) = Header::decode(&path, &head) {
                return Err(error);
            }
            files.next_sequence = files.next_sequence.max(sequence.saturating_add(1));
            let bytes = entry.len;
            files.targets.entry(target).or_default().files.push_back(HintFile {
                sequence,
                path,
                bytes,
            });
            pending.targets.entry(target).or_default().stored_bytes += bytes;
        }
        let (files, pending) = (Mutex::new(files), Mutex::new(pending));
        Ok(HintStore { disk, random, options, files, pending })
    }

    /// Takes a hint for a target that has been away for `down_for`.
    pub fn take(
        &self,
        target: HostId,
        mutation: &[u8],
        created_micros: i64,
        down_for: Duration,
    ) -> Taken {
        if down_for > self.options.window {
            return Taken::WindowOver;
        }
        if mutation.len() > MUTATION_BYTES_MAX {
            return Taken::TooLarge;
        }
        let bytes = hint_bytes(mutation);
        let mut pending = self.pending();
        let queue = pending.targets.entry(target).or_default();
        let kept = queue.stored_bytes + queue.bytes;
        if kept + bytes > self.options.target_bytes_max
            || pending.bytes + bytes > self.options.pending_bytes_max
        {
            return Taken::Full;
        }
        let queue = pending.targets.entry(target).or_default();
        queue.hints.push(Hint { created_micros, mutation: mutation.to_owned() });
        queue.bytes += bytes;
        pending.bytes += bytes;
        Taken::Yes
    }

    /// Writes and syncs what was taken. To be called at least every second.
    ///
    /// # Errors
    /// The disk refused for some target: what was not written is kept, and written by a later
    /// call, to another file. The other targets' hints are written all the same.
    pub fn flush(&self) -> Result<()> {
        let mut files = self.files();
        let targets: Vec<HostId> = self.pending().targets.keys().copied().collect();
        let mut outcome = Ok(());
        for target in targets {
            let mut hints = match self.pending().targets.get_mut(&target) {
                Some(queue) => std::mem::take(&mut queue.hints),
                None => continue,
            };
            let mut written = 0;
            let mut result = Ok(());
            while written < hints.len() && result.is_ok() {
                let rest = hints.get(written..).unwrap_or_default();
                match self.write_some(&mut files, target, rest) {
                    Ok(0) => break,
                    Ok(count) => written += count,
                    Err(error) => {
                        // What became of its last bytes is not known: nothing more goes there.
                        let entry = files.targets.entry(target).or_default();
                        entry.open = None;
                        result = Err(error);
                    }
                }
            }
            let unwritten = hints.split_off(written);
            let mut pending = self.pending();
            let gone: u64 = hints.iter().map(|hint| hint_bytes(&hint.mutation)).sum();
            pending.bytes = pending.bytes.saturating_sub(gone);
            let queue = pending.targets.entry(target).or_default();
            queue.bytes = queue.bytes.saturating_sub(gone);
            queue.hints.splice(0..0, unwritten);
            let kept = files.targets.get(&target).map_or(0, Target::bytes);
            queue.stored_bytes = kept;
            outcome = outcome.and(result);
        }
        outcome
    }

    /// Writes as many hints as fit into the target's open file, and syncs them; at least one.
    fn write_some(&self, files: &mut Files, target: HostId, hints: &[Hint]) -> Result<usize> {
        let is_new = self.open_file(files, target)?;
        let files_of = files.targets.entry(target).or_default();
        let (Some(open), Some(last)) = (&mut files_of.open, files_of.files.back_mut()) else {
            return Ok(0);
        };
        let mut out = Vec::new();
        let mut count = 0;
        for hint in hints {
            if count > 0 && open.end + out.len() as u64 >= self.options.file_bytes_max {
                break;
            }
            // All that stands in the file had been synced when this was written.
            put_hint(&mut out, open.salt, open.end, hint.created_micros, &hint.mutation);
            count += 1;
        }
        open.file.write_all_at(open.end, &out).map_err(io("writing", &last.path))?;
        open.file.sync_data().map_err(io("syncing", &last.path))?;
        if is_new {
            let dir = &self.options.dir;
            self.disk.sync_dir(dir).map_err(io("syncing", dir))?;
        }
        open.end += out.len() as u64;
        last.bytes = open.end;
        if open.end >= self.options.file_bytes_max {
            files_of.open = None;
        }
        Ok(count)
    }

    /// Makes sure that the target has an open file; whether it is new.
    fn open_file(&self, files: &mut Files, target: HostId) -> Result<bool> {
        let files_of = files.targets.entry(target).or_default();
        if files_of.open.is_some() {
            return Ok(false);
        }
        let sequence = files.next_sequence;
        files.next_sequence = sequence.saturating_add(1);
        let header = Header { target, sequence, drawn: self.random.next_u64() as u32 };
        let path = self.options.dir.join(file_name(target, sequence));
        let file = self.disk.create(&path).map_err(io("creating", &path))?;
        let (bytes, salt) = header.encode();
        let end = bytes.len() as u64;
        files_of.files.push_back(HintFile { sequence, path: path.clone(), bytes: end });
        file.write_all_at(0, &bytes).map_err(io("writing", &path))?;
        files_of.open = Some(OpenFile { file, salt, end });
        Ok(true)
    }

    /// The next hints for a target, of about `bytes_max` bytes; those that have not been flushed
    /// are not among them. `now_micros` is microseconds since the epoch.
    ///
    /// # Errors
    /// The disk refused; the same is tried again by the next call.
    pub fn read(
        &self,
        target: HostId,
        bytes_max: u64,
        now_micros: i64,
        grace: &dyn SmallestGrace,
    ) -> Result<HintBatch> {
        let mut files = self.files();
        let mut batch = HintBatch::default();
        let Some(target) = files.targets.get_mut(&target) else { return Ok(batch) };
        let mut bytes = 0;
        while bytes < bytes_max {
            if !self.load(target)? {
                break;
            }
            let Target { loaded: Some(loaded), read, files, .. } = target else { break };
            let path = files.iter().find(|file| file.sequence == loaded.sequence);
            let path = path.map(|file| file.path.clone()).unwrap_or_default();
            let offset = read.offset as usize;
            let found = match loaded.salt {
                Some(salt) => find(&loaded.bytes, offset, salt),
                None => Found::Lost { is_damage: loaded.bytes.len() >= HEADER_BYTES },
            };
            let damaged =
                |what| HintFileError::Corrupt { path: path.clone(), offset: offset as u64, what };
            match found {
                Found::Hint { head, mutation, end } => {
                    read.offset = end as u64;
                    if is_expired(head.created_micros, mutation, now_micros, grace) {
                        batch.expired += 1;
                        continue;
                    }
                    bytes += hint_bytes(mutation);
                    let created_micros = head.created_micros;
                    batch.hints.push(Hint { created_micros, mutation: mutation.to_owned() });
                }
                Found::Damaged { end } => {
                    read.offset = end as u64;
                    batch.damage.push(damaged("a hint's checksum is wrong; it is left out"));
                    batch.damaged_bytes += (end - offset) as u64;
                }
                Found::Lost { is_damage } => {
                    if is_damage {
                        batch.damage.push(damaged("no hint; the rest of the file is left out"));
                        batch.damaged_bytes += (loaded.bytes.len() - offset) as u64;
                    }
                    target.next_file();
                }
                Found::End => target.next_file(),
            }
        }
        batch.cursor = target.read;
        Ok(batch)
    }

    /// Has the file in memory that is to be read next; false if there is none.
    fn load(&self, target: &mut Target) -> Result<bool> {
        let next = target.files.iter().find(|file| file.sequence >= target.read.sequence);
        let Some(file) = next else {
            target.loaded = None;
            return Ok(false);
        };
        if target.loaded.as_ref().is_some_and(|loaded| loaded.sequence == file.sequence) {
            return Ok(true);
        }
        // A file that is being read is not added to.
        if target.files.back().is_some_and(|last| last.sequence == file.sequence) {
            target.open = None;
        }
        let path = &file.path;
        let opened = self.disk.open(path).map_err(io("opening", path))?;
        let length = opened.len().map_err(io("reading", path))?;
        let most = self.options.file_bytes_max + (2 * MUTATION_BYTES_MAX) as u64;
        let mut bytes = vec![0; length.min(most) as usize];
        opened.read_exact_at(0, &mut bytes).map_err(io("reading", path))?;
        let salt = match Header::decode(path, &bytes) {
            Ok(header) => header.map(|(_, salt)| salt),
            Err(HintFileError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        let sequence = file.sequence;
        if target.read.sequence != sequence || target.read.offset == 0 {
            let offset = if salt.is_some() { HEADER_BYTES as u64 } else { 0 };
            target.read = HintCursor { sequence, offset };
        }
        target.loaded = Some(Loaded { sequence, bytes, salt });
        Ok(true)
    }

    /// All hints before `cursor` have been delivered: files that hold no others are removed.
    ///
    /// # Errors
    /// The disk refused to remove a file; its hints may be delivered again after a restart.
    pub fn acknowledge(&self, target: HostId, cursor: HintCursor) -> Result<()> {
        let mut files = self.files();
        let Some(files_of) = files.targets.get_mut(&target) else { return Ok(()) };
        files_of.acknowledged = files_of.acknowledged.max(cursor.min(files_of.read));
        let mut outcome = Ok(());
        let keep = files_of.acknowledged.sequence;
        while let Some(file) = files_of.files.pop_front_if(|file| file.sequence < keep) {
            outcome = outcome.and(self.disk.remove(&file.path).map_err(io("removing", &file.path)));
        }
        let kept = files_of.bytes();
        if let Some(queue) = self.pending().targets.get_mut(&target) {
            queue.stored_bytes = kept;
        }
        outcome
    }

    /// Reading goes back to behind what was acknowledged, after a delivery that failed.
    pub fn rewind(&self, target: HostId) {
        if let Some(target) = self.files().targets.get_mut(&target) {
            target.read = target.acknowledged;
            target.loaded = None;
        }
    }

    /// Forgets all hints of a target, or of all.
    ///
    /// # Errors
    /// The disk refused to remove a file; it comes back with a restart.
    pub fn truncate(&self, target: Option<HostId>) -> Result<()> {
        let mut files = self.files();
        let is_meant = |id: &HostId| target.is_none_or(|target| target == *id);
        {
            let mut pending = self.pending();
            let queues = pending.targets.extract_if(.., |id, _| is_meant(id));
            let gone: u64 = queues.map(|(_, queue)| queue.bytes).sum();
            pending.bytes = pending.bytes.saturating_sub(gone);
        }
        let mut outcome = Ok(());
        for (_, target) in files.targets.extract_if(.., |id, _| is_meant(id)) {
            for file in target.files {
                let removed = self.disk.remove(&file.path).map_err(io("removing", &file.path));
                outcome = outcome.and(removed);
            }
        }
        let dir = &self.options.dir;
        outcome.and(self.disk.sync_dir(dir).map_err(io("syncing", dir)))
    }

    /// What is kept for each target that anything is kept for.
    pub fn counts(&self) -> BTreeMap<HostId, HintCounts> {
        let mut counts: BTreeMap<HostId, HintCounts> = BTreeMap::new();
        for (id, target) in &self.files().targets {
            let count = counts.entry(*id).or_default();
            count.files = target.files.len() as u64;
            count.bytes = target.bytes();
        }
        for (id, queue) in &self.pending().targets {
            let count = counts.entry(*id).or_default();
            count.pending = queue.hints.len() as u64;
            count.pending_bytes = queue.bytes;
        }
        counts.retain(|_, count| *count != HintCounts::default());
        counts
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The file that is being read has nothing more.
    fn next_file(&mut self) {
        self.loaded = None;
        self.read = HintCursor { sequence: self.read.sequence.saturating_add(1), offset: 0 };
    }
}

fn is_expired(
    created_micros: i64,
    mutation: &[u8],
    now_micros: i64,
    grace: &dyn SmallestGrace,
) -> bool {
    let age = now_micros.saturating_sub(created_micros) / 1_000_000;
    grace.smallest_grace_seconds(mutation).is_none_or(|grace| age >= grace)
}

fn file_name(target: HostId, sequence: u64) -> String {
    let target: String = target.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{target}-{sequence:016x}.hints")
}

/// Target and sequence number of a name that we give.
fn parse_name(name: &str) -> Option<(HostId, u64)> {
    let (target, sequence) = name.strip_suffix(".hints")?.split_once('-')?;
    let target = u128::from_str_radix(target, 16).ok()?.to_be_bytes();
    let sequence = u64::from_str_radix(sequence, 16).ok()?;
    let target = HostId(target);
    (file_name(target, sequence) == name).then_some((target, sequence))
}
