//! Many statements in one text.

use cql_lite::ast::Statement;
use cql_lite::parser::{parse_statements, split_statements};

const SCRIPT: &str = "-- a script;
USE ks; ;
INSERT INTO t (a, b) VALUES (?, 'x;y'); /* ; */
BEGIN BATCH
  DELETE FROM t WHERE a = ?;
  UPDATE t SET b = ? WHERE a = ?;
APPLY BATCH;
SELECT \"a;b\" FROM t -- last; one
";

#[test]
fn a_script_is_read_statement_by_statement() {
    let statements = parse_statements(SCRIPT).unwrap();
    let texts: Vec<&str> = statements.iter().map(|statement| statement.text).collect();
    assert_eq!(
        texts,
        [
            "USE ks",
            "INSERT INTO t (a, b) VALUES (?, 'x;y')",
            "BEGIN BATCH\n  DELETE FROM t WHERE a = ?;\n  \
             UPDATE t SET b = ? WHERE a = ?;\nAPPLY BATCH",
            "SELECT \"a;b\" FROM t",
        ]
    );
    let lines: Vec<u32> = statements.iter().map(|statement| statement.position.line).collect();
    assert_eq!(lines, [2, 3, 4, 8]);
    let markers: Vec<usize> =
        statements.iter().map(|statement| statement.statement.bind_markers().len()).collect();
    assert_eq!(markers, [0, 1, 3, 0]);
    for statement in &statements {
        assert_eq!(cql_lite::parse(statement.text).as_ref(), Ok(&statement.statement));
    }
}

#[test]
fn an_error_in_a_script_is_placed_in_the_whole_text() {
    let error = parse_statements("USE a;\nUSE b;\n  USE 1;\nUSE c;").unwrap_err();
    assert_eq!((error.line, error.column), (3, 6));
    let error = parse_statements("USE a USE b").unwrap_err();
    assert!(error.message.starts_with("line 1:6 mismatched input 'USE' expecting ';'"), "{error}");
    assert_eq!(parse_statements(" ; ; "), Ok(Vec::new()));
    assert!(matches!(
        parse_statements("LIST USERS").unwrap().as_slice(),
        [only] if only.statement == Statement::ListUsers
    ));
}

#[test]
fn a_text_is_cut_at_semicolons_that_end_statements() {
    let split = split_statements(SCRIPT);
    assert_eq!(split.complete.len(), 3);
    assert_eq!(split.rest, "SELECT \"a;b\" FROM t");
    let parsed = parse_statements(SCRIPT).unwrap();
    for (cut, parsed) in split.complete.iter().zip(&parsed) {
        assert_eq!(*cut, parsed.text);
    }
}

#[test]
fn what_is_not_complete_is_the_rest() {
    for (text, complete, rest) in [
        ("", 0, ""),
        (" ;; -- nothing", 0, ""),
        ("USE a;", 1, ""),
        ("USE a; USE", 1, "USE"),
        ("USE a; SELECT 'x; \n", 1, "SELECT 'x;"),
        ("SELECT $$a;", 0, "SELECT $$a;"),
        ("SELECT /* ; ", 0, "SELECT /* ;"),
        ("BEGIN BATCH DELETE FROM t WHERE a = 1;", 0, "BEGIN BATCH DELETE FROM t WHERE a = 1;"),
        ("BEGIN BATCH APPLY BATCH; x y;", 2, ""),
        ("not cql at all;", 1, ""),
    ] {
        let split = split_statements(text);
        assert_eq!((split.complete.len(), split.rest), (complete, rest), "{text}");
    }
}
