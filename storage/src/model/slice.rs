//! Cheap shared bytes: a reference-counted block and a range of it.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A range of a shared block of bytes; a clone counts a reference and copies nothing.
///
/// Compares, orders and hashes as the bytes it shows. Blocks are far below 4 GiB: everything that
/// becomes one is bounded by `MAX_MUTATION_BYTES` or by a block size.
#[derive(Clone, Default)]
pub struct Slice {
    block: Arc<[u8]>,
    /// Invariant: `start <= end <= block.len()`.
    start: u32,
    end: u32,
}

impl Slice {
    /// A slice of its own block with these bytes.
    pub fn copy(bytes: &[u8]) -> Slice {
        Slice::from(Arc::<[u8]>::from(bytes))
    }

    /// The bytes shown.
    pub fn as_bytes(&self) -> &[u8] {
        self.block.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// The part of this slice at `range`, cut down to what there is.
    #[must_use]
    pub fn sub(&self, range: Range<usize>) -> Slice {
        debug_assert!(range.start <= range.end && range.end <= self.len());
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        // Both fit: they are at most `self.end - self.start`, which is a u32.
        let block = self.block.clone();
        Slice { block, start: self.start + start as u32, end: self.start + end as u32 }
    }

    /// Length of the whole block that this slice keeps alive.
    pub fn block_len(&self) -> usize {
        self.block.len()
    }

    /// `part` as a slice that shares this one's block, if it lies inside this slice; otherwise a
    /// copy.
    #[must_use]
    pub fn share(&self, part: &[u8]) -> Slice {
        let base = self.as_bytes().as_ptr() as usize;
        match (part.as_ptr() as usize).checked_sub(base) {
            Some(offset) if offset + part.len() <= self.len() => {
                self.sub(offset..offset + part.len())
            }
            _ => Slice::copy(part),
        }
    }
}

impl From<Arc<[u8]>> for Slice {
    fn from(block: Arc<[u8]>) -> Slice {
        debug_assert!(u32::try_from(block.len()).is_ok(), "a block over 4 GiB");
        let end = u32::try_from(block.len()).unwrap_or(u32::MAX);
        Slice { block, start: 0, end }
    }
}

impl From<&[u8]> for Slice {
    fn from(bytes: &[u8]) -> Slice {
        Slice::copy(bytes)
    }
}

impl From<Vec<u8>> for Slice {
    fn from(bytes: Vec<u8>) -> Slice {
        Slice::from(Arc::<[u8]>::from(bytes))
    }
}

impl Deref for Slice {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Borrow<[u8]> for Slice {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Slice {
    fn eq(&self, other: &Slice) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Slice {}

impl PartialOrd for Slice {
    fn partial_cmp(&self, other: &Slice) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slice {
    fn cmp(&self, other: &Slice) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Slice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x'")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_share_the_block_and_compare_by_bytes() {
        let whole = Slice::copy(b"abcdef");
        let part = whole.sub(2..4);
        assert_eq!(part, Slice::copy(b"cd"));
        assert!(part < whole.sub(3..4));
        let shared = whole.share(&whole.as_bytes()[1..3]);
        assert!(Arc::ptr_eq(&shared.block, &whole.block));
        assert_eq!(&*shared, b"bc");
        assert_eq!(&*part.share(b"elsewhere"), b"elsewhere");
        assert_eq!(format!("{part:?}"), "x'6364'");
    }

    #[test]
    fn a_part_of_a_neighbouring_slice_is_copied_or_shared_but_always_right() {
        let whole = Slice::copy(b"abcdef");
        let tail = whole.sub(3..6);
        assert_eq!(&*tail.share(&whole[0..2]), b"ab");
        assert_eq!(&*tail.share(&whole[4..6]), b"ef");
        assert_eq!(&*tail.share(&whole[2..5]), b"cde");
    }
}
