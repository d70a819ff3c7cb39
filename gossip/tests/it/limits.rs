//! Bounds: of nodes, messages, answers, events, outputs.

use std::collections::BTreeSet;
use std::time::Duration;

use helenus_gossip::state::{KEYS_MAX, VALUE_BYTES_MAX};
use helenus_gossip::{
    Body, Config, Digest, Event, Generation, HostId, Key, Message, Value, Window,
};

use crate::cluster::{CLUSTER, Cluster, GENERATION, address, host, local, member};

#[test]
fn nodes_beyond_the_limit_are_refused() {
    let mut config = Config::new("test");
    config.nodes_max = 4;
    let mut cluster = Cluster::new(6, config);
    cluster.rounds(40);
    for node in 0..6 {
        assert_eq!(cluster.node(node).sizes().0, 4, "node {node}");
    }
    assert!((0..6).any(|node| cluster.node(node).counters().refused_full > 0));
}

/// In messages that hold a few dozen digests, and less than one node's values, 150 nodes still
/// tell one another everything.
#[test]
fn a_small_message_only_takes_longer() {
    let mut config = Config::new("test");
    config.message_bytes_max = 2048;
    let mut cluster = Cluster::new(150, config);
    let long = |byte: u8| Value::from(vec![byte; VALUE_BYTES_MAX]);
    for key in 100..103 {
        cluster.node(7).local_update(Key(key), long(key)).unwrap();
    }
    cluster.rounds(150);
    for node in 0..150 {
        assert_eq!(cluster.node(node).sizes().0, 150, "node {node}");
        for key in 100..103 {
            assert_eq!(cluster.node(node).value(host(7), Key(key)), Some(&long(key)));
        }
    }
}

#[test]
fn answers_are_bounded_in_each_interval() {
    let mut config = Config::new("test");
    config.answers_max = 3;
    let mut cluster = Cluster::new(1, config.clone());
    let mut other = member(&config, local(1, GENERATION), &[address(0)], cluster.now);
    let now = cluster.now + Duration::from_millis(500);
    other.tick(now);
    let (_, syn) = other.take_outputs().pop().unwrap();
    for _ in 0..5 {
        cluster.deliver(1, 0, &syn);
    }
    assert_eq!(cluster.node(0).take_outputs().len(), 3);
    assert_eq!(cluster.node(0).counters().answers_refused, 2);
    cluster.node(0).tick(now);
    cluster.node(0).take_outputs();
    cluster.deliver(1, 0, &syn);
    assert_eq!(cluster.node(0).take_outputs().len(), 1);
}

/// A peer that invents nodes: each is asked for, none is kept unless something is said of it, and
/// what was asked for and comes is bounded by the limit.
#[test]
fn invented_nodes_take_no_place() {
    let mut cluster = Cluster::new(1, Config::new("test"));
    let digests: Vec<Digest> = (1..20_000)
        .map(|id| Digest { host: HostId(id), generation: Generation(GENERATION), version: 5 })
        .collect();
    let syn = Message {
        cluster_name: "test".into(),
        cluster_id: Some(CLUSTER),
        host: HostId(1),
        generation: Generation(GENERATION),
        exchange: 1,
        shadow: false,
        body: Body::Syn { window: Window::ALL, digests: digests.into() },
    };
    let now = cluster.now;
    cluster.node(0).receive(now, address(1), syn);
    let (_, ack) = cluster.node(0).take_outputs().pop().unwrap();
    assert!(ack.encoded_len() <= cluster.config.message_bytes_max);
    let Body::Ack { requests, .. } = ack.body else { panic!("{ack:?}") };
    assert!(requests.len() > 500, "{}", requests.len());
    assert_eq!(requests.iter().map(|d| d.host).collect::<BTreeSet<_>>().len(), requests.len());
    assert_eq!(cluster.node(0).sizes(), (1, 0));
}

#[test]
fn what_nobody_takes_is_bounded() {
    let mut config = Config::new("test");
    (config.nodes_max, config.answers_max) = (10, u32::MAX);
    let mut node = member(&config, local(0, GENERATION), &[], Duration::ZERO);
    let mut other = member(&config, local(1, GENERATION), &[address(0)], Duration::ZERO);
    for round in 1..3000u32 {
        let now = Duration::from_millis(500) * round;
        other.local_update(Key::LOAD, Value::from(&round.to_be_bytes()[..])).unwrap();
        other.tick(now);
        for (_, syn) in other.take_outputs() {
            node.receive(now, address(1), syn);
        }
        let Some((_, ack)) = node.take_outputs().pop() else { continue };
        other.receive(now, address(0), ack);
        for (_, ack2) in other.take_outputs() {
            node.receive(now, address(1), ack2);
        }
    }
    let events = node.take_events();
    assert!(events.len() < 1100, "{}", events.len());
    assert_eq!(events.last(), Some(&Event::Overflow));
    other.tick(Duration::from_secs(2000));
    let (_, syn) = other.take_outputs().pop().unwrap();
    for _ in 0..2000 {
        node.receive(Duration::from_secs(2000), address(1), syn.clone());
    }
    assert_eq!(node.take_outputs().len(), 1024);
    assert!(node.counters().outputs_dropped > 900);
}

#[test]
fn a_peer_with_too_many_keys_is_taken_up_to_the_limit() {
    let mut cluster = Cluster::met(2);
    for key in 100..100 + KEYS_MAX as u8 {
        let refused = cluster.node(1).local_update(Key(key), Value::from(&[key][..])).is_err();
        assert_eq!(refused, key >= 100 + KEYS_MAX as u8 - 3, "key {key}");
    }
    cluster.rounds(5);
    assert_eq!(cluster.node(0).view().get(host(1)).unwrap().values.len(), KEYS_MAX);
}
