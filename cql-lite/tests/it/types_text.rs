//! Values as constants, literals and JSON.

use std::sync::Arc;

use cql_lite::ast::LiteralKind;
use cql_lite::types::text::json::{from_json, name_of_key, parse_json, to_json};
use cql_lite::types::text::{accepts_constant, cast_text, encode_constant, exact_type, to_literal};
use cql_lite::types::{CqlType, UdtType, Value, decode, encode};
use proptest::prelude::*;

use crate::types_gen::{key_type, value};

fn constant(kind: LiteralKind, text: &str, ty: &CqlType) -> Vec<u8> {
    assert!(accepts_constant(kind, ty), "{kind:?} {ty}");
    encode_constant(kind, text, ty).unwrap()
}

fn problem(kind: LiteralKind, text: &str, ty: &CqlType) -> String {
    encode_constant(kind, text, ty).unwrap_err().message
}

fn list(ty: CqlType) -> CqlType {
    CqlType::List(Box::new(ty))
}

fn address() -> CqlType {
    let fields = vec![
        ("street".to_owned(), CqlType::Text),
        ("Zip".to_owned(), CqlType::Int),
        ("tags".to_owned(), CqlType::Set(Box::new(CqlType::Text)).frozen()),
    ];
    let (keyspace, name) = ("ks".to_owned(), "address".to_owned());
    CqlType::Udt(Arc::new(UdtType { keyspace, name, fields }))
}

fn json(ty: &CqlType, text: &str) -> Result<Option<Vec<u8>>, String> {
    let parsed = parse_json(text).map_err(|error| error.message)?;
    from_json(ty, &parsed).map_err(|error| error.message)
}

#[test]
fn constants_become_values() {
    use LiteralKind::*;
    assert_eq!(constant(Integer, "-1", &CqlType::Int), [0xff; 4]);
    assert_eq!(constant(Integer, "300", &CqlType::Varint), [1, 44]);
    assert_eq!(constant(Integer, "5", &CqlType::Counter), [0, 0, 0, 0, 0, 0, 0, 5]);
    assert_eq!(constant(Float, "1.5", &CqlType::Float), [0x3f, 0xc0, 0, 0]);
    assert_eq!(constant(Float, "NaN", &CqlType::Float), [0x7f, 0xc0, 0, 0]);
    assert_eq!(constant(Float, "-Infinity", &CqlType::Double)[..2], [0xff, 0xf0]);
    assert_eq!(constant(Hex, "0xCAfe", &CqlType::Blob), [0xca, 0xfe]);
    assert_eq!(constant(Boolean, "TRUE", &CqlType::Boolean), [1]);
    assert_eq!(constant(String, "1.2.3.4", &CqlType::Inet), [1, 2, 3, 4]);
    assert_eq!(constant(String, "::ffff:1.2.3.4", &CqlType::Inet), [1, 2, 3, 4]);
    assert_eq!(constant(String, "::1", &CqlType::Inet).len(), 16);
    assert_eq!(constant(String, "", &CqlType::Timestamp), [0u8; 0]);
    assert_eq!(constant(Duration, "1h", &CqlType::Duration)[..2], [0, 0]);
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    assert_eq!(constant(Uuid, uuid, &CqlType::Uuid)[..2], [0x55, 0x0e]);
}

#[test]
fn wrong_constants_are_refused_in_cassandras_words() {
    use LiteralKind::*;
    let cases = [
        (Integer, "2147483648", CqlType::Int, "Unable to make int from '2147483648'"),
        (Integer, "128", CqlType::Tinyint, "Unable to make byte from '128'"),
        (Integer, "32768", CqlType::Smallint, "Unable to make short from '32768'"),
        (Integer, "-1", CqlType::Date, "Unable to make unsigned int (for date) from: '-1'"),
        (Hex, "0x123", CqlType::Blob, "cannot parse '123' as hex bytes"),
        (String, "localhost", CqlType::Inet, "Unable to make inet address from 'localhost'"),
        (String, "é", CqlType::Ascii, "Invalid byte for ascii: -61"),
    ];
    for (kind, text, ty, message) in cases {
        assert_eq!(problem(kind, text, &ty), message);
    }
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    let version = problem(Uuid, uuid, &CqlType::Timeuuid);
    assert_eq!(version, "TimeUUID supports only version 1 UUIDs");
    assert!(!accepts_constant(String, &CqlType::Int));
    assert!(!accepts_constant(Integer, &CqlType::Text));
    assert!(!accepts_constant(Hex, &CqlType::Int));
    assert!(!accepts_constant(String, &list(CqlType::Text)));
}

#[test]
fn constants_have_the_smallest_type_that_holds_them() {
    use LiteralKind::*;
    let cases = [
        (Integer, "2147483647", CqlType::Int),
        (Integer, "-2147483649", CqlType::Bigint),
        (Integer, "9223372036854775808", CqlType::Varint),
        (Float, "1.5", CqlType::Double),
        (Float, "1.000000000000000000001", CqlType::Decimal),
        (Float, "NaN", CqlType::Double),
        (String, "a", CqlType::Ascii),
        (String, "é", CqlType::Text),
    ];
    for (kind, text, ty) in cases {
        assert_eq!(exact_type(kind, text), ty, "{text}");
    }
}

#[test]
fn literals_and_json_of_nested_values() {
    let tags = Value::Set(vec![Value::Text("b".into()), Value::Text("a".into())]);
    let street = Value::Text("O'Neill \"St\"\n".into());
    let udt = Value::Udt(vec![Some(street), None, Some(tags)]);
    let bytes = encode(&udt, &address()).unwrap();
    assert_eq!(
        to_literal(&address(), Some(&bytes)).unwrap(),
        "{street: 'O''Neill \"St\"\n', \"Zip\": null, tags: {'a', 'b'}}"
    );
    let printed = to_json(&address(), Some(&bytes)).unwrap();
    let expected = r#"{"street": "O'Neill \"St\"\n", "\"Zip\"": null, "tags": ["a", "b"]}"#;
    assert_eq!(printed, expected);
    assert_eq!(json(&address(), &printed), Ok(Some(bytes)));

    let map = CqlType::Map(Box::new(CqlType::Int), Box::new(list(CqlType::Double)));
    let entry = (Value::Int(1), Value::List(vec![Value::Double(1.0), Value::Double(f64::NAN)]));
    let bytes = encode(&Value::Map(vec![entry]), &map).unwrap();
    assert_eq!(to_literal(&map, Some(&bytes)).unwrap(), "{1: [1.0, NaN]}");
    assert_eq!(to_json(&map, Some(&bytes)).unwrap(), r#"{"1": [1.0, null]}"#);

    let tuple = CqlType::Tuple(vec![CqlType::Date, CqlType::Blob, CqlType::Boolean]);
    let parts = vec![Some(Value::Date(1 << 31)), Some(Value::Blob(vec![0xab])), None];
    let bytes = encode(&Value::Tuple(parts), &tuple).unwrap();
    assert_eq!(to_literal(&tuple, Some(&bytes)).unwrap(), "('1970-01-01', 0xab, null)");
    assert_eq!(to_json(&tuple, Some(&bytes)).unwrap(), r#"["1970-01-01", "0xab", null]"#);
    assert_eq!(to_literal(&tuple, None).unwrap(), "null");
    assert_eq!(to_json(&CqlType::Int, Some(&[])).unwrap(), "\"\"");
}

#[test]
fn casts_print_without_quotes() {
    let zero = [0u8; 8];
    assert_eq!(cast_text(&CqlType::Timestamp, &zero).unwrap(), "1970-01-01T00:00:00.000Z");
    assert_eq!(cast_text(&CqlType::Inet, &[127, 0, 0, 1]).unwrap(), "127.0.0.1");
    let loopback = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(cast_text(&CqlType::Inet, &loopback).unwrap(), "0:0:0:0:0:0:0:1");
    assert_eq!(cast_text(&CqlType::Decimal, &[0, 0, 0, 2, 100]).unwrap(), "1.00");
}

#[test]
fn json_that_does_not_fit_is_refused_in_cassandras_words() {
    let int_list = list(CqlType::Int);
    let cases = [
        (&CqlType::Int, "true", "Expected an int value, but got a Boolean: true"),
        (&CqlType::Int, "1.5", "Expected an int value, but got a BigDecimal: 1.5"),
        (&CqlType::Int, "2147483648", "Expected an int value, but got a Long: 2147483648"),
        (&CqlType::Int, "\"x\"", "Unable to make int from 'x'"),
        (&int_list, "[1, null]", "Invalid null element in list"),
        (&int_list, "{\"a\": 1}", "Expected a list, but got a LinkedHashMap: {a=1}"),
        (&CqlType::Text, "[1, \"b\"]", "Expected a UTF-8 string, but got a ArrayList: [1, b]"),
        (&CqlType::Boolean, "1", "Expected a boolean value, but got a Integer: 1"),
    ];
    for (ty, text, message) in cases {
        assert_eq!(json(ty, text), Err(message.to_owned()));
    }
    let unknown = json(&address(), r#"{"nope": 1}"#).unwrap_err();
    assert_eq!(unknown, "Unknown field 'nope' in value of user defined type address");
    let blob = json(&CqlType::Blob, "\"12\"").unwrap_err();
    assert!(blob.contains("missing 0x prefix"), "{blob}");
    assert_eq!(json(&CqlType::Int, "null"), Ok(None));
    assert_eq!(name_of_key("\"Zip\""), "Zip");
    assert_eq!(name_of_key("ZIP"), "zip");
}

#[test]
fn broken_json_is_refused_and_deep_json_does_not_overflow() {
    let broken = [
        "",
        "{",
        "[1,]",
        "[1 2]",
        "{1: 2}",
        "{\"a\" 1}",
        "01",
        "1.",
        "1e",
        "\"a",
        "\"\\x\"",
        "\"\\ud800\"",
        "nul",
        "[] []",
        "\"\n\"",
    ];
    for text in broken {
        assert!(parse_json(text).is_err(), "{text}");
    }
    assert!(parse_json(&"[".repeat(1_000_000)).is_err());
    let pair = parse_json(r#""\ud83d\ude00\u0041\/""#).unwrap();
    assert_eq!(pair.to_string(), "😀A/");
}

proptest! {
    #[test]
    fn values_come_back_from_json(
        (ty, bytes) in key_type().prop_flat_map(|ty| (Just(ty.clone()), value(&ty)))
    ) {
        let text = to_json(&ty, Some(&bytes)).unwrap();
        let parsed = parse_json(&text).unwrap();
        // Empty values, NaN and infinities have no JSON that reads back, and neither have times
        // of day beyond the day and years before the first, which the wire does not refuse. A
        // tuple of nothing but nulls reads back as one of another length.
        let debug = format!("{:?}", decode(&ty, &bytes).unwrap());
        let odd = ["Empty", "NaN", "inf", "Time(", "Timestamp(", "([None"];
        if !odd.iter().any(|word| debug.contains(word)) {
            let back = from_json(&ty, &parsed).unwrap().unwrap();
            prop_assert_eq!(to_json(&ty, Some(&back)).unwrap(), text, "{}", ty);
        }
        to_literal(&ty, Some(&bytes)).unwrap();
    }

    #[test]
    fn any_text_is_read_or_refused(ty in key_type(), text in "\\PC{0,20}") {
        let _ = encode_constant(LiteralKind::String, &text, &ty);
        let _ = parse_json(&text).map(|json| from_json(&ty, &json));
    }
}
