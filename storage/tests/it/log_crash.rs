//! The commit log against power cuts at every sync, kills at every call, failing calls, and a
//! disk that lies: whatever was promised is there afterwards, and nothing else is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use helenus_platform::disk::{CutOptions, Disk, DiskLock, Entry, FaultyDisk, File, LockError};
use helenus_storage::log::Durability;

use crate::log_rig::disk;
use crate::log_script::{Blow, Dress, MODES, Planted, Script, undressed};

/// Steps of a script: enough for several segments, recyclings and restarts.
const STEPS: usize = 150;

fn script(durability: Durability, seed: u64, dress: Dress) -> Script {
    Script::new(disk(seed), dress, durability, seed)
}

/// Runs a script up to a cut, cuts, and lives on through two more lives and cuts.
fn survive(script: &mut Script, options: CutOptions) -> Result<(), String> {
    script.run(Blow::Kill, STEPS)?;
    script.disk.power_cut(options);
    script.run(Blow::PowerCut, 30)?;
    script.disk.power_cut(options);
    script.run(Blow::PowerCut, 5)?;
    Ok(())
}

/// The number of syncs and calls of a script that nothing stops.
fn undisturbed(durability: Durability, seed: u64) -> (u64, u64) {
    let mut script = script(durability, seed, undressed);
    script.run(Blow::Kill, STEPS).unwrap();
    assert!(script.oracle.len() > 20);
    (script.disk.syncs(), script.disk.calls())
}

#[test]
fn a_power_cut_at_every_sync_loses_nothing_durable_and_invents_nothing() {
    let mut cuts = 0;
    for durability in MODES {
        for seed in 0..4 {
            for at in 1..=undisturbed(durability, seed).0 {
                for options in CutOptions::ALL {
                    let mut script = script(durability, seed, undressed);
                    script.disk.cut_at_sync(at);
                    if let Err(error) = survive(&mut script, options) {
                        panic!("{durability:?}, seed {seed}, sync {at}, {options:?}: {error}");
                    }
                    cuts += 1;
                }
            }
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

#[test]
fn a_power_cut_at_every_call_loses_nothing_either() {
    for durability in MODES {
        let seed = 11;
        for at in 1..=undisturbed(durability, seed).1 {
            let options = CutOptions { torn: true, reorder: at % 2 == 0 };
            let mut script = script(durability, seed, undressed);
            script.disk.cut_at_call(at);
            if let Err(error) = survive(&mut script, options) {
                panic!("{durability:?}, call {at}, {options:?}: {error}");
            }
        }
    }
}

#[test]
fn a_kill_at_every_call_loses_nothing_written() {
    for durability in MODES {
        let seed = 21;
        for at in 1..=undisturbed(durability, seed).1 {
            for half_done in [false, true] {
                let mut script = script(durability, seed, undressed);
                if half_done {
                    // The last call before the end is made in part.
                    script.calls_fail = true;
                    let before = script.disk.calls();
                    script.disk.fail_after_calls(at.saturating_sub(before + 1), ErrorKind::Other);
                } else {
                    script.disk.cut_at_call(at);
                }
                script.run(Blow::Kill, STEPS).unwrap();
                script.disk.crash_process();
                script.disk.heal();
                script.calls_fail = false;
                if let Err(error) = script.run(Blow::Kill, 30) {
                    panic!("{durability:?}, call {at}, half done {half_done}: {error}");
                }
            }
        }
    }
}

#[test]
fn after_any_failed_call_a_power_cut_loses_nothing_promised() {
    for durability in MODES {
        let seed = 31;
        for n in 0..undisturbed(durability, seed).1 {
            let mut script = script(durability, seed, undressed);
            script.disk.fail_one_call_after(n, ErrorKind::Other);
            script.calls_fail = true;
            script.run(Blow::Kill, STEPS).unwrap();
            script.disk.power_cut(CutOptions { torn: true, reorder: true });
            script.calls_fail = false;
            if let Err(error) = script.run(Blow::PowerCut, 30) {
                panic!("{durability:?}, failed call {n}: {error}");
            }
        }
    }
}

/// How many of some power cuts the oracle objects to.
fn objections(durability: Durability, dress: Dress, planted: Planted) -> usize {
    let mut objections = 0;
    for seed in 0..40 {
        let mut script = script(durability, seed, dress).plant(planted);
        script.disk.cut_at_call(100 + 5 * seed);
        objections += usize::from(survive(&mut script, CutOptions::default()).is_err());
    }
    objections
}

#[test]
fn the_harness_notices_a_log_that_skips_fdatasync() {
    for durability in MODES {
        assert_eq!(objections(durability, undressed, Planted::Nothing), 0);
        let noticed = objections(durability, |disk| lying(disk, true, false), Planted::Nothing);
        assert!(noticed > 20, "{durability:?}: {noticed}");
    }
}

#[test]
fn the_harness_notices_a_directory_that_is_not_synced() {
    let noticed = objections(Durability::GROUP, |disk| lying(disk, false, true), Planted::Nothing);
    assert!(noticed > 20, "{noticed}");
}

#[test]
fn the_harness_notices_answers_that_leave_before_the_watermark() {
    let noticed = objections(MODES[1], undressed, Planted::AnswersTooEarly);
    assert!(noticed > 5, "{noticed}");
}

#[test]
fn the_harness_notices_segments_recycled_too_early() {
    let noticed = objections(Durability::GROUP, undressed, Planted::RecyclesTooEarly);
    assert!(noticed > 5, "{noticed}");
}

fn lying(disk: &FaultyDisk, skip_files: bool, skip_dirs: bool) -> Arc<dyn Disk> {
    Arc::new(LyingDisk { disk: disk.for_process(), skip_files, skip_dirs })
}

/// A disk that says it has synced and has not.
struct LyingDisk {
    disk: FaultyDisk,
    skip_files: bool,
    skip_dirs: bool,
}

/// Its first sync is honest: the segment's header and name are there, its records are not.
struct LyingFile(Arc<dyn File>, AtomicBool);

type Io<T> = std::io::Result<T>;

impl LyingDisk {
    fn dress(&self, file: Io<Arc<dyn File>>) -> Io<Arc<dyn File>> {
        let file = file?;
        Ok(if self.skip_files { Arc::new(LyingFile(file, AtomicBool::new(false))) } else { file })
    }
}

impl Disk for LyingDisk {
    fn create(&self, path: &Path) -> Io<Arc<dyn File>> {
        self.dress(self.disk.create(path))
    }
    fn open(&self, path: &Path) -> Io<Arc<dyn File>> {
        self.dress(self.disk.open(path))
    }
    fn open_write(&self, path: &Path) -> Io<Arc<dyn File>> {
        self.dress(self.disk.open_write(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> Io<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Io<()> {
        self.disk.remove(path)
    }
    fn exists(&self, path: &Path) -> Io<bool> {
        self.disk.exists(path)
    }
    fn list(&self, dir: &Path) -> Io<Vec<Entry>> {
        self.disk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> Io<()> {
        self.disk.create_dir_all(dir)
    }
    fn remove_dir_all(&self, dir: &Path) -> Io<()> {
        self.disk.remove_dir_all(dir)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> Io<()> {
        self.disk.hard_link(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> Io<()> {
        if self.skip_dirs { Ok(()) } else { self.disk.sync_dir(dir) }
    }
    fn lock(&self, path: &Path, owner: &str) -> Result<Box<dyn DiskLock>, LockError> {
        self.disk.lock(path, owner)
    }
    fn free_bytes(&self, path: &Path) -> Io<u64> {
        self.disk.free_bytes(path)
    }
}

impl File for LyingFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Io<usize> {
        self.0.read_at(offset, out)
    }
    fn try_read_at(&self, offset: u64, out: &mut [u8]) -> Io<Option<usize>> {
        self.0.try_read_at(offset, out)
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Io<()> {
        self.0.write_all_at(offset, bytes)
    }
    fn sync_data(&self) -> Io<()> {
        if self.1.swap(true, Ordering::SeqCst) {
            // It still fails when the power is off, as any call does.
            return self.0.len().map(|_| ());
        }
        self.0.sync_data()
    }
    fn len(&self) -> Io<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> Io<()> {
        self.0.set_len(len)
    }
    fn allocate(&self, len: u64) -> Io<()> {
        self.0.allocate(len)
    }
    fn drop_cache(&self, offset: u64, len: u64) {
        self.0.drop_cache(offset, len);
    }
}
