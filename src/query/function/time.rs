//! Functions of time: now and its like, conversions between points in time, timeuuid bounds.

use cql_lite::types::CqlType;
use helenus_platform::codec::{Put, Reader};

use crate::error::{Error, Result};

use super::catalog::function;
use super::{Body, Function, Invocation};

/// Days are counted from 2^31, so that days before 1970 are unsigned numbers too.
const EPOCH_DAY: i64 = 1 << 31;
const MILLIS_PER_DAY: i64 = 24 * 3600 * 1000;
/// Units of 100 ns between 1582-10-15, where the time of a version 1 UUID begins, and 1970.
const UUID_EPOCH: i64 = 0x01B2_1DD2_1381_4000;

/// The overloads of the function of that lower-case name.
pub(super) fn overloads(name: &str) -> Vec<Function> {
    use CqlType::{Bigint, Date, Time, Timestamp, Timeuuid};
    let nullary = |ty: CqlType, body: Body| vec![function(&[], ty, body)];
    let each = |from: &[CqlType], to: CqlType, body: Body| {
        let one = |ty: &CqlType| function(std::slice::from_ref(ty), to.clone(), body);
        from.iter().map(one).collect()
    };
    match name {
        "now" => nullary(Timeuuid, now),
        "current_timeuuid" | "currenttimeuuid" => nullary(Timeuuid, now),
        "current_timestamp" | "currenttimestamp" => {
            nullary(Timestamp, |call, _| Ok(long(call.now.div_euclid(1000))))
        }
        "current_date" | "currentdate" => {
            nullary(Date, |call, _| Ok(date(call.now.div_euclid(1000))))
        }
        "current_time" | "currenttime" => {
            nullary(Time, |call, _| Ok(long(call.now.rem_euclid(MILLIS_PER_DAY * 1000) * 1000)))
        }
        "to_timestamp" | "totimestamp" => {
            each(&[Timeuuid, Date], Timestamp, |call, arguments| Ok(long(millis(call, arguments)?)))
        }
        "to_unix_timestamp" | "tounixtimestamp" => {
            each(&[Timeuuid, Date, Timestamp], Bigint, |call, arguments| {
                Ok(long(millis(call, arguments)?))
            })
        }
        "to_date" | "todate" => {
            each(&[Timeuuid, Timestamp], Date, |call, arguments| Ok(date(millis(call, arguments)?)))
        }
        "min_timeuuid" | "mintimeuuid" => {
            vec![function(&[Timestamp], Timeuuid, |_, arguments| {
                let millis = i64_of(arguments)?;
                Ok(Some(timeuuid(ticks(millis), [0x80; 8])))
            })]
        }
        "max_timeuuid" | "maxtimeuuid" => {
            vec![function(&[Timestamp], Timeuuid, |_, arguments| {
                let millis = i64_of(arguments)?;
                Ok(Some(timeuuid(ticks(millis).wrapping_add(9_999), [0x7f; 8])))
            })]
        }
        _ => Vec::new(),
    }
}

/// 100 ns since 1582 of a time in milliseconds since 1970.
fn ticks(millis: i64) -> u64 {
    millis.wrapping_mul(10_000).wrapping_add(UUID_EPOCH) as u64
}

/// A version 1 UUID of this time, with these low bytes.
pub(crate) fn timeuuid(ticks: u64, low: [u8; 8]) -> Vec<u8> {
    let mut uuid = Vec::with_capacity(16);
    uuid.put_u32_be(ticks as u32);
    uuid.put_u16_be((ticks >> 32) as u16);
    uuid.put_u16_be(((ticks >> 48) as u16 & 0x0fff) | 0x1000);
    uuid.put_bytes(&low);
    uuid
}

/// A fresh version 1 UUID: the moment in microseconds, the rest of a tick and the node by chance.
fn now(call: &Invocation<'_>, _: &[Option<&[u8]>]) -> Result<Option<Vec<u8>>> {
    let chance = call.random.next_u64();
    let ticks = (call.now.wrapping_mul(10) as u64)
        .wrapping_add(UUID_EPOCH as u64)
        .wrapping_add(chance % 10);
    let mut low = [0; 8];
    call.random.fill(&mut low);
    // The variant of RFC 4122, and the multicast bit that marks a node id as made up.
    low[0] = (low[0] & 0x3f) | 0x80;
    low[2] |= 0x01;
    Ok(Some(timeuuid(ticks, low)))
}

fn long(value: i64) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8);
    bytes.put_i64_be(value);
    Some(bytes)
}

fn date(millis: i64) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4);
    bytes.put_u32_be((millis.div_euclid(MILLIS_PER_DAY) + EPOCH_DAY) as u32);
    Some(bytes)
}

fn first<'a>(arguments: &[Option<&'a [u8]>]) -> &'a [u8] {
    arguments.first().copied().flatten().unwrap_or_default()
}

fn i64_of(arguments: &[Option<&[u8]>]) -> Result<i64> {
    Reader::new(first(arguments))
        .i64_be()
        .map_err(|_| Error::invalid("Invalid empty value for a point in time"))
}

/// Milliseconds since the epoch of the first argument, whatever point in time it is.
fn millis(call: &Invocation<'_>, arguments: &[Option<&[u8]>]) -> Result<i64> {
    let mut reader = Reader::new(first(arguments));
    let read = match call.function.arguments.first() {
        Some(CqlType::Date) => {
            reader.u32_be().map(|day| (i64::from(day) - EPOCH_DAY).wrapping_mul(MILLIS_PER_DAY))
        }
        Some(CqlType::Timeuuid) => reader.u64_be().map(|high| {
            let ticks = high >> 32 | (high & 0xffff_0000) << 16 | (high & 0x0fff) << 48;
            (ticks as i64).wrapping_sub(UUID_EPOCH).div_euclid(10_000)
        }),
        _ => reader.i64_be(),
    };
    read.map_err(|_| Error::invalid("Invalid empty value for a point in time"))
}
