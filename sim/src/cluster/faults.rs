//! What goes wrong in a simulation: a list of faults with their times, drawn from the seed before
//! anything runs. Leaving one out moves no other, so that a plan can be shrunk.

use std::fmt;
use std::time::Duration;

use helenus_platform::random::{Random, SeededRandom};

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When it begins, counted from the first request.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What happens.
    pub what: What,
}

/// What happens. Nodes count from zero.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The process dies at once; what it has written stays. It starts again afterwards.
    Kill(usize),
    /// The power fails, at the disk's so-and-so-manieth sync from then on; of what was not
    /// synced, some survives. It starts again afterwards.
    PowerCut {
        /// Whose.
        node: usize,
        /// After so many more syncs.
        syncs: u64,
        /// A write may survive in part.
        torn: bool,
        /// Later writes may survive without earlier ones.
        reorder: bool,
    },
    /// The process stands still, as after SIGSTOP.
    Pause(usize),
    /// Nothing gets to the node or from it, clients included.
    Isolate(usize),
    /// Nothing gets from one node to the other.
    CutOneWay(usize, usize),
    /// Nothing gets from one node to the other, nor back.
    Cut(usize, usize),
    /// What goes from one node to the other takes this long, at most.
    SlowLink(usize, usize, Duration),
    /// All connections between two nodes are reset.
    Reset(usize, usize),
    /// The wall clock is wrong by so many microseconds.
    WrongClock(usize, i64),
    /// The wall clock runs so many parts in a million too fast.
    Drift(usize, i64),
    /// Every step of a worker waits this long for the disk, at most.
    SlowDisk(usize, Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(formatter, "{at:8.3} s, for {lasts:6.3} s: {:?}", self.what)
    }
}

/// Which kinds of faults a plan has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Nothing goes wrong.
    None,
    /// Nothing of what a process knows is lost: pauses and the network. Then hints alone must
    /// bring every replica up to date.
    NothingIsLost,
    /// Everything.
    All,
}

fn between(random: &SeededRandom, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + random.below(most.saturating_sub(least) + 1))
}

/// Draws a plan for so many nodes: a fault about every second and a half, over `duration`.
pub(crate) fn plan(seed: u64, nodes: usize, duration: Duration, kinds: Kinds) -> Vec<Fault> {
    let random = SeededRandom::new(seed);
    let mut faults = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        at += between(&random, 100, 3_000);
        if kinds == Kinds::None || nodes == 0 || at >= duration {
            return faults;
        }
        let lasts = match random.below(3) {
            0 => between(&random, 50, 1_000),
            1 => between(&random, 1_000, 5_000),
            _ => between(&random, 5_000, 20_000),
        };
        let what = draw(&random, nodes, kinds);
        faults.push(Fault { at, lasts, what });
    }
}

/// `nodes` is not zero.
fn draw(random: &SeededRandom, nodes: usize, kinds: Kinds) -> What {
    let pick = || usize::try_from(random.below(nodes as u64)).unwrap_or(0);
    let node = pick();
    // Another one, where there is one.
    let ahead = usize::try_from(random.below(nodes.saturating_sub(1) as u64)).unwrap_or(0);
    let other = (node + 1 + ahead) % nodes;
    let signed = |most: u64| i64::try_from(random.below(2 * most)).unwrap_or(0) - most as i64;
    let harmless = kinds == Kinds::NothingIsLost;
    match random.below(100) {
        0..14 if !harmless => What::Kill(node),
        14..32 if !harmless => What::PowerCut {
            node,
            syncs: 1 + random.below(20),
            torn: random.chance(0.5),
            reorder: random.chance(0.5),
        },
        0..45 => What::Pause(node),
        45..55 => What::Isolate(node),
        55..65 => What::CutOneWay(node, other),
        65..73 => What::Cut(node, other),
        73..79 => What::SlowLink(node, other, between(random, 10, 2_000)),
        79..84 => What::Reset(node, other),
        84..90 => What::WrongClock(node, signed(10_000_000)),
        90..94 => What::Drift(node, signed(20_000)),
        _ => What::SlowDisk(node, between(random, 1, 300)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_its_seeds_and_within_its_time() {
        let long = Duration::from_secs(600);
        let drawn = plan(7, 3, long, Kinds::All);
        assert_eq!(drawn, plan(7, 3, long, Kinds::All));
        assert_ne!(drawn, plan(8, 3, long, Kinds::All));
        assert!(drawn.len() > 200 && drawn.iter().all(|fault| fault.at < long));
        let loses = |fault: &Fault| matches!(fault.what, What::Kill(_) | What::PowerCut { .. });
        assert!(drawn.iter().any(loses));
        assert!(!plan(7, 3, long, Kinds::NothingIsLost).iter().any(loses));
        assert_eq!(plan(7, 3, long, Kinds::None), []);
    }
}
