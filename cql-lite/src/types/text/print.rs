//! Values as CQL prints them: literals that read back as the value, and the text of `CAST`.

use crate::types::error::Result;
use crate::types::names::maybe_quote;
use crate::types::value::{Value, decode};
use crate::types::{CqlType, UdtType};

use super::{
    hex, java_double, java_float, print_date, print_inet, print_time, print_timestamp_iso,
    print_uuid,
};

/// The serialized value as a literal of CQL, `null` for null.
pub fn to_literal(ty: &CqlType, value: Option<&[u8]>) -> Result<String> {
    match value {
        Some(bytes) => Ok(literal(ty, &decode(ty, bytes)?)),
        None => Ok("null".to_owned()),
    }
}

/// The text of `CAST(value AS text)`: as a literal, but without quotes.
pub fn cast_text(ty: &CqlType, bytes: &[u8]) -> Result<String> {
    let value = decode(ty, bytes)?;
    Ok(match &value {
        Value::Ascii(text) | Value::Text(text) => text.clone(),
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) | Value::Inet(_) => plain(&value),
        other => literal(ty, other),
    })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn literal(ty: &CqlType, value: &Value) -> String {
    match (value, ty.unfrozen()) {
        (Value::List(elements), CqlType::List(element)) => join("[", "]", element, elements),
        (Value::Set(elements), CqlType::Set(element)) => join("{", "}", element, elements),
        (Value::Vector(elements), CqlType::Vector(element, _)) => join("[", "]", element, elements),
        (Value::Map(entries), CqlType::Map(key, value)) => {
            let print =
                |(k, v): &(Value, Value)| format!("{}: {}", literal(key, k), literal(value, v));
            format!("{{{}}}", entries.iter().map(print).collect::<Vec<_>>().join(", "))
        }
        (Value::Tuple(components), CqlType::Tuple(types)) => {
            let print = |(ty, value): (&CqlType, &Option<Value>)| nullable(ty, value);
            let printed: Vec<_> = types.iter().zip(components).map(print).collect();
            format!("({})", printed.join(", "))
        }
        (Value::Udt(fields), CqlType::Udt(udt)) => udt_literal(udt, fields),
        (Value::Ascii(text) | Value::Text(text), _) => quoted(text),
        (Value::Date(_) | Value::Time(_) | Value::Timestamp(_) | Value::Inet(_), _) => {
            quoted(&plain(value))
        }
        _ => plain(value),
    }
}

fn nullable(ty: &CqlType, value: &Option<Value>) -> String {
    value.as_ref().map_or_else(|| "null".to_owned(), |value| literal(ty, value))
}

fn join(open: &str, close: &str, ty: &CqlType, elements: &[Value]) -> String {
    let printed: Vec<_> = elements.iter().map(|element| literal(ty, element)).collect();
    format!("{open}{}{close}", printed.join(", "))
}

fn udt_literal(udt: &UdtType, fields: &[Option<Value>]) -> String {
    let print = |((name, ty), value): (&(String, CqlType), &Option<Value>)| {
        format!("{}: {}", maybe_quote(name), nullable(ty, value))
    };
    let printed: Vec<_> = udt.fields.iter().zip(fields).map(print).collect();
    format!("{{{}}}", printed.join(", "))
}

/// A value without quotes; nested ones do not come here.
fn plain(value: &Value) -> String {
    match value {
        Value::Ascii(text) | Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("0x{}", hex(bytes)),
        Value::Boolean(value) => value.to_string(),
        Value::Tinyint(value) => value.to_string(),
        Value::Smallint(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Bigint(value) | Value::Counter(value) => value.to_string(),
        Value::Varint(value) => value.to_string(),
        Value::Decimal(value) => value.to_plain_string(),
        Value::Float(value) => java_float(*value),
        Value::Double(value) => java_double(*value),
        Value::Date(value) => print_date(*value),
        Value::Time(value) => print_time(*value),
        Value::Timestamp(value) => print_timestamp_iso(*value),
        Value::Timeuuid(value) | Value::Uuid(value) => print_uuid(value),
        Value::Inet(value) => print_inet(value),
        Value::Duration(value) => value.to_string(),
        _ => "null".to_owned(),
    }
}
