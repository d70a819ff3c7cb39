//! The budgets, in a small cluster; `cargo run --release -p helenus-gossip --example simulate` is
//! the large one.

#[path = "../../examples/simulate/scenario.rs"]
mod scenario;
#[path = "../../examples/simulate/world.rs"]
mod world;

use helenus_gossip::Config;

use scenario::{Outcome, Plan, Scenario, quantile, run};

fn plan(scenario: Scenario, seed: u64) -> Plan {
    Plan {
        scenario,
        nodes: 60,
        seconds: 240,
        loss: 0.05,
        seed,
        config: Config::new("simulated"),
        on_the_wire: true,
    }
}

/// A change is known to all in 10 rounds, the dead are convicted by all in 10 s, nobody else is.
fn holds(outcome: &Outcome, deaths: usize) {
    let seen = &outcome.seen;
    assert_eq!((seen.false_convictions, seen.after_own_pause), (0, 0), "{outcome:?}");
    assert!(seen.rounds_to_know.len() >= 10, "{outcome:?}");
    assert!(quantile(&seen.rounds_to_know, 1.0) <= 10.0, "{outcome:?}");
    assert!(seen.seconds_to_convict.len() >= deaths, "{outcome:?}");
    if deaths > 0 {
        assert!(quantile(&seen.seconds_to_convict, 1.0) <= 10.0, "{outcome:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let short = |seed| Plan { nodes: 20, seconds: 60, ..plan(Scenario::Loss, seed) };
    let first = run(&short(1));
    assert_eq!(run(&short(1)), first);
    assert_ne!(run(&short(2)).seen.trace, first.seen.trace);
    let in_memory = run(&Plan { on_the_wire: false, ..short(1) });
    assert_eq!(in_memory, first, "a message means the same as its bytes");
}

#[test]
fn with_losses_the_budgets_hold() {
    holds(&run(&plan(Scenario::Loss, 1)), 3);
}

#[test]
fn with_long_delays_nobody_is_convicted_in_error() {
    let outcome = run(&plan(Scenario::Delay, 2));
    assert_eq!(outcome.seen.false_convictions, 0, "{outcome:?}");
    assert!(quantile(&outcome.seen.rounds_to_know, 1.0) <= 12.0, "{outcome:?}");
}

#[test]
fn with_cuts_in_one_direction_the_budgets_hold() {
    holds(&run(&plan(Scenario::Asymmetric, 3)), 3);
}

#[test]
fn nodes_that_come_and_go_do_not_harm_the_others() {
    let outcome = run(&plan(Scenario::Flapping, 4));
    assert_eq!(outcome.seen.false_convictions, 0, "{outcome:?}");
    assert!(quantile(&outcome.seen.rounds_to_know, 1.0) <= 10.0, "{outcome:?}");
    assert!(outcome.seen.convictions > 0, "{outcome:?}");
}

#[test]
fn who_was_paused_does_not_convict_the_world() {
    holds(&run(&plan(Scenario::Pauses, 5)), 0);
}

#[test]
fn halves_convict_one_another_and_find_together_again() {
    let outcome = run(&Plan { seconds: 60, ..plan(Scenario::Split, 6) });
    assert_eq!(outcome.seen.false_convictions, 60 * 60 / 2, "{outcome:?}");
    assert!(quantile(&outcome.seconds_to_recover, 1.0) <= 20.0, "{outcome:?}");
}

#[test]
fn a_cluster_that_restarts_at_once_finds_together() {
    let outcome = run(&Plan { seconds: 60, ..plan(Scenario::Restart, 7) });
    assert_eq!(outcome.seen.false_convictions, 0, "{outcome:?}");
    assert!(quantile(&outcome.seconds_to_recover, 1.0) <= 45.0, "{outcome:?}");
}

/// The figures come from the cluster, not from the harness: a detector that is too hasty, and an
/// interval that is too long, are noticed.
#[test]
fn bad_settings_are_noticed() {
    let mut hasty = plan(Scenario::Loss, 8);
    hasty.config.phi_threshold = 0.8;
    assert!(run(&hasty).seen.false_convictions > 0);
    let mut slow = plan(Scenario::Loss, 8);
    slow.config.phi_threshold = 8.0;
    assert!(quantile(&run(&slow).seen.seconds_to_convict, 1.0) > 10.0);
}
