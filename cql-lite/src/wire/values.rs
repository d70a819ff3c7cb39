//! Bound values (§4.1.4): a count, then for each an optional name and a \[value\]. The list is
//! checked once when it is decoded and then read in place, so a request of a hundred values costs
//! no allocation.

use helenus_platform::codec::{Put, Reader};

use super::error::{Result, WireError};
use super::notation::{PutNotation, ReadNotation};
use super::version::ProtocolVersion;

/// A bound value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundValue<'a> {
    /// Null.
    Null,
    /// Not set: the statement leaves the column as it is (v4 on).
    Unset,
    /// A serialized value.
    Bytes(&'a [u8]),
}

impl<'a> BoundValue<'a> {
    /// The serialized value; neither null nor unset have one.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            BoundValue::Bytes(bytes) => Some(bytes),
            BoundValue::Null | BoundValue::Unset => None,
        }
    }
}

/// The values of one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Values<'a> {
    count: u16,
    named: bool,
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    /// No values.
    pub const EMPTY: Values<'static> = Values { count: 0, named: false, bytes: &[] };

    /// A list that a client serialized itself: `count` \[value\]s one after another, without
    /// names, and nothing behind them.
    ///
    /// # Errors
    /// If `bytes` is something else.
    pub fn serialized(count: u16, bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        for _ in 0..count {
            check_value(&mut reader, ProtocolVersion::V5)?;
        }
        if !reader.is_empty() {
            return Err(WireError::malformed("there are bytes behind the last value"));
        }
        Ok(Values { count, named: false, bytes })
    }

    /// Checks and takes a list of values.
    pub(super) fn read(
        reader: &mut Reader<'a>,
        version: ProtocolVersion,
        named: bool,
    ) -> Result<Self> {
        let count = reader.u16_be()?;
        let rest = reader.rest();
        for _ in 0..count {
            if named {
                reader.string()?;
            }
            check_value(reader, version)?;
        }
        let bytes = rest.get(..rest.len() - reader.remaining()).unwrap_or_default();
        Ok(Values { count, named, bytes })
    }

    /// Appends the list as it was read or built.
    pub(super) fn put(&self, out: &mut impl Put) {
        out.put_u16_be(self.count);
        out.put_bytes(self.bytes);
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.count.into()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether each value carries the name of its marker.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The values in the order of the wire.
    pub fn iter(&self) -> ValuesIter<'a> {
        ValuesIter { reader: Reader::new(self.bytes), left: self.count, named: self.named }
    }
}

/// Reads one \[value\]. Before v4 every negative length is null.
fn check_value(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<()> {
    let length = reader.i32_be()?;
    match usize::try_from(length) {
        Ok(length) => Ok(reader.skip(length)?),
        Err(_) if length < -2 && version >= ProtocolVersion::V4 => {
            Err(WireError::malformed(format!("Invalid ByteBuf length {length}")))
        }
        Err(_) if length == -2 && version < ProtocolVersion::V4 => {
            Err(WireError::malformed("unset values need protocol version 4"))
        }
        Err(_) => Ok(()),
    }
}

/// Iterates over [`Values`]: the name, if values have names, and the value.
#[derive(Debug, Clone)]
pub struct ValuesIter<'a> {
    reader: Reader<'a>,
    left: u16,
    named: bool,
}

impl<'a> Iterator for ValuesIter<'a> {
    type Item = (Option<&'a str>, BoundValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let name = if self.named { Some(self.reader.string().ok()?) } else { None };
        let length = self.reader.i32_be().ok()?;
        let value = match usize::try_from(length) {
            Ok(length) => BoundValue::Bytes(self.reader.bytes(length).ok()?),
            Err(_) if length == -2 => BoundValue::Unset,
            Err(_) => BoundValue::Null,
        };
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for ValuesIter<'_> {}

/// Builds a list of values: the client's half.
#[derive(Debug, Clone, Default)]
pub struct ValuesBuilder {
    count: u16,
    named: bool,
    bytes: Vec<u8>,
}

impl ValuesBuilder {
    /// A list of positional values.
    pub fn positional() -> Self {
        ValuesBuilder::default()
    }

    /// A list of named values.
    pub fn named() -> Self {
        ValuesBuilder { named: true, ..ValuesBuilder::default() }
    }

    /// Appends a positional value.
    pub fn push(&mut self, value: BoundValue<'_>) -> Result<()> {
        debug_assert!(!self.named);
        self.append(value)
    }

    /// Appends a named value.
    pub fn push_named(&mut self, name: &str, value: BoundValue<'_>) -> Result<()> {
        debug_assert!(self.named);
        self.bytes.put_string(name);
        self.append(value)
    }

    fn append(&mut self, value: BoundValue<'_>) -> Result<()> {
        self.count = self
            .count
            .checked_add(1)
            .ok_or_else(|| WireError::malformed("a statement has at most 65535 values"))?;
        match value {
            BoundValue::Null => self.bytes.put_i32_be(-1),
            BoundValue::Unset => self.bytes.put_i32_be(-2),
            BoundValue::Bytes(bytes) => self.bytes.put_bytes_or_null(Some(bytes)),
        }
        Ok(())
    }

    /// The list.
    pub fn values(&self) -> Values<'_> {
        Values { count: self.count, named: self.named, bytes: &self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_order() {
        let mut builder = ValuesBuilder::named();
        builder.push_named("a", BoundValue::Bytes(b"1")).unwrap();
        builder.push_named("b", BoundValue::Null).unwrap();
        builder.push_named("c", BoundValue::Unset).unwrap();
        let mut out = Vec::new();
        builder.values().put(&mut out);
        let values = Values::read(&mut Reader::new(&out), ProtocolVersion::V4, true).unwrap();
        assert_eq!(values, builder.values());
        let expected = [
            (Some("a"), BoundValue::Bytes(&b"1"[..])),
            (Some("b"), BoundValue::Null),
            (Some("c"), BoundValue::Unset),
        ];
        assert_eq!(values.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_serialized_list_is_taken_if_it_is_whole() {
        let mut builder = ValuesBuilder::positional();
        builder.push(BoundValue::Bytes(b"1")).unwrap();
        builder.push(BoundValue::Unset).unwrap();
        let bytes = builder.values().bytes;
        assert_eq!(Values::serialized(2, bytes).unwrap(), builder.values());
        assert!(Values::serialized(1, bytes).is_err());
        assert!(Values::serialized(3, bytes).is_err());
        assert!(Values::serialized(2, &bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn lengths_below_unset_are_refused() {
        let wire = b"\x00\x01\xff\xff\xff\xfd";
        for version in [ProtocolVersion::V4, ProtocolVersion::V5] {
            assert!(Values::read(&mut Reader::new(wire), version, false).is_err());
        }
        assert!(Values::read(&mut Reader::new(wire), ProtocolVersion::V3, false).is_ok());
    }
}
