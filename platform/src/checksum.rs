//! Checksums: CRC-32 (IEEE 802.3, as zlib computes it) and the CRC-24 of protocol v5 frames.
//!
//! A build with `--cfg fuzzing` has checksums that are always 0: a fuzzer cannot guess a CRC, and
//! what stands behind the checks must hold on bytes that no checksum has vouched for.

/// CRC-32 of `bytes`.
#[inline]
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    if cfg!(fuzzing) { 0 } else { crc32fast::hash(bytes) }
}

/// CRC-32 of the four big-endian bytes of `salt` followed by `bytes`.
///
/// Bytes left over from an earlier life of a file carry another salt and so never pass.
#[inline]
#[must_use]
pub fn crc32_salted(salt: u32, bytes: &[u8]) -> u32 {
    let mut crc = Crc32::salted(salt);
    crc.update(bytes);
    crc.finish()
}

/// CRC-32 computed piece by piece.
#[derive(Debug, Clone)]
pub struct Crc32(crc32fast::Hasher);

impl Crc32 {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new() -> Self {
        Crc32(crc32fast::Hasher::new())
    }

    /// Starts as [`crc32_salted`] does.
    #[must_use]
    pub fn salted(salt: u32) -> Self {
        let mut crc = Crc32::new();
        crc.update(&[24, 16, 8, 0].map(|shift| (salt >> shift) as u8));
        crc
    }

    /// Hashes `bytes` after what was hashed before.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of everything given.
    #[must_use]
    pub fn finish(self) -> u32 {
        if cfg!(fuzzing) { 0 } else { self.0.finalize() }
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Crc32::new()
    }
}

const CRC24_INIT: u32 = 0x0087_5060;
const CRC24_POLY: u32 = 0x0197_4f0b;

/// CRC-24 over the header of a protocol v5 frame.
///
/// The bytes are fed as the protocol's text prescribes: first byte first, most significant bit
/// first. Headers are 3 or 5 bytes, so a table would not pay.
#[must_use]
pub fn crc24(bytes: &[u8]) -> u32 {
    if cfg!(fuzzing) {
        return 0;
    }
    let mut crc = CRC24_INIT;
    for &byte in bytes {
        crc ^= u32::from(byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= CRC24_POLY;
            }
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_is_the_ieee_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn salt_counts_as_leading_bytes() {
        assert_eq!(crc32_salted(0x3132_3334, b"56789"), 0xcbf4_3926);
        assert_ne!(crc32_salted(1, b"x"), crc32_salted(2, b"x"));
        let mut pieces = Crc32::salted(0x3132_3334);
        pieces.update(b"5");
        pieces.update(b"6789");
        assert_eq!(pieces.finish(), 0xcbf4_3926);
    }

    #[test]
    fn crc24_detects_every_single_bit() {
        let header = [0x12u8, 0x34, 0x02];
        let right = crc24(&header);
        assert!(right < 1 << 24);
        for bit in 0..24 {
            let mut wrong = header;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(crc24(&wrong), right);
        }
        assert_eq!(crc24(&[]), CRC24_INIT);
    }
}
