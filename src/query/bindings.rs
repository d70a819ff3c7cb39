//! The values that a client sends beside a statement, in the order of the statement's markers.

use cql_lite::wire::{BoundValue, ColumnSpec, Values};

use crate::error::{Error, Result};

/// So many values are kept without an allocation.
const INLINE: usize = 12;

/// Values by marker.
#[derive(Debug, Clone)]
pub(crate) struct Bindings<'a> {
    inline: [BoundValue<'a>; INLINE],
    /// All values, if there are more than `INLINE`.
    spilled: Vec<BoundValue<'a>>,
    count: usize,
}

impl<'a> Bindings<'a> {
    /// No values.
    pub(crate) const EMPTY: Bindings<'static> =
        Bindings { inline: [BoundValue::Null; INLINE], spilled: Vec::new(), count: 0 };

    /// The values of a request for a statement with these markers.
    pub(crate) fn new(values: &Values<'a>, markers: &[ColumnSpec]) -> Result<Bindings<'a>> {
        if values.is_named() {
            return Bindings::by_name(values, markers);
        }
        if values.len() != markers.len() {
            return Err(count_mismatch(values.len(), markers.len()));
        }
        let mut bindings = Bindings::EMPTY;
        if values.len() > INLINE {
            bindings.spilled.reserve(values.len());
        }
        values.iter().for_each(|(_, value)| bindings.push(value));
        Ok(bindings)
    }

    /// One value per marker, found by the marker's name; markers of one name share a value.
    fn by_name(values: &Values<'a>, markers: &[ColumnSpec]) -> Result<Bindings<'a>> {
        let mut bindings = Bindings::EMPTY;
        let mut found = 0;
        for marker in markers {
            let named = |(name, _): &(Option<&str>, _)| *name == Some(marker.name.as_str());
            if let Some((_, value)) = values.iter().find(named) {
                bindings.push(value);
                found += 1;
            }
        }
        if found != markers.len() {
            return Err(count_mismatch(found, markers.len()));
        }
        Ok(bindings)
    }

    fn push(&mut self, value: BoundValue<'a>) {
        if let Some(place) = self.inline.get_mut(self.count)
            && self.spilled.is_empty()
        {
            *place = value;
        } else {
            if self.spilled.is_empty() {
                self.spilled.extend_from_slice(&self.inline);
            }
            self.spilled.push(value);
        }
        self.count += 1;
    }

    /// The value of a marker. A marker without one cannot be: the counts were compared.
    pub(crate) fn get(&self, marker: usize) -> BoundValue<'a> {
        let all = if self.spilled.is_empty() { &self.inline[..] } else { &self.spilled };
        all.get(marker).copied().unwrap_or(BoundValue::Unset)
    }
}

fn count_mismatch(values: usize, markers: usize) -> Error {
    Error::invalid(format!("there were {markers} markers(?) in CQL but {values} bound variables"))
}

/// Values that outlive the request's bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnedBindings(Vec<Option<Option<Vec<u8>>>>);

impl OwnedBindings {
    /// The same values, borrowed.
    pub(crate) fn borrow(&self) -> Bindings<'_> {
        let mut bindings = Bindings::EMPTY;
        for value in &self.0 {
            bindings.push(match value {
                None => BoundValue::Unset,
                Some(None) => BoundValue::Null,
                Some(Some(bytes)) => BoundValue::Bytes(bytes),
            });
        }
        bindings
    }
}

impl Bindings<'_> {
    /// A copy of the values.
    pub(crate) fn to_owned(&self) -> OwnedBindings {
        let owned = |value: BoundValue<'_>| match value {
            BoundValue::Unset => None,
            BoundValue::Null => Some(None),
            BoundValue::Bytes(bytes) => Some(Some(bytes.to_vec())),
        };
        OwnedBindings((0..self.count).map(|marker| owned(self.get(marker))).collect())
    }
}
