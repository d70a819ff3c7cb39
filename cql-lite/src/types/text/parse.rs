//! From text to a value: what a quoted constant, a number or a JSON string means to a type.

use std::net::IpAddr;

use crate::types::decimal::{Decimal, parse_digits};
use crate::types::duration::Duration;
use crate::types::error::{Result, ValueError};
use crate::types::value::from_inet;
use crate::types::{CqlType, fixed};

use super::{moment, parse_hex};

/// The serialized value of type `ty` that `text` stands for. Nested types have no such text.
pub fn parse(ty: &CqlType, text: &str) -> Result<Vec<u8>> {
    let takes_empty = ty.allows_empty() || matches!(ty, CqlType::Duration | CqlType::Counter);
    if text.is_empty() && takes_empty && !matches!(ty, CqlType::Boolean) {
        return Ok(Vec::new());
    }
    let unable = |what: &str| ValueError::invalid(format!("{what} from '{text}'"));
    match ty {
        CqlType::Text => Ok(text.as_bytes().to_vec()),
        CqlType::Ascii => {
            super::super::validate(ty, text.as_bytes())?;
            Ok(text.as_bytes().to_vec())
        }
        CqlType::Boolean => parse_boolean(text).ok_or_else(|| unable("Unable to make boolean")),
        CqlType::Tinyint => match text.parse::<i8>() {
            Ok(value) => Ok(vec![value as u8]),
            Err(_) => Err(unable("Unable to make byte")),
        },
        CqlType::Smallint => {
            text.parse().map(fixed::from_i16).map_err(|_| unable("Unable to make short"))
        }
        CqlType::Int => text.parse().map(fixed::from_i32).map_err(|_| unable("Unable to make int")),
        CqlType::Bigint | CqlType::Counter => {
            text.parse().map(fixed::from_i64).map_err(|_| unable("Unable to make long"))
        }
        CqlType::Varint => parse_varint(text).ok_or_else(|| unable("unable to make int")),
        CqlType::Decimal => match Decimal::parse(text) {
            Some(decimal) => Ok(decimal.to_bytes()),
            None => Err(unable("unable to make BigDecimal")),
        },
        CqlType::Float => match java_number(text).and_then(|text| text.parse().ok()) {
            Some(value) => Ok(fixed::from_f32(value)),
            None => Err(unable("Unable to make float")),
        },
        CqlType::Double => match java_number(text).and_then(|text| text.parse().ok()) {
            Some(value) => Ok(fixed::from_f64(value)),
            None => Err(unable("Unable to make double")),
        },
        _ => parse_other(ty, text),
    }
}

fn parse_other(ty: &CqlType, text: &str) -> Result<Vec<u8>> {
    match ty {
        CqlType::Date => moment::parse_date(text).map(fixed::from_u32),
        CqlType::Time => moment::parse_time(text).map(fixed::from_i64),
        CqlType::Timestamp => moment::parse_timestamp(text).map(fixed::from_i64),
        CqlType::Duration => Duration::parse(text).map(Duration::to_bytes),
        CqlType::Inet => match parse_inet(text) {
            Some(address) => Ok(from_inet(address)),
            None => {
                let message = format!("Unable to make inet address from '{text}'");
                Err(ValueError::invalid(message))
            }
        },
        CqlType::Uuid => match parse_uuid(text) {
            Some(uuid) => Ok(uuid.to_vec()),
            None => Err(ValueError::invalid(format!("Unable to make UUID from '{text}'"))),
        },
        CqlType::Timeuuid => {
            let unknown = || format!("Unknown timeuuid representation: {text}");
            let uuid = parse_uuid(text).ok_or_else(|| ValueError::invalid(unknown()))?;
            if uuid[6] >> 4 != 1 {
                return Err(ValueError::invalid("TimeUUID supports only version 1 UUIDs"));
            }
            Ok(uuid.to_vec())
        }
        CqlType::Frozen(inner) => parse(inner, text),
        _ => parse_hex(text)
            .ok_or_else(|| ValueError::invalid(format!("cannot parse '{text}' as hex bytes"))),
    }
}

fn parse_boolean(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || text.eq_ignore_ascii_case("false") {
        return Some(vec![0]);
    }
    text.eq_ignore_ascii_case("true").then(|| vec![1])
}

fn parse_varint(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let magnitude = parse_digits(digits)?;
    let value = if text.starts_with('-') { -magnitude } else { magnitude };
    Some(value.to_signed_bytes_be())
}

/// Text that Java reads as a floating-point number, in a form that Rust reads as the same.
fn java_number(text: &str) -> Option<&str> {
    let trimmed = text.trim();
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    match unsigned {
        "NaN" => Some("NaN"),
        "Infinity" => Some(trimmed),
        _ => {
            let plain = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
            unsigned.bytes().all(plain).then_some(trimmed)
        }
    }
}

/// An address without a name look-up. An IPv4 address in IPv6 clothes is the IPv4 address, as
/// Java has it.
fn parse_inet(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    match address {
        IpAddr::V6(v6) => Some(v6.to_ipv4_mapped().map_or(address, IpAddr::V4)),
        v4 => Some(v4),
    }
}

/// A UUID in its usual form.
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut groups = text.split('-');
    let mut digits = String::with_capacity(32);
    for length in [8, 4, 4, 4, 12] {
        digits.push_str(groups.next().filter(|group| group.len() == length)?);
    }
    if groups.next().is_some() {
        return None;
    }
    parse_hex(&digits)?.try_into().ok()
}
