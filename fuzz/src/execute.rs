//! Bound values and paging states against a live node.
//!
//! Input: which statement (modulo their number), a flag byte (1: a paging state follows), then
//! values, each with a length byte: 255 for null, 254 for unset.

use std::cell::RefCell;

use bytes::Bytes;
use cql_lite::wire::{BoundValue, QueryOptions, Response, ResultBody, ValuesBuilder};

use crate::lab::Lab;

pub(crate) const SCHEMA: [&str; 5] = [
    "CREATE KEYSPACE f WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TYPE ut (a int, b text)",
    "CREATE TABLE wide (k int, c int, s int static, v text, PRIMARY KEY (k, c))",
    "CREATE TABLE counts (k int PRIMARY KEY, n counter)",
    "CREATE TABLE types (k int PRIMARY KEY, l list<int>, m map<text, int>, st set<text>, \
     u frozen<ut>, d decimal, vi varint, ve vector<float, 3>, du duration, t tuple<int, text>, \
     i inet, ti time, da date, ts timestamp, ui uuid, tu timeuuid, b boolean, bl blob)",
];

const STATEMENTS: [&str; 14] = [
    "SELECT * FROM wide WHERE k = ?",
    "SELECT * FROM wide",
    "SELECT k, c FROM wide WHERE k IN ? AND c > ? ORDER BY c DESC LIMIT ?",
    "SELECT * FROM wide WHERE token(k) > ? PER PARTITION LIMIT ?",
    "SELECT * FROM wide WHERE k = ? AND (c) IN ?",
    "SELECT count(*) FROM wide WHERE v = ? ALLOW FILTERING",
    "INSERT INTO wide (k, c, s, v) VALUES (?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?",
    "UPDATE counts SET n = n + ? WHERE k = ?",
    "INSERT INTO types (k, l, m, st, u, d, vi, ve, du, t) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "INSERT INTO types (k, i, ti, da, ts, ui, tu, b, bl) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "UPDATE types SET l = l + ?, m[?] = ?, st = st - ?, l[?] = ? WHERE k = ?",
    "UPDATE wide SET v = ? WHERE k = ? AND c = ? IF v = ? AND s IN ?",
    "INSERT INTO types JSON ?",
    "SELECT toJson(d), cast(vi AS text), ts + du, similarity_cosine(ve, ?) FROM types WHERE k = ?",
];

/// Requests after which the node is replaced, so that a finding depends on little.
const REQUESTS: u32 = 2_000;

struct Rig {
    lab: Lab,
    prepared: Vec<(Bytes, Bytes)>,
    requests: u32,
}

impl Rig {
    fn new() -> Rig {
        let mut lab = Lab::new();
        lab.open().unwrap();
        for statement in SCHEMA {
            lab.run(statement).unwrap();
        }
        for c in 0..30 {
            let k = c % 4;
            lab.run(&format!("INSERT INTO wide (k, c, s, v) VALUES ({k}, {c}, {c}, 'v{c}')"))
                .unwrap();
        }
        let prepared = STATEMENTS.iter().map(|text| lab.prepare(text)).collect();
        Rig { lab, prepared, requests: 0 }
    }
}

thread_local! {
    static RIG: RefCell<Option<Rig>> = const { RefCell::new(None) };
}

/// Every request is answered, with rows or an error, and the node stays usable.
pub fn run(data: &[u8]) {
    let [which, flags, rest @ ..] = data else { return };
    RIG.with_borrow_mut(|kept| {
        let rig = kept.get_or_insert_with(Rig::new);
        let statement = &rig.prepared[usize::from(*which) % rig.prepared.len()];
        let mut values = ValuesBuilder::positional();
        let mut rest = rest;
        let mut paging_state = None;
        if flags & 1 != 0 {
            let (state, after) = take(rest);
            (paging_state, rest) = (Some(state), after);
        }
        while let [length, after @ ..] = rest {
            let value = match length {
                255 => BoundValue::Null,
                254 => BoundValue::Unset,
                _ => BoundValue::Bytes(take(rest).0),
            };
            rest = if *length >= 254 { after } else { take(rest).1 };
            if values.push(value).is_err() {
                break;
            }
        }
        let options = QueryOptions {
            values: values.values(),
            page_size: Some(i32::from(flags >> 4)),
            paging_state,
            ..QueryOptions::default()
        };
        if let Err(message) = rig.lab.execute(statement, options) {
            assert!(!message.is_empty());
            assert!(!message.contains("internal error"), "{message}");
        }
        rig.requests += 1;
        if rig.requests == REQUESTS {
            *kept = None;
        }
    });
}

/// A length byte and so many bytes, as far as they go.
fn take(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = bytes.split_first() else { return (&[], &[]) };
    rest.split_at(usize::from(*length).min(rest.len()))
}

/// Inputs with the true paging states of a statement's first pages.
pub(crate) fn paging_seeds() -> Vec<Vec<u8>> {
    let rig = Rig::new();
    let mut seeds = Vec::new();
    for which in [0_u8, 1, 5] {
        let mut values = ValuesBuilder::positional();
        let value: &[u8] = if which == 5 { b"v1" } else { &[0, 0, 0, 1] };
        if which != 1 {
            values.push(BoundValue::Bytes(value)).expect("a value");
        }
        let page_size = Some(2);
        let options = QueryOptions { values: values.values(), page_size, ..Default::default() };
        let answer = rig.lab.execute(&rig.prepared[usize::from(which)], options);
        let Ok(Response::Result(ResultBody::Rows(rows))) = answer else { continue };
        let Some(state) = &rows.metadata.paging_state else { continue };
        let mut seed = vec![which, 0x21, state.len() as u8];
        seed.extend_from_slice(state);
        seed.push(value.len() as u8);
        seed.extend_from_slice(value);
        seeds.push(seed);
    }
    seeds
}
