//! `to_json` and `from_json`.

use super::ScalarFunction;
use crate::types::CqlType;
use crate::types::error::{Result, ValueError, ValueErrorKind};
use crate::types::text::json::{from_json, parse_json, to_json};

/// `to_json` of a value of type `ty`.
pub(super) fn to_json_function(name: &str, ty: &CqlType) -> ScalarFunction {
    let argument = ty.clone();
    ScalarFunction::new(name, vec![ty.clone()], CqlType::Text, move |values| {
        let value = values.first().copied().flatten();
        Ok(Some(to_json(&argument, value)?.into_bytes()))
    })
}

/// `from_json` to a value of type `ty`.
pub(super) fn from_json_function(name: &str, ty: &CqlType) -> ScalarFunction {
    let (target, called) = (ty.clone(), name.to_owned());
    ScalarFunction::new(name, vec![CqlType::Text], ty.clone(), move |values| {
        let Some(bytes) = values.first().copied().flatten() else { return Ok(None) };
        read(&target, bytes).map_err(|error| {
            let message = format!("execution of 'system.{called}[text]' failed: {error}");
            ValueError { kind: ValueErrorKind::Execution, message }
        })
    })
}

fn read(ty: &CqlType, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| ValueError::invalid("String didn't validate."))?;
    from_json(ty, &parse_json(text)?)
}
