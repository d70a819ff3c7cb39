//! Comparable bodies of numbers of any size.
//!
//! **varint**: the length L of the shortest two's complement form, then that form.
//!
//! ```text
//! L < 112   80 + L            L ≥ 112   F0 | u32 L            negative: these bytes inverted
//! ```
//!
//! **decimal**, as ±0.d₁d₂d₃… × 10^e with d₁ ≠ 0 and no zeros at the end:
//!
//! ```text
//! 01 negative, 02 zero, 03 positive
//! u40 e + 2^39 | pairs of digits, each as 1 + 10·d + d' | 00      negative: these inverted
//! ```
//!
//! Example: 12.5 = 0.125 × 10^2 is `03 80 00 00 00 02 0D 33 00`.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{Put, Reader};
use num_bigint::{BigInt, Sign};

use super::{END, KeySource};
use crate::types::decimal::{Decimal, NUMBER_BYTES_MAX, NUMBER_DIGITS_MAX, power_of_ten};
use crate::types::error::{Result, ValueError};

/// Lengths of varints below this stand in the first byte.
const SHORT_LENGTHS: usize = 0x70;
const SHORT_LENGTH: u8 = 0x80;
const LONG_LENGTH: u8 = 0xf0;

const NEGATIVE: u8 = 1;
const ZERO: u8 = 2;
const POSITIVE: u8 = 3;
const EXPONENT_BIAS: i64 = 1 << 39;

/// Whole numbers come back from a key without an exponent if they have at most this many zeros.
const ZEROS_MAX: i64 = 32;

/// `bytes` without the bytes that only repeat the sign.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest
        && (*first == 0 && second >> 7 == 0 || *first == 0xff && second >> 7 == 1)
    {
        rest = rest.get(1..).unwrap_or_default();
    }
    rest
}

/// The number could be written shorter.
pub(super) fn is_odd_varint(bytes: &[u8]) -> bool {
    shortest(bytes).len() != bytes.len()
}

pub(super) fn encode_varint(bytes: &[u8], out: &mut Vec<u8>) {
    let number = shortest(bytes);
    let start = out.len();
    let length = number.len();
    if length < SHORT_LENGTHS {
        out.put_u8(SHORT_LENGTH + length as u8);
    } else {
        out.put_u8(LONG_LENGTH);
        out.put_u32_be(length as u32);
    }
    if number.first().is_some_and(|first| first >> 7 == 1) {
        invert(out, start);
    }
    out.put_bytes(number);
}

pub(super) fn decode_varint(source: &mut KeySource<'_>, out: &mut Vec<u8>) -> Result<()> {
    let header = source.byte()?;
    let negative = header < SHORT_LENGTH;
    let upright = |byte: u8| if negative { !byte } else { byte };
    let length = match upright(header) {
        LONG_LENGTH => {
            let length = source.array::<4>()?.map(upright);
            Reader::new(&length).u32_be().map_or(0, |length| length as usize)
        }
        short => usize::from(short - SHORT_LENGTH),
    };
    if length == 0 || upright(header) > LONG_LENGTH {
        return Err(ValueError::damaged("a varint in a key has no length"));
    }
    source.copy(length, out)
}

fn invert(out: &mut [u8], start: usize) {
    out.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
}

pub(super) fn encode_decimal(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let length = bytes.len();
    if length > NUMBER_BYTES_MAX {
        return Err(ValueError::invalid(format!("a decimal of {length} bytes is too long")));
    }
    let Some(decimal) = Decimal::from_bytes(bytes) else {
        return Err(ValueError::invalid(format!("Expected 0 or at least 4 bytes ({length})")));
    };
    if decimal.is_zero() {
        out.put_u8(ZERO);
        return Ok(());
    }
    let negative = decimal.unscaled.sign() == Sign::Minus;
    out.put_u8(if negative { NEGATIVE } else { POSITIVE });
    let start = out.len();
    let mut digits = decimal.unscaled.magnitude().to_radix_be(10);
    let exponent = digits.len() as i64 - i64::from(decimal.scale);
    let zeros = digits.iter().rev().take_while(|digit| **digit == 0).count();
    digits.truncate(digits.len() - zeros);
    put_exponent(exponent, out);
    for pair in digits.chunks(2) {
        let (tens, ones) = match pair {
            [tens, ones] => (tens, *ones),
            [tens] => (tens, 0),
            _ => continue,
        };
        out.put_u8(1 + 10 * tens + ones);
    }
    out.put_u8(END);
    if negative {
        invert(out, start);
    }
    Ok(())
}

fn put_exponent(exponent: i64, out: &mut Vec<u8>) {
    // 2^31 of the scale and the digits of a key stay far below the bias.
    let biased = (exponent + EXPONENT_BIAS) as u64;
    out.put_u8((biased >> 32) as u8);
    out.put_u32_be(biased as u32);
}

pub(super) fn decode_decimal(source: &mut KeySource<'_>, out: &mut Vec<u8>) -> Result<()> {
    let damaged = || ValueError::damaged("a decimal in a key does not decode");
    let negative = match source.byte()? {
        ZERO => {
            out.put_bytes(&Decimal::zero().to_bytes());
            return Ok(());
        }
        NEGATIVE => true,
        POSITIVE => false,
        _ => return Err(damaged()),
    };
    let upright = |byte: u8| if negative { !byte } else { byte };
    let [high, low @ ..] = source.array::<5>()?.map(upright);
    let low = Reader::new(&low).u32_be().map_err(|_| damaged())?;
    let exponent = (i64::from(high) << 32 | i64::from(low)) - EXPONENT_BIAS;
    let mut digits = Vec::new();
    loop {
        match upright(source.byte()?) {
            END => break,
            pair @ 1..=100 => digits.extend([(pair - 1) / 10, (pair - 1) % 10]),
            _ => return Err(damaged()),
        }
    }
    if digits.last() == Some(&0) {
        digits.pop();
    }
    let scale = digits.len() as i64 - exponent;
    let sign = if negative { Sign::Minus } else { Sign::Plus };
    let unscaled = BigInt::from_radix_be(sign, &digits, 10).ok_or_else(damaged)?;
    out.put_bytes(&canonical(unscaled, scale).ok_or_else(damaged)?.to_bytes());
    Ok(())
}

/// `unscaled × 10^-scale` in the form that decoding gives.
fn canonical(unscaled: BigInt, scale: i64) -> Option<Decimal> {
    let lowest = if scale >= -ZEROS_MAX { 0 } else { i64::from(i32::MIN) };
    let zeros = usize::try_from(lowest.max(scale) - scale).ok()?;
    if zeros > NUMBER_DIGITS_MAX {
        return None;
    }
    let scale = i32::try_from(lowest.max(scale)).ok()?;
    Some(Decimal { unscaled: unscaled * power_of_ten(zeros), scale })
}
