//! Tests that every row of a read has to pass.

use std::cmp::Ordering;

use cql_lite::types::order::compare;
use cql_lite::types::{CqlType, frames};

use crate::error::{Error, Result};
use crate::query::term::{Bound, Environment, Term};
use crate::schema::{ColumnKind, Table};

use super::{ColumnRef, InTerms};

/// A test as compiled.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// What is tested.
    pub(crate) column: ColumnRef,
    name: String,
    ty: CqlType,
    test: FilterTest,
}

/// How a column is tested.
#[derive(Debug, Clone)]
pub(crate) enum FilterTest {
    /// `= term`
    Equal(Term),
    /// `IN …`
    In(InTerms),
    /// `> term`, or `>=` if true.
    Above(Term, bool),
    /// `< term`, or `<=` if true.
    Below(Term, bool),
    /// `CONTAINS term`
    Contains(Term),
    /// `CONTAINS KEY term`
    ContainsKey(Term),
    /// `column[key] = value`
    Entry(Term, Term),
}

impl Filter {
    pub(super) fn new(table: &Table, column: ColumnRef, test: FilterTest) -> Filter {
        let list = match column.kind {
            ColumnKind::PartitionKey => &table.partition_key,
            ColumnKind::Clustering => &table.clustering,
            ColumnKind::Static => &table.statics,
            ColumnKind::Regular => &table.regulars,
        };
        let (name, ty) = match list.get(column.index) {
            Some(column) => (column.name.clone(), column.ty.clone()),
            None => (String::new(), CqlType::Empty),
        };
        Filter { column, name, ty, test }
    }

    /// The test with the client's values in it.
    pub(crate) fn bind(&self, environment: &Environment<'_>) -> Result<RowFilter> {
        let value = |term: &Term| -> Result<Vec<u8>> {
            match term.evaluate(environment)? {
                Bound::Bytes(bytes) => Ok(bytes.into_owned()),
                Bound::Null => {
                    Err(Error::invalid(format!("Unsupported null value for column {}", self.name)))
                }
                Bound::Unset => {
                    Err(Error::invalid(format!("Unsupported unset value for column {}", self.name)))
                }
            }
        };
        let test = match &self.test {
            FilterTest::Equal(term) => BoundTest::Equal(value(term)?),
            FilterTest::In(values) => {
                let values = values.evaluate(environment, &self.name)?;
                BoundTest::In(values.into_iter().flatten().collect())
            }
            FilterTest::Above(term, inclusive) => BoundTest::Above(value(term)?, *inclusive),
            FilterTest::Below(term, inclusive) => BoundTest::Below(value(term)?, *inclusive),
            FilterTest::Contains(term) => BoundTest::Contains(value(term)?),
            FilterTest::ContainsKey(term) => BoundTest::ContainsKey(value(term)?),
            FilterTest::Entry(key, entry) => BoundTest::Entry(value(key)?, value(entry)?),
        };
        Ok(RowFilter { column: self.column, ty: self.ty.unfrozen().clone(), test })
    }
}

/// A test with its values.
#[derive(Debug, Clone)]
pub(crate) struct RowFilter {
    /// What is tested.
    pub(crate) column: ColumnRef,
    ty: CqlType,
    test: BoundTest,
}

#[derive(Debug, Clone)]
enum BoundTest {
    Equal(Vec<u8>),
    In(Vec<Vec<u8>>),
    Above(Vec<u8>, bool),
    Below(Vec<u8>, bool),
    Contains(Vec<u8>),
    ContainsKey(Vec<u8>),
    Entry(Vec<u8>, Vec<u8>),
}

impl RowFilter {
    /// Whether a value passes; null never does.
    pub(crate) fn passes(&self, value: Option<&[u8]>) -> Result<bool> {
        let Some(value) = value else { return Ok(false) };
        let order = |other: &[u8]| compare(&self.ty, value, other);
        Ok(match &self.test {
            BoundTest::Equal(other) => order(other).is_eq(),
            BoundTest::In(others) => others.iter().any(|other| order(other).is_eq()),
            BoundTest::Above(other, inclusive) => match order(other) {
                Ordering::Greater => true,
                Ordering::Equal => *inclusive,
                Ordering::Less => false,
            },
            BoundTest::Below(other, inclusive) => match order(other) {
                Ordering::Less => true,
                Ordering::Equal => *inclusive,
                Ordering::Greater => false,
            },
            BoundTest::Contains(element) => self.contains(value, element)?,
            BoundTest::ContainsKey(key) => self.entry(value, key)?.is_some(),
            BoundTest::Entry(key, wanted) => match (&self.ty, self.entry(value, key)?) {
                (CqlType::Map(_, ty), Some(found)) => compare(ty, found, wanted).is_eq(),
                _ => false,
            },
        })
    }

    fn contains(&self, value: &[u8], wanted: &[u8]) -> Result<bool> {
        match &self.ty {
            CqlType::Map(_, ty) => {
                let entries = frames::map_entries(value)?;
                Ok(entries.iter().any(|(_, value)| compare(ty, value, wanted).is_eq()))
            }
            CqlType::List(ty) | CqlType::Set(ty) => {
                for element in frames::list_elements(value)? {
                    if compare(ty, element?, wanted).is_eq() {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn entry<'v>(&self, value: &'v [u8], wanted: &[u8]) -> Result<Option<&'v [u8]>> {
        let CqlType::Map(ty, _) = &self.ty else { return Ok(None) };
        let entries = frames::map_entries(value)?.into_iter();
        let mut found = entries.filter(|(key, _)| compare(ty, key, wanted).is_eq());
        Ok(found.next().map(|(_, value)| value))
    }
}
