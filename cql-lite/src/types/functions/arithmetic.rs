//! `+ - * / %` on numbers, `+ -` of a duration on timestamps and dates, and unary minus.
//!
//! Two integers give the larger of their types, with overflow wrapping round as in Java. As soon
//! as one is floating-point, the result is float if both take at most 4 bytes, double up to 8,
//! decimal beyond.

use num_bigint::{BigInt, Sign};

use super::ScalarFunction;
use super::number::Number;
use crate::types::calendar::{DAY_MILLIS, date_of_millis, days_of_date};
use crate::types::decimal::{Decimal, NUMBER_DIGITS_MAX};
use crate::types::duration::Duration;
use crate::types::error::{Result, ValueError};
use crate::types::{CqlType, fixed};

/// The most digits of a decimal result.
const PRECISION_MAX: usize = 10_000;
/// A quotient has at least this many digits, and this many behind the point …
const QUOTIENT_DIGITS: i64 = 32;
/// … and at most this many behind the point.
const SCALE_MAX: i64 = 1_000;

/// An operator between two terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

impl Operator {
    /// The operator's sign.
    pub fn symbol(self) -> char {
        match self {
            Operator::Add => '+',
            Operator::Subtract => '-',
            Operator::Multiply => '*',
            Operator::Divide => '/',
            Operator::Modulo => '%',
        }
    }

    /// The name of the function that the operator stands for.
    fn function(self) -> &'static str {
        match self {
            Operator::Add => "_add",
            Operator::Subtract => "_substract",
            Operator::Multiply => "_multiply",
            Operator::Divide => "_divide",
            Operator::Modulo => "_modulo",
        }
    }
}

/// The function that `left operator right` calls, or `None` if there is none for these types.
pub fn operation(operator: Operator, left: &CqlType, right: &CqlType) -> Option<ScalarFunction> {
    if left.is_numeric() && right.is_numeric() {
        return Some(numeric(operator, left, right));
    }
    let temporal = matches!(left, CqlType::Timestamp | CqlType::Date);
    let shifts = matches!(operator, Operator::Add | Operator::Subtract);
    (temporal && shifts && *right == CqlType::Duration).then(|| shift(operator, left))
}

/// The function that `-value` calls, or `None` for types that are not numbers.
pub fn negation(ty: &CqlType) -> Option<ScalarFunction> {
    let argument = ty.is_numeric().then(|| ty.clone())?;
    Some(ScalarFunction::unary("_negate", ty.clone(), ty.clone(), move |bytes| {
        let negate = |number| match number {
            Number::Integer(value) => Number::Integer(value.wrapping_neg()),
            Number::Float(value) => Number::Float(-value),
            Number::Double(value) => Number::Double(-value),
            Number::Varint(value) => Number::Varint(-value),
            Number::Decimal(Decimal { unscaled, scale }) => {
                Number::Decimal(Decimal { unscaled: -unscaled, scale })
            }
        };
        Number::read(&argument, bytes)?.map(|number| negate(number).write(&argument)).transpose()
    }))
}

/// The type of the result of an operation between numbers.
fn result_type(left: &CqlType, right: &CqlType) -> CqlType {
    use CqlType::*;
    let floating = |ty: &CqlType| matches!(ty, Float | Double | Decimal);
    let bytes = |ty: &CqlType| match ty {
        Tinyint => 1,
        Smallint => 2,
        Int | Float => 4,
        Bigint | Counter | Double => 8,
        _ => usize::MAX,
    };
    match (floating(left) || floating(right), bytes(left).max(bytes(right))) {
        (true, ..=4) => Float,
        (true, 5..=8) => Double,
        (true, _) => Decimal,
        (false, 1) => Tinyint,
        (false, 2) => Smallint,
        (false, 3..=4) => Int,
        (false, 5..=8) => Bigint,
        (false, _) => Varint,
    }
}

fn failed(operator: Operator, left: &CqlType, right: &CqlType, why: &str) -> ValueError {
    let symbol = operator.symbol();
    ValueError::execution(format!("the operation '{left} {symbol} {right}' failed: {why}"))
}

fn numeric(operator: Operator, left: &CqlType, right: &CqlType) -> ScalarFunction {
    let result = result_type(left, right);
    let (left_type, right_type, returns) = (left.clone(), right.clone(), result.clone());
    let arguments = vec![left.clone(), right.clone()];
    ScalarFunction::new(operator.function(), arguments, result, move |values| {
        let [Some(left), Some(right)] = values else { return Ok(None) };
        let (Some(a), Some(b)) =
            (Number::read(&left_type, left)?, Number::read(&right_type, right)?)
        else {
            return Ok(None);
        };
        let computed = compute(operator, &returns, &a, &b).and_then(|n| n.write(&returns));
        computed
            .map(Some)
            .map_err(|error| failed(operator, &left_type, &right_type, &error.message))
    })
}

fn compute(operator: Operator, ty: &CqlType, a: &Number, b: &Number) -> Result<Number> {
    Ok(match ty {
        CqlType::Float | CqlType::Double => {
            // A float's operands are floats first, as in Java: an int may lose digits here.
            let operand = |number: &Number| match ty {
                CqlType::Float => f64::from(number.to_f32()),
                _ => number.to_f64(),
            };
            let (a, b) = (operand(a), operand(b));
            let result = match operator {
                Operator::Add => a + b,
                Operator::Subtract => a - b,
                Operator::Multiply => a * b,
                Operator::Divide => a / b,
                Operator::Modulo => a % b,
            };
            // A double has more than twice the digits of a float, so rounding twice gives what
            // rounding once would have given.
            Number::Double(result)
        }
        CqlType::Decimal => {
            Number::Decimal(decimals(operator, &a.to_decimal()?, &b.to_decimal()?)?)
        }
        CqlType::Varint => Number::Varint(varints(operator, &a.to_varint(), &b.to_varint())?),
        _ => Number::Integer(integers(operator, a.to_i64(), b.to_i64())?),
    })
}

fn integers(operator: Operator, a: i64, b: i64) -> Result<i64> {
    let dividing = matches!(operator, Operator::Divide | Operator::Modulo);
    if dividing && b == 0 {
        return Err(ValueError::execution("/ by zero"));
    }
    Ok(match operator {
        Operator::Add => a.wrapping_add(b),
        Operator::Subtract => a.wrapping_sub(b),
        Operator::Multiply => a.wrapping_mul(b),
        Operator::Divide => a.wrapping_div(b),
        Operator::Modulo => a.wrapping_rem(b),
    })
}

fn varints(operator: Operator, a: &BigInt, b: &BigInt) -> Result<BigInt> {
    let dividing = matches!(operator, Operator::Divide | Operator::Modulo);
    if dividing && b.sign() == Sign::NoSign {
        return Err(ValueError::execution("BigInteger divide by zero"));
    }
    Ok(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Modulo => a % b,
    })
}

/// An operation between decimals, as Cassandra rounds them.
pub(in crate::types) fn decimals(operator: Operator, a: &Decimal, b: &Decimal) -> Result<Decimal> {
    match operator {
        Operator::Add => sum(a, &b.unscaled, b.scale),
        Operator::Subtract => sum(a, &-b.unscaled.clone(), b.scale),
        Operator::Multiply => {
            let scale = a.scale.checked_add(b.scale).ok_or_else(too_long)?;
            let unscaled = &a.unscaled * &b.unscaled;
            Ok(Decimal { unscaled, scale }.rounded(PRECISION_MAX))
        }
        Operator::Divide => quotient(a, b),
        Operator::Modulo => {
            if b.is_zero() {
                return Err(ValueError::execution("Division by zero"));
            }
            let scale = a.scale.max(b.scale);
            let (dividend, divisor) = aligned(a, b, scale)?;
            Ok(Decimal { unscaled: dividend % divisor, scale })
        }
    }
}

fn too_long() -> ValueError {
    ValueError::execution("the result has too many digits")
}

fn aligned(a: &Decimal, b: &Decimal, scale: i32) -> Result<(BigInt, BigInt)> {
    let at_scale = |number: &Decimal| number.with_scale(scale).ok_or_else(too_long);
    Ok((at_scale(a)?.unscaled, at_scale(b)?.unscaled))
}

fn sum(a: &Decimal, unscaled: &BigInt, scale: i32) -> Result<Decimal> {
    let b = Decimal { unscaled: unscaled.clone(), scale };
    let scale = a.scale.max(b.scale);
    let (left, right) = aligned(a, &b, scale)?;
    Ok(Decimal { unscaled: left + right, scale }.rounded(PRECISION_MAX))
}

fn quotient(a: &Decimal, b: &Decimal) -> Result<Decimal> {
    if b.is_zero() {
        let why = if a.is_zero() { "Division undefined" } else { "Division by zero" };
        return Err(ValueError::execution(why));
    }
    let whole_digits = |n: &Decimal| n.precision() as i64 - i64::from(n.scale);
    let first_digit = whole_digits(a) - whole_digits(b);
    let scale = (QUOTIENT_DIGITS - first_digit)
        .max(i64::from(a.scale))
        .max(i64::from(b.scale))
        .clamp(QUOTIENT_DIGITS, SCALE_MAX);
    let scale = i32::try_from(scale).map_err(|_| too_long())?;
    Ok(divided(a, b, scale, false)?.stripped())
}

/// `a / b` with `scale` digits behind the point, rounded half away from zero, or half to even.
pub(in crate::types) fn divided(
    a: &Decimal,
    b: &Decimal,
    scale: i32,
    half_even: bool,
) -> Result<Decimal> {
    // unscaled = a.unscaled × 10^(scale + b.scale - a.scale) / b.unscaled
    let shift = i64::from(scale) + i64::from(b.scale) - i64::from(a.scale);
    let by = usize::try_from(shift.unsigned_abs()).ok().filter(|by| *by <= NUMBER_DIGITS_MAX);
    let factor = super::super::decimal::power_of_ten(by.ok_or_else(too_long)?);
    let (dividend, divisor) = if shift >= 0 {
        (&a.unscaled * factor, b.unscaled.clone())
    } else {
        (a.unscaled.clone(), &b.unscaled * factor)
    };
    let whole = &dividend / &divisor;
    let twice: BigInt = (&dividend - &whole * &divisor) * 2;
    let away = match twice.magnitude().cmp(divisor.magnitude()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => !half_even || whole.bit(0),
        std::cmp::Ordering::Greater => true,
    };
    let negative = (dividend.sign() == Sign::Minus) != (divisor.sign() == Sign::Minus);
    let unscaled = match (away, negative) {
        (false, _) => whole,
        (true, false) => whole + 1,
        (true, true) => whole - 1,
    };
    Ok(Decimal { unscaled, scale })
}

/// A timestamp or a date plus or minus a duration.
fn shift(operator: Operator, ty: &CqlType) -> ScalarFunction {
    let temporal = ty.clone();
    let backwards = operator == Operator::Subtract;
    let arguments = vec![ty.clone(), CqlType::Duration];
    ScalarFunction::new(operator.function(), arguments, ty.clone(), move |values| {
        let [Some(left), Some(right)] = values else { return Ok(None) };
        if left.is_empty() || right.is_empty() {
            return Ok(None);
        }
        let duration = Duration::from_bytes(right)?;
        shifted(&temporal, left, duration, backwards)
            .map(Some)
            .map_err(|why| failed(operator, &temporal, &CqlType::Duration, &why))
    })
}

fn shifted(
    ty: &CqlType,
    bytes: &[u8],
    duration: Duration,
    backwards: bool,
) -> std::result::Result<Vec<u8>, String> {
    let out_of_range = || "the result is out of range".to_owned();
    if let Some(date) = fixed::to_u32(bytes) {
        if !duration.has_day_precision() {
            return Err(format!("The duration must have a day precision. Was: {duration}"));
        }
        let millis = days_of_date(date) * DAY_MILLIS;
        let moved = duration.shift(millis, backwards).and_then(date_of_millis);
        return moved.map(fixed::from_u32).ok_or_else(out_of_range);
    }
    if !duration.has_millisecond_precision() {
        return Err(format!("The duration must have a millisecond precision. Was: {duration}"));
    }
    let millis = fixed::to_i64(bytes).ok_or_else(|| format!("no value of {ty}"))?;
    duration.shift(millis, backwards).map(fixed::from_i64).ok_or_else(out_of_range)
}
