//! Guardrails: what is warned of, what is refused, and with which words.

mod definitions;

use cql_lite::wire::{
    BoundValue, Consistency, ErrorKind, Failures, Progress, QueryOptions, ValuesBuilder,
    failure_reason,
};

use super::harness::Node;
use crate::config::Config;
use crate::query::Guardrails;

/// A node with a keyspace and these settings of `[guardrails]`.
fn node(settings: &[(&str, &str)]) -> Node {
    let mut node = Node::with_keyspace();
    set(&mut node, settings);
    node
}

fn set(node: &mut Node, settings: &[(&str, &str)]) {
    let mut config = Config::default();
    for (key, value) in settings {
        config.set(&format!("guardrails.{key}"), value).unwrap();
    }
    config.check().unwrap();
    node.services.guardrails = Guardrails::new(config.guardrails);
}

/// The warnings of a statement that succeeds.
fn warnings(node: &Node, cql: &str) -> Vec<String> {
    node.run(cql).unwrap_or_else(|error| panic!("{cql}: {error}")).warnings
}

/// The error of a statement that a guardrail refuses.
fn refusal(node: &Node, cql: &str) -> String {
    let error = node.run(cql).map(|answer| panic!("{cql}: {answer:?}")).unwrap_err();
    assert_eq!(*error.kind, ErrorKind::Invalid, "{cql}");
    error.message
}

fn violated(name: &str, sentence: &str) -> String {
    format!("Guardrail {name} violated: {sentence}")
}

/// A table `t` with a partition of these rows, the odd ones deleted.
fn with_tombstones(node: &Node, rows: usize) {
    node.run("CREATE TABLE t (k int, c int, v int, PRIMARY KEY (k, c))").unwrap();
    for c in 0..rows {
        node.run(&format!("INSERT INTO t (k, c, v) VALUES (1, {c}, {c})")).unwrap();
        if c % 2 == 1 {
            node.run(&format!("DELETE FROM t WHERE k = 1 AND c = {c}")).unwrap();
        }
    }
}

#[test]
fn tombstones_are_warned_of_and_then_fail_the_read() {
    let settings = [("tombstone_warn_threshold", "20"), ("tombstone_failure_threshold", "40")];
    let mut node = node(&settings);
    with_tombstones(&node, 50);
    assert_eq!(warnings(&node, "SELECT * FROM t WHERE k = 1 AND c < 40"), [""; 0]);
    let query = "SELECT c FROM t WHERE k = 1 AND c < 42";
    assert_eq!(
        warnings(&node, query),
        [format!(
            "Read 21 live rows and 21 tombstone cells for query {query}; token \
             -4069959284402364209 (see tombstone_warn_threshold)"
        )]
    );
    set(&mut node, &[("tombstone_warn_threshold", "-1"), ("tombstone_failure_threshold", "24")]);
    for query in [
        "SELECT * FROM t",
        "SELECT * FROM t WHERE k = 1",
        "SELECT * FROM t WHERE k IN (1, 2)",
        "SELECT * FROM t WHERE k = 1 ORDER BY c DESC",
        "SELECT count(*) FROM t",
    ] {
        let error = node.run(query).unwrap_err();
        let message = "Operation failed - received 0 responses and 1 failures: \
                       READ_TOO_MANY_TOMBSTONES from /127.0.0.1:7000";
        assert_eq!(error.message, message, "{query}");
        let reason = failure_reason::READ_TOO_MANY_TOMBSTONES;
        let failed = ErrorKind::ReadFailure {
            progress: Progress { consistency: Consistency::One, received: 0, block_for: 1 },
            failures: Failures { count: 1, reasons: vec![([127, 0, 0, 1].into(), reason)] },
            data_present: false,
        };
        assert_eq!(*error.kind, failed, "{query}");
    }
    let conditional = "UPDATE t SET v = 1 WHERE k = 1 AND c = 60 IF v = 2";
    assert_eq!(warnings(&node, conditional), [""; 0], "a row that is not there");
    set(&mut node, &[("tombstone_warn_threshold", "-1"), ("tombstone_failure_threshold", "-1")]);
    assert_eq!(warnings(&node, "SELECT * FROM t"), [""; 0]);
}

#[test]
fn a_read_that_fails_by_tombstones_stops_at_once() {
    let node = node(&[("tombstone_warn_threshold", "10"), ("tombstone_failure_threshold", "20")]);
    node.run("CREATE TABLE t (k int, c int, PRIMARY KEY (k, c))").unwrap();
    for c in 0..2000 {
        node.run(&format!("DELETE FROM t WHERE k = 1 AND c = {c}")).unwrap();
    }
    let stepped_over = || node.services.engine.metrics().read_tombstones.get();
    let before = stepped_over();
    node.run("SELECT * FROM t WHERE k = 1").unwrap_err();
    assert!(stepped_over() - before <= 42, "{} tombstones", stepped_over() - before);
}

#[test]
fn tombstones_are_counted_page_by_page() {
    let mut node = node(&[]);
    with_tombstones(&node, 200);
    set(&mut node, &[("tombstone_warn_threshold", "-1"), ("tombstone_failure_threshold", "40")]);
    let page = |cql: &str, size, state: Option<&[u8]>| {
        let prepared = node.prepare(cql).unwrap();
        let options =
            QueryOptions { page_size: Some(size), paging_state: state, ..QueryOptions::default() };
        node.execute(&prepared, &options)
    };
    let (mut state, mut rows): (Option<Vec<u8>>, usize) = (None, 0);
    loop {
        let answer = page("SELECT * FROM t", 20, state.as_deref()).unwrap();
        rows += answer.literals().len();
        state = answer.rows().unwrap().metadata.paging_state.clone();
        if state.is_none() {
            break;
        }
    }
    assert_eq!(rows, 100);
    // An aggregate has no pages of its own; it reads in pages of the same size all the same.
    let count = page("SELECT count(*) FROM t", 10, None).unwrap();
    assert_eq!(count.literals(), [["100"]]);
    assert!(page("SELECT count(*) FROM t", 5000, None).is_err());
    assert!(page("SELECT * FROM t", 5000, None).is_err());
}

#[test]
fn answers_have_a_largest_size() {
    let settings = [
        ("coordinator_read_size_warn_threshold", "1000"),
        ("coordinator_read_size_fail_threshold", "2KiB"),
    ];
    let node = node(&settings);
    node.run("CREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c))").unwrap();
    let text = "x".repeat(100);
    for c in 0..30 {
        node.run(&format!("INSERT INTO t (k, c, v) VALUES (1, {c}, '{text}')")).unwrap();
    }
    assert_eq!(warnings(&node, "SELECT v FROM t WHERE k = 1 LIMIT 5"), [""; 0]);
    assert_eq!(
        warnings(&node, "SELECT v FROM t WHERE k = 1 LIMIT 10"),
        ["Read on table ks.t has exceeded the size warning threshold of 1,000 bytes with token: \
          -4069959284402364209"]
    );
    let token = "-4069959284402364209";
    for query in [
        "SELECT v FROM t",
        "SELECT JSON v FROM t",
        "SELECT v FROM t WHERE k IN (2, 1) ORDER BY c",
        "SELECT max(v) FROM t GROUP BY k, c",
    ] {
        let error = node.run(query).unwrap_err();
        let token = if query.contains(" IN ") { "-3248873570005575792" } else { token };
        let wanted = format!(
            "Read on table ks.t has exceeded the size failure threshold of 2,048 bytes with \
             token: {token}"
        );
        assert_eq!(error.message, wanted, "{query}");
        let reasons = vec![([127, 0, 0, 1].into(), failure_reason::READ_SIZE)];
        assert!(
            matches!(&*error.kind, ErrorKind::ReadFailure { failures, .. }
                if failures.reasons == reasons),
            "{query}: {:?}",
            error.kind
        );
    }
    let pages = QueryOptions { page_size: Some(5), ..QueryOptions::default() };
    let prepared = node.prepare("SELECT v FROM t").unwrap();
    assert_eq!(node.execute(&prepared, &pages).unwrap().literals().len(), 5);
}

#[test]
fn what_a_select_asks_for_is_looked_at() {
    let node = node(&[
        ("page_size_warn_threshold", "10"),
        ("page_size_fail_threshold", "20"),
        ("partition_keys_in_select_warn_threshold", "2"),
        ("partition_keys_in_select_fail_threshold", "3"),
        ("in_select_cartesian_product_warn_threshold", "4"),
        ("in_select_cartesian_product_fail_threshold", "6"),
        ("allow_filtering_enabled", "false"),
        ("group_by_enabled", "false"),
        ("read_consistency_levels_warned", "LOCAL_ONE"),
        ("read_consistency_levels_disallowed", "ALL, EACH_QUORUM"),
    ]);
    node.run("CREATE TABLE t (k int, c int, d int, v int, PRIMARY KEY (k, c, d))").unwrap();
    let ask = |cql: &str, page_size, consistency| {
        let prepared = node.prepare(cql).unwrap();
        let options = QueryOptions { page_size, consistency, ..QueryOptions::default() };
        node.execute(&prepared, &options).map(|a| a.warnings).map_err(|error| error.message)
    };
    let page = |size, cql| ask(cql, Some(size), Consistency::One);
    assert_eq!(page(10, "SELECT * FROM t").unwrap(), [""; 0]);
    let warned = "Query for table t with page size 11 exceeds warning threshold of 10.";
    assert_eq!(page(11, "SELECT * FROM t").unwrap(), [violated("page_size", warned)]);
    let failed = "Aborting query for table t, page size 21 exceeds fail threshold of 20.";
    assert_eq!(page(21, "SELECT * FROM t").unwrap_err(), violated("page_size", failed));
    assert_eq!(page(21, "SELECT * FROM t LIMIT 21").unwrap(), [""; 0], "it has one page");
    assert!(page(21, "SELECT * FROM t LIMIT 22").is_err());
    assert_eq!(page(5000, "SELECT * FROM system.local").unwrap(), [""; 0]);

    assert_eq!(warnings(&node, "SELECT * FROM t WHERE k IN (1, 2, 2)"), [""; 0]);
    assert_eq!(
        warnings(&node, "SELECT * FROM t WHERE k IN (1, 2, 3)"),
        [violated(
            "partition_keys_in_select",
            "Query with partition keys in IN clause on table t, with number of partition keys 3 \
             exceeds warning threshold of 2."
        )]
    );
    assert_eq!(
        refusal(&node, "SELECT * FROM t WHERE k IN (1, 2, 3, 4)"),
        violated(
            "partition_keys_in_select",
            "Aborting query with partition keys in IN clause on table t, number of partition \
             keys 4 exceeds fail threshold of 3."
        )
    );
    assert_eq!(
        warnings(&node, "SELECT * FROM t WHERE k = 1 AND c IN (1, 2, 3) AND d IN (1, 2)"),
        [violated(
            "in_select_cartesian_product",
            "The cartesian product of the IN restrictions on clustering key produces 6 values, \
             this exceeds warning threshold of 4."
        )]
    );
    assert_eq!(
        refusal(&node, "SELECT * FROM t WHERE k = 1 AND c IN (1, 2, 3, 4) AND d IN (1, 2)"),
        violated(
            "in_select_cartesian_product",
            "Aborting query because the cartesian product of the IN restrictions on clustering \
             key produces 8 values, this exceeds fail threshold of 6."
        )
    );
    assert_eq!(
        refusal(&node, "SELECT * FROM t WHERE v = 1 ALLOW FILTERING"),
        violated(
            "allow_filtering",
            "Querying with ALLOW FILTERING is not allowed. ALLOW FILTERING can potentially visit \
             all the data in the table and have unpredictable performance."
        )
    );
    node.run("SELECT * FROM system.local WHERE rack = 'x' ALLOW FILTERING").unwrap();
    assert_eq!(
        refusal(&node, "SELECT k FROM t GROUP BY k"),
        violated("group_by", "GROUP BY functionality is not allowed")
    );
    assert_eq!(
        ask("SELECT * FROM t", None, Consistency::LocalOne).unwrap(),
        [violated(
            "read_consistency_levels",
            "Provided values [LOCAL_ONE] are not recommended for read consistency levels (warned \
             values are: [LOCAL_ONE])"
        )]
    );
    assert_eq!(
        ask("SELECT * FROM t", None, Consistency::All).unwrap_err(),
        violated(
            "read_consistency_levels",
            "Provided values [ALL] are not allowed for read consistency levels (disallowed \
             values are: [ALL, EACH_QUORUM])"
        )
    );
}

#[test]
fn what_a_modification_says_is_looked_at() {
    let mut node = node(&[]);
    node.run("CREATE TABLE t (k int PRIMARY KEY, v int, l list<int>)").unwrap();
    node.run("INSERT INTO t (k, l) VALUES (1, [1, 2, 3])").unwrap();
    set(
        &mut node,
        &[
            ("user_timestamps_enabled", "false"),
            ("read_before_write_list_operations_enabled", "false"),
            ("write_consistency_levels_disallowed", "ANY"),
            ("write_consistency_levels_warned", "LOCAL_SERIAL"),
        ],
    );
    let stamps =
        violated("user_timestamps", "User provided timestamps (USING TIMESTAMP) is not allowed");
    for cql in [
        "INSERT INTO t (k, v) VALUES (1, 1) USING TIMESTAMP 5",
        "DELETE FROM t USING TIMESTAMP 5 WHERE k = 1",
        "BEGIN BATCH UPDATE t USING TIMESTAMP 5 SET v = 1 WHERE k = 1; APPLY BATCH",
        "BEGIN BATCH USING TIMESTAMP 5 INSERT INTO t (k) VALUES (1); APPLY BATCH",
    ] {
        assert_eq!(refusal(&node, cql), stamps, "{cql}");
    }
    let lists = [
        ("UPDATE t SET l[1] = 4 WHERE k = 1", "Setting of list items by index"),
        ("DELETE l[1] FROM t WHERE k = 1", "Removal of list items by index"),
        ("UPDATE t SET l = l - [1] WHERE k = 1", "Removal of list items"),
    ];
    for (cql, what) in lists {
        let sentence = format!("{what} requiring read before write is not allowed");
        let wanted = violated("read_before_write_list_operations", &sentence);
        assert_eq!(refusal(&node, cql), wanted, "{cql}");
    }
    let write = |consistency, serial_consistency| {
        let prepared = node.prepare("INSERT INTO t (k, v) VALUES (1, 1)").unwrap();
        let options = QueryOptions { consistency, serial_consistency, ..QueryOptions::default() };
        node.execute(&prepared, &options).map(|a| a.warnings).map_err(|error| error.message)
    };
    assert_eq!(write(Consistency::One, None).unwrap(), [""; 0]);
    assert!(write(Consistency::Any, None).unwrap_err().contains("Provided values [ANY] are not"));
    let warned = write(Consistency::One, Some(Consistency::LocalSerial)).unwrap();
    assert!(warned[0].contains("[LOCAL_SERIAL] are not recommended"), "{warned:?}");
}

#[test]
fn timestamps_lie_within_bounds() {
    let node = node(&[
        ("maximum_timestamp_warn_threshold", "1s"),
        ("maximum_timestamp_fail_threshold", "1h"),
        ("minimum_timestamp_fail_threshold", "1d"),
    ]);
    node.run("CREATE TABLE t (k int PRIMARY KEY, v int)").unwrap();
    let now = node.services.clock.wall_micros();
    let write =
        |timestamp: i64| format!("INSERT INTO t (k, v) VALUES (1, 1) USING TIMESTAMP {timestamp}");
    assert_eq!(warnings(&node, &write(now + 1_000_000)), [""; 0]);
    let late = now + 1_000_001;
    let sentence = format!(
        "The modification to table t has a timestamp {late} after the maximum allowable warning \
         threshold {}. Timestamps too far in the future can lead to data that can't be easily \
         overwritten",
        now + 1_000_000
    );
    assert_eq!(warnings(&node, &write(late)), [violated("maximum_timestamp", &sentence)]);
    assert!(refusal(&node, &write(now + 3_600_000_001)).contains("allowable failure threshold"));
    let early = refusal(&node, &write(now - 86_400_000_001));
    assert!(early.contains("before the minimum allowable failure threshold"), "{early}");
    assert_eq!(warnings(&node, "INSERT INTO t (k, v) VALUES (1, 1)"), [""; 0]);
}

#[test]
fn values_and_collections_have_a_largest_size() {
    let node = node(&[
        ("column_value_size_warn_threshold", "8"),
        ("column_value_size_fail_threshold", "64"),
        ("collection_size_warn_threshold", "20"),
        ("collection_size_fail_threshold", "40"),
        ("items_per_collection_warn_threshold", "3"),
        ("items_per_collection_fail_threshold", "5"),
    ]);
    node.run("CREATE TYPE u (a text, b text)").unwrap();
    node.run(
        "CREATE TABLE t (k text PRIMARY KEY, v text, l list<text>, s set<text>, \
         m map<text, text>, f frozen<list<int>>, u u)",
    )
    .unwrap();
    let value = |bytes: usize, name: &str, threshold: u64| {
        violated(
            "column_value_size",
            &format!(
                "Value of column 'v' has size {bytes}, this exceeds the {name} threshold of \
                 {threshold}."
            ),
        )
    };
    let insert = |bytes| format!("INSERT INTO t (k, v) VALUES ('k', '{}')", "x".repeat(bytes));
    assert_eq!(warnings(&node, &insert(8)), [""; 0]);
    assert_eq!(warnings(&node, &insert(9)), [value(9, "warning", 8)]);
    assert_eq!(refusal(&node, &insert(65)), value(65, "failure", 64));
    let key = "x".repeat(100);
    assert_eq!(warnings(&node, &format!("INSERT INTO t (k) VALUES ('{key}')")), [""; 0]);
    let items = |column: &str, count: usize, name: &str, threshold: u64| {
        violated(
            "items_per_collection",
            &format!(
                "Detected collection {column} with {count} items, this exceeds the {name} \
                 threshold of {threshold}."
            ),
        )
    };
    let warned = |cql: &str| warnings(&node, cql);
    assert_eq!(warned("INSERT INTO t (k, s) VALUES ('k', {'a', 'b', 'c'})"), [""; 0]);
    assert_eq!(
        warned("INSERT INTO t (k, s) VALUES ('k', {'a', 'b', 'c', 'd'})"),
        [items("s", 4, "warning", 3)]
    );
    assert_eq!(
        warned("UPDATE t SET l = l + ['a', 'b', 'c', 'd'] WHERE k = 'k'"),
        [items("l", 4, "warning", 3)]
    );
    assert_eq!(
        warned("UPDATE t SET l = ['a', 'b', 'c', 'd'] + l WHERE k = 'k'"),
        [items("l", 4, "warning", 3)]
    );
    assert_eq!(
        warned("INSERT INTO t (k, f) VALUES ('k', [1, 2, 3, 4])")[1],
        items("f", 4, "warning", 3)
    );
    assert_eq!(
        refusal(
            &node,
            "UPDATE t SET m = {'a': '', 'b': '', 'c': '', 'd': '', 'e': '', 'f': ''} \
                        WHERE k = 'k'"
        ),
        items("m", 6, "failure", 5)
    );
    assert_eq!(
        warned("UPDATE t SET m = m + {'aaaaaaa': 'bbbbbbb', 'ccccccc': 'd'} WHERE k = 'k'"),
        [violated(
            "collection_size",
            "Detected collection m of size 22, this exceeds the warning threshold of 20."
        )]
    );
    let long = "x".repeat(65);
    for cql in [
        format!("UPDATE t SET m['{long}'] = 'x' WHERE k = 'k'"),
        format!("UPDATE t SET m['x'] = '{long}' WHERE k = 'k'"),
        format!("UPDATE t SET m = m - {{'{long}'}} WHERE k = 'k'"),
        format!("DELETE s['{long}'] FROM t WHERE k = 'k'"),
        format!("UPDATE t SET u.b = '{long}' WHERE k = 'k'"),
        format!("UPDATE t SET u = {{a: '{long}'}} WHERE k = 'k'"),
        format!("INSERT INTO t JSON '{{\"k\": \"k\", \"l\": [\"{long}\"]}}'"),
        format!("BEGIN BATCH INSERT INTO t (k, v) VALUES ('k', '{long}'); APPLY BATCH"),
        format!("INSERT INTO t (k, v) VALUES ('new', '{long}') IF NOT EXISTS"),
    ] {
        assert!(refusal(&node, &cql).contains("has size 65"), "{cql}");
    }
    let prepared = node.prepare("INSERT INTO t (k, v) VALUES (?, ?)").unwrap();
    let mut values = ValuesBuilder::positional();
    values.push(BoundValue::Bytes(b"k")).unwrap();
    values.push(BoundValue::Bytes(long.as_bytes())).unwrap();
    let options = QueryOptions { values: values.values(), ..QueryOptions::default() };
    assert_eq!(node.execute(&prepared, &options).unwrap_err().message, value(65, "failure", 64));
}

#[test]
fn batches_have_a_largest_size() {
    let node = node(&[
        ("batch_size_warn_threshold", "200"),
        ("batch_size_fail_threshold", "1000"),
        ("unlogged_batch_across_partitions_warn_threshold", "2"),
    ]);
    node.run("CREATE TABLE t (k int PRIMARY KEY, v text)").unwrap();
    let batch = |kind: &str, partitions: usize, bytes: usize| {
        let text = "x".repeat(bytes);
        let insert = |k| format!("INSERT INTO t (k, v) VALUES ({k}, '{text}'); ");
        format!(
            "BEGIN {kind} BATCH {} APPLY BATCH",
            (0..partitions).map(insert).collect::<String>()
        )
    };
    assert_eq!(warnings(&node, &batch("", 2, 1)), [""; 0]);
    let large = warnings(&node, &batch("", 2, 200));
    assert!(
        large[0].starts_with("Batch for [ks.t] is of size ")
            && large[0].contains(", exceeding specified threshold of 200 by "),
        "{large:?}"
    );
    assert_eq!(refusal(&node, &batch("", 2, 600)), "Batch too large");
    assert_eq!(warnings(&node, &batch("", 1, 5000)), [""; 0], "one partition is no batch");
    assert_eq!(
        warnings(&node, &batch("UNLOGGED", 3, 1)),
        ["Unlogged batch covering 3 partitions detected against table [ks.t]. You should use a \
          logged batch for atomicity, or asynchronous writes for performance."]
    );
}
