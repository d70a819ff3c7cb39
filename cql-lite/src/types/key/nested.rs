//! Comparable bodies of collections, tuples, UDTs and vectors, from the components inside them.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::Put;

use super::{END, KeySource, decode_component, encode_component};
use crate::types::error::{Result, ValueError};
use crate::types::frames::{self, put_vector_element};
use crate::types::{CqlType, UdtType};

pub(super) fn encode(ty: &CqlType, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match ty {
        CqlType::List(element) => elements(&[element], frames::list_elements(bytes)?, out),
        CqlType::Set(element) => elements(&[element], frames::set_elements(bytes)?, out),
        CqlType::Map(key, value) => elements(&[key, value], frames::map_elements(bytes)?, out),
        CqlType::Tuple(types) => {
            components(types.iter(), frames::tuple_components(bytes, types.len())?, out)
        }
        CqlType::Udt(udt) => {
            let types = udt.fields.iter().map(|(_, ty)| ty);
            components(types, frames::udt_fields(bytes, udt)?, out)
        }
        CqlType::Vector(element, dimension) => {
            for bytes in frames::vector_elements(bytes, element, *dimension)? {
                encode_component(element, Some(bytes), false, out)?;
            }
            Ok(())
        }
        other => Err(ValueError::damaged(format!("{other} is not a nested type"))),
    }
}

fn elements(types: &[&CqlType], elements: frames::Elements<'_>, out: &mut Vec<u8>) -> Result<()> {
    for (ty, bytes) in types.iter().cycle().zip(elements) {
        encode_component(ty, Some(bytes?), false, out)?;
    }
    out.push(END);
    Ok(())
}

fn components<'a>(
    types: impl Iterator<Item = &'a CqlType>,
    components: Vec<Option<&[u8]>>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let filled = components.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    for (ty, component) in types.zip(components).take(filled) {
        encode_component(ty, component, false, out)?;
    }
    out.push(END);
    Ok(())
}

pub(super) fn decode(ty: &CqlType, source: &mut KeySource<'_>, out: &mut Vec<u8>) -> Result<()> {
    match ty {
        CqlType::List(element) | CqlType::Set(element) => decode_elements(&[element], source, out),
        CqlType::Map(key, value) => decode_elements(&[key, value], source, out),
        CqlType::Tuple(types) => decode_components(types.iter(), source, out),
        CqlType::Udt(udt) => decode_udt(udt, source, out),
        CqlType::Vector(element, dimension) => {
            let mut bytes = Vec::new();
            for _ in 0..*dimension {
                bytes.clear();
                not_null(decode_component(element, source, &mut bytes)?)?;
                put_vector_element(out, element, &bytes);
            }
            Ok(())
        }
        other => Err(ValueError::damaged(format!("{other} is not a nested type"))),
    }
}

fn decode_udt(udt: &UdtType, source: &mut KeySource<'_>, out: &mut Vec<u8>) -> Result<()> {
    decode_components(udt.fields.iter().map(|(_, ty)| ty), source, out)
}

fn decode_elements(
    types: &[&CqlType],
    source: &mut KeySource<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let count_at = out.len();
    out.put_i32_be(0);
    let mut count = 0usize;
    while source.peek()? != END {
        for ty in types {
            let length_at = out.len();
            out.put_i32_be(0);
            not_null(decode_component(ty, source, out)?)?;
            patch_length(out, length_at);
        }
        count += 1;
    }
    source.byte()?;
    patch_i32(out, count_at, count);
    Ok(())
}

fn decode_components<'a>(
    types: impl Iterator<Item = &'a CqlType>,
    source: &mut KeySource<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    let mut types = types;
    while source.peek()? != END {
        let Some(ty) = types.next() else {
            return Err(ValueError::damaged("a tuple in a key has more components than its type"));
        };
        let length_at = out.len();
        out.put_i32_be(-1);
        if decode_component(ty, source, out)? {
            patch_length(out, length_at);
        }
    }
    source.byte()?;
    // Nothing but nulls: the shortest form that is not the empty value.
    if out.len() == start {
        out.put_i32_be(-1);
    }
    Ok(())
}

fn not_null(present: bool) -> Result<()> {
    if present {
        return Ok(());
    }
    Err(ValueError::damaged("a null stands inside a collection in a key"))
}

/// Writes the length of what follows the four bytes at `at` over them.
fn patch_length(out: &mut [u8], at: usize) {
    let length = out.len() - at - 4;
    patch_i32(out, at, length);
}

/// Writes a count or length, big-endian, over the four bytes at `at`.
fn patch_i32(out: &mut [u8], at: usize, value: usize) {
    let mut bytes = Vec::with_capacity(4);
    bytes.put_i32_be(value as i32);
    out.iter_mut().skip(at).zip(bytes).for_each(|(slot, byte)| *slot = byte);
}
