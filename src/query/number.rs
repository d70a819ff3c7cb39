//! Sums and averages of serialized numbers, each in the numbers' own type as Cassandra has it:
//! integers wrap around, and the average of ints is an int.

use cql_lite::types::CqlType;
use cql_lite::types::value::{Value, decode, encode};
use num_bigint::BigInt;

use crate::error::{Error, Result};

/// A sum of values of one type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    /// Of whole numbers.
    integer: BigInt,
    /// Of floats and doubles.
    float: f64,
    /// Of decimals: digits, and how many of them stand behind the point.
    decimal: (BigInt, i32),
}

/// The largest difference of scales that decimals are aligned over.
const DECIMAL_DIGITS_MAX: i32 = 10_000;

fn power_of_ten(exponent: i32) -> BigInt {
    BigInt::from(10).pow(u32::try_from(exponent).unwrap_or_default())
}

impl Sum {
    /// Takes a value in.
    pub(crate) fn add(&mut self, ty: &CqlType, bytes: &[u8]) -> Result<()> {
        match decode(ty, bytes)? {
            Value::Tinyint(value) => self.integer += value,
            Value::Smallint(value) => self.integer += value,
            Value::Int(value) => self.integer += value,
            Value::Bigint(value) | Value::Counter(value) => self.integer += value,
            Value::Varint(value) => self.integer += value,
            Value::Float(value) => self.float += f64::from(value),
            Value::Double(value) => self.float += value,
            Value::Decimal(value) => {
                let (digits, scale) = &mut self.decimal;
                let wanted = (*scale).max(value.scale);
                let spread = wanted.saturating_sub((*scale).min(value.scale));
                if spread > DECIMAL_DIGITS_MAX {
                    return Err(Error::invalid("decimals too far apart to be added"));
                }
                let own = std::mem::take(digits) * power_of_ten(wanted - *scale);
                *digits = own + value.unscaled * power_of_ten(wanted - value.scale);
                *scale = wanted;
            }
            _ => {}
        }
        Ok(())
    }

    /// The sum; zero over nothing.
    pub(crate) fn total(&self, ty: &CqlType) -> Result<Vec<u8>> {
        self.value(ty, &self.integer, self.float, &self.decimal.0)
    }

    /// The average of `count` values; zero over nothing.
    pub(crate) fn average(&self, ty: &CqlType, count: i64) -> Result<Vec<u8>> {
        if count == 0 {
            return self.total(ty);
        }
        // Java divides towards zero, decimals towards the even neighbour at the same scale.
        let integer = &self.integer / count;
        let decimal = divide_half_even(&self.decimal.0, count);
        self.value(ty, &integer, self.float / count as f64, &decimal)
    }

    fn value(
        &self,
        ty: &CqlType,
        integer: &BigInt,
        float: f64,
        decimal: &BigInt,
    ) -> Result<Vec<u8>> {
        let wrapped = low_bits(integer);
        let value = match ty {
            CqlType::Tinyint => Value::Tinyint(wrapped as i8),
            CqlType::Smallint => Value::Smallint(wrapped as i16),
            CqlType::Int => Value::Int(wrapped as i32),
            CqlType::Bigint | CqlType::Counter => Value::Bigint(wrapped),
            CqlType::Varint => Value::Varint(integer.clone()),
            CqlType::Float => Value::Float(float as f32),
            CqlType::Double => Value::Double(float),
            _ => {
                let mut bytes = Vec::new();
                helenus_platform::codec::Put::put_i32_be(&mut bytes, self.decimal.1);
                bytes.extend_from_slice(&decimal.to_signed_bytes_be());
                return Ok(bytes);
            }
        };
        let ty = if ty.is_counter() { &CqlType::Bigint } else { ty };
        Ok(encode(&value, ty)?)
    }
}

/// The lowest 64 bits, as two's complement.
fn low_bits(integer: &BigInt) -> i64 {
    let bytes = integer.to_signed_bytes_be();
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1i64 } else { 0 };
    let tail = bytes.len().saturating_sub(8);
    bytes.iter().skip(tail).fold(start, |value, byte| value << 8 | i64::from(*byte))
}

fn divide_half_even(digits: &BigInt, count: i64) -> BigInt {
    let quotient = digits / count;
    let rest = digits - &quotient * count;
    let twice = &rest * 2u8;
    let away: i64 = if rest.sign() == num_bigint::Sign::Minus { -1 } else { 1 };
    let twice_magnitude: BigInt = twice * away;
    let odd = (&quotient % 2u8) != BigInt::ZERO;
    match twice_magnitude.cmp(&BigInt::from(count)) {
        std::cmp::Ordering::Greater => quotient + away,
        std::cmp::Ordering::Equal if odd => quotient + away,
        _ => quotient,
    }
}

/// The number in the serialized form of an integer of up to 64 bits.
pub(crate) fn to_i64(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| value << 8 | i64::from(*byte))
}
