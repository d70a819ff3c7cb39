//! The shell's own commands, as they are typed.

use cql_lite::wire::Consistency;

use super::failure::Failure;

/// A command of the shell, or a statement for the node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// A statement for the node.
    Cql,
    /// DESCRIBE: a statement of which the answer is printed in its own way.
    Describe,
    /// CONSISTENCY
    Consistency(Option<Consistency>),
    /// SERIAL CONSISTENCY
    SerialConsistency(Option<Consistency>),
    /// TRACING
    Tracing(Option<bool>),
    /// EXPAND
    Expand(Option<bool>),
    /// TIMING
    Timing(Option<bool>),
    /// PAGING; zero switches it off
    Paging(Option<Paging>),
    /// OUTPUT
    Output(Option<String>),
    /// SOURCE
    Source(String),
    /// CAPTURE: none to ask, an empty one to end
    Capture(Option<String>),
    /// LOGIN
    Login(String, Option<String>),
    /// SHOW VERSION
    ShowVersion,
    /// SHOW HOST
    ShowHost,
    /// SHOW SESSION
    ShowSession(String),
    /// CLEAR
    Clear,
    /// HISTORY
    History(Option<usize>),
    /// HELP
    Help(Vec<String>),
    /// COPY
    Copy,
    /// EXIT
    Exit,
}

/// What PAGING is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paging {
    /// Pages of the size that was last chosen.
    On,
    /// Everything at once.
    Off,
    /// Pages of so many rows.
    Size(i32),
}

/// The words of a text; those in single or double quotes may hold spaces.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        if first.is_whitespace() {
            continue;
        }
        let mut word = String::new();
        if first == '\'' || first == '"' {
            while let Some(next) = characters.next() {
                if next != first {
                    word.push(next);
                } else if characters.next_if_eq(&first).is_some() {
                    word.push(first);
                } else {
                    break;
                }
            }
        } else {
            word.push(first);
            while let Some(next) = characters.next_if(|c| !c.is_whitespace()) {
                word.push(next);
            }
        }
        words.push(word);
    }
    words
}

/// What `text`, one piece of a script, asks for.
pub(super) fn parse(text: &str) -> Result<Command, Failure> {
    if let Some(topic) = text.strip_prefix('?') {
        return Ok(Command::Help(words(topic)));
    }
    let words = words(text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((first, rest)) = words.split_first() else { return Ok(Command::Cql) };
    let usage = |form: &str| Err(Failure::Usage(format!("Improper {first} command: {form}")));
    Ok(match (first.to_ascii_uppercase().as_str(), rest) {
        ("DESCRIBE" | "DESC", _) => Command::Describe,
        ("CONSISTENCY", []) => Command::Consistency(None),
        ("CONSISTENCY", [level]) => Command::Consistency(Some(consistency(level)?)),
        ("SERIAL", [word]) if is(word, "CONSISTENCY") => Command::SerialConsistency(None),
        ("SERIAL", [word, level]) if is(word, "CONSISTENCY") => {
            let level = consistency(level)?;
            if !level.is_serial() {
                return usage("SERIAL CONSISTENCY is SERIAL or LOCAL_SERIAL");
            }
            Command::SerialConsistency(Some(level))
        }
        ("TRACING", _) => Command::Tracing(switch(first, rest)?),
        ("EXPAND", _) => Command::Expand(switch(first, rest)?),
        ("TIMING" | "ELAPSED", _) => Command::Timing(switch(first, rest)?),
        ("PAGING", []) => Command::Paging(None),
        ("PAGING", [how]) => Command::Paging(Some(match how.parse() {
            Ok(size) if size > 0 => Paging::Size(size),
            _ if is(how, "ON") => Paging::On,
            _ if is(how, "OFF") => Paging::Off,
            _ => return usage("PAGING [ON | OFF | <rows>]"),
        })),
        ("OUTPUT", []) => Command::Output(None),
        ("OUTPUT", [format]) => Command::Output(Some(format.to_ascii_lowercase())),
        ("SOURCE", [file]) => Command::Source((*file).to_owned()),
        ("CAPTURE", []) => Command::Capture(None),
        ("CAPTURE", [word]) if is(word, "OFF") => Command::Capture(Some(String::new())),
        ("CAPTURE", [file]) => Command::Capture(Some((*file).to_owned())),
        ("LOGIN", [user]) => Command::Login((*user).to_owned(), None),
        ("LOGIN", [user, password]) => {
            Command::Login((*user).to_owned(), Some((*password).to_owned()))
        }
        ("SHOW", [what]) if is(what, "VERSION") => Command::ShowVersion,
        ("SHOW", [what]) if is(what, "HOST") => Command::ShowHost,
        ("SHOW", [what, id]) if is(what, "SESSION") => Command::ShowSession((*id).to_owned()),
        ("CLEAR" | "CLS", []) => Command::Clear,
        ("HISTORY", []) => Command::History(None),
        ("HISTORY", [count]) => match count.parse() {
            Ok(count) => Command::History(Some(count)),
            Err(_) => return usage("HISTORY [<count>]"),
        },
        ("HELP", topics) => Command::Help(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        ("COPY", _) => Command::Copy,
        ("EXIT" | "QUIT", []) => Command::Exit,
        ("SERIAL", _) => return usage("SERIAL CONSISTENCY [SERIAL | LOCAL_SERIAL]"),
        ("CONSISTENCY", _) => return usage("CONSISTENCY [<level>]"),
        ("PAGING", _) => return usage("PAGING [ON | OFF | <rows>]"),
        ("OUTPUT", _) => return usage("OUTPUT [TABLE | JSON | CSV]"),
        ("SOURCE", _) => return usage("SOURCE '<file>'"),
        ("CAPTURE", _) => return usage("CAPTURE ['<file>' | OFF]"),
        ("LOGIN", _) => return usage("LOGIN <user> [<password>]"),
        ("SHOW", _) => return usage("SHOW VERSION | HOST | SESSION <id>"),
        ("CLEAR" | "CLS" | "EXIT" | "QUIT" | "HISTORY", _) => return usage("too many words"),
        _ => Command::Cql,
    })
}

fn is(word: &str, expected: &str) -> bool {
    word.eq_ignore_ascii_case(expected)
}

fn switch(command: &str, rest: &[&str]) -> Result<Option<bool>, Failure> {
    match rest {
        [] => Ok(None),
        [word] if is(word, "ON") => Ok(Some(true)),
        [word] if is(word, "OFF") => Ok(Some(false)),
        _ => Err(Failure::Usage(format!("Improper {command} command: {command} [ON | OFF]"))),
    }
}

fn consistency(name: &str) -> Result<Consistency, Failure> {
    let level = Consistency::from_name(&name.to_ascii_uppercase());
    level.filter(|level| *level != Consistency::NodeLocal).ok_or_else(|| {
        let known: Vec<_> = Consistency::ALL.iter().map(|level| level.name()).collect();
        Failure::Usage(format!(
            "Improper CONSISTENCY command: '{name}' is no level; levels are {}",
            known.join(", ").replace(", NODE_LOCAL", "")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_statements() {
        let cases = [
            ("SELECT * FROM t", Command::Cql),
            ("desc tables", Command::Describe),
            ("consistency quorum", Command::Consistency(Some(Consistency::Quorum))),
            ("serial consistency", Command::SerialConsistency(None)),
            ("Paging 50", Command::Paging(Some(Paging::Size(50)))),
            ("PAGING off", Command::Paging(Some(Paging::Off))),
            ("EXPAND ON", Command::Expand(Some(true))),
            ("SOURCE '/a b/c.cql'", Command::Source("/a b/c.cql".to_owned())),
            ("CAPTURE OFF", Command::Capture(Some(String::new()))),
            ("login bob 'it''s'", Command::Login("bob".to_owned(), Some("it's".to_owned()))),
            ("? copy", Command::Help(vec!["copy".to_owned()])),
            ("COPY t FROM 'x'", Command::Copy),
            ("exit", Command::Exit),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn wrong_commands_say_what_would_be_right() {
        for (text, hint) in [
            ("CONSISTENCY most", "LOCAL_QUORUM"),
            ("SERIAL CONSISTENCY QUORUM", "LOCAL_SERIAL"),
            ("PAGING 0", "PAGING [ON"),
            ("TRACING maybe", "[ON | OFF]"),
            ("SHOW me", "SESSION"),
        ] {
            let Err(Failure::Usage(message)) = parse(text) else { panic!("{text} was taken") };
            assert!(message.contains(hint), "{message}");
        }
    }
}
