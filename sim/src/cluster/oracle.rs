//! What the clients of a cluster were promised, when several of them write the same keys through
//! several nodes.
//!
//! Every write carries a timestamp of its client's, and no two have the same, so the newest write
//! of a key is known whatever the nodes' clocks show. Each key has a floor: the newest timestamp
//! that was acknowledged at QUORUM, or that a QUORUM read has shown. A QUORUM read must show
//! nothing older than the floor of the moment when it began. A write that timed out or was cut
//! off is unknown, never absent: it may show, at once or later, until something newer is promised.

use std::collections::BTreeMap;

/// A value: `None` is no row.
pub(crate) type Value = Option<String>;

/// Microseconds, and unique.
pub(crate) type Timestamp = i64;

/// How much a level promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// One replica.
    Weak,
    /// Meets every other quorum.
    Quorum,
    /// Every replica.
    All,
}

/// Several keys written at once, with one timestamp.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) timestamp: Timestamp,
    pub(crate) keys: Vec<(u64, Value)>,
}

#[derive(Debug, Default)]
struct Key {
    /// Every write that began and was not refused.
    writes: BTreeMap<Timestamp, Value>,
    /// The newest that a quorum has promised; zero before the first.
    floor: Timestamp,
    /// The newest that anybody has promised.
    weak_floor: Timestamp,
}

impl Key {
    fn floor(&self, strength: Strength) -> Timestamp {
        match strength {
            Strength::Weak => Timestamp::MIN,
            Strength::Quorum => self.floor,
            Strength::All => self.floor.max(self.weak_floor),
        }
    }

    fn promise(&mut self, timestamp: Timestamp, strength: Strength) {
        self.weak_floor = self.weak_floor.max(timestamp);
        if strength >= Strength::Quorum {
            self.floor = self.floor.max(timestamp);
        }
    }

    /// The oldest write not older than `floor` that shows as `value`: what was shown is at least
    /// that. Zero for the absence of what was never written.
    fn explain(&self, value: &Value, floor: Timestamp) -> Option<Timestamp> {
        let is_like =
            |(timestamp, written): (&Timestamp, &Value)| (written == value).then_some(*timestamp);
        let fresh = value.is_none() && floor <= 0;
        if fresh { Some(0) } else { self.writes.range(floor..).find_map(is_like) }
    }
}

#[derive(Debug, Default)]
struct Counter {
    /// Increments that began and were not refused.
    begun: i64,
    acknowledged: i64,
    /// The most that a quorum has shown.
    shown: i64,
}

/// What was known when a read began.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    strength: Strength,
    floors: BTreeMap<u64, Timestamp>,
}

/// The oracle of one simulation.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    keys: BTreeMap<u64, Key>,
    counters: BTreeMap<u64, Counter>,
    /// Logged batches of which nobody knows: all of each is there in the end, or nothing.
    unknown_batches: Vec<Write>,
    /// Tables that were made, and whether dropping them has begun.
    tables: BTreeMap<String, bool>,
    violations: Vec<String>,
    promises: u64,
}

impl Oracle {
    /// A timestamp near `wanted` that nobody else has.
    pub(crate) fn timestamp(&mut self, wanted: Timestamp, client: u64) -> Timestamp {
        // The lowest digits tell clients apart, the others order the writes of one.
        let number = i64::try_from(client % 100).unwrap_or(0);
        let mut timestamp = wanted - wanted.rem_euclid(100) + number;
        while self.keys.values().any(|key| key.writes.contains_key(&timestamp)) {
            timestamp += 100;
        }
        timestamp
    }

    pub(crate) fn begin(&mut self, write: &Write) {
        for (number, value) in &write.keys {
            let key = self.keys.entry(*number).or_default();
            key.writes.insert(write.timestamp, value.clone());
        }
    }

    pub(crate) fn acknowledge(&mut self, write: &Write, strength: Strength) {
        self.promises += 1;
        for (number, _) in &write.keys {
            self.keys.entry(*number).or_default().promise(write.timestamp, strength);
        }
    }

    /// The write is known not to have happened.
    pub(crate) fn refuse(&mut self, write: &Write) {
        for (number, _) in &write.keys {
            self.keys.entry(*number).or_default().writes.remove(&write.timestamp);
        }
    }

    /// Nobody will ever know whether this logged batch happened.
    pub(crate) fn give_up_batch(&mut self, write: Write) {
        self.unknown_batches.push(write);
    }

    /// A read of these keys begins.
    pub(crate) fn begin_read(&self, keys: &[u64], strength: Strength) -> Before {
        let floor = |number: &u64| self.keys.get(number).map_or(0, |key| key.floor(strength));
        let floors = keys.iter().map(|number| (*number, floor(number))).collect();
        Before { strength, floors }
    }

    /// The read has shown this. `who` says who read it, and how.
    pub(crate) fn observe(&mut self, before: &Before, number: u64, value: &Value, who: &str) {
        self.promises += 1;
        let floor = before.floors.get(&number).copied().unwrap_or(0);
        let key = self.keys.entry(number).or_default();
        let is_invented = value.is_some() && !key.writes.values().any(|written| written == value);
        if is_invented {
            self.violate(format!("{who}: key {number} is {value:?}, which nobody has written"));
            return;
        }
        if before.strength == Strength::Weak {
            if let (Some(_), Some(shown)) = (value, key.explain(value, Timestamp::MIN)) {
                key.promise(shown, Strength::Weak);
            }
            return;
        }
        match key.explain(value, floor) {
            Some(shown) => key.promise(shown, before.strength),
            None => {
                let newest = key.writes.range(floor..).map(|(t, v)| format!("{t}: {v:?}"));
                let newest: Vec<_> = newest.collect();
                let shown = key.explain(value, Timestamp::MIN);
                let what = format!(
                    "{who}: key {number} is {value:?} (of {shown:?}), but {floor} was promised; \
                     it may be {newest:?}"
                );
                self.violate(what);
            }
        }
    }

    pub(crate) fn begin_increment(&mut self, counter: u64) {
        self.counters.entry(counter).or_default().begun += 1;
    }

    pub(crate) fn acknowledge_increment(&mut self, counter: u64) {
        self.promises += 1;
        self.counters.entry(counter).or_default().acknowledged += 1;
    }

    pub(crate) fn refuse_increment(&mut self, counter: u64) {
        self.counters.entry(counter).or_default().begun -= 1;
    }

    /// The least that a read of a counter may show that begins now.
    pub(crate) fn counter_floor(&self, counter: u64) -> i64 {
        self.counters.get(&counter).map_or(0, |known| known.acknowledged.max(known.shown))
    }

    pub(crate) fn observe_counter(&mut self, counter: u64, floor: i64, count: i64, who: &str) {
        self.promises += 1;
        let known = self.counters.entry(counter).or_default();
        if count < floor || count > known.begun {
            let what = format!(
                "{who}: counter {counter} is {count}; at least {floor} was promised, and {} \
                 increments have begun",
                known.begun
            );
            self.violate(what);
            return;
        }
        known.shown = known.shown.max(count);
    }

    /// A table was made, and nobody drops it.
    pub(crate) fn made_table(&mut self, name: &str) {
        self.promises += 1;
        self.tables.insert(name.to_owned(), false);
    }

    /// Dropping the table begins.
    pub(crate) fn drop_table(&mut self, name: &str) {
        self.tables.insert(name.to_owned(), true);
    }

    /// Some table that was made and not dropped.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().filter(|(_, dropped)| !**dropped).map(|(name, _)| name.as_str())
    }

    /// What every key is in the end must explain every batch as a whole.
    pub(crate) fn judge_batches(&mut self, found: &BTreeMap<u64, Value>) {
        let batches = std::mem::take(&mut self.unknown_batches);
        for batch in &batches {
            let is_there = |(number, value): &(u64, Value)| {
                value.is_some() && found.get(number) == Some(value)
            };
            if !batch.keys.iter().any(is_there) {
                continue;
            }
            for (number, value) in &batch.keys {
                let shown = found.get(number).cloned().flatten();
                let key = self.keys.entry(*number).or_default();
                if key.explain(&shown, batch.timestamp).is_none() {
                    let what = format!(
                        "half a batch: of {batch:?}, key {number} is {shown:?} and not {value:?}"
                    );
                    self.violations.push(what);
                }
            }
        }
    }

    /// The newest write of a key that anybody was promised, for comparing single replicas.
    pub(crate) fn promised(&self, number: u64) -> Timestamp {
        self.keys.get(&number).map_or(0, |key| key.floor(Strength::All))
    }

    /// Whether `value` is what a replica may have that has got everything that was promised.
    pub(crate) fn is_current(&self, number: u64, value: &Value) -> bool {
        let Some(key) = self.keys.get(&number) else { return value.is_none() };
        key.explain(value, self.promised(number)).is_some()
    }

    pub(crate) fn keys(&self) -> Vec<u64> {
        self.keys.keys().copied().collect()
    }

    pub(crate) fn counters(&self) -> Vec<u64> {
        self.counters.keys().copied().collect()
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn promises(&self) -> u64 {
        self.promises
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Some(text.to_owned())
    }

    fn write(timestamp: Timestamp, text: &str) -> Write {
        let value = (!text.is_empty()).then(|| text.to_owned());
        Write { timestamp, keys: vec![(1, value)] }
    }

    fn read(oracle: &mut Oracle, strength: Strength, shown: &Value) -> usize {
        let before = oracle.begin_read(&[1], strength);
        oracle.observe(&before, 1, shown, "test");
        oracle.violations().len()
    }

    #[test]
    fn what_a_quorum_has_promised_must_be_read_at_quorum() {
        let mut oracle = Oracle::default();
        for (timestamp, text) in [(10, "a"), (20, "b")] {
            oracle.begin(&write(timestamp, text));
            oracle.acknowledge(&write(timestamp, text), Strength::Quorum);
        }
        assert_eq!(read(&mut oracle, Strength::Quorum, &value("b")), 0);
        assert_eq!(read(&mut oracle, Strength::Weak, &value("a")), 0);
        assert_eq!(read(&mut oracle, Strength::Quorum, &value("a")), 1);
        assert_eq!(read(&mut oracle, Strength::Quorum, &None), 2);
        assert_eq!(read(&mut oracle, Strength::Weak, &value("invented")), 3);
    }

    #[test]
    fn an_older_timestamp_never_wins_whenever_it_was_written() {
        let mut oracle = Oracle::default();
        for (timestamp, text) in [(20, "b"), (10, "a")] {
            oracle.begin(&write(timestamp, text));
            oracle.acknowledge(&write(timestamp, text), Strength::Quorum);
        }
        assert_eq!(read(&mut oracle, Strength::Quorum, &value("b")), 0);
        assert_eq!(read(&mut oracle, Strength::Quorum, &value("a")), 1);
    }

    #[test]
    fn an_unknown_write_may_show_and_then_stays() {
        let mut oracle = Oracle::default();
        oracle.begin(&write(10, "a"));
        oracle.acknowledge(&write(10, "a"), Strength::Quorum);
        oracle.begin(&write(20, "b"));
        assert_eq!(read(&mut oracle, Strength::Quorum, &value("a")), 0);
        assert_eq!(read(&mut oracle, Strength::Quorum, &value("b")), 0);
        assert_eq!(read(&mut oracle, Strength::Quorum, &value("a")), 1);
    }

    #[test]
    fn what_was_deleted_does_not_come_back() {
        let mut oracle = Oracle::default();
        for (timestamp, text) in [(10, "a"), (20, "")] {
            oracle.begin(&write(timestamp, text));
            oracle.acknowledge(&write(timestamp, text), Strength::Quorum);
        }
        assert_eq!(read(&mut oracle, Strength::Quorum, &None), 0);
        assert_eq!(read(&mut oracle, Strength::Quorum, &value("a")), 1);
    }

    #[test]
    fn a_refused_write_never_shows_and_a_weak_one_shows_at_all() {
        let mut oracle = Oracle::default();
        oracle.begin(&write(10, "a"));
        oracle.refuse(&write(10, "a"));
        oracle.begin(&write(20, "b"));
        oracle.acknowledge(&write(20, "b"), Strength::Weak);
        assert_eq!(read(&mut oracle, Strength::Quorum, &None), 0);
        assert_eq!(read(&mut oracle, Strength::All, &value("b")), 0);
        assert_eq!(read(&mut oracle, Strength::All, &None), 1);
        assert_eq!(read(&mut oracle, Strength::Weak, &value("a")), 2);
    }

    #[test]
    fn a_counter_counts_what_was_acknowledged_and_no_more_than_was_tried() {
        let mut oracle = Oracle::default();
        (0..3).for_each(|_| oracle.begin_increment(1));
        oracle.acknowledge_increment(1);
        let floor = oracle.counter_floor(1);
        oracle.observe_counter(1, floor, 2, "test");
        assert_eq!(oracle.violations().len(), 0);
        let floor = oracle.counter_floor(1);
        oracle.observe_counter(1, floor, 1, "test");
        oracle.observe_counter(1, floor, 4, "test");
        assert_eq!(oracle.violations().len(), 2);
    }

    #[test]
    fn half_a_batch_is_noticed_unless_something_newer_hides_the_rest() {
        let mut oracle = Oracle::default();
        let batch = Write { timestamp: 10, keys: vec![(1, value("a")), (2, value("b"))] };
        oracle.begin(&batch);
        let newer = Write { timestamp: 20, keys: vec![(2, value("c"))] };
        oracle.begin(&newer);
        for (second, violations) in [(value("b"), 0), (value("c"), 0), (None, 1)] {
            oracle.give_up_batch(batch.clone());
            oracle.judge_batches(&BTreeMap::from([(1, value("a")), (2, second)]));
            assert_eq!(oracle.violations().len(), violations);
        }
    }
}
