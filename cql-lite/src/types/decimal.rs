//! Decimal numbers: an integer of any size and a scale, as Java's `BigDecimal` has them, because
//! that is what Cassandra's `decimal` is.
//!
//! Serialized: i32 big-endian scale | the unscaled integer, two's complement, big-endian.
//!
//! A few bytes can name a number of two billion digits (`1E+2147483647`), and the cost of writing
//! digits out, and of division, grows with the square of their number. So numbers have a longest
//! form, [`NUMBER_BYTES_MAX`], and whatever would make a longer one is refused.

use std::cmp::Ordering;
use std::fmt;

use helenus_platform::codec::{Put, Reader};
use num_bigint::{BigInt, Sign};

/// The longest serialized `decimal` or `varint`, in bytes. Cassandra has no such bound; a number
/// of this length takes a few milliseconds to print, one of ten times the length a hundred times
/// as long.
pub const NUMBER_BYTES_MAX: usize = 8_192;

/// The most digits that a number is read from, written out with, or computed to: a few more than
/// the longest serialized number has.
pub const NUMBER_DIGITS_MAX: usize = 20_000;

/// `unscaled × 10^-scale`.
///
/// `==` is Java's `equals`: 1.0 and 1.00 differ. [`Decimal::compare`] is by value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// The digits, as an integer.
    pub unscaled: BigInt,
    /// How many of the digits stand behind the point; negative for zeros before it.
    pub scale: i32,
}

impl Decimal {
    /// Zero, with scale 0.
    pub fn zero() -> Decimal {
        Decimal::from(BigInt::ZERO)
    }

    /// Reads the serialized form. No digits at all are zero, as Java has it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Decimal> {
        let mut reader = Reader::new(bytes);
        let scale = reader.i32_be().ok()?;
        Some(Decimal { unscaled: BigInt::from_signed_bytes_be(reader.rest()), scale })
    }

    /// The serialized form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let digits = self.unscaled.to_signed_bytes_be();
        let mut out = Vec::with_capacity(4 + digits.len());
        out.put_i32_be(self.scale);
        out.put_bytes(&digits);
        out
    }

    /// Reads `[+-]digits[.digits][e[+-]digits]`, where one side of the point may be missing.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (text.get(..at)?, parse_exponent(text.get(at + 1..)?)?),
            None => (text, 0),
        };
        let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > NUMBER_DIGITS_MAX {
            return None;
        }
        let magnitude = parse_digits(&digits)?;
        let unscaled = if mantissa.starts_with('-') { -magnitude } else { magnitude };
        let scale = i32::try_from(fraction.len() as i64 - exponent).ok()?;
        Some(Decimal { unscaled, scale })
    }

    /// The shortest decimal that reads back as `value`; `None` for NaN and infinities.
    pub fn from_f64(value: f64) -> Option<Decimal> {
        Decimal::parse(&super::text::java_double(value))
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        // More digits than a double can tell apart only cost time.
        let shortened = self.rounded(1_000);
        shortened.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The integer part, or `None` if it has too many digits.
    pub fn to_integer(&self) -> Option<BigInt> {
        if self.scale <= 0 {
            let zeros = self.scale.unsigned_abs() as usize;
            if self.is_zero() {
                return Some(BigInt::ZERO);
            }
            return (zeros <= NUMBER_DIGITS_MAX).then(|| &self.unscaled * power_of_ten(zeros));
        }
        let places = self.scale as usize;
        if places > self.precision() {
            return Some(BigInt::ZERO);
        }
        Some(&self.unscaled / power_of_ten(places))
    }

    /// The number is zero, whatever its scale.
    pub fn is_zero(&self) -> bool {
        self.unscaled.sign() == Sign::NoSign
    }

    /// The number of digits of the unscaled integer; 1 for zero.
    pub fn precision(&self) -> usize {
        let bits = self.unscaled.bits();
        if bits == 0 {
            return 1;
        }
        let fewest = digits_at_least(bits);
        let more = self.unscaled.magnitude() >= power_of_ten(fewest).magnitude();
        if more { fewest + 1 } else { fewest }
    }

    /// The same number without zeros at the end of its digits; zero gets scale 0.
    pub fn stripped(&self) -> Decimal {
        if self.is_zero() {
            return Decimal::zero();
        }
        let mut unscaled = self.unscaled.clone();
        let mut scale = self.scale;
        // Halving steps, so that many zeros do not cost as many divisions.
        let mut step = 1usize << 14;
        while step > 0 {
            let divisor_fits = digits_at_least(unscaled.bits()) >= step;
            let lowered = scale.checked_sub(step as i32);
            if let (true, Some(lowered)) = (divisor_fits, lowered) {
                let divisor = power_of_ten(step);
                if (&unscaled % &divisor).sign() == Sign::NoSign {
                    unscaled /= divisor;
                    scale = lowered;
                    continue;
                }
            }
            step /= 2;
        }
        Decimal { unscaled, scale }
    }

    /// Rounded, half away from zero, to at most `precision` digits.
    pub fn rounded(&self, precision: usize) -> Decimal {
        let digits = self.precision();
        if digits <= precision {
            return self.clone();
        }
        let drop = digits - precision;
        let unscaled = divide_half_up(&self.unscaled, &power_of_ten(drop));
        match self.scale.checked_sub(drop as i32) {
            Some(scale) => Decimal { unscaled, scale },
            None => self.clone(),
        }
    }

    /// Rounded, half away from zero, to `scale` digits behind the point. `None` if that would
    /// take too many digits.
    pub fn with_scale(&self, scale: i32) -> Option<Decimal> {
        let more = i64::from(scale) - i64::from(self.scale);
        let by = usize::try_from(more.unsigned_abs()).ok()?;
        let unscaled = if more >= 0 {
            if by + self.precision() > NUMBER_DIGITS_MAX && !self.is_zero() {
                return None;
            }
            &self.unscaled * power_of_ten(if self.is_zero() { 0 } else { by })
        } else if by > self.precision() {
            BigInt::ZERO
        } else {
            divide_half_up(&self.unscaled, &power_of_ten(by))
        };
        Some(Decimal { unscaled, scale })
    }

    /// Compares by value: 1.0 equals 1.00.
    pub fn compare(&self, other: &Decimal) -> Ordering {
        let signs = self.unscaled.sign().cmp(&other.unscaled.sign());
        if signs != Ordering::Equal || self.is_zero() {
            return signs;
        }
        let magnitudes = self.compare_magnitude(other);
        if self.unscaled.sign() == Sign::Minus { magnitudes.reverse() } else { magnitudes }
    }

    fn compare_magnitude(&self, other: &Decimal) -> Ordering {
        if self.scale == other.scale {
            return self.unscaled.magnitude().cmp(other.unscaled.magnitude());
        }
        // Within one digit the exponents are known without a division.
        let rough = |number: &Decimal| {
            digits_at_least(number.unscaled.bits()) as i64 - i64::from(number.scale)
        };
        if rough(self).abs_diff(rough(other)) > 1 {
            return rough(self).cmp(&rough(other));
        }
        let exponent = |number: &Decimal| number.precision() as i64 - i64::from(number.scale);
        let exponents = exponent(self).cmp(&exponent(other));
        if exponents != Ordering::Equal {
            return exponents;
        }
        // With equal exponents the scales differ by as much as the digits that are there.
        let behind = i64::from(self.scale) - i64::from(other.scale);
        let factor = power_of_ten(behind.unsigned_abs() as usize);
        if behind > 0 {
            let aligned = other.unscaled.magnitude() * factor.magnitude();
            self.unscaled.magnitude().cmp(&aligned)
        } else {
            let aligned = self.unscaled.magnitude() * factor.magnitude();
            aligned.cmp(other.unscaled.magnitude())
        }
    }

    /// Java's `toPlainString`: never an exponent. Numbers of too many digits print with one.
    pub fn to_plain_string(&self) -> String {
        let digits = self.unscaled.magnitude().to_string();
        let sign = if self.unscaled.sign() == Sign::Minus { "-" } else { "" };
        let zeros = self.scale.unsigned_abs() as usize;
        if zeros.saturating_add(digits.len()) > NUMBER_DIGITS_MAX {
            return self.to_string();
        }
        if self.scale > 0 {
            return format!("{sign}{}", with_point(&digits, zeros));
        }
        let padding = if self.is_zero() { 0 } else { zeros };
        format!("{sign}{digits}{}", "0".repeat(padding))
    }
}

impl From<BigInt> for Decimal {
    fn from(unscaled: BigInt) -> Decimal {
        Decimal { unscaled, scale: 0 }
    }
}

impl fmt::Display for Decimal {
    /// Java's `toString`: an exponent if the scale is negative or the number below 10^-6.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unscaled.sign() == Sign::Minus {
            f.write_str("-")?;
        }
        let digits = self.unscaled.magnitude().to_string();
        let adjusted = digits.len() as i64 - 1 - i64::from(self.scale);
        if self.scale == 0 {
            return f.write_str(&digits);
        }
        if self.scale > 0 && adjusted >= -6 {
            return f.write_str(&with_point(&digits, self.scale as usize));
        }
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        write!(f, "{first}{point}{rest}")?;
        if adjusted != 0 { write!(f, "E{adjusted:+}") } else { Ok(()) }
    }
}

/// `digits` with a point before the last `places` of them, zeros put in front where needed.
fn with_point(digits: &str, places: usize) -> String {
    if digits.len() > places {
        let (whole, fraction) = digits.split_at(digits.len() - places);
        format!("{whole}.{fraction}")
    } else {
        format!("0.{}{digits}", "0".repeat(places - digits.len()))
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent: i64 = digits.parse().ok()?;
    Some(if text.starts_with('-') { -exponent } else { exponent })
}

/// Reads an unsigned run of digits; nothing else, and not too many.
pub(super) fn parse_digits(digits: &str) -> Option<BigInt> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain || digits.len() > NUMBER_DIGITS_MAX {
        return None;
    }
    digits.parse().ok()
}

/// 10 to the power of `exponent`.
pub(super) fn power_of_ten(exponent: usize) -> BigInt {
    BigInt::from(10).pow(exponent.min(u32::MAX as usize) as u32)
}

/// The fewest digits that a number of `bits` bits can have; it has these or one more.
pub(super) fn digits_at_least(bits: u64) -> usize {
    // log10(2) as a fraction of 2^30, rounded down.
    const LOG10_2: u128 = 0x1344_1350;
    1 + ((u128::from(bits.saturating_sub(1)) * LOG10_2) >> 30) as usize
}

/// Division rounded half away from zero.
fn divide_half_up(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let quotient = dividend / divisor;
    let twice: BigInt = (dividend - &quotient * divisor) * 2;
    if twice.magnitude() < divisor.magnitude() {
        return quotient;
    }
    if (dividend.sign() == Sign::Minus) == (divisor.sign() == Sign::Minus) {
        quotient + 1
    } else {
        quotient - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn text_is_read_and_printed_as_java_does() {
        let cases = [
            ("0", "0"),
            ("1.0", "1.0"),
            ("-1.50", "-1.50"),
            ("+12", "12"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1E+3"),
            ("12e3", "1.2E+4"),
            ("1e-7", "1E-7"),
            ("0.0000001", "1E-7"),
            ("0.000001", "0.000001"),
            ("0e5", "0E+5"),
            ("123e-2", "1.23"),
            ("-0.001", "-0.001"),
            ("1E+2147483647", "1E+2147483647"),
        ];
        for (text, printed) in cases {
            assert_eq!(decimal(text).to_string(), printed, "{text}");
        }
        for text in ["", ".", "e5", "1e", "1e+", "1.2.3", "0x1", "1 ", "--1", "1e99999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::parse(&"9".repeat(NUMBER_DIGITS_MAX + 1)), None);
    }

    #[test]
    fn values_compare_whatever_their_scale() {
        let ascending = [
            "-1e2000000000",
            "-10",
            "-9.99",
            "-0.1",
            "-1e-2000000000",
            "0.000",
            "1e-2000000000",
            "0.1",
            "0.11",
            "1",
            "9.99",
            "10",
            "1e2000000000",
            "2e2000000000",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(decimal(a).compare(&decimal(b)), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(decimal("1.0").compare(&decimal("1.000")), Ordering::Equal);
        assert_eq!(decimal("1e3").compare(&decimal("1000.0")), Ordering::Equal);
    }

    #[test]
    fn digits_are_counted_and_stripped() {
        for digits in 1..80 {
            let nines = decimal(&"9".repeat(digits));
            assert_eq!(nines.precision(), digits);
            let one = decimal(&format!("1{}", "0".repeat(digits)));
            assert_eq!(one.precision(), digits + 1);
            assert_eq!(
                one.stripped(),
                Decimal { unscaled: BigInt::from(1), scale: -(digits as i32) }
            );
        }
        assert_eq!(decimal("1.2300").stripped(), decimal("1.23"));
        assert_eq!(decimal("0.000").stripped(), Decimal::zero());
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(decimal("1.25").with_scale(1), Some(decimal("1.3")));
        assert_eq!(decimal("-1.25").with_scale(1), Some(decimal("-1.3")));
        assert_eq!(decimal("1.24").with_scale(1), Some(decimal("1.2")));
        assert_eq!(decimal("1").with_scale(3), Some(decimal("1.000")));
        assert_eq!(decimal("1e2000000000").with_scale(0), None);
        assert_eq!(decimal("123456").rounded(2).to_string(), "1.2E+5");
    }

    #[test]
    fn plain_strings_have_no_exponent_unless_they_would_be_huge() {
        assert_eq!(decimal("1e3").to_plain_string(), "1000");
        assert_eq!(decimal("-1e-8").to_plain_string(), "-0.00000001");
        assert_eq!(decimal("0e7").to_plain_string(), "0");
        assert_eq!(decimal("1e2000000000").to_plain_string(), "1E+2000000000");
    }

    #[test]
    fn bytes_come_back_and_short_ones_are_refused() {
        for text in ["0", "-1.5", "12345678901234567890.123", "1e-30"] {
            assert_eq!(Decimal::from_bytes(&decimal(text).to_bytes()), Some(decimal(text)));
        }
        assert_eq!(Decimal::from_bytes(&[0, 0, 0]), None);
        assert!(Decimal::from_bytes(&[0, 0, 0, 2]).unwrap().is_zero());
    }
}
