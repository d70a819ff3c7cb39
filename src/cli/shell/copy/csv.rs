//! Comma-separated values, in both directions.
//!
//! A field stands in quotes if it would be misread without them. A text that looks like null but
//! is none stands in quotes too, so that the two are told apart when it is read.

use cql_lite::types::CqlType;

use crate::cli::shell::print::value::ValueStyle;

/// The characters that structure a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::shell) struct Dialect {
    /// Between fields.
    pub(in crate::cli::shell) delimiter: u8,
    /// Around fields.
    pub(in crate::cli::shell) quote: u8,
    /// Before a quote that belongs to the field, and before itself.
    pub(in crate::cli::shell) escape: u8,
}

impl Default for Dialect {
    /// As spreadsheets have it: quotes in fields are doubled.
    fn default() -> Self {
        Dialect { delimiter: b',', quote: b'"', escape: b'"' }
    }
}

/// A field as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli::shell) struct Field {
    /// Its text, without quotes and escapes.
    pub(in crate::cli::shell) text: Vec<u8>,
    /// Whether it stood in quotes: then it is not null, whatever it looks like.
    pub(in crate::cli::shell) quoted: bool,
}

/// Where reading stands within a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::cli::shell) struct State {
    in_quotes: bool,
    escaped: bool,
}

/// Appends the line with the names of columns.
pub(in crate::cli::shell) fn write_names<'a>(
    out: &mut String,
    names: impl Iterator<Item = &'a str>,
) {
    Dialect::default().write_texts(out, names);
}

impl Dialect {
    /// Appends a line of texts.
    pub(in crate::cli::shell) fn write_texts<'a>(
        &self,
        out: &mut String,
        texts: impl Iterator<Item = &'a str>,
    ) {
        for (index, text) in texts.enumerate() {
            if index > 0 {
                out.push(char::from(self.delimiter));
            }
            let start = out.len();
            out.push_str(text);
            self.protect(out, start, false);
        }
        out.push('\n');
    }

    /// Appends a row.
    pub(in crate::cli::shell) fn write_row<'a>(
        &self,
        out: &mut String,
        cells: impl Iterator<Item = (&'a CqlType, Option<&'a [u8]>)>,
        style: &ValueStyle,
    ) {
        for (index, (ty, bytes)) in cells.enumerate() {
            if index > 0 {
                out.push(char::from(self.delimiter));
            }
            let start = out.len();
            style.print(out, ty, bytes);
            let looks_null = bytes.is_some() && out.get(start..) == Some(style.null.as_str());
            self.protect(out, start, looks_null);
        }
        out.push('\n');
    }

    /// Puts the field that begins at `start` into quotes, if it needs them.
    fn protect(&self, out: &mut String, start: usize, force: bool) {
        let field = out.as_bytes().get(start..).unwrap_or_default();
        let special = |byte: &u8| {
            *byte == self.delimiter
                || *byte == self.quote
                || *byte == self.escape
                || *byte == b'\n'
                || *byte == b'\r'
        };
        if !force && !field.iter().any(special) {
            return;
        }
        let field = out.split_off(start);
        out.push(char::from(self.quote));
        for character in field.chars() {
            if u8::try_from(character).is_ok_and(|byte| byte == self.quote || byte == self.escape) {
                out.push(char::from(self.escape));
            }
            out.push(character);
        }
        out.push(char::from(self.quote));
    }

    /// Takes one byte; true if it ends a record.
    pub(in crate::cli::shell) fn ends_record(&self, state: &mut State, byte: u8) -> bool {
        if state.escaped {
            state.escaped = false;
        } else if byte == self.escape && self.escape != self.quote {
            state.escaped = true;
        } else if byte == self.quote {
            // A doubled quote closes and opens at once, which comes to the same.
            state.in_quotes = !state.in_quotes;
        } else if byte == b'\n' && !state.in_quotes {
            return true;
        }
        false
    }

    /// Reads the record that `bytes` begins with, and says how long it is with its line end.
    /// `fields` is used again from record to record; the fields' number is returned too.
    pub(in crate::cli::shell) fn read(
        &self,
        bytes: &[u8],
        fields: &mut Vec<Field>,
    ) -> (usize, usize) {
        let mut count = 0;
        let mut at = 0;
        loop {
            if fields.len() == count {
                fields.push(Field::default());
            }
            let Some(field) = fields.get_mut(count) else { return (at, count) };
            field.text.clear();
            field.quoted = false;
            count += 1;
            let (end, ended) = self.read_field(bytes, at, field);
            at = end;
            if ended {
                return (at, count);
            }
        }
    }

    /// Reads a field from `at`; returns where the next begins, and whether the record ended.
    fn read_field(&self, bytes: &[u8], mut at: usize, field: &mut Field) -> (usize, bool) {
        let mut in_quotes = false;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            if byte == self.escape && self.escape != self.quote {
                // An escape at the very end stands for itself.
                field.text.push(bytes.get(at).copied().unwrap_or(byte));
                at += 1;
            } else if byte == self.quote {
                if in_quotes && self.escape == self.quote && bytes.get(at) == Some(&self.quote) {
                    field.text.push(byte);
                    at += 1;
                } else if in_quotes || field.text.is_empty() {
                    in_quotes = !in_quotes;
                    field.quoted = true;
                } else {
                    field.text.push(byte);
                }
            } else if in_quotes {
                field.text.push(byte);
            } else if byte == self.delimiter {
                return (at, false);
            } else if byte == b'\n' {
                if field.text.last() == Some(&b'\r') {
                    field.text.pop();
                }
                return (at, true);
            } else {
                field.text.push(byte);
            }
        }
        (bytes.len(), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPY: Dialect = Dialect { delimiter: b',', quote: b'"', escape: b'\\' };

    fn read_all(dialect: Dialect, text: &str) -> Vec<Vec<String>> {
        let (mut fields, mut at, mut records) = (Vec::new(), 0, Vec::new());
        while at < text.len() {
            let (length, count) = dialect.read(&text.as_bytes()[at..], &mut fields);
            at += length;
            let texts = fields[..count].iter();
            records.push(texts.map(|f| String::from_utf8(f.text.clone()).unwrap()).collect());
        }
        records
    }

    #[test]
    fn what_is_written_reads_back() {
        let texts = ["plain", "a,b", "say \"hi\"", "back\\slash", "two\nlines", "", "é'", "\\\""];
        for dialect in [COPY, Dialect::default(), Dialect { delimiter: b'|', ..COPY }] {
            let mut out = String::new();
            dialect.write_texts(&mut out, texts.into_iter());
            dialect.write_texts(&mut out, ["second"].into_iter());
            assert_eq!(read_all(dialect, &out), [texts.to_vec(), vec!["second"]], "{out}");
        }
    }

    #[test]
    fn null_and_an_empty_text_are_told_apart() {
        let style = ValueStyle::file();
        let mut out = String::new();
        let text = CqlType::Text;
        let cells = [(&text, None), (&text, Some(&b""[..])), (&text, Some(&b"x"[..]))];
        COPY.write_row(&mut out, cells.into_iter(), &style);
        assert_eq!(out, ",\"\",x\n");
        let mut fields = Vec::new();
        COPY.read(out.as_bytes(), &mut fields);
        let quoted: Vec<_> = fields.iter().map(|field| field.quoted).collect();
        assert_eq!(quoted, [false, true, false]);
    }

    #[test]
    fn records_end_at_line_ends_outside_of_quotes() {
        let bytes = b"a,\"b\nc\"\nd\\\ne\nf";
        let mut state = State::default();
        let ends = (0..bytes.len()).filter(|at| COPY.ends_record(&mut state, bytes[*at]));
        assert_eq!(ends.collect::<Vec<_>>(), [7, 12]);
        assert_eq!(read_all(COPY, "a,b\r\nc,d"), [["a", "b"], ["c", "d"]]);
    }
}
