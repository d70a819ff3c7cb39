//! The command line: what each command takes, and exit codes: 0 done, 1 failed, 2 wrong usage.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its answer")]

mod admin;
mod bench;
mod inspect;
mod manual;
mod options;
mod restore;
mod serve;
mod shell;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{CQL_VERSION, RELEASE_VERSION};
use options::ServeOptions;

const SERVE_HELP: &str = "Prints one line when it serves. SIGTERM and Ctrl-C stop it cleanly; \
    log lines go to standard error, for people on a terminal and as JSON otherwise.\n\n\
    Examples:\n  helenus serve\n  helenus serve --data-dir /var/lib/helenus --listen 0.0.0.0\n  \
    helenus serve --config helenus.toml --set commit_log.mode=periodic\n  \
    HELENUS_CACHE_BLOCK_BYTES=1GiB helenus serve";

const BENCH_HELP: &str = "With --rate, a latency counts from the moment at which its request was \
    due, so a node that stalls is charged for all that waited. One line each second goes to \
    standard error.\n\n\
    Examples:\n  helenus bench write --duration 30s\n  \
    helenus bench mixed --rate 20000 --duration 1m --json\n  \
    helenus bench read 10.0.0.5:9042 --rows 1000000 --no-populate";

const INSPECT_HELP: &str = "Knows every file by its first bytes (SSTables, commit log segments, \
    manifests, the metadata log, IDENTITY) or by its name (FORMAT, CURRENT, LOCK, and a snapshot's \
    manifest.json).\n\n\
    Examples:\n  helenus inspect helenus-data/IDENTITY\n  \
    helenus inspect --rows helenus-data/engine/tables/*/*";

const CONFIG_HELP: &str = "Examples:\n  helenus config > helenus.toml\n  \
    helenus config --config helenus.toml --set commit_log.mode=batch";

const RESTORE_HELP: &str = "Every byte is checked before the directory counts.\n\n\
    Examples:\n  helenus restore helenus-data/snapshots/before-upgrade --data-dir restored\n  \
    helenus serve --data-dir restored";

/// A wide-column database that speaks Cassandra's language and protocol.
#[derive(Debug, Parser)]
#[command(name = "helenus", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node (what `helenus` does without a command)
    #[command(after_help = SERVE_HELP)]
    Serve(ServeOptions),
    /// Talk to a node, or to a data directory, in CQL
    Shell(Box<shell::ShellOptions>),
    #[command(flatten)]
    Operate(admin::Operate),
    /// Make an empty directory the data directory of a node, as a snapshot has it
    #[command(after_help = RESTORE_HELP)]
    Restore {
        /// The snapshot's directory: DATA_DIR/snapshots/TAG, or a copy of it
        snapshot: PathBuf,
        /// The new data directory: empty or missing
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Put load on a node over the network, and say what it took
    #[command(after_help = BENCH_HELP)]
    Bench(bench::BenchOptions),
    /// Decode files of a data directory, without changing them
    #[command(after_help = INSPECT_HELP)]
    Inspect {
        /// Files to decode
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Print the rows of SSTables and the records of logs too
        #[arg(long)]
        rows: bool,
    },
    /// Print the configuration in force as a file: every key, its meaning, range, default, value
    #[command(after_help = CONFIG_HELP)]
    Config(ServeOptions),
    /// Print the manual page (for man -l), of the program or of one of its commands
    #[command(after_help = "Examples:\n  helenus man | man -l -\n  helenus man flush | man -l -")]
    Man {
        /// The command [default: the program with all its commands]
        command: Option<String>,
    },
    /// Print completions for a shell
    #[command(after_help = "Examples:\n  helenus completions bash > \
                            /usr/share/bash-completion/completions/helenus")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the versions of the program, of CQL and of the protocol
    Version,
}

/// Runs the command that `arguments` (the program's name first) give.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are asked for; everything else is a usage error, exit code 2.
            let code = if error.use_stderr() { 2 } else { 0 };
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::FAILURE };
        }
    };
    let done = match line.command.unwrap_or(Command::Serve(line.serve)) {
        Command::Serve(options) => match options.config() {
            Ok(config) => serve::run(&config),
            Err(problem) => return wrong_usage(&problem),
        },
        Command::Shell(options) => return shell::run(&options),
        Command::Operate(operate) => admin::run(operate),
        Command::Restore { snapshot, data_dir } => {
            restore::run(&snapshot, &data_dir).map(|done| println!("{done}"))
        }
        Command::Bench(options) => bench::run(&options),
        Command::Man { command } => manual::page(CommandLine::command(), command.as_deref()),
        Command::Completions { shell } => manual::completions(CommandLine::command(), shell),
        Command::Inspect { files, rows } => inspect::run(&files, rows),
        Command::Config(options) => match options.config() {
            Ok(config) => {
                print!("{}", config.document());
                Ok(())
            }
            Err(problem) => return wrong_usage(&problem),
        },
        Command::Version => {
            println!("helenus {}", env!("CARGO_PKG_VERSION"));
            println!("serves Cassandra {RELEASE_VERSION}, CQL {CQL_VERSION}, protocol v4 and v5");
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("helenus: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn wrong_usage(problem: &str) -> ExitCode {
    eprintln!("helenus: {problem}");
    ExitCode::from(2)
}
