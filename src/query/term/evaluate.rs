//! Terms become values when a statement is executed.

use std::borrow::Cow;
use std::cell::OnceCell;

use cql_lite::types::normalize::normalize;
use cql_lite::types::text::json::{Json, from_json, name_of_key, parse_json};
use cql_lite::types::validate::validate;
use cql_lite::types::{CqlType, frames};
use cql_lite::wire::BoundValue;
use helenus_platform::random::Random;

use crate::error::{Error, Result};
use crate::query::bindings::Bindings;

use super::{JsonColumn, JsonSource, Term};

/// What a term can depend on besides itself.
pub(crate) struct Environment<'a> {
    /// The client's values.
    pub(crate) bindings: &'a Bindings<'a>,
    /// The moment of the request: microseconds since the epoch.
    pub(crate) now: i64,
    /// Source of UUIDs.
    pub(crate) random: &'a dyn Random,
    /// The object of INSERT JSON, once it is parsed: values by column.
    json: OnceCell<Vec<(String, Json)>>,
}

impl<'a> Environment<'a> {
    /// An environment of these values at this moment (microseconds since the epoch).
    pub(crate) fn new(
        bindings: &'a Bindings<'a>,
        now: i64,
        random: &'a dyn Random,
    ) -> Environment<'a> {
        Environment { bindings, now, random, json: OnceCell::new() }
    }
}

/// The value of a term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bound<'a> {
    /// Null.
    Null,
    /// The client did not set the marker: leave things as they are.
    Unset,
    /// A serialized value.
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Bound<'a> {
    /// The bytes, if there are any.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Bound::Bytes(bytes) => Some(bytes),
            Bound::Null | Bound::Unset => None,
        }
    }

    /// The same without a borrow.
    pub(crate) fn into_owned(self) -> Bound<'static> {
        match self {
            Bound::Null => Bound::Null,
            Bound::Unset => Bound::Unset,
            Bound::Bytes(bytes) => Bound::Bytes(Cow::Owned(bytes.into_owned())),
        }
    }
}

impl Term {
    /// What the client sent for a marker, not checked; for other terms the same as `evaluate`,
    /// which cannot fail for them where this is used.
    pub(crate) fn evaluate_unchecked<'a>(&'a self, environment: &Environment<'a>) -> Bound<'a> {
        match self {
            Term::Marker { index, .. } => match environment.bindings.get(*index) {
                BoundValue::Null => Bound::Null,
                BoundValue::Unset => Bound::Unset,
                BoundValue::Bytes(bytes) => Bound::Bytes(Cow::Borrowed(bytes)),
            },
            other => other.evaluate(environment).unwrap_or(Bound::Unset),
        }
    }

    /// The value, checked against the term's type.
    pub(crate) fn evaluate<'a>(&'a self, environment: &Environment<'a>) -> Result<Bound<'a>> {
        match self {
            Term::Constant(None) => Ok(Bound::Null),
            Term::Constant(Some(bytes)) => Ok(Bound::Bytes(Cow::Borrowed(bytes))),
            Term::Marker { index, ty } => match environment.bindings.get(*index) {
                BoundValue::Null => Ok(Bound::Null),
                BoundValue::Unset => Ok(Bound::Unset),
                BoundValue::Bytes(bytes) => {
                    validate(ty, bytes)?;
                    Ok(Bound::Bytes(normalize(ty, bytes)?))
                }
            },
            Term::Composite { ty, parts } => composite(ty, parts, environment),
            Term::Json(column) => json_value(column, environment),
            Term::Call(call) => {
                let mut arguments = Vec::with_capacity(call.arguments.len());
                for argument in &call.arguments {
                    arguments.push(match argument.evaluate(environment)? {
                        Bound::Unset => {
                            return Err(Error::invalid(format!(
                                "Invalid unset value for argument in call to function {}",
                                call.function.name()
                            )));
                        }
                        other => other,
                    });
                }
                let values: Vec<Option<&[u8]>> = arguments.iter().map(Bound::bytes).collect();
                let result = call.function.call(&values, environment.now, environment.random)?;
                Ok(result.map_or(Bound::Null, |bytes| Bound::Bytes(Cow::Owned(bytes))))
            }
        }
    }
}

/// The value of a column in the object of INSERT JSON.
fn json_value(column: &JsonColumn, environment: &Environment<'_>) -> Result<Bound<'static>> {
    let values = match environment.json.get() {
        Some(values) => values,
        None => {
            let parsed = json_object(&column.source, environment)?;
            environment.json.get_or_init(|| parsed)
        }
    };
    let found = values.iter().rev().find(|(name, _)| *name == column.name);
    let Some((_, json)) = found else {
        return Ok(if column.keep_missing { Bound::Unset } else { Bound::Null });
    };
    match from_json(&column.ty, json) {
        Ok(Some(bytes)) => Ok(Bound::Bytes(Cow::Owned(bytes))),
        Ok(None) => Ok(Bound::Null),
        Err(error) => Err(Error::invalid(format!(
            "Error decoding JSON value for {}: {}",
            column.name, error.message
        ))),
    }
}

fn json_object(source: &JsonSource, environment: &Environment<'_>) -> Result<Vec<(String, Json)>> {
    let text = source.term.evaluate(environment)?;
    let Some(bytes) = text.bytes() else {
        return Err(Error::invalid("Got null for INSERT JSON values"));
    };
    let text = String::from_utf8_lossy(bytes);
    let undecodable = |reason: &str| {
        Error::invalid(format!(
            "Could not decode JSON string as a map: {reason}. (String was: {text})"
        ))
    };
    let entries = match parse_json(&text).map_err(|error| undecodable(&error.message))? {
        Json::Object(entries) => entries,
        Json::Null => return Err(Error::invalid("Got null for INSERT JSON values")),
        _ => return Err(undecodable(&text)),
    };
    let mut values = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name = name_of_key(&key);
        if !source.columns.contains(&name) {
            return Err(Error::invalid(format!(
                "JSON values map contains unrecognized column: {name}"
            )));
        }
        values.push((name, value));
    }
    Ok(values)
}

/// The value of a literal of several parts. Unset anywhere in it makes it unset.
fn composite<'a>(
    ty: &CqlType,
    parts: &'a [Term],
    environment: &Environment<'a>,
) -> Result<Bound<'a>> {
    let mut values = Vec::with_capacity(parts.len());
    for part in parts {
        match part.evaluate(environment)? {
            Bound::Unset => return Ok(Bound::Unset),
            other => values.push(other),
        }
    }
    let values: Vec<Option<&[u8]>> = values.iter().map(Bound::bytes).collect();
    Ok(Bound::Bytes(Cow::Owned(assemble(ty, &values)?)))
}

/// Puts a value together from its parts (of a map, keys and values by turns).
pub(crate) fn assemble(ty: &CqlType, parts: &[Option<&[u8]>]) -> Result<Vec<u8>> {
    let ty = ty.unfrozen();
    match ty {
        CqlType::Tuple(_) | CqlType::Udt(_) => {
            let mut out = Vec::new();
            parts.iter().for_each(|part| frames::put_framed(&mut out, *part));
            Ok(out)
        }
        CqlType::Vector(element, _) => {
            let mut out = Vec::new();
            for part in parts {
                let Some(bytes) = part else {
                    return Err(Error::invalid("null is not supported inside vectors"));
                };
                frames::put_vector_element(&mut out, element, bytes);
            }
            Ok(out)
        }
        _ => {
            let mut builder = frames::CollectionBuilder::new();
            let is_map = matches!(ty, CqlType::Map(..));
            let mut pending: Option<&[u8]> = None;
            for part in parts {
                let Some(bytes) = part else {
                    return Err(Error::invalid("null is not supported inside collections"));
                };
                match (is_map, pending.take()) {
                    (false, _) => builder.element(bytes),
                    (true, None) => pending = Some(bytes),
                    (true, Some(key)) => builder.entry(key, bytes),
                }
            }
            let bytes = builder.finish();
            Ok(normalize(ty, &bytes)?.into_owned())
        }
    }
}
