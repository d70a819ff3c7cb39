//! `abs`, `exp`, `log`, `log10` and `round`, each of which gives a number of the type it got.

use super::ScalarFunction;
use super::number::Number;
use crate::types::CqlType;
use crate::types::decimal::Decimal;
use crate::types::error::{Result, ValueError};

const NUMERIC: [CqlType; 9] = [
    CqlType::Tinyint,
    CqlType::Smallint,
    CqlType::Int,
    CqlType::Float,
    CqlType::Bigint,
    CqlType::Double,
    CqlType::Varint,
    CqlType::Decimal,
    CqlType::Counter,
];

/// The signatures of the function called `name`.
pub(super) fn overloads(name: &str) -> Vec<ScalarFunction> {
    let body: fn(&Number) -> Result<Number> = match name {
        "abs" => |number| Ok(abs(number)),
        "exp" => |number| transcendental(number, f64::exp),
        "log" => |number| transcendental(number, f64::ln),
        "log10" => |number| transcendental(number, f64::log10),
        "round" => round,
        _ => return Vec::new(),
    };
    let overload = |ty: &CqlType| {
        let argument = ty.clone();
        ScalarFunction::unary(name, ty.clone(), ty.clone(), move |bytes| {
            let number = Number::read(&argument, bytes)?;
            number.map(|number| body(&number)?.write(&argument)).transpose()
        })
    };
    NUMERIC.iter().map(overload).collect()
}

fn abs(number: &Number) -> Number {
    match number {
        Number::Integer(value) => Number::Integer(value.wrapping_abs()),
        Number::Float(value) => Number::Float(value.abs()),
        Number::Double(value) => Number::Double(value.abs()),
        Number::Varint(value) => Number::Varint(value.magnitude().clone().into()),
        Number::Decimal(value) => Number::Decimal(Decimal {
            unscaled: value.unscaled.magnitude().clone().into(),
            scale: value.scale,
        }),
    }
}

/// Computed as a double, whatever the type.
fn transcendental(number: &Number, function: fn(f64) -> f64) -> Result<Number> {
    let result = Number::Double(function(number.to_f64()));
    Ok(match number {
        Number::Varint(_) => {
            Number::Varint(result.to_decimal()?.to_integer().ok_or_else(too_long)?)
        }
        _ => result,
    })
}

fn too_long() -> ValueError {
    ValueError::execution("the result has too many digits")
}

fn round(number: &Number) -> Result<Number> {
    // Half up, towards positive infinity, as `Math.round` has it; a NaN becomes 0.
    let half_up = |value: f64| {
        let below = value.floor();
        if value - below >= 0.5 { (below + 1.0) as i64 } else { below as i64 }
    };
    Ok(match number {
        Number::Float(value) => Number::Integer(i64::from(half_up(f64::from(*value)) as i32)),
        Number::Double(value) => Number::Integer(half_up(*value)),
        Number::Decimal(value) => Number::Decimal(value.with_scale(0).ok_or_else(too_long)?),
        whole => whole.clone(),
    })
}
