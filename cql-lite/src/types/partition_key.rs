//! The bytes of a partition key.
//!
//! A key of one column is that column's serialized value. A key of several columns is, for each
//! column: u16 big-endian length | value | 0x00.

/// The longest partition key, in bytes, whole; also the longest component.
pub const PARTITION_KEY_BYTES_MAX: usize = 65_535;

/// A partition key that cannot be built or taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionKeyError {
    /// The key would be longer than [`PARTITION_KEY_BYTES_MAX`].
    #[error("Key length of {0} is longer than maximum of {PARTITION_KEY_BYTES_MAX}")]
    TooLong(usize),
    /// The bytes are not a key of that many columns.
    #[error("a partition key of {columns} columns cannot end or go on at byte {offset}")]
    Malformed {
        /// The number of columns that were expected.
        columns: usize,
        /// The place in the key.
        offset: usize,
    },
}

/// Builds the key from the serialized values of the partition key's columns.
pub fn compose(components: &[&[u8]]) -> Result<Vec<u8>, PartitionKeyError> {
    let composed_length = match components {
        [single] => single.len(),
        several => several.iter().map(|component| component.len() + 3).sum(),
    };
    if composed_length > PARTITION_KEY_BYTES_MAX {
        return Err(PartitionKeyError::TooLong(composed_length));
    }
    if let [single] = components {
        return Ok(single.to_vec());
    }
    let mut key = Vec::with_capacity(composed_length);
    for component in components {
        let length = component.len();
        key.extend_from_slice(&[(length >> 8) as u8, length as u8]);
        key.extend_from_slice(component);
        key.push(0);
    }
    Ok(key)
}

/// Takes a key of `columns` columns apart, in order.
pub fn split(key: &[u8], columns: usize) -> Result<Vec<&[u8]>, PartitionKeyError> {
    if columns == 1 {
        return Ok(vec![key]);
    }
    let mut components = Vec::new();
    let mut rest = key;
    while components.len() < columns {
        let malformed = PartitionKeyError::Malformed { columns, offset: key.len() - rest.len() };
        let Some(([high, low], after)) = rest.split_first_chunk::<2>() else {
            return Err(malformed);
        };
        let length = usize::from(*high) << 8 | usize::from(*low);
        let Some((component, [0, next @ ..])) = after.split_at_checked(length) else {
            return Err(malformed);
        };
        components.push(component);
        rest = next;
    }
    if !rest.is_empty() {
        let offset = key.len() - rest.len();
        return Err(PartitionKeyError::Malformed { columns, offset });
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_column_is_taken_as_it_is_and_several_are_framed() {
        assert_eq!(compose(&[b"abc"]), Ok(b"abc".to_vec()));
        assert_eq!(compose(&[b"ab", b""]), Ok(b"\x00\x02ab\x00\x00\x00\x00".to_vec()));
        assert_eq!(split(b"\x00\x02ab\x00\x00\x00\x00", 2), Ok(vec![&b"ab"[..], &b""[..]]));
        assert_eq!(split(b"abc", 1), Ok(vec![&b"abc"[..]]));
    }

    #[test]
    fn a_key_over_64_kib_is_refused_before_it_is_built() {
        let long = vec![0u8; 65_536];
        assert_eq!(compose(&[&long]), Err(PartitionKeyError::TooLong(65_536)));
        let message = PartitionKeyError::TooLong(65_536).to_string();
        assert_eq!(message, "Key length of 65536 is longer than maximum of 65535");
    }

    #[test]
    fn damaged_composites_are_errors() {
        let cases: [&[u8]; 5] =
            [b"", b"\x00", b"\x00\x05ab\x00", b"\x00\x01a\x01\x00\x00\x00", b"\x00\x00\x00"];
        for key in cases {
            assert!(split(key, 2).is_err(), "{key:?}");
        }
        let trailing = split(b"\x00\x00\x00\x00\x00\x00z", 2);
        assert_eq!(trailing, Err(PartitionKeyError::Malformed { columns: 2, offset: 6 }));
    }
}
