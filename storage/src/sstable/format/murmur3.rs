//! The token that Cassandra's `Murmur3Partitioner` gives a partition key.
//!
//! The storage engine takes tokens as they come and would work with any. But where a block's
//! tokens are all what this function says, they need not be stored: eight bytes less for every
//! partition that do not compress. MurmurHash3 x64/128 with seed 0, first half; the bytes behind
//! the last whole 16 are taken as signed, as Java has them; the smallest `i64` is avoided, and is
//! the token of the empty key.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::Reader;

use crate::model::Token;

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The token that Cassandra's `Murmur3Partitioner` gives this partition key. Partitions with such
/// tokens take less room.
pub fn murmur3_token(key: &[u8]) -> Token {
    match (key.is_empty(), hash(key) as i64) {
        (true, _) => Token(i64::MIN),
        (false, i64::MIN) => Token(i64::MAX),
        (false, token) => Token(token),
    }
}

fn scramble(word: u64, first: u64, rotation: u32, second: u64) -> u64 {
    word.wrapping_mul(first).rotate_left(rotation).wrapping_mul(second)
}

fn finalize(mut word: u64) -> u64 {
    word = (word ^ word >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

fn signed_word(bytes: &[u8]) -> u64 {
    let shifted = |(at, byte): (usize, &u8)| (i64::from(*byte as i8) as u64) << (8 * at);
    bytes.iter().enumerate().map(shifted).fold(0, |word, byte| word ^ byte)
}

fn hash(key: &[u8]) -> u64 {
    let (mut a, mut b) = (0u64, 0u64);
    let (blocks, tail) = key.as_chunks::<16>();
    for block in blocks {
        let mut words = Reader::new(block);
        let (low, high) = (words.u64_le().unwrap_or(0), words.u64_le().unwrap_or(0));
        a = (a ^ scramble(low, C1, 31, C2)).rotate_left(27).wrapping_add(b);
        a = a.wrapping_mul(5).wrapping_add(0x52dc_e729);
        b = (b ^ scramble(high, C2, 33, C1)).rotate_left(31).wrapping_add(a);
        b = b.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let (low, high) = tail.split_at(tail.len().min(8));
    b ^= scramble(signed_word(high), C2, 33, C1) ^ key.len() as u64;
    a ^= scramble(signed_word(low), C1, 31, C2) ^ key.len() as u64;
    a = a.wrapping_add(b);
    b = b.wrapping_add(a);
    finalize(a).wrapping_add(finalize(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_that_drivers_compute() {
        let cases: [(&[u8], i64); 6] = [
            (b"", i64::MIN),
            (b"test", -6017608668500074083),
            (b"primary_key", -1632642444691073360),
            (&[0xfe; 8], -8927430733708461935),
            (b"9223372036854775807", 7162290910810015547),
            (&[0x00, 0xff, 0x10, 0xfa, 0x99].repeat(10), 5837342703291459765),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur3_token(key), Token(expected), "{key:?}");
        }
    }
}
