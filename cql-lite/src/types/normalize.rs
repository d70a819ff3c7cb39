//! Bound values as Cassandra stores them: sets sorted and without duplicates, maps sorted by key.
//!
//! A client may send the elements of a set in any order; the column holds them in the order of
//! their type. Of equal elements the first is kept; of equal keys the first key and the last
//! value, as a sorted Java map does it.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::error::Result;
use super::order::compare;
use super::{CqlType, frames};

/// The serialized `bytes` of a valid value of type `ty`, with every set and map in it in order.
/// Borrows where nothing has to change.
pub fn normalize<'a>(ty: &CqlType, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    if !has_order_inside(ty) {
        return Ok(Cow::Borrowed(bytes));
    }
    match ty {
        CqlType::Frozen(inner) => normalize(inner, bytes),
        CqlType::List(element) => {
            let mut builder = frames::CollectionBuilder::new();
            for bytes in frames::list_elements(bytes)? {
                builder.element(&normalize(element, bytes?)?);
            }
            Ok(unchanged_or_new(bytes, builder.finish()))
        }
        CqlType::Set(element) => normalize_set(element, bytes),
        CqlType::Map(key, value) => normalize_map(key, value, bytes),
        CqlType::Tuple(types) => {
            let components = frames::tuple_components(bytes, types.len())?;
            normalize_components(types.iter(), components, bytes)
        }
        CqlType::Udt(udt) => {
            let fields = frames::udt_fields(bytes, udt)?;
            normalize_components(udt.fields.iter().map(|(_, ty)| ty), fields, bytes)
        }
        CqlType::Vector(element, dimension) => {
            let mut out = Vec::with_capacity(bytes.len());
            for bytes in frames::vector_elements(bytes, element, *dimension)? {
                frames::put_vector_element(&mut out, element, &normalize(element, bytes)?);
            }
            Ok(unchanged_or_new(bytes, out))
        }
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

/// A set or a map stands here or inside.
fn has_order_inside(ty: &CqlType) -> bool {
    ty.any(&|ty| matches!(ty, CqlType::Set(_) | CqlType::Map(..)))
}

fn unchanged_or_new(old: &[u8], new: Vec<u8>) -> Cow<'_, [u8]> {
    if old == new { Cow::Borrowed(old) } else { Cow::Owned(new) }
}

fn normalize_set<'a>(element: &CqlType, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let read = frames::set_elements(bytes)?;
    let mut elements = Vec::with_capacity(read.left());
    for bytes in read {
        elements.push(normalize(element, bytes?)?);
    }
    let strictly_sorted = elements.is_sorted_by(|a, b| compare(element, a, b).is_lt());
    if !strictly_sorted {
        elements.sort_by(|a, b| compare(element, a, b));
        elements.dedup_by(|later, first| compare(element, first, later) == Ordering::Equal);
    }
    let mut builder = frames::CollectionBuilder::new();
    for element in &elements {
        builder.element(element);
    }
    Ok(unchanged_or_new(bytes, builder.finish()))
}

fn normalize_map<'a>(key: &CqlType, value: &CqlType, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let mut entries = Vec::new();
    for (k, v) in frames::map_entries(bytes)? {
        entries.push((normalize(key, k)?, normalize(value, v)?));
    }
    let strictly_sorted = entries.is_sorted_by(|a, b| compare(key, &a.0, &b.0).is_lt());
    if !strictly_sorted {
        entries.sort_by(|a, b| compare(key, &a.0, &b.0));
        entries.dedup_by(|later, first| {
            let same = compare(key, &first.0, &later.0) == Ordering::Equal;
            if same {
                first.1 = std::mem::take(&mut later.1);
            }
            same
        });
    }
    let mut builder = frames::CollectionBuilder::new();
    for (k, v) in &entries {
        builder.entry(k, v);
    }
    Ok(unchanged_or_new(bytes, builder.finish()))
}

fn normalize_components<'a, 't>(
    types: impl Iterator<Item = &'t CqlType>,
    components: Vec<Option<&[u8]>>,
    bytes: &'a [u8],
) -> Result<Cow<'a, [u8]>> {
    let mut out = Vec::with_capacity(bytes.len());
    for (ty, component) in types.zip(components) {
        // Components that the client left out at the end stay left out.
        if component.is_none() && out.len() >= bytes.len() {
            break;
        }
        let normal = component.map(|bytes| normalize(ty, bytes)).transpose()?;
        frames::put_framed(&mut out, normal.as_deref());
    }
    Ok(unchanged_or_new(bytes, out))
}
