//! Limits of connections, from outside: who is let in, and what a client can see of them.

use cql_lite::wire::{ProtocolVersion, Response};

use crate::process::{Node, TempDir};
use crate::raw_client::{Heard, RawClient};

const V4: ProtocolVersion = ProtocolVersion::V4;

#[test]
fn an_address_has_so_many_connections_and_the_next_is_closed() {
    let dir = TempDir::new();
    let node = Node::start(dir.path(), &["limits.connections_per_address=3"]);
    let mut clients: Vec<_> = (0..3).map(|_| RawClient::open(&node, V4, false)).collect();
    let mut fourth = RawClient::connect(&node, V4, false);
    assert_eq!(fourth.hear(), Heard::Closed);
    clients.iter_mut().for_each(RawClient::assert_alive);
    drop(clients.pop());
    // The node learns a moment later that one has left.
    let let_in = (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let mut next = RawClient::connect(&node, V4, false);
        next.send(0, &cql_lite::wire::Request::Options);
        matches!(next.hear(), Heard::Answer(0, Response::Supported(_)))
    });
    assert!(let_in);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn limits_are_shown_as_they_are_set() {
    let dir = TempDir::new();
    let settings = ["limits.bytes_in_flight=300MiB", "limits.page_bytes=64KiB"];
    let node = Node::start(dir.path(), &settings);
    let mut client = RawClient::open(&node, V4, false);
    for (name, value) in
        [("bytes_in_flight", "300MiB"), ("page_bytes", "64KiB"), ("requests", "16384")]
    {
        let text = format!("SELECT value FROM system_views.settings WHERE name = 'limits.{name}'");
        let rows = client.rows(&text);
        assert_eq!(rows.iter().next().unwrap()[0], Some(value.as_bytes()), "{name}");
    }
    let (code, message) = Node::refused(dir.path(), &["limits.bytes_in_flight=100MiB"]);
    assert_eq!(code, 2);
    assert!(message.contains("limits.bytes_in_flight (100MiB) is less than"), "{message}");
}
