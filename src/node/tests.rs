//! Opening and closing on a simulated disk.

use std::path::Path;

use helenus_platform::clock::ManualClock;
use helenus_platform::disk::FaultyDisk;
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::SimRuntime;

use super::*;

struct Lab {
    disk: FaultyDisk,
    runtime: SimRuntime,
    clock: Arc<ManualClock>,
}

impl Lab {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
        let runtime = SimRuntime::new(1, clock.clone());
        Self { disk: FaultyDisk::new(1), runtime, clock }
    }

    fn open(&self) -> Result<Node, OpenError> {
        self.open_with(Config::default())
    }

    fn open_with(&self, config: Config) -> Result<Node, OpenError> {
        let world = World {
            disk: Arc::new(self.disk.for_process()),
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(1)),
            runtime: Arc::new(self.runtime.clone()),
        };
        let config = Config { data_dir: "/data".into(), segment_bytes: 1 << 16, ..config };
        Node::open(world, config)
    }

    fn close(&self, node: Node) {
        self.runtime.block_on(100_000, async move { node.close().await }).unwrap().unwrap();
        self.runtime.kill();
    }

    fn crash(&self) {
        self.disk.crash_process();
        self.runtime.kill();
    }
}

#[test]
fn an_identity_is_for_ever_and_an_unclean_stop_starts_a_new_counter_generation() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    let born = node.identity();
    lab.close(node);
    let node = lab.open().unwrap();
    assert_eq!(node.identity().host_id, born.host_id);
    assert_eq!(node.identity().counter_generation, born.counter_generation);
    drop(node);
    lab.crash();
    let node = lab.open().unwrap();
    assert_eq!(node.identity().tokens, born.tokens);
    assert_eq!(node.identity().counter_generation, born.counter_generation + 1);
}

#[test]
fn a_damaged_log_is_refused_with_the_way_past_it() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    lab.close(node);
    let log = Path::new("/data/engine/log");
    let segment = log.join("segment-0000000000000000.log");
    lab.disk.flip_bit(&segment, 20 * 8).unwrap();
    for _ in 0..2 {
        let refusal = lab.open().err().unwrap().to_string();
        assert!(refusal.contains("segment-0000000000000000.log"), "{refusal}");
        assert!(refusal.contains("--set commit_log.skip_damaged=true"), "{refusal}");
    }
    let node = lab.open_with(Config { skip_damaged_log: true, ..Config::default() }).unwrap();
    assert_eq!(node.engine().log_damage().len(), 1);
    lab.close(node);
    assert!(lab.open().unwrap().engine().log_damage().is_empty());
}

#[test]
fn timestamps_do_not_go_back_with_the_clock_across_restarts() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    let last = node.timestamps().next();
    lab.runtime.run_for(std::time::Duration::from_secs(2));
    drop(node);
    lab.crash();
    lab.clock.set_wall_micros(1_000);
    let node = lab.open().unwrap();
    assert!(node.timestamps().next() > last);
    let last = node.timestamps().next();
    lab.close(node);
    lab.clock.set_wall_micros(500);
    assert_eq!(lab.open().unwrap().timestamps().next(), last + 1);
}

#[test]
fn a_directory_is_never_guessed_at() {
    let lab = Lab::new();
    let node = lab.open().unwrap();
    assert!(matches!(lab.open(), Err(OpenError::Locked(_))));
    lab.close(node);
    lab.disk.remove(Path::new("/data/IDENTITY")).unwrap();
    let refused = lab.open().unwrap_err().to_string();
    assert!(refused.contains("is not a data directory"), "{refused}");

    let lab = Lab::new();
    lab.disk.create_dir_all(Path::new("/data")).unwrap();
    lab.disk.create(Path::new("/data/letters.txt")).unwrap();
    assert!(lab.open().unwrap_err().to_string().contains("letters.txt"));
}

#[test]
fn founding_can_be_interrupted_anywhere() {
    let calls = {
        let lab = Lab::new();
        lab.open().unwrap();
        lab.disk.calls()
    };
    for call in 1..calls {
        let lab = Lab::new();
        lab.disk.cut_at_call(call);
        drop(lab.open());
        lab.runtime.kill();
        lab.disk.power_cut(Default::default());
        let node = lab.open().unwrap_or_else(|error| panic!("cut at call {call}: {error}"));
        lab.close(node);
    }
}
