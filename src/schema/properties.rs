//! What stands after WITH, before anyone knows what it means: `name = 'value'` or `name = {…}`.
//! The getters word their errors as Cassandra's `PropertyDefinitions` does.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// The value of one property, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// A constant.
    Text(String),
    /// A map literal of constants.
    Map(BTreeMap<String, String>),
}

/// The properties of one statement, by lower-case name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, Property>);

impl Properties {
    /// Adds one; a second of the same name is an error.
    pub fn add(&mut self, name: &str, value: Property) -> Result<()> {
        let name = name.to_lowercase();
        if self.0.contains_key(&name) {
            return Err(Error::syntax(format!("Multiple definitions for property '{name}'")));
        }
        self.0.insert(name, value);
        Ok(())
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a property was given.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names given, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Refuses names outside `known`.
    pub fn check_names(&self, known: &[&str]) -> Result<()> {
        match self.names().find(|name| !known.contains(name)) {
            Some(name) => Err(Error::syntax(format!("Unknown property '{name}'"))),
            None => Ok(()),
        }
    }

    /// The constant of that name.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Property::Text(text)) => Ok(Some(text)),
            Some(Property::Map(_)) => Err(Error::syntax(format!(
                "Invalid value for property '{name}'. It should be a string"
            ))),
        }
    }

    /// The map of that name.
    pub fn map(&self, name: &str) -> Result<Option<&BTreeMap<String, String>>> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Property::Map(map)) => Ok(Some(map)),
            Some(Property::Text(_)) => Err(Error::syntax(format!(
                "Invalid value for property '{name}'. It should be a map."
            ))),
        }
    }

    /// The boolean of that name.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>> {
        self.text(name)?.map(|text| parse_boolean(name, text)).transpose()
    }

    /// The 32-bit integer of that name.
    pub fn int(&self, name: &str) -> Result<Option<i32>> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| Error::syntax(format!("Invalid integer value {text} for '{name}'")))
        };
        self.text(name)?.map(parse).transpose()
    }

    /// The floating-point number of that name.
    pub fn double(&self, name: &str) -> Result<Option<f64>> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| Error::syntax(format!("Invalid double value {text} for '{name}'")))
        };
        self.text(name)?.map(parse).transpose()
    }
}

fn parse_boolean(name: &str, text: &str) -> Result<bool> {
    match text.to_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(Error::syntax(format!(
            "Invalid boolean value {text} for '{name}'. Positive values can be '1', 'true' or \
             'yes'. Negative values can be '0', 'false' or 'no'."
        ))),
    }
}
