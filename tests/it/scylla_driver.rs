//! What an application does with the `scylla` crate, which speaks protocol v4.

use std::collections::HashMap;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchType};

use crate::process::{Node, TempDir};

/// A driver that has heard of that node only.
pub(crate) async fn session(node: &Node) -> Session {
    SessionBuilder::new().known_node_addr(node.address).build().await.unwrap()
}

#[tokio::test]
async fn schema_prepared_statements_batches_and_paging() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let session = session(&node).await;
    session
        .query_unpaged(
            "CREATE KEYSPACE app WITH replication = {'class': 'NetworkTopologyStrategy', \
             'datacenter1': 1}",
            (),
        )
        .await
        .unwrap();
    session.use_keyspace("app", false).await.unwrap();
    session
        .query_unpaged(
            "CREATE TABLE readings (sensor text, at int, value double, tags map<text, int>, \
             PRIMARY KEY (sensor, at)) WITH CLUSTERING ORDER BY (at DESC)",
            (),
        )
        .await
        .unwrap();
    let insert = session
        .prepare("INSERT INTO readings (sensor, at, value, tags) VALUES (?, ?, ?, ?)")
        .await
        .unwrap();
    let tags = HashMap::from([("room".to_string(), 7), ("floor".to_string(), 2)]);
    let mut batch = Batch::new(BatchType::Unlogged);
    let mut values = Vec::new();
    for at in 0..1000 {
        if at % 2 == 0 {
            session.execute_unpaged(&insert, ("s", at, f64::from(at) / 2.0, &tags)).await.unwrap();
        } else {
            batch.append_statement(insert.clone());
            values.push(("s", at, f64::from(at) / 2.0, &tags));
        }
    }
    session.batch(&batch, values).await.unwrap();

    let mut select =
        session.prepare("SELECT at, value, tags FROM readings WHERE sensor = ?").await.unwrap();
    select.set_page_size(33);
    let mut state = scylla::response::PagingState::start();
    let mut seen = Vec::new();
    loop {
        let (page, next) = session.execute_single_page(&select, ("s",), state).await.unwrap();
        let page = page.into_rows_result().unwrap();
        for row in page.rows::<(i32, f64, HashMap<String, i32>)>().unwrap() {
            let (at, value, row_tags) = row.unwrap();
            assert!((value - f64::from(at) / 2.0).abs() < 1e-9);
            assert_eq!(row_tags, tags);
            seen.push(at);
        }
        match next.into_paging_control_flow() {
            std::ops::ControlFlow::Break(()) => break,
            std::ops::ControlFlow::Continue(next) => state = next,
        }
    }
    assert_eq!(seen, (0..1000).rev().collect::<Vec<_>>());

    session.refresh_metadata().await.unwrap();
    let cluster = session.get_cluster_state();
    let table = &cluster.get_keyspace("app").unwrap().tables["readings"];
    assert_eq!(table.partition_key, ["sensor"]);
    assert_eq!(table.clustering_key, ["at"]);
    assert_eq!(table.columns.len(), 4);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_kill() {
    let dir = TempDir::new();
    let settings = ["memtable.flush_bytes=65536"];
    let mut written = 0i32;
    for round in 0..3 {
        let node = Node::start(dir.path(), &settings);
        let session = session(&node).await;
        if round == 0 {
            session
                .query_unpaged(
                    "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', \
                     'replication_factor': 1}",
                    (),
                )
                .await
                .unwrap();
            session
                .query_unpaged("CREATE TABLE k.t (k int PRIMARY KEY, v text)", ())
                .await
                .unwrap();
        }
        let insert = session.prepare("INSERT INTO k.t (k, v) VALUES (?, ?)").await.unwrap();
        for _ in 0..400 {
            session.execute_unpaged(&insert, (written, "y".repeat(300))).await.unwrap();
            written += 1;
        }
        node.kill();
    }
    let node = Node::start(dir.path(), &settings);
    let session = session(&node).await;
    let result = session.query_unpaged("SELECT k FROM k.t", ()).await.unwrap();
    let result = result.into_rows_result().unwrap();
    let mut keys: Vec<i32> = result.rows::<(i32,)>().unwrap().map(|row| row.unwrap().0).collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..written).collect::<Vec<_>>());
}
