//! Telling what went wrong: the message, the place in the statement, and the nearest name.

use cql_lite::lexer::{Keyword, Lexer, TokenKind};
use cql_lite::parser::parse;
use cql_lite::wire::{ErrorBody, ErrorKind};

use super::failure::Failure;
use super::hints::FUNCTIONS;
use super::print::paint::{Paint, painted, width};
use super::schema::Schema;
use crate::schema::TableOptions;
use crate::suggest::nearest;

/// A part of a statement, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

/// What kind of name the node does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Column,
    Table,
    Keyspace,
    Type,
    Function,
    Option,
}

/// The node's sentences about names, around the name.
const SENTENCES: [(&str, &str, Named); 16] = [
    ("Undefined column name ", " in table", Named::Column),
    ("Undefined column name ", "", Named::Column),
    ("Unknown column '", "'", Named::Column),
    ("Column with name '", "'", Named::Column),
    ("Unknown identifier ", "", Named::Column),
    ("table ", " does not exist", Named::Table),
    ("Table '", "' doesn't exist", Named::Table),
    ("Table '", "' not found", Named::Table),
    ("'", "' not found in keyspace", Named::Table),
    ("keyspace ", " does not exist", Named::Keyspace),
    ("Keyspace '", "' do", Named::Keyspace),
    ("'", "' not found in keyspaces", Named::Keyspace),
    ("Unknown type ", "", Named::Type),
    ("Type '", "' doesn't exist", Named::Type),
    ("Unknown function '", "'", Named::Function),
    ("Unknown property '", "'", Named::Option),
];

/// The failure in full: its message and, where the statement shows it, the place and a guess at
/// what was meant.
pub(super) fn report(
    failure: &Failure,
    statement: &str,
    schema: Option<&Schema>,
    keyspace: Option<&str>,
    colors: bool,
) -> String {
    let mut out = painted(colors, Paint::Red, &failure.to_string());
    out.push('\n');
    let Failure::Refused(error) = failure else { return out };
    let (span, guess) = match error.kind {
        ErrorKind::Syntax => {
            let property = name_in(&error.message).filter(|(_, named)| *named == Named::Option);
            match property {
                Some((name, named)) => known_name(&name, named, statement, schema, keyspace),
                None => syntax(error, statement),
            }
        }
        _ => match name_in(&error.message) {
            Some((name, named)) => known_name(&name, named, statement, schema, keyspace),
            None => (None, None),
        },
    };
    match span {
        Some(span) => point(&mut out, statement, span, guess.as_deref(), colors),
        None => {
            if let Some(guess) = guess {
                out.push_str(&format!("  did you mean {guess}?\n"));
            }
        }
    }
    out
}

/// Appends the line of the statement that holds `span`, with carets below it.
fn point(out: &mut String, statement: &str, span: Span, guess: Option<&str>, colors: bool) {
    let before = statement.get(..span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = statement.get(line_start..).unwrap_or_default();
    let line = line.split('\n').next().unwrap_or_default();
    let tab_free = |text: &str| text.replace('\t', " ");
    let indent = width(&tab_free(statement.get(line_start..span.start).unwrap_or_default()));
    let end = span.end.min(line_start + line.len()).max(span.start);
    let carets = width(&tab_free(statement.get(span.start..end).unwrap_or_default())).max(1);
    out.push_str(&format!("  {}\n  {}", tab_free(line), " ".repeat(indent)));
    out.push_str(&painted(colors, Paint::Red, &"^".repeat(carets)));
    if let Some(guess) = guess {
        out.push_str(&format!(" did you mean {guess}?"));
    }
    out.push('\n');
}

/// The place of a syntax error, and a keyword that was meant perhaps.
fn syntax(error: &ErrorBody, statement: &str) -> (Option<Span>, Option<String>) {
    let own = parse(statement).err();
    let told = position_in(&error.message);
    let place = told.or(own.as_ref().map(|own| (own.line, own.column)));
    let Some((line, column)) = place else { return (None, None) };
    let start = match line {
        // The end of the statement.
        0 => statement.trim_end().len(),
        line => offset_of(statement, line, column),
    };
    let span = token_at(statement, start);
    let word = statement.get(span.start..span.end).unwrap_or_default();
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let known = Keyword::lookup(word.as_bytes()).is_some();
    if !is_word || known {
        return (Some(span), None);
    }
    let expected = own.and_then(|own| own.expected);
    let expected = expected.as_deref().and_then(|name| name.strip_prefix("K_"));
    let expected = expected.map(str::to_ascii_lowercase);
    let wanted = expected.as_deref().and_then(|one| nearest(word, [one].into_iter()));
    let guess = wanted.or_else(|| nearest(word, Keyword::ALL.iter().map(|keyword| keyword.word())));
    (Some(span), guess.map(str::to_ascii_uppercase))
}

/// The `line L:C` that a syntax error's message begins with.
fn position_in(message: &str) -> Option<(u32, u32)> {
    let place = message.strip_prefix("line ")?.split(' ').next()?;
    let (line, column) = place.split_once(':')?;
    if line == "0" {
        return Some((0, 0));
    }
    Some((line.parse().ok()?, column.parse().ok()?))
}

/// The byte at a line, from 1, and a column in UTF-16 units, from 0.
fn offset_of(text: &str, line: u32, column: u32) -> usize {
    let mut start = 0;
    for _ in 1..line {
        let rest = text.get(start..).unwrap_or_default();
        let Some(end) = rest.find('\n') else { break };
        start += end + 1;
    }
    let mut units = 0;
    let rest = text.get(start..).unwrap_or_default();
    for (at, character) in rest.char_indices() {
        if units >= column as usize || character == '\n' {
            return start + at;
        }
        units += character.len_utf16();
    }
    text.len()
}

/// The token that begins at `start`, or the one character there.
fn token_at(text: &str, start: usize) -> Span {
    let rest = text.get(start..).unwrap_or_default();
    let length = match Lexer::new(rest).next_token() {
        Ok(token) if token.start == 0 => token.end,
        _ => rest.chars().next().map_or(0, char::len_utf8),
    };
    Span { start, end: start + length }
}

/// The name that a message complains about.
fn name_in(message: &str) -> Option<(String, Named)> {
    for (before, after, named) in SENTENCES {
        let Some(at) = message.find(before) else { continue };
        // A word of its own, not the end of another one.
        let inside = message.get(..at).and_then(|text| text.chars().next_back());
        if inside.is_some_and(char::is_alphanumeric) {
            continue;
        }
        let rest = message.get(at + before.len()..)?;
        let end = if after.is_empty() {
            Some(rest.find([' ', ',', ';']).unwrap_or(rest.len()))
        } else {
            rest.find(after)
        };
        let Some(name) = end.and_then(|end| rest.get(..end)) else { continue };
        if !name.is_empty() && !name.contains(' ') {
            return Some((name.trim_matches('"').to_owned(), named));
        }
    }
    None
}

fn known_name(
    name: &str,
    named: Named,
    statement: &str,
    schema: Option<&Schema>,
    keyspace: Option<&str>,
) -> (Option<Span>, Option<String>) {
    // The name may carry its keyspace.
    let bare = name.rsplit('.').next().unwrap_or(name);
    let span = find_name(statement, bare);
    let guess = match named {
        Named::Function => nearest(bare, FUNCTIONS.into_iter()).map(str::to_owned),
        Named::Option => nearest(bare, TableOptions::NAMES.into_iter()).map(str::to_owned),
        _ => schema.and_then(|schema| guess(bare, named, statement, schema, keyspace)),
    };
    (span, guess)
}

fn guess(
    name: &str,
    named: Named,
    statement: &str,
    schema: &Schema,
    keyspace: Option<&str>,
) -> Option<String> {
    let words = names(statement);
    // The keyspaces that the statement may be about.
    let written = words.iter().find(|word| schema.keyspaces.contains_key(*word));
    let home = written.map(String::as_str).or(keyspace).and_then(|name| schema.keyspaces.get(name));
    match named {
        Named::Keyspace => {
            nearest(name, schema.keyspaces.keys().map(String::as_str)).map(str::to_owned)
        }
        Named::Table => {
            let near = home.and_then(|home| nearest(name, home.tables.keys().map(String::as_str)));
            near.map(str::to_owned).or_else(|| {
                let owner =
                    schema.keyspaces.iter().find(|(_, held)| held.tables.contains_key(name));
                owner.map(|(owner, _)| format!("{owner}.{name}"))
            })
        }
        Named::Column => {
            let tables = home?.tables.iter().filter(|(table, _)| words.contains(table));
            let columns = tables.flat_map(|(_, columns)| columns.iter().map(|c| c.name.as_str()));
            nearest(name, columns).map(str::to_owned)
        }
        Named::Type => {
            let types = home.into_iter().flat_map(|home| home.types.keys().map(String::as_str));
            nearest(name, types.chain(super::hints::TYPES)).map(str::to_owned)
        }
        Named::Function | Named::Option => None,
    }
}

/// The names that a statement holds.
fn names(statement: &str) -> Vec<String> {
    let mut lexer = Lexer::new(statement);
    let mut names = Vec::new();
    while let Ok(token) = lexer.next_token() {
        match token.kind {
            TokenKind::End => break,
            TokenKind::QuotedName => names.push(token.text(statement)),
            TokenKind::Identifier | TokenKind::Keyword(_) => {
                names.push(token.source(statement).to_ascii_lowercase());
            }
            _ => {}
        }
    }
    names
}

fn find_name(statement: &str, name: &str) -> Option<Span> {
    let mut lexer = Lexer::new(statement);
    while let Ok(token) = lexer.next_token() {
        let found = match token.kind {
            TokenKind::End => return None,
            TokenKind::QuotedName | TokenKind::String => token.text(statement) == name,
            _ => token.source(statement).eq_ignore_ascii_case(name),
        };
        if found {
            return Some(Span { start: token.start, end: token.end });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Column, ColumnKind, Keyspace};
    use super::*;

    fn schema() -> Schema {
        let column = |name: &str| Column {
            name: name.to_owned(),
            kind: ColumnKind::Regular,
            position: -1,
            ty: "int".to_owned(),
        };
        let mut keyspace = Keyspace::default();
        keyspace.tables.insert("users".to_owned(), vec![column("id"), column("name")]);
        let mut schema = Schema::default();
        schema.keyspaces.insert("app".to_owned(), keyspace);
        schema
    }

    fn told(kind: ErrorKind, message: &str, statement: &str) -> String {
        let failure = Failure::Refused(ErrorBody::new(kind, message));
        report(&failure, statement, Some(&schema()), Some("app"), false)
    }

    #[test]
    fn a_syntax_error_points_at_its_token() {
        let statement = "SELECT *\n  FORM users";
        let message = parse(statement).unwrap_err().message;
        let text = told(ErrorKind::Syntax, &message, statement);
        assert!(text.ends_with("\n    FORM users\n    ^^^^ did you mean FROM?\n"), "{text}");
        let text = told(ErrorKind::Syntax, "line 0:-1 no viable alternative", "SELECT * FROM");
        assert!(text.ends_with("  SELECT * FROM\n               ^\n"), "{text}");
    }

    #[test]
    fn unknown_names_are_found_and_the_nearest_is_named() {
        let cases = [
            ("table usres does not exist", "SELECT * FROM usres", "^^^^^ did you mean users?"),
            (
                "Undefined column name nmae in table app.users",
                "SELECT nmae FROM users",
                "^^^^ did you mean name?",
            ),
            ("Keyspace 'ap' does not exist", "USE ap", "^^ did you mean app?"),
            ("Unknown function 'mni'", "SELECT mni(id) FROM users", "^^^ did you mean min?"),
            ("keyspace apq does not exist", "SELECT * FROM apq.users", "^^^ did you mean app?"),
        ];
        for (message, statement, expected) in cases {
            let text = told(ErrorKind::Invalid, message, statement);
            assert!(text.trim_end().ends_with(expected), "{text}");
        }
    }

    #[test]
    fn positions_count_utf16_units() {
        assert_eq!(offset_of("é😀x", 1, 3), "é😀".len());
        assert_eq!(offset_of("a\nbc", 2, 1), 3);
    }
}
