//! Serialized whole numbers.

/// The number in the serialized form of an integer of up to 64 bits.
pub(crate) fn to_i64(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| value << 8 | i64::from(*byte))
}
