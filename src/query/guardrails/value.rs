//! What a modification writes: sizes of values, and sizes and elements of collections. Only what
//! the statement brings is looked at, not what is stored already.

use std::cell::RefCell;

use cql_lite::types::{CqlType, frames};

use crate::config::{Guardrails as Limits, Threshold};
use crate::error::Result;
use crate::schema::Column;

use super::{Guardrail, Guardrails};

const COLUMN_VALUE_SIZE: Guardrail = Guardrail::new("column_value_size");
const COLLECTION_SIZE: Guardrail = Guardrail::new("collection_size");
const ITEMS: Guardrail = Guardrail::new("items_per_collection");

/// Most warnings that one request gathers: a batch of many statements could have one for each.
const WARNINGS_MAX: usize = 64;

/// Looks at values that are written, and gathers the warnings.
#[derive(Debug)]
pub(crate) struct ValueGuard<'a> {
    /// Set if there is anything to look for.
    limits: Option<&'a Limits>,
    warnings: RefCell<Vec<String>>,
}

impl<'a> ValueGuard<'a> {
    /// A guard of one request.
    pub(crate) fn new(guardrails: &'a Guardrails) -> ValueGuard<'a> {
        let limits = guardrails.watches_values.then_some(&guardrails.limits);
        ValueGuard { limits, warnings: RefCell::new(Vec::new()) }
    }

    /// The warnings so far.
    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner()
    }

    /// Looks at a value that a column is set to, or that is added to a collection.
    #[inline]
    pub(crate) fn whole(&self, column: &Column, value: &[u8]) -> Result<()> {
        match self.limits {
            None => Ok(()),
            Some(limits) => self.check_whole(limits, column, value),
        }
    }

    /// Looks at one element, key or field.
    #[inline]
    pub(crate) fn part(&self, column: &Column, value: &[u8]) -> Result<()> {
        match self.limits {
            None => Ok(()),
            Some(limits) => self.check_size(limits.column_value_size, column, value.len()),
        }
    }

    #[cold]
    fn check_whole(&self, limits: &Limits, column: &Column, value: &[u8]) -> Result<()> {
        let ty = &column.ty;
        let Some(Contents { items, bytes }) = contents(ty, value, &|part| {
            if ty.is_multi_cell() { self.part(column, part) } else { Ok(()) }
        })?
        else {
            return self.check_size(limits.column_value_size, column, value.len());
        };
        if !ty.is_multi_cell() {
            self.check_size(limits.column_value_size, column, value.len())?;
        }
        if matches!(ty.unfrozen(), CqlType::Udt(_)) {
            return Ok(());
        }
        let name = &column.name;
        self.warn(ITEMS.at_most(limits.items_per_collection, items, |passed| {
            format!(
                "Detected collection {name} with {items} items, this exceeds the {} threshold of \
                 {}.",
                passed.name(),
                passed.threshold()
            )
        })?);
        self.warn(COLLECTION_SIZE.at_most(limits.collection_size, bytes, |passed| {
            format!(
                "Detected collection {name} of size {bytes}, this exceeds the {} threshold of {}.",
                passed.name(),
                passed.threshold()
            )
        })?);
        Ok(())
    }

    fn check_size(&self, threshold: Threshold, column: &Column, bytes: usize) -> Result<()> {
        self.warn(COLUMN_VALUE_SIZE.at_most(threshold, bytes as u64, |passed| {
            format!(
                "Value of column '{}' has size {bytes}, this exceeds the {} threshold of {}.",
                column.name,
                passed.name(),
                passed.threshold()
            )
        })?);
        Ok(())
    }

    fn warn(&self, warning: Option<String>) {
        let Some(warning) = warning else { return };
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < WARNINGS_MAX {
            warnings.push(warning);
        }
    }
}

/// What a value of several elements consists of.
struct Contents {
    items: u64,
    /// Of keys and values, without what frames them.
    bytes: u64,
}

/// The contents of a collection, or of a type with fields stored one by one; none for others.
/// `part` sees every key, value and field.
fn contents(
    ty: &CqlType,
    value: &[u8],
    part: &dyn Fn(&[u8]) -> Result<()>,
) -> Result<Option<Contents>> {
    let mut found = Contents { items: 0, bytes: 0 };
    let mut take = |items: u64, bytes: &[u8]| {
        found.items += items;
        found.bytes += bytes.len() as u64;
        part(bytes)
    };
    match ty.unfrozen() {
        CqlType::List(_) => {
            for element in frames::list_elements(value)? {
                take(1, element?)?;
            }
        }
        CqlType::Set(_) => {
            for element in frames::set_elements(value)? {
                take(1, element?)?;
            }
        }
        CqlType::Map(..) => {
            for (key, value) in frames::map_entries(value)? {
                take(1, key)?;
                take(0, value)?;
            }
        }
        CqlType::Udt(udt) if ty.is_multi_cell() => {
            for field in frames::udt_fields(value, udt)?.into_iter().flatten() {
                take(1, field)?;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(found))
}
