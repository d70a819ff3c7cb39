//! What a crash leaves of a snapshot.

use std::path::Path;
use std::sync::Arc;

use helenus_platform::clock::ManualClock;
use helenus_platform::disk::{CutOptions, Disk, FaultyDisk};
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::SimRuntime;

use crate::config::Config;
use crate::node::{Node, World};

fn open(disk: &FaultyDisk, runtime: &SimRuntime, clock: &Arc<ManualClock>) -> Node {
    let world = World {
        disk: Arc::new(disk.for_process()),
        clock: clock.clone(),
        random: Arc::new(SeededRandom::new(1)),
        runtime: Arc::new(runtime.clone()),
    };
    let config = Config { data_dir: "/data".into(), segment_bytes: 1 << 16, ..Config::default() };
    Node::open(world, config).unwrap()
}

fn take(node: &Node) -> Result<(), String> {
    let snapshots = &node.shared.snapshots;
    let state = node.metadata().state();
    let taking = snapshots.begin(&state, "s", &[]).map_err(|error| error.to_string())?;
    let files = taking.snapshot.poll().unwrap().map_err(crate::error::Error::from);
    snapshots.finish(taking, files).map_err(|error| error.to_string())
}

/// The calls of the disk that taking one snapshot makes.
fn calls() -> (u64, u64) {
    let disk = FaultyDisk::new(1);
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
    let runtime = SimRuntime::new(1, clock.clone());
    let node = open(&disk, &runtime, &clock);
    let before = disk.calls();
    take(&node).unwrap();
    (before, disk.calls())
}

#[test]
fn a_snapshot_that_a_power_cut_interrupts_is_whole_or_gone() {
    let (first, last) = calls();
    let mut whole = 0;
    for call in first + 1..=last + 1 {
        let disk = FaultyDisk::new(1);
        let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
        let runtime = SimRuntime::new(1, clock.clone());
        let node = open(&disk, &runtime, &clock);
        disk.cut_at_call(call);
        let taken = take(&node);
        drop(node);
        runtime.kill();
        disk.power_cut(CutOptions::default());
        let runtime = SimRuntime::new(2, clock.clone());
        let node = open(&disk, &runtime, &clock);
        let there = disk.for_process().exists(Path::new("/data/snapshots/s")).unwrap();
        let finished = node.shared.snapshots.dirs().unwrap();
        assert_eq!(there, !finished.is_empty(), "call {call}: half a snapshot is left");
        assert!(finished.iter().all(|(_, is_finished)| *is_finished), "call {call}");
        assert!(taken.is_err() || there, "call {call}: a snapshot that was taken is gone");
        // What counts can be read, and what does not is out of the way of the next.
        node.shared.snapshots.list().unwrap();
        if there {
            assert_eq!(node.shared.snapshots.clear(Some("s")).unwrap(), ["s"]);
            whole += 1;
        }
        take(&node).unwrap();
        drop(node);
        runtime.kill();
    }
    assert!(whole > 0);
}

#[test]
fn names_that_are_no_names_and_names_that_are_taken_are_refused() {
    let disk = FaultyDisk::new(1);
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
    let runtime = SimRuntime::new(1, clock.clone());
    let node = open(&disk, &runtime, &clock);
    let snapshots = &node.shared.snapshots;
    let state = node.metadata().state();
    for tag in ["", ".", "..", "../x", "a/b", "a b", ".hidden"] {
        assert!(snapshots.begin(&state, tag, &[]).is_err(), "{tag}");
    }
    take(&node).unwrap();
    assert!(take(&node).unwrap_err().contains("already exists"));
    assert!(snapshots.clear(Some("other")).unwrap_err().to_string().contains("does not exist"));
    assert_eq!(snapshots.clear(None).unwrap(), ["s"]);
    assert!(snapshots.list().unwrap().is_empty());
}
