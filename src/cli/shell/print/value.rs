//! Values as cqlsh prints them.

use std::fmt::Write;

use cql_lite::types::duration::Duration;
use cql_lite::types::text::{print_date, print_time, print_uuid};
use cql_lite::types::{CqlType, Value, decode, frames};

use super::datetime;
use super::float::{print_float, shortest_double, shortest_float};
use super::paint::{Paint, paint};

/// How values are printed.
#[derive(Debug, Clone)]
pub(in crate::cli::shell) struct ValueStyle {
    /// Whether there are colours.
    pub(in crate::cli::shell) colors: bool,
    /// Whether control characters are shown by their escapes, for a screen.
    pub(in crate::cli::shell) escape: bool,
    /// Digits of a `float`; none for as many as it takes.
    pub(in crate::cli::shell) float_precision: Option<usize>,
    /// Digits of a `double`; none for as many as it takes.
    pub(in crate::cli::shell) double_precision: Option<usize>,
    /// The decimal point.
    pub(in crate::cli::shell) decimal_separator: char,
    /// What stands between thousands.
    pub(in crate::cli::shell) thousands_separator: Option<char>,
    /// The text of true and of false.
    pub(in crate::cli::shell) booleans: (String, String),
    /// A format of `strftime`.
    pub(in crate::cli::shell) timestamp_format: String,
    /// Whether fractions of a second have three digits, and not six.
    pub(in crate::cli::shell) millis_only: bool,
    /// The text of null.
    pub(in crate::cli::shell) null: String,
}

impl ValueStyle {
    /// For tables on a screen.
    pub(in crate::cli::shell) fn table(colors: bool) -> Self {
        ValueStyle {
            colors,
            escape: true,
            float_precision: Some(5),
            double_precision: Some(12),
            decimal_separator: '.',
            thousands_separator: None,
            booleans: ("True".to_owned(), "False".to_owned()),
            timestamp_format: datetime::TABLE_FORMAT.to_owned(),
            millis_only: false,
            null: "null".to_owned(),
        }
    }

    /// For files that are read again: every value reads back as itself.
    pub(in crate::cli::shell) fn file() -> Self {
        ValueStyle {
            escape: false,
            float_precision: None,
            double_precision: None,
            millis_only: true,
            null: String::new(),
            ..Self::table(false)
        }
    }

    /// Appends a value; bytes that are no value of the type are shown as a blob.
    pub(in crate::cli::shell) fn print(
        &self,
        out: &mut String,
        ty: &CqlType,
        bytes: Option<&[u8]>,
    ) {
        match bytes {
            Some(bytes) => self.value(out, ty, bytes, false),
            None => paint(out, self.colors, Paint::Red, &self.null),
        }
    }

    fn paint(&self, out: &mut String, with: Paint, text: &str) {
        paint(out, self.colors, with, text);
    }

    fn value(&self, out: &mut String, ty: &CqlType, bytes: &[u8], nested: bool) {
        let length = out.len();
        if self.composite(out, ty, bytes).or_else(|| self.scalar(out, ty, bytes, nested)).is_none()
        {
            out.truncate(length);
            self.blob(out, bytes);
        }
    }

    fn blob(&self, out: &mut String, bytes: &[u8]) {
        self.paint(out, Paint::Blob, &format!("0x{}", cql_lite::types::text::hex(bytes)));
    }

    /// A collection, tuple, UDT or vector; `None` for other types and for broken bytes.
    fn composite(&self, out: &mut String, ty: &CqlType, bytes: &[u8]) -> Option<()> {
        match ty {
            CqlType::Frozen(inner) => self.value(out, inner, bytes, false),
            CqlType::List(element) => {
                let elements = frames::list_elements(bytes).ok()?.collect::<Result<Vec<_>, _>>();
                self.sequence(out, ["[", "]"], element, &elements.ok()?);
            }
            CqlType::Set(element) => {
                let elements = frames::set_elements(bytes).ok()?.collect::<Result<Vec<_>, _>>();
                self.sequence(out, ["{", "}"], element, &elements.ok()?);
            }
            CqlType::Vector(element, dimension) => {
                let elements = frames::vector_elements(bytes, element, *dimension).ok()?;
                self.sequence(out, ["[", "]"], element, &elements);
            }
            CqlType::Map(key, value) => {
                let entries = frames::map_entries(bytes).ok()?;
                self.join(out, ["{", "}"], entries, |out, (k, v)| {
                    self.value(out, key, k, true);
                    self.paint(out, Paint::Bracket, ": ");
                    self.value(out, value, v, true);
                });
            }
            CqlType::Tuple(types) => {
                let components = frames::tuple_components(bytes, types.len()).ok()?;
                self.join(out, ["(", ")"], types.iter().zip(components), |out, (ty, component)| {
                    self.nullable(out, ty, component);
                });
            }
            CqlType::Udt(udt) => {
                let values = frames::udt_fields(bytes, udt).ok()?;
                self.join(
                    out,
                    ["{", "}"],
                    udt.fields.iter().zip(values),
                    |out, ((name, ty), value)| {
                        self.paint(out, Paint::Text, name);
                        self.paint(out, Paint::Bracket, ": ");
                        self.nullable(out, ty, value);
                    },
                );
            }
            _ => return None,
        }
        Some(())
    }

    fn nullable(&self, out: &mut String, ty: &CqlType, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.value(out, ty, bytes, true),
            // Inside of a value, an empty text for null would be no literal.
            None => {
                self.paint(out, Paint::Red, if self.null.is_empty() { "null" } else { &self.null })
            }
        }
    }

    fn sequence(&self, out: &mut String, brackets: [&str; 2], ty: &CqlType, elements: &[&[u8]]) {
        self.join(out, brackets, elements, |out, bytes| self.value(out, ty, bytes, true));
    }

    fn join<T>(
        &self,
        out: &mut String,
        [open, close]: [&str; 2],
        items: impl IntoIterator<Item = T>,
        mut print: impl FnMut(&mut String, T),
    ) {
        self.paint(out, Paint::Bracket, open);
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.paint(out, Paint::Bracket, ", ");
            }
            print(out, item);
        }
        self.paint(out, Paint::Bracket, close);
    }

    fn scalar(&self, out: &mut String, ty: &CqlType, bytes: &[u8], nested: bool) -> Option<()> {
        if let CqlType::Text | CqlType::Ascii = ty {
            self.text(out, std::str::from_utf8(bytes).ok()?, nested);
            return Some(());
        }
        let quoted = |text: String| if nested { format!("'{text}'") } else { text };
        match decode(ty, bytes).ok()? {
            Value::Empty => {}
            Value::Blob(bytes) => self.blob(out, &bytes),
            Value::Boolean(value) => {
                let (yes, no) = &self.booleans;
                self.paint(out, Paint::Constant, if value { yes } else { no });
            }
            Value::Timestamp(millis) => {
                let mut text = String::new();
                datetime::print(&mut text, &self.timestamp_format, millis, self.millis_only);
                self.paint(out, Paint::Constant, &quoted(text));
            }
            Value::Date(value) => self.paint(out, Paint::Constant, &quoted(print_date(value))),
            Value::Time(value) => self.paint(out, Paint::Constant, &quoted(print_time(value))),
            Value::Inet(value) => self.paint(out, Paint::Constant, &quoted(value.to_string())),
            value => self.paint(out, Paint::Constant, &self.number(&value)?),
        }
        Some(())
    }

    /// What is a number, a UUID or a duration.
    fn number(&self, value: &Value) -> Option<String> {
        Some(match value {
            Value::Tinyint(value) => self.integer(value.to_string()),
            Value::Smallint(value) => self.integer(value.to_string()),
            Value::Int(value) => self.integer(value.to_string()),
            Value::Bigint(value) | Value::Counter(value) => self.integer(value.to_string()),
            Value::Varint(value) => self.integer(value.to_string()),
            Value::Decimal(value) => self.fraction(value.to_string()),
            Value::Float(value) => self.fraction(match self.float_precision {
                Some(precision) => print_float(f64::from(*value), precision),
                None => shortest_float(*value),
            }),
            Value::Double(value) => self.fraction(match self.double_precision {
                Some(precision) => print_float(*value, precision),
                None => shortest_double(*value),
            }),
            Value::Uuid(value) | Value::Timeuuid(value) => print_uuid(value),
            Value::Duration(value) => print_duration(*value),
            _ => return None,
        })
    }

    fn integer(&self, digits: String) -> String {
        let Some(separator) = self.thousands_separator else { return digits };
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", digits.as_str()),
        };
        let mut out = sign.to_owned();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                out.push(separator);
            }
            out.push(digit);
        }
        out
    }

    fn fraction(&self, text: String) -> String {
        if self.thousands_separator.is_none() && self.decimal_separator == '.' {
            return text;
        }
        let (whole, rest) = text.split_at(text.find(['.', 'e', 'E']).unwrap_or(text.len()));
        let is_number = whole.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let whole = if is_number { self.integer(whole.to_owned()) } else { whole.to_owned() };
        format!("{whole}{}", rest.replacen('.', &self.decimal_separator.to_string(), 1))
    }

    fn text(&self, out: &mut String, text: &str, nested: bool) {
        let text = if nested { format!("'{}'", text.replace('\'', "''")) } else { text.to_owned() };
        if !self.escape {
            out.push_str(&text);
            return;
        }
        let mut escaped = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                // With colours, an escape differs from the text by its colour.
                '\\' if !self.colors => escaped.push_str("\\\\"),
                '\n' => escaped.push_str("\\n"),
                '\r' => escaped.push_str("\\r"),
                '\t' => escaped.push_str("\\t"),
                control if control.is_control() => {
                    // Writing to a string cannot fail.
                    let _ = write!(escaped, "\\x{:02x}", u32::from(control));
                }
                plain => escaped.push(plain),
            }
        }
        self.paint(out, Paint::Text, &escaped);
    }
}

/// A duration with all units that it has: `1y2mo3d4h5m6s7ms8us9ns`.
fn print_duration(duration: Duration) -> String {
    let text = duration.to_string();
    if text.is_empty() { "0ns".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cql_lite::types::UdtType;
    use cql_lite::types::text::json::{from_json, parse_json};
    use cql_lite::types::text::parse;

    use super::*;

    fn table(ty: &CqlType, bytes: Option<&[u8]>) -> String {
        let mut out = String::new();
        ValueStyle::table(false).print(&mut out, ty, bytes);
        out
    }

    fn json(ty: &CqlType, text: &str) -> String {
        table(ty, from_json(ty, &parse_json(text).unwrap()).unwrap().as_deref())
    }

    #[test]
    fn scalars_look_as_in_cqlsh() {
        let cases = [
            (CqlType::Int, "-5", "-5"),
            (CqlType::Boolean, "true", "True"),
            (CqlType::Text, "it's \\ a\ttab", "it's \\\\ a\\ttab"),
            (CqlType::Blob, "cafe", "0xcafe"),
            (CqlType::Double, "123456.789", "123456.789"),
            (CqlType::Float, "2.1415927", "2.14159"),
            (CqlType::Decimal, "1.50", "1.50"),
            (CqlType::Timestamp, "2024-02-29 12:30:00.123Z", "2024-02-29 12:30:00.123000+0000"),
            (CqlType::Date, "2024-02-29", "2024-02-29"),
            (CqlType::Time, "12:30:00.5", "12:30:00.500000000"),
            (CqlType::Inet, "::1", "::1"),
            (CqlType::Duration, "1y2mo3d4h", "1y2mo3d4h"),
            (CqlType::Varint, "123456789012345678901234567890", "123456789012345678901234567890"),
        ];
        for (ty, text, expected) in cases {
            assert_eq!(table(&ty, Some(&parse(&ty, text).unwrap())), expected, "{ty}");
        }
        assert_eq!(table(&CqlType::Int, None), "null");
        assert_eq!(table(&CqlType::Int, Some(&[])), "");
        assert_eq!(table(&CqlType::Int, Some(&[1, 2])), "0x0102");
    }

    #[test]
    fn nested_values_are_literals() {
        let text = Box::new(CqlType::Text);
        let list = CqlType::List(text.clone());
        assert_eq!(json(&list, r#"["a", "it's"]"#), "['a', 'it''s']");
        let map = CqlType::Map(text, Box::new(list));
        assert_eq!(json(&map, r#"{"k": ["a"], "l": []}"#), "{'k': ['a'], 'l': []}");
        let tuple = CqlType::Tuple(vec![CqlType::Int, CqlType::Inet]);
        assert_eq!(json(&tuple, r#"[1, null]"#), "(1, null)");
        assert_eq!(json(&tuple, r#"[1, "10.0.0.1"]"#), "(1, '10.0.0.1')");
        let fields = vec![("a".to_owned(), CqlType::Int), ("b".to_owned(), CqlType::Text)];
        let udt = UdtType { keyspace: "k".to_owned(), name: "u".to_owned(), fields };
        assert_eq!(json(&CqlType::Udt(Arc::new(udt)), r#"{"a": 1, "b": "x"}"#), "{a: 1, b: 'x'}");
        let vector = CqlType::Vector(Box::new(CqlType::Float), 3);
        assert_eq!(json(&vector, "[1, 2.5, -3]"), "[1, 2.5, -3]");
    }

    #[test]
    fn separators_are_the_users() {
        let style = ValueStyle {
            thousands_separator: Some('.'),
            decimal_separator: ',',
            ..ValueStyle::file()
        };
        let mut out = String::new();
        style.print(&mut out, &CqlType::Double, Some(&1_234_567.25_f64.to_be_bytes()));
        out.push(' ');
        style.print(&mut out, &CqlType::Int, Some(&(-1_234_567_i32).to_be_bytes()));
        assert_eq!(out, "1.234.567,25 -1.234.567");
    }
}
