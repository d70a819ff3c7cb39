//! `helenus shell`: a client at the terminal, over the network or on a data directory.
//!
//! A thin client on the protocol's codec in `cql-lite`; a data directory is opened in this process
//! and talked to through the same protocol, without a port.
//!
//! Exit codes: 0 done; 1 failed: no connection, a time-out, a file; 2 wrong usage, or a statement
//! that the node refuses as wrong; 130 cancelled by Ctrl-C.

mod batch;
mod command;
mod commands;
mod complete;
mod connection;
mod copy;
mod describe;
mod editor;
mod execute;
mod failure;
mod help;
mod hints;
mod history;
mod interactive;
mod print;
mod report;
mod schema;
mod script;
mod session;
mod sink;
mod target;
mod trace;
mod wait;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use cql_lite::types::names::maybe_quote;
use cql_lite::wire::{Consistency, ProtocolVersion};
use helenus_platform::runtime::TokioRuntime;

use batch::Outcome;
use connection::Login;
use failure::Failure;
use session::{Format, Session, Settings};
use target::Target;

/// Threads for connections; a data directory that is opened here has its work done on them too.
const THREADS: usize = 2;

/// What `helenus shell` takes.
#[derive(Debug, Args)]
pub(super) struct ShellOptions {
    /// Node to talk to [default: 127.0.0.1:9042]
    #[arg(value_name = "HOST[:PORT]", conflicts_with = "embedded")]
    host: Option<String>,
    /// Port, as cqlsh takes it
    #[arg(value_name = "PORT", requires = "host")]
    port: Option<u16>,
    /// Open this data directory instead, without a server (it is made if there is none)
    #[arg(long, value_name = "DIR")]
    embedded: Option<PathBuf>,
    /// Execute the statement and exit; may be repeated
    #[arg(short, long, value_name = "STATEMENT")]
    execute: Vec<String>,
    /// Execute the statements of the file and exit
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Keyspace to begin in
    #[arg(short, long, value_name = "KEYSPACE")]
    keyspace: Option<String>,
    /// User to log in as
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    /// Password; without it a terminal is asked
    #[arg(short, long, value_name = "PASSWORD", requires = "username")]
    password: Option<String>,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Seconds that connecting may take
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    connect_timeout: f64,
    /// Seconds that an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    request_timeout: f64,
    /// Consistency level to begin with
    #[arg(long, value_name = "LEVEL", default_value = "ONE", value_parser = level)]
    consistency_level: Consistency,
    /// Serial consistency level to begin with
    #[arg(long, value_name = "LEVEL", default_value = "SERIAL", value_parser = level)]
    serial_consistency_level: Consistency,
    /// Version of the native protocol; without it the newest that both sides speak
    #[arg(long, value_name = "N", value_parser = protocol)]
    protocol_version: Option<ProtocolVersion>,
    /// Do not compress
    #[arg(long)]
    no_compression: bool,
    /// Print colours even where no terminal is
    #[arg(short = 'C', long, conflicts_with = "no_color")]
    color: bool,
    /// Print no colours (so does the environment variable NO_COLOR)
    #[arg(long)]
    no_color: bool,
    /// Version of CQL, for the scripts that name one: every 3.x is 3.4.7
    #[arg(long, value_name = "VERSION", value_parser = cql_version)]
    cqlversion: Option<String>,
}

fn level(name: &str) -> Result<Consistency, String> {
    Consistency::from_name(&name.to_ascii_uppercase()).ok_or_else(|| "no such level".to_owned())
}

fn protocol(number: &str) -> Result<ProtocolVersion, String> {
    let version = number.parse().ok().and_then(ProtocolVersion::from_number);
    version.ok_or_else(|| "versions are 3, 4 and 5".to_owned())
}

fn cql_version(version: &str) -> Result<String, String> {
    let is_known = version == "3" || version.starts_with("3.");
    is_known.then(|| version.to_owned()).ok_or_else(|| "only CQL 3 is spoken".to_owned())
}

fn seconds(seconds: f64) -> Duration {
    // Zero means: as long as it takes.
    let forever = Duration::from_secs(365 * 86_400);
    if seconds > 0.0 {
        Duration::try_from_secs_f64(seconds).unwrap_or(forever).min(forever)
    } else {
        forever
    }
}

impl ShellOptions {
    fn is_interactive(&self) -> bool {
        let asked = self.execute.is_empty() && self.file.is_none();
        asked && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    fn settings(&self) -> Settings {
        let refused = self.no_color || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colors = self.color || (std::io::stdout().is_terminal() && !refused && !dumb);
        Settings {
            consistency: self.consistency_level,
            serial_consistency: self.serial_consistency_level,
            tracing: false,
            page_rows: 0,
            paging: true,
            expand: false,
            timing: false,
            format: self.output,
            colors,
            force_colors: self.color,
            request_timeout: seconds(self.request_timeout),
            interactive: self.is_interactive(),
        }
    }

    fn login(&self) -> Result<Login, Failure> {
        let mut password = self.password.clone();
        if self.username.is_some() && password.is_none() && self.is_interactive() {
            password = Some(sink::password("password: ")?);
        }
        Ok(Login {
            username: self.username.clone(),
            password,
            version: self.protocol_version,
            compression: !self.no_compression && self.embedded.is_none(),
            timeout: seconds(self.connect_timeout),
        })
    }
}

/// Runs the shell.
pub(super) fn run(options: &ShellOptions) -> ExitCode {
    match start(options) {
        Ok(outcome) => ExitCode::from(outcome.code),
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("helenus: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn start(options: &ShellOptions) -> Result<Outcome, Failure> {
    let runtime = TokioRuntime::new(THREADS);
    let runtime = runtime.map_err(|e| Failure::Failed(format!("cannot start threads: {e}")))?;
    let runtime = Arc::new(runtime);
    let login = options.login()?;
    let target = match &options.embedded {
        Some(dir) => Target::embedded(&runtime, dir)?,
        None => Target::remote(options.host.as_deref(), options.port)?,
    };
    let mut session = Session::new(runtime.clone(), target, login, options.settings())?;
    let outcome = converse(&mut session, options);
    session.disconnect();
    let released = session.sink.release();
    session.target.close(&runtime)?;
    released.and(outcome)
}

fn converse(session: &mut Session, options: &ShellOptions) -> Result<Outcome, Failure> {
    ask_for_login(session)?;
    if let Some(keyspace) = &options.keyspace {
        execute::execute(session, &format!("USE {}", maybe_quote(keyspace)))?;
    }
    if !options.execute.is_empty() || options.file.is_some() {
        let mut code = 0;
        for text in &options.execute {
            let outcome = batch::run_text(session, text);
            code = if code == 0 { outcome.code } else { code };
            if outcome.ended {
                return Ok(Outcome { code, ended: true });
            }
        }
        if let Some(file) = &options.file {
            let outcome = batch::run_file(session, file);
            code = if code == 0 { outcome.code } else { code };
        }
        return Ok(Outcome { code, ended: true });
    }
    if session.settings.interactive {
        interactive::talk(session)?;
        return Ok(Outcome::FINE);
    }
    let mut input = std::io::stdin().lock();
    Ok(batch::run_script(session, &mut input, "<stdin>"))
}

/// Connects; a node that wants a login asks the terminal for one.
fn ask_for_login(session: &mut Session) -> Result<(), Failure> {
    let connected = session.connect().map(|_| ());
    let may_ask = session.settings.interactive && session.login.username.is_some();
    match connected {
        Err(Failure::LoginNeeded) if may_ask => {
            session.login.password = Some(sink::password("password: ")?);
            session.connect().map(|_| ())
        }
        connected => connected,
    }
}
