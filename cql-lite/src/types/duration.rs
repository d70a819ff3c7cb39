//! Durations: months, days and nanoseconds, kept apart because months and days vary in length.
//!
//! Serialized: three signed [vints](super::frames), months | days | nanoseconds, which must not
//! have different signs.

use std::fmt;

use helenus_platform::codec::Reader;

use super::calendar::{CivilDate, DAY_MILLIS};
use super::error::{Result, ValueError};
use super::frames::vint;

const MICRO: i64 = 1_000;
const MILLI: i64 = 1_000 * MICRO;
const SECOND: i64 = 1_000 * MILLI;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A duration; no two of its parts have different signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Duration {
    /// Months, with years as twelve of them.
    pub months: i32,
    /// Days, with weeks as seven of them.
    pub days: i32,
    /// Nanoseconds, with everything from hours down.
    pub nanoseconds: i64,
}

impl Duration {
    /// Reads the serialized form, checked as Cassandra checks it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Duration> {
        if bytes.len() < 3 {
            let length = bytes.len();
            let message = format!("Expected at least 3 bytes for a duration ({length})");
            return Err(ValueError::invalid(message));
        }
        let mut reader = Reader::new(bytes);
        let mut next = || {
            vint::read_signed(&mut reader)
                .map_err(|_| ValueError::invalid("Not enough bytes to read a duration"))
        };
        let (months, days, nanoseconds) = (next()?, next()?, next()?);
        if !reader.is_empty() {
            return Err(ValueError::invalid("Unexpected extraneous bytes after duration value"));
        }
        let int = |value: i64, unit: &str| {
            i32::try_from(value).map_err(|_| {
                let message =
                    format!("The duration {unit} must be a 32 bits integer but was: {value}");
                ValueError::invalid(message)
            })
        };
        let (months, days) = (int(months, "months")?, int(days, "days")?);
        Duration::new(months, days, nanoseconds)
    }

    /// A duration, if the signs agree.
    pub fn new(months: i32, days: i32, nanoseconds: i64) -> Result<Duration> {
        let positive = months >= 0 && days >= 0 && nanoseconds >= 0;
        let negative = months <= 0 && days <= 0 && nanoseconds <= 0;
        if positive || negative {
            return Ok(Duration { months, days, nanoseconds });
        }
        Err(ValueError::invalid(format!(
            "The duration months, days and nanoseconds must be all of the same sign \
             ({months}, {days}, {nanoseconds})"
        )))
    }

    /// The serialized form.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3);
        vint::write_signed(&mut out, i64::from(self.months));
        vint::write_signed(&mut out, i64::from(self.days));
        vint::write_signed(&mut out, self.nanoseconds);
        out
    }

    /// The time `millis` (since the epoch) plus this duration, or minus it. Parts of a
    /// millisecond are dropped. `None` if the result is out of range.
    pub fn shift(self, millis: i64, backwards: bool) -> Option<i64> {
        let sign = if backwards { -1 } else { 1 };
        let mut shifted = millis;
        if self.months != 0 {
            let (day, time) = (millis.div_euclid(DAY_MILLIS), millis.rem_euclid(DAY_MILLIS));
            let moved = CivilDate::from_days(day).add_months(i64::from(self.months) * sign);
            shifted = moved.to_days().checked_mul(DAY_MILLIS)?.checked_add(time)?;
        }
        shifted = shifted.checked_add(i64::from(self.days) * DAY_MILLIS * sign)?;
        shifted.checked_add(self.nanoseconds / MILLI * sign)
    }

    /// Nothing below a day.
    pub fn has_day_precision(self) -> bool {
        self.nanoseconds == 0
    }

    /// Nothing below a millisecond.
    pub fn has_millisecond_precision(self) -> bool {
        self.nanoseconds % MILLI == 0
    }

    /// Reads `1y2mo3w4d5h6m7s8ms9us10ns`, `P1Y2M3DT4H5M6S`, `P7W` or `P0001-02-03T04:05:06`, each
    /// with or without a minus before it.
    pub fn parse(text: &str) -> Result<Duration> {
        let (negative, source) = match text.strip_prefix('-') {
            Some(source) => (true, source),
            None => (false, text),
        };
        let mut parts = Parts::default();
        let read = match source.strip_prefix('P') {
            None => parts.standard(source)?,
            Some(iso) if iso.ends_with('W') => parts.weeks(iso)?,
            Some(iso) if iso.contains('-') => parts.alternative(iso)?,
            Some(iso) => parts.designators(iso)?,
        };
        if read.is_none() {
            let message = format!("Unable to convert '{source}' to a duration");
            return Err(ValueError::invalid(message));
        }
        let sign = if negative { -1 } else { 1 };
        Ok(Duration {
            months: parts.months as i32 * sign,
            days: parts.days as i32 * sign,
            nanoseconds: parts.nanoseconds * i64::from(sign),
        })
    }
}

/// Where a unit counts: which part of a duration, and how many of the part it is.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Months(i64),
    Days(i64),
    Nanoseconds(i64),
}

/// The units in the order in which they must be given: symbol, name, value.
const UNITS: [(&str, &str, Part); 10] = [
    ("y", "years", Part::Months(12)),
    ("mo", "months", Part::Months(1)),
    ("w", "weeks", Part::Days(7)),
    ("d", "days", Part::Days(1)),
    ("h", "hours", Part::Nanoseconds(HOUR)),
    ("m", "minutes", Part::Nanoseconds(MINUTE)),
    ("s", "seconds", Part::Nanoseconds(SECOND)),
    ("ms", "milliseconds", Part::Nanoseconds(MILLI)),
    ("us", "microseconds", Part::Nanoseconds(MICRO)),
    ("ns", "nanoseconds", Part::Nanoseconds(1)),
];

/// What has been read of a duration so far; all of it positive.
#[derive(Default)]
struct Parts {
    months: i64,
    days: i64,
    nanoseconds: i64,
    /// 1 + the index in [`UNITS`] of the last unit read.
    units_passed: usize,
}

impl Parts {
    fn add(&mut self, number: i64, unit: usize) -> Result<()> {
        let Some(&(_, name, part)) = UNITS.get(unit) else { return Ok(()) };
        if unit + 1 == self.units_passed {
            let message = format!("Invalid duration. The {name} are specified multiple times");
            return Err(ValueError::invalid(message));
        }
        if unit < self.units_passed {
            let passed = UNITS.get(self.units_passed - 1).map_or("", |unit| unit.1);
            let message = format!("Invalid duration. The {passed} should be after {name}");
            return Err(ValueError::invalid(message));
        }
        self.units_passed = unit + 1;
        let (total, size, max, of) = match part {
            Part::Months(size) => (&mut self.months, size, i64::from(i32::MAX), "months"),
            Part::Days(size) => (&mut self.days, size, i64::from(i32::MAX), "days"),
            Part::Nanoseconds(size) => (&mut self.nanoseconds, size, i64::MAX, "nanoseconds"),
        };
        if number > (max - *total) / size {
            return Err(ValueError::invalid(format!(
                "Invalid duration. The total number of {of} must be less or equal to {}",
                i32::MAX
            )));
        }
        *total += number * size;
        Ok(())
    }

    /// Numbers each followed by a unit.
    fn standard(&mut self, source: &str) -> Result<Option<()>> {
        let mut rest = source;
        while !rest.is_empty() {
            let Some((number, after)) = number(rest) else { return Ok(None) };
            let length = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (symbol, next) = after.split_at(length);
            let symbol = symbol.to_lowercase().replace('µ', "u");
            let Some(unit) = UNITS.iter().position(|unit| unit.0 == symbol) else {
                return Ok(None);
            };
            self.add(number, unit)?;
            rest = next;
        }
        Ok((!source.is_empty()).then_some(()))
    }

    /// `7W`, without the P.
    fn weeks(&mut self, iso: &str) -> Result<Option<()>> {
        match number(iso) {
            Some((weeks, "W")) => self.add(weeks, 2).map(Some),
            _ => Ok(None),
        }
    }

    /// `1Y2M3DT4H5M6S`, without the P; every part may be missing.
    fn designators(&mut self, iso: &str) -> Result<Option<()>> {
        let (date, time) = iso.split_once('T').unwrap_or((iso, ""));
        let date_units = [('Y', 0), ('M', 1), ('D', 3)];
        let time_units = [('H', 4), ('M', 5), ('S', 6)];
        for (mut rest, units) in [(date, date_units), (time, time_units)] {
            for (designator, unit) in units {
                if let Some((number, after)) = number(rest)
                    && let Some(after) = after.strip_prefix(designator)
                {
                    self.add(number, unit)?;
                    rest = after;
                }
            }
            if !rest.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// `0001-02-03T04:05:06`, without the P.
    fn alternative(&mut self, iso: &str) -> Result<Option<()>> {
        const FIELDS: [(usize, Option<char>, usize); 6] = [
            (4, Some('-'), 0),
            (2, Some('-'), 1),
            (2, Some('T'), 3),
            (2, Some(':'), 4),
            (2, Some(':'), 5),
            (2, None, 6),
        ];
        let mut rest = iso;
        for (width, separator, unit) in FIELDS {
            let Some((digits, after)) = rest.split_at_checked(width) else { return Ok(None) };
            let Some((value, "")) = number(digits) else { return Ok(None) };
            let after = match separator {
                Some(separator) => after.strip_prefix(separator),
                None => after.is_empty().then_some(after),
            };
            let Some(after) = after else { return Ok(None) };
            self.add(value, unit)?;
            rest = after;
        }
        Ok(Some(()))
    }
}

/// The number that `text` begins with, and what follows.
fn number(text: &str) -> Option<(i64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = text.split_at_checked(length)?;
    Some((digits.parse().ok()?, after))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.months < 0 || self.days < 0 || self.nanoseconds < 0 {
            f.write_str("-")?;
        }
        let mut months = u64::from(self.months.unsigned_abs());
        let mut days = u64::from(self.days.unsigned_abs());
        let mut nanoseconds = self.nanoseconds.unsigned_abs();
        for (symbol, _, part) in UNITS {
            let (left, size) = match part {
                // Weeks are read but never printed.
                Part::Days(7) => continue,
                Part::Months(size) => (&mut months, size as u64),
                Part::Days(size) => (&mut days, size as u64),
                Part::Nanoseconds(size) => (&mut nanoseconds, size as u64),
            };
            if *left >= size {
                write!(f, "{}{symbol}", *left / size)?;
                *left %= size;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let cases = [
            ("1y2mo", "1y2mo"),
            ("-1y2mo", "-1y2mo"),
            ("5w3d", "38d"),
            ("12H30m", "12h30m"),
            ("1h1m1s1ms1us1ns", "1h1m1s1ms1us1ns"),
            ("90µs", "90us"),
            ("13mo", "1y1mo"),
            ("61s", "1m1s"),
            ("P1Y2M3DT4H5M6S", "1y2mo3d4h5m6s"),
            ("PT5M", "5m"),
            ("P2W", "14d"),
            ("-P0001-02-03T04:05:06", "-1y2mo3d4h5m6s"),
            ("P", ""),
            ("0s", ""),
        ];
        for (text, printed) in cases {
            assert_eq!(Duration::parse(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_so() {
        for text in ["", "-", "1", "y", "1x", "1y1", "P1X", "P1-2-3", "T1H", "1yy"] {
            let source = text.strip_prefix('-').unwrap_or(text);
            let expected = format!("Unable to convert '{source}' to a duration");
            assert_eq!(Duration::parse(text).unwrap_err().message, expected);
        }
        let order = Duration::parse("1d1y").unwrap_err().message;
        assert_eq!(order, "Invalid duration. The days should be after years");
        let twice = Duration::parse("1d2d").unwrap_err().message;
        assert_eq!(twice, "Invalid duration. The days are specified multiple times");
        assert!(Duration::parse("178956971y").is_err());
        assert!(Duration::parse("9223372036854775808ns").is_err());
    }

    #[test]
    fn bytes_come_back_and_mixed_signs_are_refused() {
        let duration = Duration::parse("-1y3d4ns").unwrap();
        assert_eq!(Duration::from_bytes(&duration.to_bytes()), Ok(duration));
        let mixed = Duration { months: 1, days: -1, nanoseconds: 0 }.to_bytes();
        let message = Duration::from_bytes(&mixed).unwrap_err().message;
        assert!(message.ends_with("must be all of the same sign (1, -1, 0)"), "{message}");
        let short = Duration::from_bytes(&[0]).unwrap_err().message;
        assert_eq!(short, "Expected at least 3 bytes for a duration (1)");
    }

    #[test]
    fn shifting_keeps_to_the_calendar() {
        let end_of_january = CivilDate { year: 2024, month: 1, day: 31 }.to_days() * DAY_MILLIS + 5;
        let month = Duration::parse("1mo1ms").unwrap();
        let february = CivilDate { year: 2024, month: 2, day: 29 }.to_days() * DAY_MILLIS + 6;
        assert_eq!(month.shift(end_of_january, false), Some(february));
        let day = Duration::parse("1d").unwrap();
        assert_eq!(day.shift(0, true), Some(-DAY_MILLIS));
        assert_eq!(day.shift(i64::MAX, false), None);
    }
}
