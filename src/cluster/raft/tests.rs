//! The state machine by itself: what it says, and what it refuses. How groups behave under faults
//! is tried in `cluster/metadata/simulation/`.

use helenus_platform::random::SeededRandom;

use super::*;

fn id(number: u8) -> NodeId {
    [number; 16]
}

fn config(voters: &[u8], learners: &[u8]) -> Config {
    let of = |ids: &[u8]| ids.iter().copied().map(id).collect();
    Config { voters: of(voters), learners: of(learners) }
}

fn member(own: u8, config: Config) -> Raft {
    let log = Log::new(0, 0, Arc::new(config));
    let random = Arc::new(SeededRandom::new(u64::from(own)));
    Raft::new(id(own), Timing::default(), random, Vote::default(), log, 0, Duration::ZERO)
}

fn save(raft: &mut Raft, now: Duration) -> Unsaved {
    let unsaved = raft.take_unsaved();
    raft.saved(now);
    unsaved
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Carries all messages to and fro until there are none.
fn settle(members: &mut BTreeMap<NodeId, Raft>, now: Duration) {
    loop {
        let mut messages = Vec::new();
        for raft in members.values_mut() {
            save(raft, now);
            let from = raft.id();
            messages.extend(raft.take_messages().into_iter().map(|(to, m)| (from, to, m)));
        }
        if messages.is_empty() {
            return;
        }
        for (from, to, message) in messages {
            let Some(receiver) = members.get_mut(&to) else { continue };
            let reply = receiver.receive(from, message, now);
            save(receiver, now);
            if let (Some(reply), Some(sender)) = (reply, members.get_mut(&from)) {
                assert_eq!(sender.receive(to, reply, now), None);
            }
        }
    }
}

fn group(of: &[u8]) -> BTreeMap<NodeId, Raft> {
    of.iter().map(|own| (id(*own), member(*own, config(of, &[])))).collect()
}

fn elect(members: &mut BTreeMap<NodeId, Raft>, who: u8) -> Duration {
    let raft = members.get_mut(&id(who)).unwrap();
    let now = raft.next_tick().unwrap();
    raft.tick(now);
    settle(members, now);
    assert_eq!(members[&id(who)].role(), Role::Leader);
    now
}

#[test]
fn the_only_voter_leads_at_once_and_commits_what_is_saved() {
    let mut raft = member(1, config(&[1], &[]));
    assert_eq!((raft.role(), raft.next_tick()), (Role::Leader, None));
    assert_eq!(raft.propose(0, Bytes::from("a"), None, 0, at(1)), Ok(1));
    assert_eq!(raft.commit(), 0);
    let unsaved = save(&mut raft, at(1));
    assert_eq!(unsaved.vote, Some(Vote { term: 1, voted_for: Some(id(1)) }));
    assert_eq!((unsaved.entries.len(), raft.commit()), (1, 1));
}

#[test]
fn a_majority_elects_and_commits() {
    let mut members = group(&[1, 2, 3]);
    let now = elect(&mut members, 2);
    let leader = members.get_mut(&id(2)).unwrap();
    assert_eq!(leader.commit(), 1);
    assert_eq!(leader.propose(1, Bytes::from("x"), None, 0, now), Ok(2));
    assert_eq!(leader.propose(2, Bytes::from("y"), None, 0, now), Err(ProposeError::Conflict(2)));
    assert_eq!(leader.propose(1, Bytes::from("y"), None, 0, now), Err(ProposeError::Conflict(2)));
    settle(&mut members, now);
    assert!(members.values().all(|raft| raft.commit() == 2));
    let follower = members.get_mut(&id(1)).unwrap();
    let refused = follower.propose(2, Bytes::from("z"), None, 0, now);
    assert_eq!(refused, Err(ProposeError::NotLeader(Some(id(2)))));
}

#[test]
fn without_a_majority_nothing_is_committed_and_the_leader_steps_down() {
    let mut members = group(&[1, 2, 3]);
    let now = elect(&mut members, 1);
    let mut leader = members.remove(&id(1)).unwrap();
    leader.propose(1, Bytes::from("x"), None, 0, now).unwrap();
    save(&mut leader, now);
    assert_eq!((leader.commit(), leader.role()), (1, Role::Leader));
    for step in 1..40 {
        leader.tick(now + at(100 * step));
    }
    assert_ne!(leader.role(), Role::Leader);
}

#[test]
fn nobody_is_elected_against_a_leader_that_is_heard() {
    let mut members = group(&[1, 2, 3]);
    let now = elect(&mut members, 1);
    let ask = |pre| Message::Vote { pre, term: 9, last_index: 9, last_term: 9 };
    let follower = members.get_mut(&id(2)).unwrap();
    for pre in [true, false] {
        let reply = follower.receive(id(3), ask(pre), now + at(10)).unwrap();
        assert_eq!(reply, Message::VoteReply { pre, term: 1, granted: false });
    }
    let reply = follower.receive(id(3), ask(false), now + at(3000)).unwrap();
    assert_eq!(reply, Message::VoteReply { pre: false, term: 9, granted: true });
    assert_eq!(save(follower, now).vote, Some(Vote { term: 9, voted_for: Some(id(3)) }));
    let other = follower.receive(id(1), ask(false), now + at(3001)).unwrap();
    assert_eq!(other, Message::VoteReply { pre: false, term: 9, granted: false });
}

#[test]
fn who_lacks_entries_is_not_elected() {
    let mut members = group(&[1, 2, 3]);
    let now = elect(&mut members, 1);
    let follower = members.get_mut(&id(2)).unwrap();
    let ask = Message::Vote { pre: false, term: 2, last_index: 0, last_term: 0 };
    let reply = follower.receive(id(3), ask, now + at(9000)).unwrap();
    assert_eq!(reply, Message::VoteReply { pre: false, term: 2, granted: false });
}

#[test]
fn voters_change_one_at_a_time() {
    let mut raft = member(1, config(&[1], &[2, 3]));
    let both = Some(config(&[1, 2, 3], &[]));
    assert_eq!(raft.propose(0, Bytes::new(), both, 0, at(0)), Err(ProposeError::TwoVoters));
    let one = Some(config(&[1, 2], &[3]));
    assert_eq!(raft.propose(0, Bytes::new(), one, 0, at(0)), Ok(1));
    save(&mut raft, at(0));
    // The new voter counts from the moment that the entry is in the log.
    assert_eq!(raft.commit(), 0);
    let reply = Message::AppendReply { term: 1, matched: true, index: 1 };
    raft.receive(id(2), reply, at(1));
    assert_eq!(raft.commit(), 1);
}

#[test]
fn an_entry_of_an_older_term_is_replaced_and_a_committed_one_is_not() {
    let mut raft = member(2, config(&[1, 2, 3], &[]));
    let entry = |index, term, text: &'static str| Entry {
        index,
        term,
        wall_micros: 0,
        config: None,
        payload: Bytes::from_static(text.as_bytes()),
    };
    let append = |term, prev_index, prev_term, commit, entries| Message::Append {
        term,
        prev_index,
        prev_term,
        commit,
        entries,
    };
    let old = vec![entry(1, 1, "a"), entry(2, 1, "b")];
    raft.receive(id(1), append(1, 0, 0, 1, old), at(0)).unwrap();
    save(&mut raft, at(0));
    let new = append(2, 1, 1, 1, vec![entry(2, 2, "c")]);
    let reply = raft.receive(id(3), new, at(1)).unwrap();
    assert_eq!(reply, Message::AppendReply { term: 2, matched: true, index: 2 });
    assert_eq!(save(&mut raft, at(1)).entries, [entry(2, 2, "c")]);
    // Entry 1 is committed: nobody can replace it, whatever is said.
    raft.receive(id(3), append(2, 0, 0, 2, vec![entry(1, 2, "z")]), at(2)).unwrap();
    assert_eq!(raft.log().get(1).unwrap().payload, "a");
    // A gap, entries out of order, and an old leader.
    for wrong in [
        append(2, 7, 2, 7, vec![]),
        append(2, 2, 2, 2, vec![entry(4, 2, "x")]),
        append(2, 2, 2, 2, vec![entry(3, 9, "x")]),
        append(1, 2, 2, 2, vec![entry(3, 1, "x")]),
    ] {
        let reply = raft.receive(id(3), wrong, at(3)).unwrap();
        assert!(matches!(reply, Message::AppendReply { matched: false, .. }), "{reply:?}");
    }
}

#[test]
fn a_snapshot_replaces_a_log_that_lacks_it_and_keeps_one_that_has_it() {
    let snapshot = |index| Snapshot {
        index,
        term: 1,
        config: Arc::new(config(&[1, 2], &[])),
        state: Bytes::from_static(b"state"),
    };
    let mut raft = member(2, Config::default());
    let install = |index| Message::Snapshot { term: 1, snapshot: snapshot(index) };
    let reply = raft.receive(id(1), install(5), at(0)).unwrap();
    assert_eq!(reply, Message::AppendReply { term: 1, matched: true, index: 5 });
    assert_eq!(save(&mut raft, at(0)).snapshot, Some(snapshot(5)));
    assert_eq!((raft.commit(), raft.log().last_index(), raft.config().voters.len()), (5, 5, 2));
    let entries = (6..8)
        .map(|index| Entry { index, term: 1, wall_micros: 0, config: None, payload: Bytes::new() })
        .collect();
    let append = Message::Append { term: 1, prev_index: 5, prev_term: 1, commit: 5, entries };
    raft.receive(id(1), append, at(1)).unwrap();
    save(&mut raft, at(1));
    raft.receive(id(1), install(6), at(2)).unwrap();
    assert_eq!((raft.commit(), raft.log().last_index()), (6, 7));
    assert!(save(&mut raft, at(2)).is_empty());
}

#[test]
fn messages_come_back_and_no_cut_or_flip_breaks_the_reader() {
    let entry = Entry {
        index: 4,
        term: 2,
        wall_micros: -1,
        config: Some(Arc::new(config(&[1, 2], &[3]))),
        payload: Bytes::from_static(b"payload"),
    };
    let state = Bytes::from_static(b"state");
    let snapshot = Snapshot { index: 9, term: 3, config: Arc::new(config(&[1], &[2])), state };
    let messages = [
        Message::Vote { pre: true, term: 3, last_index: 8, last_term: 2 },
        Message::VoteReply { pre: false, term: 3, granted: true },
        Message::Append { term: 3, prev_index: 3, prev_term: 2, commit: 1, entries: vec![entry] },
        Message::AppendReply { term: 3, matched: false, index: 5 },
        Message::Snapshot { term: 3, snapshot },
    ];
    for message in messages {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(Message::decode(&bytes), Ok(message));
        for cut in 0..bytes.len() {
            assert!(Message::decode(&bytes[..cut]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            drop(Message::decode(&damaged));
        }
    }
    let mut term = vec![1];
    helenus_platform::codec::Put::put_u64_le(&mut term, u64::MAX);
    assert!(Message::decode(&term).is_err());
}
