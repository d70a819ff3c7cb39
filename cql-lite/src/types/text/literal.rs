//! Constants of CQL: which types each lexical kind may stand for, and the value it then is.

use num_bigint::BigInt;

use crate::ast::LiteralKind;
use crate::types::CqlType;
use crate::types::decimal::{Decimal, parse_digits};
use crate::types::error::{Result, ValueError};

use super::{parse, parse_hex, parse_uuid};

/// A constant of this kind can be a value of type `ty`.
pub fn accepts_constant(kind: LiteralKind, ty: &CqlType) -> bool {
    use CqlType::*;
    match ty {
        // Cassandra leaves it to the type to accept or refuse the text.
        Custom(_) => true,
        _ => match kind {
            LiteralKind::String => matches!(ty, Ascii | Text | Inet | Date | Time | Timestamp),
            LiteralKind::Integer => {
                ty.is_numeric() || matches!(ty, Date | Duration | Time | Timestamp)
            }
            LiteralKind::Uuid => matches!(ty, Uuid | Timeuuid),
            LiteralKind::Float => matches!(ty, Decimal | Double | Float),
            LiteralKind::Boolean => matches!(ty, Boolean),
            LiteralKind::Hex => matches!(ty, Blob),
            LiteralKind::Duration => matches!(ty, Duration),
        },
    }
}

/// The serialized value of the constant `text` as a `ty`, which must accept its kind.
pub fn encode_constant(kind: LiteralKind, text: &str, ty: &CqlType) -> Result<Vec<u8>> {
    if kind == LiteralKind::Hex {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        return parse_hex(digits)
            .ok_or_else(|| ValueError::invalid(format!("cannot parse '{digits}' as hex bytes")));
    }
    parse::parse(ty, text)
}

/// The type that a constant has when nothing else says which is meant.
pub fn exact_type(kind: LiteralKind, text: &str) -> CqlType {
    match kind {
        LiteralKind::String if text.is_ascii() => CqlType::Ascii,
        LiteralKind::String => CqlType::Text,
        LiteralKind::Integer => integer_type(text),
        LiteralKind::Uuid => match parse_uuid(text) {
            Some(uuid) if uuid[6] >> 4 == 1 => CqlType::Timeuuid,
            _ => CqlType::Uuid,
        },
        LiteralKind::Float => float_type(text),
        LiteralKind::Boolean => CqlType::Boolean,
        LiteralKind::Hex => CqlType::Blob,
        LiteralKind::Duration => CqlType::Duration,
    }
}

/// The smallest of int, bigint and varint that holds the number.
fn integer_type(text: &str) -> CqlType {
    let number = parse_digits(text.strip_prefix('-').unwrap_or(text))
        .map(|magnitude| if text.starts_with('-') { -magnitude } else { magnitude });
    let number = number.unwrap_or_else(|| BigInt::from(10).pow(40));
    if i32::try_from(&number).is_ok() {
        CqlType::Int
    } else if i64::try_from(&number).is_ok() {
        CqlType::Bigint
    } else {
        CqlType::Varint
    }
}

/// double, if it holds the number exactly as written; else decimal.
fn float_type(text: &str) -> CqlType {
    let Some(decimal) = Decimal::parse(text) else { return CqlType::Double };
    match Decimal::from_f64(decimal.to_f64()) {
        Some(double) if double.compare(&decimal).is_eq() => CqlType::Double,
        _ => CqlType::Decimal,
    }
}
