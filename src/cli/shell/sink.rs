//! Where output goes: the screen, a pipe, or the file of CAPTURE; and how a long answer waits for
//! its reader.
#![expect(clippy::disallowed_methods, reason = "files that the user names, not the database's")]

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, read};
use crossterm::terminal;

use super::failure::Failure;

/// Where output goes.
#[derive(Debug)]
pub(super) struct Sink {
    capture: Option<(PathBuf, BufWriter<File>)>,
    terminal: bool,
}

impl Sink {
    /// To standard output.
    pub(super) fn new() -> Self {
        Sink { capture: None, terminal: io::stdout().is_terminal() }
    }

    /// Whether a person reads what is printed.
    pub(super) fn is_screen(&self) -> bool {
        self.terminal && self.capture.is_none()
    }

    /// Columns of the screen.
    pub(super) fn columns(&self) -> usize {
        let size = self.terminal.then(terminal::size).and_then(Result::ok);
        size.map_or(80, |(columns, _)| usize::from(columns.max(20)))
    }

    /// The file that answers go to.
    pub(super) fn captured(&self) -> Option<&Path> {
        self.capture.as_ref().map(|(path, _)| path.as_path())
    }

    /// Sends answers to the end of a file from now on.
    pub(super) fn capture(&mut self, path: &Path) -> Result<(), Failure> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| Failure::file(path, &error))?;
        self.capture = Some((path.to_owned(), BufWriter::new(file)));
        Ok(())
    }

    /// Sends answers to the screen again.
    pub(super) fn release(&mut self) -> Result<(), Failure> {
        let Some((path, mut file)) = self.capture.take() else { return Ok(()) };
        file.flush().map_err(|error| Failure::file(&path, &error))
    }

    /// Prints an answer.
    pub(super) fn answer(&mut self, text: &str) -> Result<(), Failure> {
        match &mut self.capture {
            Some((path, file)) => {
                let written = file.write_all(text.as_bytes()).and_then(|()| file.flush());
                written.map_err(|error| Failure::file(path, &error))
            }
            None => Self::say(text),
        }
    }

    /// Prints what is for the person only, capture or not.
    pub(super) fn say(text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Failed(format!("printing: {error}")),
        })
    }
}

/// Asks whether to go on with the next page; false for `q`, Escape and Ctrl-C.
pub(super) fn more() -> Result<bool, Failure> {
    let _raw = Raw::begin()?;
    Sink::say("---MORE---")?;
    let go_on = loop {
        let Some(key) = key()? else { continue };
        match key {
            (KeyCode::Char('q' | 'Q'), _) | (KeyCode::Esc, _) => break false,
            (KeyCode::Char('c' | 'd'), KeyModifiers::CONTROL) => break false,
            (KeyCode::Enter | KeyCode::Char(_) | KeyCode::PageDown | KeyCode::Down, _) => {
                break true;
            }
            _ => {}
        }
    };
    Sink::say("\r          \r")?;
    Ok(go_on)
}

/// Asks for a password without showing it.
pub(super) fn password(prompt: &str) -> Result<String, Failure> {
    let _raw = Raw::begin()?;
    Sink::say(prompt)?;
    let mut password = String::new();
    loop {
        match key()? {
            Some((KeyCode::Enter, _)) => break,
            Some((KeyCode::Char('c' | 'd'), KeyModifiers::CONTROL)) => {
                Sink::say("\r\n")?;
                return Err(Failure::Interrupted);
            }
            Some((KeyCode::Backspace, _)) => drop(password.pop()),
            Some((KeyCode::Char(character), _)) => password.push(character),
            _ => {}
        }
    }
    Sink::say("\r\n")?;
    Ok(password)
}

fn key() -> Result<Option<(KeyCode, KeyModifiers)>, Failure> {
    let event = read().map_err(|error| Failure::Failed(format!("reading a key: {error}")))?;
    Ok(match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some((key.code, key.modifiers)),
        _ => None,
    })
}

/// Keys come one by one and unseen while it lives.
struct Raw;

impl Raw {
    fn begin() -> Result<Self, Failure> {
        let begun = terminal::enable_raw_mode();
        begun.map_err(|error| Failure::Failed(format!("reading keys: {error}")))?;
        Ok(Raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing is left to be done about a terminal that does not obey.
        drop(terminal::disable_raw_mode());
    }
}
