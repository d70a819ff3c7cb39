//! Looking around before announcing oneself.

use helenus_gossip::{ClusterId, Conflict, Error, Event, Generation, Gossip, ShadowReport, Status};

use crate::cluster::{CLUSTER, Cluster, GENERATION, address, host, local, shadow};

/// A newcomer's shadow round, which may take so many rounds.
fn look(cluster: &mut Cluster, newcomer: Gossip, rounds: usize) -> ShadowReport {
    cluster.nodes.push(Some(newcomer));
    let node = cluster.nodes.len() - 1;
    cluster.rounds(rounds);
    let reports: Vec<_> = cluster
        .events
        .iter()
        .filter_map(|(by, event)| match event {
            Event::ShadowDone(report) if *by == node => Some(report.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(reports.len(), 1, "{:?}", cluster.events);
    reports[0].clone()
}

fn newcomer(cluster: &Cluster, node: usize, generation: u64) -> Gossip {
    let seeds = [address(0), address(1)];
    shadow(&cluster.config, local(node, generation), &seeds, cluster.now)
}

#[test]
fn a_newcomer_finds_the_cluster_and_nobody_hears_of_it() {
    let mut cluster = Cluster::met(3);
    let gossip = newcomer(&cluster, 3, GENERATION);
    let report = look(&mut cluster, gossip, 5);
    assert_eq!(report.cluster_id, Some(CLUSTER));
    assert!(report.complete && report.conflicts.is_empty(), "{report:?}");
    assert_eq!((report.seeds, report.answers.len()), (2, 2));
    assert!(report.answers.iter().all(|a| !a.in_shadow && a.cluster_id == Some(CLUSTER)));
    assert_eq!(cluster.node(3).sizes().0, 4);
    for node in 0..3 {
        assert!(cluster.node(node).digest(host(3)).is_none());
    }
    cluster.node(3).announce(CLUSTER, Generation(GENERATION)).unwrap();
    cluster.rounds(10);
    let view = cluster.node(0).view();
    assert_eq!(view.get(host(3)).unwrap().status, Some(Status::Joining));
    assert_eq!(cluster.ups(0), 4);
}

#[test]
fn a_generation_that_is_known_already_is_a_conflict() {
    let mut cluster = Cluster::met(4);
    cluster.nodes.truncate(3);
    let gossip = newcomer(&cluster, 3, GENERATION - 10);
    let report = look(&mut cluster, gossip, 5);
    let known = Generation(GENERATION);
    assert_eq!(report.conflicts, [Conflict::Generation { known, address: Some(address(3)) }]);
    let refused = cluster.node(3).announce(CLUSTER, Generation(GENERATION));
    assert!(matches!(refused, Err(Error::Generation { known: GENERATION, .. })), "{refused:?}");
    cluster.node(3).announce(CLUSTER, Generation(GENERATION + 1)).unwrap();
    cluster.rounds(10);
    let known = cluster.node(1).digest(host(3)).unwrap();
    assert_eq!(known.generation, Generation(GENERATION + 1));
}

#[test]
fn an_address_of_somebody_else_is_a_conflict() {
    let mut cluster = Cluster::met(4);
    cluster.nodes.truncate(3);
    let mut other = local(9, GENERATION);
    other.address = address(3);
    let gossip = shadow(&cluster.config, other, &[address(0)], cluster.now);
    let report = look(&mut cluster, gossip, 5);
    assert_eq!(report.conflicts, [Conflict::Address { host: host(3) }]);
}

#[test]
fn a_removed_host_id_is_a_conflict() {
    let mut cluster = Cluster::met(4);
    cluster.nodes.truncate(3);
    cluster.rounds(30);
    cluster.node(0).remove(host(3)).unwrap();
    cluster.rounds(5);
    let gossip = newcomer(&cluster, 3, GENERATION + 100);
    let report = look(&mut cluster, gossip, 5);
    assert_eq!(report.conflicts, [Conflict::Gone { status: Status::Removed }]);
    let later = Generation(GENERATION + 100);
    assert!(cluster.node(3).announce(CLUSTER, later).is_err(), "it is above every generation");
}

#[test]
fn two_clusters_are_a_conflict() {
    let mut cluster = Cluster::met(3);
    cluster.config.cluster_id = Some(ClusterId(5));
    let config = cluster.config.clone();
    let gossip = shadow(&config, local(3, GENERATION), &[address(0)], cluster.now);
    // Its messages name another cluster and are refused, so it hears nothing.
    let report = look(&mut cluster, gossip, 25);
    assert!(report.answers.is_empty() && !report.complete);
    assert!(cluster.node(0).counters().refused_cluster > 0);
}

#[test]
fn seeds_that_know_nothing_say_so() {
    let mut cluster = Cluster::met(1);
    cluster.nodes.clear();
    for node in 0..2 {
        let gossip = newcomer(&cluster, node, GENERATION);
        cluster.nodes.push(Some(gossip));
    }
    cluster.rounds(5);
    for node in 0..2 {
        let report = cluster.events.iter().find_map(|(by, event)| match event {
            Event::ShadowDone(report) if *by == node => Some(report),
            _ => None,
        });
        let report = report.unwrap();
        assert_eq!((report.cluster_id, report.complete, report.seeds), (None, false, 1));
        assert!(report.answers.iter().all(|answer| answer.in_shadow));
        assert_eq!(report.answers.len(), 1);
    }
}

#[test]
fn silent_seeds_end_the_round_by_its_timeout() {
    let mut cluster = Cluster::met(1);
    cluster.nodes.clear();
    let gossip = newcomer(&cluster, 0, GENERATION);
    cluster.nodes.push(Some(gossip));
    cluster.rounds(19);
    assert!(cluster.events.is_empty(), "10 s are not over");
    cluster.rounds(2);
    let Some((0, Event::ShadowDone(report))) = cluster.events.first() else {
        panic!("{:?}", cluster.events)
    };
    assert_eq!((report.seeds, report.answers.len()), (1, 0));
}
