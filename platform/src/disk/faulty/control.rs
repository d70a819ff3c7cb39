//! Which call of a faulty disk fails, and how a test says so.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::{FaultyDisk, locked};

/// What a call does, as far as faults tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Asks for a name, a length or a listing, or opens a file.
    Look,
    /// Reads bytes.
    Read,
    /// Writes bytes, or sets or reserves a length.
    Write,
    /// Creates, renames, links, locks or removes a name.
    Name,
    /// Syncs a file.
    Sync,
    /// Syncs a directory.
    SyncDir,
}

/// What a power cut may keep of changes that were not synced: none of them, unless said here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CutOptions {
    /// Some first changes survive, in order; the last one only up to a sector (512 bytes).
    pub torn: bool,
    /// Any changes survive, whatever happens to those before them. With `torn`: any sectors.
    pub reorder: bool,
}

impl CutOptions {
    /// Every combination, the mildest first.
    pub const ALL: [CutOptions; 4] = [
        CutOptions { torn: false, reorder: false },
        CutOptions { torn: true, reorder: false },
        CutOptions { torn: false, reorder: true },
        CutOptions { torn: true, reorder: true },
    ];
}

/// A fault to fail a call with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Injected(pub(super) io::ErrorKind);

pub(super) type Slow = Arc<dyn Fn(Call) + Send + Sync>;

#[derive(Debug, Clone, Copy)]
struct Planned {
    /// The call that fails, counted as `calls` is.
    at_call: u64,
    kind: io::ErrorKind,
    /// Whether all later calls fail too.
    lasting: bool,
}

/// The faults of one disk.
#[derive(Default)]
pub(super) struct Faults {
    /// Grows with every crash; a handle of an earlier life is dead.
    pub(super) life: u64,
    off: bool,
    calls: u64,
    syncs: u64,
    planned: Option<Planned>,
    cut_at_sync: Option<u64>,
    cut_at_call: Option<u64>,
    fail_sync: bool,
    full: bool,
    read_only: bool,
    /// Probability that a read which must not wait is refused.
    pub(super) cold: f64,
    pub(super) slow: Option<Slow>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults {{ life: {}, calls: {}, syncs: {} }}", self.life, self.calls, self.syncs)
    }
}

impl Faults {
    /// Counts a call. `Err`: it does not happen at all. `Ok(Some)`: it fails half-way.
    pub(super) fn enter(
        &mut self,
        call: Call,
        life: Option<u64>,
    ) -> Result<Option<Injected>, io::Error> {
        if life.is_some_and(|life| life != self.life) {
            return Err(io::Error::other("the process that opened this is dead"));
        }
        if self.off {
            return Err(power_is_off());
        }
        self.calls += 1;
        let syncing = matches!(call, Call::Sync | Call::SyncDir);
        self.syncs += u64::from(syncing);
        let cut = self.cut_at_call == Some(self.calls)
            || (syncing && self.cut_at_sync == Some(self.syncs));
        if cut {
            self.off = true;
            return Err(power_is_off());
        }
        if let Some(planned) = self.planned
            && (self.calls == planned.at_call || planned.lasting && self.calls > planned.at_call)
        {
            return Ok(Some(Injected(planned.kind)));
        }
        if syncing && self.fail_sync {
            return Ok(Some(Injected(io::ErrorKind::Other)));
        }
        Ok(None)
    }

    pub(super) fn check_room(&self) -> io::Result<()> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn check_writable(&self) -> io::Result<()> {
        if self.read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    /// A new process begins, with the power on.
    pub(super) fn next_life(&mut self) {
        self.life += 1;
        self.off = false;
    }

    pub(super) fn forget_plans(&mut self) {
        self.planned = None;
        self.cut_at_sync = None;
        self.cut_at_call = None;
        self.fail_sync = false;
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

/// Planning faults.
impl FaultyDisk {
    /// Syncs of files and directories asked for since the disk was made.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        locked(&self.state).faults.syncs
    }

    /// Calls of any kind since the disk was made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        locked(&self.state).faults.calls
    }

    /// Power goes off instead of the `n`th sync, counted as [`FaultyDisk::syncs`] counts (from 1).
    /// Every call fails from then on, until [`FaultyDisk::power_cut`] says what survived.
    pub fn cut_at_sync(&self, n: u64) {
        locked(&self.state).faults.cut_at_sync = Some(n);
    }

    /// Power goes off instead of the `n`th call, counted as [`FaultyDisk::calls`] counts (from 1).
    pub fn cut_at_call(&self, n: u64) {
        locked(&self.state).faults.cut_at_call = Some(n);
    }

    /// Whether a planned cut has happened and power is still off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        locked(&self.state).faults.off
    }

    /// The next `n` calls work; all later ones fail with `kind`, until [`FaultyDisk::heal`].
    pub fn fail_after_calls(&self, n: u64, kind: io::ErrorKind) {
        self.plan(n, kind, true);
    }

    /// The next `n` calls work, the one after them fails with `kind`, later ones work again.
    pub fn fail_one_call_after(&self, n: u64, kind: io::ErrorKind) {
        self.plan(n, kind, false);
    }

    fn plan(&self, n: u64, kind: io::ErrorKind, lasting: bool) {
        let faults = &mut locked(&self.state).faults;
        faults.planned = Some(Planned { at_call: faults.calls + n + 1, kind, lasting });
    }

    /// While true, every sync fails; what it should have made durable is then lost, even if a
    /// later sync succeeds.
    pub fn fail_sync(&self, fail: bool) {
        locked(&self.state).faults.fail_sync = fail;
    }

    /// While true, there is room only where room was reserved or bytes were written before.
    pub fn set_full(&self, full: bool) {
        locked(&self.state).faults.full = full;
    }

    /// While true, nothing can be changed, as on a file system that is mounted read-only, or that
    /// the system has made so after an error of the device.
    pub fn set_read_only(&self, read_only: bool) {
        locked(&self.state).faults.read_only = read_only;
    }

    /// Probability that `try_read_at` answers that it would have to wait.
    pub fn set_cold(&self, probability: f64) {
        locked(&self.state).faults.cold = probability;
    }

    /// `slow` runs before every call, outside all locks: it may sleep, or move a test's clock.
    pub fn slow(&self, slow: Option<Arc<dyn Fn(Call) + Send + Sync>>) {
        locked(&self.state).faults.slow = slow;
    }

    /// Forgets planned failures, and lets syncs and writes work again.
    pub fn heal(&self) {
        let faults = &mut locked(&self.state).faults;
        faults.planned = None;
        faults.fail_sync = false;
        faults.full = false;
    }
}
