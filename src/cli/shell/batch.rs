//! Running pieces of text: from `-e`, a file, a pipe, or a line that was typed.
#![expect(clippy::disallowed_methods, reason = "files that the user names, not the database's")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::command::{self, Command};
use super::commands;
use super::describe::describe;
use super::execute::{execute, time};
use super::failure::Failure;
use super::report::report;
use super::script::{Piece, split};
use super::session::Session;

/// SOURCE within SOURCE goes at most this deep.
const SOURCE_DEPTH_MAX: usize = 16;
/// A statement longer than this is none.
const STATEMENT_BYTES_MAX: usize = 256 << 20;

/// What running something came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The exit code: that of the first statement that failed.
    pub(super) code: u8,
    /// Whether EXIT was said, or nobody reads any more.
    pub(super) ended: bool,
}

impl Outcome {
    /// Nothing went wrong.
    pub(super) const FINE: Outcome = Outcome { code: 0, ended: false };

    fn and(self, next: Outcome) -> Outcome {
        Outcome { code: if self.code == 0 { next.code } else { self.code }, ended: next.ended }
    }
}

/// Runs every statement of a text; one that goes on at the end is run too.
pub(super) fn run_text(session: &mut Session, text: &str) -> Outcome {
    let pieces = split(text);
    let mut outcome = Outcome::FINE;
    for piece in pieces.complete.into_iter().chain(pieces.rest) {
        outcome = outcome.and(run_piece(session, piece, None));
        if outcome.ended {
            break;
        }
    }
    outcome
}

/// Runs a script, statement by statement as they come. A statement that the end of the script
/// cuts off is not run: half a DELETE may be worse than none.
pub(super) fn run_script(session: &mut Session, input: &mut dyn BufRead, name: &str) -> Outcome {
    let mut outcome = Outcome::FINE;
    let mut text = String::new();
    let mut line = 1;
    loop {
        let before = text.len();
        let read = input.read_line(&mut text);
        let problem = match read {
            Ok(_) if text.len() > STATEMENT_BYTES_MAX => Some("a statement is too long".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            eprintln!("{name}: {problem}");
            return Outcome { code: 1, ended: false };
        }
        let at_end = text.len() == before;
        // A statement can only end where a semicolon is, or a command's line.
        let worth =
            at_end || text.get(before..).is_some_and(|new| new.contains(';')) || before == 0;
        if !worth {
            continue;
        }
        let pieces = split(&text);
        for piece in &pieces.complete {
            let place = line + text.get(..piece.offset).map_or(0, newlines);
            outcome = outcome.and(run_piece(session, *piece, Some((name, place))));
            if outcome.ended {
                return outcome;
            }
        }
        let done = pieces.rest.map_or(text.len(), |rest| rest.offset);
        if at_end {
            if pieces.rest.is_some() {
                eprintln!("{name}:{line}: Incomplete statement at end of file");
                return outcome.and(Outcome { code: 2, ended: false });
            }
            return outcome;
        }
        line += text.get(..done).map_or(0, newlines);
        text.drain(..done);
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Runs the script in a file.
pub(super) fn run_file(session: &mut Session, path: &Path) -> Outcome {
    if session.sources.len() >= SOURCE_DEPTH_MAX {
        eprintln!("{}: SOURCE within SOURCE, {SOURCE_DEPTH_MAX} deep", path.display());
        return Outcome { code: 2, ended: false };
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{}", Failure::file(path, &error));
            return Outcome { code: 1, ended: false };
        }
    };
    session.sources.push(path.to_path_buf());
    let outcome = run_script(session, &mut BufReader::new(file), &path.display().to_string());
    session.sources.pop();
    outcome
}

/// A file that a command names: from the home directory if it begins with `~/`.
pub(super) fn user_path(name: &str) -> PathBuf {
    match (name.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(name),
    }
}

/// Runs one piece, and reports what goes wrong; `place` is the file and line it comes from.
fn run_piece(session: &mut Session, piece: Piece<'_>, place: Option<(&str, usize)>) -> Outcome {
    let failure = match dispatch(session, piece.text) {
        Ok(outcome) => return outcome,
        Err(Failure::OutputClosed) => return Outcome { code: 0, ended: true },
        Err(failure) => failure,
    };
    let refused = matches!(failure, Failure::Refused(_));
    // The schema may have been changed by somebody else since it was read.
    session.forget_schema();
    let schema = if refused { session.schema().ok() } else { None };
    let colors = session.settings.colors;
    let keyspace = session.keyspace.as_deref();
    let text = report(&failure, piece.text, schema.as_deref(), keyspace, colors);
    match place {
        Some((name, line)) => eprint!("{name}:{line}:{text}"),
        None => eprint!("{text}"),
    }
    // Ctrl-C ends a script, and at the prompt only the statement.
    let ended = matches!(failure, Failure::Interrupted) && !session.settings.interactive;
    Outcome { code: failure.exit_code(), ended }
}

fn dispatch(session: &mut Session, text: &str) -> Result<Outcome, Failure> {
    let began = session.now();
    match command::parse(text)? {
        Command::Cql => execute(session, text)?,
        Command::Describe => {
            describe(session, text)?;
            time(session, began)?;
        }
        Command::Exit => return Ok(Outcome { code: 0, ended: true }),
        Command::Source(file) => return Ok(run_file(session, &user_path(&file))),
        other => commands::run(session, other, text)?,
    }
    Ok(Outcome::FINE)
}
