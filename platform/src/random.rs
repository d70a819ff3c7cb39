//! Chance as a seam: unpredictable in production, replayable from a seed in tests.

use std::sync::{Mutex, PoisonError};

use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _};

/// Where random numbers come from.
pub trait Random: Send + Sync {
    /// Sixty-four random bits.
    fn next_u64(&self) -> u64;

    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let mut bits = self.next_u64();
            for byte in chunk {
                *byte = bits as u8;
                bits >>= 8;
            }
        }
    }

    /// A number in `0..n`, evenly spread; 0 if `n` is 0.
    fn below(&self, n: u64) -> u64 {
        // The high half of a 128-bit product; the bias is below n / 2^64.
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// True with probability `p`.
    fn chance(&self, p: f64) -> bool {
        // 53 bits are what a double holds exactly.
        ((self.next_u64() >> 11) as f64) < p * (1u64 << 53) as f64
    }

    /// A random UUID (version 4, RFC 9562).
    fn uuid_v4(&self) -> [u8; 16] {
        let mut id = [0u8; 16];
        self.fill(&mut id);
        id[6] = (id[6] & 0x0f) | 0x40;
        id[8] = (id[8] & 0x3f) | 0x80;
        id
    }
}

/// Numbers nobody can foresee: a cryptographic generator seeded by the operating system.
#[derive(Debug)]
pub struct RealRandom(Mutex<StdRng>);

impl RealRandom {
    /// Seeds from the operating system.
    pub fn new() -> std::io::Result<Self> {
        let generator = StdRng::try_from_rng(&mut SysRng)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(RealRandom(Mutex::new(generator)))
    }
}

impl Random for RealRandom {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    fn fill(&self, out: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(out);
    }
}

/// The same numbers for the same seed, on every machine and in every version of this crate.
///
/// The generator is SplitMix64, written out here so that no dependency can change a stored seed.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        SeededRandom(Mutex::new(seed))
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_sequence() {
        // Reference output of SplitMix64 for seed 1234567.
        let random = SeededRandom::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn real_numbers_differ() {
        let random = RealRandom::new().unwrap();
        assert_ne!(random.next_u64(), random.next_u64());
        assert_ne!(random.uuid_v4(), random.uuid_v4());
    }

    #[test]
    fn below_and_chance_keep_their_bounds() {
        let random = SeededRandom::new(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5) as usize] = true;
            assert!(!random.chance(0.0));
            assert!(random.chance(1.0));
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn a_uuid_says_version_and_variant() {
        let id = SeededRandom::new(7).uuid_v4();
        assert_eq!((id[6] >> 4, id[8] >> 6), (4, 2));
    }
}
