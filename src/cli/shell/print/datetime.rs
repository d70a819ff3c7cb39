//! Timestamps in a format of `strftime`, in both directions. All times are UTC.

use std::fmt::Write;

use cql_lite::types::calendar::{CivilDate, DAY_MILLIS};

/// What cqlsh prints.
pub(in crate::cli::shell) const TABLE_FORMAT: &str = "%Y-%m-%d %H:%M:%S.%f%z";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The conversions that [`print()`] knows.
const KNOWN: &str = "YmdHMSfzZyjbBaAIpeTFs%";

/// Refuses a format with a conversion that is not known.
pub(in crate::cli::shell) fn check(format: &str) -> Result<(), String> {
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            let conversion = characters.next().unwrap_or(' ');
            if !KNOWN.contains(conversion) {
                return Err(format!(
                    "the conversion %{conversion} of a time is not known; known are {KNOWN}"
                ));
            }
        }
    }
    Ok(())
}

/// Appends milliseconds since the epoch in `format`. `%f` is six digits, or three if
/// `millis_only`. Years that four digits do not hold are printed as the milliseconds themselves,
/// which reads back.
pub(in crate::cli::shell) fn print(out: &mut String, format: &str, millis: i64, millis_only: bool) {
    let date = CivilDate::from_days(millis.div_euclid(DAY_MILLIS));
    let time = millis.rem_euclid(DAY_MILLIS);
    // Writing to a string cannot fail.
    if !(1..10_000).contains(&date.year) {
        let _ = write!(out, "{millis}");
        return;
    }
    if format == TABLE_FORMAT {
        let (hour, minute, second) = (time / 3_600_000, time / 60_000 % 60, time / 1_000 % 60);
        let zeros = if millis_only { "" } else { "000" };
        let (year, month, day, rest) = (date.year, date.month, date.day, time % 1_000);
        let _ = write!(
            out,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{rest:03}{zeros}+0000"
        );
        return;
    }
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => conversion(out, characters.next().unwrap_or('%'), date, millis, millis_only),
            other => out.push(other),
        }
    }
}

fn conversion(out: &mut String, conversion: char, date: CivilDate, millis: i64, millis_only: bool) {
    let time = millis.rem_euclid(DAY_MILLIS);
    let (hour, minute, second) = (time / 3_600_000, time / 60_000 % 60, time / 1_000 % 60);
    let name = |names: &[&'static str], index: usize| names.get(index).copied().unwrap_or("");
    let month = name(&MONTHS, date.month as usize - 1);
    // 1970-01-01 was a Thursday.
    let day = name(&DAYS, (millis.div_euclid(DAY_MILLIS) + 3).rem_euclid(7) as usize);
    let _ = match conversion {
        'Y' => write!(out, "{:04}", date.year),
        'y' => write!(out, "{:02}", date.year % 100),
        'm' => write!(out, "{:02}", date.month),
        'd' => write!(out, "{:02}", date.day),
        'e' => write!(out, "{:2}", date.day),
        'j' => {
            let first = CivilDate { month: 1, day: 1, ..date };
            write!(out, "{:03}", date.to_days() - first.to_days() + 1)
        }
        'H' => write!(out, "{hour:02}"),
        'I' => write!(out, "{:02}", (hour + 11) % 12 + 1),
        'p' => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
        'M' => write!(out, "{minute:02}"),
        'S' => write!(out, "{second:02}"),
        'T' => write!(out, "{hour:02}:{minute:02}:{second:02}"),
        'F' => write!(out, "{:04}-{:02}-{:02}", date.year, date.month, date.day),
        'f' if millis_only => write!(out, "{:03}", time % 1_000),
        'f' => write!(out, "{:03}000", time % 1_000),
        's' => write!(out, "{}", millis.div_euclid(1_000)),
        'b' => write!(out, "{}", month.get(..3).unwrap_or(month)),
        'B' => write!(out, "{month}"),
        'a' => write!(out, "{}", day.get(..3).unwrap_or(day)),
        'A' => write!(out, "{day}"),
        'z' => write!(out, "+0000"),
        'Z' => write!(out, "UTC"),
        other => write!(out, "{other}"),
    };
}

/// Reads what [`print()`] wrote with `format`; `None` if it is something else.
pub(in crate::cli::shell) fn parse(format: &str, text: &str) -> Option<i64> {
    let mut fields = Fields { rest: text, ..Fields::default() };
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            fields.read(characters.next()?)?;
        } else {
            fields.rest = fields.rest.strip_prefix(character)?;
        }
    }
    fields.rest.is_empty().then_some(())?;
    fields.millis()
}

#[derive(Debug, Default)]
struct Fields<'a> {
    rest: &'a str,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    hour: i64,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    millis: i64,
    offset_minutes: i64,
    epoch_seconds: Option<i64>,
}

impl Fields<'_> {
    fn read(&mut self, conversion: char) -> Option<()> {
        match conversion {
            'Y' => self.year = Some(self.number(4)?),
            'y' => {
                self.year =
                    self.number(2).map(|year| if year < 69 { 2000 + year } else { 1900 + year })
            }
            'm' => self.month = Some(self.number(2)?),
            'd' | 'e' => {
                self.rest = self.rest.trim_start_matches(' ');
                self.day = Some(self.number(2)?);
            }
            'H' | 'I' => self.hour = self.number(2)?,
            'M' => self.minute = self.number(2)?,
            'S' => self.second = self.number(2)?,
            'T' => {
                for part in ['H', ':', 'M', ':', 'S'] {
                    if part == ':' {
                        self.rest = self.rest.strip_prefix(':')?
                    } else {
                        self.read(part)?
                    }
                }
            }
            'F' => {
                for part in ['Y', '-', 'm', '-', 'd'] {
                    if part == '-' {
                        self.rest = self.rest.strip_prefix('-')?
                    } else {
                        self.read(part)?
                    }
                }
            }
            'f' => {
                let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count().min(9);
                let fraction = self.number(digits)?;
                let scale = 10_i64.checked_pow(u32::try_from(digits).ok()?)?;
                self.millis = fraction.checked_mul(1_000)? / scale;
            }
            's' => {
                let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
                self.epoch_seconds = Some(self.number(digits)?);
            }
            'b' | 'B' => {
                let at = MONTHS.iter().position(|month| {
                    month.get(..3).is_some_and(|short| self.rest.starts_with(short))
                })?;
                let name = MONTHS.get(at)?;
                let long = self.rest.strip_prefix(name).filter(|_| conversion == 'B');
                self.rest = long.or_else(|| self.rest.get(3..))?;
                self.month = Some(at as i64 + 1);
            }
            'p' => {
                let (half, rest) = self.rest.split_at_checked(2)?;
                self.afternoon = Some(half.eq_ignore_ascii_case("pm"));
                self.rest = rest;
            }
            'z' => self.offset_minutes = self.zone()?,
            'Z' => {
                let zone =
                    ["UTC", "GMT", "Z"].into_iter().find(|zone| self.rest.starts_with(zone))?;
                self.rest = self.rest.strip_prefix(zone)?;
            }
            '%' => self.rest = self.rest.strip_prefix('%')?,
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self, digits_max: usize) -> Option<i64> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count().min(digits_max);
        let (number, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        number.parse().ok()
    }

    fn zone(&mut self) -> Option<i64> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Some(0);
        }
        let sign = match self.rest.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.rest = self.rest.get(1..)?;
        let hours = self.number(2)?;
        self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
        let minutes =
            if self.rest.starts_with(|c: char| c.is_ascii_digit()) { self.number(2)? } else { 0 };
        Some(sign * (hours * 60 + minutes))
    }

    fn millis(&self) -> Option<i64> {
        if let Some(seconds) = self.epoch_seconds {
            return seconds.checked_mul(1_000)?.checked_add(self.millis);
        }
        let month = u32::try_from(self.month.unwrap_or(1)).ok()?;
        let day = u32::try_from(self.day.unwrap_or(1)).ok()?;
        let date = CivilDate::new(self.year?, month, day)?;
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        if hour > 23 || self.minute > 59 || self.second > 60 {
            return None;
        }
        let seconds = (hour * 60 + self.minute - self.offset_minutes) * 60 + self.second;
        Some(date.to_days() * DAY_MILLIS + seconds * 1_000 + self.millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: &str, millis: i64, millis_only: bool) -> String {
        let mut out = String::new();
        print(&mut out, format, millis, millis_only);
        out
    }

    #[test]
    fn timestamps_print_as_cqlsh_prints_them() {
        let millis = 1_709_209_800_123;
        assert_eq!(printed(TABLE_FORMAT, millis, false), "2024-02-29 12:30:00.123000+0000");
        assert_eq!(printed(TABLE_FORMAT, millis, true), "2024-02-29 12:30:00.123+0000");
        assert_eq!(
            printed("%d/%m/%y %I:%M %p %b %a %j", millis, true),
            "29/02/24 12:30 PM Feb Thu 060"
        );
        assert_eq!(printed(TABLE_FORMAT, -1, true), "1969-12-31 23:59:59.999+0000");
        assert_eq!(printed(TABLE_FORMAT, i64::MAX, true), i64::MAX.to_string());
    }

    #[test]
    fn what_was_printed_reads_back() {
        let formats = [
            TABLE_FORMAT,
            "%Y-%m-%dT%H:%M:%S.%f%z",
            "%d %B %Y %I:%M:%S %p %f",
            "%s.%f",
            "%F %T,%f",
        ];
        for format in formats {
            for millis in [0, 1_709_209_800_123, 1_709_251_199_999] {
                let text = printed(format, millis, true);
                assert_eq!(parse(format, &text), Some(millis), "{text} in {format}");
            }
        }
        assert_eq!(parse("%Y-%m-%d %H:%M%z", "2024-02-29 12:30+01:30"), Some(1_709_204_400_000));
        assert_eq!(parse("%Y-%m-%d", "2024-02-30"), None);
        assert_eq!(parse("%Y-%m-%d", "2024-02-29 "), None);
        assert!(check("%Y %Q").is_err());
    }
}
