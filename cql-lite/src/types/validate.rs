//! Whether bytes are a value of a type, with Cassandra's wording where they are not.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use super::CqlType;
use super::decimal::NUMBER_BYTES_MAX;
use super::duration::Duration;
use super::error::{Result, ValueError};
use super::frames;

/// Checks that `bytes` are a value of type `ty`. Zero bytes are Cassandra's "empty" value, which
/// most types have; null is not bytes and is not seen here.
pub fn validate(ty: &CqlType, bytes: &[u8]) -> Result<()> {
    match ty {
        CqlType::List(element) => each(frames::list_elements(bytes)?, element),
        CqlType::Set(element) => each(frames::set_elements(bytes)?, element),
        CqlType::Map(key, value) => {
            let mut types = [&**key, value].into_iter().cycle();
            frames::map_elements(bytes)?
                .try_for_each(|element| validate(types.next().unwrap_or(key), element?))
        }
        CqlType::Tuple(types) => {
            components(types.iter(), frames::tuple_components(bytes, types.len())?)
        }
        CqlType::Udt(udt) => {
            let types = udt.fields.iter().map(|(_, ty)| ty);
            components(types, frames::udt_fields(bytes, udt)?)
        }
        CqlType::Vector(element, dimension) => {
            let elements = frames::vector_elements(bytes, element, *dimension)?;
            elements.into_iter().try_for_each(|bytes| validate(element, bytes))
        }
        CqlType::Frozen(inner) => validate(inner, bytes),
        scalar => validate_scalar(scalar, bytes),
    }
}

fn each(elements: frames::Elements<'_>, ty: &CqlType) -> Result<()> {
    let mut elements = elements;
    elements.try_for_each(|element| validate(ty, element?))
}

fn components<'a>(
    types: impl Iterator<Item = &'a CqlType>,
    components: Vec<Option<&[u8]>>,
) -> Result<()> {
    types.zip(components).try_for_each(|(ty, component)| match component {
        Some(bytes) => validate(ty, bytes),
        None => Ok(()),
    })
}

fn validate_scalar(ty: &CqlType, bytes: &[u8]) -> Result<()> {
    let length = bytes.len();
    let one_of = |allowed: &[usize], expected: &str| {
        if allowed.contains(&length) {
            return Ok(());
        }
        Err(ValueError::invalid(format!("Expected {expected} ({length})")))
    };
    match ty {
        CqlType::Ascii => validate_ascii(bytes),
        CqlType::Text => match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(_) => Err(ValueError::invalid("String didn't validate.")),
        },
        CqlType::Boolean => one_of(&[0, 1], "1 or 0 byte value"),
        CqlType::Tinyint => one_of(&[1], "1 byte for a tinyint"),
        CqlType::Smallint => one_of(&[2], "2 bytes for a smallint"),
        CqlType::Int => one_of(&[0, 4], "4 or 0 byte int"),
        CqlType::Bigint => one_of(&[0, 8], "8 or 0 byte long"),
        CqlType::Counter => one_of(&[0, 8], "8 or 0 byte long"),
        CqlType::Float => one_of(&[0, 4], "4 or 0 byte value for a float"),
        CqlType::Double => one_of(&[0, 8], "8 or 0 byte value for a double"),
        CqlType::Date => one_of(&[4], "4 byte long for date"),
        CqlType::Time => one_of(&[8], "8 byte long for time"),
        CqlType::Timestamp => one_of(&[0, 8], "8 or 0 byte long for date"),
        CqlType::Decimal | CqlType::Varint if length > NUMBER_BYTES_MAX => {
            let message =
                format!("A {ty} of {length} bytes is longer than maximum of {NUMBER_BYTES_MAX}");
            Err(ValueError::invalid(message))
        }
        CqlType::Decimal if (1..4).contains(&length) => {
            Err(ValueError::invalid(format!("Expected 0 or at least 4 bytes ({length})")))
        }
        CqlType::Duration => Duration::from_bytes(bytes).map(|_| ()),
        CqlType::Inet if ![0, 4, 16].contains(&length) => {
            let hex = super::text::hex(bytes);
            Err(ValueError::invalid(format!("Expected 4 or 16 byte inetaddress; got {hex}")))
        }
        CqlType::Uuid | CqlType::Timeuuid if ![0, 16].contains(&length) => {
            Err(ValueError::invalid(format!("UUID should be 16 or 0 bytes ({length})")))
        }
        CqlType::Timeuuid => validate_timeuuid(bytes),
        CqlType::Empty if length > 0 => {
            Err(ValueError::invalid("EmptyType only accept empty values"))
        }
        _ => Ok(()),
    }
}

fn validate_ascii(bytes: &[u8]) -> Result<()> {
    match bytes.iter().find(|byte| !byte.is_ascii()) {
        Some(byte) => {
            // Java's bytes are signed.
            let signed = *byte as i8;
            Err(ValueError::invalid(format!("Invalid byte for ascii: {signed}")))
        }
        None => Ok(()),
    }
}

fn validate_timeuuid(bytes: &[u8]) -> Result<()> {
    match bytes.get(6) {
        Some(byte) if byte >> 4 != 1 => {
            let version = byte >> 4;
            Err(ValueError::invalid(format!("Invalid version for TimeUUID type: 0x{version:x}")))
        }
        _ => Ok(()),
    }
}
