//! Limits of memory and of requests: who has to wait, who is told, and who goes on.

use std::task::Waker;

use cql_lite::wire::{
    BatchStatement, BoundValue, ErrorKind, StatementSource, Values, ValuesBuilder,
};

use super::talk::Talk;
use super::*;
use crate::server::memory::{OWN_BYTES, Share};

const KIB: usize = 1 << 10;

/// 1 MiB for ten connections to share.
fn tight() -> Limits {
    Limits {
        connections_max: 10,
        bytes_in_flight_max: 10 * OWN_BYTES + 1024 * KIB,
        connection_bytes_in_flight_max: 512 * KIB,
        answer_bytes_expected: 1,
        ..Limits::default()
    }
}

fn open(version: ProtocolVersion, throws: bool, limits: Limits) -> Talk {
    let mut talk = Talk::with_limits(version, false, limits);
    let mut options = talk.codec.startup_options();
    if throws {
        options.push(("THROW_ON_OVERLOAD", "1"));
    }
    talk.send(0, &Request::Startup(options));
    talk.run();
    assert_eq!(talk.receive(), [(0, Response::Ready)]);
    talk
}

/// Takes all the memory that is shared.
fn hog(talk: &Talk) -> Share {
    let mut hog = Share::new(talk.connection.services.memory.clone());
    hog.cover(OWN_BYTES + 1024 * KIB);
    hog
}

#[track_caller]
fn assert_overloaded(response: &Response) {
    assert!(
        matches!(response, Response::Error(error) if matches!(error.kind, ErrorKind::Overloaded)),
        "{response:?}"
    );
}

/// Sends the bytes as a socket would: no more than there is room for.
fn feed(talk: &mut Talk, bytes: &mut BytesMut) -> Room {
    loop {
        let turn = talk.run();
        let Turn::NeedInput(missing) = turn else { panic!("{turn:?}") };
        match talk.connection.room_to_read(missing, Waker::noop()) {
            Room::Bytes(_) if bytes.is_empty() => return Room::Bytes(0),
            Room::Bytes(max) => {
                let step = bytes.split_to(max.min(bytes.len()));
                talk.connection.input().extend_from_slice(&step);
                talk.connection.settle(false);
            }
            Room::Refused => {}
            Room::None => return Room::None,
        }
    }
}

fn query_bytes(talk: &Talk, stream: i16, text: &str) -> BytesMut {
    let mut bytes = BytesMut::new();
    let options = QueryOptions::default();
    talk.codec.encode(stream, &Request::Query(Query { text, options }), false, &mut bytes);
    bytes
}

#[test]
fn an_answer_for_which_there_is_no_memory_is_refused_and_small_ones_are_not() {
    for version in ProtocolVersion::ALL {
        for throws in [false, true] {
            let mut talk = open(version, throws, tight());
            let hog = hog(&talk);
            assert_eq!(talk.ask("void"), VOID);
            assert!(matches!(talk.ask("rows 3000"), Response::Result(_)));
            assert_overloaded(&talk.ask("rows 100000"));
            if throws {
                assert_eq!(talk.ask("void"), VOID);
            } else {
                // It rests a moment, and goes on although nothing has changed.
                talk.query(1, "void");
                assert_eq!(talk.run(), Turn::Blocked);
                let left = talk.connection.rest_left().unwrap();
                talk.clock.advance(left);
                talk.run();
                assert_eq!(talk.receive(), [(1, VOID)]);
                assert_overloaded(&talk.ask("rows 100000"));
                talk.query(1, "void");
                assert_eq!(talk.run(), Turn::Blocked);
            }
            drop(hog);
            if !throws {
                assert!(talk.connection.can_go_on(), "there is memory again");
                talk.run();
                assert_eq!(talk.receive(), [(1, VOID)]);
            }
            assert!(matches!(talk.ask("rows 100000"), Response::Result(_)));
            let refused = talk.connection.services.metrics.overloaded.get();
            assert_eq!(refused, if throws { 1 } else { 2 });
        }
    }
}

#[test]
fn a_long_request_waits_until_there_is_memory_for_all_of_it() {
    for version in ProtocolVersion::ALL {
        let mut talk = open(version, false, tight());
        let taken = hog(&talk);
        let mut bytes = query_bytes(&talk, 1, &format!("void{}", " ".repeat(500 * KIB)));
        assert_eq!(feed(&mut talk, &mut bytes), Room::None);
        let left = bytes.len();
        assert_eq!(feed(&mut talk, &mut bytes), Room::None);
        assert_eq!(bytes.len(), left, "nothing is read on");
        drop(taken);
        assert_eq!(feed(&mut talk, &mut bytes), Room::Bytes(0));
        assert_eq!(talk.receive(), [(1, VOID)]);
        talk.connection.rest();
        assert_eq!(talk.connection.services.memory.taken(), 0);
    }
}

#[test]
fn a_frame_that_has_begun_has_its_memory() {
    let mut talk = open(ProtocolVersion::V4, false, tight());
    let mut bytes = query_bytes(&talk, 1, &format!("void{}", " ".repeat(500 * KIB)));
    let mut rest = bytes.split_off(20 * KIB);
    assert_eq!(feed(&mut talk, &mut bytes), Room::Bytes(0));
    let taken = hog(&talk);
    assert_eq!(feed(&mut talk, &mut rest), Room::Bytes(0));
    assert_eq!(talk.receive(), [(1, VOID)]);
    drop(taken);
}

#[test]
fn who_asked_for_it_is_told_that_a_long_request_has_no_room() {
    for version in ProtocolVersion::ALL {
        let mut talk = open(version, true, tight());
        let hog = hog(&talk);
        let mut bytes = query_bytes(&talk, 1, &format!("void{}", " ".repeat(700 * KIB)));
        bytes.extend_from_slice(&query_bytes(&talk, 2, "void"));
        let room = feed(&mut talk, &mut bytes);
        if version.has_segments() && room == Room::None {
            // What a segment holds is known only when all of it is there.
            drop(hog);
            assert_eq!(feed(&mut talk, &mut bytes), Room::Bytes(0));
            assert_eq!(talk.receive().len(), 2);
            continue;
        }
        let answers = talk.receive();
        assert_eq!(answers.len(), 2, "{version}: {room:?}");
        assert_overloaded(&answers[0].1);
        assert_eq!(answers[1], (2, VOID));
    }
}

#[test]
fn past_the_requests_of_the_node_a_connection_has_one_at_a_time() {
    let limits = Limits { node_pending_max: 10, ..Limits::default() };
    let mut talk = open(ProtocolVersion::V4, false, limits.clone());
    let metrics = talk.connection.services.metrics.clone();
    metrics.apart.add(10);
    for stream in 1..4 {
        talk.query(stream, "later");
    }
    assert_eq!(talk.run(), Turn::Blocked);
    assert_eq!(talk.apart.len(), 1, "one may always go on");
    talk.handler.finish_later(0);
    talk.run_apart();
    assert_eq!(talk.run(), Turn::Blocked);
    assert_eq!(talk.receive(), [(1, VOID)]);
    metrics.apart.add(-10);
    talk.run();
    assert_eq!(talk.apart.len(), 2);

    let mut talk = open(ProtocolVersion::V4, true, limits);
    talk.connection.services.metrics.apart.add(10);
    talk.query(1, "later");
    talk.query(2, "void");
    talk.send(3, &Request::Options);
    talk.run();
    let answers = talk.receive();
    assert_overloaded(&answers[0].1);
    assert_eq!((answers[0].0, answers[1].0), (2, 3), "only statements are refused");
    talk.handler.finish_later(0);
    talk.run_apart();
    assert_eq!(talk.receive(), [(1, VOID)]);
    assert_eq!(talk.ask("void"), VOID);
}

#[test]
fn while_workers_have_a_backlog_a_connection_has_one_request_at_a_time() {
    let mut talk = open(ProtocolVersion::V4, false, Limits::default());
    talk.handler.is_backlogged.store(true, Ordering::SeqCst);
    for (stream, text) in [(1, "void"), (2, "later"), (3, "later"), (4, "void")] {
        talk.query(stream, text);
    }
    assert_eq!(talk.run(), Turn::Blocked);
    assert_eq!((talk.receive(), talk.apart.len()), (vec![(1, VOID)], 1));
    talk.handler.finish_later(0);
    talk.run_apart();
    talk.run();
    assert_eq!((talk.receive(), talk.apart.len()), (vec![(2, VOID)], 1));
    talk.handler.is_backlogged.store(false, Ordering::SeqCst);
    talk.run();
    assert_eq!(talk.receive(), [(4, VOID)]);
}

#[test]
fn answers_executed_apart_are_bounded_and_long_ones_make_the_connection_careful() {
    let limits = Limits { bytes_in_flight_max: 4096 * KIB, ..tight() };
    let mut talk = open(ProtocolVersion::V4, false, limits);
    for stream in 0..10 {
        talk.query(stream, "later 100000");
    }
    talk.run();
    assert_eq!(talk.apart.len(), 10, "nothing is known of their answers");
    (0..10).for_each(|_| talk.handler.finish_later(0));
    talk.run_apart();
    let answers = talk.receive();
    let refused = answers.iter().filter(|(_, a)| matches!(a, Response::Error(_))).count();
    assert_eq!(refused, 0, "each was taken by the connection before the next came");
    for stream in 0..10 {
        talk.query(stream, "later 100000");
    }
    assert_eq!(talk.run(), Turn::Blocked);
    assert_eq!(talk.apart.len(), 6, "512 KiB of answers of 100,000 bytes, and one");
    // All of them finished and none taken: what exceeds the connection's figure is refused.
    let requests: Vec<_> = talk.apart.drain(..).collect();
    (0..6).for_each(|_| talk.handler.finish_later(0));
    let mut context = std::task::Context::from_waker(Waker::noop());
    let done: Vec<_> = requests
        .into_iter()
        .map(|mut request| match std::pin::Pin::new(&mut request).poll(&mut context) {
            std::task::Poll::Ready(completed) => completed,
            std::task::Poll::Pending => panic!("it is finished"),
        })
        .collect();
    talk.connection.rest();
    let taken = talk.connection.services.memory.taken();
    assert!((400_000..=512 * KIB).contains(&taken), "{taken}");
    done.into_iter().for_each(|completed| talk.connection.complete(completed));
    let answers = talk.receive();
    assert_eq!(answers.len(), 6);
    assert_overloaded(&answers[5].1);
}

#[test]
fn a_long_statement_is_refused_and_long_values_are_not() {
    let limits = Limits { statement_bytes_max: 1000, ..Limits::default() };
    let mut talk = open(ProtocolVersion::V4, false, limits);
    let long = format!("void{}", " ".repeat(1000));
    assert!(
        message(&talk.ask(&long)).contains("1004 bytes, and limits.statement_bytes allows 1000")
    );
    talk.send(1, &Request::Prepare(Prepare { text: &long, keyspace: None }));
    let mut batch = BatchBuilder::new();
    for text in ["void", &long] {
        let source = StatementSource::Text(text);
        batch.push(&BatchStatement { source, values: Values::EMPTY }).unwrap();
    }
    let statements = batch.statements(ProtocolVersion::V4);
    let options = QueryOptions::default();
    talk.send(2, &Request::Batch(Batch { kind: BatchKind::Logged, statements, options }));
    let mut values = ValuesBuilder::positional();
    values.push(BoundValue::Bytes(long.as_bytes())).unwrap();
    let options = QueryOptions { values: values.values(), ..QueryOptions::default() };
    talk.send(3, &Request::Query(Query { text: "void", options }));
    talk.run();
    let answers = talk.receive();
    assert!(message(&answers[0].1).contains("Statement is too long"));
    assert!(message(&answers[1].1).contains("Statement is too long"));
    assert_eq!(answers[2], (3, VOID));
}

#[test]
fn an_idle_connection_keeps_no_buffers() {
    for (version, lz4) in all_kinds() {
        let mut talk = Talk::open(version, lz4);
        for stream in 0..20 {
            talk.query(stream, &format!("rows 3000 {}", " ".repeat(5000)));
            talk.query(stream, "hold 1");
        }
        talk.run();
        talk.handler.advance(1);
        talk.run();
        assert_eq!(talk.receive().len(), 40);
        assert!(talk.connection.has_buffers());
        talk.connection.rest();
        assert!(!talk.connection.has_buffers());
        assert_eq!(talk.connection.services.memory.taken(), 0);
        assert_eq!(talk.ask("void"), VOID);
    }
}
