//! Simulations of one node: the same seed is the same run, promises are kept, planted faults are
//! noticed.

mod cluster;

use helenus::config::DurabilityMode;
use helenus_sim::{Options, Plant, run};

const MODES: [DurabilityMode; 3] =
    [DurabilityMode::Group, DurabilityMode::Periodic, DurabilityMode::Batch];

/// Seeds of a run; `SIM_SEEDS=1000` makes it a long one.
fn seeds(few: u64) -> std::ops::Range<u64> {
    let many = std::env::var("SIM_SEEDS").ok().and_then(|text| text.parse().ok());
    0..many.unwrap_or(few)
}

#[test]
fn the_same_seed_is_the_same_run() {
    let first = run(Options::new(1));
    assert_eq!(first, run(Options::new(1)));
    assert_ne!(first.trace_hash, run(Options::new(2)).trace_hash);
}

#[test]
fn promises_are_kept_in_every_mode() {
    let mut promises = 0;
    for seed in seeds(6) {
        for durability in MODES {
            let options = Options { durability, ..Options::new(seed) };
            let report = run(options);
            assert_eq!(report.violations, [], "{options:?}");
            promises += report.promises;
        }
    }
    assert!(promises > 2_000, "the clients did next to nothing: {promises} promises");
}

#[test]
fn an_answer_before_the_watermark_is_noticed() {
    let plant = Some(Plant::AnswerBeforeWatermark);
    let noticed =
        seeds(15).find(|seed| !run(Options { plant, ..Options::new(*seed) }).violations.is_empty());
    assert!(noticed.is_some(), "answers were given too early and nobody noticed");
}
