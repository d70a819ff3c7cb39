//! Constants that begin with a digit, a minus or a `P`: how far each reaches.
//!
//! These functions look at bytes and return lengths; nothing here moves the lexer.

/// The groups of a UUID, in hexadecimal digits.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// How a text that begins as a UUID goes on.
pub(super) enum UuidMatch {
    /// It does not begin as one.
    No,
    /// It is one.
    Yes(usize),
    /// After eight digits and a dash it can be nothing else, yet at this offset it goes wrong;
    /// whether a dash was expected there, or a digit.
    Broken(usize, bool),
}

/// Whether `bytes` begins with a UUID.
pub(super) fn uuid(bytes: &[u8]) -> UuidMatch {
    let mut offset = 0;
    for (group, digits) in UUID_GROUPS.into_iter().enumerate() {
        if group > 0 {
            if bytes.get(offset) != Some(&b'-') {
                return if group == 1 { UuidMatch::No } else { UuidMatch::Broken(offset, true) };
            }
            offset += 1;
        }
        for _ in 0..digits {
            if !bytes.get(offset).is_some_and(u8::is_ascii_hexdigit) {
                return if group == 0 { UuidMatch::No } else { UuidMatch::Broken(offset, false) };
            }
            offset += 1;
        }
    }
    UuidMatch::Yes(offset)
}

/// The number of decimal digits at the beginning of `bytes`.
pub(super) fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The length of an exponent (`e10`, `E-3`), 0 if there is none.
fn exponent(bytes: &[u8]) -> usize {
    if !matches!(bytes.first(), Some(b'e' | b'E')) {
        return 0;
    }
    let sign = usize::from(matches!(bytes.get(1), Some(b'+' | b'-')));
    match digits(tail(bytes, 1 + sign)) {
        0 => 0,
        count => 1 + sign + count,
    }
}

/// The length of what follows an integer to make it a float, 0 if nothing does. A slice's `1..2`
/// is two integers, yet `1...2` is a float before a range.
pub(super) fn fraction_and_exponent(bytes: &[u8]) -> usize {
    let fraction = match bytes {
        [b'.', b'.', b'.', ..] => return 1,
        [b'.', b'.', ..] => return 0,
        [b'.', ..] => 1 + digits(tail(bytes, 1)),
        _ => 0,
    };
    fraction + exponent(tail(bytes, fraction))
}

/// The length of a unit of a duration, 0 if there is none.
fn unit(bytes: &[u8]) -> usize {
    let lower = |offset: usize| bytes.get(offset).map(u8::to_ascii_lowercase);
    match (lower(0), lower(1)) {
        (Some(b'm'), Some(b'o' | b's')) | (Some(b'u' | b'n'), Some(b's')) => 2,
        (Some(b'y' | b'w' | b'd' | b'h' | b'm' | b's'), _) => 1,
        // U+00B5, the micro sign.
        (Some(0xC2), Some(0xB5)) if lower(2) == Some(b's') => 3,
        _ => 0,
    }
}

/// The length of what follows the first digits of a duration like `1h30m`, 0 if it is none.
pub(super) fn duration_units(bytes: &[u8]) -> usize {
    let mut length = unit(bytes);
    if length == 0 {
        return 0;
    }
    loop {
        let more = tail(bytes, length);
        let count = digits(more);
        let unit = unit(tail(more, count));
        if count == 0 || unit == 0 {
            return length;
        }
        length += count + unit;
    }
}

/// The length of an ISO 8601 duration without its sign, 0 if there is none: `P1Y2M3DT4H5M6S`
/// with any part left out, `P2W`, or `P0001-02-03T04:05:06`.
pub(super) fn iso_duration(bytes: &[u8]) -> usize {
    if bytes.first() != Some(&b'P') {
        return 0;
    }
    let alternative = iso_alternative(bytes);
    if alternative > 0 {
        return alternative;
    }
    let rest = tail(bytes, 1);
    let weeks = digits(rest);
    if weeks > 0 && rest.get(weeks) == Some(&b'W') {
        return 1 + weeks + 1;
    }
    let period = designators(rest, b"YMD");
    let clock = tail(rest, period);
    let time = match clock.first() {
        Some(b'T') => match designators(tail(clock, 1), b"HMS") {
            0 => 0,
            time => 1 + time,
        },
        _ => 0,
    };
    if period + time == 0 { 0 } else { 1 + period + time }
}

/// The length of `P0001-02-03T04:05:06`, 0 if it is not there.
fn iso_alternative(bytes: &[u8]) -> usize {
    const PATTERN: &[u8] = b"Pdddd-dd-ddTdd:dd:dd";
    let matches = bytes.len() >= PATTERN.len()
        && PATTERN.iter().zip(bytes).all(|(pattern, byte)| match pattern {
            b'd' => byte.is_ascii_digit(),
            other => other == byte,
        });
    if matches { PATTERN.len() } else { 0 }
}

/// The length of numbers with `letters` after them, each letter at most once and in order.
fn designators(bytes: &[u8], letters: &[u8]) -> usize {
    let mut length = 0;
    for letter in letters {
        let more = tail(bytes, length);
        let count = digits(more);
        if count > 0 && more.get(count) == Some(letter) {
            length += count + 1;
        }
    }
    length
}

fn tail(bytes: &[u8], from: usize) -> &[u8] {
    bytes.get(from..).unwrap_or_default()
}
