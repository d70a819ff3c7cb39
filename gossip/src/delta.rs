//! What another node lacks of a node's state, as much of it as fits.
//!
//! The values and the heartbeat go by ascending version, so what fits is always everything up to
//! some version: the receiver has a consistent piece of the state, and its next digest asks for
//! the rest.

use helenus_platform::codec::{varint_len, zigzag_len};

use crate::id::{Generation, HostId};
use crate::state::{Entries, Entry};

/// News of one node: its values and heartbeat with versions above `after`, up to some version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeDelta {
    /// Of which node.
    pub host: HostId,
    /// Of which life of it.
    pub generation: Generation,
    /// Everything above this version, and up to [`NodeDelta::up_to`], is here. Who has not
    /// everything up to `after` cannot use it.
    pub after: u64,
    /// The version of the heartbeat; 0 if that is not among the news.
    pub heartbeat: u64,
    /// The values, by ascending version.
    pub entries: Vec<Entry>,
}

impl NodeDelta {
    /// The receiver will have everything up to this version.
    #[must_use]
    pub fn up_to(&self) -> u64 {
        let newest = self.entries.last().map_or(0, |entry| entry.version);
        newest.max(self.heartbeat).max(self.after)
    }
}

/// Bytes of an encoded entry whose version is `step` above the one before.
fn entry_len(entry: &Entry, step: u64) -> usize {
    1 + varint_len(step) + varint_len(entry.value.len() as u64) + entry.value.len()
}

/// Bytes of an encoded delta without its entries.
fn frame_len(generation: Generation, base: Generation, after: u64, heartbeat: u64) -> usize {
    // The number of entries is at most KEYS_MAX, which is one byte.
    16 + generation_len(generation, base)
        + varint_len(after)
        + varint_len(heartbeat.saturating_sub(after))
        + 1
}

/// Bytes of a generation, which is written as its distance from the sender's.
pub(crate) fn generation_len(generation: Generation, base: Generation) -> usize {
    zigzag_len(generation.0.wrapping_sub(base.0) as i64)
}

/// Bytes that the delta takes in a message whose sender has the generation `base`.
pub(crate) fn encoded_len(delta: &NodeDelta, base: Generation) -> usize {
    let mut length = frame_len(delta.generation, base, delta.after, delta.heartbeat);
    let mut version = delta.after;
    for entry in &delta.entries {
        length += entry_len(entry, entry.version.saturating_sub(version));
        version = entry.version;
    }
    length
}

/// A node's state, to cut deltas from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) host: HostId,
    pub(crate) generation: Generation,
    pub(crate) heartbeat: u64,
    /// The version of the newest value.
    pub(crate) newest: u64,
    pub(crate) entries: &'a Entries,
}

impl Source<'_> {
    /// What is above `after`, as much as fits into `budget` bytes; with its length and whether
    /// that is everything. `None` if there is nothing or nothing fits.
    pub(crate) fn cut(
        self,
        after: u64,
        base: Generation,
        budget: usize,
    ) -> Option<(NodeDelta, usize, bool)> {
        let Source { host, generation, heartbeat, .. } = self;
        let entries = if self.newest > after { self.entries.after(after) } else { &[] };
        let news = heartbeat > after;
        // The longest that the frame can become, whether the heartbeat gets in or not.
        let mut length = frame_len(generation, base, after, heartbeat.max(after));
        if length > budget || (entries.is_empty() && !news) {
            return None;
        }
        let mut delta = NodeDelta { host, generation, after, heartbeat: 0, entries: Vec::new() };
        let mut version = after;
        for entry in entries {
            let step = entry_len(entry, entry.version - version);
            if length + step > budget {
                break;
            }
            length += step;
            version = entry.version;
            delta.entries.push(entry.clone());
        }
        let whole = delta.entries.len() == entries.len();
        // The heartbeat stands between values: it goes along if all those before it do.
        if news && (whole || heartbeat < version) {
            delta.heartbeat = heartbeat;
        }
        (delta.up_to() > after).then_some((delta, length, whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Key, number_value};

    const BASE: Generation = Generation(100);

    fn entries() -> Entries {
        let mut entries = Entries::default();
        for (version, key) in [(2, 1), (5, 2), (9, 3)] {
            entries.set(Entry { version, key: Key(key), value: number_value(version) }).unwrap();
        }
        entries
    }

    fn source(entries: &Entries, heartbeat: u64) -> Source<'_> {
        Source { host: HostId(7), generation: Generation(101), heartbeat, newest: 9, entries }
    }

    #[test]
    fn a_delta_has_everything_above_a_version() {
        let entries = entries();
        for heartbeat in [1, 4, 8, 12] {
            for after in 0..13 {
                let expected: Vec<u64> = [2, 5, 9].into_iter().filter(|v| *v > after).collect();
                let cut = source(&entries, heartbeat).cut(after, BASE, 1000);
                let Some((delta, _, whole)) = cut else {
                    assert!(expected.is_empty() && heartbeat <= after);
                    continue;
                };
                let versions: Vec<u64> = delta.entries.iter().map(|e| e.version).collect();
                assert_eq!(versions, expected);
                assert!(whole);
                assert_eq!(delta.heartbeat, if heartbeat > after { heartbeat } else { 0 });
            }
        }
    }

    #[test]
    fn what_fits_is_everything_up_to_some_version() {
        let entries = entries();
        let mut sizes = Vec::new();
        for heartbeat in [1, 4, 8, 12] {
            for budget in 0..100 {
                let Some((delta, length, whole)) = source(&entries, heartbeat).cut(0, BASE, budget)
                else {
                    continue;
                };
                assert!(length <= budget && encoded_len(&delta, BASE) <= length);
                let up_to = delta.up_to();
                let full = [2, 5, 9].iter().filter(|v| **v <= up_to).count();
                assert_eq!(delta.entries.len(), full, "a hole below {up_to}");
                assert_eq!(delta.heartbeat, if heartbeat <= up_to { heartbeat } else { 0 });
                assert_eq!(whole, up_to == heartbeat.max(9));
                sizes.push(delta.entries.len());
            }
        }
        sizes.dedup();
        assert!(sizes.len() > 4, "budgets cut nowhere: {sizes:?}");
    }
}
