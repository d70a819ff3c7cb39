//! Data directories that cannot be served: in use, somebody else's, damaged.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Node, TempDir};
use crate::scylla_driver::session;

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn a_directory_in_use_is_refused_with_who_holds_it() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &[]);
    let (code, message) = Node::refused(dir.path(), &[]);
    assert_eq!(code, 1);
    let holder = format!("LOCK is in use by helenus (pid {})", node.id());
    assert!(message.contains(&holder), "{message}");
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_directory_of_somebody_else_is_left_alone() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("letters.txt"), "mine").unwrap();
    let (code, message) = Node::refused(dir.path(), &[]);
    assert_eq!(code, 1);
    assert!(message.contains("letters.txt"), "{message}");
    assert_eq!(std::fs::read(data.join("letters.txt")).unwrap(), b"mine");
}

#[test]
fn a_path_that_cannot_be_a_directory_is_named() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("data"), "a file").unwrap();
    let (code, message) = Node::refused(dir.path(), &[]);
    assert_eq!(code, 1);
    assert!(message.contains("data"), "{message}");
}

/// The files below `dir` with their bytes.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    files(dir, &mut all);
    all.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[test]
fn a_directory_that_may_not_be_written_is_refused_and_left_as_it_is() {
    const NOBODY: u32 = 65_534;
    let dir = TempDir::new();
    filled(dir.path());
    let data = dir.path().join("data");
    let before = contents(&data);
    let (code, message) = if is_root() {
        // Root may write whatever the permissions say; so the node is somebody else's.
        Node::refused_as(dir.path(), NOBODY)
    } else {
        let writable = std::fs::metadata(&data).unwrap().permissions();
        let mut read_only = writable.clone();
        read_only.set_mode(0o555);
        std::fs::set_permissions(&data, read_only.clone()).unwrap();
        std::fs::set_permissions(data.join("LOCK"), read_only).unwrap();
        let refused = Node::refused(dir.path(), &[]);
        std::fs::set_permissions(&data, writable.clone()).unwrap();
        std::fs::set_permissions(data.join("LOCK"), writable).unwrap();
        refused
    };
    assert_eq!(code, 1, "{message}");
    assert!(message.contains(&data.join("LOCK").display().to_string()), "{message}");
    assert!(message.contains("let the user who runs the node own it"), "{message}");
    assert!(contents(&data) == before, "something was changed");
    let node = Node::start(dir.path(), &[]);
    assert_eq!(rows(&node).unwrap().len(), 500);
}

/// A directory mounted over itself read-only; mounted away when dropped.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn mount(path: &Path) -> Result<Self, String> {
        let mount = |arguments: &[&str]| {
            let mut command = Command::new("mount");
            let output = command.args(arguments).arg(path).output();
            let output = output.map_err(|error| error.to_string())?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(said) }
        };
        mount(&["--bind", &path.display().to_string()])?;
        let mounted = ReadOnly(path.to_path_buf());
        mount(&["-o", "remount,bind,ro"])?;
        Ok(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// `src/node/tests/read_only.rs` has the same on a simulated disk, which needs no mount.
#[test]
fn a_file_system_that_is_mounted_read_only_is_refused_with_what_to_do() {
    let dir = TempDir::new();
    filled(dir.path());
    let data = dir.path().join("data");
    let before = contents(&data);
    let mounted = match ReadOnly::mount(&data) {
        Ok(mounted) => mounted,
        Err(error) => {
            eprintln!("NOT RUN: nothing can be mounted read-only here: {error}");
            return;
        }
    };
    let (code, message) = Node::refused(dir.path(), &[]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains(&data.join("LOCK").display().to_string()), "{message}");
    assert!(message.contains("mount its file system read-write"), "{message}");
    assert!(contents(&data) == before, "something was changed");
    drop(mounted);
    let node = Node::start(dir.path(), &[]);
    assert_eq!(rows(&node).unwrap().len(), 500);
}

#[test]
fn a_place_where_no_directory_can_be_made_is_refused_with_what_to_do() {
    let (code, message) = Node::refused(Path::new("/sys/helenus"), &[]);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("cannot create /sys/helenus/data"), "{message}");
    assert!(message.contains("--data-dir"), "{message}");
}

/// Writes enough that there are SSTables, log segments and metadata, and stops the node.
fn filled(dir: &Path) {
    let node = Node::start(dir, &["memtable.flush_bytes=65536"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = session(&node).await;
        session
            .query_unpaged(
                "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', \
                 'replication_factor': 1}",
                (),
            )
            .await
            .unwrap();
        session.query_unpaged("CREATE TABLE k.t (k int PRIMARY KEY, v text)", ()).await.unwrap();
        let insert = session.prepare("INSERT INTO k.t (k, v) VALUES (?, ?)").await.unwrap();
        for key in 0..500 {
            session.execute_unpaged(&insert, (key, "x".repeat(500))).await.unwrap();
        }
    });
    assert_eq!(node.stop().code(), Some(0));
}

/// All rows as a driver reads them, or the error it gets.
fn rows(node: &Node) -> Result<Vec<(i32, String)>, String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = session(node).await;
        let result = session.query_unpaged("SELECT k, v FROM k.t", ()).await;
        let result = result.map_err(|error| error.to_string())?;
        let result = result.into_rows_result().map_err(|error| error.to_string())?;
        let mut rows: Vec<(i32, String)> = result.rows().unwrap().map(|row| row.unwrap()).collect();
        rows.sort();
        Ok(rows)
    })
}

#[test]
fn one_damaged_file_is_named_and_never_served() {
    let dir = TempDir::new();
    filled(dir.path());
    let data = dir.path().join("data");
    let mut all = Vec::new();
    files(&data, &mut all);
    assert!(all.len() >= 5, "{all:?}");
    let expected: Vec<(i32, String)> = (0..500).map(|key| (key, "x".repeat(500))).collect();
    for path in all {
        let whole = std::fs::read(&path).unwrap();
        if whole.is_empty() || path.ends_with("LOCK") {
            continue;
        }
        let mut damaged = whole.clone();
        let at = damaged.len() / 3;
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        let probe =
            Command::new(env!("CARGO_BIN_EXE_helenus")).arg("inspect").arg(&path).output().unwrap();
        assert!(probe.status.code().is_some_and(|code| code <= 1), "{}", path.display());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let copy = TempDir::new();
        copy_all(dir.path(), copy.path());
        match std::panic::catch_unwind(|| Node::start(copy.path(), &[])) {
            Ok(node) => match rows(&node) {
                // A flipped bit in what nothing depends on (the unused rest of a log segment).
                Ok(rows) => assert_eq!(rows, expected, "{name}"),
                Err(error) => assert!(error.contains(&name), "{name}: {error}"),
            },
            Err(panic) => {
                let message = panic.downcast_ref::<String>().unwrap();
                assert!(message.contains(&name), "{name}: {message}");
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    let node = Node::start(dir.path(), &[]);
    assert_eq!(rows(&node).unwrap(), expected);
}

/// What `helenus inspect` says of a file.
fn inspect(path: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helenus"));
    let output = command.arg("inspect").arg(path).output().unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn every_file_of_a_directory_can_be_inspected() {
    let dir = TempDir::new();
    filled(dir.path());
    let node = Node::start(dir.path(), &[]);
    let mut snapshot = Command::new(env!("CARGO_BIN_EXE_helenus"));
    snapshot.args(["snapshot", "-t", "kept", "--data-dir"]).arg(dir.path().join("data"));
    assert!(snapshot.status().unwrap().success());
    let id = node.id();
    assert_eq!(node.stop().code(), Some(0));
    let mut all = Vec::new();
    files(&dir.path().join("data"), &mut all);
    assert!(all.len() > 12, "{all:?}");
    for path in &all {
        let (code, said) = inspect(path);
        assert_eq!(code, Some(0), "{}: {said}", path.display());
        assert!(!said.trim().is_empty(), "{}", path.display());
    }
    let data = dir.path().join("data");
    let says = |name: &str| inspect(&data.join(name)).1;
    assert_eq!(says("LOCK"), format!("a lock, last held by helenus (pid {id})\n"));
    assert!(says("engine/LOCK").contains("storage engine"), "{}", says("engine/LOCK"));
    assert_eq!(says("engine/FORMAT"), "a storage directory of format version 1\n");
    let current = says("engine/CURRENT");
    assert!(current.starts_with("in force is manifest-"), "{current}");
    assert!(says("snapshots/kept/manifest.json").contains("k.t, table"));
    for (name, damage) in [("engine/FORMAT", "helenus-storage 99\n"), ("engine/CURRENT", "?")] {
        std::fs::write(data.join(name), damage).unwrap();
        let (code, said) = inspect(&data.join(name));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(name), "{said}");
    }
}

fn copy_all(from: &Path, to: &Path) {
    let mut all = Vec::new();
    files(from, &mut all);
    for path in all {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&path, target).unwrap();
    }
}
