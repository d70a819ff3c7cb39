//! `CAST(value AS type)`.

use super::number::Number;
use super::{ScalarFunction, time};
use crate::types::CqlType;
use crate::types::text::cast_text;

/// The function that casts `from` to `to`, or `None` if Cassandra has no such cast.
pub fn cast(from: &CqlType, to: &CqlType) -> Option<ScalarFunction> {
    let name = format!("cast_as_{to}");
    if from == to {
        let same =
            |values: &[Option<&[u8]>]| Ok(values.first().copied().flatten().map(<[u8]>::to_vec));
        return Some(ScalarFunction::new(&name, vec![from.clone()], to.clone(), same));
    }
    let (source, target) = (from.clone(), to.clone());
    if from.is_numeric() && to.is_numeric() && *to != CqlType::Counter {
        return Some(ScalarFunction::unary(&name, from.clone(), to.clone(), move |bytes| {
            Number::read(&source, bytes)?.map(|number| number.write(&target)).transpose()
        }));
    }
    match (from, to) {
        (_, CqlType::Text | CqlType::Ascii) if has_text(from, to) => {
            let print = move |bytes: &[u8]| Ok(Some(cast_text(&source, bytes)?.into_bytes()));
            Some(ScalarFunction::unary(&name, from.clone(), to.clone(), print))
        }
        (CqlType::Timeuuid, CqlType::Date | CqlType::Timestamp)
        | (CqlType::Timestamp, CqlType::Date)
        | (CqlType::Date, CqlType::Timestamp) => {
            let convert = move |bytes: &[u8]| Ok(time::convert(&source, &target, bytes));
            Some(ScalarFunction::unary(&name, from.clone(), to.clone(), convert))
        }
        _ => None,
    }
}

fn has_text(from: &CqlType, to: &CqlType) -> bool {
    use CqlType::*;
    match from {
        Ascii => *to == Text,
        Boolean | Date | Inet | Time | Timestamp | Timeuuid | Uuid => true,
        other => other.is_numeric(),
    }
}
