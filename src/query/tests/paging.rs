//! Results in pages.

use cql_lite::wire::QueryOptions;

use super::harness::Node;

/// All rows of a query, page by page, with the sizes of the pages.
fn pages(node: &Node, cql: &str, size: i32) -> (Vec<String>, Vec<usize>) {
    let prepared = node.prepare(cql).unwrap();
    let (mut rows, mut sizes) = (Vec::new(), Vec::new());
    let mut state: Option<Vec<u8>> = None;
    loop {
        let options = QueryOptions {
            page_size: Some(size),
            paging_state: state.as_deref(),
            ..QueryOptions::default()
        };
        let answer = node.execute(&prepared, &options).unwrap();
        let page = answer.literals();
        sizes.push(page.len());
        rows.extend(page.into_iter().map(|row| row.join(" | ")));
        state = answer.rows().unwrap().metadata.paging_state.clone();
        if state.is_none() {
            return (rows, sizes);
        }
    }
}

#[test]
fn pages_put_together_are_the_whole() {
    let node = Node::with_keyspace();
    node.run("CREATE TABLE t (k int, c int, s int static, v int, PRIMARY KEY (k, c))").unwrap();
    for k in 0..7 {
        if k % 3 == 0 {
            node.run(&format!("INSERT INTO t (k, s) VALUES ({k}, {k})")).unwrap();
        }
        for c in 0..k {
            node.run(&format!("INSERT INTO t (k, c, v) VALUES ({k}, {c}, {})", k * c)).unwrap();
        }
    }
    let queries = [
        "SELECT * FROM t",
        "SELECT * FROM t WHERE k = 5",
        "SELECT * FROM t WHERE k = 5 ORDER BY c DESC",
        "SELECT * FROM t WHERE k IN (6, 4, 0, 2)",
        "SELECT * FROM t PER PARTITION LIMIT 2",
        "SELECT * FROM t LIMIT 11",
        "SELECT * FROM t PER PARTITION LIMIT 3 LIMIT 10",
        "SELECT DISTINCT k, s FROM t",
        "SELECT k, c FROM t WHERE c >= 1 AND c < 4 ALLOW FILTERING",
        "SELECT v FROM t WHERE v > 5 ALLOW FILTERING",
        "SELECT k, count(*), max(v) FROM t GROUP BY k",
        "SELECT k, c, sum(v) FROM t GROUP BY k, c LIMIT 9",
        "SELECT count(*) FROM t",
    ];
    for query in queries {
        let (whole, _) = pages(&node, query, 10_000);
        assert!(!whole.is_empty(), "{query}");
        for size in 1..8 {
            let (rows, sizes) = pages(&node, query, size);
            assert_eq!(rows, whole, "{query} in pages of {size}");
            let full = sizes.iter().rev().skip(1).all(|rows| *rows == size as usize);
            assert!(full || query.contains("count(*) FROM t"), "{query}: {sizes:?}");
        }
    }
}

/// A table with so many rows of 100,000 bytes in each of two partitions.
fn node_with_long_rows(rows: usize) -> Node {
    let node = Node::with_keyspace();
    node.run("CREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c))").unwrap();
    let long = "x".repeat(100_000);
    for k in 0..2 {
        for c in 0..rows {
            node.run(&format!("INSERT INTO t (k, c, v) VALUES ({k}, {c}, '{long}')")).unwrap();
        }
    }
    node
}

#[test]
fn a_page_ends_by_its_bytes_too() {
    // Pages end at 1 MiB, which the eleventh row passes.
    let node = node_with_long_rows(15);
    for query in
        ["SELECT * FROM t", "SELECT JSON * FROM t", "SELECT k, c, max(v) FROM t GROUP BY k, c"]
    {
        let (rows, sizes) = pages(&node, query, 10_000);
        assert_eq!(sizes, [11, 11, 8], "{query}");
        let (whole, sizes) = pages(&node, query, 3);
        assert_eq!(sizes, [3; 10], "{query}");
        assert_eq!(rows, whole, "{query}");
    }
    let (rows, sizes) = pages(&node, "SELECT c FROM t", 10_000);
    assert_eq!((rows.len(), sizes), (30, vec![30]), "only what is answered counts");
}

#[test]
fn a_result_without_pages_is_refused_when_it_is_too_long() {
    let node = node_with_long_rows(25);
    // At most 4 MiB, which is 41 rows.
    let whole = |cql: &str| node.run(cql).map(|answer| answer.literals().len());
    assert_eq!(whole("SELECT * FROM t LIMIT 41").unwrap(), 41);
    for query in [
        "SELECT * FROM t LIMIT 42",
        "SELECT JSON * FROM t",
        "SELECT * FROM t WHERE k IN (0, 1) ORDER BY c",
        "SELECT k, c, max(v) FROM t GROUP BY k, c",
    ] {
        let error = whole(query).unwrap_err().to_string();
        assert!(
            error.contains("exceeded the size failure threshold of 4,194,304 bytes"),
            "{query}: {error}"
        );
    }
    assert_eq!(whole("SELECT count(v) FROM t").unwrap(), 1);
}
