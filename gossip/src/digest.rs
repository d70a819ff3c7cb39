//! What a node has: of each node that it knows, generation and highest version.

use crate::id::{Generation, HostId};

/// How much is known of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest {
    /// Which node.
    pub host: HostId,
    /// Which life of it.
    pub generation: Generation,
    /// Everything up to this version is known.
    pub version: u64,
}

/// The range of host ids that a list of digests speaks of, in the order of host ids and around
/// the end: from `start` up to, and without, `end`; all of them if both are the same.
///
/// A node within the range that has no digest is one that the sender does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The first host id that is spoken of.
    pub start: HostId,
    /// The first one that is not.
    pub end: HostId,
}

impl Window {
    /// All host ids.
    pub const ALL: Window = Window { start: HostId(0), end: HostId(0) };

    /// Whether all host ids are spoken of.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.start == self.end
    }

    /// Whether `host` is spoken of.
    #[must_use]
    pub fn contains(&self, host: HostId) -> bool {
        match self.start.cmp(&self.end) {
            std::cmp::Ordering::Less => self.start <= host && host < self.end,
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => self.start <= host || host < self.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_goes_around_the_end() {
        let inside = |start, end| {
            let window = Window { start: HostId(start), end: HostId(end) };
            (0..6).filter(|host| window.contains(HostId(*host))).collect::<Vec<u128>>()
        };
        assert_eq!(inside(2, 4), [2, 3]);
        assert_eq!(inside(4, 2), [0, 1, 4, 5]);
        assert_eq!(inside(3, 3), [0, 1, 2, 3, 4, 5]);
    }
}
