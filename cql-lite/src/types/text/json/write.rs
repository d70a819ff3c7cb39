//! From serialized values to JSON text.

use crate::types::error::Result;
use crate::types::value::{Value, decode};
use crate::types::{CqlType, UdtType};

use super::super::{
    hex, java_double, java_float, print_date, print_inet, print_time, print_timestamp_json,
    print_uuid,
};

/// The serialized value as JSON, as `toJson` gives it; `null` for null.
pub fn to_json(ty: &CqlType, value: Option<&[u8]>) -> Result<String> {
    let mut out = String::new();
    match value {
        Some(bytes) => write(ty, &decode(ty, bytes)?, &mut out),
        None => out.push_str("null"),
    }
    Ok(out)
}

/// `text` in double quotes, escaped.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    out.push_str(&escape(text));
    out.push('"');
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn write(ty: &CqlType, value: &Value, out: &mut String) {
    match (value, ty.unfrozen()) {
        (Value::List(elements) | Value::Set(elements), CqlType::List(ty) | CqlType::Set(ty)) => {
            write_array(elements.iter().map(|element| (&**ty, Some(element))), out);
        }
        (Value::Vector(elements), CqlType::Vector(ty, _)) => {
            write_array(elements.iter().map(|element| (&**ty, Some(element))), out);
        }
        (Value::Tuple(components), CqlType::Tuple(types)) => {
            write_array(types.iter().zip(components.iter().map(Option::as_ref)), out);
        }
        (Value::Map(entries), CqlType::Map(key, value)) => {
            out.push('{');
            for (index, (k, v)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_key(key, k, out);
                out.push_str(": ");
                write(value, v, out);
            }
            out.push('}');
        }
        (Value::Udt(fields), CqlType::Udt(udt)) => write_udt(udt, fields, out),
        (scalar, _) => write_scalar(scalar, out),
    }
}

fn write_array<'a>(
    elements: impl Iterator<Item = (&'a CqlType, Option<&'a Value>)>,
    out: &mut String,
) {
    out.push('[');
    for (index, (ty, element)) in elements.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_nullable(ty, element, out);
    }
    out.push(']');
}

fn write_nullable(ty: &CqlType, value: Option<&Value>, out: &mut String) {
    match value {
        Some(value) => write(ty, value, out),
        None => out.push_str("null"),
    }
}

/// Keys of JSON objects are strings, so other keys are put in quotes as they would be written.
fn write_key(ty: &CqlType, key: &Value, out: &mut String) {
    let mut text = String::new();
    write(ty, key, &mut text);
    if text.starts_with('"') {
        out.push_str(&text);
    } else {
        out.push_str(&quote(&text));
    }
}

fn write_udt(udt: &UdtType, fields: &[Option<Value>], out: &mut String) {
    out.push('{');
    for (index, ((name, ty), value)) in udt.fields.iter().zip(fields).enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        // A name that is not all lower case keeps its own quotes inside the JSON string.
        let lower = *name == name.to_lowercase();
        out.push_str(&if lower { quote(name) } else { quote(&format!("\"{name}\"")) });
        out.push_str(": ");
        write_nullable(ty, value.as_ref(), out);
    }
    out.push('}');
}

fn write_scalar(value: &Value, out: &mut String) {
    match value {
        Value::Ascii(text) | Value::Text(text) => out.push_str(&quote(text)),
        Value::Blob(bytes) => out.push_str(&format!("\"0x{}\"", hex(bytes))),
        Value::Boolean(value) => out.push_str(&value.to_string()),
        Value::Tinyint(value) => out.push_str(&value.to_string()),
        Value::Smallint(value) => out.push_str(&value.to_string()),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Bigint(value) | Value::Counter(value) => out.push_str(&value.to_string()),
        Value::Varint(value) => out.push_str(&value.to_string()),
        Value::Decimal(value) => out.push_str(&value.to_string()),
        // JSON has no NaN and no infinities.
        Value::Float(value) if !value.is_finite() => out.push_str("null"),
        Value::Double(value) if !value.is_finite() => out.push_str("null"),
        Value::Float(value) => out.push_str(&java_float(*value)),
        Value::Double(value) => out.push_str(&java_double(*value)),
        Value::Date(value) => out.push_str(&quote(&print_date(*value))),
        Value::Time(value) => out.push_str(&quote(&print_time(*value))),
        Value::Timestamp(value) => out.push_str(&quote(&print_timestamp_json(*value))),
        Value::Timeuuid(value) | Value::Uuid(value) => out.push_str(&quote(&print_uuid(value))),
        Value::Inet(value) => out.push_str(&quote(&print_inet(value))),
        Value::Duration(value) => out.push_str(&quote(&value.to_string())),
        // Empty values are empty strings.
        _ => out.push_str("\"\""),
    }
}
