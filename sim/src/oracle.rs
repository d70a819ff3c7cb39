//! What clients were promised.
//!
//! Each key has one writer, so its history is a line: the values that it may have now are the last
//! one promised and those of writes whose end nobody knows. A value that a client was shown is a
//! promise too. A write that failed or was cut off is unknown, never absent.

use std::collections::{BTreeMap, BTreeSet};

/// A value: `None` is no row.
pub type Value = Option<String>;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What happened, with the key and the values.
    pub what: String,
}

#[derive(Debug, Default)]
struct Key {
    /// What a read may find: never empty once the key has been touched.
    possible: BTreeSet<Value>,
    /// The write that is under way.
    pending: Option<Value>,
}

impl Key {
    fn may_be(&self, value: &Value) -> bool {
        (self.possible.is_empty() && value.is_none())
            || self.possible.contains(value)
            || self.pending.as_ref() == Some(value)
    }
}

/// The oracle of one simulation.
#[derive(Debug, Default)]
pub struct Oracle {
    keys: BTreeMap<u64, Key>,
    /// Increments acknowledged, and increments of which nobody knows.
    counters: BTreeMap<u64, (i64, i64)>,
    violations: Vec<Violation>,
    promises: u64,
}

impl Oracle {
    /// A write of these keys begins; all of them change or none does.
    pub fn begin(&mut self, writes: &[(u64, Value)]) {
        for (key, value) in writes {
            let key = self.keys.entry(*key).or_default();
            if key.possible.is_empty() {
                key.possible.insert(None);
            }
            key.pending = Some(value.clone());
        }
    }

    /// The write was acknowledged.
    pub fn acknowledge(&mut self, writes: &[(u64, Value)]) {
        self.promises += 1;
        for (key, value) in writes {
            let key = self.keys.entry(*key).or_default();
            key.pending = None;
            key.possible = BTreeSet::from([value.clone()]);
        }
    }

    /// The write is known not to have happened.
    pub fn refuse(&mut self, writes: &[(u64, Value)]) {
        for (key, _) in writes {
            self.keys.entry(*key).or_default().pending = None;
        }
    }

    /// A client was shown this value.
    pub fn observe(&mut self, number: u64, value: &Value) {
        self.promises += 1;
        let key = self.keys.entry(number).or_default();
        if !key.may_be(value) {
            let (possible, pending) = (&key.possible, &key.pending);
            let what = format!("key {number} is {value:?}; it may be {possible:?} or {pending:?}");
            self.violations.push(Violation { what });
            return;
        }
        // What is shown stays: it may be replaced by the write under way, never by an older one.
        key.possible = BTreeSet::from([value.clone()]);
    }

    /// A client was shown this value of a key that another writes. What it may be is in line with
    /// the writer's reads only, but a write under way that has been shown can no longer be lost.
    /// Written values are unique; an absence is not, so which delete it shows cannot be told.
    pub fn observe_foreign(&mut self, number: u64, value: &Value) {
        let key = self.keys.entry(number).or_default();
        if value.is_some() && key.pending.as_ref() == Some(value) {
            self.promises += 1;
            key.possible = BTreeSet::from([value.clone()]);
        }
    }

    /// An increment begins.
    pub fn begin_increment(&mut self, counter: u64) {
        self.counters.entry(counter).or_default().1 += 1;
    }

    /// An increment was acknowledged.
    pub fn acknowledge_increment(&mut self, counter: u64) {
        self.promises += 1;
        let (known, unknown) = self.counters.entry(counter).or_default();
        *known += 1;
        *unknown -= 1;
    }

    /// The increment is known not to have happened.
    pub fn refuse_increment(&mut self, counter: u64) {
        self.counters.entry(counter).or_default().1 -= 1;
    }

    /// A client was shown this count.
    pub fn observe_counter(&mut self, counter: u64, count: i64) {
        let (known, unknown) = self.counters.get(&counter).copied().unwrap_or_default();
        if count < known || count > known + unknown {
            let what = format!(
                "counter {counter} is {count}; {known} increments were acknowledged and {unknown} \
                 are unknown"
            );
            self.violations.push(Violation { what });
        }
    }

    /// The node died: whatever was under way is unknown from now on.
    pub fn crash(&mut self) {
        for key in self.keys.values_mut() {
            key.possible.extend(key.pending.take());
        }
    }

    /// A batch of which nobody knows must be there as a whole or not at all.
    pub fn observe_batch(&mut self, written: &[(u64, Value)], found: &BTreeMap<u64, Value>) {
        let there = written
            .iter()
            .filter(|(key, value)| found.get(key).cloned().flatten() == *value)
            .count();
        if there != 0 && there != written.len() {
            let what = format!("half a batch: of {written:?} there is {found:?}");
            self.violations.push(Violation { what });
        }
    }

    /// Every key that was ever touched.
    #[must_use]
    pub fn keys(&self) -> Vec<u64> {
        self.keys.keys().copied().collect()
    }

    /// Every counter that was ever touched.
    #[must_use]
    pub fn counters(&self) -> Vec<u64> {
        self.counters.keys().copied().collect()
    }

    /// A promise was broken.
    pub fn violate(&mut self, what: String) {
        self.violations.push(Violation { what });
    }

    /// Promises broken so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Promises given so far.
    #[must_use]
    pub fn promises(&self) -> u64 {
        self.promises
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Some(text.to_string())
    }

    #[test]
    fn what_was_acknowledged_or_shown_must_stay() {
        let mut oracle = Oracle::default();
        oracle.begin(&[(1, value("a"))]);
        oracle.acknowledge(&[(1, value("a"))]);
        oracle.begin(&[(1, value("b"))]);
        oracle.crash();
        oracle.observe(1, &value("b"));
        assert_eq!(oracle.violations(), []);
        oracle.observe(1, &value("a"));
        assert_eq!(oracle.violations().len(), 1);
    }

    #[test]
    fn an_unknown_write_may_be_there_or_not_but_nothing_else() {
        let mut oracle = Oracle::default();
        oracle.begin(&[(1, value("a"))]);
        oracle.crash();
        oracle.observe(1, &None);
        assert_eq!(oracle.violations(), []);
        oracle.observe(2, &value("x"));
        assert_eq!(oracle.violations().len(), 1);
    }

    #[test]
    fn half_a_batch_is_noticed() {
        let mut oracle = Oracle::default();
        let batch = [(1, value("a")), (2, value("b"))];
        oracle.observe_batch(&batch, &BTreeMap::from([(1, value("a")), (2, value("b"))]));
        oracle.observe_batch(&batch, &BTreeMap::from([(1, None), (2, value("old"))]));
        assert_eq!(oracle.violations(), []);
        oracle.observe_batch(&batch, &BTreeMap::from([(1, value("a")), (2, None)]));
        assert_eq!(oracle.violations().len(), 1);
    }
}
