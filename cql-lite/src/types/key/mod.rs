//! Values as comparable bytes: equal in CQL means equal bytes, and plain byte order is the CQL
//! order. Clustering columns and the paths of cells (set elements, map keys) are stored so.
//!
//! A **component** is one value, null or empty:
//!
//! ```text
//! 10              null
//! 20              empty: zero bytes on the wire
//! 30 | body       any other value
//! ```
//!
//! The component of a column in descending order has every byte inverted. Components terminate
//! themselves, so several follow one another without separators. Bodies:
//!
//! ```text
//! tinyint smallint int bigint timestamp   big-endian, sign bit flipped
//! date time                               the wire's bytes (date is unsigned there)
//! boolean                                 00 or 01
//! float double                            big-endian; sign bit flipped, or if negative all bits;
//!                                         every NaN is the one NaN of Java
//! ascii text blob inet custom             the bytes, each 00 as 00 FF; then 00 00
//! varint decimal                          see `number`
//! uuid                                    16 bytes: version, then as Cassandra compares them
//! timeuuid                                16 bytes: time, then each byte with its sign flipped
//! list set                                components of the elements; then 00
//! map                                     components of key, value, key, value …; then 00
//! tuple UDT                               components without the nulls at the end; then 00
//! vector                                  components of the elements
//! ```
//!
//! 00 is less than each marker, so a list that ends stands before the one that goes on. `duration`
//! and `counter` have no order and are refused.
//!
//! Worked example: a clustering key `(a int, b text)` with `b` descending and the values 1, "x":
//! `30 80 00 00 01` and `30 78 00 00` inverted, `CF 87 FF FF`, then [`ROW`](clustering::ROW).
//!
//! Decoding gives the *canonical* wire form: decimals without zeros at the end (whole numbers up
//! to 10^32 without an exponent), the shortest varint, 1 for true, tuples without nulls at the
//! end. Where the client sent another form, [`needs_spelling`] says so and the row or the cell
//! keeps the original beside the key.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

pub mod clustering;
mod nested;
mod number;
pub mod path;
mod scalar;
mod source;

use super::CqlType;
use super::error::{Result, ValueError};
pub use source::KeySource;

/// The component of a null.
pub const NULL: u8 = 0x10;
/// The component of an empty value.
pub const EMPTY: u8 = 0x20;
/// The beginning of any other component.
pub const VALUE: u8 = 0x30;
/// The end of a nested value; less than all markers.
const END: u8 = 0x00;

/// Appends the component of `value`, serialized as the wire has it, or of null.
///
/// The value must be valid and [normalized](super::normalize()).
pub fn encode_component(
    ty: &CqlType,
    value: Option<&[u8]>,
    descending: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    match value {
        None => out.push(NULL),
        Some([]) => out.push(EMPTY),
        Some(bytes) => {
            out.push(VALUE);
            if let Err(error) = encode_body(ty, bytes, out) {
                out.truncate(start);
                return Err(error);
            }
        }
    }
    if descending {
        out.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
    }
    Ok(())
}

/// Reads a component and appends the canonical wire form of its value to `out`. `false` for null.
pub fn decode_component(
    ty: &CqlType,
    source: &mut KeySource<'_>,
    out: &mut Vec<u8>,
) -> Result<bool> {
    match source.byte()? {
        NULL => Ok(false),
        EMPTY => Ok(true),
        VALUE => decode_body(ty, source, out).map(|()| true),
        other => {
            Err(ValueError::damaged(format!("no component of a key begins with {other:#04x}")))
        }
    }
}

/// Decoding the key would not give back `bytes`, so the original has to be kept beside it.
pub fn needs_spelling(ty: &CqlType, bytes: &[u8]) -> bool {
    if bytes.is_empty() || !may_need_spelling(ty) {
        return false;
    }
    match ty {
        CqlType::Boolean => !matches!(bytes, [0 | 1]),
        CqlType::Float => scalar::is_odd_float(bytes),
        CqlType::Double => scalar::is_odd_double(bytes),
        CqlType::Varint => number::is_odd_varint(bytes),
        _ => {
            let mut key = Vec::new();
            let mut canonical = Vec::with_capacity(bytes.len());
            let encoded = encode_component(ty, Some(bytes), false, &mut key);
            let decoded = encoded.and_then(|()| {
                decode_component(ty, &mut KeySource::new(&key, false), &mut canonical)
            });
            decoded.is_err() || canonical != bytes
        }
    }
}

/// Values of this type can have several wire forms that are equal in CQL.
fn may_need_spelling(ty: &CqlType) -> bool {
    ty.any(&|ty| match ty {
        CqlType::Boolean
        | CqlType::Float
        | CqlType::Double
        | CqlType::Varint
        | CqlType::Decimal
        | CqlType::Tuple(_)
        | CqlType::Udt(_) => true,
        // The lengths of their elements can be written longer than needed.
        CqlType::Vector(element, _) => element.fixed_length().is_none(),
        _ => false,
    })
}

fn encode_body(ty: &CqlType, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match ty {
        CqlType::Frozen(inner) => encode_body(inner, bytes, out),
        CqlType::List(_)
        | CqlType::Set(_)
        | CqlType::Map(..)
        | CqlType::Tuple(_)
        | CqlType::Udt(_)
        | CqlType::Vector(..) => nested::encode(ty, bytes, out),
        CqlType::Varint => {
            number::encode_varint(bytes, out);
            Ok(())
        }
        CqlType::Decimal => number::encode_decimal(bytes, out),
        CqlType::Duration | CqlType::Counter => {
            Err(ValueError::invalid(format!("a {ty} has no order and cannot be part of a key")))
        }
        scalar => scalar::encode(scalar, bytes, out).ok_or_else(|| {
            ValueError::invalid(format!("{} bytes are no value of {scalar}", bytes.len()))
        }),
    }
}

fn decode_body(ty: &CqlType, source: &mut KeySource<'_>, out: &mut Vec<u8>) -> Result<()> {
    match ty {
        CqlType::Frozen(inner) => decode_body(inner, source, out),
        CqlType::List(_)
        | CqlType::Set(_)
        | CqlType::Map(..)
        | CqlType::Tuple(_)
        | CqlType::Udt(_)
        | CqlType::Vector(..) => nested::decode(ty, source, out),
        CqlType::Varint => number::decode_varint(source, out),
        CqlType::Decimal => number::decode_decimal(source, out),
        scalar => scalar::decode(scalar, source, out),
    }
}
