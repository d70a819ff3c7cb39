//! From the text of a field to a value: the reverse of how values are printed.

use cql_lite::types::frames::{CollectionBuilder, put_framed, put_vector_element};
use cql_lite::types::{CqlType, text};

use crate::cli::shell::print::datetime;
use crate::cli::shell::print::value::ValueStyle;

/// Values within values go at most this deep.
const DEPTH_MAX: usize = 64;

/// The serialized value of type `ty` that the text of a field stands for.
pub(super) fn parse(style: &ValueStyle, ty: &CqlType, field: &str) -> Result<Vec<u8>, String> {
    match ty.unfrozen() {
        CqlType::List(_)
        | CqlType::Set(_)
        | CqlType::Map(..)
        | CqlType::Tuple(_)
        | CqlType::Udt(_)
        | CqlType::Vector(..) => {
            let mut reader = Reader { style, rest: field };
            let value = reader.value(ty, DEPTH_MAX)?;
            reader.space();
            let value = value.ok_or_else(|| format!("'{field}' is no {ty}"))?;
            if reader.rest.is_empty() {
                Ok(value)
            } else {
                Err(format!("'{}' is left over", reader.rest))
            }
        }
        ty => scalar(style, ty, field),
    }
}

fn scalar(style: &ValueStyle, ty: &CqlType, field: &str) -> Result<Vec<u8>, String> {
    let plain = |field: &str| text::parse(ty, field).map_err(|error| error.message);
    match ty {
        CqlType::Text | CqlType::Ascii => plain(field),
        _ if field.is_empty() => Err(format!("an empty text is no {ty}")),
        CqlType::Boolean => match field {
            field if field == style.booleans.0 => Ok(vec![1]),
            field if field == style.booleans.1 => Ok(vec![0]),
            field if field.eq_ignore_ascii_case("true") => Ok(vec![1]),
            field if field.eq_ignore_ascii_case("false") => Ok(vec![0]),
            _ => Err(format!("'{field}' is no boolean")),
        },
        CqlType::Blob => {
            let digits = field.strip_prefix("0x").or_else(|| field.strip_prefix("0X"));
            let digits = digits.ok_or_else(|| format!("'{field}' is no blob: 0x is missing"))?;
            text::parse_hex(digits).ok_or_else(|| format!("'{field}' is no blob"))
        }
        CqlType::Timestamp => match datetime::parse(&style.timestamp_format, field) {
            Some(millis) => Ok(millis.to_be_bytes().to_vec()),
            None => plain(field),
        },
        ty if ty.is_numeric() || ty.is_counter() => {
            if style.thousands_separator.is_none() && style.decimal_separator == '.' {
                return plain(field.trim());
            }
            let kept = field.trim().chars().filter(|c| Some(*c) != style.thousands_separator);
            let point = style.decimal_separator;
            plain(&kept.map(|c| if c == point { '.' } else { c }).collect::<String>())
        }
        _ => plain(field.trim()),
    }
}

struct Reader<'a> {
    style: &'a ValueStyle,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: char) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: char) -> Result<(), String> {
        if self.take(token) {
            Ok(())
        } else {
            Err(format!("'{token}' is missing before '{}'", self.rest))
        }
    }

    /// A value; `None` for null.
    fn value(&mut self, ty: &CqlType, depth: usize) -> Result<Option<Vec<u8>>, String> {
        let depth = depth.checked_sub(1).ok_or("values are nested too deep")?;
        self.space();
        Ok(Some(match ty.unfrozen() {
            CqlType::List(element) => self.elements('[', ']', element, depth)?,
            CqlType::Set(element) => self.elements('{', '}', element, depth)?,
            CqlType::Map(key, value) => {
                let mut builder = CollectionBuilder::new();
                self.each('{', '}', |reader| {
                    let key = reader.needed(key, depth)?;
                    reader.expect(':')?;
                    builder.entry(&key, &reader.needed(value, depth)?);
                    Ok(())
                })?;
                builder.finish()
            }
            CqlType::Vector(element, dimension) => {
                let (mut bytes, mut count) = (Vec::new(), 0);
                self.each('[', ']', |reader| {
                    put_vector_element(&mut bytes, element, &reader.needed(element, depth)?);
                    count += 1;
                    Ok(())
                })?;
                if count != *dimension {
                    return Err(format!("a {ty} has not {count} elements"));
                }
                bytes
            }
            CqlType::Tuple(types) => {
                let (mut bytes, mut types) = (Vec::new(), types.iter());
                self.each('(', ')', |reader| {
                    let ty = types.next().ok_or("the tuple has too many components")?;
                    put_framed(&mut bytes, reader.value(ty, depth)?.as_deref());
                    Ok(())
                })?;
                bytes
            }
            CqlType::Udt(udt) => {
                let mut values = vec![None; udt.fields.len()];
                self.each('{', '}', |reader| {
                    let name = reader.field_name()?;
                    reader.expect(':')?;
                    let unknown = || format!("the type {} has no field {name}", udt.name);
                    let (index, ty) = udt.field(&name).ok_or_else(unknown)?;
                    let value = reader.value(ty, depth)?;
                    if let Some(place) = values.get_mut(index) {
                        *place = value;
                    }
                    Ok(())
                })?;
                let mut bytes = Vec::new();
                for value in &values {
                    put_framed(&mut bytes, value.as_deref());
                }
                bytes
            }
            scalar_type => {
                let (text, quoted) = self.constant();
                if !quoted
                    && (text == "null" || (!self.style.null.is_empty() && text == self.style.null))
                {
                    return Ok(None);
                }
                scalar(self.style, scalar_type, &text)?
            }
        }))
    }

    fn needed(&mut self, ty: &CqlType, depth: usize) -> Result<Vec<u8>, String> {
        self.value(ty, depth)?.ok_or_else(|| "null has no place in a collection".to_owned())
    }

    fn elements(
        &mut self,
        open: char,
        close: char,
        ty: &CqlType,
        depth: usize,
    ) -> Result<Vec<u8>, String> {
        let mut builder = CollectionBuilder::new();
        self.each(open, close, |reader| {
            builder.element(&reader.needed(ty, depth)?);
            Ok(())
        })?;
        Ok(builder.finish())
    }

    /// Reads items with commas between them.
    fn each(
        &mut self,
        open: char,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.expect(open)?;
        if self.take(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.take(close) {
                return Ok(());
            }
            self.expect(',')?;
        }
    }

    /// The text of a constant, and whether it stood in quotes.
    fn constant(&mut self) -> (String, bool) {
        if let Some(rest) = self.rest.strip_prefix('\'') {
            return (self.quoted(rest, '\''), true);
        }
        let end = self.rest.find([',', ']', '}', ')', ':']).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        (text.trim().to_owned(), false)
    }

    fn quoted(&mut self, mut rest: &'a str, quote: char) -> String {
        let mut text = String::new();
        while let Some(end) = rest.find(quote) {
            text.push_str(rest.get(..end).unwrap_or_default());
            rest = rest.get(end + quote.len_utf8()..).unwrap_or_default();
            match rest.strip_prefix(quote) {
                Some(more) => {
                    text.push(quote);
                    rest = more;
                }
                None => break,
            }
        }
        self.rest = rest;
        text
    }

    fn field_name(&mut self) -> Result<String, String> {
        self.space();
        if let Some(rest) = self.rest.strip_prefix('"') {
            return Ok(self.quoted(rest, '"'));
        }
        let end = self.rest.find(':').ok_or("':' is missing after a field's name")?;
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(name.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cql_lite::types::UdtType;

    use super::*;

    fn back(ty: &CqlType, field: &str) -> String {
        let style = ValueStyle::file();
        let bytes = parse(&style, ty, field).unwrap_or_else(|problem| panic!("{field}: {problem}"));
        let mut out = String::new();
        style.print(&mut out, ty, Some(&bytes));
        out
    }

    #[test]
    fn what_is_printed_is_read() {
        let text = || Box::new(CqlType::Text);
        let fields = vec![("a".to_owned(), CqlType::Int), ("B".to_owned(), CqlType::Text)];
        let udt = UdtType { keyspace: "k".to_owned(), name: "u".to_owned(), fields };
        let cases = [
            (CqlType::Int, "-5"),
            (CqlType::Boolean, "True"),
            (CqlType::Text, "it's, \"quoted\" {x}"),
            (CqlType::Blob, "0xcafe"),
            (CqlType::Timestamp, "2024-02-29 12:30:00.123+0000"),
            (CqlType::Duration, "1y2mo3d4h"),
            (CqlType::Inet, "10.0.0.1"),
            (CqlType::Double, "0.1"),
            (CqlType::List(text()), "['a', 'it''s, [b]', '']"),
            (CqlType::Set(Box::new(CqlType::Int)), "{1, 2}"),
            (
                CqlType::Map(text(), Box::new(CqlType::List(Box::new(CqlType::Timestamp)))),
                "{'k:1': ['2024-02-29 12:30:00.123+0000'], 'l': []}",
            ),
            (CqlType::Tuple(vec![CqlType::Int, CqlType::Text]), "(1, null)"),
            (CqlType::Udt(Arc::new(udt)), "{a: 1, B: 'x'}"),
            (CqlType::Vector(Box::new(CqlType::Float), 2), "[1, -2.5]"),
        ];
        for (ty, field) in cases {
            assert_eq!(back(&ty, field), field, "{ty}");
        }
    }

    #[test]
    fn wrong_texts_are_refused() {
        let style = ValueStyle::file();
        let list = CqlType::List(Box::new(CqlType::Int));
        for (ty, field) in [
            (&list, "[1, 2"),
            (&list, "[1] 2"),
            (&list, "[null]"),
            (&CqlType::Int, "1.5"),
            (&CqlType::Int, ""),
            (&CqlType::Blob, "cafe"),
            (&CqlType::Vector(Box::new(CqlType::Int), 3), "[1, 2]"),
        ] {
            assert!(parse(&style, ty, field).is_err(), "{field} as {ty}");
        }
    }

    #[test]
    fn separators_are_undone() {
        let style = ValueStyle {
            thousands_separator: Some('.'),
            decimal_separator: ',',
            ..ValueStyle::file()
        };
        assert_eq!(parse(&style, &CqlType::Double, "1.234,5").unwrap(), 1234.5_f64.to_be_bytes());
    }
}
