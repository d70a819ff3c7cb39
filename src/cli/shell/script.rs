//! Cutting what was typed into statements.
//!
//! A statement of CQL ends with a semicolon outside of strings, comments and batches. A command of
//! the shell's own ends with its line.

use cql_lite::lexer::{Keyword, Lexer, Symbol, TokenKind};

/// The first words of commands that need no semicolon.
const LINE_COMMANDS: [&str; 22] = [
    "?",
    "capture",
    "clear",
    "cls",
    "consistency",
    "desc",
    "describe",
    "exit",
    "expand",
    "help",
    "history",
    "login",
    "output",
    "paging",
    "quit",
    "serial",
    "show",
    "source",
    "timing",
    "tracing",
    "elapsed",
    "debug",
];

/// A statement or command, and where it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Its text, without the semicolon.
    pub(super) text: &'a str,
    /// Where it begins, in bytes.
    pub(super) offset: usize,
}

/// A text that was cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pieces<'a> {
    /// What is whole.
    pub(super) complete: Vec<Piece<'a>>,
    /// What still goes on, if anything does.
    pub(super) rest: Option<Piece<'a>>,
}

/// Whether `text` begins with a command that ends with its line.
pub(super) fn is_line_command(text: &str) -> bool {
    if text.starts_with('?') {
        return true;
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end)
        .is_some_and(|word| LINE_COMMANDS.iter().any(|line| line.eq_ignore_ascii_case(word)))
}

/// Cuts `input`.
pub(super) fn split(input: &str) -> Pieces<'_> {
    let mut complete = Vec::new();
    let mut from = 0;
    loop {
        match next_piece(input, from) {
            Found::Nothing => return Pieces { complete, rest: None },
            Found::Open(start) => {
                let text = input.get(start..).unwrap_or_default().trim_end();
                return Pieces { complete, rest: Some(Piece { text, offset: start }) };
            }
            Found::Whole { start, end, next } => {
                let text = input.get(start..end).unwrap_or_default().trim_end();
                if !text.is_empty() {
                    complete.push(Piece { text, offset: start });
                }
                from = next;
            }
        }
    }
}

enum Found {
    Nothing,
    Open(usize),
    Whole { start: usize, end: usize, next: usize },
}

fn next_piece(input: &str, from: usize) -> Found {
    let rest = input.get(from..).unwrap_or_default();
    let mut lexer = Lexer::new(rest);
    let start = loop {
        let offset = lexer.offset();
        match lexer.skip_hidden() {
            Ok(true) => {}
            Ok(false) => break from + offset,
            // A comment without an end.
            Err(_) => return Found::Open(from + offset),
        }
    };
    let rest = input.get(start..).unwrap_or_default();
    if rest.is_empty() {
        return Found::Nothing;
    }
    if is_line_command(rest) {
        let end = line_end(rest);
        return Found::Whole { start, end: start + end, next: (start + end + 1).min(input.len()) };
    }
    match statement_end(rest) {
        Some(end) => Found::Whole { start, end: start + end, next: start + end + 1 },
        None => Found::Open(start),
    }
}

/// Where a command ends: at its line's end or a semicolon outside of quotes.
fn line_end(text: &str) -> usize {
    let mut quoted = None;
    for (at, character) in text.char_indices() {
        match (quoted, character) {
            (_, '\n') | (None, ';') => return at,
            (None, '\'' | '"') => quoted = Some(character),
            (Some(open), close) if open == close => quoted = None,
            _ => {}
        }
    }
    text.len()
}

/// Where the semicolon stands that ends the statement; `None` if it goes on.
fn statement_end(text: &str) -> Option<usize> {
    let mut base = 0;
    let mut lexer = Lexer::new(text);
    let (mut first, mut in_batch, mut previous) = (true, false, TokenKind::End);
    loop {
        match lexer.next_token() {
            Ok(token) if token.kind == TokenKind::End => return None,
            Ok(token) => {
                if token.kind == Symbol::Semicolon.into() && !in_batch {
                    return Some(base + token.start);
                }
                in_batch = match token.kind {
                    TokenKind::Keyword(Keyword::Begin) if first => true,
                    TokenKind::Keyword(Keyword::Batch) if previous == Keyword::Apply.into() => {
                        false
                    }
                    _ => in_batch,
                };
                (first, previous) = (false, token.kind);
            }
            // The text ends inside of a string or comment.
            Err(error) if error.found.is_none() => return None,
            // A character that CQL does not have: the node will say so; here the statement goes
            // on to its semicolon.
            Err(_) => {
                let rest = text.get(base + lexer.offset()..)?;
                base += lexer.offset() + rest.chars().next().map_or(1, char::len_utf8);
                lexer = Lexer::new(text.get(base..)?);
                (first, previous) = (false, TokenKind::Invalid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(input: &str) -> (Vec<&str>, Option<&str>) {
        let pieces = split(input);
        let complete = pieces.complete.iter().map(|piece| piece.text).collect();
        (complete, pieces.rest.map(|piece| piece.text))
    }

    #[test]
    fn semicolons_end_statements_but_not_in_strings_comments_and_batches() {
        let (complete, rest) = texts(
            "SELECT ';' FROM t; -- a; b\n INSERT INTO t (a) VALUES ($$x;y$$) ;; /* ; */ SELECT 1",
        );
        assert_eq!(complete, ["SELECT ';' FROM t", "INSERT INTO t (a) VALUES ($$x;y$$)"]);
        assert_eq!(rest, Some("SELECT 1"));
        let batch =
            "BEGIN BATCH INSERT INTO t (a) VALUES (1); DELETE FROM t WHERE a = 2; APPLY BATCH";
        assert_eq!(texts(&format!("{batch};")), (vec![batch], None));
        assert_eq!(texts("BEGIN BATCH INSERT INTO t (a) VALUES (1);").0.len(), 0);
    }

    #[test]
    fn commands_end_with_their_line() {
        let (complete, rest) =
            texts("consistency quorum\nDESCRIBE TABLES; EXPAND ON\nSELECT * FROM");
        assert_eq!(complete, ["consistency quorum", "DESCRIBE TABLES", "EXPAND ON"]);
        assert_eq!(rest, Some("SELECT * FROM"));
        assert_eq!(texts("SOURCE 'a;b.cql'").0, ["SOURCE 'a;b.cql'"]);
        assert_eq!(texts("?").0, ["?"]);
        assert!(texts("COPY t TO 'x'").0.is_empty());
    }

    #[test]
    fn what_is_open_goes_on_and_what_is_wrong_ends() {
        assert_eq!(texts("SELECT 'a;\n b").1, Some("SELECT 'a;\n b"));
        assert_eq!(texts("SELECT $$a;").1, Some("SELECT $$a;"));
        assert_eq!(texts("/* a ; "), (vec![], Some("/* a ;")));
        assert_eq!(texts("SELECT # @ FROM t; SELECT 2;").0, ["SELECT # @ FROM t", "SELECT 2"]);
        assert_eq!(texts("SELECT ! é; x"), (vec!["SELECT ! é"], Some("x")));
        assert_eq!(texts(" \n -- nothing"), (vec![], None));
    }

    #[test]
    fn pieces_know_where_they_stand() {
        let pieces = split("USE a;\n  SELECT 1;");
        assert_eq!(pieces.complete[1].offset, 9);
    }
}
