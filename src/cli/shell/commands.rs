//! The commands that change or show the shell's own state.

use cql_lite::types::Value;
use cql_lite::types::text::parse_uuid;

use super::batch::user_path;
use super::command::{Command, Paging};
use super::failure::Failure;
use super::help;
use super::history;
use super::session::{Format, Session};
use super::sink::{Sink, password};
use super::trace;

/// Lines that HISTORY shows, unless it is told how many.
const HISTORY_LINES: usize = 50;

/// Runs a command of the shell.
pub(super) fn run(session: &mut Session, command: Command, text: &str) -> Result<(), Failure> {
    let said = match command {
        Command::Consistency(level) => match level {
            Some(level) => {
                session.settings.consistency = level;
                format!("Consistency level set to {level}.\n")
            }
            None => format!("Current consistency level is {}.\n", session.settings.consistency),
        },
        Command::SerialConsistency(level) => match level {
            Some(level) => {
                session.settings.serial_consistency = level;
                format!("Serial consistency level set to {level}.\n")
            }
            None => {
                let level = session.settings.serial_consistency;
                format!("Current serial consistency level is {level}.\n")
            }
        },
        Command::Tracing(to) => switch(&mut session.settings.tracing, to, "TRACING", "Tracing"),
        Command::Expand(to) => {
            switch(&mut session.settings.expand, to, "EXPAND", "Expanded output")
        }
        Command::Timing(to) => switch(&mut session.settings.timing, to, "TIMING", "Timing"),
        Command::Paging(to) => paging(session, to),
        Command::Output(format) => output(session, format.as_deref())?,
        Command::Capture(file) => capture(session, file.as_deref())?,
        Command::Login(user, secret) => login(session, user, secret)?,
        Command::ShowVersion => format!("{}\n", version(session)?),
        Command::ShowHost => host(session)?,
        Command::ShowSession(id) => {
            let id = parse_uuid(&id).ok_or_else(|| Failure::Usage(format!("'{id}' is no UUID")))?;
            return trace::print_session(session, &id);
        }
        Command::Clear => "\x1b[H\x1b[2J\x1b[3J".to_owned(),
        Command::History(count) => history::shown(count.unwrap_or(HISTORY_LINES)),
        Command::Help(topics) => help::text(&topics),
        Command::Copy => return super::copy::run(session, text),
        // These are not for here.
        Command::Cql | Command::Describe | Command::Source(_) | Command::Exit => String::new(),
    };
    Sink::say(&said)
}

fn switch(setting: &mut bool, to: Option<bool>, command: &str, what: &str) -> String {
    let Some(to) = to else {
        let (state, other) = if *setting { ("enabled", "OFF") } else { ("disabled", "ON") };
        let verb = if *setting { "disable" } else { "enable" };
        return format!("{what} is currently {state}. Use {command} {other} to {verb}\n");
    };
    let already = if *setting == to { "already" } else { "now" };
    *setting = to;
    format!("{what} is {already} {}.\n", if to { "enabled" } else { "disabled" })
}

fn paging(session: &mut Session, to: Option<Paging>) -> String {
    let settings = &mut session.settings;
    match to {
        Some(Paging::On) => settings.paging = true,
        Some(Paging::Off) => settings.paging = false,
        Some(Paging::Size(rows)) => (settings.paging, settings.page_rows) = (true, rows),
        None => {}
    }
    if settings.paging {
        format!("Query paging is enabled. Page size: {}\n", settings.page_rows)
    } else {
        "Query paging is disabled.\n".to_owned()
    }
}

fn output(session: &mut Session, format: Option<&str>) -> Result<String, Failure> {
    session.settings.format = match format {
        Some("table") => Format::Table,
        Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        Some(other) => {
            return Err(Failure::Usage(format!(
                "Improper OUTPUT command: '{other}' is not TABLE, JSON or CSV"
            )));
        }
        None => session.settings.format,
    };
    let name = match session.settings.format {
        Format::Table => "a table",
        Format::Json => "JSON, one object a row",
        Format::Csv => "CSV",
    };
    Ok(format!("Rows are printed as {name}.\n"))
}

fn capture(session: &mut Session, file: Option<&str>) -> Result<String, Failure> {
    match file {
        None => Ok(match session.sink.captured() {
            Some(path) => format!("Currently capturing query output to '{}'.\n", path.display()),
            None => "Currently not capturing query output.\n".to_owned(),
        }),
        Some("") => {
            if session.sink.captured().is_none() {
                return Ok("Not capturing query output.\n".to_owned());
            }
            session.sink.release()?;
            Ok("Query output is printed again.\n".to_owned())
        }
        Some(file) => {
            session.sink.release()?;
            let path = user_path(file);
            session.sink.capture(&path)?;
            Ok(format!("Now capturing query output to '{}'.\n", path.display()))
        }
    }
}

/// Logs in as somebody else; if that fails, the old login stays.
fn login(session: &mut Session, user: String, secret: Option<String>) -> Result<String, Failure> {
    let secret = match secret {
        Some(secret) => secret,
        None if session.settings.interactive => password("password: ")?,
        None => return Err(Failure::Usage("LOGIN needs a password here".to_owned())),
    };
    let old = session.login.clone();
    session.login.username = Some(user);
    session.login.password = Some(secret);
    session.disconnect();
    match session.connect() {
        Ok(_) => Ok(String::new()),
        Err(failure) => {
            session.login = old;
            session.disconnect();
            Err(failure)
        }
    }
}

/// The versions of both sides, as cqlsh puts them.
pub(super) fn version(session: &mut Session) -> Result<String, Failure> {
    let protocol = session.connect()?.version().number();
    let lz4 = if session.connect()?.is_compressed() { " with LZ4" } else { "" };
    let (_, release, cql) = local(session)?;
    let own = env!("CARGO_PKG_VERSION");
    Ok(format!(
        "[helenus shell {own} | Cassandra {release} | CQL spec {cql} | Native protocol v{protocol}{lz4}]"
    ))
}

/// Where the session is.
pub(super) fn host(session: &mut Session) -> Result<String, Failure> {
    let (cluster, _, _) = local(session)?;
    Ok(format!("Connected to {cluster} at {}\n", session.target.name))
}

fn local(session: &mut Session) -> Result<(String, String, String), Failure> {
    let query =
        "SELECT cluster_name, release_version, cql_version FROM system.local WHERE key = 'local'";
    let row = session.rows(query)?.into_iter().next().unwrap_or_default();
    let mut texts = row.into_iter().map(|value| match value {
        Some(Value::Text(text)) => text,
        _ => "?".to_owned(),
    });
    let mut next = || texts.next().unwrap_or_default();
    Ok((next(), next(), next()))
}
