//! Guardrails as a client meets them: warnings in answers, errors with the body that drivers act
//! on, and others who notice nothing.

use cql_lite::wire::{
    Batch, BatchBuilder, BatchKind, BatchStatement, BoundValue, Consistency, ErrorKind,
    ProtocolVersion, Query, QueryOptions, Request, Response, ResultBody, StatementSource, Values,
    failure_reason,
};

use crate::process::{Node, TempDir};
use crate::raw_client::{Neighbour, RawClient};

const KEYSPACE: &str = "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', \
                        'replication_factor': 1}";
const TABLE: &str = "CREATE TABLE k.t (k int, c int, v blob, PRIMARY KEY (k, c))";

fn start(dir: &TempDir, settings: &[&str]) -> (Node, RawClient) {
    let node = Node::start(dir.path(), settings);
    let mut client = RawClient::open(&node, ProtocolVersion::V5, false);
    client.run(KEYSPACE);
    client.run(TABLE);
    (node, client)
}

#[test]
fn a_read_past_the_tombstones_it_may_see_fails_as_drivers_expect() {
    let dir = TempDir::new();
    let settings =
        ["guardrails.tombstone_warn_threshold=50", "guardrails.tombstone_failure_threshold=100"];
    let (node, mut client) = start(&dir, &settings);
    let delete = client.prepare("DELETE FROM k.t WHERE k = 1 AND c = ?");
    for c in 0..101_i32 {
        client.execute(&delete, &[BoundValue::Bytes(&c.to_be_bytes())]);
    }
    let (answer, warnings) = client.query_warned("SELECT * FROM k.t WHERE k = 1 AND c < 51");
    assert!(matches!(answer, Response::Result(ResultBody::Rows(_))), "{answer:?}");
    assert_eq!(
        warnings,
        ["Read 0 live rows and 51 tombstone cells for query SELECT * FROM k.t WHERE k = 1 AND \
          c < 51; token -4069959284402364209 (see tombstone_warn_threshold)"]
    );
    let neighbour = Neighbour::start(&node);
    for version in [ProtocolVersion::V4, ProtocolVersion::V5] {
        let mut client = RawClient::open(&node, version, false);
        let Response::Error(error) = client.query("SELECT * FROM k.t WHERE k = 1") else {
            panic!("101 tombstones of 100")
        };
        assert_eq!(
            error.message,
            "Operation failed - received 0 responses and 1 failures: READ_TOO_MANY_TOMBSTONES \
             from /127.0.0.1:7000"
        );
        let ErrorKind::ReadFailure { progress, failures, data_present } = error.kind else {
            panic!("{:?}", error.kind)
        };
        assert_eq!((progress.consistency, progress.received), (Consistency::One, 0));
        assert_eq!((progress.block_for, failures.count, data_present), (1, 1, false));
        if version == ProtocolVersion::V5 {
            let reason = failure_reason::READ_TOO_MANY_TOMBSTONES;
            assert_eq!(failures.reasons, [([127, 0, 0, 1].into(), reason)]);
        }
        client.assert_alive();
    }
    neighbour.finish();
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn an_answer_without_pages_has_a_largest_size() {
    let dir = TempDir::new();
    // Four rows, half of the threshold, are to fit into one page.
    let settings =
        ["guardrails.coordinator_read_size_fail_threshold=4MiB", "limits.page_bytes=4MiB"];
    let (node, mut client) = start(&dir, &settings);
    let insert = client.prepare("INSERT INTO k.t (k, c, v) VALUES (1, ?, ?)");
    let value = vec![7; 512 << 10];
    for c in 0..64_i32 {
        let values = [BoundValue::Bytes(&c.to_be_bytes()), BoundValue::Bytes(&value)];
        assert_eq!(client.execute(&insert, &values), Response::Result(ResultBody::Void));
    }
    let neighbour = Neighbour::start(&node);
    let before = node.peak_memory();
    for _ in 0..20 {
        let Response::Error(error) = client.query("SELECT v FROM k.t") else {
            panic!("32 MiB of 4 MiB")
        };
        let wanted = "Read on table k.t has exceeded the size failure threshold of 4,194,304 bytes";
        assert!(error.message.starts_with(wanted), "{}", error.message);
        assert!(matches!(error.kind, ErrorKind::ReadFailure { .. }), "{:?}", error.kind);
    }
    if let (Some(before), Some(after)) = (before, node.peak_memory()) {
        assert!(after < before + (24 << 20), "{} MiB more", (after - before) >> 20);
    }
    let options = QueryOptions { page_size: Some(4), ..QueryOptions::default() };
    let page = client.ask(&Request::Query(Query { text: "SELECT v FROM k.t", options }));
    assert!(matches!(page, Response::Result(ResultBody::Rows(rows)) if rows.iter().count() == 4));
    neighbour.finish();
    client.assert_alive();
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn batches_and_definitions_are_warned_of_and_refused() {
    let dir = TempDir::new();
    let settings = [
        "guardrails.batch_size_warn_threshold=1KiB",
        "guardrails.batch_size_fail_threshold=8KiB",
        "guardrails.unlogged_batch_across_partitions_warn_threshold=-1",
        "guardrails.tables_warn_threshold=1",
        "guardrails.tables_fail_threshold=2",
        "guardrails.column_value_size_fail_threshold=16KiB",
    ];
    let (node, mut client) = start(&dir, &settings);
    let mut batch = |bytes: usize| {
        let mut statements = BatchBuilder::new();
        for k in 0..2 {
            let text =
                format!("INSERT INTO k.t (k, c, v) VALUES ({k}, 0, 0x{})", "aa".repeat(bytes));
            let source = StatementSource::Text(&text);
            statements.push(&BatchStatement { source, values: Values::EMPTY }).unwrap();
        }
        let options = QueryOptions::default();
        let statements = statements.statements(ProtocolVersion::V5);
        client.ask_warned(&Request::Batch(Batch { kind: BatchKind::Unlogged, statements, options }))
    };
    let (answer, warnings) = batch(10);
    assert_eq!((answer, warnings), (Response::Result(ResultBody::Void), Vec::new()));
    let (answer, warnings) = batch(1024);
    assert_eq!(answer, Response::Result(ResultBody::Void));
    assert!(warnings[0].starts_with("Batch for [k.t] is of size 2"), "{warnings:?}");
    let (Response::Error(error), _) = batch(8192) else { panic!("16 KiB of 8 KiB") };
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, "Batch too large"));

    let (_, warnings) = client.query_warned("CREATE TABLE k.u (k int PRIMARY KEY)");
    assert_eq!(
        warnings,
        ["Guardrail tables violated: Creating table u, current number of tables 2 exceeds \
          warning threshold of 1."]
    );
    let Response::Error(error) = client.query("CREATE TABLE k.v (k int PRIMARY KEY)") else {
        panic!("three tables of two")
    };
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(
        error.message,
        "Guardrail tables violated: Cannot have more than 2 tables, aborting the creation of \
         table v"
    );
    let insert = client.prepare("INSERT INTO k.t (k, c, v) VALUES (1, 1, ?)");
    let Response::Error(error) = client.execute(&insert, &[BoundValue::Bytes(&[0; 16_385])]) else {
        panic!("a byte more than 16 KiB")
    };
    assert_eq!(
        error.message,
        "Guardrail column_value_size violated: Value of column 'v' has size 16385, this exceeds \
         the failure threshold of 16384."
    );

    let mut setting = |name: &str| {
        let rows =
            client.rows(&format!("SELECT value FROM system_views.settings WHERE name = '{name}'"));
        rows.iter().next().map(|cells| String::from_utf8(cells[0].unwrap().to_vec()).unwrap())
    };
    assert_eq!(setting("tables_fail_threshold").as_deref(), Some("2"));
    assert_eq!(setting("batch_size_fail_threshold").as_deref(), Some("8KiB"));
    assert_eq!(setting("tombstone_failure_threshold").as_deref(), Some("100000"));
    assert_eq!(setting("unlogged_batch_across_partitions_warn_threshold").as_deref(), Some("-1"));
    assert_eq!(setting("allow_filtering_enabled").as_deref(), Some("true"));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn impossible_thresholds_are_refused_at_the_start() {
    let dir = TempDir::new();
    let cases = [
        (
            "guardrails.tables_warn_threshold=0",
            "'0' is not a whole number from 1 to 2147483647, or -1",
        ),
        ("guardrails.table_warn_threshold=5", "the nearest is 'guardrails.tables_warn_threshold'"),
        ("guardrails.batch_size_warn_threshold=60KiB", "should be lower than the fail threshold"),
    ];
    for (setting, wanted) in cases {
        let (code, said) = Node::refused(dir.path(), &[setting]);
        assert_eq!(code, 2, "{setting}");
        assert!(said.contains(wanted), "{setting}: {said}");
    }
}
