//! The order of serialized values: what `ORDER BY`, `<`, `min` and sorted collections mean by it.
//!
//! This is the reading of Cassandra's comparators that the [key encoding](super::key) is tested
//! against. Empty values (zero bytes) stand before all others, nulls before those. Bytes that are
//! no value of the type compare as plain bytes; nothing fails.

use std::cmp::Ordering;

use num_bigint::BigInt;

use super::decimal::Decimal;
use super::{CqlType, fixed, frames};

/// Compares two serialized values of type `ty`.
pub fn compare(ty: &CqlType, a: &[u8], b: &[u8]) -> Ordering {
    let ty = ty.unfrozen();
    if a.is_empty() || b.is_empty() {
        return a.len().cmp(&b.len());
    }
    compare_filled(ty, a, b).unwrap_or_else(|| a.cmp(b))
}

/// Compares values that may be null; null stands before everything.
pub fn compare_nullable(ty: &CqlType, a: Option<&[u8]>, b: Option<&[u8]>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare(ty, a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// Whether two serialized values are equal in CQL: 1.0 equals 1.00.
pub fn equal(ty: &CqlType, a: &[u8], b: &[u8]) -> bool {
    a == b || compare(ty, a, b) == Ordering::Equal
}

fn compare_filled(ty: &CqlType, a: &[u8], b: &[u8]) -> Option<Ordering> {
    Some(match ty {
        CqlType::Boolean => (*a.first()? != 0).cmp(&(*b.first()? != 0)),
        CqlType::Tinyint => (fixed::to_u8(a)? as i8).cmp(&(fixed::to_u8(b)? as i8)),
        CqlType::Smallint => fixed::to_i16(a)?.cmp(&fixed::to_i16(b)?),
        CqlType::Int => fixed::to_i32(a)?.cmp(&fixed::to_i32(b)?),
        CqlType::Bigint | CqlType::Counter | CqlType::Timestamp => {
            fixed::to_i64(a)?.cmp(&fixed::to_i64(b)?)
        }
        CqlType::Float => java_order(f64::from(fixed::to_f32(a)?), f64::from(fixed::to_f32(b)?)),
        CqlType::Double => java_order(fixed::to_f64(a)?, fixed::to_f64(b)?),
        CqlType::Varint => BigInt::from_signed_bytes_be(a).cmp(&BigInt::from_signed_bytes_be(b)),
        CqlType::Decimal => Decimal::from_bytes(a)?.compare(&Decimal::from_bytes(b)?),
        CqlType::Uuid => compare_uuid(&fixed::to_uuid(a)?, &fixed::to_uuid(b)?),
        CqlType::Timeuuid => compare_timeuuid(&fixed::to_uuid(a)?, &fixed::to_uuid(b)?),
        CqlType::List(element) => {
            let (a, b) = (frames::list_elements(a).ok()?, frames::list_elements(b).ok()?);
            compare_elements(&[element], a, b)
        }
        CqlType::Set(element) => {
            let (a, b) = (frames::set_elements(a).ok()?, frames::set_elements(b).ok()?);
            compare_elements(&[element], a, b)
        }
        CqlType::Map(key, value) => {
            let (a, b) = (frames::map_elements(a).ok()?, frames::map_elements(b).ok()?);
            compare_elements(&[key, value], a, b)
        }
        CqlType::Tuple(types) => {
            let a = frames::tuple_components(a, types.len()).ok()?;
            let b = frames::tuple_components(b, types.len()).ok()?;
            compare_components(types.iter(), a, b)
        }
        CqlType::Udt(udt) => {
            let types = udt.fields.iter().map(|(_, ty)| ty);
            let (a, b) = (frames::udt_fields(a, udt).ok()?, frames::udt_fields(b, udt).ok()?);
            compare_components(types, a, b)
        }
        CqlType::Vector(element, dimension) => {
            let a = frames::vector_elements(a, element, *dimension).ok()?;
            let b = frames::vector_elements(b, element, *dimension).ok()?;
            let pairs = a.into_iter().zip(b);
            pairs
                .map(|(a, b)| compare(element, a, b))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        }
        // ascii, text, blob, inet, date and time compare as bytes in Cassandra too. Durations
        // have no order; bytes at least tell equal from different.
        _ => a.cmp(b),
    })
}

/// `Double.compareTo`: -0.0 stands before 0.0, NaN after everything and equal to itself.
fn java_order(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(&b),
        (a_nan, b_nan) => a_nan.cmp(&b_nan),
    }
}

/// Elements in turn; then the shorter collection stands first.
fn compare_elements(
    types: &[&CqlType],
    a: frames::Elements<'_>,
    b: frames::Elements<'_>,
) -> Ordering {
    let lengths = a.left().cmp(&b.left());
    let pairs = a.map_while(Result::ok).zip(b.map_while(Result::ok));
    let mut ordered = types.iter().cycle().zip(pairs).map(|(ty, (a, b))| compare(ty, a, b));
    ordered.find(|order| order.is_ne()).unwrap_or(lengths)
}

fn compare_components<'a>(
    types: impl Iterator<Item = &'a CqlType>,
    a: Vec<Option<&[u8]>>,
    b: Vec<Option<&[u8]>>,
) -> Ordering {
    let mut ordered =
        types.zip(a.into_iter().zip(b)).map(|(ty, (a, b))| compare_nullable(ty, a, b));
    ordered.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// By version; then version 1 by time, others by the first half; then by the second half.
fn compare_uuid(a: &[u8; 16], b: &[u8; 16]) -> Ordering {
    let version = |uuid: &[u8; 16]| uuid[6] >> 4;
    let versions = version(a).cmp(&version(b));
    if versions.is_ne() || version(a) != 1 {
        return versions.then_with(|| a.cmp(b));
    }
    uuid_time(a).cmp(&uuid_time(b)).then_with(|| a[8..].cmp(&b[8..]))
}

/// By time; then by the second half as signed bytes, as old versions of Cassandra had it.
fn compare_timeuuid(a: &[u8; 16], b: &[u8; 16]) -> Ordering {
    let signed = |uuid: &[u8; 16]| uuid.map(|byte| byte as i8);
    uuid_time(a).cmp(&uuid_time(b)).then_with(|| signed(a)[8..].cmp(&signed(b)[8..]))
}

/// The 60 bits of a version 1 UUID's time, in units of 100 ns since 1582-10-15, most significant
/// first: bytes 6 and 7 without the version, 4 and 5, 0 to 3.
pub(super) fn uuid_time(uuid: &[u8; 16]) -> u64 {
    let order = [6usize, 7, 4, 5, 0, 1, 2, 3];
    let bits = order.iter().fold(0u64, |bits, at| bits << 8 | u64::from(uuid[*at]));
    bits & 0x0fff_ffff_ffff_ffff
}
