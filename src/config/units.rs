//! Sizes and durations as text: `64MiB`, `10s`.

use std::time::Duration;

const SIZES: &[(&str, u64)] =
    &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Units of time in nanoseconds, largest first.
const TIMES: &[(&str, u64)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];

/// A whole number, with `_` between digits where it helps the eye.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if is_plain { digits.parse().ok() } else { None }
}

/// Splits `64MiB` into its number and its unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    Some((parse_number(digits)?, unit.trim_start()))
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = split(text)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*scale)
}

fn largest_unit(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, scale): &&(&str, u64)| value > 0 && value.is_multiple_of(*scale);
    match units.iter().find(fits) {
        Some((unit, scale)) => format!("{}{unit}", value / scale),
        None => "0".into(),
    }
}

/// Bytes; a number without a unit is bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    parse_number(text).or_else(|| scaled(text, SIZES))
}

/// A duration; only 0 may stand without a unit, because 10 could be anything.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    scaled(text, TIMES).map(Duration::from_nanos)
}

/// Bytes in the largest unit that loses nothing.
pub(super) fn show_size(bytes: u64) -> String {
    largest_unit(bytes, SIZES)
}

/// A duration in the largest unit that loses nothing.
pub(super) fn show_duration(duration: Duration) -> String {
    largest_unit(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), TIMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_and_shown() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("1_000 KiB"), Some(1000 << 10));
        assert_eq!(parse_size("65536"), Some(65536));
        assert_eq!(parse_size("99999999999999 TiB"), None);
        for wrong in ["", "MiB", "1.5GiB", "64MB", "-1", "64mib", "0x10"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
        assert_eq!(parse_duration("10s"), Some(Duration::from_secs(10)));
        assert_eq!(parse_duration("2d"), Some(Duration::from_secs(172_800)));
        assert_eq!(parse_duration("0"), Some(Duration::ZERO));
        for wrong in ["10", "s", "10 sec", "1h30m"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(show_size(64 << 20), "64MiB");
        assert_eq!(show_size(1000), "1000B");
        assert_eq!(show_size(0), "0");
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(show_duration(Duration::from_secs(60)), "1m");
    }
}
