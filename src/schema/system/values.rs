//! Values of system tables in their serialized form.

use std::net::IpAddr;

use helenus_platform::codec::Put;

/// A serialized value, or null.
pub type Cell = Option<Vec<u8>>;

/// A text value.
pub fn text(value: impl AsRef<str>) -> Cell {
    Some(value.as_ref().as_bytes().to_vec())
}

/// A boolean.
#[must_use]
pub fn boolean(value: bool) -> Cell {
    Some(vec![u8::from(value)])
}

/// An int.
#[must_use]
pub fn int(value: i32) -> Cell {
    let mut bytes = Vec::new();
    bytes.put_i32_be(value);
    Some(bytes)
}

/// A bigint or a timestamp.
#[must_use]
pub fn bigint(value: i64) -> Cell {
    let mut bytes = Vec::new();
    bytes.put_i64_be(value);
    Some(bytes)
}

/// A double.
#[must_use]
pub fn double(value: f64) -> Cell {
    let mut bytes = Vec::new();
    bytes.put_u64_be(value.to_bits());
    Some(bytes)
}

/// A uuid.
#[must_use]
pub fn uuid(value: [u8; 16]) -> Cell {
    Some(value.to_vec())
}

/// An inet.
#[must_use]
pub fn inet(value: IpAddr) -> Cell {
    Some(match value {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}

/// A list or a set of elements that are in order already; or, with keys and values in turn, a map.
fn collection(count: usize, parts: impl Iterator<Item = Vec<u8>>) -> Cell {
    let mut bytes = Vec::new();
    bytes.put_i32_be(i32::try_from(count).unwrap_or(i32::MAX));
    for part in parts {
        bytes.put_i32_be(i32::try_from(part.len()).unwrap_or(i32::MAX));
        bytes.put_bytes(&part);
    }
    Some(bytes)
}

/// A list, or an ordered set, of texts.
pub fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Cell {
    let parts: Vec<Vec<u8>> =
        values.into_iter().map(|value| value.as_ref().as_bytes().to_vec()).collect();
    collection(parts.len(), parts.into_iter())
}

/// A map from text to bytes, in the order given, which must be that of the keys.
pub fn map<K: AsRef<[u8]>, V: AsRef<[u8]>>(entries: impl IntoIterator<Item = (K, V)>) -> Cell {
    let parts: Vec<Vec<u8>> = entries
        .into_iter()
        .flat_map(|(key, value)| [key.as_ref().to_vec(), value.as_ref().to_vec()])
        .collect();
    collection(parts.len() / 2, parts.into_iter())
}
