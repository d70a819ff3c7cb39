//! The bloom filter over partition keys, in pieces of bounded size. Written and read here.
//!
//! ```text
//! section `filter` := varint number of pieces
//!                     per piece, in token order:
//!                       first token   8 bytes, biased big-endian
//!                       varint keys
//!                       u8     probes per key
//!                       varint lines
//!                       lines × 64 bytes: the bits, as u64 LE
//! ```
//!
//! A piece covers up to [`PIECE_KEYS`] consecutive partitions, so the writer holds a bounded
//! number of hashes and every piece has exactly the size its keys need. All bits of a key lie in
//! one line of 64 bytes: a lookup touches one cache line. That costs a few more bits for the same
//! chance of a false positive, which the sizing below accounts for.
//!
//! The hash is made from the token alone: it already is a hash of the key. Keys that share a
//! token share their bits, which can only make the filter say "maybe". A section without pieces
//! says "maybe" to everything.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{CodecError, Put, Reader};

use super::composite::{put_token, read_token};
use crate::model::Token;

/// Most keys in a piece: 2 MiB of hashes while it is being written.
const PIECE_KEYS: usize = 1 << 18;
const LINE_WORDS: usize = 8;
const LINE_BITS: f64 = 512.0;
const PROBES_MAX: u32 = 16;
/// More bits for a key than any useful chance needs.
const BITS_PER_KEY_MAX: f64 = 48.0;

type Line = [u64; LINE_WORDS];

#[derive(Debug)]
struct Piece {
    first: Token,
    keys: u64,
    probes: u8,
    lines: Vec<Line>,
}

/// A finished filter.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pieces: Vec<Piece>,
}

/// Spreads a token over 64 bits (the finalizer of MurmurHash3): tests and other partitioners may
/// use tokens that are no hashes.
#[inline]
fn mix(token: Token) -> u64 {
    let mut hash = token.0 as u64;
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// The line of a hash: its upper half, scaled.
#[inline]
fn line_of(hash: u64, lines: usize) -> usize {
    (((hash >> 32) * lines as u64) >> 32) as usize
}

/// The bits of a hash in its line: the upper nine bits of successive products of its lower half.
#[inline]
fn bits_of(hash: u64, probes: u8) -> impl Iterator<Item = (usize, u64)> {
    let mut state = hash as u32;
    (0..probes).map(move |_| {
        let bit = state >> 23;
        state = state.wrapping_mul(0x9e37_79b9);
        ((bit / 64) as usize, 1 << (bit % 64))
    })
}

impl Piece {
    fn new(first: Token, hashes: &[u64], shape: Shape) -> Piece {
        let bits = hashes.len() as f64 * shape.bits_per_key;
        let lines = ((bits / LINE_BITS).ceil() as usize).max(1);
        let mut lines = vec![[0; LINE_WORDS]; lines];
        for hash in hashes {
            let at = line_of(*hash, lines.len());
            for (word, bit) in bits_of(*hash, shape.probes) {
                if let Some(word) = lines.get_mut(at).and_then(|line| line.get_mut(word)) {
                    *word |= bit;
                }
            }
        }
        Piece { first, keys: hashes.len() as u64, probes: shape.probes, lines }
    }

    #[inline]
    fn may_contain(&self, hash: u64) -> bool {
        let Some(line) = self.lines.get(line_of(hash, self.lines.len())) else {
            return true;
        };
        bits_of(hash, self.probes).all(|(word, bit)| line.get(word).is_some_and(|w| w & bit != 0))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_token(out, self.first);
        out.put_varint(self.keys);
        out.put_u8(self.probes);
        out.put_varint(self.lines.len() as u64);
        self.lines.iter().flatten().for_each(|word| out.put_u64_le(*word));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Piece, CodecError> {
        let first = read_token(reader)?;
        let keys = reader.varint()?;
        let probes = reader.u8()?;
        let lines = reader.varint()?;
        let bytes = lines.checked_mul(64).filter(|bytes| *bytes <= reader.remaining() as u64);
        let bytes = reader.bytes(bytes.ok_or(reader.error("lines of a filter"))? as usize)?;
        let mut all = Vec::with_capacity(lines as usize);
        for chunk in bytes.as_chunks::<64>().0 {
            let mut words = Reader::new(chunk);
            let mut line = [0; LINE_WORDS];
            for word in &mut line {
                *word = words.u64_le()?;
            }
            all.push(line);
        }
        Ok(Piece { first, keys, probes, lines: all })
    }
}

impl Filter {
    /// Whether a key of this token may be in the table; false is certain.
    #[inline]
    pub(crate) fn may_contain(&self, token: Token) -> bool {
        if self.pieces.is_empty() {
            return true;
        }
        let piece = self.pieces.partition_point(|piece| piece.first <= token);
        match piece.checked_sub(1).and_then(|piece| self.pieces.get(piece)) {
            Some(piece) => piece.may_contain(mix(token)),
            None => false,
        }
    }

    /// Appends the section.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.pieces.len() as u64);
        self.pieces.iter().for_each(|piece| piece.encode(out));
    }

    /// Reads the section.
    pub(crate) fn decode(section: &[u8]) -> Result<Filter, CodecError> {
        let mut reader = Reader::new(section);
        let mut filter = Filter::default();
        for _ in 0..reader.varint()? {
            let piece = Piece::decode(&mut reader)?;
            if filter.pieces.last().is_some_and(|last| last.first > piece.first) {
                return Err(reader.error("pieces of a filter in token order"));
            }
            filter.pieces.push(piece);
        }
        if reader.is_empty() { Ok(filter) } else { Err(reader.error("end of the filter")) }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let lines: usize = self.pieces.iter().map(|piece| piece.lines.capacity() * 64).sum();
        lines + self.pieces.capacity() * size_of::<Piece>()
    }

    /// One line of text per piece.
    pub(crate) fn describe(&self) -> impl Iterator<Item = String> + '_ {
        self.pieces.iter().map(|piece| {
            let (token, lines) = (piece.first.0, piece.lines.len());
            let bits = lines as f64 * LINE_BITS / piece.keys.max(1) as f64;
            let (keys, probes) = (piece.keys, piece.probes);
            format!("from token {token}: {keys} keys, {bits:.1} bits a key, {probes} probes")
        })
    }
}

/// Bits and probes for each key.
#[derive(Debug, Clone, Copy)]
struct Shape {
    bits_per_key: f64,
    probes: u8,
}

/// The chance of a false positive when keys fall into lines of 512 bits at random (a Poisson
/// distribution): a line with `n` keys has each bit set with 1 - (1 - 1/512)^(n * probes).
fn expected_chance(bits_per_key: f64, probes: u32) -> f64 {
    let mean = LINE_BITS / bits_per_key;
    let clear_after_one = (1.0 - 1.0 / LINE_BITS).powi(probes as i32);
    let mut weight = (-mean).exp();
    let (mut clear, mut chance) = (1.0, 0.0);
    for keys in 1..(mean * 2.0) as u32 + 64 {
        weight *= mean / f64::from(keys);
        clear *= clear_after_one;
        chance += weight * (1.0f64 - clear).powi(probes as i32);
    }
    chance
}

impl Shape {
    /// The fewest bits that meet this chance, found by halving the interval.
    fn for_chance(chance: f64) -> Shape {
        let best = |bits: f64| {
            let all = (1..=PROBES_MAX).map(|probes| (expected_chance(bits, probes), probes));
            all.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((1.0, 1))
        };
        let (mut low, mut high) = (1.0, BITS_PER_KEY_MAX);
        for _ in 0..8 {
            let middle = (low + high) / 2.0;
            if best(middle).0 <= chance {
                high = middle;
            } else {
                low = middle;
            }
        }
        Shape { bits_per_key: high, probes: best(high).1 as u8 }
    }
}

/// A filter that is being filled, in token order.
pub(crate) struct FilterBuilder {
    shape: Option<Shape>,
    first: Token,
    hashes: Vec<u64>,
    done: Filter,
}

impl FilterBuilder {
    /// A filter for this chance of a false positive; none at all from 1 on.
    pub(crate) fn new(chance: f64) -> FilterBuilder {
        let shape = (chance < 1.0).then(|| Shape::for_chance(chance));
        FilterBuilder { shape, first: Token(i64::MIN), hashes: Vec::new(), done: Filter::default() }
    }

    /// Adds a partition.
    pub(crate) fn add(&mut self, token: Token) {
        if self.shape.is_none() {
            return;
        }
        let hash = mix(token);
        // Keys of one token must not fall into two pieces: a lookup asks only one.
        if self.hashes.len() >= PIECE_KEYS && self.hashes.last() != Some(&hash) {
            self.close_piece();
        }
        if self.hashes.is_empty() {
            self.first = token;
        }
        if self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
    }

    fn close_piece(&mut self) {
        if let Some(shape) = self.shape.filter(|_| !self.hashes.is_empty()) {
            self.done.pieces.push(Piece::new(self.first, &self.hashes, shape));
            self.hashes.clear();
        }
    }

    /// The filter over all that was added.
    pub(crate) fn finish(mut self) -> Filter {
        self.close_piece();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(chance: f64, tokens: impl Iterator<Item = i64>) -> Filter {
        let mut builder = FilterBuilder::new(chance);
        tokens.for_each(|token| builder.add(Token(token)));
        let mut section = Vec::new();
        builder.finish().encode(&mut section);
        for cut in (0..section.len()).step_by(97) {
            assert!(Filter::decode(&section[..cut]).is_err());
        }
        Filter::decode(&section).unwrap()
    }

    #[test]
    fn members_are_always_found_and_others_seldom() {
        // Tokens that are no hashes at all are the hard case.
        for (chance, bits_max) in [(0.1, 6.0), (0.01, 10.8), (0.001, 17.5), (0.0001, 28.0)] {
            let filter = filter(chance, (0..100_000).map(|n| n * 10));
            assert!((0..100_000).all(|n| filter.may_contain(Token(n * 10))));
            let tries = 400_000;
            let wrong = (0..tries).filter(|n| filter.may_contain(Token(n * 10 + 3))).count();
            let rate = wrong as f64 / tries as f64;
            assert!(rate < chance * 1.3 && rate > chance * 0.5, "{chance}: {rate}");
            let bits = filter.heap_bytes() as f64 * 8.0 / 100_000.0;
            assert!(bits < bits_max, "{chance}: {bits} bits a key");
        }
    }

    #[test]
    fn pieces_split_by_token() {
        let count = PIECE_KEYS as i64 * 2 + 10;
        let filter = filter(0.01, (0..count).map(|n| n - 7));
        assert_eq!(filter.pieces.len(), 3);
        assert_eq!(filter.describe().count(), 3);
        assert!((0..count).all(|n| filter.may_contain(Token(n - 7))));
        assert!(!filter.may_contain(Token(-8)));
    }

    #[test]
    fn a_chance_of_one_means_no_filter() {
        let filter = filter(1.0, 0..1000);
        assert!(filter.may_contain(Token(5_000)) && filter.heap_bytes() == 0);
    }
}
