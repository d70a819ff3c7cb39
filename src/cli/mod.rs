//! The command line: what each command takes, and exit codes: 0 done, 1 failed, 2 wrong usage.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command prints its answer")]

mod inspect;
mod serve;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, KEYS};
use crate::{CQL_VERSION, RELEASE_VERSION};

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
    Serve(ServeOptions),
    /// Decode files of a data directory, without changing them
    Inspect {
        /// Files to decode
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Print the rows of SSTables and the records of logs too
        #[arg(long)]
        rows: bool,
    },
    /// Print every configuration key with its default and its meaning
    Config,
    /// Print the versions of the program, of CQL and of the protocol
    Version,
}

/// Where the configuration of a node comes from; later ones win.
#[derive(Debug, Args)]
struct ServeOptions {
    /// Configuration file, in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory that belongs to this node alone [default: ./helenus-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// IP address that clients connect to [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Port of the native protocol [default: 9042]
    #[arg(long, value_name = "N")]
    cql_port: Option<String>,
    /// Any configuration key; `helenus config` lists them
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ServeOptions {
    fn config(&self) -> Result<Config, String> {
        let mut config = Config::default();
        if let Some(file) = &self.config {
            let name = file.display().to_string();
            let text = serve::read_text(file).map_err(|error| format!("{name}: {error}"))?;
            config.set_file(&name, &text).map_err(|error| error.to_string())?;
        }
        config.set_environment(std::env::vars()).map_err(|error| error.to_string())?;
        let mut options = self.set.clone();
        options.extend(self.listen.iter().map(|value| format!("listen.address={value}")));
        options.extend(self.cql_port.iter().map(|value| format!("listen.cql_port={value}")));
        for option in options {
            config.set_option(&option).map_err(|error| error.to_string())?;
        }
        if let Some(dir) = &self.data_dir {
            config.data_dir.clone_from(dir);
        }
        Ok(config)
    }
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
            Err(problem) => {
                eprintln!("helenus: {problem}");
                return ExitCode::from(2);
            }
        },
        Command::Inspect { files, rows } => inspect::run(&files, rows),
        Command::Config => {
            print_config();
            Ok(())
        }
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

fn print_config() {
    let config = Config::default();
    for (key, (_, value)) in KEYS.iter().zip(config.settings()) {
        println!("{:<32} {value:<20} {}", key.name, key.help);
    }
}
