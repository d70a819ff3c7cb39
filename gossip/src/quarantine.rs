//! Nodes that were forgotten: for a while, no mention of their old lives is believed.
//!
//! Not everybody forgets at the same moment. Who still remembers would bring the node back to who
//! has already forgotten, and so on for ever. So forgetting leaves a note here.

use std::collections::BTreeMap;

use crate::id::{Generation, HostId};

#[derive(Clone, Copy, Debug)]
struct Note {
    /// Lives up to this one are not believed.
    generation: Generation,
    /// Until when; in microseconds of the caller's clock.
    until: u64,
}

/// The notes, at most `most` of them: the one that ends first makes room.
#[derive(Debug)]
pub(crate) struct Quarantine {
    notes: BTreeMap<HostId, Note>,
    most: usize,
}

impl Quarantine {
    pub(crate) fn new(most: usize) -> Self {
        Quarantine { notes: BTreeMap::new(), most }
    }

    pub(crate) fn len(&self) -> usize {
        self.notes.len()
    }

    /// Lives of `host` up to `generation` are not believed until `until`.
    pub(crate) fn add(&mut self, host: HostId, generation: Generation, until: u64) {
        if self.notes.len() >= self.most && !self.notes.contains_key(&host) {
            let first = self.notes.iter().min_by_key(|(_, note)| note.until).map(|(host, _)| *host);
            self.notes.retain(|host, _| Some(*host) != first);
        }
        let note = self.notes.entry(host).or_insert(Note { generation, until });
        note.generation = note.generation.max(generation);
        note.until = note.until.max(until);
    }

    /// Whether this life of `host` is not to be believed.
    pub(crate) fn refuses(&self, host: HostId, generation: Generation) -> bool {
        !self.notes.is_empty()
            && self.notes.get(&host).is_some_and(|note| generation <= note.generation)
    }

    /// Lets go of what is over.
    pub(crate) fn sweep(&mut self, now: u64) {
        self.notes.retain(|_, note| note.until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lives_are_refused_for_a_while_and_new_ones_are_not() {
        let mut quarantine = Quarantine::new(10);
        quarantine.add(HostId(1), Generation(5), 100);
        assert!(quarantine.refuses(HostId(1), Generation(4)));
        assert!(quarantine.refuses(HostId(1), Generation(5)));
        assert!(!quarantine.refuses(HostId(1), Generation(6)));
        assert!(!quarantine.refuses(HostId(2), Generation(5)));
        quarantine.sweep(99);
        assert!(quarantine.refuses(HostId(1), Generation(5)));
        quarantine.sweep(100);
        assert!(!quarantine.refuses(HostId(1), Generation(5)));
    }

    #[test]
    fn it_is_bounded_and_a_second_note_takes_nothing_back() {
        let mut quarantine = Quarantine::new(3);
        quarantine.add(HostId(9), Generation::REMOVED, 1000);
        quarantine.add(HostId(9), Generation(1), 2);
        for host in 0..5 {
            quarantine.add(HostId(host), Generation(1), 10 + host as u64);
        }
        assert_eq!(quarantine.len(), 3);
        assert!(quarantine.refuses(HostId(9), Generation(70)));
        assert!(!quarantine.refuses(HostId(0), Generation(1)));
    }
}
