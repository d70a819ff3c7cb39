//! Both halves of the codec against each other, and both against malformed input.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::types::CqlType;
use crate::wire::frame::{Opcode, flags};

fn version() -> impl Strategy<Value = ProtocolVersion> {
    proptest::sample::select(ProtocolVersion::ALL.to_vec())
}

/// Encodes, decodes, and decodes every prefix, which must not panic.
fn request_comes_back(request: &Request<'_>, version: ProtocolVersion) {
    let mut body = Vec::new();
    request.encode_body(version, &mut body);
    let decoded = decode_request(version, flags::TRACING, request.opcode(), &body).unwrap();
    assert_eq!(&decoded.request, request);
    assert!(decoded.tracing);
    for cut in 0..body.len() {
        let _ = decode_request(version, 0, request.opcode(), &body[..cut]);
    }
}

fn response_comes_back(response: &Response, version: ProtocolVersion) {
    let mut body = BytesMut::new();
    response.encode_body(version, &mut body);
    let decoded = decode_response(version, 0, response.opcode(), &body).unwrap();
    assert_eq!(&decoded.response, response, "{version}");
    for cut in 0..body.len() {
        assert!(decode_response(version, 0, response.opcode(), &body[..cut]).is_err());
    }
}

#[test]
fn every_request_comes_back() {
    let mut named = ValuesBuilder::named();
    named.push_named("k", BoundValue::Bytes(b"v")).unwrap();
    named.push_named("n", BoundValue::Null).unwrap();
    let mut positional = ValuesBuilder::positional();
    positional.push(BoundValue::Bytes(b"")).unwrap();
    let mut batch = BatchBuilder::new();
    let text = StatementSource::Text("INSERT");
    batch.push(&BatchStatement { source: text, values: positional.values() }).unwrap();
    let prepared = StatementSource::Prepared(b"0123456789abcdef");
    batch.push(&BatchStatement { source: prepared, values: Values::EMPTY }).unwrap();
    for version in ProtocolVersion::ALL {
        let v5 = version == ProtocolVersion::V5;
        let full = QueryOptions {
            consistency: Consistency::LocalQuorum,
            values: named.values(),
            skip_metadata: true,
            page_size: Some(100),
            paging_state: Some(b"state"),
            serial_consistency: Some(Consistency::LocalSerial),
            timestamp: Some(-5),
            keyspace: v5.then_some("ks"),
            now_in_seconds: v5.then_some(7),
        };
        let metadata_id = v5.then_some(&b"meta"[..]);
        let requests = [
            Request::Startup(vec![("CQL_VERSION", "3.0.0"), ("COMPRESSION", "lz4")]),
            Request::Options,
            Request::Query(Query { text: "SELECT 1", options: full }),
            Request::Query(Query { text: "", options: QueryOptions::default() }),
            Request::Prepare(Prepare { text: "SELECT ?", keyspace: v5.then_some("ks") }),
            Request::Execute(Execute {
                id: b"id",
                result_metadata_id: metadata_id,
                options: QueryOptions { values: positional.values(), ..full },
            }),
            Request::Register(vec![EventKind::SchemaChange, EventKind::StatusChange]),
            Request::Batch(Batch {
                kind: BatchKind::Unlogged,
                statements: batch.statements(version),
                options: QueryOptions {
                    serial_consistency: Some(Consistency::Serial),
                    timestamp: Some(1),
                    ..QueryOptions::default()
                },
            }),
            Request::AuthResponse(Some(b"\0user\0password")),
            Request::AuthResponse(None),
        ];
        for request in &requests {
            request_comes_back(request, version);
        }
    }
}

#[test]
fn a_batch_is_read_in_place() {
    let mut values = ValuesBuilder::positional();
    values.push(BoundValue::Bytes(b"x")).unwrap();
    let statement =
        BatchStatement { source: StatementSource::Prepared(b"id"), values: values.values() };
    let mut builder = BatchBuilder::new();
    for _ in 0..3 {
        builder.push(&statement).unwrap();
    }
    let statements = builder.statements(ProtocolVersion::V4);
    assert_eq!(statements.len(), 3);
    assert!(statements.iter().all(|read| read == statement));
}

#[test]
fn unknown_and_misplaced_flags_are_refused() {
    let query = |consistency: u16, tail: &[u8]| {
        let mut body = b"\x00\x00\x00\x01Q".to_vec();
        body.extend([(consistency >> 8) as u8, consistency as u8]);
        body.extend(tail);
        body
    };
    let refused = |version, body: &[u8]| {
        decode_request(version, 0, Opcode::Query, body).unwrap_err().message.into_owned()
    };
    let message = refused(ProtocolVersion::V4, &query(1, &[0x80]));
    assert_eq!(message, "unknown request flags 0x80");
    refused(ProtocolVersion::V5, &query(1, &[0, 0, 2, 0]));
    let message = refused(ProtocolVersion::V4, &query(77, &[0]));
    assert_eq!(message, "Unknown code 77 for a consistency level");
    let payload = decode_request(ProtocolVersion::V3, flags::CUSTOM_PAYLOAD, Opcode::Options, b"");
    assert!(payload.is_err());
    assert!(decode_request(ProtocolVersion::V4, 0, Opcode::Ready, b"").is_err());
}

fn spec(table: &str, name: &str, ty: CqlType) -> ColumnSpec {
    ColumnSpec { keyspace: "ks".to_owned(), table: table.to_owned(), name: name.to_owned(), ty }
}

fn rows(version: ProtocolVersion, skip: bool, id: Option<&[u8]>, state: Option<&[u8]>) -> Rows {
    let columns = [spec("t", "k", CqlType::Int), spec("t", "v", CqlType::Text)];
    let encoded = EncodedColumns::new(&columns, version);
    let mut out = BytesMut::from(&b"earlier"[..]);
    let start = out.len();
    let mut encoder = RowsEncoder::begin(&mut out, start, &encoded, skip, id);
    for row in 0..3_u8 {
        encoder.cell(&mut out, Some(&[0, 0, 0, row]));
        encoder.cell(&mut out, if row == 1 { None } else { Some(b"text") });
        encoder.end_row();
    }
    encoder.finish(&mut out, start, state);
    let body = out.split_off(start);
    match decode_response(version, 0, Opcode::Result, &body).unwrap().response {
        Response::Result(ResultBody::Rows(rows)) => rows,
        other => panic!("{other:?}"),
    }
}

#[test]
fn streamed_rows_come_back() {
    for version in ProtocolVersion::ALL {
        for state in [None, Some(&b"where we were"[..])] {
            let full = rows(version, false, None, state);
            assert_eq!(full.metadata.columns.as_ref().unwrap()[1].name, "v");
            let skipped = rows(version, true, None, state);
            assert_eq!(skipped.metadata.columns, None);
            let changed = rows(version, true, Some(b"id"), state);
            assert_eq!(changed.metadata.columns, full.metadata.columns);
            assert_eq!(changed.metadata.new_metadata_id.as_deref(), Some(&b"id"[..]));
            for rows in [full, skipped, changed] {
                assert_eq!(rows.metadata.paging_state.as_deref(), state);
                assert_eq!(rows.len(), 3);
                assert_eq!(rows.iter().nth(1).unwrap(), [Some(&[0, 0, 0, 1][..]), None]);
                response_comes_back(&Response::Result(ResultBody::Rows(rows)), version);
            }
        }
    }
}

#[test]
fn columns_that_changed_cannot_be_left_out() {
    // Rows, without metadata but with the id of new metadata, one column, no row.
    let rows = |flags| [0, 0, 0, 2, 0, 0, 0, flags, 0, 0, 0, 1, 0, 1, 7, 0, 0, 0, 0];
    let error = decode_response(ProtocolVersion::V5, 0, Opcode::Result, &rows(0x0c)).unwrap_err();
    assert!(error.to_string().contains("columns changed and are left out"), "{error}");
}

fn responses(version: ProtocolVersion) -> Vec<Response> {
    let change = SchemaChange::object(SchemaChangeKind::Created, SchemaTarget::Table, "ks", "t");
    let function = SchemaChange {
        target: SchemaTarget::Function,
        arguments: vec!["int".to_owned()],
        ..change.clone()
    };
    let mut all = vec![
        Response::Ready,
        Response::Authenticate("org.apache.cassandra.auth.PasswordAuthenticator".to_owned()),
        Response::Supported(vec![("COMPRESSION".to_owned(), vec!["lz4".to_owned()])]),
        Response::AuthChallenge(Some(b"x".to_vec())),
        Response::AuthSuccess(None),
        Response::Result(ResultBody::Void),
        Response::Result(ResultBody::SetKeyspace("ks".to_owned())),
        Response::Result(ResultBody::SchemaChange(change.clone())),
        Response::Event(Event::Schema(SchemaChange::keyspace(SchemaChangeKind::Dropped, "ks"))),
        Response::Event(Event::Status(StatusChangeKind::Up, "10.0.0.1:9042".parse().unwrap())),
        Response::Event(Event::Topology(
            TopologyChangeKind::NewNode,
            "[::1]:9042".parse().unwrap(),
        )),
        Response::Result(ResultBody::Prepared(Prepared {
            id: b"0123456789abcdef".to_vec(),
            result_metadata_id: if version.has_segments() { b"meta".to_vec() } else { vec![] },
            bindings: vec![spec("t", "k", CqlType::Int), spec("u", "v", CqlType::Text)],
            key_indexes: if version > ProtocolVersion::V3 { vec![0] } else { vec![] },
            columns: None,
        })),
        Response::Result(ResultBody::Prepared(Prepared {
            columns: Some(vec![spec("t", "k", CqlType::Blob)]),
            ..Prepared::default()
        })),
    ];
    if version > ProtocolVersion::V3 {
        all.push(Response::Event(Event::Schema(function)));
    }
    all
}

fn errors(version: ProtocolVersion) -> Vec<ErrorKind> {
    let progress = Progress { consistency: Consistency::Quorum, received: 1, block_for: 2 };
    let v5 = version == ProtocolVersion::V5;
    let mut kinds = vec![
        ErrorKind::Server,
        ErrorKind::Protocol,
        ErrorKind::BadCredentials,
        ErrorKind::Unavailable { consistency: Consistency::All, required: 3, alive: 2 },
        ErrorKind::Overloaded,
        ErrorKind::Bootstrapping,
        ErrorKind::Truncate,
        ErrorKind::WriteTimeout { progress, write_type: WriteType::BatchLog, contentions: None },
        ErrorKind::WriteTimeout {
            progress,
            write_type: WriteType::Cas,
            contentions: v5.then_some(3),
        },
        ErrorKind::ReadTimeout { progress, data_present: true },
        ErrorKind::Syntax,
        ErrorKind::Unauthorized,
        ErrorKind::Invalid,
        ErrorKind::Config,
        ErrorKind::AlreadyExists { keyspace: "ks".to_owned(), table: String::new() },
        ErrorKind::Unprepared { id: b"id".to_vec() },
    ];
    if version > ProtocolVersion::V3 {
        let reasons = vec![("10.0.0.1".parse().unwrap(), failure_reason::TIMEOUT)];
        let failures = Failures { count: 1, reasons: if v5 { reasons } else { vec![] } };
        let text = || "x".to_owned();
        kinds.extend([
            ErrorKind::ReadFailure { progress, failures: failures.clone(), data_present: false },
            ErrorKind::WriteFailure { progress, failures, write_type: WriteType::Simple },
            ErrorKind::FunctionFailure {
                keyspace: text(),
                function: text(),
                arguments: vec![text()],
            },
            ErrorKind::CdcWriteFailure,
        ]);
    }
    if v5 {
        kinds.push(ErrorKind::CasWriteUnknown { progress });
    }
    kinds
}

#[test]
fn every_response_comes_back() {
    for version in ProtocolVersion::ALL {
        for response in responses(version) {
            response_comes_back(&response, version);
        }
        for kind in errors(version) {
            response_comes_back(&Response::Error(ErrorBody::new(kind, "why")), version);
        }
    }
}

#[test]
fn errors_that_a_version_does_not_know_become_their_neighbours() {
    let progress = Progress { consistency: Consistency::One, received: 0, block_for: 1 };
    let seen = |kind: ErrorKind, version| {
        let mut body = BytesMut::new();
        Response::Error(ErrorBody::new(kind, "why")).encode_body(version, &mut body);
        match decode_response(version, 0, Opcode::Error, &body).unwrap().response {
            Response::Error(error) => (error.kind.code(), error.message),
            other => panic!("{other:?}"),
        }
    };
    let cas = ErrorKind::CasWriteUnknown { progress };
    assert_eq!(seen(cas, ProtocolVersion::V4), (0x1100, "why".to_owned()));
    let failures = Failures::default();
    let read = ErrorKind::ReadFailure { progress, failures, data_present: false };
    assert_eq!(seen(read, ProtocolVersion::V3), (0x1200, "why".to_owned()));
    assert_eq!(seen(ErrorKind::CdcWriteFailure, ProtocolVersion::V3).0, 0x2200);
}

proptest! {
    #[test]
    fn random_bodies_are_refused_or_read_but_never_panic(
        version in version(),
        frame_flags in any::<u8>(),
        code in 0_u8..=0x10,
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Some(opcode) = Opcode::from_byte(code) {
            let _ = decode_request(version, frame_flags, opcode, &body);
            let _ = decode_response(version, frame_flags, opcode, &body);
        }
    }

    #[test]
    fn damaged_messages_are_refused_or_read_but_never_panic(
        version in version(),
        which in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        with in any::<u8>(),
    ) {
        let all = responses(version);
        let response = which.get(&all);
        let mut body = BytesMut::new();
        response.encode_body(version, &mut body);
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] = with;
        }
        let _ = decode_response(version, 0, response.opcode(), &body);
        let _ = decode_request(version, 0, Opcode::Execute, &body);
    }

    #[test]
    fn queries_come_back(
        version in version(),
        text in ".*",
        values in proptest::collection::vec(
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
        page_size in any::<Option<i32>>(),
        timestamp in proptest::option::of(i64::MIN + 1..),
        skip_metadata in any::<bool>(),
    ) {
        let mut builder = ValuesBuilder::positional();
        for value in &values {
            let bound = value.as_deref().map_or(BoundValue::Null, BoundValue::Bytes);
            builder.push(bound).unwrap();
        }
        let options = QueryOptions {
            values: builder.values(), page_size, timestamp, skip_metadata, ..QueryOptions::default()
        };
        request_comes_back(&Request::Query(Query { text: &text, options }), version);
    }
}
