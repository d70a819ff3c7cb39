//! The relations of one column, or of one group of clustering columns, put together.

use crate::error::{Error, Result};
use crate::query::term::Term;

use super::InTerms;
use super::relation::{MultiTest, Test, TupleTerm};
use super::slices::{ClusteringPart, PartKind, TupleBound};

/// What all relations say of one column.
#[derive(Debug, Clone, Default)]
pub(super) struct Merged {
    pub(super) equal: Option<Term>,
    pub(super) values: Option<InTerms>,
    pub(super) lower: Option<(Term, bool)>,
    pub(super) upper: Option<(Term, bool)>,
    pub(super) contains: Vec<Term>,
    pub(super) contains_keys: Vec<Term>,
    pub(super) entries: Vec<(Term, Term)>,
}

impl Merged {
    /// Whether no relation was added.
    pub(super) fn is_empty(&self) -> bool {
        self.equal.is_none() && self.values.is_none() && !self.is_slice() && !self.has_contains()
    }

    /// Whether there is a bound.
    pub(super) fn is_slice(&self) -> bool {
        self.lower.is_some() || self.upper.is_some()
    }

    /// Whether parts of a collection are asked for.
    pub(super) fn has_contains(&self) -> bool {
        !self.contains.is_empty() || !self.contains_keys.is_empty() || !self.entries.is_empty()
    }

    /// Adds a relation on the column called `name`.
    pub(super) fn add(&mut self, name: &str, test: Test) -> Result<()> {
        self.check_compatible(name, &test)?;
        match test {
            Test::Equal(term) => self.equal = Some(term),
            Test::In(values) => self.values = Some(values),
            Test::Above(term, inclusive) => {
                if self.lower.replace((term, inclusive)).is_some() {
                    return Err(two_bounds("start", name));
                }
            }
            Test::Below(term, inclusive) => {
                if self.upper.replace((term, inclusive)).is_some() {
                    return Err(two_bounds("end", name));
                }
            }
            Test::Contains(term) => self.contains.push(term),
            Test::ContainsKey(term) => self.contains_keys.push(term),
            Test::Entry(key, value) => self.entries.push((key, value)),
        }
        Ok(())
    }

    fn check_compatible(&self, name: &str, test: &Test) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        if self.equal.is_some() {
            return Err(only_once(name, "an Equal"));
        }
        if self.values.is_some() {
            return Err(only_once(name, "a IN"));
        }
        if self.is_slice() {
            return match test {
                Test::Above(..) | Test::Below(..) => Ok(()),
                _ => Err(both(name)),
            };
        }
        match test {
            Test::Contains(_) | Test::ContainsKey(_) | Test::Entry(..) => Ok(()),
            _ => Err(Error::invalid(format!(
                "Collection column {name} can only be restricted by CONTAINS, CONTAINS KEY, or \
                 map-entry equality"
            ))),
        }
    }
}

fn only_once(names: &str, what: &str) -> Error {
    Error::invalid(format!(
        "{names} cannot be restricted by more than one relation if it includes {what}"
    ))
}

fn two_bounds(which: &str, names: &str) -> Error {
    Error::invalid(format!("More than one restriction was found for the {which} bound on {names}"))
}

fn both(name: &str) -> Error {
    Error::invalid(format!(
        "Column \"{name}\" cannot be restricted by both an equality and an inequality relation"
    ))
}

/// A single column's relation as one on a group of one.
pub(super) fn part_of_single(first: usize, test: Test) -> Option<ClusteringPart> {
    let one = |term: Term| TupleTerm::Parts(vec![term]);
    let kind = match test {
        Test::Equal(term) => PartKind::Equal { count: 1, term: one(term) },
        Test::In(values) => PartKind::InSingle(values),
        Test::Above(term, inclusive) => {
            let bound = TupleBound { term: one(term), count: 1, inclusive };
            PartKind::Slice { lower: Some(bound), upper: None }
        }
        Test::Below(term, inclusive) => {
            let bound = TupleBound { term: one(term), count: 1, inclusive };
            PartKind::Slice { lower: None, upper: Some(bound) }
        }
        Test::Contains(_) | Test::ContainsKey(_) | Test::Entry(..) => return None,
    };
    Some(ClusteringPart { first, kind })
}

/// A relation on several columns.
pub(super) fn part_of_multi(first: usize, count: usize, test: MultiTest) -> ClusteringPart {
    let kind = match test {
        MultiTest::Equal(term) => PartKind::Equal { count, term },
        MultiTest::In(tuples) => PartKind::InTuples { count, tuples },
        MultiTest::InMarker(term, types) => PartKind::InMarker { term, types },
        MultiTest::Above(term, inclusive) => {
            let bound = TupleBound { term, count, inclusive };
            PartKind::Slice { lower: Some(bound), upper: None }
        }
        MultiTest::Below(term, inclusive) => {
            let bound = TupleBound { term, count, inclusive };
            PartKind::Slice { lower: None, upper: Some(bound) }
        }
    };
    ClusteringPart { first, kind }
}

/// Adds `new` to parts that may cover the same columns. `name` gives a clustering column's name.
pub(super) fn add_part(
    parts: &mut Vec<ClusteringPart>,
    new: ClusteringPart,
    name: &dyn Fn(usize) -> String,
) -> Result<()> {
    let overlapping =
        parts.iter_mut().find(|part| part.first < new.end() && new.first < part.end());
    let Some(old) = overlapping else {
        let at = parts.partition_point(|part| part.first < new.first);
        parts.insert(at, new);
        return Ok(());
    };
    let shared = name(old.first.max(new.first));
    let names = |part: &ClusteringPart| -> String {
        let names: Vec<String> = (part.first..part.end()).map(name).collect();
        names.join(", ")
    };
    let first = old.first;
    let old_names = names(old);
    match (&mut old.kind, new.kind) {
        (PartKind::Equal { .. }, _) => Err(only_once(&old_names, "an Equal")),
        (PartKind::InSingle(_) | PartKind::InTuples { .. } | PartKind::InMarker { .. }, _) => {
            Err(only_once(&old_names, "a IN"))
        }
        (PartKind::Slice { lower, upper }, PartKind::Slice { lower: above, upper: below }) => {
            if first != new.first {
                return Err(Error::invalid(format!(
                    "Column \"{shared}\" cannot be restricted by two inequalities not starting \
                     with the same column"
                )));
            }
            if above.is_some() && lower.is_some() {
                return Err(two_bounds("start", &old_names));
            }
            if below.is_some() && upper.is_some() {
                return Err(two_bounds("end", &old_names));
            }
            *lower = lower.take().or(above);
            *upper = upper.take().or(below);
            Ok(())
        }
        (PartKind::Slice { .. }, _) => Err(both(&shared)),
    }
}
