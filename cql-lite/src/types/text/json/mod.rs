//! JSON as Cassandra reads and writes it: `INSERT JSON`, `SELECT JSON`, `toJson`, `fromJson`.

mod parser;
mod read;
mod write;

pub use parser::{DEPTH_MAX, VALUES_MAX, parse_json};
pub use read::{from_json, name_of_key};
pub use write::{quote, to_json};

use std::fmt;

/// A parsed JSON value. Numbers keep their digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number, as written.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// `[…]`
    Array(Vec<Json>),
    /// `{…}` in the order written; of equal keys the last one counts.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The name of the Java class that Cassandra's parser would have made, for messages.
    pub fn class_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Boolean(_) => "Boolean",
            Json::Number(text) if text.contains(['.', 'e', 'E']) => "BigDecimal",
            Json::Number(text) if text.parse::<i32>().is_ok() => "Integer",
            Json::Number(text) if text.parse::<i64>().is_ok() => "Long",
            Json::Number(_) => "BigInteger",
            Json::String(_) => "String",
            Json::Array(_) => "ArrayList",
            Json::Object(_) => "LinkedHashMap",
        }
    }
}

impl fmt::Display for Json {
    /// As Java prints the parsed objects: `[1, a]`, `{k=v}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Boolean(value) => write!(f, "{value}"),
            Json::Number(text) | Json::String(text) => f.write_str(text),
            Json::Array(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{element}")?;
                }
                f.write_str("]")
            }
            Json::Object(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{key}={value}")?;
                }
                f.write_str("}")
            }
        }
    }
}
