//! Selectors become values for the row that a read stands at.

use std::borrow::Cow;
use std::cmp::Ordering;

use cql_lite::ast::CellInfoKind;
use cql_lite::types::functions::aggregates::Aggregate;
use cql_lite::types::order::compare;
use cql_lite::types::{CqlType, frames};
use helenus_platform::codec::Put;
use helenus_platform::random::Random;

use crate::error::{Error, Result};
use crate::query::row::{CellInfo, CurrentRow, RowShape};
use crate::query::term::{Bound, Environment, Term, assemble};

use super::selector::Selector;

/// A selector whose terms have values: what a running SELECT computes.
#[derive(Debug, Clone)]
pub(super) struct BoundTerms {
    values: Vec<Option<Vec<u8>>>,
}

impl BoundTerms {
    /// The values of all terms in these selectors, in the order in which they are met.
    pub(super) fn new(selectors: &[Selector], environment: &Environment<'_>) -> Result<Self> {
        let mut terms = BoundTerms { values: Vec::new() };
        selectors.iter().try_for_each(|selector| terms.collect(selector, environment))?;
        Ok(terms)
    }

    fn push(&mut self, term: &Term, environment: &Environment<'_>) -> Result<()> {
        match term.evaluate(environment)? {
            Bound::Unset => Err(Error::invalid("Invalid unset value for a term of a selection")),
            value => {
                self.values.push(value.bytes().map(<[u8]>::to_vec));
                Ok(())
            }
        }
    }

    fn collect(&mut self, selector: &Selector, environment: &Environment<'_>) -> Result<()> {
        match selector {
            Selector::Column { .. } | Selector::Info { .. } => Ok(()),
            Selector::Term { term, .. } => self.push(term, environment),
            Selector::Call(call) => {
                call.arguments.iter().try_for_each(|a| self.collect(a, environment))
            }
            Selector::Composite { parts, .. } => {
                parts.iter().try_for_each(|part| self.collect(part, environment))
            }
            Selector::Field { base, .. } => self.collect(base, environment),
            Selector::Element { base, key, .. } => {
                self.collect(base, environment)?;
                self.push(key, environment)
            }
            Selector::Slice { base, from, to, .. } => {
                self.collect(base, environment)?;
                from.iter().chain(to).try_for_each(|term| self.push(term, environment))
            }
            Selector::Aggregate { argument, .. } => match argument {
                Some(argument) => self.collect(argument, environment),
                None => Ok(()),
            },
        }
    }
}

/// What selectors are computed from.
pub(super) struct Evaluator<'a> {
    pub(super) shape: &'a RowShape,
    pub(super) current: &'a CurrentRow,
    /// The bytes of the row stepped onto.
    pub(super) row: &'a [u8],
    pub(super) terms: &'a BoundTerms,
    /// Seconds since the epoch.
    pub(super) now_seconds: i64,
    /// Microseconds since the epoch.
    pub(super) now: i64,
    pub(super) random: &'a dyn Random,
    /// Results of aggregates, when a group ends.
    pub(super) aggregates: &'a [Aggregate],
}

type Evaluated<'a> = Option<Cow<'a, [u8]>>;

impl<'a> Evaluator<'a> {
    /// The values of all selectors, in order; terms are met in the order of `BoundTerms`.
    pub(super) fn all(
        &self,
        selectors: &[Selector],
        take: &mut dyn FnMut(&Selector, Evaluated<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut next_term = 0;
        for selector in selectors {
            let value = self.value(selector, &mut next_term)?;
            take(selector, value)?;
        }
        Ok(())
    }

    fn term(&self, next_term: &mut usize) -> Evaluated<'a> {
        let value = self.terms.values.get(*next_term);
        *next_term += 1;
        value.and_then(|value| value.as_deref().map(Cow::Borrowed))
    }

    pub(super) fn value(&self, selector: &Selector, next: &mut usize) -> Result<Evaluated<'a>> {
        match selector {
            Selector::Column { column, .. } => {
                let value = self.current.value(self.shape, self.row, *column);
                Ok(value.map(Cow::Borrowed))
            }
            Selector::Term { .. } => Ok(self.term(next)),
            Selector::Info { kind, column, list } => {
                let infos = self.current.infos(self.shape, *column);
                Ok(self.info(*kind, infos, *list).map(Cow::Owned))
            }
            Selector::Call(call) => {
                let mut arguments = Vec::with_capacity(call.arguments.len());
                for argument in &call.arguments {
                    arguments.push(self.value(argument, next)?);
                }
                let arguments: Vec<Option<&[u8]>> =
                    arguments.iter().map(Option::as_deref).collect();
                let result = call.function.call(&arguments, self.now, self.random)?;
                Ok(result.map(Cow::Owned))
            }
            Selector::Composite { ty, parts } => {
                let mut values = Vec::with_capacity(parts.len());
                for part in parts {
                    values.push(self.value(part, next)?);
                }
                let values: Vec<Option<&[u8]>> = values.iter().map(Option::as_deref).collect();
                Ok(Some(Cow::Owned(assemble(ty, &values)?)))
            }
            Selector::Field { base, index, .. } => {
                let ty = base.ty();
                let value = self.value(base, next)?;
                let (CqlType::Udt(udt), Some(bytes)) = (ty.unfrozen(), value) else {
                    return Ok(None);
                };
                let fields = frames::udt_fields(&bytes, udt)?;
                let field = fields.get(*index).copied().flatten();
                Ok(field.map(|field| Cow::Owned(field.to_vec())))
            }
            Selector::Element { base, .. } => {
                let value = self.value(base, next)?;
                let key = self.term(next);
                element(&base.ty(), value, key.as_deref())
            }
            Selector::Slice { base, from, to, ty } => {
                let value = self.value(base, next)?;
                let mut bound = |given: bool| if given { self.term(next) } else { None };
                let (low, high) = (bound(from.is_some()), bound(to.is_some()));
                collection_slice(ty, value, low.as_deref(), high.as_deref())
            }
            Selector::Aggregate { argument, index, .. } => {
                // Keeps count of the terms inside, which were evaluated row by row.
                if let Some(argument) = argument {
                    skip_terms(argument, next);
                }
                match self.aggregates.get(*index) {
                    Some(accumulator) => Ok(accumulator.result()?.map(Cow::Owned)),
                    None => Ok(None),
                }
            }
        }
    }

    fn info(&self, kind: CellInfoKind, infos: &[CellInfo], list: bool) -> Option<Vec<u8>> {
        let one = |info: &CellInfo| -> Option<Vec<u8>> {
            let mut bytes = Vec::with_capacity(8);
            match kind {
                CellInfoKind::Ttl if info.expiry == i64::MAX => return None,
                CellInfoKind::Ttl => {
                    let left = info.expiry.saturating_sub(self.now_seconds);
                    bytes.put_i32_be(i32::try_from(left).unwrap_or(i32::MAX));
                }
                CellInfoKind::WriteTime | CellInfoKind::MaxWriteTime => {
                    bytes.put_i64_be(info.timestamp);
                }
            }
            Some(bytes)
        };
        if !list {
            return infos.iter().max_by_key(|info| info.timestamp).and_then(one);
        }
        if infos.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        out.put_i32_be(infos.len() as i32);
        for info in infos {
            frames::put_framed(&mut out, one(info).as_deref());
        }
        Some(out)
    }
}

fn skip_terms(selector: &Selector, next: &mut usize) {
    match selector {
        Selector::Column { .. } | Selector::Info { .. } => {}
        Selector::Term { .. } => *next += 1,
        Selector::Call(call) => call.arguments.iter().for_each(|a| skip_terms(a, next)),
        Selector::Composite { parts, .. } => parts.iter().for_each(|part| skip_terms(part, next)),
        Selector::Field { base, .. } => skip_terms(base, next),
        Selector::Element { base, .. } => {
            skip_terms(base, next);
            *next += 1;
        }
        Selector::Slice { base, from, to, .. } => {
            skip_terms(base, next);
            *next += usize::from(from.is_some()) + usize::from(to.is_some());
        }
        Selector::Aggregate { argument, .. } => {
            if let Some(argument) = argument {
                skip_terms(argument, next);
            }
        }
    }
}

fn element<'a>(ty: &CqlType, value: Evaluated<'a>, key: Option<&[u8]>) -> Result<Evaluated<'a>> {
    let (Some(bytes), Some(key)) = (value, key) else { return Ok(None) };
    match ty.unfrozen() {
        CqlType::Map(key_type, _) => {
            let entries = frames::map_entries(&bytes)?.into_iter();
            let mut found = entries.filter(|(k, _)| compare(key_type, k, key).is_eq());
            Ok(found.next().map(|(_, value)| Cow::Owned(value.to_vec())))
        }
        CqlType::Set(element) => {
            for found in frames::set_elements(&bytes)? {
                let found = found?;
                if compare(element, found, key).is_eq() {
                    return Ok(Some(Cow::Owned(found.to_vec())));
                }
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn collection_slice<'a>(
    ty: &CqlType,
    value: Evaluated<'a>,
    low: Option<&[u8]>,
    high: Option<&[u8]>,
) -> Result<Evaluated<'a>> {
    let Some(bytes) = value else { return Ok(None) };
    let within = |key_type: &CqlType, key: &[u8]| {
        low.is_none_or(|low| compare(key_type, key, low) != Ordering::Less)
            && high.is_none_or(|high| compare(key_type, key, high) != Ordering::Greater)
    };
    let mut builder = frames::CollectionBuilder::new();
    match ty.unfrozen() {
        CqlType::Map(key_type, _) => {
            for (key, value) in frames::map_entries(&bytes)? {
                if within(key_type, key) {
                    builder.entry(key, value);
                }
            }
        }
        CqlType::Set(element_type) => {
            for element in frames::set_elements(&bytes)? {
                let element = element?;
                if within(element_type, element) {
                    builder.element(element);
                }
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(Cow::Owned(builder.finish())))
}
