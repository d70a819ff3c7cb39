//! `int_as_blob`, `blob_as_int` and so on for every plain type, also under the names without
//! underscores that came first. The bytes stay as they are; only the type changes.

use super::ScalarFunction;
use crate::types::error::ValueError;
use crate::types::text::hex;
use crate::types::{CqlType, validate};

/// The function called `name`, if it is one of these.
pub(super) fn overloads(name: &str) -> Vec<ScalarFunction> {
    let plain = |name: &str| CqlType::plain(name).filter(|ty| *ty != CqlType::Blob);
    let to_blob = name.strip_suffix("_as_blob").or_else(|| name.strip_suffix("asblob"));
    if let Some(ty) = to_blob.and_then(plain) {
        let same =
            |values: &[Option<&[u8]>]| Ok(values.first().copied().flatten().map(<[u8]>::to_vec));
        return vec![ScalarFunction::new(name, vec![ty], CqlType::Blob, same)];
    }
    let from_blob = name.strip_prefix("blob_as_").or_else(|| name.strip_prefix("blobas"));
    let Some(ty) = from_blob.and_then(plain) else { return Vec::new() };
    let (target, called) = (ty.clone(), name.to_owned());
    vec![ScalarFunction::new(name, vec![CqlType::Blob], ty, move |values| {
        let Some(bytes) = values.first().copied().flatten() else { return Ok(None) };
        if validate(&target, bytes).is_err() {
            return Err(ValueError::invalid(format!(
                "In call to function system.{called}, value 0x{} is not a valid binary \
                 representation for type {target}",
                hex(bytes)
            )));
        }
        Ok(Some(bytes.to_vec()))
    })]
}
