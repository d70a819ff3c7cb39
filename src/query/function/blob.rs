//! Conversions between any type and blob: `blobAsInt`, `intAsBlob`, `blob_as_int`, `int_as_blob`.

use cql_lite::types::CqlType;
use cql_lite::types::validate::validate;

use crate::error::{Error, Result};

use super::catalog::function;
use super::{Function, Invocation};

/// The conversion of that lower-case name, if it is one.
pub(super) fn overloads(name: &str, _given: &[Option<CqlType>]) -> Vec<Function> {
    let plain = |name: &str| CqlType::plain(name).filter(|ty| *ty != CqlType::Blob);
    let from = name.strip_suffix("_as_blob").or_else(|| name.strip_suffix("asblob"));
    if let Some(ty) = from.and_then(plain) {
        return vec![function(&[ty], CqlType::Blob, to_blob)];
    }
    let to = name.strip_prefix("blob_as_").or_else(|| name.strip_prefix("blobas"));
    if let Some(ty) = to.and_then(plain) {
        return vec![function(&[CqlType::Blob], ty, from_blob)];
    }
    Vec::new()
}

fn to_blob(_: &Invocation<'_>, arguments: &[Option<&[u8]>]) -> Result<Option<Vec<u8>>> {
    Ok(arguments.first().copied().flatten().map(<[u8]>::to_vec))
}

fn from_blob(call: &Invocation<'_>, arguments: &[Option<&[u8]>]) -> Result<Option<Vec<u8>>> {
    let Some(bytes) = arguments.first().copied().flatten() else { return Ok(None) };
    let ty = &call.function.returns;
    if validate(ty, bytes).is_err() {
        return Err(Error::invalid(format!(
            "In call to function {}, value 0x{} is not a valid binary representation for type {ty}",
            call.function.name,
            cql_lite::types::text::hex(bytes)
        )));
    }
    Ok(Some(bytes.to_vec()))
}
