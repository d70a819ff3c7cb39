//! What may come next while a statement is typed.
//!
//! The words before the cursor decide: names of the schema where a name belongs, else the keywords
//! that can follow in such a statement.

use cql_lite::lexer::{Lexer, TokenKind};
use cql_lite::types::names::maybe_quote;

use super::copy::options::OPTION_NAMES;
use super::help;
use super::hints::{FUNCTIONS, TYPES};
use super::schema::{Column, Schema};
use super::script::split;
use crate::schema::TableOptions;

/// Something that can be typed next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// What to insert.
    pub(super) text: String,
    /// What it is.
    pub(super) note: String,
}

/// The candidates at a cursor, and the part of the text that they replace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Completion {
    /// Where the word begins that is being typed, in bytes.
    pub(super) start: usize,
    /// What it may become.
    pub(super) candidates: Vec<Candidate>,
}

const STARTERS: [&str; 16] = [
    "ALTER",
    "APPLY BATCH",
    "BEGIN",
    "COPY",
    "CREATE",
    "DELETE",
    "DESCRIBE",
    "DROP",
    "GRANT",
    "INSERT INTO",
    "LIST",
    "REVOKE",
    "SELECT",
    "TRUNCATE",
    "UPDATE",
    "USE",
];
const COMMANDS: [&str; 17] = [
    "CAPTURE",
    "CLEAR",
    "CONSISTENCY",
    "EXIT",
    "EXPAND",
    "HELP",
    "HISTORY",
    "LOGIN",
    "OUTPUT",
    "PAGING",
    "QUIT",
    "SERIAL CONSISTENCY",
    "SHOW",
    "SOURCE",
    "TIMING",
    "TRACING",
    "DESCRIBE",
];
const LEVELS: [&str; 11] = [
    "ALL",
    "ANY",
    "EACH_QUORUM",
    "LOCAL_ONE",
    "LOCAL_QUORUM",
    "LOCAL_SERIAL",
    "ONE",
    "QUORUM",
    "SERIAL",
    "THREE",
    "TWO",
];
const DESCRIBED: [&str; 16] = [
    "AGGREGATE",
    "AGGREGATES",
    "CLUSTER",
    "FULL SCHEMA",
    "FUNCTION",
    "FUNCTIONS",
    "INDEX",
    "KEYSPACE",
    "KEYSPACES",
    "MATERIALIZED VIEW",
    "ONLY KEYSPACE",
    "SCHEMA",
    "TABLE",
    "TABLES",
    "TYPE",
    "TYPES",
];
const OBJECTS: [&str; 10] = [
    "AGGREGATE",
    "FUNCTION",
    "INDEX",
    "KEYSPACE",
    "MATERIALIZED VIEW",
    "ROLE",
    "TABLE",
    "TRIGGER",
    "TYPE",
    "USER",
];

struct Word {
    /// Upper case, unless it is quoted.
    upper: String,
    /// The name that it stands for.
    name: String,
    is_name: bool,
}

struct Context<'a> {
    schema: &'a Schema,
    keyspace: Option<&'a str>,
    /// The words of the statement before the one that is being typed.
    words: Vec<Word>,
    /// All words of the statement, the ones behind the cursor too.
    all: Vec<Word>,
    /// The keyspace before the dot, if there is one right before the cursor.
    qualifier: Option<String>,
}

/// What may be typed at `cursor` in `text`.
pub(super) fn complete(
    text: &str,
    cursor: usize,
    schema: &Schema,
    keyspace: Option<&str>,
) -> Completion {
    let before = text.get(..cursor).unwrap_or(text);
    let pieces = split(before);
    let last_line = before.rfind('\n').map_or(0, |at| at + 1);
    // A command that ends with its line is whole already, and still being typed.
    let open_command = pieces
        .complete
        .last()
        .filter(|piece| super::script::is_line_command(piece.text) && piece.offset >= last_line)
        .filter(|_| pieces.rest.is_none() && !before.trim_end().ends_with(';'));
    let statement = pieces.rest.or(open_command.copied()).map_or(cursor, |piece| piece.offset);
    let typed = before.get(statement..).unwrap_or_default();
    let partial = partial_start(typed);
    if in_string(typed) {
        return Completion { start: cursor, candidates: Vec::new() };
    }
    let (done, partial_text) = typed.split_at_checked(partial).unwrap_or((typed, ""));
    let mut words = words(done);
    let mut qualifier = None;
    if words.last().is_some_and(|word| word.upper == ".") {
        words.pop();
        qualifier = words.pop().map(|word| word.name);
    }
    let all = self::words(text.get(statement..).unwrap_or_default());
    let context = Context { schema, keyspace, words, all, qualifier };
    let lower = partial_text.chars().any(char::is_lowercase);
    let mut candidates = context.candidates();
    for candidate in &mut candidates {
        if lower && candidate.note == "keyword" {
            candidate.text.make_ascii_lowercase();
        }
    }
    let wanted = partial_text.to_lowercase();
    candidates.retain(|candidate| candidate.text.to_lowercase().starts_with(&wanted));
    candidates.dedup_by(|a, b| a.text == b.text);
    Completion { start: statement + partial, candidates }
}

/// Where the word begins that ends at the end of `text`.
fn partial_start(text: &str) -> usize {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let start = text.char_indices().rev().take_while(|(_, c)| part(*c)).last();
    let start = start.map_or(text.len(), |(at, _)| at);
    let quotes = text.get(..start).unwrap_or_default().matches('"').count();
    if quotes % 2 == 1 { start.saturating_sub(1) } else { start }
}

fn in_string(text: &str) -> bool {
    text.matches('\'').count() % 2 == 1
}

fn words(text: &str) -> Vec<Word> {
    let mut lexer = Lexer::new(text);
    let mut words = Vec::new();
    while let Ok(token) = lexer.next_token() {
        let source = token.source(text);
        let word = match token.kind {
            TokenKind::End => break,
            TokenKind::QuotedName => {
                Word { upper: source.to_owned(), name: token.text(text), is_name: true }
            }
            TokenKind::Identifier | TokenKind::Keyword(_) => Word {
                upper: source.to_ascii_uppercase(),
                name: source.to_ascii_lowercase(),
                is_name: true,
            },
            _ => Word { upper: source.to_owned(), name: source.to_owned(), is_name: false },
        };
        words.push(word);
    }
    words
}

fn keywords<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<Candidate> {
    noted(words, "keyword")
}

fn noted<'a>(words: impl IntoIterator<Item = &'a str>, note: &str) -> Vec<Candidate> {
    let candidate = |text: &str| Candidate { text: text.to_owned(), note: note.to_owned() };
    words.into_iter().map(candidate).collect()
}

fn names<'a>(names: impl IntoIterator<Item = &'a String>, note: &str) -> Vec<Candidate> {
    let candidate = |name: &String| Candidate { text: maybe_quote(name), note: note.to_owned() };
    names.into_iter().map(candidate).collect()
}

impl Context<'_> {
    fn candidates(&self) -> Vec<Candidate> {
        if let Some(keyspace) = &self.qualifier {
            return self.members(keyspace);
        }
        let word = |back: usize| {
            let index = self.words.len().checked_sub(back)?;
            self.words.get(index).map(|word| word.upper.as_str())
        };
        let first = self.words.first().map(|word| word.upper.as_str());
        match (first, word(1).unwrap_or_default()) {
            (None, _) => {
                let mut all: Vec<_> = STARTERS.into_iter().chain(COMMANDS).collect();
                all.sort_unstable();
                keywords(all)
            }
            (Some("USE"), "USE") => self.keyspaces(),
            (Some("CONSISTENCY"), "CONSISTENCY") => keywords(LEVELS),
            (Some("SERIAL"), "SERIAL") => keywords(["CONSISTENCY"]),
            (Some("SERIAL"), "CONSISTENCY") => keywords(["LOCAL_SERIAL", "SERIAL"]),
            (Some("TRACING" | "EXPAND" | "TIMING" | "PAGING"), _) => keywords(["OFF", "ON"]),
            (Some("OUTPUT"), _) => keywords(["CSV", "JSON", "TABLE"]),
            (Some("SHOW"), "SHOW") => keywords(["HOST", "SESSION", "VERSION"]),
            (Some("CAPTURE"), _) => keywords(["OFF"]),
            (Some("HELP"), _) => noted(help::topics(), "topic"),
            (Some("SOURCE" | "LOGIN" | "HISTORY" | "CLEAR" | "EXIT" | "QUIT"), _) => Vec::new(),
            (Some("DESCRIBE" | "DESC"), last) => self.described(last),
            (Some("COPY"), last) => self.copied(last),
            (Some("CREATE" | "ALTER" | "DROP"), last) => self.defined(last, word(2)),
            (_, last) => self.statement(last, word(2)),
        }
    }

    fn members(&self, keyspace: &str) -> Vec<Candidate> {
        let Some(keyspace) = self.schema.keyspaces.get(keyspace) else { return Vec::new() };
        let mut members = names(keyspace.tables.keys(), "table");
        members.extend(names(keyspace.types.keys(), "type"));
        members
    }

    fn keyspaces(&self) -> Vec<Candidate> {
        names(self.schema.keyspaces.keys(), "keyspace")
    }

    /// Tables of the keyspace in use, and the other keyspaces.
    fn tables(&self) -> Vec<Candidate> {
        let own = self.keyspace.and_then(|name| self.schema.keyspaces.get(name));
        let mut tables = own.map_or_else(Vec::new, |own| names(own.tables.keys(), "table"));
        let dotted = self.schema.keyspaces.keys();
        tables.extend(dotted.map(|name| Candidate {
            text: format!("{}.", maybe_quote(name)),
            note: "keyspace".to_owned(),
        }));
        tables
    }

    fn types(&self) -> Vec<Candidate> {
        let own = self.keyspace.and_then(|name| self.schema.keyspaces.get(name));
        let mut types = own.map_or_else(Vec::new, |own| names(own.types.keys(), "type"));
        types.extend(noted(TYPES, "type"));
        types
    }

    /// The columns of the table that the statement names.
    fn columns(&self) -> &[Column] {
        let opens = ["FROM", "INTO", "UPDATE", "COPY", "TABLE", "ON"];
        let at = self.all.iter().position(|word| opens.contains(&word.upper.as_str()));
        let Some(at) = at else { return &[] };
        let name = |index: usize| self.all.get(at + index).map(|word| word.name.as_str());
        let dotted = self.all.get(at + 2).is_some_and(|word| word.upper == ".");
        let (keyspace, table) = if dotted { (name(1), name(3)) } else { (self.keyspace, name(1)) };
        table.and_then(|table| self.schema.columns(keyspace, table)).unwrap_or_default()
    }

    fn column_names(&self) -> Vec<Candidate> {
        let candidate = |column: &Column| Candidate {
            text: maybe_quote(&column.name),
            note: column.ty.clone(),
        };
        self.columns().iter().map(candidate).collect()
    }

    /// Columns that the list in parentheses does not have yet.
    fn unlisted(&self) -> Vec<Candidate> {
        let open = self.words.iter().rposition(|word| word.upper == "(").unwrap_or(0);
        let listed = self.words.get(open..).unwrap_or_default();
        let mut columns = self.column_names();
        columns.retain(|column| !listed.iter().any(|word| maybe_quote(&word.name) == column.text));
        columns
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|known| known.upper == word)
    }

    fn described(&self, last: &str) -> Vec<Candidate> {
        match last {
            "DESCRIBE" | "DESC" => {
                let mut all = keywords(DESCRIBED);
                all.extend(self.tables());
                all
            }
            "KEYSPACE" | "ONLY" => self.keyspaces(),
            "TABLE" | "INDEX" | "VIEW" => self.tables(),
            "TYPE" => self.types(),
            _ => Vec::new(),
        }
    }

    fn copied(&self, last: &str) -> Vec<Candidate> {
        match last {
            "COPY" => self.tables(),
            "(" | "," => self.unlisted(),
            "WITH" | "AND" => noted(OPTION_NAMES, "option"),
            "TO" | "FROM" => Vec::new(),
            _ if self.has("WITH") => keywords(["AND"]),
            _ if self.has("TO") || self.has("FROM") => keywords(["WITH"]),
            ")" => keywords(["FROM", "TO"]),
            _ => keywords(["(", "FROM", "TO"]),
        }
    }

    fn defined(&self, last: &str, previous: Option<&str>) -> Vec<Candidate> {
        let second = self.words.get(1).map(|word| word.upper.as_str());
        match (last, second) {
            ("CREATE" | "ALTER" | "DROP", _) if self.words.len() == 1 => {
                let custom =
                    if last == "CREATE" { ["CUSTOM INDEX", "OR REPLACE"] } else { ["", ""] };
                keywords(OBJECTS.into_iter().chain(custom).filter(|word| !word.is_empty()))
            }
            ("MATERIALIZED", _) => keywords(["VIEW"]),
            ("KEYSPACE", _) if !self.has("CREATE") => self.keyspaces(),
            ("TABLE" | "VIEW" | "ON", _) if !self.has("CREATE") || last == "ON" => self.tables(),
            ("TYPE", _) if !self.has("CREATE") => self.types(),
            ("KEYSPACE" | "TABLE" | "TYPE" | "INDEX", _) if self.has("CREATE") => {
                keywords(["IF NOT EXISTS"])
            }
            ("WITH" | "AND", Some("KEYSPACE")) => {
                noted(["durable_writes", "replication"], "option")
            }
            ("WITH" | "AND", _) => {
                let mut options = noted(TableOptions::NAMES, "option");
                options.extend(keywords(["CLUSTERING ORDER BY"]));
                options
            }
            ("DROP" | "RENAME", Some("TABLE")) => self.column_names(),
            ("REPLICATION" | "COMPACTION" | "COMPRESSION" | "CACHING", _) => keywords(["= {"]),
            ("(", Some("TABLE")) if previous == Some("KEY") => Vec::new(),
            ("(" | ",", Some("INDEX")) => self.column_names(),
            (",", Some("TABLE")) => keywords(["PRIMARY KEY"]),
            ("<", _) => self.types(),
            _ if self.open() && self.words.last().is_some_and(|word| word.is_name) => self.types(),
            _ => self.after_definition(second),
        }
    }

    /// Whether a parenthesis is open.
    fn open(&self) -> bool {
        let count = |what: &str| self.words.iter().filter(|word| word.upper == what).count();
        count("(") > count(")")
    }

    fn after_definition(&self, second: Option<&str>) -> Vec<Candidate> {
        let alter = self.words.first().is_some_and(|word| word.upper == "ALTER");
        match second {
            Some("TABLE") if alter => keywords(["ADD", "ALTER", "DROP", "RENAME", "WITH", "AND"]),
            Some("TYPE") if alter => keywords(["ADD", "RENAME", "TO", "AND"]),
            Some("INDEX") => keywords(["ON", "USING", "WITH OPTIONS"]),
            Some("ROLE" | "USER") => keywords(["WITH PASSWORD", "LOGIN", "SUPERUSER", "AND"]),
            Some("MATERIALIZED") => keywords(["AS SELECT", "PRIMARY KEY", "FROM", "WHERE", "WITH"]),
            _ => keywords(["WITH", "AND", "IF EXISTS", "PRIMARY KEY", "STATIC"]),
        }
    }

    fn statement(&self, last: &str, previous: Option<&str>) -> Vec<Candidate> {
        let first = self.words.first().map_or("", |word| word.upper.as_str());
        match (first, last) {
            (_, "FROM" | "INTO" | "UPDATE" | "TRUNCATE" | "TABLE") => self.tables(),
            (_, "ORDER" | "GROUP") => keywords(["BY"]),
            ("BEGIN", "BEGIN") => keywords(["BATCH", "COUNTER BATCH", "UNLOGGED BATCH"]),
            ("BEGIN", "BATCH" | ";") => {
                keywords(["APPLY BATCH", "DELETE", "INSERT INTO", "UPDATE"])
            }
            (_, "WHERE" | "AND" | "SET" | "BY" | "IF") => {
                let mut all = self.column_names();
                match last {
                    "WHERE" | "AND" => all.extend(noted(["token("], "function")),
                    "IF" => all.extend(keywords(["EXISTS", "NOT EXISTS"])),
                    _ => {}
                }
                all
            }
            ("INSERT", "(" | ",") if !self.has("VALUES") => self.unlisted(),
            ("INSERT", ")") if !self.has("VALUES") => keywords(["VALUES ("]),
            ("INSERT", ")") => keywords(["IF NOT EXISTS", "USING TIMESTAMP", "USING TTL"]),
            ("SELECT", _) if !self.has("FROM") => {
                let mut all = self.column_names();
                if last == "SELECT" {
                    all.extend(keywords(["*", "DISTINCT", "JSON"]));
                } else {
                    all.extend(keywords(["AS", "FROM"]));
                }
                all.extend(noted(FUNCTIONS, "function"));
                all
            }
            ("LIST", "LIST") => keywords(["ALL PERMISSIONS", "ROLES", "USERS"]),
            (_, "USING") => keywords(["TIMESTAMP", "TTL"]),
            _ if self.is_column(last) && self.has("WHERE") => {
                let descending = previous == Some("BY");
                let order = ["ASC", "DESC"];
                let compare = [
                    "=",
                    "IN (",
                    "<",
                    ">",
                    "<=",
                    ">=",
                    "CONTAINS",
                    "CONTAINS KEY",
                    "LIKE",
                    "BETWEEN",
                ];
                if descending { keywords(order) } else { keywords(compare) }
            }
            _ => self.following(first),
        }
    }

    fn is_column(&self, upper: &str) -> bool {
        self.columns().iter().any(|column| column.name.eq_ignore_ascii_case(upper))
    }

    fn following(&self, first: &str) -> Vec<Candidate> {
        match first {
            "SELECT" => keywords([
                "WHERE",
                "AND",
                "ORDER BY",
                "GROUP BY",
                "LIMIT",
                "PER PARTITION LIMIT",
                "ALLOW FILTERING",
                "ASC",
                "DESC",
            ]),
            "INSERT" => {
                keywords(["(", "JSON", "VALUES (", "IF NOT EXISTS", "USING TIMESTAMP", "USING TTL"])
            }
            "UPDATE" => keywords(["SET", "WHERE", "AND", "IF", "USING TIMESTAMP", "USING TTL"]),
            "DELETE" => keywords(["FROM", "WHERE", "AND", "IF", "USING TIMESTAMP"]),
            "GRANT" | "REVOKE" => keywords([
                "ALL PERMISSIONS",
                "ALTER",
                "AUTHORIZE",
                "CREATE",
                "DESCRIBE",
                "DROP",
                "EXECUTE",
                "MODIFY",
                "SELECT",
                "ON",
                "ON KEYSPACE",
                "ON TABLE",
                "TO",
                "FROM",
            ]),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::{ColumnKind, Keyspace};
    use super::*;

    fn schema() -> Schema {
        let column = |name: &str, kind| Column {
            name: name.to_owned(),
            kind,
            position: 0,
            ty: "int".to_owned(),
        };
        let columns = vec![
            column("id", ColumnKind::PartitionKey),
            column("name", ColumnKind::Regular),
            column("Odd", ColumnKind::Regular),
        ];
        let mut keyspace = Keyspace::default();
        keyspace.tables.insert("users".to_owned(), columns);
        keyspace.types.insert("address".to_owned(), vec!["street".to_owned()]);
        let mut schema = Schema::default();
        schema.keyspaces.insert("app".to_owned(), keyspace);
        schema.keyspaces.insert("system".to_owned(), Keyspace::default());
        schema
    }

    /// The candidates where `|` stands.
    fn at(text: &str) -> Vec<String> {
        let cursor = text.find('|').unwrap();
        let completion = complete(&text.replace('|', ""), cursor, &schema(), Some("app"));
        completion.candidates.into_iter().map(|candidate| candidate.text).collect()
    }

    #[test]
    fn statements_and_commands_begin() {
        assert_eq!(at("SEL|"), ["SELECT"]);
        assert_eq!(at("sel|"), ["select"]);
        assert_eq!(at("SELECT 1; cons|"), ["consistency"]);
        assert_eq!(at("CONSISTENCY LOCAL_Q|"), ["LOCAL_QUORUM"]);
        assert_eq!(at("EXPAND O|"), ["OFF", "ON"]);
        assert_eq!(at("CREATE TA|"), ["TABLE"]);
    }

    #[test]
    fn names_of_the_schema_come_where_names_belong() {
        assert_eq!(at("SELECT * FROM us|"), ["users"]);
        assert_eq!(at("SELECT * FROM app.|"), ["users", "address"]);
        assert_eq!(at("USE s|"), ["system"]);
        assert_eq!(at("SELECT na| FROM users"), ["name"]);
        assert_eq!(at("SELECT * FROM users WHERE i|"), ["id"]);
        assert_eq!(at("INSERT INTO users (id, |"), ["name", "\"Odd\""]);
        assert_eq!(at("UPDATE users SET na|"), ["name"]);
        assert_eq!(at("COPY users (i|"), ["id"]);
        assert_eq!(at("DESC TABLE us|"), ["users"]);
        assert_eq!(at("CREATE TABLE x (a addr|"), ["address"]);
        assert_eq!(at("SELECT * FROM users WHERE id = 1 ORD|"), ["ORDER BY"]);
    }

    #[test]
    fn options_come_after_with() {
        assert_eq!(at("CREATE TABLE x (a int PRIMARY KEY) WITH gc_|"), ["gc_grace_seconds"]);
        assert_eq!(at("CREATE KEYSPACE x WITH rep|"), ["replication"]);
        assert_eq!(at("COPY users TO 'x' WITH HEAD|"), ["HEADER"]);
        assert!(at("SELECT * FROM users WHERE name = 'SEL|").is_empty());
    }

    #[test]
    fn the_word_that_is_typed_is_replaced() {
        let text = "SELECT 1; SELECT * FROM us";
        assert_eq!(complete(text, text.len(), &schema(), Some("app")).start, 24);
        let text = "INSERT INTO users (\"Od";
        let completion = complete(text, text.len(), &schema(), Some("app"));
        assert_eq!((completion.start, completion.candidates[0].text.as_str()), (19, "\"Odd\""));
    }
}
