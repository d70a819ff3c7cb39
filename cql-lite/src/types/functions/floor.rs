//! `floor`: the beginning of the interval of a given duration that holds a moment.

use super::ScalarFunction;
use super::time::millis_of;
use crate::types::calendar::{DAY_MILLIS, DAY_NANOS, date_of_millis};
use crate::types::duration::Duration;
use crate::types::error::{Result, ValueError};
use crate::types::{CqlType, fixed};

/// The signatures of `floor`.
pub(super) fn overloads(name: &str) -> Vec<ScalarFunction> {
    use CqlType::{Date, Timestamp, Timeuuid};
    if name != "floor" {
        return Vec::new();
    }
    let mut overloads = Vec::new();
    for (moment, result) in [(Timeuuid, Timestamp), (Timestamp, Timestamp), (Date, Date)] {
        let plain = vec![moment.clone(), CqlType::Duration];
        let with_start = vec![moment, CqlType::Duration, result.clone()];
        overloads.push(moment_floor(plain, result.clone()));
        overloads.push(moment_floor(with_start, result));
    }
    let arguments = vec![CqlType::Time, CqlType::Duration];
    overloads.push(ScalarFunction::new("floor", arguments, CqlType::Time, |values| {
        let [Some(time), Some(duration)] = values else { return Ok(None) };
        let Some(nanos) = fixed::to_i64(time) else { return Ok(None) };
        floor_time(nanos, Duration::from_bytes(duration)?).map(|nanos| Some(fixed::from_i64(nanos)))
    }));
    overloads
}

fn moment_floor(arguments: Vec<CqlType>, result: CqlType) -> ScalarFunction {
    let moment = arguments.first().cloned().unwrap_or(CqlType::Timestamp);
    let returns = result.clone();
    ScalarFunction::new("floor", arguments, result, move |values| {
        let mut present = values.iter().copied();
        let (Some(Some(bytes)), Some(Some(duration))) = (present.next(), present.next()) else {
            return Ok(None);
        };
        let start = match present.next() {
            None => Some(0),
            Some(start) => start.and_then(|start| millis_of(&returns, start)),
        };
        let (Some(millis), Some(start)) = (millis_of(&moment, bytes), start) else {
            return Ok(None);
        };
        let duration = Duration::from_bytes(duration)?;
        check_precision(&returns, duration)?;
        let floor = floor_millis(millis, duration, start)?;
        Ok(match returns {
            CqlType::Date => date_of_millis(floor).map(fixed::from_u32),
            _ => Some(fixed::from_i64(floor)),
        })
    })
}

fn check_precision(ty: &CqlType, duration: Duration) -> Result<()> {
    let (fits, unit) = match ty {
        CqlType::Date => (duration.has_day_precision(), "1 day"),
        _ => (duration.has_millisecond_precision(), "1 millisecond"),
    };
    if fits {
        return Ok(());
    }
    Err(ValueError::invalid(format!(
        "The floor on {ty} values cannot be computed for the {duration} duration as precision is \
         below {unit}"
    )))
}

fn check_sign(duration: Duration) -> Result<()> {
    if duration.months < 0 || duration.days < 0 || duration.nanoseconds < 0 {
        let message = "Negative durations are not supported by the floor function";
        return Err(ValueError::invalid(message));
    }
    Ok(())
}

/// The last `start + n × duration` that is not after `millis`.
fn floor_millis(millis: i64, duration: Duration, start: i64) -> Result<i64> {
    if start > millis {
        let message = "The floor function starting time is greater than the provided time";
        return Err(ValueError::invalid(message));
    }
    check_sign(duration)?;
    if duration.months == 0 {
        let length = i64::from(duration.days) * DAY_MILLIS + duration.nanoseconds / 1_000_000;
        return Ok(match length {
            0 => millis,
            length => {
                millis - ((i128::from(millis) - i128::from(start)) % i128::from(length)) as i64
            }
        });
    }
    // Months differ in length, so n is searched for: it grows with the time.
    let at = |n: i64| {
        let times = Duration {
            months: i32::try_from(i64::from(duration.months).checked_mul(n)?).ok()?,
            days: i32::try_from(i64::from(duration.days).checked_mul(n)?).ok()?,
            nanoseconds: duration.nanoseconds.checked_mul(n)?,
        };
        times.shift(start, false)
    };
    let not_after = |n: i64| at(n).is_some_and(|moment| moment <= millis);
    let (mut low, mut high) = (0, i64::from(i32::MAX));
    while low < high {
        let middle = low + (high - low + 1) / 2;
        if not_after(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(at(low).unwrap_or(start))
}

fn floor_time(nanos: i64, duration: Duration) -> Result<i64> {
    check_sign(duration)?;
    if duration.months != 0 || duration.days != 0 || duration.nanoseconds > DAY_NANOS {
        return Err(ValueError::invalid(
            "For time values, the floor can only be computed for durations smaller that a day",
        ));
    }
    Ok(match duration.nanoseconds {
        0 => nanos,
        length => nanos - nanos.rem_euclid(length),
    })
}
