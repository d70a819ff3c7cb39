//! Leaving, being removed, being forgotten; and that nobody comes back by mistake.

use std::time::Duration;

use helenus_gossip::{Config, Error, Event, Generation, Key, Status};

use crate::cluster::{Cluster, GENERATION, address, host, local, shadow};

const HOUR: Duration = Duration::from_secs(3600);

/// Node 3 is dead, and was removed by node 0.
fn removed() -> Cluster {
    let mut cluster = Cluster::met(5);
    assert_eq!(cluster.node(0).remove(host(3)), Err(Error::NodeIsUp { host: host(3) }));
    cluster.nodes[3] = None;
    cluster.rounds(30);
    cluster.node(0).remove(host(3)).unwrap();
    cluster
}

fn status(cluster: &mut Cluster, of: usize, by: usize) -> Option<Status> {
    cluster.node(by).view().get(host(of)).and_then(|node| node.status)
}

#[test]
fn a_removal_becomes_known_and_is_the_same_for_all() {
    let mut cluster = removed();
    // Another operator does the same elsewhere.
    cluster.node(4).remove(host(3)).unwrap();
    cluster.rounds(10);
    for node in [0, 1, 2, 4] {
        assert_eq!(status(&mut cluster, 3, node), Some(Status::Removed));
        let removals = cluster.events.iter().filter(|e| **e == (node, Event::Removed(host(3))));
        assert_eq!(removals.count(), 1);
        assert_eq!(cluster.ups(node), 4);
    }
    let nobody = host(77);
    assert_eq!(cluster.node(0).remove(nobody), Err(Error::UnknownNode { host: nobody }));
}

#[test]
fn old_state_does_not_bring_a_removed_node_back() {
    let mut cluster = removed();
    // Node 4 is away while the others learn of it, and has the old state.
    cluster.rounds_where(20, |from, to| from != 4 && to != 4);
    assert_eq!(status(&mut cluster, 3, 4), Some(Status::Normal));
    cluster.rounds(20);
    for node in [0, 1, 2, 4] {
        assert_eq!(status(&mut cluster, 3, node), Some(Status::Removed), "node {node}");
    }
}

#[test]
fn a_removed_node_that_returns_is_told_so_and_is_silent() {
    let mut cluster = removed();
    cluster.rounds(10);
    cluster.restart(3, GENERATION + 1000);
    cluster.rounds(10);
    assert!(cluster.events.contains(&(3, Event::RemovedOurselves)));
    assert_eq!(status(&mut cluster, 3, 1), Some(Status::Removed));
    cluster.events.clear();
    cluster.now += HOUR;
    let now = cluster.now;
    cluster.node(3).tick(now);
    assert!(cluster.node(3).take_outputs().is_empty());
}

#[test]
fn what_is_forgotten_is_not_believed_for_a_while() {
    let mut cluster = removed();
    cluster.rounds_where(20, |from, to| from != 4 && to != 4);
    // Three days pass for the others; node 4 was away and still has the old state.
    cluster.now += 72 * HOUR;
    cluster.rounds_where(21, |from, to| from != 4 && to != 4);
    for node in [0, 1, 2] {
        assert!(cluster.node(node).digest(host(3)).is_none());
        assert_eq!(cluster.node(node).sizes(), (4, 1));
        assert!(cluster.events.contains(&(node, Event::Forgotten(host(3)))));
    }
    cluster.rounds(20);
    for node in [0, 1, 2] {
        assert!(cluster.node(node).digest(host(3)).is_none(), "node {node} believes node 4");
    }
    // After another three days it would be; that is what the metadata log is asked for.
    cluster.now += 73 * HOUR;
    cluster.rounds(20);
    assert_eq!(cluster.node(0).sizes().1, 0);
    assert!(cluster.node(0).digest(host(3)).is_some());
    cluster.node(0).quarantine(host(3), Generation::REMOVED, HOUR);
    assert!(cluster.node(0).digest(host(3)).is_none());
    cluster.rounds(20);
    assert!(cluster.node(0).digest(host(3)).is_none());
}

#[test]
fn a_node_that_never_finished_joining_is_forgotten_and_may_try_again() {
    let mut cluster = Cluster::met(3);
    let joins = |cluster: &mut Cluster, generation| {
        let mut node = shadow(&cluster.config, local(3, generation), &[address(0)], cluster.now);
        node.announce(crate::cluster::CLUSTER, Generation(generation)).unwrap();
        cluster.nodes.truncate(3);
        cluster.nodes.push(Some(node));
        cluster.rounds(10);
    };
    joins(&mut cluster, GENERATION);
    assert_eq!(status(&mut cluster, 3, 1), Some(Status::Joining));
    let stuck = cluster.nodes[3].take();
    cluster.rounds(4000);
    assert_eq!(cluster.node(1).sizes(), (3, 1));
    cluster.nodes[3] = stuck;
    cluster.rounds(5);
    assert_eq!(cluster.node(1).sizes(), (3, 1), "the same life is refused");
    assert!(cluster.node(1).digest(host(3)).is_none());
    joins(&mut cluster, GENERATION + 5000);
    assert!(cluster.node(1).is_up(host(3)));
}

#[test]
fn a_node_that_left_is_forgotten_after_a_while() {
    let mut config = Config::new("test");
    config.tombstone_retention = Duration::from_secs(60);
    let mut cluster = Cluster::new(3, config);
    cluster.rounds(20);
    for status in [Status::Leaving, Status::Left] {
        cluster.node(2).local_update(Key::STATUS, status.value()).unwrap();
    }
    cluster.rounds(10);
    cluster.nodes[2] = None;
    assert_eq!(status(&mut cluster, 2, 1), Some(Status::Left));
    cluster.rounds(150);
    assert_eq!(cluster.node(1).sizes(), (2, 1));
}

#[test]
fn who_says_goodbye_is_down_at_once_and_old_news_does_not_bring_it_back() {
    let mut cluster = Cluster::met(4);
    let now = cluster.now;
    cluster.node(3).stop(now).unwrap();
    // Node 0 does not hear it itself, and still passes old heartbeats on.
    let goodbyes = cluster.node(3).take_outputs();
    assert_eq!(goodbyes.len(), 3);
    for (to, message) in goodbyes {
        let to = (0..3).find(|node| address(*node) == to).unwrap();
        if to != 0 {
            cluster.deliver(3, to, &message);
        }
    }
    cluster.nodes[3] = None;
    for node in [1, 2] {
        assert_eq!(cluster.ups(node), 3, "node {node}");
        assert!(cluster.events.contains(&(node, Event::Down(host(3)))));
    }
    cluster.rounds(6);
    for node in 0..3 {
        assert_eq!(cluster.ups(node), 3, "node {node}");
        assert!(!cluster.events.contains(&(node, Event::Up(host(3)))));
    }
    cluster.restart(3, GENERATION + 10);
    cluster.rounds(10);
    for node in 0..4 {
        assert_eq!(cluster.ups(node), 4, "node {node}");
    }
}
