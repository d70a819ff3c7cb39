//! What is encoded comes back; what is not a message is refused, whatever it is.

use helenus_platform::codec::Reader;
use proptest::prelude::*;

use super::*;
use crate::state::{Entry, Key};

const EXAMPLE: &str = include_str!("../../../docs/format/gossip.md");

fn generation() -> impl Strategy<Value = Generation> {
    prop_oneof![
        (0..=Generation::MAX.0).prop_map(Generation),
        (1_700_000_000u64..1_800_000_000).prop_map(Generation),
        Just(Generation::REMOVED),
    ]
}

prop_compose! {
    fn digest()(host in any::<u128>(), generation in generation(), version in 0u64..1 << 40)
        -> Digest {
        Digest { host: HostId(host), generation, version }
    }
}

fn delta() -> impl Strategy<Value = NodeDelta> {
    let entries = prop::collection::btree_map(
        1u8..=200,
        (1u64..1000, prop::collection::vec(any::<u8>(), 0..20)),
        0..6,
    );
    (any::<u128>(), generation(), 0u64..1 << 40, prop::option::of(1u64..10_000), entries).prop_map(
        |(host, generation, after, heartbeat, entries)| {
            let mut version = after;
            let entries: Vec<Entry> = entries
                .into_iter()
                .map(|(key, (step, value))| {
                    // Values take even versions, the heartbeat an odd one.
                    version = (version + step * 2) & !1;
                    Entry { version, key: Key(key), value: value.into() }
                })
                .collect();
            let heartbeat = match heartbeat {
                None if !entries.is_empty() => 0,
                step => (after + step.unwrap_or(1) * 2) | 1,
            };
            NodeDelta { host: HostId(host), generation, after, heartbeat, entries }
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    let digests = || prop::collection::vec(digest(), 0..8);
    let deltas = || prop::collection::vec(delta(), 0..8);
    prop_oneof![
        (digests(), any::<u128>(), any::<bool>()).prop_map(|(mut digests, bound, all)| {
            let window = Window { start: HostId(bound), end: HostId(bound / 2) };
            let window = if all { Window::ALL } else { window };
            digests.retain(|digest| window.contains(digest.host));
            digests.sort_by_key(|digest| digest.host);
            digests.dedup_by_key(|digest| digest.host);
            Body::Syn { window, digests: digests.into() }
        }),
        (digests(), deltas(), any::<bool>()).prop_map(|(requests, deltas, whole)| Body::Ack {
            requests,
            deltas,
            whole
        }),
        deltas().prop_map(|deltas| Body::Ack2 { deltas }),
    ]
}

prop_compose! {
    fn message()(
        name in "[a-zé ]{1,20}",
        cluster in any::<u128>(),
        host in any::<u128>(),
        generation in 0..=Generation::MAX.0,
        exchange in any::<u64>(),
        shadow in any::<bool>(),
        body in body(),
    ) -> Message {
        let cluster_id = Some(cluster).filter(|id| *id != 0 && !shadow).map(ClusterId);
        Message {
            cluster_name: name.into(),
            cluster_id,
            host: HostId(host),
            generation: Generation(generation),
            exchange,
            shadow,
            body,
        }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(message in message()) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        prop_assert_eq!(bytes.len(), message.encoded_len());
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn a_flipped_bit_or_a_cut_is_noticed(message in message(), at in any::<usize>()) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let bit = at % (bytes.len() * 8);
        prop_assert!(Message::decode(&bytes[..bit / 8]).is_err());
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Message::decode(&bytes).is_err());
    }

    /// With the checksum made right again, what is damaged is refused or means something that
    /// can be encoded again; it never panics.
    #[test]
    fn damage_with_a_right_checksum_is_harmless(
        message in message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        for (at, byte) in changes {
            let at = PREFIX_BYTES + at.index(bytes.len() - PREFIX_BYTES);
            bytes[at] = byte;
        }
        let mut checked = MAGIC.to_vec();
        checked.put_u8(VERSION);
        checked.put_u32_be(crc32(&bytes[PREFIX_BYTES..]));
        checked.extend_from_slice(&bytes[PREFIX_BYTES..]);
        if let Ok(decoded) = Message::decode(&checked) {
            let mut again = Vec::new();
            decoded.encode(&mut again);
            prop_assert_eq!(Message::decode(&again), Ok(decoded));
        }
    }
}

fn refused(change: impl FnOnce(&mut Message)) -> MessageError {
    let digest = |host| Digest { host: HostId(host), generation: Generation(5), version: 6 };
    let window = Window { start: HostId(1), end: HostId(9) };
    let mut message = Message {
        cluster_name: "c".into(),
        cluster_id: None,
        host: HostId(1),
        generation: Generation(5),
        exchange: 1,
        shadow: false,
        body: Body::Syn { window, digests: [digest(1), digest(2)].into() },
    };
    let decode = |message: &Message| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        Message::decode(&bytes)
    };
    assert_eq!(decode(&message).as_ref(), Ok(&message));
    change(&mut message);
    decode(&message).unwrap_err()
}

#[test]
fn nonsense_is_named() {
    let news = || NodeDelta {
        host: HostId(1),
        generation: Generation(1),
        after: 3,
        heartbeat: 4,
        entries: vec![Entry { version: 5, key: Key::LOAD, value: [0; 8].into() }],
    };
    let ack2 = |deltas| move |message: &mut Message| message.body = Body::Ack2 { deltas };
    type Change = Box<dyn FnOnce(&mut Message)>;
    let cases: Vec<(&str, Change)> = vec![
        ("the cluster's name", Box::new(|m| m.cluster_name = "".into())),
        ("the sender's generation", Box::new(|m| m.generation = Generation::REMOVED)),
        (
            "the order of digests",
            Box::new(|m| {
                let Body::Syn { digests, .. } = &mut m.body else { return };
                *digests = digests.iter().rev().copied().collect();
            }),
        ),
        (
            "the order of digests",
            Box::new(|m| {
                let Body::Syn { window, .. } = &mut m.body else { return };
                window.end = HostId(2);
            }),
        ),
        (
            "without news",
            Box::new(ack2(vec![NodeDelta { heartbeat: 0, entries: vec![], ..news() }])),
        ),
        ("there already", Box::new(ack2(vec![NodeDelta { heartbeat: 5, ..news() }]))),
        (
            "a generation",
            Box::new(ack2(vec![NodeDelta { generation: Generation(1 << 50), ..news() }])),
        ),
        ("a version", Box::new(ack2(vec![NodeDelta { heartbeat: 1 << 49, ..news() }]))),
        (
            "a key",
            Box::new(ack2(vec![{
                let mut delta = news();
                delta.entries.push(Entry { version: 8, ..delta.entries[0].clone() });
                delta
            }])),
        ),
    ];
    for (what, change) in cases {
        let error = refused(change).to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
}

#[test]
fn a_count_is_not_believed() {
    let message = Message {
        cluster_name: "c".into(),
        cluster_id: None,
        host: HostId(1),
        generation: Generation(5),
        exchange: 1,
        shadow: false,
        body: Body::Ack2 { deltas: Vec::new() },
    };
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes.pop();
    bytes.put_varint(u64::MAX);
    let crc = crc32(&bytes[PREFIX_BYTES..]);
    let mut checked = bytes[..3].to_vec();
    checked.put_u32_be(crc);
    checked.extend_from_slice(&bytes[PREFIX_BYTES..]);
    let error = Message::decode(&checked).unwrap_err();
    assert!(matches!(error, MessageError::Nonsense { what: "a count", .. }), "{error}");
    assert_eq!(
        Message::decode(&vec![0; MESSAGE_BYTES_MAX + 1]),
        Err(MessageError::TooLong(MESSAGE_BYTES_MAX + 1))
    );
}

/// The bytes of the dump in the document, each line checked against its own field.
fn dump() -> Vec<u8> {
    let (_, rest) = EXAMPLE.split_once("```hex\n").unwrap();
    let (dump, _) = rest.split_once("```").unwrap();
    let mut all = Vec::new();
    for line in dump.lines() {
        let mut parts = line.split('|').map(str::trim);
        let (hex, field) = (parts.next().unwrap(), parts.next().expect(line));
        let bytes: Vec<u8> =
            hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect(line)).collect();
        let (name, value) = field.split_once(" = ").expect(line);
        let mut reader = Reader::new(&bytes);
        let said = match name.split(' ').next().unwrap() {
            "u8" => i64::from(reader.u8().unwrap()),
            "u32_be" => i64::from(reader.u32_be().unwrap()),
            "varint" => reader.varint().unwrap() as i64,
            "zigzag" => reader.zigzag().unwrap(),
            "bytes" => {
                let text = format!("\"{}\"", bytes.escape_ascii());
                let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(value == text || value.replace('-', "") == id, "{line}");
                all.extend_from_slice(&bytes);
                continue;
            }
            other => panic!("unknown type {other}: {line}"),
        };
        assert!(reader.is_empty(), "bytes are left over: {line}");
        let expected = match value.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None => value.parse(),
        };
        assert_eq!(Ok(said), expected, "{line}");
        all.extend_from_slice(&bytes);
    }
    all
}

#[test]
fn the_example_in_the_document_is_a_message() {
    let host = HostId(0x0123_4567_89ab_4def_8011_2233_4455_6677);
    let other = HostId(0x7654_3210_fedc_4ba9_8877_6655_4433_2211);
    let message = Message {
        cluster_name: "helenus".into(),
        cluster_id: Some(ClusterId(0xc1c1_c1c1_c1c1_4c1c_8c1c_c1c1_c1c1_c1c1)),
        host,
        generation: Generation(1_795_000_000),
        exchange: 300,
        shadow: false,
        body: Body::Ack {
            requests: vec![Digest {
                host: other,
                generation: Generation(1_794_999_990),
                version: 41,
            }],
            deltas: vec![NodeDelta {
                host,
                generation: Generation(1_795_000_000),
                after: 7,
                heartbeat: 200,
                entries: vec![
                    Entry { version: 9, key: Key::STATUS, value: [2].into() },
                    Entry { version: 12, key: Key::RACK, value: b"r1"[..].into() },
                ],
            }],
            whole: true,
        },
    };
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(dump(), bytes, "{}", hex.join(" "));
    assert_eq!(Message::decode(&dump()), Ok(message));
}
