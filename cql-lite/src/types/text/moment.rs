//! Timestamps, dates and times as text.
//!
//! A timestamp is a number of milliseconds, or a day, optionally a `T` or a space and a time of
//! hours and minutes, seconds, and milliseconds, optionally a zone: `Z`, `+hh`, `+hhmm`, `+hh:mm`
//! or, after a space, a name. Without a zone it is UTC.

use crate::types::calendar::{CivilDate, DAY_MILLIS, DAY_NANOS, date_of_days, days_of_date};
use crate::types::error::{Result, ValueError};

/// Zones that Cassandra's users write by name, with their offsets in minutes.
const ZONES: [(&str, i64); 13] = [
    ("Z", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("CET", 60),
];

/// The milliseconds since the epoch that `text` names.
pub fn parse_timestamp(text: &str) -> Result<i64> {
    if is_integer(text) {
        return text.parse().map_err(|_| {
            ValueError::invalid(format!("Unable to make long (for date) from: '{text}'"))
        });
    }
    parse_date_time(text).ok_or_else(|| {
        ValueError::invalid(format!("Unable to coerce '{text}' to a formatted date (long)"))
    })
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is left of a text while fields are taken from its beginning.
struct Fields<'a>(&'a str);

impl Fields<'_> {
    /// A number of 1 to `digits_max` digits.
    fn number(&mut self, digits_max: usize) -> Option<i64> {
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 || length > digits_max {
            return None;
        }
        let (digits, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        digits.parse().ok()
    }

    /// Takes `prefix` away if it is there.
    fn take(&mut self, prefix: &str) -> bool {
        match self.0.strip_prefix(prefix) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// A number of at most two digits below `limit`.
    fn below(&mut self, limit: i64) -> Option<i64> {
        self.number(2).filter(|number| *number < limit)
    }
}

fn parse_date_time(text: &str) -> Option<i64> {
    let mut fields = Fields(text);
    let year = fields.number(9)?;
    let month = fields.take("-").then(|| fields.number(2))??;
    let day = fields.take("-").then(|| fields.number(2))??;
    let date = CivilDate::new(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    let mut millis = 0;
    let starts_with_digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let has_time = fields.take("T") || {
        let spaced = fields.0.strip_prefix(' ').is_some_and(starts_with_digit);
        spaced && fields.take(" ")
    };
    if has_time {
        millis += fields.below(24)? * 3_600_000;
        millis += fields.take(":").then(|| fields.below(60))?? * 60_000;
        if fields.take(":") {
            millis += fields.below(60)? * 1_000;
            if fields.take(".") {
                millis += fields.number(3)?;
            }
        }
    }
    let offset_minutes = zone(fields.0)?;
    let start = date.to_days().checked_mul(DAY_MILLIS)?;
    start.checked_add(millis)?.checked_sub(offset_minutes * 60_000)
}

/// Minutes east of UTC; `None` if `text` is neither empty nor a zone.
fn zone(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let spaced = text.strip_prefix(' ');
    let name = spaced.unwrap_or(text);
    let named = ZONES.iter().find(|(zone, _)| zone.eq_ignore_ascii_case(name));
    if let Some((zone, offset)) = named
        && (spaced.is_some() || *zone == "Z")
    {
        return Some(*offset);
    }
    let signed = name.strip_prefix("GMT").filter(|_| spaced.is_some()).unwrap_or(name);
    let (sign, digits) = match (signed.strip_prefix('+'), signed.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => return None,
    };
    let plain = digits.replacen(':', "", 1);
    let colon_fits = !digits.contains(':') || digits.find(':') == Some(2);
    if !colon_fits || !matches!(plain.len(), 2 | 4) || !is_integer(&plain) {
        return None;
    }
    let (hours, minutes) = plain.split_at(2);
    let hours: i64 = hours.parse().ok().filter(|hours| *hours < 24)?;
    let minutes: i64 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    (minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// The serialized `date` that `text` names: a day, or the number itself.
pub fn parse_date(text: &str) -> Result<u32> {
    if is_integer(text) {
        return text.parse().map_err(|_| {
            let message = format!("Unable to make unsigned int (for date) from: '{text}'");
            ValueError::invalid(message)
        });
    }
    let coerce =
        || ValueError::invalid(format!("Unable to coerce '{text}' to a formatted date (long)"));
    let days = parse_day(text).ok_or_else(coerce)?;
    date_of_days(days).ok_or_else(|| {
        let (than, bound) = if days < 0 {
            ("less than min", "-5877641-06-23T00:00Z")
        } else {
            ("greater than max", "+5881580-07-11T00:00Z")
        };
        ValueError::invalid(format!("Input date {text} is {than} supported date {bound}"))
    })
}

/// `yyyy-mm-dd`, with a sign before years of other than four digits.
fn parse_day(text: &str) -> Option<i64> {
    let mut fields = Fields(text);
    let negative = fields.take("-");
    let signed = negative || fields.take("+");
    let digits = fields.0.bytes().take_while(u8::is_ascii_digit).count();
    let year_fits = if negative { digits >= 4 } else { (digits > 4) == signed && digits >= 4 };
    let year = fields.number(9).filter(|_| year_fits)?;
    let mut two = || {
        let width_fits =
            fields.take("-") && fields.0.bytes().take_while(u8::is_ascii_digit).count() == 2;
        fields.number(2).filter(|_| width_fits).and_then(|number| u32::try_from(number).ok())
    };
    let (month, day) = (two()?, two()?);
    let date = CivilDate::new(if negative { -year } else { year }, month, day)?;
    fields.0.is_empty().then(|| date.to_days())
}

/// The nanoseconds since midnight that `text` names: `hh:mm:ss[.fffffffff]`, or the number.
pub fn parse_time(text: &str) -> Result<i64> {
    let (nanos, what) = if is_integer(text) {
        let in_day = |nanos: &i64| (0..DAY_NANOS).contains(nanos);
        let message = format!("Unable to make long (for time) from: '{text}'");
        (text.parse().ok().filter(in_day), message)
    } else {
        let message = format!("(TimeType) Unable to coerce '{text}' to a formatted time (long)");
        (parse_clock(text.trim()), message)
    };
    nanos.ok_or_else(|| ValueError::invalid(what))
}

fn parse_clock(text: &str) -> Option<i64> {
    let mut fields = Fields(text);
    let hours = fields.below(24)?;
    let minutes = fields.take(":").then(|| fields.below(60))??;
    let seconds = fields.take(":").then(|| fields.below(60))??;
    let mut nanos = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000;
    if fields.take(".") {
        let digits = fields.0.len();
        let fraction = fields.number(9)?;
        nanos += fraction * 10i64.pow(9 - u32::try_from(digits.min(9)).ok()?);
    }
    fields.0.is_empty().then_some(nanos)
}

/// `2024-02-29T12:30:00.000Z`, as literals and casts have it.
pub fn print_timestamp_iso(millis: i64) -> String {
    print_timestamp(millis, 'T')
}

/// `2024-02-29 12:30:00.000Z`, as JSON has it.
pub fn print_timestamp_json(millis: i64) -> String {
    print_timestamp(millis, ' ')
}

fn print_timestamp(millis: i64, separator: char) -> String {
    let date = CivilDate::from_days(millis.div_euclid(DAY_MILLIS));
    let time = millis.rem_euclid(DAY_MILLIS);
    let (hours, minutes) = (time / 3_600_000, time / 60_000 % 60);
    let (seconds, millis) = (time / 1_000 % 60, time % 1_000);
    let day = print_civil(date, "");
    format!("{day}{separator}{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// `2024-02-29`; years of more than four digits have a sign.
pub fn print_date(date: u32) -> String {
    print_civil(CivilDate::from_days(days_of_date(date)), "+")
}

fn print_civil(date: CivilDate, sign_of_long_years: &str) -> String {
    let sign = match date.year {
        ..0 => "-",
        0..10_000 => "",
        _ => sign_of_long_years,
    };
    format!("{sign}{:04}-{:02}-{:02}", date.year.unsigned_abs(), date.month, date.day)
}

/// `12:30:00.000000000`.
pub fn print_time(nanos: i64) -> String {
    let seconds = nanos.div_euclid(1_000_000_000);
    let fraction = nanos.rem_euclid(1_000_000_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{fraction:09}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_timestamp_is_read() {
        let base = 1_299_038_700_000; // 2011-03-02T04:05:00Z
        let cases = [
            ("1299038700000", base),
            ("-5", -5),
            ("2011-03-02 04:05+0000", base),
            ("2011-03-02 04:05", base),
            ("2011-3-2 4:5", base),
            ("2011-03-02T04:05Z", base),
            ("2011-03-02T04:05:00+00:00", base),
            ("2011-03-02 05:05:00.000+01", base),
            ("2011-03-02 04:05:07 UTC", base + 7_000),
            ("2011-03-01 20:05 PST", base),
            ("2011-03-02T04:05:00.123", base + 123),
            ("2011-03-02T04:05:00.5", base + 5),
            ("2011-03-02", base - 14_700_000),
            ("2011-03-02+0000", base - 14_700_000),
            ("2011-03-02 GMT+01:00", base - 14_700_000 - 3_600_000),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_timestamp(text), Ok(millis), "{text}");
        }
        let wrong = [
            "",
            "yesterday",
            "2011-02-29",
            "2011-13-01",
            "2011-03-02 25:00",
            "2011-03-02T04:05:61",
            "2011-03-02T04:05:00.1234",
            "2011-03-02T04",
            "2011-03-02 04:05+25",
            "2011-03-02x",
            "2011-03-02T04:05 XYZ",
            "2011-03-02T04:05UTC",
            "99999999999-01-01",
        ];
        for text in wrong {
            let expected = format!("Unable to coerce '{text}' to a formatted date (long)");
            assert_eq!(parse_timestamp(text).unwrap_err().message, expected);
        }
        let long = parse_timestamp("99999999999999999999").unwrap_err().message;
        assert_eq!(long, "Unable to make long (for date) from: '99999999999999999999'");
    }

    #[test]
    fn dates_are_read_and_printed() {
        for (text, date) in [
            ("1970-01-01", 1 << 31),
            ("2147483648", 1 << 31),
            ("1969-12-31", (1 << 31) - 1),
            ("-5877641-06-23", 0),
            ("+5881580-07-11", u32::MAX),
        ] {
            assert_eq!(parse_date(text), Ok(date), "{text}");
        }
        assert_eq!(print_date(0), "-5877641-06-23");
        assert_eq!(print_date(u32::MAX), "+5881580-07-11");
        assert_eq!(print_date(1 << 31), "1970-01-01");
        for text in ["1970-1-1", "70-01-01", "1970-02-30", "19700-01-01", "", "1970-01-01Z"] {
            assert!(parse_date(text).is_err(), "{text}");
        }
        assert!(parse_date("-1").unwrap_err().message.contains("unsigned int (for date)"));
        assert!(parse_date("+5881580-07-12").unwrap_err().message.contains("max supported"));
    }

    #[test]
    fn times_are_read_and_printed() {
        assert_eq!(parse_time("08:12:54.123456789"), Ok(29_574_123_456_789));
        assert_eq!(parse_time("08:12:54.1"), Ok(29_574_100_000_000));
        assert_eq!(parse_time("0"), Ok(0));
        assert_eq!(print_time(29_574_100_000_000), "08:12:54.100000000");
        for text in ["24:00:00", "08:60:00", "08:12", "08:12:54.", "86400000000000", "-1", "x"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn timestamps_are_printed_in_both_forms() {
        assert_eq!(print_timestamp_iso(1_299_038_700_123), "2011-03-02T04:05:00.123Z");
        assert_eq!(print_timestamp_json(-1), "1969-12-31 23:59:59.999Z");
        print_timestamp_iso(i64::MIN);
        print_timestamp_iso(i64::MAX);
    }
}
