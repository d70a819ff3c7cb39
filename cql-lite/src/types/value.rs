//! Owned, decoded values, for literals, functions and text.

use std::net::IpAddr;

use num_bigint::BigInt;

use super::decimal::Decimal;
use super::duration::Duration;
use super::error::{Result, ValueError};
use super::{CqlType, fixed, frames, normalize, validate};

/// A decoded value. Null is not one: where null can stand there is an `Option`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Zero bytes of a type for which that is not an ordinary value.
    Empty,
    /// `ascii`.
    Ascii(String),
    /// `text`.
    Text(String),
    /// `blob`, and types of which only the class name is known.
    Blob(Vec<u8>),
    /// `boolean`.
    Boolean(bool),
    /// `tinyint`.
    Tinyint(i8),
    /// `smallint`.
    Smallint(i16),
    /// `int`.
    Int(i32),
    /// `bigint`.
    Bigint(i64),
    /// `counter`.
    Counter(i64),
    /// `varint`.
    Varint(BigInt),
    /// `decimal`.
    Decimal(Decimal),
    /// `float`.
    Float(f32),
    /// `double`.
    Double(f64),
    /// `date`: days, with 1970-01-01 at 2^31.
    Date(u32),
    /// `time`: nanoseconds since midnight.
    Time(i64),
    /// `timestamp`: milliseconds since the epoch.
    Timestamp(i64),
    /// `timeuuid`.
    Timeuuid([u8; 16]),
    /// `uuid`.
    Uuid([u8; 16]),
    /// `inet`.
    Inet(IpAddr),
    /// `duration`.
    Duration(Duration),
    /// `list`.
    List(Vec<Value>),
    /// `set`, in the order of its elements.
    Set(Vec<Value>),
    /// `map`, in the order of its keys.
    Map(Vec<(Value, Value)>),
    /// `tuple`, as many components as the type has.
    Tuple(Vec<Option<Value>>),
    /// A user-defined type, as many fields as the type has.
    Udt(Vec<Option<Value>>),
    /// `vector`.
    Vector(Vec<Value>),
}

/// Decodes the serialized form of a value of type `ty`, checking it first.
pub fn decode(ty: &CqlType, bytes: &[u8]) -> Result<Value> {
    validate::validate(ty, bytes)?;
    decode_valid(ty, bytes)
}

fn decode_valid(ty: &CqlType, bytes: &[u8]) -> Result<Value> {
    let all = |element: &CqlType, elements: frames::Elements<'_>| {
        elements.map(|bytes| decode_valid(element, bytes?)).collect::<Result<Vec<_>>>()
    };
    Ok(match ty {
        CqlType::List(element) => Value::List(all(element, frames::list_elements(bytes)?)?),
        CqlType::Set(element) => Value::Set(all(element, frames::set_elements(bytes)?)?),
        CqlType::Map(key, value) => {
            let entries = frames::map_entries(bytes)?.into_iter();
            let decoded =
                entries.map(|(k, v)| Ok((decode_valid(key, k)?, decode_valid(value, v)?)));
            Value::Map(decoded.collect::<Result<_>>()?)
        }
        CqlType::Tuple(types) => {
            let components = frames::tuple_components(bytes, types.len())?;
            Value::Tuple(decode_components(types.iter(), components)?)
        }
        CqlType::Udt(udt) => {
            let types = udt.fields.iter().map(|(_, ty)| ty);
            Value::Udt(decode_components(types, frames::udt_fields(bytes, udt)?)?)
        }
        CqlType::Vector(element, dimension) => {
            let elements = frames::vector_elements(bytes, element, *dimension)?.into_iter();
            let decoded = elements.map(|bytes| decode_valid(element, bytes));
            Value::Vector(decoded.collect::<Result<_>>()?)
        }
        CqlType::Frozen(inner) => decode_valid(inner, bytes)?,
        scalar => decode_scalar(scalar, bytes)
            .ok_or_else(|| ValueError::invalid(format!("the bytes are no value of {scalar}")))?,
    })
}

fn decode_components<'a>(
    types: impl Iterator<Item = &'a CqlType>,
    components: Vec<Option<&[u8]>>,
) -> Result<Vec<Option<Value>>> {
    let decode = |(ty, bytes): (_, Option<&[u8]>)| bytes.map(|b| decode_valid(ty, b)).transpose();
    types.zip(components).map(decode).collect()
}

fn decode_scalar(ty: &CqlType, bytes: &[u8]) -> Option<Value> {
    if bytes.is_empty() && !ty.is_empty_meaningful() {
        return Some(Value::Empty);
    }
    let text = || String::from_utf8(bytes.to_vec()).ok();
    Some(match ty {
        CqlType::Ascii => Value::Ascii(text()?),
        CqlType::Text => Value::Text(text()?),
        CqlType::Boolean => Value::Boolean(fixed::to_u8(bytes)? != 0),
        CqlType::Tinyint => Value::Tinyint(fixed::to_u8(bytes)? as i8),
        CqlType::Smallint => Value::Smallint(fixed::to_i16(bytes)?),
        CqlType::Int => Value::Int(fixed::to_i32(bytes)?),
        CqlType::Bigint => Value::Bigint(fixed::to_i64(bytes)?),
        CqlType::Counter => Value::Counter(fixed::to_i64(bytes)?),
        CqlType::Varint => Value::Varint(BigInt::from_signed_bytes_be(bytes)),
        CqlType::Decimal => Value::Decimal(Decimal::from_bytes(bytes)?),
        CqlType::Float => Value::Float(fixed::to_f32(bytes)?),
        CqlType::Double => Value::Double(fixed::to_f64(bytes)?),
        CqlType::Date => Value::Date(fixed::to_u32(bytes)?),
        CqlType::Time => Value::Time(fixed::to_i64(bytes)?),
        CqlType::Timestamp => Value::Timestamp(fixed::to_i64(bytes)?),
        CqlType::Timeuuid => Value::Timeuuid(fixed::to_uuid(bytes)?),
        CqlType::Uuid => Value::Uuid(fixed::to_uuid(bytes)?),
        CqlType::Inet => Value::Inet(to_inet(bytes)?),
        CqlType::Duration => Value::Duration(Duration::from_bytes(bytes).ok()?),
        _ => Value::Blob(bytes.to_vec()),
    })
}

/// The address in 4 or 16 bytes. An IPv4 address in 16 bytes stays what it is.
pub(super) fn to_inet(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Encodes `value` as a value of type `ty`. Sets and maps come out sorted and without duplicates.
pub fn encode(value: &Value, ty: &CqlType) -> Result<Vec<u8>> {
    let ty = ty.unfrozen();
    match (value, ty) {
        (Value::List(elements), CqlType::List(element)) => encode_elements(elements, element),
        (Value::Set(elements), CqlType::Set(element)) => {
            let bytes = encode_elements(elements, element)?;
            Ok(normalize::normalize(ty, &bytes)?.into_owned())
        }
        (Value::Map(entries), CqlType::Map(key, value)) => {
            let mut builder = frames::CollectionBuilder::new();
            for (k, v) in entries {
                builder.entry(&encode(k, key)?, &encode(v, value)?);
            }
            Ok(normalize::normalize(ty, &builder.finish())?.into_owned())
        }
        (Value::Tuple(values), CqlType::Tuple(types)) if values.len() == types.len() => {
            encode_components(values, types.iter())
        }
        (Value::Udt(values), CqlType::Udt(udt)) if values.len() == udt.fields.len() => {
            encode_components(values, udt.fields.iter().map(|(_, ty)| ty))
        }
        (Value::Vector(elements), CqlType::Vector(element, dimension))
            if elements.len() == *dimension =>
        {
            let mut out = Vec::new();
            for value in elements {
                frames::put_vector_element(&mut out, element, &encode(value, element)?);
            }
            Ok(out)
        }
        (Value::Empty, _) if ty.allows_empty() => Ok(Vec::new()),
        _ => {
            let bytes = encode_scalar(value, ty).ok_or_else(|| {
                ValueError::invalid(format!("a value of another type was given for {ty}"))
            })?;
            validate::validate(ty, &bytes)?;
            Ok(bytes)
        }
    }
}

fn encode_elements(elements: &[Value], ty: &CqlType) -> Result<Vec<u8>> {
    let mut builder = frames::CollectionBuilder::new();
    for element in elements {
        builder.element(&encode(element, ty)?);
    }
    Ok(builder.finish())
}

fn encode_components<'a>(
    values: &[Option<Value>],
    types: impl Iterator<Item = &'a CqlType>,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (value, ty) in values.iter().zip(types) {
        let bytes = value.as_ref().map(|value| encode(value, ty)).transpose()?;
        frames::put_framed(&mut out, bytes.as_deref());
    }
    Ok(out)
}

fn encode_scalar(value: &Value, ty: &CqlType) -> Option<Vec<u8>> {
    Some(match (value, ty) {
        (Value::Ascii(text), CqlType::Ascii | CqlType::Text) => text.clone().into_bytes(),
        (Value::Text(text), CqlType::Ascii | CqlType::Text) => text.clone().into_bytes(),
        (Value::Blob(bytes), CqlType::Blob | CqlType::Custom(_) | CqlType::Empty) => bytes.clone(),
        (Value::Boolean(value), CqlType::Boolean) => vec![u8::from(*value)],
        (Value::Tinyint(value), CqlType::Tinyint) => vec![*value as u8],
        (Value::Smallint(value), CqlType::Smallint) => fixed::from_i16(*value),
        (Value::Int(value), CqlType::Int) => fixed::from_i32(*value),
        (Value::Bigint(value) | Value::Counter(value), CqlType::Bigint | CqlType::Counter) => {
            fixed::from_i64(*value)
        }
        (Value::Varint(value), CqlType::Varint) => value.to_signed_bytes_be(),
        (Value::Decimal(value), CqlType::Decimal) => value.to_bytes(),
        (Value::Float(value), CqlType::Float) => fixed::from_f32(*value),
        (Value::Double(value), CqlType::Double) => fixed::from_f64(*value),
        (Value::Date(value), CqlType::Date) => fixed::from_u32(*value),
        (Value::Time(value), CqlType::Time) => fixed::from_i64(*value),
        (Value::Timestamp(value), CqlType::Timestamp) => fixed::from_i64(*value),
        (Value::Timeuuid(value), CqlType::Timeuuid | CqlType::Uuid) => value.to_vec(),
        (Value::Uuid(value), CqlType::Uuid | CqlType::Timeuuid) => value.to_vec(),
        (Value::Inet(value), CqlType::Inet) => from_inet(*value),
        (Value::Duration(value), CqlType::Duration) => value.to_bytes(),
        _ => return None,
    })
}

/// The 4 or 16 bytes of an address.
pub(super) fn from_inet(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
