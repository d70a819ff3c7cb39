//! Versions that nobody speaks, messages out of place, and bytes that are no messages.

use bytes::BufMut;
use cql_lite::wire::frame::HEADER_BYTES;
use cql_lite::wire::{Opcode, decode_response};
use helenus_platform::random::{Random, SeededRandom};

use super::*;

/// What a raw first frame is answered with: header, then the error's message.
fn first_answer(bytes: &[u8]) -> (Vec<u8>, Connection) {
    let mut talk = Talk::with_limits(ProtocolVersion::V4, false, Limits::default());
    talk.connection.input().extend_from_slice(bytes);
    talk.run();
    let output = talk.connection.output().to_vec();
    talk.connection.sent(output.len());
    (output, talk.connection)
}

fn error_of(output: &[u8]) -> (FrameHeader, ErrorBody) {
    let header = FrameHeader::parse(output).unwrap();
    assert_eq!(header.frame_bytes(), output.len());
    let version = ProtocolVersion::from_number(header.version).unwrap();
    let body = decode_response(version, header.flags, Opcode::Error, &output[HEADER_BYTES..]);
    match body.unwrap().response {
        Response::Error(error) => (header, error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_versions_are_refused_in_a_frame_that_can_be_read() {
    for version in [6_u8, 0x41, 0x42, 66, 0x7f] {
        let (output, connection) = first_answer(&[version, 0, 0, 9, 5, 0, 0, 0, 0]);
        let (header, error) = error_of(&output);
        assert_eq!((header.version, header.stream), (5, 9));
        assert_eq!(
            error,
            ErrorBody::protocol(format!(
                "Invalid or unsupported protocol version ({version}); \
                 supported versions are (3/v3, 4/v4, 5/v5)"
            ))
        );
        assert!(connection.is_done());
    }
    for version in [1_u8, 2] {
        let (output, connection) = first_answer(&[version, 0, 9, 1, 0, 0, 0, 0]);
        assert_eq!(output[..4], [0x80 | version, 0, 9, 0]);
        let length = u32::from_be_bytes(output[4..8].try_into().unwrap());
        assert_eq!(output.len(), 8 + length as usize);
        assert!(connection.is_done());
    }
}

#[test]
fn options_are_answered_before_startup_in_the_version_of_each_request() {
    for version in ProtocolVersion::ALL {
        let (output, connection) = first_answer(&[version.number(), 0, 0, 1, 5, 0, 0, 0, 0]);
        let header = FrameHeader::parse(&output).unwrap();
        assert_eq!((header.version, header.opcode), (version.number(), 6));
        let text = String::from_utf8_lossy(&output).into_owned();
        for word in ["CQL_VERSION", "3.4.7", "COMPRESSION", "snappy", "lz4", "5/v5"] {
            assert!(text.contains(word), "{word}");
        }
        assert!(!connection.is_done());
    }
}

#[test]
fn messages_out_of_place_are_refused_in_cassandras_words() {
    let mut talk = Talk::with_limits(ProtocolVersion::V5, false, Limits::default());
    let answer = talk.ask("void");
    assert_eq!(message(&answer), "Unexpected message QUERY, expecting STARTUP or OPTIONS");
    let mut refused = |options: Vec<(&'static str, &'static str)>| {
        talk.send(7, &Request::Startup(options));
        talk.run();
        message(&talk.receive()[0].1).to_owned()
    };
    assert_eq!(refused(vec![]), "Missing value CQL_VERSION in STARTUP message");
    assert!(refused(vec![("CQL_VERSION", "2.0.0")]).starts_with("CQL version 2.0.0 is not"));
    assert_eq!(
        refused(vec![("CQL_VERSION", "3.0.0"), ("COMPRESSION", "zip")]),
        "Unknown compression algorithm: zip"
    );
    assert_eq!(
        refused(vec![("CQL_VERSION", "3.0.0"), ("COMPRESSION", "snappy")]),
        "Snappy compression is not supported in protocol V5"
    );
    // Keys may be written in any case, and unknown ones are no reason to refuse.
    talk.send(7, &Request::Startup(vec![("cql_version", "3.4.5"), ("DRIVER_NAME", "x")]));
    talk.run();
    assert_eq!(talk.receive(), [(7, Response::Ready)]);
    talk.send(7, &Request::Startup(vec![("CQL_VERSION", "3.0.0")]));
    talk.send(8, &Request::AuthResponse(None));
    talk.run();
    let answers = talk.receive();
    assert_eq!(
        message(&answers[0].1),
        "Unexpected message STARTUP, the connection is already initialized"
    );
    assert_eq!(answers.len(), 2);
    assert_eq!(talk.ask("void"), VOID);
}

fn raw_frame(version: u8, flags: u8, opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![version, flags, 0, 3, opcode];
    frame.put_u32(body.len() as u32);
    frame.extend(body);
    frame
}

#[test]
fn a_bad_message_costs_an_error_and_the_connection_goes_on() {
    let bad: &[(&[u8], &str)] = &[
        (&raw_frame(4, 0, 4, b"x"), "Unknown opcode 4"),
        (&raw_frame(4, 0, 8, b""), "Wrong protocol direction"),
        (&raw_frame(0x84, 0, 7, b"x"), "Wrong protocol direction"),
        (&raw_frame(4, 0, 7, b"\x7f\xff\xff\xffabc"), "the message ends early"),
        (&raw_frame(4, 0, 7, b"\xff\xff\xff\xffabc"), "negative length -1 of a string"),
        (&raw_frame(4, 1, 7, b"abc"), "a compressed frame on a connection without"),
        (&raw_frame(4, 4, 7, b"\xff\xff"), "the message ends early"),
        (&raw_frame(4, 0, 0x0B, b"\x00\x01\x00\x01x"), "Invalid value 'x' for Type"),
        (&raw_frame(4, 0, 0x0D, b"\x05\x00\x00\x00\x01\x00"), "Invalid BATCH message type 5"),
    ];
    let mut talk = Talk::open(ProtocolVersion::V4, false);
    for (frame, expected) in bad {
        talk.connection.input().extend_from_slice(frame);
        talk.run();
        let answers = talk.receive();
        assert_eq!(answers[0].0, 3);
        assert!(message(&answers[0].1).starts_with(expected), "{answers:?}");
        assert_eq!(talk.ask("void"), VOID);
    }
}

#[test]
fn another_version_on_the_same_connection_ends_it() {
    let mut talk = Talk::open(ProtocolVersion::V4, false);
    talk.connection.input().extend_from_slice(&raw_frame(3, 0, 5, b""));
    talk.run();
    assert_eq!(
        message(&talk.receive()[0].1),
        "Invalid message version. Got 3/v3 but previous messages on this connection had version \
         4/v4"
    );
    assert!(talk.connection.is_done());
}

#[test]
fn a_body_that_is_too_long_is_passed_over() {
    for (version, lz4) in all_kinds() {
        let limits = Limits { frame_bytes_max: 200_000, ..Limits::default() };
        let mut talk = Talk::open_with(version, lz4, limits);
        // Random enough not to become short by compression.
        let random = SeededRandom::new(1);
        let text: String =
            (0..500_000).map(|_| char::from(b' ' + (random.next_u64() % 90) as u8)).collect();
        talk.query(5, &text);
        talk.query(6, "void");
        let bytes = talk.connection.input().split();
        let mut answers = Vec::new();
        for part in bytes.chunks(70_000) {
            talk.connection.input().extend_from_slice(part);
            assert!(matches!(talk.run(), Turn::NeedInput(_)));
            answers.extend(talk.receive());
        }
        assert!(message(&answers[0].1).starts_with("Request is too big: length "), "{version}");
        assert_eq!((answers[0].0, &answers[1]), (5, &(6, VOID)));
    }
}

#[test]
fn the_first_frame_must_be_short() {
    let mut frame = vec![4, 0, 0, 1, 1];
    frame.put_u32(100_001);
    let (output, connection) = first_answer(&frame);
    let (_, error) = error_of(&output);
    assert_eq!(
        error.message,
        "Request is too big: length 100001 exceeds maximum allowed length 100000."
    );
    assert!(connection.is_done());
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let mut talk = Talk::open(ProtocolVersion::V4, true);
    let mut body = Vec::new();
    body.put_u32(1 << 30);
    body.extend(lz4_bytes());
    talk.connection.input().extend_from_slice(&raw_frame(4, 1, 7, &body));
    talk.run();
    assert!(message(&talk.receive()[0].1).contains("claims to hold 1073741824 bytes"));
    assert!(talk.connection.scratch.capacity() < 1 << 20);
    assert_eq!(talk.ask("void"), VOID);
}

/// An LZ4 block that would go on for long: a match of length 255 · n.
fn lz4_bytes() -> Vec<u8> {
    let mut block = vec![0x1f, b'x', 1, 0];
    block.extend([255; 10_000]);
    block
}

#[test]
fn a_damaged_segment_ends_the_connection() {
    for lz4 in [false, true] {
        let mut talk = Talk::open(ProtocolVersion::V5, lz4);
        talk.query(1, "void");
        talk.query(2, "void");
        let bytes = talk.connection.input();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(talk.run(), Turn::Closing);
        let answers = talk.receive();
        assert_eq!(answers[0], (1, VOID));
        assert!(message(&answers[1].1).contains("checksum"));
        assert!(talk.connection.is_done());
    }
}

#[test]
fn random_bytes_never_panic_and_never_grow_a_buffer() {
    let random = SeededRandom::new(7);
    for round in 0..3000_u64 {
        let version = ProtocolVersion::ALL[random.below(3) as usize];
        let limits = Limits { frame_bytes_max: 1 << 16, ..Limits::default() };
        let mut talk = Talk::open_with(version, round % 2 == 0, limits);
        let mut bytes = vec![0; random.below(300) as usize];
        random.fill(&mut bytes);
        if round % 3 == 0 {
            // A good frame with a few bytes damaged.
            talk.query(1, "rows 100");
            let good = talk.connection.input().split();
            bytes = good.to_vec();
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.next_u64() as u8;
            }
        } else if let Some(first) = bytes.first_mut()
            && round % 3 == 1
        {
            *first = version.number();
        }
        talk.connection.input().extend_from_slice(&bytes);
        let turn = talk.run();
        assert!(matches!(turn, Turn::NeedInput(_) | Turn::Closing), "{turn:?}");
        assert!(talk.connection.output.waiting_bytes() < 10_000);
    }
}
