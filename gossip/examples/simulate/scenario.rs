//! What is done to a cluster, and what comes of it.

use helenus_gossip::Config;

use super::world::{Action, Network, SECOND, Seen, World};

/// What is done to it, once it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Messages are lost; now and then a node dies, and comes back 30 s later.
    Loss,
    /// The same, and every message takes 1 to 200 ms, one in a hundred up to 2 s.
    Delay,
    /// The same as `Loss`, and half of the time a fifth of the nodes cannot send to another fifth.
    Asymmetric,
    /// One node in twenty dies after 10 to 40 s and comes back after 2 to 20 s, all the time.
    Flapping,
    /// Every 20 s a node stands still for 1 to 15 s.
    Pauses,
    /// The cluster falls into two halves for 60 s, every five minutes.
    Split,
    /// Every 10 minutes all nodes die at once, and come back within 30 s.
    Restart,
}

/// What is to be simulated.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) nodes: usize,
    /// How long it lasts once the cluster is up.
    pub(crate) seconds: u64,
    pub(crate) loss: f64,
    pub(crate) seed: u64,
    pub(crate) config: Config,
    pub(crate) on_the_wire: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) seen: Seen,
    /// Seconds from the first start until everybody thought everybody up.
    pub(crate) seconds_to_start: f64,
    /// Seconds until that was so again: after each mass restart, or each healing of a split.
    pub(crate) seconds_to_recover: Vec<f64>,
    /// Bytes that a node sends in a second.
    pub(crate) bytes_per_second: f64,
    /// The longest silence, in seconds, of a node that turned out to be up all along.
    pub(crate) silence_max: f64,
    /// Rounds of all nodes together.
    pub(crate) rounds: u64,
}

/// Longest that a cluster may take until everybody thinks everybody up.
const START_SECONDS_MAX: u64 = 600;

fn all_up(world: &World) -> bool {
    let nodes = world.nodes() as i64;
    world.seen.up_pairs == nodes * (nodes - 1)
}

/// Runs a plan.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let slow = plan.scenario == Scenario::Delay;
    let network = Network {
        loss: plan.loss,
        delay: if slow { (1_000, 200_000) } else { (200, 5_000) },
        slow: if slow { (0.01, 2 * SECOND) } else { (0.0, 0) },
    };
    let mut world = World::new(plan.nodes, plan.config.clone(), network, plan.seed);
    world.on_the_wire = plan.on_the_wire;
    for node in 0..plan.nodes {
        let at = world.below(5 * SECOND);
        world.at(at, Action::Start(node));
    }
    world.run_until(START_SECONDS_MAX * SECOND, all_up);
    let seconds_to_start = world.now as f64 / SECOND as f64;
    // Windows of detectors fill with what is usual.
    world.run_until(world.now + 60 * SECOND, |_| false);
    let Seen { trace, up_pairs, .. } = world.seen;
    world.seen = Seen { trace, up_pairs, ..Seen::default() };
    let rounds_before: u64 = world.counters().iter().map(|counters| counters.rounds).sum();
    let begin = world.now;
    let end = begin + plan.seconds * SECOND;
    let seconds_to_recover = match plan.scenario {
        Scenario::Split => split(&mut world, end),
        Scenario::Restart => restart(&mut world, end),
        scenario => {
            prepare(&mut world, scenario, begin, end);
            world.run_until(end, |_| false);
            Vec::new()
        }
    };
    let counters = world.counters();
    let silence = counters.iter().map(|counters| counters.silence_micros_max).max();
    let rounds: u64 = counters.iter().map(|counters| counters.rounds).sum();
    let took = (world.now - begin) as f64 / SECOND as f64;
    Outcome {
        bytes_per_second: world.seen.bytes as f64 / took / plan.nodes as f64,
        silence_max: silence.unwrap_or(0) as f64 / SECOND as f64,
        rounds: rounds.saturating_sub(rounds_before),
        seen: world.seen,
        seconds_to_start,
        seconds_to_recover,
    }
}

/// Puts everything that will be done into the world's calendar.
fn prepare(world: &mut World, scenario: Scenario, begin: u64, end: u64) {
    let nodes = world.nodes();
    // The last tenth of the nodes is what happens to; the seeds are among the first.
    let victims = nodes - nodes.div_ceil(10)..nodes;
    let (flappers, mortals) = match scenario {
        Scenario::Flapping => {
            let half = victims.start + victims.len() / 2;
            (victims.start..half, half..nodes)
        }
        _ => (nodes..nodes, victims),
    };
    for node in flappers {
        world.set_unstable(node);
        let mut at = begin + world.below(20 * SECOND);
        while at < end {
            world.at(at, Action::Kill(node));
            at += 2 * SECOND + world.below(18 * SECOND);
            world.at(at, Action::Start(node));
            at += 10 * SECOND + world.below(30 * SECOND);
        }
    }
    for node in mortals.clone() {
        world.set_unstable(node);
    }
    let dies = scenario != Scenario::Pauses;
    for (minute, at) in (begin + 5 * SECOND..end).step_by(60 * SECOND as usize).enumerate() {
        let node = mortals.start + minute % mortals.len();
        if dies {
            world.at(at, Action::Kill(node));
            world.at(at + 30 * SECOND, Action::Start(node));
        }
        if scenario == Scenario::Asymmetric && minute % 2 == 0 {
            let fifth = nodes / 5;
            world.at(at + SECOND, Action::Cut(0..fifth, 2 * fifth..3 * fifth));
            world.at(at + 60 * SECOND, Action::Mend);
        }
    }
    for at in (begin..end.saturating_sub(15 * SECOND)).step_by(20 * SECOND as usize) {
        let node = world.below(mortals.start.min(nodes / 2) as u64) as usize;
        world.at(at, Action::Change(node));
        if scenario == Scenario::Pauses {
            let node = mortals.start + world.below(mortals.len() as u64) as usize;
            let micros = SECOND + world.below(14 * SECOND);
            world.at(at + SECOND, Action::Pause(node, micros));
        }
    }
}

fn split(world: &mut World, end: u64) -> Vec<f64> {
    let (nodes, mut took) = (world.nodes(), Vec::new());
    while world.now < end {
        let half = nodes / 2;
        world.at(world.now, Action::Cut(0..half, half..nodes));
        world.at(world.now, Action::Cut(half..nodes, 0..half));
        world.run_until(world.now + 60 * SECOND, |_| false);
        world.at(world.now, Action::Mend);
        took.push(recovery(world));
        world.run_until(world.now + 240 * SECOND, |_| false);
    }
    took
}

fn restart(world: &mut World, end: u64) -> Vec<f64> {
    let mut took = Vec::new();
    while world.now < end {
        for node in 0..world.nodes() {
            world.at(world.now + 1, Action::Kill(node));
            let back = world.below(30 * SECOND);
            world.at(world.now + SECOND + back, Action::Start(node));
        }
        world.run_until(world.now + SECOND, |_| false);
        took.push(recovery(world));
        world.run_until(world.now + 540 * SECOND, |_| false);
    }
    took
}

/// Seconds until everybody thinks everybody up.
fn recovery(world: &mut World) -> f64 {
    let begin = world.now;
    world.run_until(begin + START_SECONDS_MAX * SECOND, all_up);
    (world.now - begin) as f64 / SECOND as f64
}

/// The value at the given part of the sorted values; infinite if there are none.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(f64::INFINITY)
}
