//! Order, kills, pauses and skewed clocks of simulated tasks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::channel;

fn run(seed: u64) -> (u64, Vec<u64>) {
    let clock = Arc::new(ManualClock::new(0));
    let runtime = SimRuntime::new(seed, clock.clone());
    let (sender, mut receiver) = channel::bounded(100);
    for worker in 0..5u64 {
        let (runtime2, sender) = (runtime.clone(), sender.clone());
        let future = async move {
            for round in 0..4 {
                runtime2.sleep(Duration::from_millis(10 * (worker % 2))).await;
                sender.send(worker * 10 + round).await.unwrap();
            }
        };
        runtime.spawn("worker", Box::pin(future));
    }
    drop(sender);
    let seen = runtime.block_on(10_000, async move {
        let mut seen = Vec::new();
        while let Some(value) = receiver.recv().await {
            seen.push(value);
        }
        seen
    });
    assert!(clock.monotonic() >= Duration::from_millis(40));
    (runtime.trace_hash(), seen.unwrap())
}

#[test]
fn the_same_seed_is_the_same_run_and_another_seed_another() {
    assert_eq!(run(1), run(1));
    let orders: std::collections::BTreeSet<_> = (0..10).map(|seed| run(seed).1).collect();
    assert!(orders.len() > 3, "{orders:?}");
}

#[test]
fn what_cannot_go_on_is_told() {
    let runtime = SimRuntime::new(1, Arc::new(ManualClock::new(0)));
    assert_eq!(runtime.block_on(1_000, std::future::pending::<()>()), Err(Stuck));
}

#[test]
fn killing_drops_every_task() {
    let runtime = SimRuntime::new(1, Arc::new(ManualClock::new(0)));
    let kept = Arc::new(());
    let held = kept.clone();
    let sleep = runtime.sleep(Duration::from_secs(1));
    runtime.spawn(
        "holder",
        Box::pin(async move {
            sleep.await;
            drop(held);
        }),
    );
    runtime.run_for(Duration::from_millis(1));
    runtime.kill();
    assert_eq!(Arc::strong_count(&kept), 1);
}

/// Two groups that each count every millisecond, and the clocks that they see.
struct Pair {
    clock: Arc<ManualClock>,
    runtime: SimRuntime,
    groups: [SimGroup; 2],
    counts: [Arc<AtomicU64>; 2],
}

impl Pair {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let runtime = SimRuntime::new(seed, clock.clone());
        let groups = [runtime.group("one"), runtime.group("two")];
        let pair = Pair { clock, runtime, groups, counts: Default::default() };
        (0..2).for_each(|number| pair.start(number));
        pair
    }

    fn start(&self, number: usize) {
        let (runtime, count) = (self.groups[number].runtime(), self.counts[number].clone());
        self.groups[number].runtime().spawn_worker(
            "count",
            Box::pin(async move {
                loop {
                    runtime.sleep(Duration::from_millis(1)).await;
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }),
        );
    }

    /// How far each has counted in so many milliseconds.
    fn run(&self, millis: u64) -> [u64; 2] {
        let before = self.counts.each_ref().map(|count| count.load(Ordering::SeqCst));
        self.runtime.run_for(Duration::from_millis(millis));
        [0, 1].map(|number| self.counts[number].load(Ordering::SeqCst) - before[number])
    }
}

#[test]
fn a_group_dies_alone_and_is_started_again() {
    let pair = Pair::new(1);
    let before = pair.run(10);
    assert!(before[0] > 5 && before[1] > 5, "{before:?}");
    let old = pair.groups[0].runtime();
    pair.groups[0].kill();
    assert_eq!((pair.groups[0].tasks(), pair.groups[1].tasks()), (0, 1));
    // Whoever still has a hand of the dead one starts nothing.
    old.spawn("ghost", Box::pin(std::future::pending()));
    assert_eq!(pair.groups[0].tasks(), 0);
    let dead = pair.run(10);
    assert!(dead[0] == 0 && dead[1] > 5, "{dead:?}");
    pair.start(0);
    let again = pair.run(10);
    assert!(again[0] > 5 && again[1] > 5, "{again:?}");
}

#[test]
fn who_runs_is_known_while_it_runs() {
    let pair = Pair::new(1);
    let (runtime, seen) = (pair.runtime.clone(), Arc::new(Mutex::new(None)));
    let place = seen.clone();
    let look = async move { *place.lock().unwrap() = runtime.running() };
    pair.groups[1].runtime().spawn("look", Box::pin(look));
    pair.run(1);
    assert_eq!((seen.lock().unwrap().as_deref(), pair.runtime.running()), (Some("two"), None));
}

#[test]
fn a_task_may_kill_its_own_group() {
    let pair = Pair::new(1);
    let (group, kept) = (pair.groups[0].clone(), Arc::new(()));
    let held = kept.clone();
    pair.groups[0].runtime().spawn(
        "suicide",
        Box::pin(async move {
            group.kill();
            let () = std::future::pending().await;
            drop(held);
        }),
    );
    pair.run(2);
    assert_eq!((pair.groups[0].tasks(), Arc::strong_count(&kept)), (0, 1));
}

#[test]
fn a_paused_group_stands_still_while_its_time_passes() {
    let pair = Pair::new(1);
    pair.run(5);
    pair.groups[0].pause();
    let (before, wall) = (pair.clock.monotonic(), pair.groups[0].clock().wall_micros());
    let paused = pair.run(20);
    assert!(paused[0] == 0 && paused[1] > 10, "{paused:?}");
    assert!(pair.groups[0].clock().monotonic() >= before + Duration::from_millis(20));
    assert!(pair.groups[0].clock().wall_micros() >= wall + 15_000);
    pair.groups[0].resume();
    let resumed = pair.run(10);
    assert!(resumed[0] > 5, "{resumed:?}");
    // Killed while it is paused, it starts again without.
    pair.groups[0].pause();
    pair.run(5);
    pair.groups[0].kill();
    pair.start(0);
    assert!(pair.run(10)[0] > 5);
}

#[test]
fn a_wall_clock_is_skewed_for_its_group_only() {
    let pair = Pair::new(1);
    let [one, two] = pair.groups.each_ref().map(SimGroup::clock);
    assert_eq!(one.wall_micros(), two.wall_micros());
    pair.groups[0].step_wall(-3_000_000);
    assert_eq!(one.wall_micros(), two.wall_micros() - 3_000_000);
    pair.groups[0].set_drift(1_000);
    pair.clock.advance(Duration::from_secs(10));
    pair.groups[0].set_drift(0);
    pair.clock.advance(Duration::from_secs(10));
    assert_eq!(one.wall_micros(), two.wall_micros() - 3_000_000 + 10_000);
    assert_eq!(one.monotonic(), two.monotonic());
    pair.groups[0].heal_clock();
    assert_eq!(one.wall_micros(), two.wall_micros());
}

#[test]
fn slow_workers_come_to_everything_later() {
    let pair = Pair::new(1);
    pair.groups[0].set_worker_delay(Duration::from_millis(20));
    let slow = pair.run(200);
    assert!((5..60).contains(&slow[0]) && slow[1] > 150, "{slow:?}");
    pair.groups[0].set_worker_delay(Duration::ZERO);
    pair.run(20);
    assert!(pair.run(20)[0] > 10);
}

#[test]
fn groups_are_part_of_what_a_seed_decides() {
    let run = |seed| {
        let pair = Pair::new(seed);
        pair.groups[1].set_worker_delay(Duration::from_millis(3));
        pair.run(10);
        pair.groups[0].pause();
        pair.run(5);
        pair.groups[0].resume();
        pair.groups[1].kill();
        pair.start(1);
        (pair.run(20), pair.runtime.trace_hash())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).1, run(4).1);
}
