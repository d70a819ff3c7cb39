//! The comparable key encoding against the order and equality of CQL.

use std::cmp::Ordering;

use cql_lite::types::key::clustering::{self, AFTER, BEFORE, ClusteringReader, KeyColumn, ROW};
use cql_lite::types::key::{KeySource, decode_component, encode_component, needs_spelling, path};
use cql_lite::types::order::compare_nullable;
use cql_lite::types::{CqlType, compare, validate};
use proptest::prelude::*;

use crate::types_gen::{key_type, respelled, value};

fn component(ty: &CqlType, value: Option<&[u8]>, descending: bool) -> Vec<u8> {
    let mut out = Vec::new();
    encode_component(ty, value, descending, &mut out).unwrap();
    out
}

fn decoded(ty: &CqlType, key: &[u8], descending: bool) -> (Option<Vec<u8>>, usize) {
    let mut out = Vec::new();
    let mut source = KeySource::new(key, descending);
    let present = decode_component(ty, &mut source, &mut out).unwrap();
    (present.then_some(out), key.len() - source.rest().len())
}

fn in_order(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
}

/// A type and two nullable values of it.
fn pair() -> impl Strategy<Value = (CqlType, Option<Vec<u8>>, Option<Vec<u8>>)> {
    key_type().prop_flat_map(|ty| {
        let one = prop::option::weighted(0.95, value(&ty));
        let other = prop::option::weighted(0.95, value(&ty));
        (Just(ty), one, other)
    })
}

type Key = Vec<Option<Vec<u8>>>;

/// Columns with their order, two keys of them, and a length at which both may be cut.
fn keys() -> impl Strategy<Value = (Vec<(CqlType, bool)>, Key, Key, usize)> {
    prop::collection::vec((key_type(), any::<bool>()), 1..4).prop_flat_map(|columns| {
        let key = || -> Vec<_> {
            columns.iter().map(|(ty, _)| prop::option::weighted(0.95, value(ty))).collect()
        };
        let count = columns.len();
        (Just(columns.clone()), key(), key(), 0..=count)
    })
}

fn slices(key: &[Option<Vec<u8>>]) -> Vec<Option<&[u8]>> {
    key.iter().map(Option::as_deref).collect()
}

fn key_columns(columns: &[(CqlType, bool)]) -> Vec<KeyColumn<'_>> {
    columns.iter().map(|(ty, descending)| KeyColumn { ty, descending: *descending }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn byte_order_is_cql_order((ty, a, b) in pair(), descending: bool) {
        let (a, b) = (a.as_deref(), b.as_deref());
        let expected = in_order(compare_nullable(&ty, a, b), descending);
        let (key_a, key_b) = (component(&ty, a, descending), component(&ty, b, descending));
        prop_assert_eq!(key_a.cmp(&key_b), expected, "{}: {:?} {:?}", ty, key_a, key_b);
        // No component is the beginning of another, so whatever follows changes nothing.
        prop_assert!(key_a == key_b || !key_a.starts_with(&key_b));
    }

    #[test]
    fn equal_values_are_equal_bytes((ty, a, _) in pair(), descending: bool) {
        if let Some(bytes) = a {
            let other = respelled(&ty, &bytes);
            prop_assert!(validate(&ty, &other).is_ok());
            prop_assert!(compare(&ty, &bytes, &other).is_eq(), "{}: {:?} {:?}", ty, bytes, other);
            let key = component(&ty, Some(&bytes), descending);
            prop_assert_eq!(key, component(&ty, Some(&other), descending));
        }
    }

    #[test]
    fn values_come_back_in_canonical_form((ty, a, _) in pair(), descending: bool, tail: u8) {
        let key = component(&ty, a.as_deref(), descending);
        let mut followed = key.clone();
        followed.push(tail);
        let (canonical, read) = decoded(&ty, &followed, descending);
        prop_assert_eq!(read, key.len());
        prop_assert_eq!(canonical.is_some(), a.is_some());
        if let (Some(bytes), Some(canonical)) = (a, canonical) {
            prop_assert!(validate(&ty, &canonical).is_ok());
            prop_assert_eq!(component(&ty, Some(&canonical), descending), key);
            prop_assert_eq!(needs_spelling(&ty, &bytes), canonical != bytes);
        }
    }

    #[test]
    fn rows_and_prefixes_stand_where_cql_has_them((columns, a, b, cut) in keys()) {
        let columns = key_columns(&columns);
        let (a, b) = (slices(&a), slices(&b));
        let compare_first = |count: usize| {
            let pairs = columns.iter().zip(a.iter().zip(&b)).take(count);
            pairs.fold(Ordering::Equal, |order, (c, (a, b))| {
                order.then_with(|| in_order(compare_nullable(c.ty, *a, *b), c.descending))
            })
        };
        let row = clustering::row(&columns, &a).unwrap();
        let other = clustering::row(&columns, &b).unwrap();
        prop_assert_eq!(row.cmp(&other), compare_first(columns.len()));
        let prefix = clustering::prefix(&columns, &b[..cut]).unwrap();
        let before = clustering::before(prefix.clone());
        let after = clustering::after(prefix);
        let side = compare_first(cut);
        prop_assert_eq!(row.cmp(&before), side.then(Ordering::Greater));
        prop_assert_eq!(row.cmp(&after), side.then(Ordering::Less));
    }

    #[test]
    fn rows_come_back_as_the_client_spelled_them((columns, a, _, cut) in keys()) {
        let columns = key_columns(&columns);
        let row = clustering::row(&columns, &slices(&a)).unwrap();
        let spelling = clustering::spelling(&columns, &slices(&a));
        let split = clustering::split_row(&columns, &row, spelling.as_deref()).unwrap();
        prop_assert_eq!(&split, &a);
        let prefix = clustering::before(clustering::prefix(&columns, &slices(&a)[..cut]).unwrap());
        let mut reader = ClusteringReader::new(&prefix, None).unwrap();
        let mut read = 0;
        while !reader.at_end() {
            reader.next(columns[read], &mut Vec::new()).unwrap();
            read += 1;
        }
        prop_assert_eq!(read, cut);
        prop_assert_eq!(reader.ending().unwrap(), BEFORE);
    }

    #[test]
    fn paths_of_elements_come_back((ty, a, _) in pair()) {
        if let Some(bytes) = a {
            let key = path::element(&ty, &bytes).unwrap();
            let mut out = Vec::new();
            path::decode_element(&ty, &key, path::spelling(&ty, &bytes), &mut out).unwrap();
            prop_assert_eq!(out, bytes);
        }
    }

    #[test]
    fn damaged_keys_are_errors_and_nothing_worse(
        ty in key_type(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        marked: bool,
    ) {
        let mut key = bytes;
        if marked && !key.is_empty() {
            key[0] = 0x30;
        }
        let mut out = Vec::new();
        let _ = decode_component(&ty, &mut KeySource::new(&key, false), &mut out);
        let _ = validate(&ty, &key);
        let mut again = Vec::new();
        let _ = encode_component(&ty, Some(&key), false, &mut again);
    }
}

#[test]
fn the_documented_examples_hold() {
    let descending = KeyColumn { ty: &CqlType::Text, descending: true };
    let columns = [KeyColumn { ty: &CqlType::Int, descending: false }, descending];
    let row = clustering::row(&columns, &[Some(&[0, 0, 0, 1]), Some(b"x")]).unwrap();
    assert_eq!(row, [0x30, 0x80, 0, 0, 1, 0xcf, 0x87, 0xff, 0xff, ROW]);
    let decimal = component(&CqlType::Decimal, Some(&[0, 0, 0, 1, 125]), false);
    assert_eq!(decimal, [0x30, 0x03, 0x80, 0, 0, 0, 0x02, 0x0d, 0x33, 0x00]);
    assert_eq!(clustering::row(&[], &[]).unwrap(), [ROW]);
    assert_eq!(clustering::after(Vec::new()), [AFTER]);
}

#[test]
fn what_has_no_order_is_refused() {
    let mut out = vec![7];
    let list = CqlType::List(Box::new(CqlType::Duration));
    let bytes = [0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0];
    assert!(encode_component(&list, Some(&bytes), false, &mut out).is_err());
    assert!(encode_component(&CqlType::Counter, Some(&[0; 8]), false, &mut out).is_err());
    assert_eq!(out, [7], "a refused component leaves nothing behind");
}

#[test]
fn a_field_added_to_a_type_moves_nothing() {
    let old = CqlType::Tuple(vec![CqlType::Int]);
    let new = CqlType::Tuple(vec![CqlType::Int, CqlType::Text]);
    let bytes = [0, 0, 0, 4, 0, 0, 0, 5];
    let key = component(&old, Some(&bytes), false);
    assert_eq!(component(&new, Some(&bytes), false), key);
    assert_eq!(decoded(&new, &key, false).0.as_deref(), Some(&bytes[..]));
    let padded = [&bytes[..], &[0xff; 4]].concat();
    assert_eq!(component(&new, Some(&padded), false), key);
    assert!(needs_spelling(&new, &padded) && !needs_spelling(&new, &bytes));
}

#[test]
fn whole_numbers_and_common_values_need_no_spelling() {
    let hundred = [0, 0, 0, 0, 100];
    assert!(!needs_spelling(&CqlType::Decimal, &hundred));
    assert!(needs_spelling(&CqlType::Decimal, &[0, 0, 0, 1, 100]));
    assert!(!needs_spelling(&CqlType::Text, b"x"));
    assert!(!needs_spelling(&CqlType::Boolean, &[1]));
    assert!(needs_spelling(&CqlType::Boolean, &[2]));
}
