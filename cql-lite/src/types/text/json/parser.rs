//! From text to [`Json`], as RFC 8259 has it, with a bound on nesting.

use super::Json;
use crate::types::error::{Result, ValueError};

/// Arrays and objects nest at most this deep.
pub const DEPTH_MAX: usize = 200;

/// A text has at most this many values, keys not counted: each takes memory of its own.
pub const VALUES_MAX: usize = 1 << 19;

/// An error quotes at most this much of the text.
const QUOTED_CHARS_MAX: usize = 200;

/// Parses a whole text as one JSON value.
pub fn parse_json(text: &str) -> Result<Json> {
    let mut parser = Parser { text, at: 0, values: 0 };
    let value = parser.value(0)?;
    parser.spaces();
    if parser.at < text.len() {
        return Err(parser.error("the text goes on after the value"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, what: &str) -> ValueError {
        let cut = self.text.char_indices().nth(QUOTED_CHARS_MAX).map(|(at, _)| at);
        let quoted = match cut {
            Some(at) => format!("{}…", self.text.get(..at).unwrap_or_default()),
            None => self.text.to_owned(),
        };
        let at = self.at;
        ValueError::invalid(format!("Could not decode JSON string '{quoted}': {what} at byte {at}"))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        if depth > DEPTH_MAX {
            return Err(self.error("it nests too deep"));
        }
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(self.error(&format!("it has more than {VALUES_MAX} values")));
        }
        self.spaces();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take("true") => Ok(Json::Boolean(true)),
            _ if self.take("false") => Ok(Json::Boolean(false)),
            _ if self.take("null") => Ok(Json::Null),
            _ => Err(self.error("no value begins")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json> {
        self.at += 1;
        let mut elements = Vec::new();
        self.spaces();
        if self.take("]") {
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            self.spaces();
            if self.take("]") {
                return Ok(Json::Array(elements));
            }
            if !self.take(",") {
                return Err(self.error("a comma or a closing bracket is missing"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json> {
        self.at += 1;
        let mut entries = Vec::new();
        self.spaces();
        if self.take("}") {
            return Ok(Json::Object(entries));
        }
        loop {
            self.spaces();
            if self.peek() != Some(b'"') {
                return Err(self.error("a key in quotes is missing"));
            }
            let key = self.string()?;
            self.spaces();
            if !self.take(":") {
                return Err(self.error("a colon is missing"));
            }
            entries.push((key, self.value(depth + 1)?));
            self.spaces();
            if self.take("}") {
                return Ok(Json::Object(entries));
            }
            if !self.take(",") {
                return Err(self.error("a comma or a closing brace is missing"));
            }
        }
    }

    fn number(&mut self) -> Result<Json> {
        let start = self.at;
        self.take("-");
        if !self.take("0") {
            self.digits()?;
        }
        if self.take(".") {
            self.digits()?;
        }
        if self.take("e") || self.take("E") {
            let _sign = self.take("+") || self.take("-");
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(Json::Number(text.to_owned()))
    }

    fn digits(&mut self) -> Result<()> {
        let length = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += length;
        if length == 0 { Err(self.error("a digit is missing")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            out.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.error("a control character must be escaped")),
                None => return Err(self.error("a closing quote is missing")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        self.at += 1;
        let escaped = self.peek();
        self.at += 1;
        Ok(match escaped {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => self.unicode()?,
            _ => {
                self.at -= 1;
                return Err(self.error("an escape is unknown"));
            }
        })
    }

    /// What follows `\u`; two of them for characters outside the first 65,536.
    fn unicode(&mut self) -> Result<char> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..0xdc00 if self.take("\\u") => match self.hex4()? {
                second @ 0xdc00..0xe000 => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => return Err(self.error("half a surrogate pair is no character")),
            },
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.error("half a surrogate pair is no character"))
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.rest().get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.error("four hexadecimal digits are missing"))?;
        self.at += 4;
        Ok(code)
    }
}
