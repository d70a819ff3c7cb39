//! Values as text, in all the ways Cassandra has: constants of CQL, literals it prints, JSON.

mod floats;
pub mod json;
mod literal;
mod moment;
mod parse;
mod print;

use std::net::IpAddr;

pub use floats::{java_double, java_float};
pub use literal::{accepts_constant, encode_constant, exact_type};
pub use moment::{
    parse_date, parse_time, parse_timestamp, print_date, print_time, print_timestamp_iso,
    print_timestamp_json,
};
pub use parse::{parse, parse_uuid};
pub use print::{cast_text, to_literal};

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0x0f)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The bytes of an even number of hexadecimal digits.
pub fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

/// A UUID in its usual form, lower case.
pub fn print_uuid(uuid: &[u8; 16]) -> String {
    let digits = hex(uuid);
    let mut out = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out
}

/// An address as Java prints it: IPv6 in eight groups, without `::`.
pub fn print_inet(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => v6.segments().map(|group| format!("{group:x}")).join(":"),
    }
}
