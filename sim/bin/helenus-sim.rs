//! Replays one seed of the cluster simulation: its faults, what happened, what went wrong, and
//! with `--shrink` the few faults that are needed for that.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command of its own")]

use std::process::ExitCode;

use helenus_sim::cluster::{Fault, Options, Plant, Report, Work, run_plan, shrink};

const USAGE: &str =
    "usage: helenus-sim SEED [--nodes N] [--schema] [--plant hints|log] [--shrink] [--quiet]";

fn main() -> ExitCode {
    match run() {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Whether every promise was kept; none if the arguments make no sense.
fn run() -> Option<bool> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options::new(arguments.next()?.parse().ok()?);
    let (mut shrinks, mut quiet) = (false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--nodes" => options.nodes = arguments.next()?.parse().ok()?,
            "--schema" => options.work = Work::Schema,
            "--plant" => {
                options.plant = match arguments.next()?.as_str() {
                    "hints" => Some(Plant::LostHints),
                    "log" => Some(Plant::AnswerBeforeLog),
                    _ => return None,
                }
            }
            "--shrink" => shrinks = true,
            "--quiet" => quiet = true,
            _ => return None,
        }
    }
    let mut plan = options.plan();
    if shrinks {
        plan = shrink(&options, &plan);
    }
    let report = run_plan(&options, &plan);
    show(&options, &plan, &report, quiet);
    Some(report.violations.is_empty())
}

fn show(options: &Options, plan: &[Fault], report: &Report, quiet: bool) {
    if !quiet {
        report.history.iter().for_each(|line| println!("{line}"));
        println!();
    }
    println!("{options:?}");
    plan.iter().for_each(|fault| println!("{fault}"));
    println!("{} promises, trace {:016x}", report.promises, report.trace_hash);
    for violation in &report.violations {
        println!("VIOLATION: {violation}");
    }
}
