//! Random types and random values of them, for the property tests: small alphabets, so that equal
//! and nearly equal values are common, and every odd spelling that a client may send.

use std::sync::Arc;

use cql_lite::types::frames;
use cql_lite::types::frames::{CollectionBuilder, put_framed, put_vector_element};
use cql_lite::types::{CqlType, UdtType, normalize};
use proptest::prelude::*;

/// Plain types that have an order.
const PLAIN: [CqlType; 19] = [
    CqlType::Ascii,
    CqlType::Bigint,
    CqlType::Blob,
    CqlType::Boolean,
    CqlType::Date,
    CqlType::Decimal,
    CqlType::Double,
    CqlType::Float,
    CqlType::Inet,
    CqlType::Int,
    CqlType::Smallint,
    CqlType::Text,
    CqlType::Time,
    CqlType::Timestamp,
    CqlType::Timeuuid,
    CqlType::Tinyint,
    CqlType::Uuid,
    CqlType::Varint,
    CqlType::Empty,
];

/// Any type that can stand in a key, nested a few levels deep.
pub(crate) fn key_type() -> impl Strategy<Value = CqlType> {
    let plain = prop::sample::select(PLAIN.to_vec());
    let nested = plain.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ty| CqlType::List(Box::new(ty))),
            inner.clone().prop_map(|ty| CqlType::Set(Box::new(ty))),
            (inner.clone(), inner.clone())
                .prop_map(|(key, value)| CqlType::Map(Box::new(key), Box::new(value))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(CqlType::Tuple),
            prop::collection::vec(inner.clone(), 1..4).prop_map(udt),
            (inner, 1usize..4)
                .prop_map(|(ty, dimension)| { CqlType::Vector(Box::new(ty), dimension) }),
        ]
    });
    nested.prop_map(CqlType::frozen)
}

fn udt(types: Vec<CqlType>) -> CqlType {
    let fields = types.into_iter().enumerate().map(|(i, ty)| (format!("f{i}"), ty)).collect();
    CqlType::Udt(Arc::new(UdtType { keyspace: "ks".into(), name: "point".into(), fields }))
}

/// A valid serialized value of `ty`, with sets and maps in order.
pub(crate) fn value(ty: &CqlType) -> BoxedStrategy<Vec<u8>> {
    let normal = ty.clone();
    raw_value(ty).prop_map(move |bytes| normalize(&normal, &bytes).unwrap().into_owned()).boxed()
}

fn raw_value(ty: &CqlType) -> BoxedStrategy<Vec<u8>> {
    match ty {
        CqlType::Frozen(inner) => raw_value(inner),
        CqlType::List(element) | CqlType::Set(element) => {
            prop::collection::vec(raw_value(element), 0..4)
                .prop_map(|elements| {
                    let mut builder = CollectionBuilder::new();
                    elements.iter().for_each(|element| builder.element(element));
                    builder.finish()
                })
                .boxed()
        }
        CqlType::Map(key, value) => prop::collection::vec((raw_value(key), raw_value(value)), 0..4)
            .prop_map(|entries| {
                let mut builder = CollectionBuilder::new();
                entries.iter().for_each(|(key, value)| builder.entry(key, value));
                builder.finish()
            })
            .boxed(),
        CqlType::Tuple(types) => components(types.iter()),
        CqlType::Udt(udt) => components(udt.fields.iter().map(|(_, ty)| ty)),
        CqlType::Vector(element, dimension) => vector(element, *dimension),
        plain => {
            let filled = plain_value(plain);
            if plain.allows_empty() {
                prop_oneof![9 => filled, 1 => Just(Vec::new())].boxed()
            } else {
                filled
            }
        }
    }
}

/// Components of which some are null and some are missing at the end.
fn components<'a>(types: impl Iterator<Item = &'a CqlType>) -> BoxedStrategy<Vec<u8>> {
    let each: Vec<_> = types.map(|ty| prop::option::weighted(0.7, raw_value(ty))).collect();
    let count = each.len();
    (each, 0..=count)
        .prop_map(|(components, present)| {
            let mut out = Vec::new();
            for component in components.iter().take(present) {
                put_framed(&mut out, component.as_deref());
            }
            out
        })
        .boxed()
}

fn vector(element: &CqlType, dimension: usize) -> BoxedStrategy<Vec<u8>> {
    let ty = element.clone();
    let wanted = element.fixed_length();
    let elements = raw_value(element).prop_filter("elements of fixed length", move |bytes| {
        wanted.is_none_or(|length| bytes.len() == length)
    });
    prop::collection::vec(elements, dimension)
        .prop_map(move |elements| {
            let mut out = Vec::new();
            elements.iter().for_each(|bytes| put_vector_element(&mut out, &ty, bytes));
            out
        })
        .boxed()
}

fn bytes_of(alphabet: &'static [u8], length: std::ops::Range<usize>) -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(prop::sample::select(alphabet), length).boxed()
}

fn plain_value(ty: &CqlType) -> BoxedStrategy<Vec<u8>> {
    const EDGES: &[u8] = &[0x00, 0x01, 0x7f, 0x80, 0xff];
    let edges = |length: usize| bytes_of(EDGES, length..length + 1);
    match ty {
        CqlType::Ascii | CqlType::Text => bytes_of(&[0, 1, b'a', b'b', 0x7f], 0..5),
        CqlType::Blob => bytes_of(EDGES, 0..5),
        CqlType::Boolean => bytes_of(&[0, 1, 2, 0xff], 1..2),
        CqlType::Tinyint => edges(1),
        CqlType::Smallint => edges(2),
        CqlType::Int | CqlType::Date => edges(4),
        CqlType::Bigint | CqlType::Time | CqlType::Timestamp => edges(8),
        CqlType::Float => {
            floats(&[0, 0x8000_0000, 0x7fc0_0000, 0xffc0_0001, 0x3f80_0000], edges(4))
        }
        CqlType::Double => {
            let zeros = [0u64, 1 << 63, 0x7ff8 << 48, 0xfff8 << 48 | 7, 0x7ff << 52];
            let picked = prop::sample::select(zeros.to_vec());
            prop_oneof![picked.prop_map(|bits| bits.to_be_bytes().to_vec()), edges(8)].boxed()
        }
        CqlType::Inet => prop_oneof![edges(4), edges(16)].boxed(),
        CqlType::Varint => {
            prop_oneof![8 => bytes_of(EDGES, 1..5), 1 => bytes_of(EDGES, 100..130)].boxed()
        }
        CqlType::Decimal => decimals(),
        CqlType::Uuid => uuids(&[0x00, 0x10, 0x40, 0x70, 0xf0]),
        CqlType::Timeuuid => uuids(&[0x10]),
        _ => Just(Vec::new()).boxed(),
    }
}

fn floats(special: &[u32], any: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
    let picked = prop::sample::select(special.to_vec());
    prop_oneof![picked.prop_map(|bits| bits.to_be_bytes().to_vec()), any].boxed()
}

fn decimals() -> BoxedStrategy<Vec<u8>> {
    let scale = prop_oneof![
        8 => -3i32..4,
        1 => Just(i32::MAX),
        1 => Just(i32::MIN),
        1 => -40i32..-28,
    ];
    let unscaled = prop_oneof![
        (-12i64..13).prop_map(|n| n.to_be_bytes().to_vec()),
        (-12i8..13).prop_map(|n| n.to_be_bytes().to_vec()),
        (-3i64..4, 0u32..18).prop_map(|(n, zeros)| (n * 10i64.pow(zeros)).to_be_bytes().to_vec()),
        Just(Vec::new()),
    ];
    (scale, unscaled)
        .prop_map(|(scale, unscaled)| [&scale.to_be_bytes()[..], &unscaled].concat())
        .boxed()
}

fn uuids(versions: &'static [u8]) -> BoxedStrategy<Vec<u8>> {
    (bytes_of(&[0x00, 0x01, 0x7f, 0x80, 0xff], 16..17), prop::sample::select(versions))
        .prop_map(|(mut bytes, version)| {
            bytes[6] = version | bytes[6] & 0x0f;
            bytes
        })
        .boxed()
}

/// Another wire form of the same value: what CQL holds to be equal, spelled differently.
pub(crate) fn respelled(ty: &CqlType, bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let each = |elements: frames::Elements<'_>, types: &[&CqlType]| {
        let types = types.iter().cycle();
        types.zip(elements).map(|(ty, e)| respelled(ty, e.unwrap())).collect::<Vec<_>>()
    };
    match ty {
        CqlType::Frozen(inner) => respelled(inner, bytes),
        CqlType::List(ty) | CqlType::Set(ty) => {
            let mut builder = CollectionBuilder::new();
            let elements = each(frames::list_elements(bytes).unwrap(), &[ty]);
            elements.iter().for_each(|element| builder.element(element));
            builder.finish()
        }
        CqlType::Map(key, value) => {
            let mut builder = CollectionBuilder::new();
            let elements = each(frames::map_elements(bytes).unwrap(), &[key, value]);
            elements.chunks(2).for_each(|entry| builder.entry(&entry[0], &entry[1]));
            builder.finish()
        }
        CqlType::Tuple(types) => {
            let components = frames::tuple_components(bytes, types.len()).unwrap();
            respelled_components(types.iter(), components)
        }
        CqlType::Udt(udt) => {
            let fields = frames::udt_fields(bytes, udt).unwrap();
            respelled_components(udt.fields.iter().map(|(_, ty)| ty), fields)
        }
        CqlType::Vector(ty, dimension) => {
            let mut out = Vec::new();
            for element in frames::vector_elements(bytes, ty, *dimension).unwrap() {
                put_vector_element(&mut out, ty, &respelled(ty, element));
            }
            out
        }
        plain => respelled_plain(plain, bytes),
    }
}

/// With every null at the end written out.
fn respelled_components<'a>(
    types: impl Iterator<Item = &'a CqlType>,
    components: Vec<Option<&[u8]>>,
) -> Vec<u8> {
    let mut out = Vec::new();
    for (ty, component) in types.zip(components) {
        put_framed(&mut out, component.map(|bytes| respelled(ty, bytes)).as_deref());
    }
    out
}

fn respelled_plain(ty: &CqlType, bytes: &[u8]) -> Vec<u8> {
    match ty {
        CqlType::Boolean => vec![u8::from(bytes[0] != 0) * 3],
        CqlType::Varint => {
            let sign = if bytes[0] >= 0x80 { 0xff } else { 0 };
            [&[sign], bytes].concat()
        }
        CqlType::Decimal => {
            let scale = i32::from_be_bytes(bytes[..4].try_into().unwrap());
            let unscaled = num_bigint::BigInt::from_signed_bytes_be(&bytes[4..]);
            match scale.checked_add(1) {
                Some(scale) => {
                    let ten_times: num_bigint::BigInt = unscaled * 10;
                    let ten_times = ten_times.to_signed_bytes_be();
                    [&scale.to_be_bytes()[..], &ten_times].concat()
                }
                None => bytes.to_vec(),
            }
        }
        CqlType::Float if f32::from_be_bytes(bytes.try_into().unwrap()).is_nan() => {
            vec![0xff, 0xff, 0xff, 0xff]
        }
        CqlType::Double if f64::from_be_bytes(bytes.try_into().unwrap()).is_nan() => {
            vec![0x7f, 0xff, 1, 2, 3, 4, 5, 6]
        }
        _ => bytes.to_vec(),
    }
}
