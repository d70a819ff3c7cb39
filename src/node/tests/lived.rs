//! A data directory with a past: every kind of file that a node makes stands in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::node::snapshots;

/// Where the directory of [`lived`] is.
pub(super) const DIR: &str = "/data";
/// Its snapshot.
pub(super) const SNAPSHOT: &str = "/data/snapshots/kept";

/// Every file below `dir` with its bytes.
pub(super) fn files(disk: &FaultyDisk, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in disk.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            found.extend(files(disk, &path));
        } else {
            let mut bytes = vec![0; entry.len as usize];
            disk.open(&path).unwrap().read_exact_at(0, &mut bytes).unwrap();
            found.push((path, bytes));
        }
    }
    found
}

/// Replaces a file's bytes.
pub(super) fn overwrite(disk: &FaultyDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open_write(path).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(0, bytes).unwrap();
}

/// A directory that was lived in, and what its tables hold.
pub(super) struct Lived {
    pub(super) lab: Lab,
    /// The rows of each table, printed, in order.
    pub(super) rows: BTreeMap<&'static str, Vec<String>>,
    /// What they held when the snapshot was taken.
    pub(super) kept: BTreeMap<&'static str, Vec<String>>,
}

/// The tables that a lived-in directory has.
pub(super) const TABLES: [&str; 5] = ["plain", "wide", "fresh", "mixed", "empty"];

/// All rows of a table, or why they are not answered.
pub(super) fn rows(node: &Node, table: &str) -> crate::error::Result<Vec<String>> {
    match run(node, &format!("SELECT * FROM k.{table}"))? {
        ResultBody::Rows(rows) => Ok(rows.iter().map(|row| format!("{row:?}")).collect()),
        other => panic!("{other:?}"),
    }
}

fn insert(lab: &Lab, node: &Node, table: &str, keys: std::ops::Range<u32>) {
    for key in keys {
        let value = format!("{key}-").repeat(40);
        let (table, c) = (table.to_string(), key % 7);
        run(node, &format!("INSERT INTO k.{table} (k, c, v) VALUES ({key}, {c}, '{value}')"))
            .unwrap();
        if key % 20 == 0 {
            lab.runtime.run_for(Duration::from_millis(10));
        }
    }
}

fn flush(lab: &Lab, node: &Node) {
    let position = node.engine().flush(None).unwrap();
    lab.runtime.run_for(Duration::from_secs(1));
    assert!(node.engine().is_flushed(None, position));
}

fn snapshot(lab: &Lab, node: &Node, tag: &str) {
    let state = node.metadata().state();
    let tables: Vec<_> =
        TABLES.iter().filter_map(|table| state.schema.table("k", table).cloned()).collect();
    let taking = node.shared.snapshots.begin(&state, tag, &tables).unwrap();
    lab.runtime.run_for(Duration::from_secs(1));
    let files = taking.poll().expect("the flushes are done").map_err(Into::into);
    node.shared.snapshots.finish(taking, files).unwrap();
}

/// Tables in SSTables, in the log and in both; a metadata log that begins with a snapshot; a spare
/// segment of the log; a snapshot of the node.
pub(super) fn lived(stopped_cleanly: bool) -> Lived {
    let mut lab = Lab::new();
    let node = lab.open().unwrap();
    let options = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    run(&node, &format!("CREATE KEYSPACE k WITH replication = {options}")).unwrap();
    for table in TABLES {
        let text = "(k int, c int, v text, PRIMARY KEY (k, c))";
        run(&node, &format!("CREATE TABLE k.{table} {text}")).unwrap();
    }
    insert(&lab, &node, "plain", 0..60);
    snapshot(&lab, &node, "first");
    lab.close(node);
    // A restored directory is what has a snapshot of the metadata.
    let before = lab.disk.fork(2);
    lab.disk = FaultyDisk::new(3);
    lab.disk.create_dir_all(Path::new("/")).unwrap();
    for (path, bytes) in files(&before, Path::new("/data/snapshots/first")) {
        let path = Path::new("/kept").join(path.strip_prefix("/data/snapshots/first").unwrap());
        lab.disk.create_dir_all(path.parent().unwrap()).unwrap();
        let file = lab.disk.create(&path).unwrap();
        file.write_all_at(0, &bytes).unwrap();
    }
    let World { disk, clock, random, .. } = lab.world();
    snapshots::restore(&disk, &clock, &random, Path::new("/kept"), Path::new(DIR)).unwrap();
    let node = lab.open().unwrap();
    run(&node, "ALTER TABLE k.empty WITH comment = 'still empty'").unwrap();
    for part in 0..3_u32 {
        // More each time, so that the last flush frees more of the log than is used again.
        (0..=part * 2).for_each(|_| insert(&lab, &node, "wide", 0..200));
        insert(&lab, &node, "mixed", part * 20..part * 20 + 20);
        flush(&lab, &node);
    }
    run(&node, "DELETE FROM k.mixed WHERE k = 5").unwrap();
    snapshot(&lab, &node, "kept");
    let all = |node: &Node| TABLES.map(|table| (table, rows(node, table).unwrap())).into();
    let kept = all(&node);
    insert(&lab, &node, "mixed", 60..70);
    insert(&lab, &node, "fresh", 0..30);
    // What was written is on the disk, and the log says so of itself.
    lab.runtime.run_for(Duration::from_secs(5));
    let rows = all(&node);
    if stopped_cleanly {
        lab.close(node);
    } else {
        drop(node);
        lab.crash();
    }
    Lived { lab, rows, kept }
}

#[test]
fn a_lived_in_directory_has_every_kind_of_file_and_its_rows() {
    for stopped_cleanly in [true, false] {
        let Lived { lab, rows: expected, .. } = lived(stopped_cleanly);
        let names: Vec<String> = files(&lab.disk, Path::new(DIR))
            .iter()
            .map(|(path, _)| path.display().to_string())
            .collect();
        for part in [
            "/data/LOCK",
            "/IDENTITY",
            "/metadata/snapshot-",
            "/metadata/log-",
            "/engine/FORMAT",
            "/engine/CURRENT",
            "/engine/manifest-",
            "/engine/log/segment-",
            "/engine/log/spare-",
            "/engine/tables/",
            "/snapshots/kept/manifest.json",
        ] {
            assert!(names.iter().any(|name| name.contains(part)), "no {part} in {names:#?}");
        }
        let counts = TABLES.map(|table| expected[table].len());
        assert_eq!(counts, [60, 200, 30, 69, 0]);
        let node = lab.open().unwrap();
        for table in TABLES {
            assert_eq!(rows(&node, table).unwrap(), expected[table], "{table}");
        }
    }
}
