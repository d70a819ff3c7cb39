//! What is refused, and with which words.
#![expect(clippy::panic, reason = "a test fails by panicking")]

use cql_lite::parse;
use cql_lite::parser::{NESTING_MAX, SyntaxError};

fn error(text: &str) -> SyntaxError {
    match parse(text) {
        Ok(statement) => panic!("{text} was read as {statement}"),
        Err(error) => error,
    }
}

#[test]
fn messages_are_those_that_cassandra_gives() {
    let mut lines =
        include_str!("errors.txt").lines().filter(|line| !line.starts_with('#')).peekable();
    let (mut count, mut failures) = (0, String::new());
    while let Some(text) = lines.next() {
        let expected = lines.next().unwrap().trim_start();
        let message = match parse(text) {
            Ok(statement) => format!("no error: {statement}"),
            Err(error) => error.message,
        };
        if message != expected {
            failures.push_str(&format!("{text}\n  {message}\n  instead of\n  {expected}\n"));
        }
        count += 1;
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(count >= 150, "only {count} statements");
}

#[test]
fn an_empty_text_is_no_statement() {
    for text in ["", " \n", "-- only a remark", "/* and */ // nothing"] {
        assert_eq!(error(text).message, "line 0:-1 no viable alternative at input '<EOF>'");
    }
}

#[test]
fn lines_count_from_one_and_snippets_have_none() {
    let error = error("SELECT *\nFROM t\n  WHERE a\r\n\t= 1 OR b = 2");
    assert_eq!((error.line, error.column), (4, 5));
    assert_eq!(error.near.as_deref(), Some("OR"));
    assert_eq!(error.expected, None);
    assert_eq!(
        error.message,
        "line 4:5 no viable alternative at input 'OR' (...t  WHERE a\r\t= 1 [OR]...)"
    );
}

#[test]
fn columns_count_as_java_counts_characters() {
    let error = error("SELECT '🙂é', FROM t");
    assert_eq!((error.line, error.column), (1, 14));
    assert!(error.message.starts_with("line 1:14 "), "{error}");
}

#[test]
fn fields_tell_what_was_expected_and_where_the_text_ended() {
    let missing = error("SELECT a b");
    assert_eq!(missing.expected.as_deref(), Some("K_FROM"));
    assert_eq!(missing.near.as_deref(), Some("b"));
    let ended = error("SELECT a");
    assert_eq!((ended.line, ended.column, ended.near), (1, 8, None));
    assert_eq!(ended.expected.as_deref(), Some("K_FROM"));
    let unclosed = error("SELECT * FROM t WHERE a = 'x\ny");
    assert_eq!((unclosed.line, unclosed.column, unclosed.near), (2, 1, None));
    assert_eq!(unclosed.expected.as_deref(), Some("'"));
}

#[test]
fn the_first_trouble_in_the_text_is_told() {
    // The unclosed quote comes later than the word that no rule goes on with.
    assert!(error("SELEC 'x").message.contains("'SELEC'"));
    assert!(error("SELECT a FROM 'x").message.contains("mismatched character"));
    assert!(error("UPDATE t SET a = 1, a = 2 WHERE").message.contains("Multiple"));
}

#[test]
fn long_texts_are_not_quoted_in_full() {
    let long = "日".repeat(100_000);
    for text in [
        format!("SELECT a FROM '{long}'"),
        format!("SELECT a FROM t WHERE a = '{long}' b"),
        format!("CREATE KEYSPACE ks WITH replication = {{'a': ['{long}']}}"),
        format!("SELECT a{}", "x".repeat(100_000)),
    ] {
        let error = error(&text);
        assert!(error.message.len() < 5_000 && error.near.is_none_or(|near| near.len() < 5_000));
    }
}

/// `open` and `close` around `inner`, `depth` times.
fn nest(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

/// Statements with something nested to a given depth.
fn nested(depth: usize) -> Vec<String> {
    let value =
        |open, close| format!("INSERT INTO t (a) VALUES ({})", nest(open, "1", close, depth));
    let select = |open, close| format!("SELECT {} FROM t", nest(open, "a", close, depth));
    let relation = format!("SELECT * FROM t WHERE {}", nest("(", "a = 1", ")", depth));
    let type_name =
        |open, close| format!("CREATE TABLE t (a {} PRIMARY KEY)", nest(open, "int", close, depth));
    vec![
        value("[", "]"),
        value("{", "}"),
        value("(", ")"),
        value("{1:", "}"),
        value("{a:", "}"),
        value("f(", ")"),
        value("(int)", ""),
        value("CAST(", " AS int)"),
        value("[1, (", ")]"),
        select("[", "]"),
        select("(", ")"),
        select("{", "}"),
        select("{a:", "}"),
        select("f(", ")"),
        select("(int)", ""),
        select("- ", ""),
        select("CAST(", " AS int)"),
        format!("SELECT a[{}] FROM t", nest("f(", "1", ")", depth)),
        relation,
        type_name("list<", ">"),
        type_name("map<int, ", ">"),
        type_name("frozen<tuple<", ">>"),
        format!("SELECT ({})a FROM t", nest("set<", "int", ">", depth)),
    ]
}

#[test]
fn deep_nesting_is_an_error() {
    for depth in [1_000, 100_000] {
        for text in nested(depth) {
            let message = error(&text).message;
            let start: String = text.chars().take(40).collect();
            let told = message.ends_with("nested too deeply (more than 128 levels)");
            assert!(told, "{start}: {message}");
        }
    }
}

#[test]
fn nesting_that_somebody_could_mean_is_not() {
    for text in nested(NESTING_MAX / 4) {
        let printed = parse(&text).unwrap().to_string();
        assert_eq!(parse(&printed).unwrap().to_string(), printed);
    }
}
