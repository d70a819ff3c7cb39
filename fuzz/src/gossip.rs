//! Gossip messages as a peer brings them: decoding, and what a node does with them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use helenus_gossip::{
    ClusterId, Config, Generation, Gossip, HostId, Key, Local, Message, Status, Value,
};
use helenus_platform::codec::{Put, Reader};
use helenus_platform::random::SeededRandom;

const CLUSTER: ClusterId = ClusterId(1);
const GENERATION: u64 = 1_790_000_000;
const NODES_MAX: usize = 8;
const MESSAGE_BYTES_MAX: usize = 4096;

fn address(node: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, node], 7000))
}

fn node(number: u8) -> Gossip {
    let mut config = Config::new("c");
    (config.nodes_max, config.message_bytes_max) = (NODES_MAX, MESSAGE_BYTES_MAX);
    let local = Local {
        host: HostId(u128::from(number)),
        generation: Generation(GENERATION),
        address: address(number),
        values: vec![(Key::RACK, Value::from(&b"r"[..]))],
    };
    let random = Arc::new(SeededRandom::new(u64::from(number)));
    let seeds = [address(3 - number)];
    Gossip::new(config, local, &seeds, random, Duration::ZERO).expect("a valid configuration")
}

fn member(number: u8) -> Gossip {
    let mut gossip = node(number);
    gossip.announce(CLUSTER, Generation(GENERATION)).expect("it is alone");
    gossip.local_update(Key::STATUS, Status::Normal.value()).expect("it was joining");
    gossip
}

/// The input is a byte for the kind of node, then messages: u8 of rounds to pass before, u16_be
/// length, bytes. Whatever they are, the node keeps its bounds and its identity, and what it sends
/// can be read.
pub fn run(data: &[u8]) {
    let mut reader = Reader::new(data);
    let Ok(kind) = reader.u8() else { return };
    let mut gossip = if kind & 1 == 0 { member(1) } else { node(1) };
    let (mut now, mut versions) = (Duration::ZERO, std::collections::BTreeMap::new());
    while let (Ok(rounds), Ok(length)) = (reader.u8(), reader.u16_be()) {
        let length = usize::from(length).min(reader.remaining());
        let Ok(bytes) = reader.bytes(length) else { return };
        for _ in 0..=rounds % 4 {
            now += Duration::from_millis(500);
            gossip.tick(now);
        }
        if let Ok(message) = Message::decode(bytes) {
            let mut again = Vec::new();
            message.encode(&mut again);
            assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
            assert_eq!(again.len(), message.encoded_len());
        }
        let read = gossip.receive_bytes(now, address(2), bytes);
        assert_eq!(read.is_ok(), Message::decode(bytes).is_ok());
        check(&mut gossip, &mut versions);
    }
}

fn check(
    gossip: &mut Gossip,
    versions: &mut std::collections::BTreeMap<HostId, (Generation, u64)>,
) {
    for (_, message) in gossip.take_outputs() {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert!(bytes.len() <= MESSAGE_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(Message::decode(&bytes), Ok(message));
    }
    let view = gossip.view();
    assert!(view.nodes().len() <= NODES_MAX);
    let ourselves = view.get(HostId(1)).expect("we know ourselves");
    assert_eq!(ourselves.generation, Generation(GENERATION));
    assert_eq!(ourselves.address, Some(address(1)));
    for node in view.nodes() {
        let digest = gossip.digest(node.host).expect("it is in the view");
        let now = (digest.generation, digest.version);
        let before = versions.insert(node.host, now);
        assert!(before.is_none_or(|before| before <= now), "{} went back", node.host);
    }
    gossip.take_events();
}

/// What two nodes really say to one another, for each kind of node.
pub fn seeds() -> Vec<Vec<u8>> {
    let (mut ours, mut other) = (member(1), member(2));
    let mut said = [vec![0], vec![1]];
    let mut seeds = Vec::new();
    for round in 1..8 {
        let now = Duration::from_millis(500) * round;
        ours.tick(now);
        other.tick(now);
        let mut mail: Vec<Message> = other.take_outputs().into_iter().map(|(_, m)| m).collect();
        let mut answers: Vec<Message> = ours.take_outputs().into_iter().map(|(_, m)| m).collect();
        while !mail.is_empty() || !answers.is_empty() {
            for message in mail.drain(..) {
                let mut bytes = Vec::new();
                message.encode(&mut bytes);
                for seed in &mut said {
                    seed.put_u8(round as u8);
                    seed.put_u16_be(bytes.len() as u16);
                    seed.put_bytes(&bytes);
                }
                ours.receive(now, address(2), message);
            }
            answers.extend(ours.take_outputs().into_iter().map(|(_, m)| m));
            for message in answers.drain(..) {
                other.receive(now, address(1), message);
            }
            mail.extend(other.take_outputs().into_iter().map(|(_, m)| m));
        }
        // Short ones and long ones.
        if [1, 3, 7].contains(&round) {
            seeds.extend(said.clone());
        }
    }
    seeds
}
