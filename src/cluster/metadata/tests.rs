//! The metadata of one node and of small groups: planning, restarts, joining, leaving, refusals.

use helenus_platform::disk::MemoryDisk;

use super::simulation::{Lab, founder, keyspace, newcomer};
use super::*;
use crate::cluster::members::MemberState;

#[test]
fn a_schema_survives_restarts_and_snapshots_and_ids_are_never_reused() {
    let mut lab = Lab::new(1);
    let node = lab.found();
    for name in ["a", "b"] {
        lab.change(node, move |state| Ok(vec![keyspace(state, name)])).unwrap();
    }
    let dropped = schema::Change::DropKeyspace { name: "b".into() };
    lab.change(node, move |_| Ok(vec![dropped.clone().into()])).unwrap();
    let before = lab.state(node);
    lab.restart(node);
    let after = lab.state(node);
    assert_eq!((after.version, after.schema.version), (4, before.schema.version));
    assert_eq!(after.schema.schema_version, before.schema.schema_version);
    assert_eq!(after.schema.next_keyspace_id(), before.schema.next_keyspace_id());
    assert!(after.schema.keyspace("a").is_some() && after.schema.keyspace("b").is_none());
    let encoded = ClusterState::decode(&after.encode(), after.version).unwrap();
    assert_eq!(encoded.schema.next_keyspace_id(), before.schema.next_keyspace_id());
    assert_eq!((encoded.members, encoded.ring), (after.members.clone(), after.ring.clone()));
    // Enough for the log to be replaced by a snapshot, more than once.
    for round in 0..40 {
        let comment = format!("{round}{}", "x".repeat(60_000));
        lab.change(node, move |state| {
            let schema::Change::PutKeyspace(mut definition) = put(state, "a") else {
                return Ok(Vec::new());
            };
            definition.options.replication.insert("comment".into(), comment.clone());
            Ok(vec![schema::Change::PutKeyspace(definition).into()])
        })
        .unwrap();
    }
    let before = lab.state(node);
    assert!(lab.files(node).iter().any(|name| name.starts_with("snapshot-")));
    lab.restart(node);
    assert_eq!(lab.state(node).version, before.version);
    assert_eq!(lab.state(node).schema.schema_version, before.schema.schema_version);
}

fn put(state: &ClusterState, name: &str) -> schema::Change {
    match keyspace(state, name) {
        Change::Schema(change) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_planned_changes_nothing_and_an_unstarted_one_says_so() {
    let mut lab = Lab::new(2);
    let node = lab.found();
    assert!(lab.change(node, |_| Err(Error::invalid("no"))).is_err());
    assert_eq!(lab.state(node).version, 1);
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let dir = Path::new("/m");
    disk.create_dir_all(dir).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(helenus_platform::clock::ManualClock::new(0));
    let metadata = Metadata::create(disk, clock, dir, [1; 16], founder(0)).unwrap();
    let error = helenus_platform::runtime::block_on(metadata.change(|_| Ok(Vec::new())));
    assert!(error.unwrap_err().message.contains("not running"));
}

#[test]
fn three_members_agree_and_each_can_change_the_schema() {
    let mut lab = Lab::new(3);
    let first = lab.found();
    lab.change(first, |state| Ok(vec![keyspace(state, "alone")])).unwrap();
    let second = lab.join(first).unwrap();
    let third = lab.join(second).unwrap();
    lab.run_until(|lab| lab.voters(first) == 3);
    for (node, name) in [(first, "one"), (second, "two"), (third, "three")] {
        let changed = lab.change(node, move |state| Ok(vec![keyspace(state, name)])).unwrap();
        assert!(changed.behind.is_empty());
        // Whoever was told that it is done finds it everywhere.
        for other in [first, second, third] {
            assert!(lab.state(other).schema.keyspace(name).is_some(), "{name} at {other}");
        }
    }
    let states: Vec<_> = [first, second, third].map(|node| lab.state(node)).into();
    assert!(states.windows(2).all(|pair| pair[0].ring == pair[1].ring));
    assert_eq!(states[0].ring.members().len(), 3);
    // Anybody can be missed, and finds out when it is back.
    lab.crash(first);
    lab.change(third, |state| Ok(vec![keyspace(state, "without")])).unwrap();
    lab.start(first);
    lab.run_until(|lab| lab.state(first).schema.keyspace("without").is_some());
}

#[test]
fn without_a_majority_the_schema_stands_still_and_says_why() {
    let mut lab = Lab::new(4);
    let first = lab.found();
    let second = lab.join(first).unwrap();
    lab.run_until(|lab| lab.voters(first) == 2);
    lab.crash(second);
    let error = lab.change(first, |state| Ok(vec![keyspace(state, "k")])).unwrap_err();
    assert!(error.message.contains("needs a majority"), "{error}");
    assert!(error.message.contains("2 of 2"), "{error}");
    lab.start(second);
    lab.change(first, |state| Ok(vec![keyspace(state, "l")])).unwrap();
}

#[test]
fn five_vote_and_the_others_follow_and_who_leaves_makes_room() {
    let mut lab = Lab::new(5);
    let first = lab.found();
    let others: Vec<usize> = (0..6).map(|_| lab.join(first).unwrap()).collect();
    lab.run_until(|lab| lab.voters(first) == 5);
    assert_eq!(lab.state(first).ring.members().len(), 7);
    let leaver = *others.iter().find(|node| lab.is_voter(**node)).unwrap();
    let host = lab.host(leaver);
    for state in [MemberState::Leaving, MemberState::Left] {
        lab.set_state(first, host, state).unwrap();
    }
    lab.run_until(|lab| lab.voters(first) == 5 && !lab.is_voter(leaver));
    assert_eq!(lab.state(first).ring.members().len(), 6);
    let back = lab.join_as(first, newcomer(leaver)).unwrap_err();
    assert!(back.message.contains("has left"), "{back}");
}

#[test]
fn the_leader_itself_can_leave() {
    let mut lab = Lab::new(6);
    let first = lab.found();
    let second = lab.join(first).unwrap();
    let third = lab.join(first).unwrap();
    lab.run_until(|lab| lab.voters(first) == 3);
    lab.set_state(second, lab.host(first), MemberState::Left).unwrap();
    lab.crash(first);
    lab.change(third, |state| Ok(vec![keyspace(state, "after")])).unwrap();
    assert_eq!(lab.voters(second), 2);
}

#[test]
fn who_may_not_join_is_told_why() {
    let mut lab = Lab::new(7);
    let first = lab.found();
    let second = lab.join(first).unwrap();
    let copy = Member { internode_address: ([10, 0, 0, 99], 7000).into(), ..newcomer(second) };
    let refused = lab.join_as(first, copy).unwrap_err();
    assert!(refused.message.contains("two nodes must not have copies"), "{refused}");
    let address = newcomer(second).internode_address;
    let squatter = Member { internode_address: address, ..newcomer(50) };
    let refused = lab.join_as(first, squatter).unwrap_err();
    assert!(refused.message.contains("has the address"), "{refused}");
    let old = Member { feature_level: 0, ..newcomer(51) };
    let refused = lab.join_as(first, old).unwrap_err();
    assert!(refused.message.contains("use a newer program"), "{refused}");
}

#[test]
fn several_join_at_once_and_get_tokens_of_their_own() {
    let mut lab = Lab::new(8);
    let first = lab.found();
    let second = lab.join(first).unwrap();
    let joined = lab.join_at_once(&[first, second, first, second, first]);
    assert!(joined.iter().all(Result::is_ok), "{joined:?}");
    lab.run_until(|lab| lab.state(first).members.present().count() == 7);
    assert!(lab.state(first).members.full_ring().is_ok());
}

#[test]
fn a_member_that_comes_back_elsewhere_says_so() {
    let mut lab = Lab::new(9);
    let first = lab.found();
    let second = lab.join(first).unwrap();
    lab.crash(second);
    let elsewhere = ([10, 1, 0, 7], 7000).into();
    lab.move_to(second, elsewhere);
    lab.start(second);
    let host = lab.host(second);
    lab.run_until(|lab| {
        lab.state(first).members.get(&host).is_some_and(|m| m.internode_address == elsewhere)
    });
}

#[test]
fn who_was_away_for_long_gets_a_snapshot_and_misses_no_truncation() {
    let mut lab = Lab::new(10);
    let first = lab.found();
    let second = lab.join(first).unwrap();
    lab.change(first, |state| Ok(vec![keyspace(state, "k")])).unwrap();
    let table = lab.create_table(first, "k", "t");
    lab.run_until(|lab| lab.state(second).schema.table_by_id(table).is_some());
    let third = lab.join(first).unwrap();
    lab.run_until(|lab| lab.voters(first) == 3);
    lab.crash(second);
    let truncate = schema::Change::Truncate { table };
    lab.change(third, move |_| Ok(vec![truncate.clone().into()])).unwrap();
    for round in 0..40 {
        let name = format!("k{round}{}", "x".repeat(60_000));
        lab.change(first, move |state| Ok(vec![keyspace(state, &name)])).unwrap();
    }
    assert!(lab.files(first).iter().any(|name| name.starts_with("snapshot-")));
    lab.forget_applied(second);
    lab.start(second);
    let version = lab.state(first).version;
    lab.run_until(|lab| lab.state(second).version >= version);
    assert!(lab.applied(second).contains(&schema::Change::Truncate { table }));
    let (one, other) = (lab.state(first), lab.state(second));
    assert_eq!(one.schema.schema_version, other.schema.schema_version);
}
