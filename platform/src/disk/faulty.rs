//! A disk that fails on demand, and forgets what was not synced.
//!
//! It keeps each file and each name in three states: what the process sees, what the platter
//! has, and the changes between. [`FaultyDisk::power_cut`] drops changes, in ways a real device
//! does; [`FaultyDisk::crash_process`] drops none, as `kill -9` does. The model is as harsh as
//! POSIX allows: syncing a file does not make its name durable, only syncing its directory does,
//! and a directory whose own name was not synced is lost with everything in it.
//!
//! What it does not model: sectors that hold neither the old nor the new bytes, reads that
//! return other bytes at different times, and a cache that forgets what a failed sync lost.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::tree::Node;
use super::{Disk, DiskLock, Entry, File, LockError};
use crate::random::{Random as _, SeededRandom};

mod control;
mod inode;
mod names;

pub use control::{Call, CutOptions};
use control::{Faults, Injected};
use inode::Inode;
use names::Names;

type Shared<T> = Arc<Mutex<T>>;

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct State {
    names: Names<Shared<Inode>>,
    locks: BTreeMap<PathBuf, String>,
    faults: Faults,
    random: SeededRandom,
}

/// A file system in memory with faults on demand; clones share it.
///
/// A clone goes on working after a crash, as a harness wants it; what a process under test gets
/// is better made by [`FaultyDisk::for_process`], which dies with the process.
#[derive(Clone)]
pub struct FaultyDisk {
    state: Shared<State>,
    /// The life of the process that holds this value; `None` for the harness.
    life: Option<u64>,
}

impl FaultyDisk {
    /// An empty, healthy disk; `seed` decides whatever is left to chance.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        FaultyDisk::with(Names::default(), seed)
    }

    fn with(names: Names<Shared<Inode>>, seed: u64) -> Self {
        let faults = Faults::default();
        let random = SeededRandom::new(seed);
        let state = State { names, locks: BTreeMap::new(), faults, random };
        FaultyDisk { state: Arc::new(Mutex::new(state)), life: None }
    }

    /// An independent copy of everything stored, with a seed of its own and no faults.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let mut copies: HashMap<*const Mutex<Inode>, Shared<Inode>> = HashMap::new();
        let names = locked(&self.state).names.map(|file| {
            let copy = || Arc::new(Mutex::new(locked(file).clone()));
            copies.entry(Arc::as_ptr(file)).or_insert_with(copy).clone()
        });
        FaultyDisk::with(names, seed)
    }

    /// A handle that stops working at the next crash, as a process would.
    #[must_use]
    pub fn for_process(&self) -> Self {
        let life = locked(&self.state).faults.life;
        FaultyDisk { state: self.state.clone(), life: Some(life) }
    }

    /// Cuts the power and brings it back. Files, locks and process handles of before are dead;
    /// planned faults are forgotten; of what was not synced, `options` say what may survive.
    pub fn power_cut(&self, options: CutOptions) {
        let state = &mut *locked(&self.state);
        state.names.cut_power(options, &state.random);
        // A file with several names is cut once.
        let mut seen: Vec<*const Mutex<Inode>> = Vec::new();
        for (_, file) in state.names.durable.files() {
            if !seen.contains(&Arc::as_ptr(file)) {
                seen.push(Arc::as_ptr(file));
                locked(file).cut_power(options, &state.random);
            }
        }
        state.locks.clear();
        state.faults.next_life();
        state.faults.forget_plans();
    }

    /// Kills the process as `kill -9` does: what was written stays, what was open is dead.
    /// Planned faults are still to come; power that a planned cut took is on again.
    pub fn crash_process(&self) {
        let state = &mut *locked(&self.state);
        state.locks.clear();
        state.faults.next_life();
    }

    /// Flips one bit of a file, counted from its first byte's lowest bit.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> io::Result<()> {
        let file = locked(&self.state).names.cached.file(path)?;
        locked(&file).flip_bit(bit)
    }

    /// Counts a call, and fails it if a fault is due.
    fn enter(&self, call: Call) -> io::Result<Entered<'_>> {
        let slow = locked(&self.state).faults.slow.clone();
        if let Some(slow) = slow {
            slow(call);
        }
        let mut state = locked(&self.state);
        let injected = state.faults.enter(call, self.life)?;
        Ok(Entered { state, injected })
    }

    /// As `enter`, for calls that do nothing at all when they fail.
    fn enter_whole(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let entered = self.enter(call)?;
        match entered.injected {
            Some(Injected(kind)) => Err(injected_error(kind)),
            None => Ok(entered.state),
        }
    }

    fn open_as(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn File>> {
        let state = self.enter_whole(Call::Look)?;
        let inode = state.names.cached.file(path)?;
        if writable {
            state.faults.check_writable()?;
        }
        Ok(self.handle(&state, inode, writable))
    }

    fn handle(&self, state: &State, inode: Shared<Inode>, writable: bool) -> Arc<dyn File> {
        let mut disk = self.clone();
        disk.life = Some(state.faults.life);
        Arc::new(FaultyFile { disk, inode, writable })
    }
}

/// A call under way.
struct Entered<'a> {
    state: MutexGuard<'a, State>,
    /// The fault that the call is to fail with.
    injected: Option<Injected>,
}

fn injected_error(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "a fault planned by the test")
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.enter_whole(Call::Name)?;
        state.names.cached.check_absent(path)?;
        state.faults.check_writable()?;
        state.faults.check_room()?;
        let inode = Arc::new(Mutex::new(Inode::default()));
        state.names.set(vec![(path.to_path_buf(), Some(Node::File(inode.clone())))]);
        Ok(self.handle(&state, inode, true))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open_as(path, true)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.enter_whole(Call::Name)?;
        let inode = state.names.cached.file(from)?;
        state.names.cached.check_place(to)?;
        state.faults.check_writable()?;
        let put = (to.to_path_buf(), Some(Node::File(inode)));
        state.names.set(vec![(from.to_path_buf(), None), put]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.enter_whole(Call::Name)?;
        state.names.cached.file(path)?;
        state.faults.check_writable()?;
        state.names.set(vec![(path.to_path_buf(), None)]);
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.enter_whole(Call::Look)?.names.cached.exists(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.enter_whole(Call::Look)?.names.cached.list(dir, |file| locked(file).len())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.enter_whole(Call::Name)?;
        for missing in state.names.cached.missing_dirs(dir)? {
            state.faults.check_writable()?;
            state.faults.check_room()?;
            state.names.set(vec![(missing, Some(Node::Dir))]);
        }
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.enter_whole(Call::Name)?;
        state.names.cached.check_dir(dir)?;
        state.faults.check_writable()?;
        let mut gone: Vec<PathBuf> =
            state.names.cached.below(dir).map(|(path, _)| path.clone()).collect();
        gone.reverse();
        gone.push(dir.to_path_buf());
        for path in gone {
            state.names.set(vec![(path, None)]);
        }
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.enter_whole(Call::Name)?;
        let inode = state.names.cached.file(from)?;
        state.names.cached.check_absent(to)?;
        state.faults.check_writable()?;
        state.names.set(vec![(to.to_path_buf(), Some(Node::File(inode)))]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // A failed sync leaves the names as they were: they may yet survive, or not.
        let mut state = self.enter_whole(Call::SyncDir)?;
        state.names.cached.check_dir(dir)?;
        state.names.sync(dir);
        Ok(())
    }

    fn lock(&self, path: &Path, owner: &str) -> Result<Box<dyn DiskLock>, LockError> {
        let failed = |held_by, source| LockError { path: path.to_path_buf(), held_by, source };
        let mut state = self.enter_whole(Call::Name).map_err(|error| failed(None, Some(error)))?;
        if let Some(holder) = state.locks.get(path) {
            return Err(failed(Some(holder.clone()), None));
        }
        state.names.cached.check_place(path).map_err(|error| failed(None, Some(error)))?;
        state.faults.check_writable().map_err(|error| failed(None, Some(error)))?;
        if !state.names.cached.exists(path) {
            let inode = Arc::new(Mutex::new(Inode::default()));
            state.names.set(vec![(path.to_path_buf(), Some(Node::File(inode)))]);
        }
        state.locks.insert(path.to_path_buf(), owner.to_owned());
        let life = state.faults.life;
        Ok(Box::new(FaultyLock { disk: self.clone(), life, path: path.to_path_buf() }))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let state = self.enter_whole(Call::Look)?;
        Ok(if state.faults.check_room().is_ok() { FREE_BYTES } else { 0 })
    }
}

/// What a disk that is not full says it has left: a tebibyte.
const FREE_BYTES: u64 = 1 << 40;

struct FaultyLock {
    disk: FaultyDisk,
    life: u64,
    path: PathBuf,
}

impl DiskLock for FaultyLock {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        let mut state = locked(&self.disk.state);
        if state.faults.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    inode: Shared<Inode>,
    writable: bool,
}

impl FaultyFile {
    fn enter_writing(&self) -> io::Result<Entered<'_>> {
        let entered = self.disk.enter(Call::Write)?;
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        entered.state.faults.check_writable()?;
        Ok(entered)
    }

    /// Writes some of the first `most` bytes, as a write does that fails on its way.
    fn write_some(&self, state: &State, offset: u64, bytes: &[u8], most: u64) {
        let written = state.random.below(most.saturating_add(1)) as usize;
        let part = bytes.get(..written).unwrap_or(bytes);
        // The range was checked by the caller or is about to be refused there.
        let _ = locked(&self.inode).write_at(offset, part);
    }
}

impl File for FaultyFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let _state = self.disk.enter_whole(Call::Read)?;
        locked(&self.inode).read_at(offset, out)
    }

    fn try_read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<Option<usize>> {
        let state = self.disk.enter_whole(Call::Read)?;
        if state.random.chance(state.faults.cold) {
            return Ok(None);
        }
        locked(&self.inode).read_at(offset, out).map(Some)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let Entered { state, injected } = self.enter_writing()?;
        if let Some(Injected(kind)) = injected {
            self.write_some(&state, offset, bytes, bytes.len() as u64);
            return Err(injected_error(kind));
        }
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let room = locked(&self.inode).room(offset, end);
        if room < bytes.len() as u64
            && let Err(full) = state.faults.check_room()
        {
            self.write_some(&state, offset, bytes, room);
            return Err(full);
        }
        locked(&self.inode).write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let Entered { state, injected } = self.disk.enter(Call::Sync)?;
        match injected {
            Some(Injected(kind)) => {
                locked(&self.inode).fail_sync(&state.random);
                Err(injected_error(kind))
            }
            None => {
                locked(&self.inode).sync();
                Ok(())
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        let _state = self.disk.enter_whole(Call::Look)?;
        Ok(locked(&self.inode).len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let entered = self.enter_writing()?;
        match entered.injected {
            Some(Injected(kind)) => Err(injected_error(kind)),
            None => locked(&self.inode).set_len(len),
        }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let Entered { state, injected } = self.enter_writing()?;
        if let Some(Injected(kind)) = injected {
            return Err(injected_error(kind));
        }
        let mut inode = locked(&self.inode);
        if inode.room(0, len) < len {
            state.faults.check_room()?;
        }
        inode.allocate(len)
    }

    fn drop_cache(&self, _offset: u64, _len: u64) {}
}
