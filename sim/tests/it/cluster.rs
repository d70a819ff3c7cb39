//! Whole clusters: the same seed is the same run, and promises are kept whatever goes wrong.
//!
//! `SIM_SEEDS=500 SIM_FIRST=1000 cargo test -p helenus-sim cluster` tries so many seeds from there
//! on; `SIM_SEED=7` tries only that one. A failure prints the seed and the end of its history;
//! `cargo run -p helenus-sim --bin helenus-sim -- 7 --shrink` prints all of it.
#![expect(clippy::print_stdout, reason = "a failure is told with its history")]

use std::time::Duration;

use helenus_sim::cluster::{Options, Plant, Work, run};

/// How long faults are made where it does not matter which.
const SHORT: Duration = Duration::from_secs(4);
/// Lines of the history that a failure prints.
const LINES: usize = 40;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Seeds of a run: few, unless somebody asks for more.
fn seeds(few: u64) -> std::ops::Range<u64> {
    if let Some(seed) = number("SIM_SEED") {
        return seed..seed + 1;
    }
    let first = number("SIM_FIRST").unwrap_or(0);
    first..first + number("SIM_SEEDS").unwrap_or(few)
}

fn try_seeds(few: u64, with: impl Fn(Options) -> Options) {
    let mut failed = Vec::new();
    for seed in seeds(few) {
        let options = with(Options::new(seed));
        let report = run(&options);
        println!("seed {seed}: {} promises, {:?}", report.promises, report.violations.first());
        if !report.violations.is_empty() {
            let end = report.history.len().saturating_sub(LINES);
            report.history[end..].iter().for_each(|line| println!("{line}"));
            failed.push((options, report.violations));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let of = |seed| run(&Options { nodes: 3, duration: SHORT, ..Options::new(seed) });
    let (first, second) = (of(1), of(1));
    for (one, other) in first.history.iter().zip(&second.history) {
        assert_eq!(one, other);
    }
    assert_eq!(first, second);
    assert_ne!(first.trace_hash, of(2).trace_hash);
}

#[test]
fn promises_are_kept_whatever_goes_wrong() {
    try_seeds(4, |options| options);
}

#[test]
fn one_node_keeps_its_promises_to_clients_on_a_network() {
    try_seeds(1, |options| Options { nodes: 1, ..options });
}

#[test]
fn changes_of_the_schema_are_one_history_on_all_nodes() {
    try_seeds(1, |options| Options { work: Work::Schema, ..options });
}

fn noticed(plant: Plant, within: u64) -> Option<u64> {
    let notices = |seed: &u64| {
        let options = Options { plant: Some(plant), ..Options::new(*seed) };
        !run(&options).violations.is_empty()
    };
    (0..within).find(notices)
}

#[test]
fn lost_hints_are_noticed() {
    assert!(noticed(Plant::LostHints, 30).is_some(), "hints were lost and nobody noticed");
}

#[test]
fn an_answer_before_the_log_is_noticed() {
    let seed = noticed(Plant::AnswerBeforeLog, 30);
    assert!(seed.is_some(), "answers were given too early and nobody noticed");
}
