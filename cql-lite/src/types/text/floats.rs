//! Floating-point numbers as Java prints them: `1.0`, `1.0E10`, `NaN`, `-Infinity`.

/// `Double.toString`: the fewest digits that read back as the same number.
pub fn java_double(value: f64) -> String {
    if value.is_finite() {
        return java_form(&format!("{value:e}"));
    }
    not_finite(value).to_owned()
}

/// `Float.toString`.
pub fn java_float(value: f32) -> String {
    if value.is_finite() {
        return java_form(&format!("{value:e}"));
    }
    not_finite(f64::from(value)).to_owned()
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// From Rust's `-1.234e-5` to Java's form: plain from 10^-3 up to 10^7, else with `E`, and always
/// with a digit behind the point.
fn java_form(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, unsigned) = match mantissa.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", mantissa),
    };
    let digits = unsigned.replace('.', "");
    let or_zero = |digits: &str| if digits.is_empty() { "0".to_owned() } else { digits.to_owned() };
    match exponent {
        -3..=-1 => format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize)),
        0..=6 => {
            let places = exponent as usize + 1;
            let padded = format!("{digits:0<places$}");
            let (whole, fraction) = padded.split_at(places);
            format!("{sign}{whole}.{}", or_zero(fraction))
        }
        _ => {
            let (first, fraction) = digits.split_at(digits.len().min(1));
            format!("{sign}{first}.{}E{exponent}", or_zero(fraction))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_java() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (1234567.0, "1234567.0"),
            (12345678.0, "1.2345678E7"),
            (1e10, "1.0E10"),
            (1.5e-7, "1.5E-7"),
            (100.25, "100.25"),
            (0.5, "0.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, printed) in cases {
            assert_eq!(java_double(value), printed);
        }
        assert_eq!(java_float(0.1), "0.1");
        assert_eq!(java_float(3.4028235e38), "3.4028235E38");
    }
}
