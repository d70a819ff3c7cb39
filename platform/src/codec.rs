//! Checked readers and writers of bytes: the only place that turns integers into bytes and back.
//!
//! Fixed-width integers come in both byte orders: big-endian (`_be`) for the client protocol and
//! for keys that must compare by `memcmp`, little-endian (`_le`) for our own files. A varint is
//! LEB128: seven bits a byte, low bits first, the high bit set on all but the last byte, at most
//! ten bytes. A zigzag is a varint of `(n << 1) ^ (n >> 63)`, so small negative numbers stay short.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::fmt;

use bytes::BytesMut;

/// Longest LEB128 form of a `u64`, in bytes.
pub const VARINT_BYTES_MAX: usize = 10;

/// Bytes that could not be decoded: where, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecError {
    /// Offset from the start of the reader's slice.
    pub offset: usize,
    /// What was being read.
    pub what: &'static str,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for CodecError {}

/// A cursor over borrowed bytes that checks every bound.
///
/// After an error the position is where the failed item began.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    all: &'a [u8],
    rest: &'a [u8],
}

macro_rules! read_fixed {
    ($($(#[$doc:meta])* $name:ident: $ty:ty = $from:ident;)*) => {
        $($(#[$doc])*
        #[inline]
        pub fn $name(&mut self) -> Result<$ty, CodecError> {
            match self.rest.split_first_chunk() {
                Some((head, rest)) => {
                    self.rest = rest;
                    Ok(<$ty>::$from(*head))
                }
                None => Err(self.error(stringify!($ty))),
            }
        })*
    };
}

impl<'a> Reader<'a> {
    /// A reader at the first byte of `bytes`.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { all: bytes, rest: bytes }
    }

    /// Bytes read so far.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.all.len() - self.rest.len()
    }

    /// Bytes not read yet.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes not read yet, without moving.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error that names the current position.
    #[must_use]
    pub fn error(&self, what: &'static str) -> CodecError {
        CodecError { offset: self.position(), what }
    }

    read_fixed! {
        /// One byte.
        u8: u8 = from_be_bytes;
        /// Two bytes, big-endian.
        u16_be: u16 = from_be_bytes;
        /// Four bytes, big-endian.
        u32_be: u32 = from_be_bytes;
        /// Eight bytes, big-endian.
        u64_be: u64 = from_be_bytes;
        /// Sixteen bytes, big-endian.
        u128_be: u128 = from_be_bytes;
        /// Two bytes, big-endian, signed.
        i16_be: i16 = from_be_bytes;
        /// Four bytes, big-endian, signed.
        i32_be: i32 = from_be_bytes;
        /// Eight bytes, big-endian, signed.
        i64_be: i64 = from_be_bytes;
        /// Two bytes, little-endian.
        u16_le: u16 = from_le_bytes;
        /// Four bytes, little-endian.
        u32_le: u32 = from_le_bytes;
        /// Eight bytes, little-endian.
        u64_le: u64 = from_le_bytes;
        /// Eight bytes, little-endian, signed.
        i64_le: i64 = from_le_bytes;
        /// Four bytes, big-endian: an IEEE 754 single.
        f32_be: f32 = from_be_bytes;
        /// Eight bytes, big-endian: an IEEE 754 double.
        f64_be: f64 = from_be_bytes;
    }

    /// A LEB128 number. A longer form than needed is accepted; one over 64 bits is not.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, CodecError> {
        if let Some((&first, rest)) = self.rest.split_first()
            && first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(first));
        }
        self.varint_long()
    }

    fn varint_long(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == VARINT_BYTES_MAX - 1 && byte > 1 {
                break;
            }
            value |= bits << (7 * index);
            if byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(self.error("varint"))
    }

    /// A zigzag number.
    #[inline]
    pub fn zigzag(&mut self) -> Result<i64, CodecError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// The next `n` bytes, borrowed.
    #[inline]
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], CodecError> {
        match self.rest.split_at_checked(n) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.error("bytes")),
        }
    }

    /// A varint length, refused above `max`, and that many bytes.
    #[inline]
    pub fn bytes_varint(&mut self, max: usize) -> Result<&'a [u8], CodecError> {
        let before = self.rest;
        let length = self.varint()?;
        let taken = match usize::try_from(length) {
            Ok(length) if length <= max => self.bytes(length),
            _ => Err(self.error("length of bytes")),
        };
        taken.map_err(|error| {
            self.rest = before;
            CodecError { offset: self.position(), ..error }
        })
    }

    /// Moves over `n` bytes.
    #[inline]
    pub fn skip(&mut self, n: usize) -> Result<(), CodecError> {
        self.bytes(n).map(|_| ())
    }
}

macro_rules! put_fixed {
    ($($(#[$doc:meta])* $name:ident: $ty:ty = $to:ident;)*) => {
        $($(#[$doc])*
        #[inline]
        fn $name(&mut self, value: $ty) {
            self.put_bytes(&value.$to());
        })*
    };
}

/// Appends numbers and byte strings to a buffer; the inverse of [`Reader`].
pub trait Put {
    /// Appends `bytes` as they are.
    fn put_bytes(&mut self, bytes: &[u8]);

    put_fixed! {
        /// One byte.
        put_u8: u8 = to_be_bytes;
        /// Two bytes, big-endian.
        put_u16_be: u16 = to_be_bytes;
        /// Four bytes, big-endian.
        put_u32_be: u32 = to_be_bytes;
        /// Eight bytes, big-endian.
        put_u64_be: u64 = to_be_bytes;
        /// Sixteen bytes, big-endian.
        put_u128_be: u128 = to_be_bytes;
        /// Two bytes, big-endian, signed.
        put_i16_be: i16 = to_be_bytes;
        /// Four bytes, big-endian, signed.
        put_i32_be: i32 = to_be_bytes;
        /// Eight bytes, big-endian, signed.
        put_i64_be: i64 = to_be_bytes;
        /// Two bytes, little-endian.
        put_u16_le: u16 = to_le_bytes;
        /// Four bytes, little-endian.
        put_u32_le: u32 = to_le_bytes;
        /// Eight bytes, little-endian.
        put_u64_le: u64 = to_le_bytes;
        /// Eight bytes, little-endian, signed.
        put_i64_le: i64 = to_le_bytes;
        /// Four bytes, big-endian: an IEEE 754 single.
        put_f32_be: f32 = to_be_bytes;
        /// Eight bytes, big-endian: an IEEE 754 double.
        put_f64_be: f64 = to_be_bytes;
    }

    /// A LEB128 number in its shortest form.
    #[inline]
    fn put_varint(&mut self, value: u64) {
        if value < 0x80 {
            return self.put_u8(value as u8);
        }
        let mut left = value;
        let mut buffer = [0u8; VARINT_BYTES_MAX];
        let mut length = 0;
        for slot in &mut buffer {
            length += 1;
            *slot = (left & 0x7f) as u8;
            left >>= 7;
            if left == 0 {
                break;
            }
            *slot |= 0x80;
        }
        self.put_bytes(buffer.get(..length).unwrap_or_default());
    }

    /// A signed number, zigzag then LEB128.
    #[inline]
    fn put_zigzag(&mut self, value: i64) {
        self.put_varint(zigzag_raw(value));
    }

    /// A varint length, then the bytes.
    #[inline]
    fn put_bytes_varint(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.put_bytes(bytes);
    }
}

impl Put for Vec<u8> {
    #[inline]
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Put for BytesMut {
    #[inline]
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

fn zigzag_raw(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Bytes that `put_varint(value)` writes.
#[inline]
#[must_use]
pub fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Bytes that `put_zigzag(value)` writes.
#[inline]
#[must_use]
pub fn zigzag_len(value: i64) -> usize {
    varint_len(zigzag_raw(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: [u64; 12] = [
        0,
        1,
        127,
        128,
        16_383,
        16_384,
        u32::MAX as u64,
        1 << 35,
        (1 << 63) - 1,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ];

    #[test]
    fn varints_come_back_and_have_the_announced_length() {
        for value in NUMBERS {
            let mut out = Vec::new();
            out.put_varint(value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(Reader::new(&out).varint(), Ok(value));
            for cut in 0..out.len() {
                assert!(Reader::new(&out[..cut]).varint().is_err());
            }
        }
    }

    #[test]
    fn zigzags_come_back() {
        for raw in NUMBERS {
            for value in [raw as i64, (raw as i64).wrapping_neg()] {
                let mut out = BytesMut::new();
                out.put_zigzag(value);
                assert_eq!(out.len(), zigzag_len(value));
                assert_eq!(Reader::new(&out).zigzag(), Ok(value));
            }
        }
        let mut out = Vec::new();
        out.put_zigzag(-1);
        assert_eq!(out, [1]);
    }

    #[test]
    fn a_varint_over_64_bits_is_refused() {
        let mut eleven = [0xffu8; 11];
        eleven[10] = 0;
        assert!(Reader::new(&eleven).varint().is_err());
        let mut over = [0xffu8; 10];
        over[9] = 2;
        assert!(Reader::new(&over).varint().is_err());
        over[9] = 1;
        assert_eq!(Reader::new(&over).varint(), Ok(u64::MAX));
        assert_eq!(Reader::new(&[0x80, 0x00]).varint(), Ok(0));
    }

    #[test]
    fn fixed_numbers_stand_in_the_named_order() {
        let mut out = Vec::new();
        out.put_u32_be(0x0102_0304);
        out.put_u32_le(0x0102_0304);
        out.put_i64_be(-2);
        assert_eq!(out[..8], [1, 2, 3, 4, 4, 3, 2, 1]);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.u32_be(), Ok(0x0102_0304));
        assert_eq!(reader.u32_le(), Ok(0x0102_0304));
        assert_eq!(reader.i64_be(), Ok(-2));
        assert!(reader.is_empty());
        assert_eq!(reader.u16_le(), Err(CodecError { offset: 16, what: "u16" }));
    }

    #[test]
    fn a_failed_read_does_not_move() {
        let mut reader = Reader::new(&[5, 1, 2]);
        assert_eq!(reader.bytes_varint(100).unwrap_err().offset, 0);
        assert_eq!(reader.position(), 0);
        assert_eq!(reader.bytes_varint(4).unwrap_err().what, "length of bytes");
        assert!(reader.bytes(4).is_err());
        assert_eq!(reader.bytes(3), Ok(&[5u8, 1, 2][..]));
        assert!(reader.skip(1).is_err());
    }

    #[test]
    fn byte_strings_come_back() {
        let mut out = Vec::new();
        out.put_bytes_varint(b"abc");
        out.put_bytes_varint(b"");
        let mut reader = Reader::new(&out);
        assert_eq!(reader.bytes_varint(3), Ok(&b"abc"[..]));
        assert_eq!(reader.bytes_varint(0), Ok(&b""[..]));
    }
}
