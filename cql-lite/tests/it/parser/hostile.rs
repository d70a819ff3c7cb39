//! Texts that no client means to send: nothing panics, and time stays in proportion to length.

use std::time::Duration;

use cql_lite::parse;
use cql_lite::parser::{parse_statements, split_statements};
use helenus_platform::clock::{Clock, RealClock};
use proptest::prelude::*;

use super::roundtrip::{Generated, generated};
use super::statements;

/// Everything that reads a text; the results do not matter.
fn read(text: &str) {
    if let Ok(statement) = parse(text) {
        // What was understood can also be printed and understood again.
        let printed = statement.to_string();
        assert_eq!(parse(&printed).as_ref(), Ok(&statement), "{text}\n{printed}");
    }
    let _ = parse_statements(text);
    let split = split_statements(text);
    assert!(split.complete.iter().map(|part| part.len()).sum::<usize>() <= text.len());
}

#[test]
fn every_prefix_of_every_statement_is_read_without_panic() {
    for text in statements::all() {
        for (end, _) in text.char_indices() {
            read(text.get(..end).unwrap());
        }
    }
}

#[test]
fn every_statement_without_any_one_token_is_read_without_panic() {
    for text in statements::all() {
        let words: Vec<&str> = text.split_inclusive([' ', ',', '(', ')']).collect();
        for left_out in 0..words.len() {
            let mut words = words.clone();
            words.remove(left_out);
            read(&words.concat());
        }
    }
}

/// Pieces that come close to statements when put in a row.
const PIECES: [&str; 48] = [
    "SELECT ",
    "FROM ",
    "WHERE ",
    "INSERT INTO ",
    "VALUES ",
    "UPDATE ",
    "SET ",
    "DELETE ",
    "BEGIN BATCH ",
    "APPLY BATCH",
    "CREATE TABLE ",
    "PRIMARY KEY ",
    "ALTER TABLE ",
    "ADD ",
    "GRANT ",
    "ON ",
    "TO ",
    "LIST ",
    "DESCRIBE ",
    "IN ",
    "AND ",
    "AS ",
    "token",
    "count",
    "json ",
    "int ",
    "list<",
    "> ",
    "a ",
    "b",
    ".",
    "..",
    ",",
    ";",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    "?",
    "=",
    "- ",
    "1 ",
    "'x' ",
    "\"Y\" ",
    "/*",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000,
        ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_row_of_pieces_is_read_without_panic(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..40)
    ) {
        read(&pieces.concat());
    }

    #[test]
    fn any_change_of_a_character_is_read_without_panic(
        Generated(statement) in generated(),
        place in any::<prop::sample::Index>(),
        with in any::<char>(),
    ) {
        let mut text: Vec<char> = statement.to_string().chars().collect();
        let place = place.index(text.len());
        text[place] = with;
        read(&text.iter().collect::<String>());
        text.truncate(place);
        read(&text.iter().collect::<String>());
    }
}

/// Long texts, each with one thing repeated.
fn long_texts(count: usize) -> Vec<String> {
    let insert = |inner: String| format!("INSERT INTO t (a) VALUES ({inner})");
    let list = |element: &str| insert(format!("[{}]", vec![element; count].join(", ")));
    vec![
        list("1"),
        list("'some text, it''s quoted'"),
        list("(int)1"),
        list("('x')"),
        list("(f(1))"),
        list("{a: 1}"),
        list("?"),
        insert(format!("'{}'", "x''\n".repeat(count))),
        insert(format!("0x{}", "ab".repeat(count))),
        insert(vec!["1"; count].join(" + ")),
        insert(vec!["f(1)"; count].join(" * ")),
        format!("SELECT {} FROM t", vec!["a"; count].join(", ")),
        format!("SELECT {} FROM t", vec!["(a)"; count].join(", ")),
        format!("SELECT {} FROM t", vec!["(map<int, frozen<b>>)(a)"; count].join(", ")),
        format!("SELECT a{} FROM t", ".b[1]".repeat(count)),
        format!("SELECT * FROM t WHERE {}", vec!["a = 1"; count].join(" AND ")),
        format!("UPDATE t SET {} WHERE k = 1", vec!["a['x'] = 1"; count].join(", ")),
        format!("BEGIN BATCH {} APPLY BATCH", "INSERT INTO t (a) VALUES (1); ".repeat(count)),
        format!("ALTER ROLE r WITH {}", vec!["ACCESS TO ALL DATACENTERS"; count].join(" AND ")),
        format!("SELECT * FROM t{}", ";".repeat(count)),
        format!("{}SELECT * FROM t", "-- a remark\n/* and another */ ".repeat(count)),
        // These fail, most of them at the end.
        insert(format!("'{}", "x''\n".repeat(count))),
        insert(format!("{} b", vec!["1"; count].join(" + "))),
        format!("SELECT {} FROM", vec!["(a)"; count].join(", ")),
        format!("SELECT {}", "(a ".repeat(count)),
        format!("SELECT * FROM t WHERE {}", "(a, ".repeat(count)),
        insert("(tuple<int, ".repeat(count)),
        insert("{(a)".repeat(count)),
        "\"".repeat(2 * count + 1),
        "$".repeat(count),
        "/*".repeat(count),
        "a".repeat(count),
        "- ".repeat(count),
    ]
}

#[test]
fn time_is_in_proportion_to_length() {
    let clock = RealClock::new();
    let time = |text: &str| {
        let before = clock.monotonic();
        let _ = parse(text);
        clock.monotonic() - before
    };
    for text in long_texts(100_000) {
        // Each takes tens of milliseconds; anything quadratic takes at least half a minute.
        let taken = time(&text);
        let start: String = text.chars().take(60).collect();
        assert!(taken < Duration::from_secs(10), "{start}: {} bytes in {taken:?}", text.len());
    }
}
