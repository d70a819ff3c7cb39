//! The state machine against a fake node and a client without a socket.

mod bad_input;
mod burden;
mod talk;

use std::sync::atomic::Ordering;
use std::task::Waker;

use cql_lite::wire::{
    Batch, BatchBuilder, BatchKind, ClientCodec, Compression, Execute, Prepare, Query,
    QueryOptions, Request, ResultBody, SchemaChange, SchemaChangeKind, StatusChangeKind,
};

use super::*;
use crate::server::fake::{VOID, message};
use talk::Talk;

/// Every version, with and without compression.
fn all_kinds() -> impl Iterator<Item = (ProtocolVersion, bool)> {
    ProtocolVersion::ALL.into_iter().flat_map(|version| [(version, false), (version, true)])
}

#[test]
fn every_request_is_answered_in_every_version() {
    for (version, lz4) in all_kinds() {
        let mut talk = Talk::open(version, lz4);
        assert!(talk.connection.is_set_up());
        let batch = BatchBuilder::new();
        let options = QueryOptions::default();
        talk.send(1, &Request::Query(Query { text: "void", options }));
        talk.send(2, &Request::Prepare(Prepare { text: "void", keyspace: None }));
        let id = Some(&b""[..]);
        talk.send(3, &Request::Execute(Execute { id: b"void", result_metadata_id: id, options }));
        let statements = batch.statements(version);
        let kind = BatchKind::Logged;
        talk.send(4, &Request::Batch(Batch { kind, statements, options }));
        talk.send(5, &Request::Options);
        talk.send(6, &Request::Register(vec![EventKind::SchemaChange]));
        assert!(matches!(talk.run(), Turn::NeedInput(_)));
        let answers = talk.receive();
        let streams: Vec<_> = answers.iter().map(|(stream, _)| *stream).collect();
        assert_eq!(streams, [1, 2, 3, 4, 5, 6]);
        assert!(
            matches!(&answers[1].1, Response::Result(ResultBody::Prepared(p)) if p.id == b"void")
        );
        assert!(matches!(answers[4].1, Response::Supported(_)));
        assert_eq!(answers[3].1, VOID);
        assert_eq!(answers[5].1, Response::Ready);
    }
}

#[test]
fn snappy_packs_bodies_of_old_versions() {
    for version in [ProtocolVersion::V3, ProtocolVersion::V4] {
        let mut talk = Talk::with_limits(version, false, Limits::default());
        talk.codec = ClientCodec::with_compression(version, Some(Compression::Snappy));
        talk.send(0, &Request::Startup(talk.codec.startup_options()));
        talk.run();
        assert_eq!(talk.receive(), [(0, Response::Ready)]);
        talk.query(1, "rows 100000");
        talk.query(2, &format!("void{}", " ".repeat(5000)));
        assert!(talk.connection.input().len() < 1000, "the request is not compressed");
        talk.run();
        let answers = talk.receive();
        assert_eq!(answers[1], (2, VOID));
        match &answers[0].1 {
            Response::Result(ResultBody::Rows(rows)) => {
                assert_eq!(rows.iter().next().unwrap()[0].unwrap().len(), 100_000);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn large_requests_and_answers_pass_in_every_version() {
    for (version, lz4) in all_kinds() {
        let mut talk = Talk::open(version, lz4);
        for size in [0, 600, 131_000, 140_000, 700_000] {
            let padding = " ".repeat(size);
            match talk.ask(&format!("rows {size}")) {
                Response::Result(ResultBody::Rows(rows)) => {
                    assert_eq!(rows.iter().next().unwrap()[0].unwrap().len(), size);
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(talk.ask(&format!("void {padding}")), VOID);
        }
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    for (version, lz4) in all_kinds() {
        let mut talk = Talk::open(version, lz4);
        talk.query(1, "void");
        talk.query(2, "rows 1000");
        let bytes = talk.connection.input().split();
        let mut answers = Vec::new();
        for byte in bytes {
            talk.connection.input().extend_from_slice(&[byte]);
            assert!(matches!(talk.run(), Turn::NeedInput(1..)));
            answers.extend(talk.receive());
        }
        assert_eq!(answers.len(), 2);
    }
}

#[test]
fn the_keyspace_of_use_stays_with_the_connection() {
    let mut talk = Talk::open(ProtocolVersion::V4, false);
    assert_eq!(talk.ask("use ks"), Response::Result(ResultBody::SetKeyspace("ks".to_owned())));
    assert_eq!(talk.connection.client.keyspace.as_deref(), Some("ks"));
}

#[test]
fn held_answers_leave_with_the_watermark_and_others_overtake_them() {
    for (version, lz4) in all_kinds() {
        let mut talk = Talk::open(version, lz4);
        for (stream, text) in [(1, "hold 10"), (2, "void"), (3, "hold 20"), (4, "hold 0")] {
            talk.query(stream, text);
        }
        talk.run();
        assert_eq!(talk.receive(), [(2, VOID), (4, VOID)]);
        talk.handler.advance(19);
        talk.connection.release(Waker::noop());
        assert_eq!(talk.receive(), [(1, VOID)]);
        talk.handler.advance(20);
        talk.connection.release(Waker::noop());
        assert_eq!(talk.receive(), [(3, VOID)]);
        assert!(!talk.connection.output.holds());
    }
}

#[test]
fn a_failed_log_turns_held_answers_into_errors() {
    let mut talk = Talk::open(ProtocolVersion::V5, true);
    talk.query(1, "hold 10");
    talk.query(2, "hold 20");
    talk.run();
    talk.handler.watermark.store(10, Ordering::SeqCst);
    *talk.handler.failure.lock().unwrap() = Some(ErrorBody::server("the log failed"));
    talk.handler.signal.notify_all();
    talk.connection.release(Waker::noop());
    let error = Response::Error(ErrorBody::server("the log failed"));
    assert_eq!(talk.receive(), [(1, VOID), (2, error.clone())]);
    talk.query(3, "hold 30");
    talk.run();
    assert_eq!(talk.receive(), [(3, error)]);
}

#[test]
fn requests_executed_apart_answer_out_of_order() {
    for (version, lz4) in all_kinds() {
        let mut talk = Talk::open(version, lz4);
        for (stream, text) in [(1, "later"), (2, "void"), (3, "later"), (4, "later panic")] {
            talk.query(stream, text);
        }
        talk.run();
        assert_eq!(talk.receive(), [(2, VOID)]);
        assert_eq!(talk.apart.len(), 3);
        talk.handler.finish_later(1);
        talk.run_apart();
        assert_eq!(talk.receive(), [(3, VOID)]);
        talk.handler.finish_later(1);
        talk.handler.finish_later(0);
        talk.run_apart();
        let answers = talk.receive();
        assert_eq!(answers[0], (1, VOID));
        assert_eq!(message(&answers[1].1), "internal error: told to, later");
        assert_eq!(talk.connection.pending, 0);
    }
}

#[test]
fn a_panic_answers_its_request_and_harms_no_other() {
    let mut talk = Talk::open(ProtocolVersion::V4, false);
    for (stream, text) in [(1, "void"), (2, "panic"), (3, "silent"), (4, "void")] {
        talk.query(stream, text);
    }
    talk.run();
    let answers = talk.receive();
    assert_eq!((&answers[0], &answers[3]), (&(1, VOID), &(4, VOID)));
    assert_eq!(answers[1], (2, Response::Error(ErrorBody::server("internal error: told to"))));
    assert_eq!(message(&answers[2].1), "the request was not answered");
}

#[test]
fn a_turn_ends_after_so_many_requests_or_so_much_work() {
    let mut talk = Talk::open(ProtocolVersion::V4, false);
    let max = talk.connection.limits().turn_requests_max;
    for _ in 0..max + 1 {
        talk.query(1, "void");
    }
    assert_eq!(talk.connection.turn(), Turn::Again);
    assert_eq!(talk.handler.calls.load(Ordering::SeqCst), max);
    talk.run();
    talk.receive();
    talk.query(1, "work 1000000");
    talk.query(1, "void");
    assert_eq!(talk.connection.turn(), Turn::Again);
    assert_eq!(talk.receive().len(), 1);
    assert!(matches!(talk.connection.turn(), Turn::NeedInput(_)));
}

#[test]
fn a_client_that_does_not_read_is_not_read() {
    let limits = Limits { output_bytes_max: 10_000, ..Limits::default() };
    let mut talk = Talk::open_with(ProtocolVersion::V4, false, limits);
    for stream in 0..100 {
        talk.query(stream, "rows 1000");
    }
    assert_eq!(talk.run(), Turn::Blocked);
    assert!(!talk.connection.takes_answers());
    let bytes = talk.connection.output.waiting_bytes();
    assert!((10_000..12_000).contains(&bytes), "{bytes}");
    assert_eq!(talk.receive().len(), 10);
    assert_eq!(talk.run(), Turn::Blocked);
}

#[test]
fn too_many_requests_apart_or_held_block_the_next() {
    let limits = Limits { pending_max: 2, held_bytes_max: 100, ..Limits::default() };
    let mut talk = Talk::open_with(ProtocolVersion::V4, false, limits);
    for stream in 0..3 {
        talk.query(stream, "later");
    }
    assert_eq!(talk.run(), Turn::Blocked);
    talk.handler.finish_later(0);
    talk.run_apart();
    assert_eq!(talk.run(), Turn::Blocked);
    assert_eq!(talk.connection.pending, 2);
    talk.handler.finish_later(0);
    talk.handler.finish_later(0);
    talk.run_apart();
    talk.receive();
    for stream in 0..20 {
        talk.query(stream, "hold 1");
    }
    assert_eq!(talk.run(), Turn::Blocked);
    talk.handler.advance(1);
    assert!(matches!(talk.run(), Turn::Blocked | Turn::NeedInput(_)));
    talk.run();
    assert_eq!(talk.receive().len(), 20);
}

#[test]
fn events_reach_those_who_registered_for_them_in_order() {
    for (version, lz4) in all_kinds() {
        let mut talk = Talk::open(version, lz4);
        let schema = |ks: &str| {
            Event::Schema(SchemaChange::keyspace(SchemaChangeKind::Created, ks.to_owned()))
        };
        let status = Event::Status(StatusChangeKind::Up, ([10, 0, 0, 1], 9042).into());
        talk.events.publish(schema("before"));
        talk.send(1, &Request::Register(vec![EventKind::SchemaChange]));
        talk.run();
        assert_eq!(talk.receive(), [(1, Response::Ready)]);
        talk.events.publish(schema("one"));
        talk.events.publish(status.clone());
        talk.events.publish(schema("two"));
        talk.run();
        let seen = talk.receive();
        assert_eq!(seen, ["one", "two"].map(|ks| (-1, Response::Event(schema(ks)))));
        talk.send(1, &Request::Register(vec![EventKind::StatusChange]));
        talk.run();
        talk.events.publish(status.clone());
        talk.run();
        assert_eq!(talk.receive(), [(1, Response::Ready), (-1, Response::Event(status))]);
    }
}

#[test]
fn a_drained_connection_answers_what_it_has_taken() {
    let mut talk = Talk::open(ProtocolVersion::V4, false);
    talk.query(1, "later");
    talk.query(2, "hold 1");
    talk.run();
    talk.connection.drain();
    talk.query(3, "void");
    assert_eq!(talk.run(), Turn::Closing);
    assert!(!talk.connection.is_done());
    talk.handler.finish_later(0);
    talk.run_apart();
    talk.handler.advance(1);
    talk.run();
    assert!(!talk.connection.is_done());
    assert_eq!(talk.receive(), [(1, VOID), (2, VOID)]);
    assert!(talk.connection.is_done());
}
