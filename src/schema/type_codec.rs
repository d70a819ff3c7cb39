//! Types as bytes, for schema definitions.
//!
//! A type is one tag byte and what the tag says:
//!
//! ```text
//! 0..=19  a native type, in the order of `NATIVE`
//! 32 list, 33 set, 39 frozen      type
//! 34 map                          type (key), type (value)
//! 35 tuple                        varint count, types
//! 36 user-defined                 udt
//! 37 vector                       type, varint dimensions
//! 38 empty                        nothing
//! 40 custom                       text (Java class name)
//! udt:   text keyspace, text name, varint count, then per field: text name, type
//! text:  varint length, UTF-8
//! ```
//!
//! User-defined types are written out in full where they are used, so a definition needs no
//! other to be understood.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::sync::Arc;

use cql_lite::types::{CqlType, NESTING_DEPTH_MAX, UdtType};
use helenus_platform::codec::{CodecError, Put, Reader};

/// Longest name or option value in a definition, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Most fields of a type or components of a tuple.
const FIELDS_MAX: u64 = 32_768;

/// Position is the tag; append only.
const NATIVE: [CqlType; 20] = [
    CqlType::Ascii,
    CqlType::Bigint,
    CqlType::Blob,
    CqlType::Boolean,
    CqlType::Counter,
    CqlType::Date,
    CqlType::Decimal,
    CqlType::Double,
    CqlType::Duration,
    CqlType::Float,
    CqlType::Inet,
    CqlType::Int,
    CqlType::Smallint,
    CqlType::Text,
    CqlType::Time,
    CqlType::Timestamp,
    CqlType::Timeuuid,
    CqlType::Tinyint,
    CqlType::Uuid,
    CqlType::Varint,
];

const LIST: u8 = 32;
const SET: u8 = 33;
const MAP: u8 = 34;
const TUPLE: u8 = 35;
const UDT: u8 = 36;
const VECTOR: u8 = 37;
const EMPTY: u8 = 38;
const FROZEN: u8 = 39;
const CUSTOM: u8 = 40;

type Decoded<T> = Result<T, CodecError>;

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_bytes_varint(text.as_bytes());
}

pub(super) fn text(reader: &mut Reader<'_>) -> Decoded<String> {
    let error = reader.error("text");
    let bytes = reader.bytes_varint(TEXT_BYTES_MAX)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| error)
}

/// A count of items of at least one byte each, so never more than there are bytes left.
pub(super) fn count(reader: &mut Reader<'_>) -> Decoded<usize> {
    let error = reader.error("count");
    let count = reader.varint()?;
    match usize::try_from(count) {
        Ok(count) if count <= reader.remaining() => Ok(count),
        _ => Err(error),
    }
}

pub(super) fn put_type(out: &mut Vec<u8>, ty: &CqlType) {
    match ty {
        CqlType::List(inner) => put_wrapped(out, LIST, inner),
        CqlType::Set(inner) => put_wrapped(out, SET, inner),
        CqlType::Frozen(inner) => put_wrapped(out, FROZEN, inner),
        CqlType::Map(key, value) => {
            put_wrapped(out, MAP, key);
            put_type(out, value);
        }
        CqlType::Tuple(parts) => {
            out.put_u8(TUPLE);
            out.put_varint(parts.len() as u64);
            parts.iter().for_each(|part| put_type(out, part));
        }
        CqlType::Udt(udt) => {
            out.put_u8(UDT);
            put_udt(out, udt);
        }
        CqlType::Vector(inner, dimensions) => {
            put_wrapped(out, VECTOR, inner);
            out.put_varint(*dimensions as u64);
        }
        CqlType::Custom(class) => {
            out.put_u8(CUSTOM);
            put_text(out, class);
        }
        native => {
            let tag = NATIVE.iter().position(|ty| ty == native);
            out.put_u8(tag.and_then(|tag| u8::try_from(tag).ok()).unwrap_or(EMPTY));
        }
    }
}

fn put_wrapped(out: &mut Vec<u8>, tag: u8, inner: &CqlType) {
    out.put_u8(tag);
    put_type(out, inner);
}

pub(super) fn put_udt(out: &mut Vec<u8>, udt: &UdtType) {
    put_text(out, &udt.keyspace);
    put_text(out, &udt.name);
    out.put_varint(udt.fields.len() as u64);
    for (name, ty) in &udt.fields {
        put_text(out, name);
        put_type(out, ty);
    }
}

pub(super) fn cql_type(reader: &mut Reader<'_>) -> Decoded<CqlType> {
    type_at_depth(reader, 0)
}

pub(super) fn udt(reader: &mut Reader<'_>) -> Decoded<UdtType> {
    udt_at_depth(reader, 0)
}

fn type_at_depth(reader: &mut Reader<'_>, depth: usize) -> Decoded<CqlType> {
    // A frozen wrapper and the type in it are two levels here and one in the language.
    if depth > 2 * NESTING_DEPTH_MAX {
        return Err(reader.error("type within the nesting limit"));
    }
    let error = reader.error("type tag");
    let tag = reader.u8()?;
    if let Some(native) = NATIVE.get(usize::from(tag)) {
        return Ok(native.clone());
    }
    let inner = |reader: &mut Reader<'_>| type_at_depth(reader, depth + 1).map(Box::new);
    Ok(match tag {
        LIST => CqlType::List(inner(reader)?),
        SET => CqlType::Set(inner(reader)?),
        FROZEN => CqlType::Frozen(inner(reader)?),
        MAP => CqlType::Map(inner(reader)?, inner(reader)?),
        TUPLE => {
            let count = fields_count(reader)?;
            let parts = (0..count).map(|_| type_at_depth(reader, depth + 1));
            CqlType::Tuple(parts.collect::<Decoded<_>>()?)
        }
        UDT => CqlType::Udt(Arc::new(udt_at_depth(reader, depth + 1)?)),
        VECTOR => {
            let element = inner(reader)?;
            let dimensions = usize::try_from(reader.varint()?).map_err(|_| error)?;
            CqlType::Vector(element, dimensions)
        }
        EMPTY => CqlType::Empty,
        CUSTOM => CqlType::Custom(text(reader)?),
        _ => return Err(error),
    })
}

fn udt_at_depth(reader: &mut Reader<'_>, depth: usize) -> Decoded<UdtType> {
    let keyspace = text(reader)?;
    let name = text(reader)?;
    let count = fields_count(reader)?;
    let fields = (0..count).map(|_| Ok((text(reader)?, type_at_depth(reader, depth + 1)?)));
    Ok(UdtType { keyspace, name, fields: fields.collect::<Decoded<_>>()? })
}

fn fields_count(reader: &mut Reader<'_>) -> Decoded<usize> {
    let error = reader.error("number of fields");
    let fields = count(reader)?;
    if fields as u64 > FIELDS_MAX { Err(error) } else { Ok(fields) }
}
