//! A disk that has no room left, and gets some again: a small tmpfs, where the test may mount one.
//! Where it may not, `src/node/tests/full_disk.rs` has the same on a simulated disk.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cql_lite::wire::{BoundValue, ErrorKind, ProtocolVersion, Response, ResultBody};

use helenus_platform::random::{Random, SeededRandom};

use crate::process::{Node, TempDir};
use crate::raw_client::RawClient;

const MIB: usize = 1 << 20;

/// A value that no compression makes shorter, another one for every key.
fn value(key: u32) -> Vec<u8> {
    let mut value = vec![0; 20_000];
    SeededRandom::new(u64::from(key)).fill(&mut value);
    value
}

/// A tmpfs, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None where mounting is not allowed.
    fn mount(mebibytes: usize) -> Option<Self> {
        let dir = TempDir::new();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(SmallDisk(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_forgets_nothing() {
    let Some(disk) = SmallDisk::mount(32) else {
        eprintln!("not run: a tmpfs cannot be mounted here");
        return;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 12 * MIB]).unwrap();
    let settings = ["commit_log.segment_bytes=1MiB", "memtable.flush_bytes=512KiB"];
    let node = Node::start(disk.path(), &settings);
    let mut client = RawClient::open(&node, ProtocolVersion::V5, false);
    client.run(
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    );
    client.run("CREATE TABLE k.t (k int PRIMARY KEY, v blob)");
    let insert = client.prepare("INSERT INTO k.t (k, v) VALUES (?, ?)");
    let select = client.prepare("SELECT v FROM k.t WHERE k = ?");
    let mut written = 0_u32;
    let write = |client: &mut RawClient, key: u32| {
        let value = value(key);
        let values = [BoundValue::Bytes(&key.to_be_bytes()), BoundValue::Bytes(&value)];
        client.execute(&insert, &values)
    };
    let refusal = loop {
        match write(&mut client, written) {
            Response::Result(ResultBody::Void) => written += 1,
            Response::Error(error) => break error,
            other => panic!("{other:?}"),
        }
        assert!(written < 5000, "the disk does not get full");
    };
    assert!(written > 100, "{written}");
    assert_eq!(refusal.kind, ErrorKind::Server, "{refusal:?}");
    let message = refusal.message.to_lowercase();
    assert!(message.contains("the disk is full: writes are refused until space"), "{refusal:?}");
    assert!(message.contains("no space left") || message.contains("no room"), "{refusal:?}");
    let read = |client: &mut RawClient, key: u32| match client
        .execute(&select, &[BoundValue::Bytes(&key.to_be_bytes())])
    {
        Response::Result(ResultBody::Rows(rows)) => {
            assert_eq!(rows.iter().next().unwrap()[0], Some(&value(key)[..]), "{key}");
        }
        other => panic!("{key}: {other:?}"),
    };
    for key in 0..written {
        read(&mut client, key);
    }
    // The snapshot that comes before has no room; waiting for it would be waiting for ever.
    match client.query("TRUNCATE k.t") {
        Response::Error(error) => {
            let message = &error.message;
            assert!(message.contains("nothing was changed"), "{message}");
            assert!(message.contains("free space"), "{message}");
            assert!(message.contains("--set snapshot.auto=false"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    // With room again, the same node goes on, after flushes that had failed are tried again.
    std::fs::remove_file(&ballast).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let first_after = written;
    while written < first_after + 50 {
        match write(&mut client, written) {
            Response::Result(ResultBody::Void) => written += 1,
            Response::Error(error) => {
                assert!(Instant::now() < deadline, "still refused: {error:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
            other => panic!("{other:?}"),
        }
    }
    node.kill();
    let node = Node::start(disk.path(), &settings);
    let mut client = RawClient::open(&node, ProtocolVersion::V5, false);
    let keys = client.rows("SELECT k FROM k.t");
    let mut keys: Vec<u32> =
        keys.iter().map(|row| u32::from_be_bytes(row[0].unwrap().try_into().unwrap())).collect();
    keys.sort_unstable();
    // A write that was refused may be there: nobody was promised that it would not.
    keys.retain(|key| *key < written);
    assert_eq!(keys, (0..written).collect::<Vec<_>>());
    assert_eq!(node.stop().code(), Some(0));
}
