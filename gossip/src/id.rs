//! Names of things: nodes, clusters, and the lives of a node.

use std::fmt;

/// A node's host id: a UUID that its data directory is born with and keeps for ever.
///
/// Host ids order as their 16 bytes do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u128);

/// A cluster's id: a UUID that is made when the cluster is founded. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterId(pub u128);

/// Which life of a node: higher with every start; by convention the seconds since the Unix epoch
/// at the start, or one more than the last one if that is not lower.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Generation(pub u64);

impl Generation {
    /// The life of a node that was removed by others: above every real one, so that nothing that
    /// is left of the node can come back. Everybody who removes a node makes the same state of it.
    pub const REMOVED: Generation = Generation(1 << 62);
    /// Highest number of a real life.
    pub const MAX: Generation = Generation((1 << 48) - 1);

    /// Whether a message may carry this.
    pub(crate) fn is_valid(self) -> bool {
        self <= Generation::MAX || self == Generation::REMOVED
    }
}

fn hyphenated(id: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (a, b, c) = (id >> 96, (id >> 80) & 0xffff, (id >> 64) & 0xffff);
    let (d, e) = ((id >> 48) & 0xffff, id & 0xffff_ffff_ffff);
    write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hyphenated(self.0, f)
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hyphenated(self.0, f)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hyphenated(self.0, f)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hyphenated(self.0, f)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Generation::REMOVED => f.write_str("removed"),
            Generation(number) => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shown_as_uuids() {
        let id = HostId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(id.to_string(), "01234567-89ab-cdef-0011-223344556677");
    }

    #[test]
    fn a_removal_is_above_every_life() {
        assert!(Generation::REMOVED > Generation::MAX);
        assert!(Generation::REMOVED.is_valid() && !Generation(1 << 50).is_valid());
    }
}
