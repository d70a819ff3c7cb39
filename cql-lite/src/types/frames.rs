//! How values lie inside other values on the wire.
//!
//! - list, set: i32 count, then per element i32 length and the bytes.
//! - map: i32 count of entries, then per entry key and value, each i32 length and the bytes.
//! - tuple, UDT: per component i32 length (negative: null) and the bytes; components missing at
//!   the end are null.
//! - vector: elements of fixed length one after the other; others each after their length as an
//!   unsigned vint: the number of leading one bits of the first byte is the number of
//!   bytes that follow.
//!
//! Nothing here allocates more than a small multiple of the bytes that are really there.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

pub(super) mod vint;

use helenus_platform::codec::{Put, Reader};

use super::error::{Result, ValueError};
use super::{CqlType, UdtType};

/// Elements of a list or a set, or keys and values of a map by turns.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    reader: Reader<'a>,
    left: usize,
    what: &'static str,
}

impl<'a> Elements<'a> {
    fn new(bytes: &'a [u8], what: &'static str, per_entry: usize) -> Result<Elements<'a>> {
        let mut reader = Reader::new(bytes);
        let count = reader.i32_be().map_err(|_| too_short(what))?;
        let Ok(entries) = usize::try_from(count) else {
            return Err(ValueError::invalid(format!(
                "The data cannot be deserialized as a {what}"
            )));
        };
        let left = entries.saturating_mul(per_entry);
        // Each element needs its length at least, so a count beyond that is refused at once.
        if left > reader.remaining() / 4 {
            let mut probe = Elements { reader, left, what };
            return Err(probe.find_map(|element| element.err()).unwrap_or(too_short(what)));
        }
        Ok(Elements { reader, left, what })
    }

    /// How many elements are still to come (of a map, keys and values together).
    pub fn left(&self) -> usize {
        self.left
    }

    fn read(&mut self) -> Result<Option<&'a [u8]>> {
        let length = self.reader.i32_be().map_err(|_| too_short(self.what))?;
        match usize::try_from(length) {
            Ok(length) => {
                let bytes = self.reader.bytes(length).map_err(|_| too_short(self.what))?;
                Ok(Some(bytes))
            }
            Err(_) => Ok(None),
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.reader.is_empty() {
                return None;
            }
            self.reader = Reader::new(&[]);
            let message = format!("Unexpected extraneous bytes after {} value", self.what);
            return Some(Err(ValueError::invalid(message)));
        }
        self.left -= 1;
        let element = self.read().and_then(|element| {
            element.ok_or_else(|| ValueError::invalid("Null value read when not allowed"))
        });
        if element.is_err() {
            self.left = 0;
            self.reader = Reader::new(&[]);
        }
        Some(element)
    }
}

fn too_short(what: &str) -> ValueError {
    ValueError::invalid(format!("Not enough bytes to read a {what}"))
}

/// The elements of a serialized list.
pub fn list_elements(bytes: &[u8]) -> Result<Elements<'_>> {
    Elements::new(bytes, "list", 1)
}

/// The elements of a serialized set.
pub fn set_elements(bytes: &[u8]) -> Result<Elements<'_>> {
    Elements::new(bytes, "set", 1)
}

/// The keys and values, by turns, of a serialized map.
pub fn map_elements(bytes: &[u8]) -> Result<Elements<'_>> {
    Elements::new(bytes, "map", 2)
}

/// The entries of a serialized map.
pub fn map_entries(bytes: &[u8]) -> Result<Vec<(&[u8], &[u8])>> {
    let mut elements = map_elements(bytes)?;
    let mut entries = Vec::with_capacity(elements.left() / 2);
    while let Some(key) = elements.next() {
        let key = key?;
        let value = elements.next().unwrap_or_else(|| Err(too_short("map")))?;
        entries.push((key, value));
    }
    Ok(entries)
}

/// The elements of a serialized list in which nulls are allowed, as the list bound to `IN ?`.
pub fn nullable_list_elements(bytes: &[u8]) -> Result<Vec<Option<&[u8]>>> {
    let mut elements = list_elements(bytes)?;
    let mut out = Vec::with_capacity(elements.left);
    while elements.left > 0 {
        elements.left -= 1;
        out.push(elements.read()?);
    }
    match elements.next() {
        Some(Err(error)) => Err(error),
        _ => Ok(out),
    }
}

/// The components of a serialized tuple of `count` components, missing ones as null.
pub fn tuple_components(bytes: &[u8], count: usize) -> Result<Vec<Option<&[u8]>>> {
    components(bytes, count, &|index| format!("{index}th component"), "tuple")
}

/// The fields of a serialized UDT, missing ones as null.
pub fn udt_fields<'a>(bytes: &'a [u8], udt: &UdtType) -> Result<Vec<Option<&'a [u8]>>> {
    let name = |index: usize| match udt.fields.get(index) {
        Some((name, _)) => format!("{index}th field {name}"),
        None => format!("{index}th field"),
    };
    components(bytes, udt.fields.len(), &name, "UDT")
}

fn components<'a>(
    bytes: &'a [u8],
    count: usize,
    name: &dyn Fn(usize) -> String,
    what: &str,
) -> Result<Vec<Option<&'a [u8]>>> {
    let mut reader = Reader::new(bytes);
    let mut out = Vec::with_capacity(count);
    while out.len() < count && !reader.is_empty() {
        let at = out.len();
        let length = reader.i32_be().map_err(|_| {
            ValueError::invalid(format!("Not enough bytes to read size of {}", name(at)))
        })?;
        out.push(match usize::try_from(length) {
            Ok(length) => Some(reader.bytes(length).map_err(|_| {
                ValueError::invalid(format!("Not enough bytes to read {}", name(at)))
            })?),
            Err(_) => None,
        });
    }
    if !reader.is_empty() {
        let message = format!("Invalid remaining data after end of {what} value");
        return Err(ValueError::invalid(message));
    }
    out.resize(count, None);
    Ok(out)
}

/// The elements of a serialized `vector<element, dimension>`.
pub fn vector_elements<'a>(
    bytes: &'a [u8],
    element: &CqlType,
    dimension: usize,
) -> Result<Vec<&'a [u8]>> {
    if bytes.is_empty() {
        return Err(ValueError::invalid("Invalid empty vector value"));
    }
    let ty = || format!("vector<{element}, {dimension}>");
    let short = || ValueError::invalid(format!("Not enough bytes to read a {}", ty()));
    let mut reader = Reader::new(bytes);
    let fixed = element.fixed_length();
    // An element takes one byte at least.
    if dimension > bytes.len() {
        return Err(short());
    }
    let mut out = Vec::with_capacity(dimension);
    for _ in 0..dimension {
        let length = match fixed {
            Some(length) => length,
            None => {
                let length = vint::read_unsigned(&mut reader).map_err(|_| short())?;
                usize::try_from(length).map_err(|_| short())?
            }
        };
        out.push(reader.bytes(length).map_err(|_| short())?);
    }
    match reader.remaining() {
        0 => Ok(out),
        more => {
            let message = format!("Unexpected {more} extraneous bytes after {} value", ty());
            Err(ValueError::invalid(message))
        }
    }
}

/// Builds lists, sets and maps.
#[derive(Debug)]
pub struct CollectionBuilder {
    bytes: Vec<u8>,
    entries: i32,
}

impl Default for CollectionBuilder {
    fn default() -> Self {
        CollectionBuilder::new()
    }
}

impl CollectionBuilder {
    /// An empty collection.
    pub fn new() -> CollectionBuilder {
        CollectionBuilder { bytes: vec![0; 4], entries: 0 }
    }

    /// Adds an element of a list or a set.
    pub fn element(&mut self, bytes: &[u8]) {
        put_framed(&mut self.bytes, Some(bytes));
        self.entries = self.entries.saturating_add(1);
    }

    /// Adds an entry of a map.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) {
        put_framed(&mut self.bytes, Some(key));
        self.element(value);
    }

    /// The serialized collection.
    pub fn finish(self) -> Vec<u8> {
        let CollectionBuilder { mut bytes, entries } = self;
        let mut count = Vec::with_capacity(4);
        count.put_i32_be(entries);
        if let Some(head) = bytes.first_chunk_mut::<4>() {
            head.copy_from_slice(&count);
        }
        bytes
    }
}

/// Appends a component of a tuple or UDT.
pub fn put_framed(out: &mut Vec<u8>, component: Option<&[u8]>) {
    match component {
        Some(bytes) => {
            out.put_i32_be(bytes.len() as i32);
            out.put_bytes(bytes);
        }
        None => out.put_i32_be(-1),
    }
}

/// Appends an element of a vector whose elements are of type `element`.
pub fn put_vector_element(out: &mut Vec<u8>, element: &CqlType, bytes: &[u8]) {
    if element.fixed_length().is_none() {
        vint::write_unsigned(out, bytes.len() as u64);
    }
    out.put_bytes(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().message
    }

    #[test]
    fn a_count_of_billions_is_refused_before_anything_is_reserved() {
        let bytes = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1, b'a'];
        assert_eq!(message(list_elements(&bytes)), "Not enough bytes to read a list");
        assert_eq!(message(map_entries(&bytes)), "Not enough bytes to read a map");
        let negative = [0xff; 4];
        let expected = "The data cannot be deserialized as a set";
        assert_eq!(message(set_elements(&negative)), expected);
    }

    #[test]
    fn nulls_and_trailing_bytes_are_named() {
        let null = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        let read = |bytes| list_elements(bytes).and_then(Iterator::collect::<Result<Vec<_>>>);
        assert_eq!(message(read(&null)), "Null value read when not allowed");
        assert_eq!(nullable_list_elements(&null), Ok(vec![None]));
        let extra = [0, 0, 0, 0, 9];
        assert_eq!(message(read(&extra)), "Unexpected extraneous bytes after list value");
        assert!(nullable_list_elements(&extra).is_err());
    }

    #[test]
    fn missing_components_are_null_and_too_many_are_an_error() {
        let mut bytes = Vec::new();
        put_framed(&mut bytes, Some(b"x"));
        put_framed(&mut bytes, None);
        assert_eq!(tuple_components(&bytes, 3), Ok(vec![Some(&b"x"[..]), None, None]));
        let more = message(tuple_components(&bytes, 1));
        assert_eq!(more, "Invalid remaining data after end of tuple value");
        let cut = message(tuple_components(&bytes[..4], 1));
        assert_eq!(cut, "Not enough bytes to read 0th component");
    }

    #[test]
    fn vectors_of_fixed_elements_have_no_lengths() {
        let float = CqlType::Float;
        assert_eq!(vector_elements(&[0; 8], &float, 2), Ok(vec![&[0u8; 4][..], &[0; 4][..]]));
        let short = message(vector_elements(&[0; 4], &float, 2));
        assert_eq!(short, "Not enough bytes to read a vector<float, 2>");
        let long = message(vector_elements(&[0; 12], &float, 2));
        assert_eq!(long, "Unexpected 4 extraneous bytes after vector<float, 2> value");
        let mut out = Vec::new();
        put_vector_element(&mut out, &CqlType::Text, b"ab");
        assert_eq!(vector_elements(&out, &CqlType::Text, 1), Ok(vec![&b"ab"[..]]));
    }
}
