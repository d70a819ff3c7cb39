//! Floating-point numbers as C's `%g` prints them, with the digits that cqlsh chooses.

/// More digits than this are noise of the binary form.
const DIGITS_MAX: usize = 17;

/// As cqlsh prints: `precision` digits behind the point for numbers of ordinary size, `precision`
/// digits in all, with an exponent, for others. `single` is true for a `float`.
pub(super) fn print_float(value: f64, precision: usize) -> String {
    if !value.is_finite() {
        return not_finite(value).to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let magnitude = value.abs().log10().trunc();
    let ordinary = value.abs() > f64::EPSILON && magnitude >= -4.0 && magnitude < precision as f64;
    let digits = if ordinary { (precision as f64 + magnitude + 1.0) as usize } else { precision };
    general(value, digits.clamp(1, DIGITS_MAX))
}

/// The fewest digits that read back as the same `double`.
pub(super) fn shortest_double(value: f64) -> String {
    if value.is_finite() {
        shorter(&value.to_string(), &format!("{value:e}"))
    } else {
        not_finite(value).to_owned()
    }
}

/// The fewest digits that read back as the same `float`.
pub(super) fn shortest_float(value: f32) -> String {
    if value.is_finite() {
        shorter(&value.to_string(), &format!("{value:e}"))
    } else {
        not_finite(f64::from(value)).to_owned()
    }
}

fn shorter(plain: &str, scientific: &str) -> String {
    if plain.len() <= 20 { plain.to_owned() } else { scientific.to_owned() }
}

fn not_finite(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

/// `%.{digits}g`
fn general(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= i32::try_from(digits).unwrap_or(i32::MAX) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs());
    }
    let behind = usize::try_from(digits as i64 - 1 - i64::from(exponent)).unwrap_or(0);
    without_zeros(&format!("{value:.behind$}")).to_owned()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_cqlsh_prints_them() {
        let cases = [
            (1.5, 5, "1.5"),
            (2.14159265, 5, "2.14159"),
            (f64::from(123.456_f32), 5, "123.456"),
            (f64::from(0.1_f32), 5, "0.1"),
            (1e10, 5, "1e+10"),
            (123456.789, 12, "123456.789"),
            (1e-7, 12, "1e-07"),
            (-2.0, 12, "-2"),
            (0.0, 5, "0"),
            (f64::NAN, 5, "NaN"),
            (f64::NEG_INFINITY, 5, "-Infinity"),
            (100000.0, 12, "100000"),
        ];
        for (value, precision, expected) in cases {
            assert_eq!(print_float(value, precision), expected, "{value} with {precision}");
        }
    }

    #[test]
    fn the_shortest_form_reads_back() {
        for value in [0.1, 1e300, -5e-324, 123456789.123456, f64::MAX] {
            assert_eq!(shortest_double(value).parse::<f64>(), Ok(value));
        }
        assert_eq!(shortest_float(0.1), "0.1");
        assert_eq!(shortest_double(f64::MAX), "1.7976931348623157e308");
    }
}
