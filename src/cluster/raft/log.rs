//! The entries that a member has in memory, from its newest snapshot on.

use std::sync::Arc;

use bytes::Bytes;

use super::Config;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place: one more than that of the entry before.
    pub index: u64,
    /// The term of the leader that made it.
    pub term: u64,
    /// When, in microseconds since the epoch; for people.
    pub wall_micros: i64,
    /// The configuration from here on, if it changes.
    pub config: Option<Arc<Config>>,
    /// What it says; empty in the entry with which a leader begins its term.
    pub payload: Bytes,
}

/// The state after an entry, in place of all entries up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry that it stands for.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// The configuration then.
    pub config: Arc<Config>,
    /// The state.
    pub state: Bytes,
}

/// What follows a snapshot, or the beginning.
#[derive(Clone, Debug)]
pub struct Log {
    base_index: u64,
    base_term: u64,
    base_config: Arc<Config>,
    entries: Vec<Entry>,
    config: Arc<Config>,
}

impl Log {
    /// A log of nothing, after an entry of this index, term and configuration.
    pub fn new(base_index: u64, base_term: u64, base_config: Arc<Config>) -> Log {
        let config = base_config.clone();
        Log { base_index, base_term, base_config, entries: Vec::new(), config }
    }

    /// The entry that the first one follows.
    pub fn base_index(&self) -> u64 {
        self.base_index
    }

    /// The newest entry's index.
    pub fn last_index(&self) -> u64 {
        self.base_index + self.entries.len() as u64
    }

    /// The newest entry's term.
    pub fn last_term(&self) -> u64 {
        self.entries.last().map_or(self.base_term, |entry| entry.term)
    }

    /// The newest configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The configuration that an entry leaves.
    pub fn config_at(&self, index: u64) -> &Arc<Config> {
        let until = self.entries.iter().rev().filter(|entry| entry.index <= index);
        until.filter_map(|entry| entry.config.as_ref()).next().unwrap_or(&self.base_config)
    }

    /// The term of an entry, if the log still knows it.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// An entry.
    pub fn get(&self, index: u64) -> Option<&Entry> {
        let at = index.checked_sub(self.base_index + 1)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// All entries from `index` on; none, if the log begins behind it.
    pub fn from(&self, index: u64) -> &[Entry] {
        let at = index.checked_sub(self.base_index + 1).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.entries.get(at..)).unwrap_or_default()
    }

    /// Appends the next entry, whose index must be the next one.
    pub fn push(&mut self, entry: Entry) {
        debug_assert_eq!(entry.index, self.last_index() + 1);
        if let Some(config) = &entry.config {
            self.config = config.clone();
        }
        self.entries.push(entry);
    }

    /// Puts an entry in the place of everything from its index on, which must be at most the next.
    pub fn replace_from(&mut self, entry: Entry) {
        self.truncate(entry.index);
        self.push(entry);
    }

    /// Removes everything from `index` on.
    pub(super) fn truncate(&mut self, index: u64) {
        let keep = index.saturating_sub(self.base_index + 1);
        self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        self.config = self.config_at(u64::MAX).clone();
    }

    /// Forgets everything up to `index`.
    pub(super) fn compact(&mut self, index: u64) {
        let Some(term) = self.term_at(index).filter(|_| index > self.base_index) else { return };
        let config = self.config_at(index).clone();
        let drop = usize::try_from(index - self.base_index).unwrap_or(usize::MAX);
        self.entries.drain(..drop.min(self.entries.len()));
        (self.base_index, self.base_term, self.base_config) = (index, term, config);
    }
}
