//! What is measured: counters, gauges and histograms. Recording is an atomic addition or two,
//! without a lock and without an allocation.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Only goes up.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// So many more, or fewer.
    #[inline]
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    /// Exactly so many.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the numbers in a histogram mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Recorded in nanoseconds, shown in seconds.
    Seconds,
    /// Recorded and shown in bytes, or in pieces.
    Plain,
}

/// The bound of the first bucket is two to this power.
const FIRST_POWER: u32 = 10;
/// Buckets with a bound: from 1024 in steps of 1.5 and 1.33 by turns, so that two make a doubling;
/// the last bound is 2^35 (34 s, 32 GiB).
const BOUNDED: usize = 2 * 25 + 1;

/// Counts numbers by their size.
#[derive(Debug)]
pub struct Histogram {
    unit: Unit,
    /// The last one counts what is over every bound.
    buckets: [AtomicU64; BOUNDED + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram of numbers with this unit.
    pub fn new(unit: Unit) -> Self {
        Histogram {
            unit,
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one number, in the unit that it is recorded in.
    #[inline]
    pub fn record(&self, number: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(number)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(number, Ordering::Relaxed);
    }

    /// Counts a duration.
    #[inline]
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What has been counted so far.
    pub fn snapshot(&self) -> Snapshot {
        let counts = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        Snapshot { unit: self.unit, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// The bucket of a number: the first whose bound is not below it.
fn bucket_of(number: u64) -> usize {
    // Bounds belong to the bucket below them.
    let below = number.saturating_sub(1);
    let power = below.checked_ilog2().unwrap_or(0);
    if power < FIRST_POWER {
        return 0;
    }
    let upper_half = below >> (power - 1) & 1;
    let index = 2 * (power - FIRST_POWER) as usize + upper_half as usize + 1;
    index.min(BOUNDED)
}

/// The bound of a bucket that has one.
fn bound_of(bucket: usize) -> u64 {
    let power = FIRST_POWER + (bucket / 2) as u32;
    let base = 1_u64 << power;
    if bucket.is_multiple_of(2) { base } else { base + base / 2 }
}

/// The state of a histogram.
#[derive(Debug, Clone)]
pub struct Snapshot {
    unit: Unit,
    counts: [u64; BOUNDED + 1],
    sum: u64,
}

impl Snapshot {
    /// How many numbers were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of the numbers, in the unit that they are shown in.
    pub fn sum(&self) -> f64 {
        self.shown(self.sum)
    }

    /// The bounds, in the unit that they are shown in, each with how many numbers are not above.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut total = 0;
        self.counts.iter().take(BOUNDED).enumerate().map(move |(bucket, count)| {
            total += count;
            (self.shown(bound_of(bucket)), total)
        })
    }

    /// A bound that the given share of the numbers is not above; the real value lies at most a
    /// third below.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let found = self.cumulative().find(|(_, total)| *total >= wanted.max(1));
        found.map_or(f64::INFINITY, |(bound, _)| bound)
    }

    fn shown(&self, number: u64) -> f64 {
        match self.unit {
            Unit::Seconds => number as f64 / 1e9,
            Unit::Plain => number as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_counted_in_the_first_bucket_that_holds_it() {
        for number in [0, 1, 1023, 1024, 1025, 1536, 1537, 2048, 2049, 1 << 35, (1 << 35) + 1] {
            let bucket = bucket_of(number);
            if bucket < BOUNDED {
                assert!(number <= bound_of(bucket), "{number}");
            } else {
                assert!(number > bound_of(BOUNDED - 1), "{number}");
            }
            if bucket > 0 {
                assert!(number > bound_of(bucket - 1), "{number}");
            }
        }
        assert_eq!(bucket_of(u64::MAX), BOUNDED);
        assert_eq!(bound_of(BOUNDED - 1), 1 << 35);
    }

    #[test]
    fn quantiles_are_near() {
        let histogram = Histogram::new(Unit::Seconds);
        for micros in 1..=1000 {
            histogram.record_duration(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count(), 1000);
        assert!((snapshot.sum() - 0.5005).abs() < 1e-9);
        for share in [0.5, 0.9, 0.99] {
            let found = snapshot.quantile(share);
            assert!(found >= share * 1e-3 && found <= share * 1.5e-3, "{share}: {found}");
        }
    }
}
