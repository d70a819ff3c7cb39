//! The hash of Cassandra's `Murmur3Partitioner`, which drivers compute too: it says where on the
//! ring the bytes of a partition key belong.
//!
//! It is MurmurHash3 x64/128 with seed 0, of which the first half is the token, with one
//! difference: the last 0 to 15 bytes, those behind the last whole block of 16, are taken as
//! *signed* bytes, as Java has them. The smallest `i64` is not a token of any key, because it
//! stands for the beginning of the ring; a hash with that value becomes `i64::MAX`.

use crate::codec::Reader;

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;
const BLOCK_BYTES: usize = 16;

/// The token of the empty key, and the lower end of the ring.
pub const TOKEN_MIN: i64 = i64::MIN;

/// The token of the partition key `key` (composite keys in their composed form).
pub fn token(key: &[u8]) -> i64 {
    if key.is_empty() {
        return TOKEN_MIN;
    }
    match hash(key) {
        i64::MIN => i64::MAX,
        other => other,
    }
}

/// The first 64 bits of the hash, before the smallest value is avoided.
fn hash(key: &[u8]) -> i64 {
    let (mut h1, mut h2) = (0u64, 0u64);
    let mut reader = Reader::new(key);
    while reader.remaining() >= BLOCK_BYTES
        && let (Ok(k1), Ok(k2)) = (reader.u64_le(), reader.u64_le())
    {
        h1 ^= mix_k1(k1);
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix_k2(k2);
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let tail = reader.rest();
    let (low, high) = tail.split_at(tail.len().min(8));
    if !high.is_empty() {
        h2 ^= mix_k2(signed_tail(high));
    }
    if !low.is_empty() {
        h1 ^= mix_k1(signed_tail(low));
    }
    let length = key.len() as u64;
    h1 ^= length;
    h2 ^= length;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    fmix(h1).wrapping_add(fmix(h2)) as i64
}

/// Little-endian, but each byte sign-extended before it is shifted and xored in.
fn signed_tail(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .enumerate()
        .fold(0, |sum, (index, byte)| sum ^ ((i64::from(*byte as i8) as u64) << (8 * index)))
}

fn mix_k1(k1: u64) -> u64 {
    k1.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix_k2(k2: u64) -> u64 {
    k2.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn fmix(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_agree_with_those_that_drivers_compute() {
        let cases: [(&[u8], i64); 9] = [
            (b"test", -6017608668500074083),
            (b"xd", 4507812186440344727),
            (b"primary_key", -1632642444691073360),
            ("kremówki".as_bytes(), 4354931215268080151),
            (b"123", -7468325962851647638),
            (&[0xfe; 8], -8927430733708461935),
            (&[0x10; 8], 1446172840243228796),
            (b"9223372036854775807", 7162290910810015547),
            (&[0x00, 0xff, 0x10, 0xfa, 0x99].repeat(10), 5837342703291459765),
        ];
        for (key, expected) in cases {
            assert_eq!(token(key), expected, "key {key:?}");
        }
    }

    #[test]
    fn the_empty_key_stands_at_the_beginning_of_the_ring() {
        assert_eq!(token(b""), i64::MIN);
    }
}
