//! Numbers of any CQL type, and what becomes of one as another type. Conversions are Java's:
//! integers wrap, floating-point numbers saturate.

use num_bigint::BigInt;

use crate::types::decimal::Decimal;
use crate::types::error::{Result, ValueError};
use crate::types::value::Value;
use crate::types::{CqlType, decode, encode};

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::types) enum Number {
    /// tinyint, smallint, int, bigint and counter.
    Integer(i64),
    /// float; kept apart from double because it prints and converts differently.
    Float(f32),
    /// double.
    Double(f64),
    /// varint.
    Varint(BigInt),
    /// decimal.
    Decimal(Decimal),
}

impl Number {
    /// Reads a serialized number; `None` if it is empty or no number.
    pub(in crate::types) fn read(ty: &CqlType, bytes: &[u8]) -> Result<Option<Number>> {
        Ok(Some(match decode(ty, bytes)? {
            Value::Tinyint(value) => Number::Integer(i64::from(value)),
            Value::Smallint(value) => Number::Integer(i64::from(value)),
            Value::Int(value) => Number::Integer(i64::from(value)),
            Value::Bigint(value) | Value::Counter(value) => Number::Integer(value),
            Value::Float(value) => Number::Float(value),
            Value::Double(value) => Number::Double(value),
            Value::Varint(value) => Number::Varint(value),
            Value::Decimal(value) => Number::Decimal(value),
            _ => return Ok(None),
        }))
    }

    /// The serialized form as a number of type `ty`.
    pub(in crate::types) fn write(&self, ty: &CqlType) -> Result<Vec<u8>> {
        let value = match ty {
            CqlType::Tinyint => Value::Tinyint(self.to_i64() as i8),
            CqlType::Smallint => Value::Smallint(self.to_i64() as i16),
            CqlType::Int => Value::Int(self.to_i32()),
            CqlType::Bigint | CqlType::Counter => Value::Bigint(self.to_i64()),
            CqlType::Float => Value::Float(self.to_f32()),
            CqlType::Double => Value::Double(self.to_f64()),
            CqlType::Varint => Value::Varint(self.to_varint()),
            _ => Value::Decimal(self.to_decimal()?),
        };
        encode(&value, ty)
    }

    /// `longValue`: the low 64 bits of integers, the nearest of floating-point numbers.
    pub(in crate::types) fn to_i64(&self) -> i64 {
        match self {
            Number::Integer(value) => *value,
            Number::Float(value) => *value as i64,
            Number::Double(value) => *value as i64,
            Number::Varint(value) => low_bits(value),
            Number::Decimal(value) => value.to_integer().map_or(0, |value| low_bits(&value)),
        }
    }

    /// `intValue`; floating-point numbers saturate at 32 bits before they are cut further.
    fn to_i32(&self) -> i32 {
        match self {
            Number::Float(value) => *value as i32,
            Number::Double(value) => *value as i32,
            _ => self.to_i64() as i32,
        }
    }

    pub(in crate::types) fn to_f64(&self) -> f64 {
        match self {
            Number::Integer(value) => *value as f64,
            Number::Float(value) => f64::from(*value),
            Number::Double(value) => *value,
            Number::Varint(value) => Decimal::from(value.clone()).to_f64(),
            Number::Decimal(value) => value.to_f64(),
        }
    }

    pub(in crate::types) fn to_f32(&self) -> f32 {
        match self {
            Number::Integer(value) => *value as f32,
            Number::Float(value) => *value,
            other => other.to_f64() as f32,
        }
    }

    /// The whole part; of floating-point numbers as far as 64 bits reach.
    pub(in crate::types) fn to_varint(&self) -> BigInt {
        match self {
            Number::Varint(value) => value.clone(),
            other => BigInt::from(other.to_i64()),
        }
    }

    pub(in crate::types) fn to_decimal(&self) -> Result<Decimal> {
        let double = match self {
            Number::Integer(value) => return Ok(Decimal::from(BigInt::from(*value))),
            Number::Varint(value) => return Ok(Decimal::from(value.clone())),
            Number::Decimal(value) => return Ok(value.clone()),
            Number::Float(value) => f64::from(*value),
            Number::Double(value) => *value,
        };
        Decimal::from_f64(double).ok_or_else(|| {
            let what = if double.is_nan() { "A NaN" } else { "An infinite number" };
            ValueError::execution(format!("{what} cannot be converted into a decimal"))
        })
    }
}

/// The lowest 64 bits of the two's complement.
fn low_bits(value: &BigInt) -> i64 {
    let low = value.iter_u64_digits().next().unwrap_or(0) as i64;
    if value.sign() == num_bigint::Sign::Minus { low.wrapping_neg() } else { low }
}
