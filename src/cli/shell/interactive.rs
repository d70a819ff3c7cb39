//! The shell at a terminal: a prompt, a statement, an answer, and again.

use reedline::{Reedline, Signal};

use super::batch::run_text;
use super::commands;
use super::editor::{Names, ShellPrompt, editor};
use super::failure::Failure;
use super::session::Session;
use super::sink::Sink;

/// Talks with the user until EXIT or Ctrl-D.
pub(super) fn talk(session: &mut Session) -> Result<(), Failure> {
    let banner = format!("{}{}\n", commands::host(session)?, commands::version(session)?);
    Sink::say(&format!("{banner}Use HELP for help.\n"))?;
    let names = Names::default();
    let mut editor = editor(names.clone(), session.settings.colors);
    loop {
        // A node that does not tell its schema can still be talked to.
        if let Ok(schema) = session.schema() {
            names.set(schema, session.keyspace.clone());
        }
        let prompt =
            ShellPrompt::new(session.login.username.as_deref(), session.keyspace.as_deref());
        match read(&mut editor, &prompt)? {
            Signal::Success(text) if run_text(session, &text).ended => return Ok(()),
            Signal::CtrlD => return Ok(()),
            _ => {}
        }
    }
}

fn read(editor: &mut Reedline, prompt: &ShellPrompt) -> Result<Signal, Failure> {
    let read = editor.read_line(prompt);
    if let Some(error) = editor.take_history_save_error() {
        eprintln!("the history is not kept: {error}");
    }
    // So that another shell sees it, and nothing is lost if this one is killed.
    drop(editor.sync_history());
    read.map_err(|error| Failure::Failed(format!("reading the terminal: {error}")))
}
