//! The one order of everything in an SSTable, as plain bytes: (token, key, position).
//!
//! ```text
//! composite := token    8 bytes, big-endian, sign bit inverted
//!              key      the partition key with every 00 written as 00 FF
//!              00 00    end of the key
//!              position clustering position; absent for the head of the partition
//! ```
//!
//! The escape makes the key self-terminating and keeps its order, so composites of different
//! partitions never interleave and any prefix of one is a valid separator. Composites are only
//! ever compared, never decoded: separators in the index are cut short.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{CodecError, Put, Reader};

use crate::model::{PartitionBound, PartitionKeyRef, Token};

const KEY_END: [u8; 2] = [0x00, 0x00];
const KEY_ZERO: [u8; 2] = [0x00, 0xFF];
/// Above every composite of a partition, below those of the next: the end mark, plus one.
const KEY_AFTER: [u8; 2] = [0x00, 0x01];

/// Bytes of a token.
pub(crate) const TOKEN_BYTES: usize = 8;
const SIGN: u64 = 1 << 63;

/// Appends a token as bytes that compare as the token does.
#[inline]
pub(crate) fn put_token(out: &mut Vec<u8>, token: Token) {
    out.put_u64_be(token.0 as u64 ^ SIGN);
}

/// A token that `put_token` wrote.
#[inline]
pub(crate) fn read_token(reader: &mut Reader<'_>) -> Result<Token, CodecError> {
    Ok(Token((reader.u64_be()? ^ SIGN) as i64))
}

fn put_escaped(out: &mut Vec<u8>, key: &[u8]) {
    if !key.contains(&0) {
        return out.put_bytes(key);
    }
    let mut parts = key.split(|byte| *byte == 0);
    out.put_bytes(parts.next().unwrap_or_default());
    for part in parts {
        out.put_bytes(&KEY_ZERO);
        out.put_bytes(part);
    }
}

/// Appends the composite of a partition's head, which is the prefix of all its composites.
pub(crate) fn put_partition(out: &mut Vec<u8>, key: PartitionKeyRef<'_>) {
    out.reserve(key.key.len() + TOKEN_BYTES + KEY_END.len());
    put_token(out, key.token);
    put_escaped(out, key.key);
    out.put_bytes(&KEY_END);
}

/// Appends a target at or before every partition behind the bound, and after all others.
///
/// False, and nothing is appended, if nothing can lie behind the bound.
pub(crate) fn put_bound(out: &mut Vec<u8>, bound: &PartitionBound) -> bool {
    match bound {
        PartitionBound::Min => {}
        PartitionBound::Before(token) => put_token(out, *token),
        PartitionBound::AtKey(key) => put_partition(out, key.as_ref()),
        PartitionBound::AfterKey(key) => {
            put_token(out, key.token);
            put_escaped(out, &key.key);
            out.put_bytes(&KEY_AFTER);
        }
        PartitionBound::After(token) => match token.0.checked_add(1) {
            Some(next) => put_token(out, Token(next)),
            None => return false,
        },
        PartitionBound::Max => return false,
    }
    true
}

/// Bytes that both begin with.
#[inline]
pub(crate) fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, _) = b.as_chunks::<8>();
    let words = a_words.iter().zip(b_words).take_while(|(x, y)| x == y).count();
    let tail = |bytes: &[u8]| bytes.len().min(words * 8);
    debug_assert!(a_rest.len() < 8);
    let (a_tail, b_tail) = (a.get(tail(a)..), b.get(tail(b)..));
    let (a_tail, b_tail) = (a_tail.unwrap_or_default(), b_tail.unwrap_or_default());
    words * 8 + a_tail.iter().zip(b_tail).take_while(|(x, y)| x == y).count()
}

/// The shortest bytes that are above `last` and not above `first`, given `last < first`.
pub(crate) fn separator<'a>(last: &[u8], first: &'a [u8]) -> &'a [u8] {
    debug_assert!(last < first);
    first.get(..=shared_prefix(last, first)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PartitionKey, Slice};

    fn composite(token: i64, key: &[u8], position: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_partition(&mut out, PartitionKeyRef { token: Token(token), key });
        out.extend_from_slice(position);
        out
    }

    #[test]
    fn composites_compare_as_token_then_key_then_position() {
        let keys: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"\0\x01", b"\0\xff", b"a", b"a\0", b"a\x01"];
        let mut all = Vec::new();
        for token in [i64::MIN, -1, 0, 1, i64::MAX] {
            for key in keys {
                for position in [&[][..], &[0x00], &[0x30, 5, 0x80], &[0x80], &[0xFF]] {
                    all.push((token, key, position));
                }
            }
        }
        for a in &all {
            for b in &all {
                let (left, right) = (composite(a.0, a.1, a.2), composite(b.0, b.1, b.2));
                assert_eq!(left.cmp(&right), a.cmp(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn tokens_come_back() {
        for token in [i64::MIN, -77, 0, 1 << 40, i64::MAX] {
            let mut out = Vec::new();
            put_token(&mut out, Token(token));
            assert_eq!(read_token(&mut Reader::new(&out)), Ok(Token(token)));
        }
    }

    #[test]
    fn bounds_lie_between_partitions() {
        let keys: Vec<_> = [(3, &b"a"[..]), (3, b"a\0"), (3, b"b"), (4, b"")]
            .map(|(token, key)| PartitionKey { token: Token(token), key: Slice::copy(key) })
            .into();
        let mut bounds = vec![PartitionBound::Min, PartitionBound::Max];
        for key in &keys {
            bounds.push(PartitionBound::Before(key.token));
            bounds.push(PartitionBound::AtKey(key.clone()));
            bounds.push(PartitionBound::AfterKey(key.clone()));
            bounds.push(PartitionBound::After(key.token));
        }
        for bound in &bounds {
            let mut target = Vec::new();
            let any = put_bound(&mut target, bound);
            for key in &keys {
                let head = composite(key.token.0, &key.key, &[]);
                let last = composite(key.token.0, &key.key, &[0xFF, 0xFF]);
                let behind = any && target <= head;
                assert_eq!(behind, bound.is_before(key.as_ref()), "{bound:?} {key:?}");
                assert_eq!(any && target <= last, behind, "{bound:?} splits {key:?}");
            }
        }
    }

    #[test]
    fn separators_are_short_and_separate() {
        let pairs: [(&[u8], &[u8]); 5] = [
            (b"", b"a"),
            (b"abc", b"abd"),
            (b"abc", b"abcd"),
            (b"ab", b"b"),
            (b"0123456789abcdef1", b"0123456789abcdef2zzz"),
        ];
        for (last, first) in pairs {
            let cut = separator(last, first);
            assert!(last < cut && cut <= first);
            assert_eq!(cut.len(), shared_prefix(last, first) + 1);
        }
    }
}
