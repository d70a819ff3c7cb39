//! What a node does with single messages, and with the passing of time.

use std::time::Duration;

use helenus_gossip::state::{address_value, number_value};
use helenus_gossip::{
    Body, ClusterId, Config, Entry, Error, Event, Generation, Key, Message, NodeDelta, Status,
    Value,
};

use crate::cluster::{Cluster, GENERATION, address, host, local, member};

#[test]
fn nodes_learn_of_one_another_through_a_seed() {
    let mut cluster = Cluster::met(5);
    let view = cluster.node(4).view();
    let node = view.get(host(2)).unwrap();
    assert_eq!(node.status, Some(Status::Normal));
    assert_eq!(node.address, Some(address(2)));
    assert_eq!(node.rack.as_deref(), Some("r1"));
    assert_eq!(node.generation, Generation(GENERATION));
    cluster.node(2).local_update(Key::LOAD, number_value(7)).unwrap();
    cluster.rounds(5);
    for other in [0, 1, 3, 4] {
        let changed = Event::Changed { host: host(2), key: Key::LOAD };
        assert_eq!(cluster.events.iter().filter(|e| **e == (other, changed.clone())).count(), 1);
        assert_eq!(cluster.node(other).view().get(host(2)).unwrap().load, Some(7));
    }
}

#[test]
fn a_view_is_made_only_when_something_has_changed() {
    let mut cluster = Cluster::met(3);
    let before = cluster.node(0).view();
    cluster.rounds(3);
    let same = cluster.node(0).view();
    let first = |view: &helenus_gossip::View| std::ptr::from_ref(view.nodes().next().unwrap());
    assert_eq!(first(&before), first(&same), "heartbeats alone make no new view");
    cluster.node(1).local_update(Key::LOAD, number_value(1)).unwrap();
    cluster.rounds(3);
    assert_ne!(cluster.node(0).view(), before);
}

#[test]
fn another_cluster_is_refused_and_counted() {
    let mut cluster = Cluster::met(2);
    let foreign = |change: fn(&mut Message)| {
        let config = Config::new("test");
        let mut node = member(&config, local(9, GENERATION), &[address(0)], Duration::ZERO);
        node.tick(Duration::from_millis(500));
        let (_, mut message) = node.take_outputs().pop().unwrap();
        change(&mut message);
        message
    };
    let changes: [fn(&mut Message); 3] = [
        |message| message.cluster_name = "other".into(),
        |message| message.cluster_id = Some(ClusterId(7)),
        // Who belongs to no cluster may only look around.
        |message| message.cluster_id = None,
    ];
    for (count, change) in (1..).zip(changes) {
        cluster.deliver(1, 0, &foreign(change));
        assert_eq!(cluster.node(0).counters().refused_cluster, count);
        assert!(cluster.node(0).take_outputs().is_empty());
    }
    cluster.deliver(1, 0, &foreign(|_| {}));
    assert_eq!(cluster.node(0).take_outputs().len(), 1, "and our own is answered");
}

#[test]
fn there_is_one_exchange_with_a_peer_at_a_time() {
    let mut cluster = Cluster::met(2);
    cluster.nodes[1] = None;
    let mut begun = 0;
    let rounds = 9;
    for _ in 0..rounds {
        cluster.now += cluster.config.interval;
        let now = cluster.now;
        cluster.node(0).tick(now);
        begun += cluster.node(0).take_outputs().len();
    }
    // Each is given up after two rounds.
    assert_eq!(begun, rounds / 2 + 1);
    let counters = *cluster.node(0).counters();
    assert_eq!(counters.exchanges_timed_out, rounds as u64 / 2);
}

#[test]
fn a_repeated_answer_is_not_answered_again() {
    let mut cluster = Cluster::met(2);
    cluster.now += cluster.config.interval;
    let now = cluster.now;
    cluster.node(1).tick(now);
    cluster.node(1).take_outputs();
    cluster.node(0).tick(now);
    let (_, syn) = cluster.node(0).take_outputs().pop().unwrap();
    cluster.deliver(0, 1, &syn);
    let (_, mut ack) = cluster.node(1).take_outputs().pop().unwrap();
    let Body::Ack { requests, .. } = &mut ack.body else { panic!("{ack:?}") };
    assert_eq!(requests.len(), 1);
    cluster.deliver(1, 0, &ack);
    assert_eq!(cluster.node(0).take_outputs().len(), 1);
    cluster.deliver(1, 0, &ack);
    assert_eq!(cluster.node(0).take_outputs().len(), 0);
    assert_eq!(cluster.node(0).counters().late, 1);
}

#[test]
fn a_silent_node_is_convicted_and_comes_back() {
    let mut cluster = Cluster::met(4);
    let node = cluster.nodes[3].take();
    cluster.rounds(10);
    assert!(cluster.node(0).is_up(host(3)), "5 s are not enough");
    assert!(cluster.node(0).phi(host(3)).unwrap() > 2.0);
    cluster.rounds(10);
    for other in 0..3 {
        assert!(!cluster.node(other).is_up(host(3)));
        assert!(cluster.events.contains(&(other, Event::Down(host(3)))));
    }
    cluster.nodes[3] = node;
    cluster.rounds(10);
    assert_eq!(cluster.ups(0), 4);
    assert!(cluster.events.contains(&(0, Event::Up(host(3)))));
}

#[test]
fn one_old_heartbeat_does_not_bring_the_dead_back() {
    let mut cluster = Cluster::met(4);
    // Node 0 hears nothing of node 3 any more; then node 3 dies, and node 0 hears its last words.
    cluster.rounds_where(8, |from, to| from != 0 && to != 0);
    cluster.nodes[3] = None;
    cluster.rounds_where(20, |from, to| from != 0 && to != 0);
    assert!(!cluster.node(0).is_up(host(3)));
    cluster.events.clear();
    cluster.rounds(10);
    assert_eq!(cluster.ups(0), 3);
    assert!(!cluster.events.contains(&(0, Event::Up(host(3)))));
}

#[test]
fn our_own_pause_convicts_nobody() {
    let mut cluster = Cluster::met(5);
    let node = cluster.nodes[2].take();
    cluster.rounds(3);
    cluster.nodes[2] = node;
    cluster.now += Duration::from_secs(300);
    let now = cluster.now;
    cluster.node(2).tick(now);
    assert_eq!(cluster.ups(2), 5);
    assert_eq!(cluster.node(2).counters().pauses, 1);
    cluster.rounds(40);
    assert_eq!(cluster.ups(2), 5);
    assert_eq!(cluster.node(2).counters().convictions, 0);
}

#[test]
fn a_new_life_replaces_the_old_one_whole() {
    let mut cluster = Cluster::met(3);
    cluster.node(1).local_update(Key::LOAD, number_value(5)).unwrap();
    cluster.rounds(5);
    cluster.restart(1, GENERATION + 60);
    cluster.rounds(10);
    assert!(cluster.events.contains(&(2, Event::Restarted(host(1)))));
    let view = cluster.node(2).view();
    let node = view.get(host(1)).unwrap();
    assert_eq!((node.generation, node.load), (Generation(GENERATION + 60), None));
    assert!(node.up);
    // What is left of the old life changes nothing.
    cluster.restart(1, GENERATION + 30);
    cluster.rounds(10);
    let known = cluster.node(2).digest(host(1)).unwrap();
    assert_eq!(known.generation, Generation(GENERATION + 60));
    let impersonated = Event::Impersonated { generation: Generation(GENERATION + 60) };
    assert!(cluster.events.contains(&(1, impersonated)), "the old life learns that it is old");
}

#[test]
fn an_address_changes_with_the_same_host_id() {
    let mut cluster = Cluster::met(3);
    cluster.node(1).local_update(Key::ADDRESS, address_value(address(9))).unwrap();
    cluster.rounds(5);
    assert_eq!(cluster.node(2).view().get(host(1)).unwrap().address, Some(address(9)));
    let talks_to = |cluster: &mut Cluster| -> Vec<_> {
        let now = cluster.now;
        cluster.node(2).tick(now);
        cluster.node(2).take_outputs().into_iter().map(|(to, _)| to).collect()
    };
    let peers: Vec<_> = (0..10)
        .flat_map(|_| {
            cluster.now += cluster.config.interval * 3;
            talks_to(&mut cluster)
        })
        .collect();
    assert!(peers.contains(&address(9)) && !peers.contains(&address(1)), "{peers:?}");
}

#[test]
fn a_generation_far_in_the_future_is_refused() {
    let mut cluster = Cluster::met(3);
    let two_years = GENERATION + 2 * 366 * 24 * 3600;
    cluster.restart(2, two_years);
    cluster.rounds(10);
    let known = cluster.node(0).digest(host(2)).unwrap();
    assert_eq!(known.generation, Generation(GENERATION));
    assert!(cluster.node(0).counters().refused_generation > 0);
    cluster.restart(2, GENERATION + 360 * 24 * 3600);
    cluster.rounds(10);
    assert!(cluster.node(0).digest(host(2)).unwrap().generation > Generation(GENERATION));
}

#[test]
fn a_node_that_lost_its_count_says_everything_anew() {
    let mut cluster = Cluster::met(3);
    for load in 1..50 {
        cluster.node(1).local_update(Key::LOAD, number_value(load)).unwrap();
    }
    cluster.rounds(5);
    // The same generation again, which should not be, with a count that begins at 0.
    cluster.restart(1, GENERATION);
    cluster.node(1).local_update(Key::LOAD, number_value(1000)).unwrap();
    cluster.rounds(10);
    assert_eq!(cluster.node(2).view().get(host(1)).unwrap().load, Some(1000));
    assert!(cluster.node(2).is_up(host(1)));
}

#[test]
fn what_a_node_says_of_itself_is_checked() {
    let mut cluster = Cluster::met(2);
    let node = cluster.node(0);
    let refused = node.local_update(Key::STATUS, Status::Left.value());
    let (before, after) = (Some(Status::Normal), Status::Left);
    assert_eq!(refused, Err(Error::Status { before, after }));
    let nonsense = Value::from(&[1, 2, 3][..]);
    let refused = node.local_update(Key::ADDRESS, nonsense.clone());
    assert_eq!(refused, Err(Error::NotAValue { key: Key::ADDRESS }));
    assert_eq!(node.local_update(Key(0), nonsense), Err(Error::NotAValue { key: Key(0) }));
    node.local_update(Key::STATUS, Status::Leaving.value()).unwrap();
    node.local_update(Key::STATUS, Status::Left.value()).unwrap();
    cluster.rounds(5);
    assert!(cluster.events.contains(&(1, Event::Left(host(0)))));
    assert!(!cluster.node(1).is_up(host(0)));
}

#[test]
fn a_heartbeat_that_shares_the_version_of_a_value_is_no_news() {
    let mut cluster = Cluster::met(2);
    let before = cluster.node(0).digest(host(1)).unwrap();
    let version = before.version + 1;
    let delta = |heartbeat, entries| NodeDelta {
        host: host(1),
        generation: before.generation,
        after: before.version,
        heartbeat,
        entries,
    };
    let value = Entry { version, key: Key::LOAD, value: number_value(1) };
    for delta in [delta(0, vec![value]), delta(version, Vec::new())] {
        let message = Message {
            cluster_name: "test".into(),
            cluster_id: Some(crate::cluster::CLUSTER),
            host: host(1),
            generation: before.generation,
            exchange: 1,
            shadow: false,
            body: Body::Ack2 { deltas: vec![delta] },
        };
        cluster.deliver(1, 0, &message);
    }
    assert_eq!(cluster.node(0).digest(host(1)).unwrap().version, version);
    // What it tells of node 1 now is still a message.
    let now = cluster.now;
    let mut other = member(&Config::new("test"), local(5, GENERATION), &[address(0)], now);
    other.tick(now);
    let (_, syn) = other.take_outputs().pop().unwrap();
    cluster.node(0).receive(now, address(5), syn);
    let (_, ack) = cluster.node(0).take_outputs().pop().unwrap();
    let mut bytes = Vec::new();
    ack.encode(&mut bytes);
    assert_eq!(Message::decode(&bytes), Ok(ack));
}

#[test]
fn values_of_newer_releases_are_passed_on() {
    let mut cluster = Cluster::met(3);
    let value = Value::from(&b"from tomorrow"[..]);
    cluster.node(0).local_update(Key(200), value.clone()).unwrap();
    cluster.node(0).local_update(Key::STATUS, Status::Leaving.value()).unwrap();
    // Only by way of node 1.
    cluster.rounds_where(10, |from, to| (from, to) != (0, 2) && (from, to) != (2, 0));
    assert_eq!(cluster.node(2).value(host(0), Key(200)), Some(&value));
}
