//! Comparable bodies of the plain types; the table is in the [module's head](super).
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{Put, Reader};

use super::KeySource;
use crate::types::error::{Result, ValueError};
use crate::types::{CqlType, fixed};

/// Java's one NaN.
const NAN_32: u32 = 0x7fc0_0000;
const NAN_64: u64 = 0x7ff8_0000_0000_0000;

/// Appends the body; `None` if `bytes` are no value of `ty`.
pub(super) fn encode(ty: &CqlType, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match ty {
        CqlType::Tinyint => put_signed::<1>(bytes, out)?,
        CqlType::Smallint => put_signed::<2>(bytes, out)?,
        CqlType::Int => put_signed::<4>(bytes, out)?,
        CqlType::Bigint | CqlType::Timestamp => put_signed::<8>(bytes, out)?,
        CqlType::Date => out.put_bytes(bytes.as_array::<4>()?),
        CqlType::Time => out.put_bytes(bytes.as_array::<8>()?),
        CqlType::Boolean => out.put_u8(u8::from(fixed::to_u8(bytes)? != 0)),
        CqlType::Float => {
            let value = fixed::to_f32(bytes)?;
            let bits = if value.is_nan() { NAN_32 } else { value.to_bits() };
            out.put_u32_be(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 });
        }
        CqlType::Double => {
            let value = fixed::to_f64(bytes)?;
            let bits = if value.is_nan() { NAN_64 } else { value.to_bits() };
            out.put_u64_be(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 });
        }
        CqlType::Uuid => out.put_bytes(&uuid_to_key(bytes.as_array()?)),
        CqlType::Timeuuid => out.put_bytes(&timeuuid_to_key(bytes.as_array()?)),
        CqlType::Empty => return None,
        _ => put_escaped(bytes, out),
    }
    Some(())
}

/// Reads the body and appends the wire form.
pub(super) fn decode(ty: &CqlType, source: &mut KeySource<'_>, out: &mut Vec<u8>) -> Result<()> {
    match ty {
        CqlType::Tinyint => get_signed::<1>(source, out)?,
        CqlType::Smallint => get_signed::<2>(source, out)?,
        CqlType::Int => get_signed::<4>(source, out)?,
        CqlType::Bigint | CqlType::Timestamp => get_signed::<8>(source, out)?,
        CqlType::Boolean => source.copy(1, out)?,
        CqlType::Date => source.copy(4, out)?,
        CqlType::Time => source.copy(8, out)?,
        CqlType::Float => {
            let bits = Reader::new(&source.array::<4>()?).u32_be().map_err(damaged)?;
            out.put_u32_be(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits });
        }
        CqlType::Double => {
            let bits = Reader::new(&source.array::<8>()?).u64_be().map_err(damaged)?;
            out.put_u64_be(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits });
        }
        CqlType::Uuid => out.put_bytes(&key_to_uuid(&source.array()?)),
        CqlType::Timeuuid => out.put_bytes(&key_to_timeuuid(&source.array()?)),
        _ => get_escaped(source, out)?,
    }
    Ok(())
}

fn damaged(error: helenus_platform::codec::CodecError) -> ValueError {
    ValueError::damaged(format!("a key does not decode: {error}"))
}

/// NaN with other bits than Java's.
pub(super) fn is_odd_float(bytes: &[u8]) -> bool {
    fixed::to_f32(bytes).is_some_and(|value| value.is_nan() && value.to_bits() != NAN_32)
}

/// NaN with other bits than Java's.
pub(super) fn is_odd_double(bytes: &[u8]) -> bool {
    fixed::to_f64(bytes).is_some_and(|value| value.is_nan() && value.to_bits() != NAN_64)
}

fn put_signed<const N: usize>(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut body = *bytes.as_array::<N>()?;
    *body.first_mut()? ^= 0x80;
    out.put_bytes(&body);
    Some(())
}

fn get_signed<const N: usize>(source: &mut KeySource<'_>, out: &mut Vec<u8>) -> Result<()> {
    let mut body = source.array::<N>()?;
    body.iter_mut().take(1).for_each(|byte| *byte ^= 0x80);
    out.put_bytes(&body);
    Ok(())
}

fn put_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    for (index, run) in bytes.split(|byte| *byte == 0).enumerate() {
        if index > 0 {
            out.put_bytes(&[0x00, 0xff]);
        }
        out.put_bytes(run);
    }
    out.put_bytes(&[0x00, 0x00]);
}

fn get_escaped(source: &mut KeySource<'_>, out: &mut Vec<u8>) -> Result<()> {
    loop {
        source.copy_to_zero(out)?;
        match source.byte()? {
            0x00 => return Ok(()),
            0xff => out.push(0),
            _ => return Err(ValueError::damaged("a zero in a key is neither end nor escape")),
        }
    }
}

/// Version 1: time | the rest. Others: the version before the other 60 bits of the first half.
fn uuid_to_key(uuid: &[u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *uuid;
    let [i, j, k, l, m, n, o, p] = rest;
    if g >> 4 == 1 {
        return [g, h, e, f, a, b, c, d, i, j, k, l, m, n, o, p];
    }
    let version = g & 0xf0;
    // The 48 bits before the version move down by four.
    let down = |high: u8, low: u8| high << 4 | low >> 4;
    let (v0, v1, v2) = (version | a >> 4, down(a, b), down(b, c));
    let (v3, v4, v5) = (down(c, d), down(d, e), down(e, f));
    [v0, v1, v2, v3, v4, v5, f << 4 | g & 0x0f, h, i, j, k, l, m, n, o, p]
}

fn key_to_uuid(key: &[u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *key;
    let [i, j, k, l, m, n, o, p] = rest;
    if a >> 4 == 1 {
        return [e, f, g, h, c, d, a, b, i, j, k, l, m, n, o, p];
    }
    let up = |high: u8, low: u8| high << 4 | low >> 4;
    let (v0, v1, v2) = (up(a, b), up(b, c), up(c, d));
    let (v3, v4, v5) = (up(d, e), up(e, f), up(f, g));
    [v0, v1, v2, v3, v4, v5, a & 0xf0 | g & 0x0f, h, i, j, k, l, m, n, o, p]
}

fn timeuuid_to_key(uuid: &[u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *uuid;
    let [i, j, k, l, m, n, o, p] = rest.map(|byte| byte ^ 0x80);
    [g, h, e, f, a, b, c, d, i, j, k, l, m, n, o, p]
}

fn key_to_timeuuid(key: &[u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *key;
    let [i, j, k, l, m, n, o, p] = rest.map(|byte| byte ^ 0x80);
    [e, f, g, h, c, d, a, b, i, j, k, l, m, n, o, p]
}
