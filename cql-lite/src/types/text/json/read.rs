//! From parsed JSON to serialized values.

use std::borrow::Cow;

use super::{Json, parse_json};
use crate::types::decimal::Decimal;
use crate::types::error::{Result, ValueError};
use crate::types::frames::{CollectionBuilder, put_framed, put_vector_element};
use crate::types::{CqlType, UdtType, normalize, validate};

use super::super::{parse, parse_hex};

/// The serialized value of type `ty` that `json` stands for; `None` for null.
pub fn from_json(ty: &CqlType, json: &Json) -> Result<Option<Vec<u8>>> {
    if *json == Json::Null {
        return Ok(None);
    }
    let bytes = read(ty, json)?;
    let normal = normalize(ty, &bytes)?.into_owned();
    Ok(Some(normal))
}

/// The name that a key of a JSON object means: in inner quotes as it is, else in lower case.
pub fn name_of_key(key: &str) -> String {
    match key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => key.to_lowercase(),
    }
}

fn expected(what: &str, json: &Json) -> ValueError {
    let message = format!("Expected {what}, but got a {}: {json}", json.class_name());
    ValueError::invalid(message)
}

fn read(ty: &CqlType, json: &Json) -> Result<Vec<u8>> {
    match ty {
        CqlType::Frozen(inner) => read(inner, json),
        CqlType::List(_)
        | CqlType::Set(_)
        | CqlType::Map(..)
        | CqlType::Tuple(_)
        | CqlType::Udt(_)
        | CqlType::Vector(..) => {
            let json = nested(json)?;
            read_nested(ty, &json)
        }
        scalar => {
            let bytes = read_scalar(scalar, json)?;
            validate(scalar, &bytes)?;
            Ok(bytes)
        }
    }
}

fn read_nested(ty: &CqlType, json: &Json) -> Result<Vec<u8>> {
    match ty {
        CqlType::Set(element) => {
            let what = "a list (representing a set)";
            collection(element, json, what, "Invalid null element in set")
        }
        CqlType::Map(key, value) => read_map(key, value, json),
        CqlType::Tuple(types) => read_tuple(types, json),
        CqlType::Udt(udt) => read_udt(udt, json),
        CqlType::Vector(element, dimension) => read_vector(element, *dimension, json),
        CqlType::List(element) => {
            collection(element, json, "a list", "Invalid null element in list")
        }
        other => Err(ValueError::invalid(format!("{other} is no nested type"))),
    }
}

/// A nested value may come as a string that holds its JSON, as keys of maps have to.
fn nested(json: &Json) -> Result<Cow<'_, Json>> {
    match json {
        Json::String(text) => parse_json(text).map(Cow::Owned),
        other => Ok(Cow::Borrowed(other)),
    }
}

fn collection(ty: &CqlType, json: &Json, what: &str, null: &str) -> Result<Vec<u8>> {
    let Json::Array(elements) = json else { return Err(expected(what, json)) };
    let mut builder = CollectionBuilder::new();
    for element in elements {
        if *element == Json::Null {
            return Err(ValueError::invalid(null));
        }
        builder.element(&read(ty, element)?);
    }
    Ok(builder.finish())
}

fn read_map(key: &CqlType, value: &CqlType, json: &Json) -> Result<Vec<u8>> {
    let Json::Object(entries) = json else { return Err(expected("a map", json)) };
    let mut builder = CollectionBuilder::new();
    for (k, v) in entries {
        if *v == Json::Null {
            return Err(ValueError::invalid("Invalid null value in map"));
        }
        builder.entry(&read(key, &Json::String(k.clone()))?, &read(value, v)?);
    }
    Ok(builder.finish())
}

fn read_tuple(types: &[CqlType], json: &Json) -> Result<Vec<u8>> {
    let Json::Array(elements) = json else {
        return Err(expected("a list representation of a tuple", json));
    };
    let problem = match elements.len().cmp(&types.len()) {
        std::cmp::Ordering::Greater => "contains extra",
        std::cmp::Ordering::Less => "is missing",
        std::cmp::Ordering::Equal => return read_components(types.iter().zip(elements)),
    };
    let count = types.len();
    Err(ValueError::invalid(format!("Tuple {problem} items (expected {count}): {json}")))
}

fn read_components<'a>(
    components: impl Iterator<Item = (&'a CqlType, &'a Json)>,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (ty, json) in components {
        let bytes = if *json == Json::Null { None } else { Some(read(ty, json)?) };
        put_framed(&mut out, bytes.as_deref());
    }
    Ok(out)
}

fn read_udt(udt: &UdtType, json: &Json) -> Result<Vec<u8>> {
    let Json::Object(entries) = json else { return Err(expected("a map", json)) };
    let named: Vec<_> = entries.iter().map(|(key, value)| (name_of_key(key), value)).collect();
    let unknown = named.iter().find(|(name, _)| udt.field(name).is_none());
    if let Some((name, _)) = unknown {
        return Err(ValueError::invalid(format!(
            "Unknown field '{name}' in value of user defined type {}",
            udt.name
        )));
    }
    let value_of = |field: &str| {
        let last = named.iter().rev().find(|(name, _)| name == field);
        last.map_or(&Json::Null, |(_, value)| *value)
    };
    read_components(udt.fields.iter().map(|(name, ty)| (ty, value_of(name))))
}

fn read_vector(element: &CqlType, dimension: usize, json: &Json) -> Result<Vec<u8>> {
    let Json::Array(elements) = json else { return Err(expected("a list", json)) };
    if elements.len() != dimension {
        return Err(ValueError::invalid(format!(
            "List had incorrect size: expected {dimension} but given {}; {json}",
            elements.len()
        )));
    }
    let mut out = Vec::new();
    for json in elements {
        if *json == Json::Null {
            return Err(ValueError::invalid("Invalid null element in list"));
        }
        put_vector_element(&mut out, element, &read(element, json)?);
    }
    Ok(out)
}

fn read_scalar(ty: &CqlType, json: &Json) -> Result<Vec<u8>> {
    match ty {
        CqlType::Tinyint => whole_number(ty, json, "a byte value"),
        CqlType::Smallint => whole_number(ty, json, "a short value"),
        CqlType::Int => whole_number(ty, json, "an int value"),
        CqlType::Bigint | CqlType::Counter => whole_number(ty, json, "a bigint value"),
        CqlType::Float => number(ty, json, "a float value"),
        CqlType::Double => number(ty, json, "a double value"),
        CqlType::Varint => parse::parse(ty, &json.to_string()).map_err(|_| {
            let message = format!("Value '{json}' is not a valid representation of a varint value");
            ValueError::invalid(message)
        }),
        CqlType::Decimal => match Decimal::parse(&json.to_string()) {
            Some(decimal) => Ok(decimal.to_bytes()),
            None => Err(ValueError::invalid(format!(
                "Value '{json}' is not a valid representation of a decimal value"
            ))),
        },
        CqlType::Boolean => match json {
            Json::Boolean(value) => Ok(vec![u8::from(*value)]),
            Json::String(text) => parse::parse(ty, text),
            _ => Err(expected("a boolean value", json)),
        },
        CqlType::Timestamp => match json {
            Json::String(text) => parse::parse(ty, text),
            Json::Number(text) if text.parse::<i64>().is_ok() => parse::parse(ty, text),
            _ => Err(expected("a long or a datestring representation of a date value", json)),
        },
        CqlType::Blob | CqlType::Custom(_) | CqlType::Empty => read_blob(json),
        _ => {
            let what = match ty {
                CqlType::Ascii => "an ascii string",
                CqlType::Text => "a UTF-8 string",
                CqlType::Uuid => "a string representation of a uuid",
                CqlType::Timeuuid => "a string representation of a timeuuid",
                CqlType::Inet => "a string representation of an inet value",
                CqlType::Date => "a string representation of a date value",
                CqlType::Time => "a string representation of a time value",
                _ => "a string representation of a duration",
            };
            match json {
                Json::String(text) => parse::parse(ty, text),
                _ => Err(expected(what, json)),
            }
        }
    }
}

/// A number without a point, or a string that holds one.
fn whole_number(ty: &CqlType, json: &Json, what: &str) -> Result<Vec<u8>> {
    match json {
        Json::String(text) => parse::parse(ty, text),
        Json::Number(text) => parse::parse(ty, text).map_err(|_| expected(what, json)),
        _ => Err(expected(what, json)),
    }
}

fn number(ty: &CqlType, json: &Json, what: &str) -> Result<Vec<u8>> {
    match json {
        Json::String(text) | Json::Number(text) => parse::parse(ty, text),
        _ => Err(expected(what, json)),
    }
}

fn read_blob(json: &Json) -> Result<Vec<u8>> {
    let problem = match json {
        Json::String(text) => match text.strip_prefix("0x").map(parse_hex) {
            Some(Some(bytes)) => return Ok(bytes),
            Some(None) => "cannot parse it as hex bytes".to_owned(),
            None => format!("String representation of blob is missing 0x prefix: {text}"),
        },
        _ => format!("{} cannot be cast to String", json.class_name()),
    };
    let message = format!("Value '{json}' is not a valid blob representation: {problem}");
    Err(ValueError::invalid(message))
}
