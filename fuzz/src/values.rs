//! Values as clients bind them, of any type: validation, text, keys.
//!
//! Input: a type as the wire describes it, then two values, split in the middle.

use std::cmp::Ordering;

use cql_lite::types::key::{KeySource, decode_component, encode_component};
use cql_lite::types::{compare, normalize, text, validate};
use cql_lite::wire::read_type;
use helenus_platform::codec::Reader;

/// A valid value prints, parses back from what was printed, and has a key that orders as the value
/// does and decodes to an equal value.
pub fn run(data: &[u8]) {
    let mut reader = Reader::new(data);
    let Ok(ty) = read_type(&mut reader) else { return };
    let (a, b) = reader.rest().split_at(reader.remaining() / 2);
    if validate(&ty, a).is_err() {
        return;
    }
    let _ = cql_lite::types::decode(&ty, a);
    let _ = text::json::to_json(&ty, Some(a));
    if let Ok(literal) = text::to_literal(&ty, Some(a)) {
        let _ = cql_lite::parse(&format!("SELECT a FROM b WHERE c = {literal}"));
    }
    let Some(key_a) = key(&ty, a) else { return };
    let mut back = Vec::new();
    let decoded = decode_component(&ty, &mut KeySource::new(&key_a, false), &mut back);
    assert!(decoded.is_ok(), "the key of {a:?} as {ty:?} does not decode");
    assert_eq!(key(&ty, &back), Some(key_a.clone()), "{a:?} as {ty:?}");
    if validate(&ty, b).is_err() {
        return;
    }
    let Some(key_b) = key(&ty, b) else { return };
    if a.is_empty() == b.is_empty() {
        assert_eq!(key_a.cmp(&key_b), compare(&ty, a, b), "{a:?} and {b:?} as {ty:?}");
        assert_eq!(compare(&ty, a, a), Ordering::Equal);
    }
}

fn key(ty: &cql_lite::types::CqlType, value: &[u8]) -> Option<Vec<u8>> {
    let value = normalize(ty, value).ok()?;
    let mut key = Vec::new();
    encode_component(ty, Some(&value), false, &mut key).ok()?;
    Some(key)
}
