//! Cassandra's variable-length integers, as durations and vectors use them.
//!
//! The number of leading one bits of the first byte is the number of bytes that follow; the bits
//! after the first zero bit, and all following bytes, are the number, big-endian. A first byte of
//! 0xFF is followed by all eight bytes. Signed numbers are zigzag-encoded first:
//! `(n << 1) ^ (n >> 63)`.
//!
//! Example: 300 is `81 2C`; -3 is zigzag 5, `05`.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{CodecError, Put, Reader};

/// Reads an unsigned number. A form longer than needed is accepted, as Cassandra accepts it.
pub(in crate::types) fn read_unsigned(reader: &mut Reader<'_>) -> Result<u64, CodecError> {
    let first = reader.u8()?;
    let extra = first.leading_ones();
    let mut value = if extra >= 7 { 0 } else { u64::from(first & (0x7f >> extra)) };
    for byte in reader.bytes(extra as usize)? {
        value = value << 8 | u64::from(*byte);
    }
    Ok(value)
}

/// Reads a signed number.
pub(in crate::types) fn read_signed(reader: &mut Reader<'_>) -> Result<i64, CodecError> {
    let raw = read_unsigned(reader)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Writes an unsigned number in its shortest form.
pub(in crate::types) fn write_unsigned(out: &mut Vec<u8>, value: u64) {
    let bits = 64 - (value | 1).leading_zeros();
    // One byte holds 7 bits and every further byte 7 more, up to the ninth, which holds 8.
    let extra = if bits > 56 { 8 } else { (bits - 1) / 7 };
    let marker = !(0xffu16 >> extra) as u8;
    if extra == 8 {
        out.put_u8(0xff);
    } else {
        out.put_u8(marker | (value >> (8 * extra)) as u8);
    }
    for place in (0..extra).rev() {
        out.put_u8((value >> (8 * place)) as u8);
    }
}

/// Writes a signed number in its shortest form.
pub(in crate::types) fn write_signed(out: &mut Vec<u8>, value: i64) {
    write_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_bytes_that_cassandra_gives_them() {
        let cases: [(u64, &[u8]); 7] = [
            (0, &[0x00]),
            (127, &[0x7f]),
            (128, &[0x80, 0x80]),
            (300, &[0x81, 0x2c]),
            (16_383, &[0xbf, 0xff]),
            (16_384, &[0xc0, 0x40, 0x00]),
            (u64::MAX, &[0xff; 9]),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            write_unsigned(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(read_unsigned(&mut Reader::new(bytes)), Ok(value));
        }
    }

    #[test]
    fn every_width_comes_back() {
        for shift in 0..64 {
            for value in [1i64 << shift, (-1i64) << shift, (1i64 << shift).wrapping_sub(1)] {
                let mut out = Vec::new();
                write_signed(&mut out, value);
                assert!(out.len() <= 9);
                assert_eq!(read_signed(&mut Reader::new(&out)), Ok(value));
                assert!(read_signed(&mut Reader::new(&out[..out.len() - 1])).is_err());
            }
        }
    }
}
