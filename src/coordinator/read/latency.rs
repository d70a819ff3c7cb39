//! How fast other nodes answer reads: whom to ask first, and when to ask another one as well.
//!
//! Nothing here takes a lock, except when a node is met for the first time. Counts are not exact
//! when two answers of one node are recorded at once, which does not matter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::Contact;

/// Four buckets for each power of two of microseconds, up to some two minutes.
const BUCKETS: usize = 108;
/// Answers by which a node's percentiles are known.
const KNOWN_FROM: u32 = 20;
/// Once so many answers are counted, all counts are halved: the newest weigh most.
const HALVED_AT: u32 = 1024;
/// The share of a new answer in the mean, as a shift: an eighth.
const MEAN_SHIFT: u32 = 3;
/// A node of which nothing was heard for so long may be fast again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);
/// What a failed request counts as, at least: failing is no way of being fast.
const FAILURE_COSTS: Duration = Duration::from_millis(100);

/// The delay before another replica is asked as well, while a node's own is not known.
const DELAY_UNKNOWN: Duration = Duration::from_millis(20);
const DELAY_MIN: Duration = Duration::from_millis(2);

/// When a spare replica is asked because another one has not answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speculation {
    /// When so many percent of the node's recent answers would have come.
    Percentile(f64),
    /// After this.
    Fixed(Duration),
    /// At once.
    Always,
    /// Only when a replica fails.
    Never,
}

/// The latencies of all nodes that were asked.
#[derive(Default)]
pub struct Latencies {
    hosts: ArcSwap<BTreeMap<[u8; 16], Arc<Host>>>,
}

impl std::fmt::Debug for Latencies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Latencies").field("hosts", &self.hosts.load().len()).finish()
    }
}

struct Host {
    buckets: [AtomicU32; BUCKETS],
    count: AtomicU32,
    /// Microseconds, decaying.
    mean: AtomicU64,
    /// What `mean` was when it was last far from this: what order goes by.
    shown: AtomicU64,
    /// Microseconds of the monotonic clock at which the last answer came.
    last: AtomicU64,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn bucket_of(micros: u64) -> usize {
    let micros = micros.max(4);
    let power = micros.ilog2();
    let bucket = (power as usize - 1) * 4 + ((micros >> (power - 2)) & 3) as usize;
    bucket.min(BUCKETS - 1)
}

/// The longest time that falls into a bucket.
fn bucket_end(bucket: usize) -> Duration {
    let (power, quarter) = (bucket / 4 + 1, (bucket % 4) as u64);
    Duration::from_micros(((5 + quarter) << power.saturating_sub(2)) - 1)
}

impl Host {
    fn new() -> Host {
        let zero = AtomicU64::default;
        let buckets = std::array::from_fn(|_| AtomicU32::new(0));
        Host { buckets, count: AtomicU32::new(0), mean: zero(), shown: zero(), last: zero() }
    }

    /// Counts an answer for the percentiles.
    fn count(&self, took: Duration) {
        let took = micros(took);
        if let Some(bucket) = self.buckets.get(bucket_of(took)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count >= HALVED_AT {
            let mut left = 0;
            for bucket in &self.buckets {
                let half = bucket.load(Ordering::Relaxed) / 2;
                bucket.store(half, Ordering::Relaxed);
                left += half;
            }
            self.count.store(left, Ordering::Relaxed);
        }
    }

    /// Takes a latency into the mean.
    fn weigh(&self, took: Duration, now: Duration) {
        let took = micros(took);
        let mean = match self.is_forgotten(now) {
            true => took,
            false => {
                let mean = self.mean.load(Ordering::Relaxed);
                mean - (mean >> MEAN_SHIFT) + (took >> MEAN_SHIFT)
            }
        };
        self.mean.store(mean, Ordering::Relaxed);
        let shown = self.shown.load(Ordering::Relaxed);
        if mean.abs_diff(shown) > shown / 4 {
            self.shown.store(mean, Ordering::Relaxed);
        }
        self.last.store(micros(now).max(1), Ordering::Relaxed);
    }

    fn is_forgotten(&self, now: Duration) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last == 0 || micros(now).saturating_sub(last) > micros(FORGOTTEN_AFTER)
    }

    fn percentile(&self, percent: f64) -> Option<Duration> {
        if self.count.load(Ordering::Relaxed) < KNOWN_FROM {
            return None;
        }
        let counts = || self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let all: u32 = counts().sum();
        let wanted = f64::from(all) * percent / 100.0;
        let mut seen = 0.0;
        for (bucket, count) in counts().enumerate() {
            seen += f64::from(count);
            if count > 0 && seen >= wanted {
                return Some(bucket_end(bucket));
            }
        }
        None
    }
}

impl Latencies {
    /// A node answered after so long.
    pub fn record(&self, host_id: &[u8; 16], took: Duration, now: Duration) {
        self.with(host_id, |host| {
            host.count(took);
            host.weigh(took, now);
        });
    }

    /// A node failed, or had not answered after so long. The percentiles are those of answers: by
    /// them others are asked instead, which must not come the later the more it is needed.
    pub fn record_failure(&self, host_id: &[u8; 16], after: Duration, now: Duration) {
        self.with(host_id, |host| host.weigh(after.max(FAILURE_COSTS), now));
    }

    fn with(&self, host_id: &[u8; 16], record: impl Fn(&Host)) {
        if let Some(host) = self.hosts.load().get(host_id) {
            return record(host);
        }
        let host = Arc::new(Host::new());
        record(&host);
        self.hosts.rcu(|hosts| {
            let mut hosts = BTreeMap::clone(hosts);
            hosts.entry(*host_id).or_insert_with(|| host.clone());
            hosts
        });
    }

    /// Forgets all nodes but these.
    pub fn retain(&self, mut is_member: impl FnMut(&[u8; 16]) -> bool) {
        self.hosts.rcu(|hosts| {
            let mut hosts = BTreeMap::clone(hosts);
            hosts.retain(|host_id, _| is_member(host_id));
            hosts
        });
    }

    /// Puts contacts into the order in which to ask them: this node, then by rank, then the faster
    /// one first. Two nodes change places only when the latency of one has moved by a quarter; one
    /// of which nothing is known, or nothing new, counts as fast.
    pub fn sort(&self, contacts: &mut [Contact], now: Duration) {
        let hosts = self.hosts.load();
        contacts.sort_by_cached_key(|contact| {
            let host = hosts.get(&contact.host_id).filter(|host| !host.is_forgotten(now));
            let shown = host.map_or(0, |host| host.shown.load(Ordering::Relaxed));
            (!contact.is_self, contact.rank, shown)
        });
    }

    /// How long to wait for a node before another one is asked as well; none for ever.
    pub fn delay(
        &self,
        host_id: &[u8; 16],
        speculation: Speculation,
        timeout: Duration,
    ) -> Option<Duration> {
        match speculation {
            Speculation::Never => None,
            Speculation::Always => Some(Duration::ZERO),
            Speculation::Fixed(delay) => Some(delay),
            Speculation::Percentile(percent) => {
                let hosts = self.hosts.load();
                let known = hosts.get(host_id).and_then(|host| host.percentile(percent));
                let delay = known.unwrap_or(DELAY_UNKNOWN);
                Some(delay.max(DELAY_MIN).min(timeout / 2))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::internode::Target;

    const P99: Speculation = Speculation::Percentile(99.0);
    const TIMEOUT: Duration = Duration::from_secs(5);

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn contact(n: u8, rank: u8) -> Contact {
        let address = ([10, 0, 0, n], 7000).into();
        let target = Target { address, host_id: Some([n; 16]) };
        Contact { host_id: [n; 16], target, is_self: n == 9, rank }
    }

    fn order(latencies: &Latencies, contacts: &[(u8, u8)], now: Duration) -> Vec<u8> {
        let mut contacts: Vec<Contact> = contacts.iter().map(|(n, r)| contact(*n, *r)).collect();
        latencies.sort(&mut contacts, now);
        contacts.iter().map(|contact| contact.host_id[0]).collect()
    }

    #[test]
    fn buckets_lie_within_a_quarter_of_what_they_hold() {
        for n in [4_u64, 5, 7, 8, 100, 1000, 1023, 1024, 999_999, 60_000_000] {
            let end = micros(bucket_end(bucket_of(n)));
            assert!(end >= n && end <= n + n / 4 + 1, "{n} in a bucket up to {end}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_delay_is_the_percentile_of_recent_answers_within_bounds() {
        let latencies = Latencies::default();
        let delay = |latencies: &Latencies| latencies.delay(&[1; 16], P99, TIMEOUT).unwrap();
        assert_eq!(delay(&latencies), DELAY_UNKNOWN);
        (0..980).for_each(|_| latencies.record(&[1; 16], millis(5), millis(1)));
        (0..20).for_each(|_| latencies.record(&[1; 16], millis(50), millis(1)));
        assert!(delay(&latencies) >= millis(50) && delay(&latencies) < millis(63));
        // What was slow once is forgotten.
        (0..5000).for_each(|_| latencies.record(&[1; 16], millis(1), millis(1)));
        assert_eq!(delay(&latencies), DELAY_MIN);
        (0..5000).for_each(|_| latencies.record(&[1; 16], TIMEOUT, millis(1)));
        assert_eq!(delay(&latencies), TIMEOUT / 2);
        assert_eq!(latencies.delay(&[1; 16], Speculation::Never, TIMEOUT), None);
        assert_eq!(
            latencies.delay(&[1; 16], Speculation::Fixed(millis(7)), TIMEOUT),
            Some(millis(7))
        );
    }

    #[test]
    fn order_follows_latency_but_does_not_flap() {
        let latencies = Latencies::default();
        let contacts = [(1, 0), (2, 0), (3, 1), (9, 1)];
        let at = millis(1000);
        assert_eq!(order(&latencies, &contacts, at), [9, 1, 2, 3]);
        (0..50).for_each(|_| latencies.record(&[1; 16], millis(10), at));
        (0..50).for_each(|_| latencies.record(&[2; 16], millis(4), at));
        (0..50).for_each(|_| latencies.record(&[3; 16], millis(1), at));
        let settled = order(&latencies, &contacts, at);
        assert_eq!(settled, [9, 2, 1, 3], "the far one is fast, and asked last all the same");
        for round in 0..200 {
            latencies.record(&[2; 16], millis(3 + round % 3), at);
            latencies.record(&[1; 16], millis(9 + round % 3), at);
            assert_eq!(order(&latencies, &contacts, at), settled);
        }
        let before = latencies.delay(&[2; 16], P99, TIMEOUT);
        (0..50).for_each(|_| latencies.record_failure(&[2; 16], millis(0), at));
        assert_eq!(latencies.delay(&[2; 16], P99, TIMEOUT), before);
        assert_eq!(order(&latencies, &contacts, at), [9, 1, 2, 3]);
        // After a while it is given another chance.
        let later = at + FORGOTTEN_AFTER + millis(1);
        (0..2).for_each(|_| latencies.record(&[1; 16], millis(10), later));
        assert_eq!(order(&latencies, &contacts, later), [9, 2, 1, 3]);
        latencies.retain(|host| *host == [1; 16]);
        assert_eq!(latencies.hosts.load().len(), 1);
    }
}
