//! Simulates a whole cluster's gossip and prints how it fares:
//!
//! ```text
//! cargo run --release -p helenus-gossip --example simulate -- [NAME=VALUE]... [SCENARIO]...
//! ```
//!
//! Scenarios: loss delay asymmetric flapping pauses split restart; all of them unless named.
//! Names: `nodes`, `seconds`, `seed`, `loss`, and of the gossip `interval` (ms), `fan_out`,
//! `threshold`; `interval`, `fan_out` and `threshold` take lists like `500,1000`, and every
//! combination is tried. The same arguments give the same table and the same trace hash, except for
//! `µs a round`: how long the machine took for one round of one node, the simulator included.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is what the program is for")]
#![expect(clippy::expect_used, reason = "a simulation that breaks its own rules stops")]

mod scenario;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use helenus_gossip::Config;
use helenus_platform::clock::{Clock, RealClock};

use scenario::{Outcome, Plan, Scenario, quantile};

const SCENARIOS: [(&str, Scenario); 7] = [
    ("loss", Scenario::Loss),
    ("delay", Scenario::Delay),
    ("asymmetric", Scenario::Asymmetric),
    ("flapping", Scenario::Flapping),
    ("pauses", Scenario::Pauses),
    ("split", Scenario::Split),
    ("restart", Scenario::Restart),
];

struct Arguments {
    nodes: usize,
    seconds: u64,
    seed: u64,
    loss: f64,
    intervals: Vec<u64>,
    fan_outs: Vec<usize>,
    thresholds: Vec<f64>,
    scenarios: Vec<(&'static str, Scenario)>,
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn list<T: std::str::FromStr>(text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(parse).collect()
}

fn arguments() -> Result<Arguments, String> {
    let defaults = Config::new("simulated");
    let mut all = Arguments {
        nodes: 1000,
        seconds: 3600,
        seed: 1,
        loss: 0.05,
        intervals: vec![defaults.interval.as_millis() as u64],
        fan_outs: vec![defaults.fan_out],
        thresholds: vec![defaults.phi_threshold],
        scenarios: Vec::new(),
    };
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("nodes", value)) => all.nodes = parse(value)?,
            Some(("seconds", value)) => all.seconds = parse(value)?,
            Some(("seed", value)) => all.seed = parse(value)?,
            Some(("loss", value)) => all.loss = parse(value)?,
            Some(("interval", value)) => all.intervals = list(value)?,
            Some(("fan_out", value)) => all.fan_outs = list(value)?,
            Some(("threshold", value)) => all.thresholds = list(value)?,
            _ => match SCENARIOS.iter().find(|(name, _)| *name == argument) {
                Some(scenario) => all.scenarios.push(*scenario),
                None => return Err(format!("{argument}: no such scenario or setting")),
            },
        }
    }
    if all.nodes < 10 {
        return Err("there must be at least 10 nodes".to_owned());
    }
    if all.scenarios.is_empty() {
        all.scenarios = SCENARIOS.to_vec();
    }
    Ok(all)
}

fn main() -> ExitCode {
    let all = match arguments() {
        Ok(all) => all,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    println!(
        "{} nodes, {} s simulated, {} % loss, seed {}",
        all.nodes,
        all.seconds,
        all.loss * 100.0,
        all.seed
    );
    println!(
        "| scenario | interval, fan-out, threshold | rounds to know: median, p99, max | \
         s to convict: median, max | false | s to be up: start, again | longest silence, s | \
         kB/s sent | largest message | µs a round | trace |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for &interval in &all.intervals {
        for &fan_out in &all.fan_outs {
            for &phi_threshold in &all.thresholds {
                for &(name, scenario) in &all.scenarios {
                    let config = Config {
                        interval: Duration::from_millis(interval),
                        fan_out,
                        phi_threshold,
                        ..Config::new("simulated")
                    };
                    let Arguments { nodes, seconds, loss, seed, .. } = all;
                    let on_the_wire = false;
                    row(name, &Plan { scenario, nodes, seconds, loss, seed, config, on_the_wire });
                }
            }
        }
    }
    ExitCode::SUCCESS
}

fn row(name: &str, plan: &Plan) {
    let clock = RealClock::new();
    let outcome = scenario::run(plan);
    let micros = clock.monotonic().as_micros() as f64 / outcome.rounds.max(1) as f64;
    let Outcome { seen, seconds_to_recover, .. } = &outcome;
    let again = seconds_to_recover.iter().copied().fold(f64::NAN, f64::max);
    println!(
        "| {} | {} ms, {}, {} | {} | {} | {}{} | {:.1}{} | {:.1} | {:.1} | {} | {:.0} | {:016x} |",
        name,
        plan.config.interval.as_millis(),
        plan.config.fan_out,
        plan.config.phi_threshold,
        figures(&seen.rounds_to_know, &[0.5, 0.99, 1.0]),
        figures(&seen.seconds_to_convict, &[0.5, 1.0]),
        seen.false_convictions,
        match seen.after_own_pause {
            0 => String::new(),
            more => format!(" and {more} after its own pause"),
        },
        outcome.seconds_to_start,
        if again.is_nan() { String::new() } else { format!(", {again:.1}") },
        outcome.silence_max,
        outcome.bytes_per_second / 1000.0,
        seen.message_bytes_max,
        micros,
        seen.trace,
    );
}

fn figures(values: &[f64], parts: &[f64]) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let figures: Vec<String> =
        parts.iter().map(|part| format!("{:.1}", quantile(values, *part))).collect();
    figures.join(", ")
}
