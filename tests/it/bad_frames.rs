//! Bytes that no driver would send: what is answered, that the connection goes on or ends as it
//! should, that somebody else on the node notices nothing, and that memory stays bounded.

use std::time::{Duration, Instant};

use cql_lite::wire::segment::SegmentMode;
use cql_lite::wire::{
    BatchBuilder, BatchKind, BatchStatement, BoundValue, Consistency, ErrorKind, Opcode,
    ProtocolVersion, QueryOptions, Request, Response, StatementSource, Values, ValuesBuilder,
};
use helenus_platform::random::{Random, SeededRandom};

use crate::process::{Node, TempDir};
use crate::raw_client::{Heard, Neighbour, RawClient, frame, frame_claiming, segment, segments};

/// What a node under attack may hold, in a build without optimisation.
const MEMORY_MAX: u64 = 160 << 20;
const COMPRESSED: u8 = 0x01;
const CUSTOM_PAYLOAD: u8 = 0x04;
const OPTIONS: u8 = Opcode::Options as u8;
const QUERY: u8 = Opcode::Query as u8;
const STARTUP: u8 = Opcode::Startup as u8;

/// Every way of speaking.
const KINDS: [(ProtocolVersion, bool); 6] = [
    (ProtocolVersion::V3, false),
    (ProtocolVersion::V3, true),
    (ProtocolVersion::V4, false),
    (ProtocolVersion::V4, true),
    (ProtocolVersion::V5, false),
    (ProtocolVersion::V5, true),
];
const MODES: [(SegmentMode, bool); 2] = [(SegmentMode::Plain, false), (SegmentMode::Lz4, true)];

/// A node with somebody on it who must not be disturbed.
struct Besieged {
    node: Node,
    neighbour: Neighbour,
    _dir: TempDir,
}

impl Besieged {
    fn start(settings: &[&str]) -> Self {
        let dir = TempDir::new();
        let node = Node::start(dir.path(), settings);
        let neighbour = Neighbour::start(&node);
        Besieged { node, neighbour, _dir: dir }
    }

    /// The siege is over: the neighbour was served, memory was bounded, the node stops cleanly.
    fn lift(self) {
        let rounds = self.neighbour.finish();
        assert!(rounds >= 10, "{rounds}");
        if let Some(peak) = self.node.peak_memory() {
            assert!(peak < MEMORY_MAX, "{} MiB", peak >> 20);
        }
        assert_eq!(self.node.stop().code(), Some(0));
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend(text.as_bytes());
    out
}

fn long_string(text: &[u8]) -> Vec<u8> {
    let mut out = (text.len() as u32).to_be_bytes().to_vec();
    out.extend(text);
    out
}

/// The body of a good QUERY.
fn query_body(version: ProtocolVersion, text: &str) -> Vec<u8> {
    let mut body = long_string(text.as_bytes());
    body.extend(Consistency::One.code().to_be_bytes());
    body.extend(vec![0; if version.has_segments() { 4 } else { 1 }]);
    body
}

#[test]
fn a_bad_message_costs_an_error_and_the_connection_goes_on() {
    let besieged = Besieged::start(&[]);
    for (version, lz4) in KINDS {
        let number = version.number();
        let mut client = RawClient::open(&besieged.node, version, lz4);
        let mut expect = |flags, opcode, body: &[u8], expected: &str| {
            client.send_frame(&frame(number, flags, 3, opcode, body));
            let error = client.hear_error();
            assert_eq!(error.kind, ErrorKind::Protocol, "{version} {expected}: {error:?}");
            assert!(error.message.contains(expected), "{version} {expected}: {error:?}");
            client.assert_alive();
        };
        for opcode in [0x04, 0x11, 0x7F, 0xFF] {
            expect(0, opcode, b"x", &format!("Unknown opcode {opcode}"));
        }
        for opcode in [0x00, 0x02, 0x03, 0x06, 0x08, 0x0C, 0x0E, 0x10] {
            expect(0, opcode, b"", "Wrong protocol direction");
        }
        expect(0, STARTUP, b"\0\0", "Unexpected message STARTUP");
        expect(0, Opcode::AuthResponse as u8, b"", "Unexpected message AUTH_RESPONSE");
        expect(0, QUERY, b"\x7f\xff\xff\xffabc", "ends early");
        expect(0, QUERY, b"\xff\xff\xff\xffabc", "negative length -1 of a string");
        expect(0, QUERY, &long_string(b"\xc3\x28 is no UTF-8"), "UTF-8");
        expect(0, Opcode::Register as u8, b"\0\x01\0\x01x", "Invalid value 'x' for Type");
        expect(0, Opcode::Register as u8, b"\xff\xff", "ends early");
        expect(0, Opcode::Batch as u8, b"\x05\0\0\0\x01\0", "Invalid BATCH message type 5");
        expect(0, Opcode::Batch as u8, b"\0\xff\xff", "ends early");
        expect(0, Opcode::Batch as u8, b"\0\0\x01\x07", "Invalid query kind in BATCH messages");
        let mut body = query_body(version, "SELECT key FROM system.local");
        let consistency = body.len() - if version.has_segments() { 6 } else { 3 };
        body[consistency + 1] = 0x63;
        expect(0, QUERY, &body, "Unknown code 99 for a consistency level");
        // A count of values without the values.
        body[consistency + 1] = 1;
        *body.last_mut().unwrap() = 1;
        body.extend([0xff, 0xff]);
        expect(0, QUERY, &body, "ends early");
        if version >= ProtocolVersion::V4 {
            expect(CUSTOM_PAYLOAD, QUERY, b"\xff\xff", "ends early");
            body.extend([0x7f, 0xff, 0xff, 0xff]);
            expect(0, QUERY, &body, "ends early");
        } else {
            expect(CUSTOM_PAYLOAD, QUERY, b"", "CUSTOM_PAYLOAD");
        }
        if client_sends_bare_bodies(version, lz4) {
            expect(COMPRESSED, QUERY, b"abc", "without compression");
        }
    }
    besieged.lift();
}

fn client_sends_bare_bodies(version: ProtocolVersion, lz4: bool) -> bool {
    !lz4 && !version.has_segments()
}

/// One request of every kind, with every field it may have.
fn full_requests(version: ProtocolVersion, mut each: impl FnMut(&Request<'_>)) {
    let v5 = version.has_segments();
    let mut values = ValuesBuilder::positional();
    values.push(BoundValue::Bytes(b"local")).unwrap();
    let mut named = ValuesBuilder::named();
    named.push_named("k", BoundValue::Bytes(b"local")).unwrap();
    let options = QueryOptions {
        values: values.values(),
        page_size: Some(10),
        paging_state: Some(b"state"),
        serial_consistency: Some(Consistency::Serial),
        timestamp: Some(1),
        keyspace: v5.then_some("system"),
        now_in_seconds: v5.then_some(1),
        ..QueryOptions::default()
    };
    let text = "SELECT key FROM system.local WHERE key = ?";
    each(&Request::Query(cql_lite::wire::Query { text, options }));
    let options_of_batch =
        QueryOptions { values: Values::EMPTY, page_size: None, paging_state: None, ..options };
    let named = QueryOptions { values: named.values(), ..options };
    each(&Request::Query(cql_lite::wire::Query { text, options: named }));
    let keyspace = v5.then_some("system");
    each(&Request::Prepare(cql_lite::wire::Prepare { text, keyspace }));
    let result_metadata_id = v5.then_some(&b"id"[..]);
    each(&Request::Execute(cql_lite::wire::Execute { id: b"id", result_metadata_id, options }));
    let mut batch = BatchBuilder::new();
    let source = StatementSource::Text(text);
    batch.push(&BatchStatement { source, values: values.values() }).unwrap();
    let source = StatementSource::Prepared(b"id");
    batch.push(&BatchStatement { source, values: values.values() }).unwrap();
    let statements = batch.statements(version);
    let kind = BatchKind::Logged;
    each(&Request::Batch(cql_lite::wire::Batch { kind, statements, options: options_of_batch }));
    each(&Request::Register(vec![cql_lite::wire::EventKind::SchemaChange]));
}

#[test]
fn a_body_cut_at_any_byte_is_refused() {
    let besieged = Besieged::start(&[]);
    for (version, lz4) in KINDS {
        let mut client = RawClient::open(&besieged.node, version, lz4);
        full_requests(version, |request| {
            let mut body = Vec::new();
            request.encode_body(version, &mut body);
            let opcode = request.opcode();
            for end in 0..body.len() {
                let frame = frame(version.number(), 0, 9, opcode as u8, &body[..end]);
                client.send_frame(&frame);
            }
            for end in 0..body.len() {
                let error = client.hear_error();
                let case = format!("{version} {opcode} cut at {end} of {}", body.len());
                assert_eq!(error.kind, ErrorKind::Protocol, "{case}: {error:?}");
                assert!(error.message.contains("ends early"), "{case}: {error:?}");
            }
        });
        client.assert_alive();
    }
    besieged.lift();
}

/// An LZ4 block that says one byte and then repeats it about `bytes` times.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut block = vec![0x1f, b' ', 1, 0];
    block.extend(vec![255; bytes / 255]);
    block.extend([0, 0x50]);
    block.extend(b"     ");
    block
}

/// What [`bomb`] becomes.
fn bomb_bytes(bytes: usize) -> usize {
    1 + 4 + 15 + bytes / 255 * 255 + 5
}

#[test]
fn compressed_bodies_that_lie_or_explode_are_refused() {
    let besieged = Besieged::start(&[]);
    for version in [ProtocolVersion::V3, ProtocolVersion::V4] {
        let mut client = RawClient::open(&besieged.node, version, true);
        assert!(client.compresses_bodies());
        let number = version.number();
        let mut send = |claimed: u32, block: &[u8]| {
            let mut body = claimed.to_be_bytes().to_vec();
            body.extend(block);
            client.send_frame(&frame(number, COMPRESSED, 3, QUERY, &body));
            let error = client.hear_error();
            assert_eq!(error.kind, ErrorKind::Protocol, "{error:?}");
            client.assert_alive();
            error.message
        };
        for claimed in [256 << 20, 1 << 30, i32::MAX as u32, 1 << 31, u32::MAX] {
            assert!(send(claimed, &bomb(1 << 20)).contains("claims to hold"));
            assert!(send(claimed, b"").contains("claims to hold"));
        }
        // A bomb that tells the truth, over the largest frame: 70 KiB that become 17 MiB.
        let large = 17 << 20;
        assert!(send(bomb_bytes(large) as u32, &bomb(large)).contains("claims to hold"));
        // Bombs that claim little: nothing is written past the claim.
        for claimed in [1, 100, 1 << 20] {
            assert!(send(claimed, &bomb(8 << 20)).contains("cannot be decompressed"));
        }
        for block in [&b"\xff"[..], b"\x10", b"\x1fx\xff\xff", b"\x00\x00\x00"] {
            send(100, block);
        }
        assert!(send(0, b"").contains("ends early"));
        // One that goes off within bounds is text like any other, and no CQL.
        for _ in 0..20 {
            let bytes = 15 << 20;
            let mut body = (bomb_bytes(bytes) as u32).to_be_bytes().to_vec();
            body.extend(bomb(bytes));
            client.send_frame(&frame(number, COMPRESSED, 3, QUERY, &body));
            assert_eq!(client.hear_error().kind, ErrorKind::Protocol);
        }
        client.assert_alive();
    }
    besieged.lift();
}

#[test]
fn a_bad_segment_ends_the_connection_with_its_reason() {
    let besieged = Besieged::start(&[]);
    for (mode, lz4) in MODES {
        let open = || RawClient::open(&besieged.node, ProtocolVersion::V5, lz4);
        let refused = |bytes: &[u8], expected: &str| {
            let mut client = open();
            client.send_raw(bytes);
            let error = client.hear_error();
            assert_eq!(error.kind, ErrorKind::Protocol);
            assert!(error.message.contains(expected), "{expected}: {error:?}");
            assert_eq!(client.hear(), Heard::Closed);
        };
        let good =
            frame(5, 0, 3, QUERY, &query_body(ProtocolVersion::V5, "SELECT * FROM nowhere.t"));
        let whole = segment(&good, good.len(), 0, true, mode);
        let header_bytes = if lz4 { 8 } else { 6 };
        for bit in 0..header_bytes * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            refused(&damaged, "the checksum of a segment's header is wrong");
        }
        for at in [header_bytes, whole.len() - 5, whole.len() - 4, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            refused(&damaged, "the checksum of a segment's payload is wrong");
        }
        let crosses = "an envelope crosses the border of its segment";
        let half = &good[..good.len() / 2];
        let mut two = segment(half, half.len(), 0, true, mode);
        two.extend(&whole);
        refused(&two, crosses);
        let mut part_then_whole = segment(half, half.len(), 0, false, mode);
        part_then_whole.extend(&whole);
        refused(&part_then_whole, crosses);
        if lz4 {
            let block = bomb(1 << 20);
            for claimed in [1, 1000, (1 << 17) - 1] {
                let lying = segment(&block, block.len(), claimed, true, mode);
                refused(&lying, "a segment's payload cannot be decompressed");
            }
        }
        // Everything before the damage has been answered.
        let mut client = open();
        let mut bytes = whole.clone();
        bytes.extend(&whole);
        *bytes.last_mut().unwrap() ^= 1;
        client.send_raw(&bytes);
        assert_eq!(client.hear_error().kind, ErrorKind::Invalid);
        assert!(client.hear_error().message.contains("checksum"));
        assert_eq!(client.hear(), Heard::Closed);
    }
    besieged.lift();
}

#[test]
fn a_frame_over_the_maximum_is_passed_over() {
    let besieged = Besieged::start(&[]);
    for (version, lz4) in KINDS {
        let mut client = RawClient::open(&besieged.node, version, lz4);
        let body = vec![b' '; (16 << 20) + 1];
        let frame = frame(version.number(), 0, 3, QUERY, &body);
        client.send_frame(&frame);
        let error = client.hear_error();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert_eq!(
            error.message,
            "Request is too big: length 16777217 exceeds maximum allowed length 16777216."
        );
        client.assert_alive();
    }
    besieged.lift();
}

#[test]
fn the_first_frame_may_not_be_long() {
    let besieged = Besieged::start(&[]);
    for (version, lz4) in KINDS {
        let number = version.number();
        let too_long = "Request is too big: length 100001 exceeds maximum allowed length 100000.";
        // Its header alone, or all of it: the reason arrives either way.
        for sent in [0, 100_001] {
            let mut client = RawClient::connect(&besieged.node, version, lz4);
            client.send_raw(&frame_claiming(number, 0, 3, STARTUP, 100_001, &vec![0; sent]));
            assert_eq!(client.hear_error().message, too_long);
            assert_eq!(client.hear(), Heard::Closed);
        }
        let mut client = RawClient::connect(&besieged.node, version, lz4);
        client.send_raw(&frame_claiming(number, 0, 3, STARTUP, u32::MAX, b""));
        assert!(client.hear_error().message.contains("length 4294967295"));
        assert_eq!(client.hear(), Heard::Closed);
    }
    besieged.lift();
}

#[test]
fn what_comes_instead_of_startup_is_refused() {
    let besieged = Besieged::start(&[]);
    for version in [0_u8, 1, 2, 6, 0x42, 0x7f] {
        let mut client = RawClient::connect(&besieged.node, ProtocolVersion::V5, false);
        client.send_raw(&frame(version, 0, 9, OPTIONS, b""));
        if matches!(version, 1 | 2) {
            // Answered in that version's own short frame, which this client does not read.
            assert_eq!(client.hear(), Heard::Closed);
            continue;
        }
        let error = client.hear_error();
        let expected = format!(
            "Invalid or unsupported protocol version ({version}); supported versions are \
             (3/v3, 4/v4, 5/v5)"
        );
        assert_eq!((error.kind, error.message), (ErrorKind::Protocol, expected));
        assert_eq!(client.hear(), Heard::Closed);
    }
    for (version, lz4) in KINDS {
        let number = version.number();
        let mut client = RawClient::connect(&besieged.node, version, lz4);
        for (opcode, body) in
            [(QUERY, query_body(version, "SELECT 1")), (Opcode::Register as u8, b"\0\0".to_vec())]
        {
            client.send_raw(&frame(number, 0, 1, opcode, &body));
            let message = client.hear_error().message;
            assert!(message.contains("expecting STARTUP or OPTIONS"), "{message}");
        }
        let mut startup = |options: &[(&str, &str)]| {
            let mut body = (options.len() as u16).to_be_bytes().to_vec();
            for (key, value) in options {
                body.extend(string(key));
                body.extend(string(value));
            }
            client.send_raw(&frame(number, 0, 1, STARTUP, &body));
            client.hear_error().message
        };
        assert_eq!(startup(&[]), "Missing value CQL_VERSION in STARTUP message");
        assert_eq!(startup(&[("CQL_VERSION", "x")]), "Invalid version value: x");
        assert_eq!(
            startup(&[("CQL_VERSION", "3.0.0"), ("COMPRESSION", "zip")]),
            "Unknown compression algorithm: zip"
        );
        client.send_raw(&frame(number, 0, 1, STARTUP, b"\xff\xff"));
        assert!(client.hear_error().message.contains("ends early"));
        client.send_raw(&frame(number, 0, 1, OPTIONS, b""));
        assert!(matches!(client.hear(), Heard::Answer(1, Response::Supported(_))));
    }
    besieged.lift();
}

#[test]
fn a_startup_that_never_comes_ends_the_connection() {
    let besieged = Besieged::start(&["limits.startup_timeout=300ms"]);
    let began = Instant::now();
    let starts: [&[u8]; 4] = [b"", b"\x04", b"\x04\0\0\0\x01\0\0\0\x10\0\x01", b"\x05\0\0\0"];
    let mut clients: Vec<RawClient> = starts
        .iter()
        .map(|bytes| {
            let mut client = RawClient::connect(&besieged.node, ProtocolVersion::V4, false);
            client.send_raw(bytes);
            client
        })
        .collect();
    // OPTIONS do not count as one.
    let mut polite = RawClient::connect(&besieged.node, ProtocolVersion::V4, false);
    polite.send_raw(&frame(4, 0, 1, OPTIONS, b""));
    assert!(matches!(polite.hear(), Heard::Answer(1, Response::Supported(_))));
    clients.push(polite);
    for client in &mut clients {
        assert_eq!(client.hear(), Heard::Closed);
    }
    assert!(began.elapsed() >= Duration::from_millis(300));
    // Who is set up may be silent for as long as they like: the neighbour's connection is older.
    besieged.lift();
}

#[test]
fn half_sent_frames_wait_without_harm() {
    let besieged = Besieged::start(&[]);
    let mut stalled = Vec::new();
    for (index, (version, lz4)) in KINDS.into_iter().cycle().take(60).enumerate() {
        let mut client = RawClient::open(&besieged.node, version, lz4);
        let padding = " ".repeat(if index < 12 { 1 << 20 } else { 100 });
        let text = format!("SELECT key FROM system.local{padding}");
        let frame = frame(version.number(), 0, 7, QUERY, &query_body(version, &text));
        let bytes = match client.segments() {
            Some(mode) => segments(&frame, mode),
            None => frame,
        };
        let half = bytes.len() * (index + 1) / 61;
        client.send_raw(&bytes[..half]);
        stalled.push((client, bytes[half..].to_vec()));
    }
    // Headers that promise the largest frame there is, and nothing after them.
    let mut promising = Vec::new();
    for _ in 0..200 {
        let mut client = RawClient::open(&besieged.node, ProtocolVersion::V4, false);
        client.send_raw(&frame_claiming(4, 0, 3, QUERY, 16 << 20, b"SELECT"));
        promising.push(client);
    }
    RawClient::open(&besieged.node, ProtocolVersion::V4, false).assert_alive();
    for (client, rest) in &mut stalled {
        client.send_raw(rest);
        match client.hear() {
            Heard::Answer(7, Response::Result(_)) => client.assert_alive(),
            other => panic!("{other:?}"),
        }
    }
    drop(promising);
    besieged.lift();
}

#[test]
fn random_bytes_get_errors_or_a_closed_connection() {
    let besieged = Besieged::start(&["limits.startup_timeout=2s"]);
    let random = SeededRandom::new(11);
    for round in 0..600_u64 {
        let (version, lz4) = KINDS[random.below(KINDS.len() as u64) as usize];
        let mut client = match round % 4 {
            0 => RawClient::connect(&besieged.node, version, lz4),
            _ => RawClient::open(&besieged.node, version, lz4),
        };
        let mut bytes = vec![0; random.below(2000) as usize];
        random.fill(&mut bytes);
        match round % 4 {
            0 | 1 => client.send_raw(&bytes),
            // A good header, random bytes behind it.
            2 => {
                let opcodes = [0x01, 0x05, 0x07, 0x09, 0x0A, 0x0B, 0x0D, 0x0F];
                let opcode = opcodes[random.below(8) as usize];
                let flags = if random.below(4) == 0 { random.next_u64() as u8 } else { 0 };
                client.send_frame(&frame(version.number(), flags, 5, opcode, &bytes));
            }
            // A good frame with a few bytes damaged.
            _ => {
                let mut good = Vec::new();
                let wanted = random.below(6);
                let mut index = 0;
                full_requests(version, |request| {
                    if index == wanted {
                        let mut body = Vec::new();
                        request.encode_body(version, &mut body);
                        good = frame(version.number(), 0, 5, request.opcode() as u8, &body);
                    }
                    index += 1;
                });
                for _ in 0..1 + random.below(4) {
                    let at = random.below(good.len() as u64) as usize;
                    good[at] = random.next_u64() as u8;
                }
                client.send_frame(&good);
            }
        }
        client.end();
        // Whatever comes is a well-formed answer; then the connection ends.
        while let Heard::Answer(..) = client.hear() {}
    }
    besieged.lift();
}
