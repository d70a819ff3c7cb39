//! The socket's manners; what the commands do is tried on a real node in `tests/it/admin.rs`.

use std::path::Path;

use helenus_platform::clock::ManualClock;
use helenus_platform::disk::MemoryDisk;
use helenus_platform::net::{MemoryNetwork, Network};
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::{Runtime, SimRuntime};

use super::*;
use crate::config::Config;
use crate::node::World;

#[test]
fn what_is_no_request_is_answered_and_bounded() {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
    let runtime = SimRuntime::new(1, clock.clone());
    let world = World {
        disk: Arc::new(MemoryDisk::new()),
        clock,
        random: Arc::new(SeededRandom::new(1)),
        runtime: Arc::new(runtime.clone()),
    };
    let node = Node::open(world, Config { data_dir: "/d".into(), ..Config::default() }).unwrap();
    let inner = runtime.clone();
    let test = async move {
        let network = MemoryNetwork::new();
        let listener = network.bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = AdminSocket::start(&node, |path| {
            assert_eq!(path, Path::new("/d/admin.sock"));
            Ok(listener)
        })
        .unwrap();
        let ask = async |line: &[u8]| {
            let mut stream = network.connect(address).await.unwrap();
            // A node that has heard enough may close before all is said.
            drop(write_all(&mut *stream, line).await);
            let line = read_line(&mut *stream, 1 << 20).await.unwrap();
            serde_json::from_slice::<Response>(&line).unwrap()
        };
        let status = ask(b"{\"version\":1,\"command\":\"status\"}\n").await;
        assert_eq!(status.result.unwrap()[0]["status"], "UN");
        for (line, complaint) in [
            (&b"hello\n"[..], "not a request"),
            (b"{\"version\":2,\"command\":\"new\"}\n", "speaks version 1"),
            (b"{\"version\":1,\"command\":\"explode\"}\n", "unknown variant"),
            (b"{\"version\":1,\"command\":\"flush\",\"keyspace\":\"x\",\"tables\":[]}\n", "[x]"),
            (b"{}\n", "not none"),
            (&[b'x'; REQUEST_BYTES_MAX + 1], "more than 65536 bytes"),
            // Nothing more comes, and the clock moves on.
            (b"{\"version\":1", "timed out"),
        ] {
            let error = ask(line).await.error.unwrap();
            assert!(error.contains(complaint), "{error}");
        }
        // The seventeenth at a time is told so.
        let mut held = Vec::new();
        for _ in 0..COMMANDS_MAX {
            held.push(network.connect(address).await.unwrap());
        }
        inner.sleep(Duration::from_millis(1)).await;
        let error = ask(b"{\"version\":1,\"command\":\"status\"}\n").await.error.unwrap();
        assert!(error.contains("under way already"), "{error}");
        drop(socket);
    };
    runtime.block_on(1_000_000, test).unwrap();
}
