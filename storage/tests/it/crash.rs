//! The script, and a crash at every place where one can happen.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;

use helenus_platform::disk::CutOptions;
use helenus_storage::Durability;
use helenus_storage::options::PlantedFault;

use crate::crash_script::Script;

const MODES: [Durability; 3] = [Durability::GROUP, Durability::PERIODIC, Durability::Batch];

/// Syncs and calls of the script when nothing goes wrong.
fn length(mode: Durability) -> (u64, u64) {
    let mut script = Script::new(1, mode, true, None);
    script.play().unwrap();
    let length = (script.disk().syncs(), script.disk().calls());
    script.verify().unwrap();
    length
}

/// Plays the script up to the `n`th sync, cuts the power, and says what is wrong afterwards.
fn cut_at_sync(
    n: u64,
    mode: Durability,
    options: CutOptions,
    fault: Option<PlantedFault>,
) -> Result<(), String> {
    let mut script = Script::new(n, mode, true, fault);
    script.disk().cut_at_sync(n);
    let _ = script.play();
    script.disk().power_cut(options);
    script.verify().map_err(|wrong| format!("{mode:?}, sync {n}, {options:?}: {wrong}"))
}

#[test]
fn a_power_cut_at_any_sync_loses_nothing_promised() {
    for mode in MODES {
        let (syncs, _) = length(mode);
        assert!(syncs > 60, "the script has only {syncs} syncs");
        for n in 1..=syncs + 1 {
            for options in CutOptions::ALL {
                cut_at_sync(n, mode, options, None).unwrap();
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_promised() {
    for (index, mode) in MODES.into_iter().enumerate() {
        let (_, calls) = length(mode);
        for n in (1 + index as u64..=calls).step_by(MODES.len()) {
            let options = CutOptions::ALL[(n / 3) as usize % 4];
            let mut script = Script::new(n, mode, true, None);
            script.disk().cut_at_call(n);
            let _ = script.play();
            script.disk().power_cut(options);
            let verified = script.verify();
            verified.unwrap_or_else(|wrong| panic!("{mode:?}, call {n}, {options:?}: {wrong}"));
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_answered() {
    for (index, mode) in MODES.into_iter().enumerate() {
        let (_, calls) = length(mode);
        for n in (1 + index as u64..=calls).step_by(MODES.len()) {
            let mut script = Script::new(n, mode, false, None);
            script.disk().cut_at_call(n);
            let _ = script.play();
            script.disk().crash_process();
            let verified = script.verify();
            verified.unwrap_or_else(|wrong| panic!("{mode:?}, call {n}: {wrong}"));
        }
    }
}

#[test]
fn a_call_that_fails_loses_nothing_promised() {
    for (index, kind) in [ErrorKind::StorageFull, ErrorKind::Other].into_iter().enumerate() {
        for (mode_index, mode) in MODES.into_iter().enumerate() {
            let (_, calls) = length(mode);
            for n in ((index * 3 + mode_index) as u64..calls).step_by(6) {
                let mut script = Script::new(n, mode, true, None);
                script.disk().fail_one_call_after(n, kind);
                let _ = script.play();
                script.disk().power_cut(CutOptions::default());
                let verified = script.verify();
                verified.unwrap_or_else(|wrong| panic!("{mode:?}, call {n}, {kind}: {wrong}"));
            }
        }
    }
}

fn is_noticed(mode: Durability, fault: PlantedFault) -> bool {
    let (syncs, _) = length(mode);
    (1..=syncs + 1).any(|n| cut_at_sync(n, mode, CutOptions::default(), Some(fault)).is_err())
}

#[test]
fn a_flush_that_recycles_the_log_too_early_is_noticed() {
    assert!(MODES.into_iter().all(|mode| is_noticed(mode, PlantedFault::RecycleTooEarly)));
}

#[test]
fn a_log_that_does_not_sync_is_noticed() {
    assert!(MODES.into_iter().all(|mode| is_noticed(mode, PlantedFault::SkipLogSync)));
}
