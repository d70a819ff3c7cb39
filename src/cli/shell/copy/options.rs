//! COPY as it was typed: the table, the direction, the file, and the options.

use std::path::Path;
use std::time::Duration;

use cql_lite::lexer::{Lexer, Symbol, TokenKind};

use super::csv::Dialect;
use crate::cli::shell::failure::Failure;
use crate::cli::shell::print::datetime;
use crate::cli::shell::print::value::ValueStyle;
use crate::suggest::nearest;

/// The names of the options.
pub(in crate::cli::shell) const OPTION_NAMES: [&str; 32] = [
    "BEGINTOKEN",
    "BOOLSTYLE",
    "CHUNKSIZE",
    "DATETIMEFORMAT",
    "DECIMALSEP",
    "DELIMITER",
    "DOUBLEPRECISION",
    "ENCODING",
    "ENDTOKEN",
    "ERRFILE",
    "ESCAPE",
    "FLOATPRECISION",
    "FORMAT",
    "HEADER",
    "INGESTRATE",
    "MAXATTEMPTS",
    "MAXBATCHSIZE",
    "MAXINSERTERRORS",
    "MAXPARSEERRORS",
    "MAXREQUESTS",
    "MAXROWS",
    "MINBATCHSIZE",
    "NULL",
    "NUMPROCESSES",
    "PAGESIZE",
    "PAGETIMEOUT",
    "QUOTE",
    "REPORTFREQUENCY",
    "SKIPCOLS",
    "SKIPROWS",
    "THOUSANDSSEP",
    "TTL",
];

/// A COPY command.
#[derive(Debug)]
pub(super) struct CopyCommand {
    pub(super) keyspace: Option<String>,
    pub(super) table: String,
    /// The columns that were written; empty for all.
    pub(super) columns: Vec<String>,
    pub(super) to: bool,
    /// None for standard input or output.
    pub(super) file: Option<String>,
    pub(super) options: CopyOptions,
}

/// What WITH says, or its default.
#[derive(Debug, Clone)]
pub(super) struct CopyOptions {
    pub(super) json: bool,
    pub(super) header: bool,
    pub(super) dialect: Dialect,
    pub(super) style: ValueStyle,
    pub(super) rows_max: u64,
    pub(super) skip_rows: u64,
    pub(super) skip_columns: Vec<String>,
    pub(super) begin_token: i64,
    pub(super) end_token: i64,
    pub(super) connections: usize,
    pub(super) requests: usize,
    pub(super) chunk_rows: usize,
    pub(super) batch_max: usize,
    pub(super) batch_min: usize,
    pub(super) rows_per_second: Option<u64>,
    pub(super) page_rows: i32,
    pub(super) page_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) ttl: Option<u32>,
    pub(super) error_file: Option<String>,
    pub(super) parse_errors_max: u64,
    pub(super) insert_errors_max: u64,
    pub(super) report_every: Duration,
}

impl Default for CopyOptions {
    fn default() -> Self {
        CopyOptions {
            json: false,
            header: false,
            dialect: Dialect { escape: b'\\', ..Dialect::default() },
            style: ValueStyle::file(),
            rows_max: u64::MAX,
            skip_rows: 0,
            skip_columns: Vec::new(),
            begin_token: i64::MIN,
            end_token: i64::MAX,
            connections: 4,
            requests: 128,
            chunk_rows: 5_000,
            batch_max: 20,
            batch_min: 10,
            rows_per_second: None,
            page_rows: 5_000,
            page_timeout: Duration::from_secs(10),
            attempts: 5,
            ttl: None,
            error_file: None,
            parse_errors_max: u64::MAX,
            insert_errors_max: 1_000,
            report_every: Duration::from_millis(250),
        }
    }
}

/// Reads a COPY command.
pub(super) fn parse(text: &str) -> Result<CopyCommand, Failure> {
    let mut words = Words { text, lexer: Lexer::new(text) };
    words.take();
    let first = words.name("the name of a table")?;
    let (keyspace, table) = if words.take_symbol(Symbol::Dot) {
        (Some(first), words.name("the name of a table")?)
    } else {
        (None, first)
    };
    let mut columns = Vec::new();
    if words.take_symbol(Symbol::OpenParen) {
        loop {
            columns.push(words.name("the name of a column")?);
            if !words.take_symbol(Symbol::Comma) {
                break;
            }
        }
        if !words.take_symbol(Symbol::CloseParen) {
            return Err(usage("')' is missing after the columns"));
        }
    }
    let to = match words.word().as_str() {
        "TO" => true,
        "FROM" => false,
        _ => return Err(usage("after the table comes TO or FROM")),
    };
    let (kind, file) = words.take().ok_or_else(|| usage("the name of the file is missing"))?;
    let file = match (kind, file.to_ascii_uppercase().as_str()) {
        (TokenKind::String | TokenKind::QuotedName, _) => Some(file),
        (_, "STDIN") if !to => None,
        (_, "STDOUT") if to => None,
        _ => return Err(usage("a file's name stands in single quotes; or STDIN, STDOUT")),
    };
    let json = file.as_deref().is_some_and(|file| {
        let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("json" | "jsonl" | "ndjson"))
    });
    let mut options = CopyOptions { json, ..CopyOptions::default() };
    words.options(&mut options)?;
    Ok(CopyCommand { keyspace, table, columns, to, file, options })
}

fn usage(problem: &str) -> Failure {
    Failure::Usage(format!("Improper COPY command: {problem}; HELP COPY says more"))
}

struct Words<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
}

impl Words<'_> {
    /// The next token's kind and text; `None` at the end.
    fn take(&mut self) -> Option<(TokenKind, String)> {
        let token = self.lexer.next_token().ok().filter(|token| token.kind != TokenKind::End)?;
        Some((token.kind, token.text(self.text)))
    }

    fn word(&mut self) -> String {
        self.take().map_or_else(String::new, |(_, text)| text.to_ascii_uppercase())
    }

    fn take_symbol(&mut self, symbol: Symbol) -> bool {
        let mut ahead = self.lexer;
        let found = ahead.next_token().is_ok_and(|token| token.kind == symbol.into());
        if found {
            self.lexer = ahead;
        }
        found
    }

    fn name(&mut self, what: &str) -> Result<String, Failure> {
        match self.take() {
            Some((TokenKind::QuotedName, text)) => Ok(text),
            Some((TokenKind::Identifier | TokenKind::Keyword(_), text)) => {
                Ok(text.to_ascii_lowercase())
            }
            _ => Err(usage(&format!("{what} is missing"))),
        }
    }

    fn options(&mut self, options: &mut CopyOptions) -> Result<(), Failure> {
        let mut expected = "WITH";
        while let Some((_, word)) = self.take() {
            if !word.eq_ignore_ascii_case(expected) {
                return Err(usage(&format!("'{word}' stands where {expected} was expected")));
            }
            expected = "AND";
            let name = self.word();
            if !self.take_symbol(Symbol::Equal) {
                return Err(usage(&format!("'=' is missing after {name}")));
            }
            let Some((_, value)) = self.take() else {
                return Err(usage(&format!("the value of {name} is missing")));
            };
            options.set(&name, &value).map_err(|problem| usage(&format!("{name}: {problem}")))?;
        }
        let set = options.dialect;
        let same = set.delimiter == set.quote || set.delimiter == set.escape;
        if same { Err(usage("DELIMITER must differ from QUOTE and ESCAPE")) } else { Ok(()) }
    }
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("'{value}' is no number that fits"))
}

/// A number of which -1 means that there is no limit.
fn limit(value: &str) -> Result<u64, String> {
    if value == "-1" { Ok(u64::MAX) } else { number(value) }
}

fn byte(value: &str) -> Result<u8, String> {
    match value {
        "\\t" => Ok(b'\t'),
        _ => match value.as_bytes() {
            [byte] if byte.is_ascii() && *byte != b'\n' => Ok(*byte),
            _ => Err(format!("'{value}' is not one ASCII character")),
        },
    }
}

fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("'{value}' is neither true nor false")),
    }
}

fn character(value: &str) -> Result<Option<char>, String> {
    let mut characters = value.chars();
    match (characters.next(), characters.next()) {
        (one, None) => Ok(one),
        _ => Err(format!("'{value}' is more than one character")),
    }
}

impl CopyOptions {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "FORMAT" => {
                self.json = match value.to_ascii_uppercase().as_str() {
                    "CSV" => false,
                    "JSON" => true,
                    _ => return Err(format!("'{value}' is neither CSV nor JSON")),
                }
            }
            "HEADER" => self.header = boolean(value)?,
            "DELIMITER" => self.dialect.delimiter = byte(value)?,
            "QUOTE" => self.dialect.quote = byte(value)?,
            "ESCAPE" => self.dialect.escape = byte(value)?,
            "NULL" => value.clone_into(&mut self.style.null),
            "ENCODING" => {
                if !["utf8", "utf-8"].contains(&value.to_ascii_lowercase().as_str()) {
                    return Err("only utf8 is read and written".to_owned());
                }
            }
            "DATETIMEFORMAT" => {
                datetime::check(value)?;
                value.clone_into(&mut self.style.timestamp_format);
            }
            "DECIMALSEP" => {
                let separator = character(value)?;
                self.style.decimal_separator = separator.ok_or("it must be one character")?;
            }
            "THOUSANDSSEP" => self.style.thousands_separator = character(value)?,
            "BOOLSTYLE" => {
                let pair =
                    value.split_once(',').ok_or("two words with a comma between are needed")?;
                self.style.booleans = (pair.0.trim().to_owned(), pair.1.trim().to_owned());
                if self.style.booleans.0 == self.style.booleans.1 {
                    return Err("the two words must differ".to_owned());
                }
            }
            "FLOATPRECISION" => self.style.float_precision = Some(number(value)?),
            "DOUBLEPRECISION" => self.style.double_precision = Some(number(value)?),
            _ => return self.set_range(name, value),
        }
        Ok(())
    }

    /// Options about which rows, how fast, and how many errors.
    fn set_range(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "MAXROWS" => self.rows_max = limit(value)?,
            "SKIPROWS" => self.skip_rows = number(value)?,
            "SKIPCOLS" => {
                self.skip_columns = value.split(',').map(|name| name.trim().to_owned()).collect();
            }
            "BEGINTOKEN" if !value.is_empty() => self.begin_token = number(value)?,
            "ENDTOKEN" if !value.is_empty() => self.end_token = number(value)?,
            "BEGINTOKEN" | "ENDTOKEN" => {}
            "NUMPROCESSES" => self.connections = number::<usize>(value)?.clamp(1, 64),
            "MAXREQUESTS" => self.requests = number::<usize>(value)?.clamp(1, 1_024),
            "CHUNKSIZE" => self.chunk_rows = number::<usize>(value)?.clamp(1, 1_000_000),
            "MAXBATCHSIZE" => self.batch_max = number::<usize>(value)?.clamp(1, 1_000),
            "MINBATCHSIZE" => self.batch_min = number::<usize>(value)?.max(1),
            "INGESTRATE" => {
                self.rows_per_second =
                    Some(limit(value)?).filter(|rate| *rate > 0 && *rate < u64::MAX)
            }
            "PAGESIZE" => {
                self.page_rows = number::<i32>(value)?.max(1);
                let seconds = (self.page_rows / 500).max(10);
                self.page_timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(10));
            }
            "PAGETIMEOUT" => self.page_timeout = Duration::from_secs(number::<u64>(value)?.max(1)),
            "MAXATTEMPTS" => self.attempts = number::<u32>(value)?.max(1),
            "TTL" => self.ttl = if value == "-1" { None } else { Some(number(value)?) },
            "ERRFILE" => self.error_file = Some(value.to_owned()),
            "MAXPARSEERRORS" => self.parse_errors_max = limit(value)?,
            "MAXINSERTERRORS" => self.insert_errors_max = limit(value)?,
            "REPORTFREQUENCY" => {
                let seconds = number::<f64>(value)?.clamp(0.05, 3_600.0);
                self.report_every = Duration::from_secs_f64(seconds);
            }
            "CONFIGFILE" => return Err("is not read here; give the options after WITH".to_owned()),
            _ => {
                let near = nearest(name, OPTION_NAMES.into_iter());
                let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
                return Err(format!("there is no such option{near}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_whole() {
        let text = "COPY ks.\"T\" (a, \"B\") TO '/x/y.csv' WITH HEADER = true AND delimiter='|' AND \
                    MAXROWS = -1 AND NULL = 'nil' AND DATETIMEFORMAT = '%Y' AND PAGESIZE = 100";
        let command = parse(text).unwrap();
        assert_eq!((command.keyspace.as_deref(), command.table.as_str()), (Some("ks"), "T"));
        assert_eq!(
            (command.columns.as_slice(), command.to),
            (&["a".to_owned(), "B".to_owned()][..], true)
        );
        assert_eq!(command.file.as_deref(), Some("/x/y.csv"));
        assert!(command.options.header && command.options.dialect.delimiter == b'|');
        assert_eq!((command.options.style.null.as_str(), command.options.page_rows), ("nil", 100));
        assert!(parse("COPY t FROM STDIN").unwrap().file.is_none());
        assert!(parse("copy t from 'a.jsonl'").unwrap().options.json);
    }

    #[test]
    fn wrong_options_say_what_would_be_right() {
        for (text, hint) in [
            ("COPY t", "TO or FROM"),
            ("COPY t TO x", "single quotes"),
            ("COPY t TO 'x' WITH HEADR = true", "did you mean HEADER?"),
            ("COPY t TO 'x' WITH HEADER = maybe", "neither true nor false"),
            ("COPY t TO 'x' WITH ENCODING = 'latin1'", "only utf8"),
            ("COPY t TO 'x' WITH CONFIGFILE = 'y'", "not read here"),
            ("COPY t TO 'x' WITH QUOTE = ','", "must differ"),
            ("COPY t TO 'x' HEADER = true", "WITH was expected"),
        ] {
            let Err(Failure::Usage(message)) = parse(text) else { panic!("{text} was taken") };
            assert!(message.contains(hint), "{message}");
        }
    }
}
