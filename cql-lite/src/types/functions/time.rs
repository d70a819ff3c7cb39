//! Functions of time: conversions between timestamps, dates and timeuuids, and the present.
//!
//! A version 1 UUID counts 100 ns from 1582-10-15 in 60 bits.

use super::{Environment, ScalarFunction};
use crate::types::calendar::{DAY_MILLIS, date_of_millis, days_of_date};
use crate::types::{CqlType, fixed, order};

/// Units of 100 ns from 1582-10-15 to 1970-01-01.
const EPOCH_TICKS: i64 = 0x01b2_1dd2_1381_4000;
const TICKS_PER_MILLI: i64 = 10_000;
const TICKS_BITS: u64 = 0x0fff_ffff_ffff_ffff;
/// What stands before the clock sequence of the UUIDs that we make: the variant of RFC 4122.
const VARIANT: u8 = 0x80;

/// The signatures of the function called `name`.
pub(super) fn overloads(name: &str) -> Vec<ScalarFunction> {
    use CqlType::{Bigint, Date, Timestamp, Timeuuid};
    let conversions = |from: &[CqlType], to: CqlType| {
        from.iter().map(|from| conversion(name, from, &to)).collect()
    };
    match name {
        "now" | "current_timeuuid" | "currenttimeuuid" => {
            vec![ScalarFunction::asking(name, Timeuuid, |world| Some(world.timeuuid().to_vec()))]
        }
        "uuid" => {
            let random = |world: &dyn Environment| Some(world.random_uuid().to_vec());
            vec![ScalarFunction::asking(name, CqlType::Uuid, random)]
        }
        "current_timestamp" | "currenttimestamp" => {
            let now = |world: &dyn Environment| Some(fixed::from_i64(now_millis(world)));
            vec![ScalarFunction::asking(name, Timestamp, now)]
        }
        "current_date" | "currentdate" => {
            let now =
                |world: &dyn Environment| date_of_millis(now_millis(world)).map(fixed::from_u32);
            vec![ScalarFunction::asking(name, Date, now)]
        }
        "current_time" | "currenttime" => {
            let now = |world: &dyn Environment| {
                let micros = world.now_micros().rem_euclid(DAY_MILLIS * 1_000);
                Some(fixed::from_i64(micros * 1_000))
            };
            vec![ScalarFunction::asking(name, CqlType::Time, now)]
        }
        "min_timeuuid" | "mintimeuuid" => vec![bound(name, min_timeuuid)],
        "max_timeuuid" | "maxtimeuuid" => vec![bound(name, max_timeuuid)],
        "to_date" | "todate" => conversions(&[Timeuuid, Timestamp], Date),
        "to_timestamp" | "totimestamp" => conversions(&[Timeuuid, Date], Timestamp),
        "to_unix_timestamp" | "tounixtimestamp" => {
            conversions(&[Timeuuid, Timestamp, Date], Bigint)
        }
        _ => Vec::new(),
    }
}

fn now_millis(world: &dyn Environment) -> i64 {
    world.now_micros().div_euclid(1_000)
}

fn conversion(name: &str, from: &CqlType, to: &CqlType) -> ScalarFunction {
    let (source, target) = (from.clone(), to.clone());
    ScalarFunction::unary(name, from.clone(), to.clone(), move |bytes| {
        Ok(convert(&source, &target, bytes))
    })
}

fn bound(name: &str, make: fn(i64) -> [u8; 16]) -> ScalarFunction {
    ScalarFunction::unary(name, CqlType::Timestamp, CqlType::Timeuuid, move |bytes| {
        Ok(fixed::to_i64(bytes).map(|millis| make(millis).to_vec()))
    })
}

/// A timestamp, date or timeuuid as a timestamp, a date or, in a bigint, as milliseconds.
pub(super) fn convert(from: &CqlType, to: &CqlType, bytes: &[u8]) -> Option<Vec<u8>> {
    let millis = millis_of(from, bytes)?;
    match to {
        CqlType::Date => date_of_millis(millis).map(fixed::from_u32),
        _ => Some(fixed::from_i64(millis)),
    }
}

/// Milliseconds since the epoch.
pub(super) fn millis_of(ty: &CqlType, bytes: &[u8]) -> Option<i64> {
    match ty {
        CqlType::Timeuuid => fixed::to_uuid(bytes).map(|uuid| timeuuid_millis(&uuid)),
        CqlType::Date => fixed::to_u32(bytes).map(|date| days_of_date(date) * DAY_MILLIS),
        _ => fixed::to_i64(bytes),
    }
}

/// The time of a version 1 UUID, in milliseconds since the epoch.
pub fn timeuuid_millis(uuid: &[u8; 16]) -> i64 {
    (order::uuid_time(uuid) as i64 - EPOCH_TICKS).div_euclid(TICKS_PER_MILLI)
}

/// The version 1 UUID of `ticks` (units of 100 ns since 1970-01-01) with these last 8 bytes, of
/// which the first two bits are replaced by the variant.
pub fn timeuuid_at(ticks: i64, clock_and_node: [u8; 8]) -> [u8; 16] {
    let [first, rest @ ..] = clock_and_node;
    let [i, j, k, l, m, n, o] = rest;
    with_time(ticks, [VARIANT | first & 0x3f, i, j, k, l, m, n, o])
}

/// The smallest timeuuid, in Cassandra's order, of a millisecond.
pub fn min_timeuuid(millis: i64) -> [u8; 16] {
    with_time(millis.wrapping_mul(TICKS_PER_MILLI), [0x80; 8])
}

/// The largest timeuuid, in Cassandra's order, of a millisecond.
pub fn max_timeuuid(millis: i64) -> [u8; 16] {
    let last = millis.wrapping_add(1).wrapping_mul(TICKS_PER_MILLI).wrapping_sub(1);
    with_time(last, [0x7f; 8])
}

fn with_time(ticks: i64, low: [u8; 8]) -> [u8; 16] {
    let bits = ticks.wrapping_add(EPOCH_TICKS) as u64 & TICKS_BITS;
    let byte = |place: u32| (bits >> (8 * place)) as u8;
    let [i, j, k, l, m, n, o, p] = low;
    [
        byte(3),
        byte(2),
        byte(1),
        byte(0),
        byte(5),
        byte(4),
        0x10 | byte(7),
        byte(6),
        i,
        j,
        k,
        l,
        m,
        n,
        o,
        p,
    ]
}
