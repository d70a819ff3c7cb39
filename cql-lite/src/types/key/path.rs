//! Paths of cells: which element of a multi-cell column a cell is.
//!
//! ```text
//! set    component of the element
//! map    component of the key
//! list   component of a timeuuid, which orders the elements by the time they were added
//! UDT    u16 big-endian index of the field
//! ```
//!
//! A path's spelling is simply the original wire form of the element or key.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{Put, Reader};

use super::{KeySource, decode_component, encode_component, needs_spelling};
use crate::types::CqlType;
use crate::types::error::{Result, ValueError};

/// The path of the set element or the map key `bytes` of type `ty`.
pub fn element(ty: &CqlType, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + 3);
    encode_component(ty, Some(bytes), false, &mut out)?;
    Ok(out)
}

/// What must be stored beside the path to give back `bytes`.
pub fn spelling<'a>(ty: &CqlType, bytes: &'a [u8]) -> Option<&'a [u8]> {
    needs_spelling(ty, bytes).then_some(bytes)
}

/// Appends the wire form of the set element or map key with this path to `out`.
pub fn decode_element(
    ty: &CqlType,
    path: &[u8],
    spelling: Option<&[u8]>,
    out: &mut Vec<u8>,
) -> Result<()> {
    if let Some(original) = spelling {
        out.put_bytes(original);
        return Ok(());
    }
    let mut source = KeySource::new(path, false);
    let present = decode_component(ty, &mut source, out)?;
    if present && source.rest().is_empty() {
        return Ok(());
    }
    Err(ValueError::damaged("the path of a cell is no single value"))
}

/// The path of the list element that was given this timeuuid.
pub fn list(timeuuid: &[u8; 16]) -> Result<Vec<u8>> {
    element(&CqlType::Timeuuid, timeuuid)
}

/// The timeuuid in a path of a list.
pub fn decode_list(path: &[u8]) -> Result<[u8; 16]> {
    let mut out = Vec::with_capacity(16);
    decode_element(&CqlType::Timeuuid, path, None, &mut out)?;
    out.try_into().map_err(|_| ValueError::damaged("the path of a list element has no timeuuid"))
}

/// The path of the field at `index` of a UDT.
pub fn field(index: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(2);
    out.put_u16_be(index);
    out
}

/// The index in a path of a UDT.
pub fn decode_field(path: &[u8]) -> Result<u16> {
    let mut reader = Reader::new(path);
    match reader.u16_be() {
        Ok(index) if reader.is_empty() => Ok(index),
        _ => Err(ValueError::damaged("the path of a field is not two bytes")),
    }
}
