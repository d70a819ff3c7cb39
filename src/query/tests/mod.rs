//! Whole statements on an engine in memory, from scripts.
//!
//! A script in `cases/` is a list of statements with what they must answer:
//!
//! ```text
//! -- a comment
//! SELECT a, b FROM t WHERE k = 1
//! => 2 | 'x'
//! => null | 'y'
//! SELECT a FROM nothing
//! !! table nothing does not exist
//! INSERT INTO t (k) VALUES (1)
//! ```
//!
//! Rows are compared in order, cell by cell, as CQL literals. `=>` alone: no rows. `=> *` any
//! rows. A statement with neither must succeed. `??` gives names and types of the result, `##`
//! a warning. Lines that begin with spaces go on with the statement.

mod guardrails;
mod harness;
mod paging;
mod prepared;

use harness::Node;

/// A schema with a keyspace `ks` and what these statements make in it.
pub(super) fn schema_of(statements: &[&str]) -> std::sync::Arc<crate::schema::Schema> {
    let node = Node::with_keyspace();
    statements.iter().for_each(|statement| drop(node.run(statement).unwrap()));
    node.services.metadata.schema()
}

fn run_script(name: &str, script: &str) {
    let node = Node::with_keyspace();
    let mut failures = Vec::new();
    for case in harness::cases(script) {
        if let Err(failure) = node.check(&case) {
            failures.push(format!("{name}:{}: {}\n{failure}\n", case.line, case.statement));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

macro_rules! scripts {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let name = concat!(stringify!($name), ".cql");
            run_script(name, include_str!(concat!("cases/", stringify!($name), ".cql")));
        }
    )*};
}

scripts! {
    basics
    collections
    counters
    ddl
    describe
    functions
    lwt
    modify
    restrictions
    select
    types
}

/// What DESCRIBE prints makes the same table again.
#[test]
fn a_described_table_can_be_made_again() {
    let node = Node::with_keyspace();
    node.run("CREATE TYPE u (x int, l list<int>)").unwrap();
    let create = "CREATE TABLE t (k int, \"C\" int, d text, s int static, v text, \
        l list<frozen<u>>, a map<int, frozen<set<text>>>, PRIMARY KEY (k, \"C\", d)) \
        WITH CLUSTERING ORDER BY (\"C\" DESC) AND comment = 'it''s' AND gc_grace_seconds = 5";
    node.run(create).unwrap();
    let statement = |node: &Node| {
        let answer = node.run("DESCRIBE TABLE t").unwrap();
        let rows = answer.rows().unwrap();
        let cells = rows.iter().next().unwrap();
        String::from_utf8(cells[3].unwrap().to_vec()).unwrap()
    };
    let first = statement(&node);
    assert!(
        first.contains("    \"C\" int,\n    d text,\n    s int static,\n    v text,\n"),
        "{first}"
    );
    node.run("DROP TABLE t").unwrap();
    node.run(&first).unwrap();
    assert_eq!(statement(&node), first);
}
