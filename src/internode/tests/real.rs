//! Over the machine's own network; and the example in the documentation.

use helenus_platform::clock::RealClock;
use helenus_platform::codec::Reader;
use helenus_platform::net::TokioNetwork;
use helenus_platform::random::RealRandom;
use helenus_platform::runtime::TokioRuntime;

use super::*;
use crate::internode::frame::{FrameWriter, Next, next_frame};
use crate::internode::message::{self, Head, Message, Messages};

fn real_node(runtime: &Arc<TokioRuntime>, number: u8, limits: Limits) -> Internode {
    let world = World {
        network: Arc::new(TokioNetwork),
        runtime: runtime.clone(),
        clock: Arc::new(RealClock::new()),
        random: Arc::new(RealRandom::new().unwrap()),
    };
    let metrics = InternodeMetrics::new(&telemetry::Registry::new());
    Internode::new(world, own(number), limits, metrics)
}

#[test]
fn nodes_talk_over_tcp() {
    let runtime = Arc::new(TokioRuntime::new(2).unwrap());
    for compression in [false, true] {
        let limits = Limits { compression, ..Limits::default() };
        let (a, b) = (
            Arc::new(real_node(&runtime, 1, limits.clone())),
            real_node(&runtime, 2, limits.clone()),
        );
        runtime.block_on(async {
            let local = SocketAddr::from(([127, 0, 0, 1], 0));
            let address = b.listen(local, TestHandler::echo()).await.unwrap();
            let target = Target { address, host_id: Some([2; 16]) };
            let request = |payload: Vec<u8>| Request {
                verb: Verb::Mutation,
                payload: payload.into(),
                deadline: a.deadline(Duration::from_secs(30)),
                trace: None,
            };
            let all: Vec<_> = (0..5000_u32)
                .map(|n| {
                    let payload = vec![n as u8; (n % 700) as usize];
                    (payload.clone(), a.request(&target, request(payload)))
                })
                .collect();
            let large = a.request(&target, request(vec![8; 10 << 20]));
            for (payload, response) in all {
                assert_eq!(response.await, Ok(payload.into()));
            }
            assert_eq!(large.await.map(|answer| answer.len()), Ok(10 << 20));
            b.close().await;
            let gone = a.request(&target, request(Vec::new())).await;
            assert!(matches!(gone, Err(RequestError::Unreachable { .. })), "{gone:?}");
            a.close().await;
        });
    }
}

const DOCUMENT: &str = include_str!("../../../docs/format/internode.md");

/// The bytes of the dump in the document, each line checked against its own field.
fn dump() -> BytesMut {
    let (_, rest) = DOCUMENT.split_once("```hex\n").unwrap();
    let (dump, _) = rest.split_once("```").unwrap();
    let mut all = BytesMut::new();
    for line in dump.lines() {
        let mut parts = line.split('|').map(str::trim);
        let (hex, field) = (parts.next().unwrap(), parts.next().expect(line));
        let bytes: Vec<u8> =
            hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect(line)).collect();
        all.extend_from_slice(&bytes);
        let (name, value) = field.split_once(" = ").expect(line);
        let mut reader = Reader::new(&bytes);
        let said = match name.split(' ').next().unwrap() {
            "u8" => u64::from(reader.u8().unwrap()),
            "u16_be" => u64::from(reader.u16_be().unwrap()),
            "u32_be" => u64::from(reader.u32_be().unwrap()),
            "u64_be" => reader.u64_be().unwrap(),
            "bytes" => {
                let text = format!("\"{}\"", bytes.escape_ascii());
                let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(value == text || value.replace('-', "") == id, "{line}");
                continue;
            }
            other => panic!("unknown type {other}: {line}"),
        };
        assert!(reader.is_empty(), "bytes are left over: {line}");
        let expected = match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => value.parse(),
        };
        assert_eq!(Ok(said), expected, "{line}");
    }
    all
}

#[test]
fn the_example_in_the_document_is_a_conversation() {
    let id = |hex: u128| -> [u8; 16] {
        let mut bytes = Vec::new();
        bytes.put_u128_be(hex);
        bytes.try_into().unwrap()
    };
    let hello = Introduction::Hello(Hello {
        versions: Versions { lowest: 1, highest: 1 },
        own: Own {
            cluster_id: Some(id(0xc1c1_c1c1_c1c1_4c1c_8c1c_c1c1_c1c1_c1c1)),
            host_id: id(0x0123_4567_89ab_4def_8011_2233_4455_6677),
            address: "10.0.0.1:7000".parse().unwrap(),
            feature_level: 1,
        },
        instance: 42,
        expected: Some(id(0x7654_3210_fedc_4ba9_8877_6655_4433_2211)),
        channel: Channel::Normal as u8,
        lz4: true,
    });
    let head = |verb: Verb, id, trace| Head {
        verb: verb as u8,
        id,
        remaining: Duration::from_secs(2),
        trace,
    };
    let trace = Some(id(0xaaaa_aaaa_aaaa_4aaa_8aaa_aaaa_aaaa_aaaa));
    let work = [
        Message::Work(head(Verb::Mutation, Some(5), None), Bytes::from_static(b"row")),
        Message::Work(head(Verb::Truncate, None, trace), Bytes::from_static(b"t")),
    ];
    let answers = [
        Message::Answer(5, Ok(Bytes::new())),
        Message::Answer(6, Err(Failure::new(100, "no such table"))),
    ];
    let mut bytes = BytesMut::new();
    hello.encode(&mut bytes);
    let mut writer = FrameWriter::new(true);
    for message in work.iter().chain(&answers) {
        match message {
            Message::Work(head, payload) => message::put_work(writer.begin(), head, payload),
            Message::Answer(id, Ok(_)) => {
                let start = message::begin_answer(writer.begin(), *id);
                message::end_answer(writer.begin(), start);
            }
            Message::Answer(id, Err(failure)) => message::put_failure(writer.begin(), *id, failure),
        }
        writer.end();
        if message == &work[1] {
            writer.finish();
        }
    }
    writer.finish();
    bytes.put_bytes(writer.bytes());
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut dumped = dump();
    assert_eq!(dumped, bytes, "{}", hex.join(" "));
    assert_eq!(Introduction::take(&mut dumped), Ok(Some(hello)));
    for expected in [&work, &answers] {
        let Ok(Next::Body(body)) = next_frame(&mut dumped, 1000) else { panic!("no frame") };
        let mut messages = Messages::new(body);
        for message in expected {
            assert_eq!(messages.next(), Ok(Some(message.clone())));
        }
        assert_eq!(messages.next(), Ok(None));
    }
    assert!(dumped.is_empty());
}
