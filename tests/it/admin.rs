//! The operator's commands against a real node, and the way back from a snapshot.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use scylla::client::session::Session;

use crate::process::{Node, TempDir};
use crate::scylla_driver::session;

/// Runs a command for the node on `dir`; its exit code, what it prints, and what it complains of.
fn helenus(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_helenus"))
        .args(arguments)
        .arg("--data-dir")
        .arg(dir.join("data"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// As [`helenus`], of a command that must succeed.
pub(crate) fn done(dir: &Path, arguments: &[&str]) -> String {
    let (code, out, complaint) = helenus(dir, arguments);
    assert_eq!(code, 0, "{arguments:?}: {complaint}");
    out
}

async fn run(session: &Session, statement: &str) {
    session.query_unpaged(statement, ()).await.unwrap();
}

async fn found(session: &Session) {
    run(
        session,
        "CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', \
         'replication_factor': 1}",
    )
    .await;
    run(session, "CREATE TYPE shop.size (w int, h int)").await;
    run(
        session,
        "CREATE TABLE shop.orders (k int PRIMARY KEY, v text, s frozen<size>, n set<int>)",
    )
    .await;
    run(session, "CREATE TABLE shop.hits (k int PRIMARY KEY, c counter)").await;
    run(session, "CREATE TABLE shop.empty (k int PRIMARY KEY)").await;
}

async fn write(session: &Session, keys: std::ops::Range<i32>, value: &str) {
    let insert = "INSERT INTO shop.orders (k, v, s, n) VALUES (?, ?, {w: 1, h: 2}, {1, 2})";
    let insert = session.prepare(insert).await.unwrap();
    for key in keys {
        session.execute_unpaged(&insert, (key, value)).await.unwrap();
        run(session, &format!("UPDATE shop.hits SET c = c + 1 WHERE k = {}", key % 3)).await;
    }
}

async fn orders(session: &Session) -> Vec<(i32, String)> {
    let result = session.query_unpaged("SELECT k, v FROM shop.orders", ()).await.unwrap();
    let result = result.into_rows_result().unwrap();
    let mut rows: Vec<(i32, String)> = result.rows().unwrap().map(|row| row.unwrap()).collect();
    rows.sort();
    rows
}

async fn hits(session: &Session) -> i64 {
    let result = session.query_unpaged("SELECT k, c FROM shop.hits", ()).await.unwrap();
    let result = result.into_rows_result().unwrap();
    result.rows::<(i32, scylla::value::Counter)>().unwrap().map(|row| row.unwrap().1.0).sum()
}

#[tokio::test]
async fn what_was_in_a_snapshot_comes_back_and_nothing_else() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &["snapshot.auto=false"]);
    let shop = session(&node).await;
    found(&shop).await;
    write(&shop, 0..60, "first").await;
    done(dir.path(), &["flush", "shop", "orders"]);
    write(&shop, 50..90, "second").await;
    run(&shop, "DELETE FROM shop.orders WHERE k = 7").await;
    let expected = orders(&shop).await;
    assert_eq!((expected.len(), hits(&shop).await), (89, 100));

    let said = done(dir.path(), &["snapshot", "-t", "before"]);
    assert_eq!(said, "Snapshot directory: before\n");
    let (code, _, complaint) = helenus(dir.path(), &["snapshot", "-t", "before"]);
    assert_eq!((code, complaint.contains("already exists")), (1, true), "{complaint}");

    write(&shop, 80..120, "third").await;
    run(&shop, "DROP TABLE shop.hits").await;
    run(&shop, "TRUNCATE shop.orders").await;
    done(dir.path(), &["compact"]);
    let listed = done(dir.path(), &["listsnapshots"]);
    assert!(listed.contains("Total TrueDiskSpaceUsed: "), "{listed}");
    assert!(!listed.contains("TrueDiskSpaceUsed: 0 bytes"), "{listed}");
    node.kill();

    // The disk is lost, the snapshot had been copied away.
    let away = TempDir::new();
    let taken = dir.path().join("data/snapshots/before");
    let copied =
        Command::new("cp").arg("-r").arg(taken).arg(away.path().join("copy")).status().unwrap();
    assert!(copied.success());
    let snapshot = away.path().join("copy");
    let snapshot = snapshot.to_str().unwrap();
    let (code, _, complaint) = helenus(dir.path(), &["restore", snapshot]);
    assert_eq!((code, complaint.contains("is not empty")), (1, true), "{complaint}");
    std::fs::remove_dir_all(dir.path().join("data")).unwrap();
    let said = done(dir.path(), &["restore", snapshot]);
    assert!(said.starts_with("restored snapshot before of "), "{said}");

    for _ in 0..2 {
        let node = Node::start(dir.path(), &[]);
        let shop = session(&node).await;
        assert_eq!(orders(&shop).await, expected);
        assert_eq!(hits(&shop).await, 100);
        node.kill();
    }
    // It goes on from there.
    let node = Node::start(dir.path(), &[]);
    let shop = session(&node).await;
    write(&shop, 0..1, "later").await;
    run(&shop, "CREATE TABLE shop.more (k int PRIMARY KEY)").await;
    assert_eq!(orders(&shop).await[0], (0, "later".to_string()));
    assert_eq!(hits(&shop).await, 101);
    assert_eq!(node.stop().code(), Some(0));
}

#[tokio::test]
async fn rows_that_truncate_and_drop_remove_are_kept() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let shop = session(&node).await;
    found(&shop).await;
    write(&shop, 0..10, "x").await;
    run(&shop, "TRUNCATE shop.empty").await;
    assert!(done(dir.path(), &["listsnapshots"]).contains("There are no snapshots"));
    run(&shop, "TRUNCATE shop.orders").await;
    run(&shop, "DROP KEYSPACE shop").await;
    let listed = done(dir.path(), &["listsnapshots", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<(String, String)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert!(row["true_size"].as_u64().unwrap() > 0, "{row}");
            let text = |name: &str| row[name].as_str().unwrap().to_string();
            (text("snapshot_name"), text("column_family_name"))
        })
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let truncated = names.iter().find(|(_, table)| table == "orders").unwrap();
    assert!(truncated.0.starts_with("truncated-") && truncated.0.ends_with("-orders"));
    assert!(names.iter().any(|(tag, table)| tag.ends_with("-shop") && table == "hits"));

    // The dropped table, its type and its keyspace with it.
    let back = TempDir::new();
    let snapshot = dir.path().join("data/snapshots").join(&truncated.0);
    done(back.path(), &["restore", snapshot.to_str().unwrap()]);
    let other = Node::start(back.path(), &[]);
    assert_eq!(orders(&session(&other).await).await.len(), 10);
    drop(other);

    assert!(done(dir.path(), &["clearsnapshot", "-t", &truncated.0]).contains(&truncated.0));
    assert!(!snapshot.exists());
    done(dir.path(), &["clearsnapshot", "--all"]);
    assert!(done(dir.path(), &["listsnapshots"]).contains("There are no snapshots"));
    let (code, _, complaint) = helenus(dir.path(), &["clearsnapshot"]);
    assert_eq!(code, 2, "{complaint}");
}

#[tokio::test]
async fn a_drained_node_has_everything_in_sstables_and_says_why_it_refuses() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let shop = session(&node).await;
    found(&shop).await;
    write(&shop, 0..20, "x").await;
    let figures = done(dir.path(), &["tablestats", "shop.orders", "--json"]);
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    assert_eq!(figures[0]["sstable_count"], 0);
    assert_eq!(figures[0]["local_write_count"], 20);
    assert!(figures[0]["memtable_data_size"].as_u64().unwrap() > 0);
    let ring = done(dir.path(), &["ring", "shop"]);
    assert_eq!(ring.matches("127.0.0.1  rack1  Up      Normal").count(), 16, "{ring}");
    assert_eq!(ring.matches("  100.00%  ").count(), 16, "{ring}");
    let (code, _, complaint) = helenus(dir.path(), &["ring", "nowhere"]);
    assert_eq!((code, complaint.contains("[nowhere] does not exist")), (1, true), "{complaint}");
    done(dir.path(), &["drain"]);
    let figures = done(dir.path(), &["tablestats", "shop.orders"]);
    assert!(figures.contains("\t\tSSTable count: 1\n"), "{figures}");
    assert!(figures.contains("\t\tMemtable data size: 0\n"), "{figures}");
    assert!(done(dir.path(), &["status"]).contains("\nUD  127.0.0.1"));
    assert!(done(dir.path(), &["info"]).contains("Native Transport active: false"));
    let refused = shop.query_unpaged("SELECT * FROM shop.orders", ()).await.unwrap_err();
    assert!(refused.to_string().contains("The node is drained"), "{refused}");
    assert_eq!(node.stop().code(), Some(0));
    let node = Node::start(dir.path(), &[]);
    assert_eq!(orders(&session(&node).await).await.len(), 20);
}

#[tokio::test]
async fn a_node_that_is_asked_to_stop_leaves_nothing_to_replay() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let shop = session(&node).await;
    found(&shop).await;
    write(&shop, 0..20, "x").await;
    drop(shop);
    assert_eq!(node.stop().code(), Some(0));
    let node = Node::start(dir.path(), &[]);
    let figures = done(dir.path(), &["tablestats", "shop.orders"]);
    assert!(figures.contains("\t\tSSTable count: 1\n"), "{figures}");
    assert!(figures.contains("\t\tMemtable data size: 0\n"), "{figures}");
    assert_eq!(orders(&session(&node).await).await.len(), 20);
}

#[tokio::test]
async fn commands_say_what_there_is_and_where_there_is_nobody() {
    let dir = TempDir::new();
    let (code, _, complaint) = helenus(dir.path(), &["status"]);
    assert_eq!((code, complaint.contains("there is no data directory")), (1, true), "{complaint}");
    let node = Node::start(dir.path(), &[]);
    let socket = dir.path().join("data/admin.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let status = done(dir.path(), &["status"]);
    assert!(status.starts_with("Datacenter: datacenter1\n=======================\n"), "{status}");
    assert!(status.contains("\nUN  127.0.0.1  "), "{status}");
    let info: serde_json::Value =
        serde_json::from_str(&done(dir.path(), &["info", "--json"])).unwrap();
    assert_eq!(info["tokens"].as_array().unwrap().len(), 16);
    let (code, _, complaint) = helenus(dir.path(), &["flush", "nothing"]);
    assert_eq!(code, 1);
    assert!(complaint.contains("Keyspace [nothing] does not exist."), "{complaint}");

    node.kill();
    let (code, _, complaint) = helenus(dir.path(), &["status"]);
    assert_eq!((code, complaint.contains("was killed")), (1, true), "{complaint}");
    let node = Node::start(dir.path(), &[]);
    assert!(done(dir.path(), &["status"]).contains("UN"));
    node.stop();
    let (code, _, complaint) = helenus(dir.path(), &["status"]);
    assert_eq!((code, complaint.contains("no node runs on")), (1, true), "{complaint}");
}

/// The SSTables of a node.
fn sstables(dir: &Path) -> Vec<std::path::PathBuf> {
    let tables = std::fs::read_dir(dir.join("data/engine/tables")).unwrap();
    let files = tables.flat_map(|table| std::fs::read_dir(table.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

#[tokio::test]
async fn a_damaged_sstable_is_shown_and_set_aside_while_the_rest_is_served() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let shop = session(&node).await;
    found(&shop).await;
    write(&shop, 0..60, "first").await;
    done(dir.path(), &["flush", "shop", "hits"]);
    let of_hits = sstables(dir.path());
    done(dir.path(), &["flush", "shop", "orders"]);
    let damaged = sstables(dir.path()).into_iter().find(|path| !of_hits.contains(path)).unwrap();
    drop(shop);
    assert_eq!(node.stop().code(), Some(0));
    let mut bytes = std::fs::read(&damaged).unwrap();
    let footer = bytes.len() - 30;
    bytes[footer] ^= 1;
    std::fs::write(&damaged, &bytes).unwrap();

    let node = Node::start(dir.path(), &[]);
    let shop = session(&node).await;
    assert_eq!(hits(&shop).await, 60);
    let file = damaged.display().to_string();
    let refused = shop.query_unpaged("SELECT k, v FROM shop.orders WHERE k = 1", ()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains(&file), "{refused}");
    write(&shop, 60..70, "second").await;
    for (command, says) in [
        (&["status"][..], "Damaged SSTables: 1".to_string()),
        (&["info"], format!("{file} of shop.orders (unreadable): ")),
        (&["tablestats", "shop.orders"], format!("Damaged SSTable: {file}")),
    ] {
        let said = done(dir.path(), command);
        assert!(said.contains(&says), "{said}");
    }
    let said = done(dir.path(), &["tablestats", "shop.hits"]);
    assert!(!said.contains("Damaged"), "{said}");
    // What is whole is not given up, and what is no SSTable is not looked for.
    let whole = of_hits[0].display().to_string();
    for (given, complaint) in [(whole.as_str(), "every byte"), ("/etc/passwd", "not the name")] {
        let (code, _, said) = helenus(dir.path(), &["setaside", given]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(complaint), "{said}");
    }
    let said = done(dir.path(), &["setaside", &file]);
    let kept = said.trim().strip_prefix("Set aside: ").unwrap();
    assert_eq!(std::fs::read(kept).unwrap(), bytes);
    assert!(!damaged.exists());
    assert_eq!(orders(&shop).await.len(), 10);
    assert!(!done(dir.path(), &["status"]).contains("Damaged"));
    drop(shop);
    node.kill();
    let node = Node::start(dir.path(), &[]);
    let shop = session(&node).await;
    assert_eq!((orders(&shop).await.len(), hits(&shop).await), (10, 70));
}
