//! One at a time: conditional writes, counter updates and writes that read first, by partition.
//!
//! Partitions share a fixed number of stripes, so memory does not grow with them; two partitions
//! on one stripe wait for each other needlessly, and rarely.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use helenus_platform::runtime::BoxFuture;
use helenus_platform::signal::Signal;

const STRIPES: usize = 1024;

#[derive(Default)]
struct Stripe {
    held: AtomicBool,
    released: Signal,
}

/// The stripes of a node.
pub struct PartitionLocks {
    stripes: Arc<Vec<Stripe>>,
}

impl std::fmt::Debug for PartitionLocks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PartitionLocks").field("stripes", &self.stripes.len()).finish()
    }
}

impl Default for PartitionLocks {
    fn default() -> Self {
        Self::new()
    }
}

/// Holds the stripes of one request; dropping it lets them go.
#[must_use]
pub struct PartitionGuard {
    stripes: Arc<Vec<Stripe>>,
    held: BTreeSet<usize>,
}

impl std::fmt::Debug for PartitionGuard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PartitionGuard").field("held", &self.held).finish()
    }
}

impl PartitionLocks {
    /// Stripes that nobody holds.
    pub fn new() -> Self {
        Self { stripes: Arc::new((0..STRIPES).map(|_| Stripe::default()).collect()) }
    }

    /// Takes the locks of these partitions, each a table and a key, if nobody holds one of them.
    pub fn try_lock<'a>(
        &self,
        partitions: impl IntoIterator<Item = (u32, &'a [u8])>,
    ) -> Option<PartitionGuard> {
        let mut guard = self.guard();
        let wanted: BTreeSet<usize> = partitions.into_iter().map(stripe_of).collect();
        for index in wanted {
            let stripe = self.stripes.get(index)?;
            if stripe.held.swap(true, Ordering::Acquire) {
                // What was taken so far is let go with the guard.
                return None;
            }
            guard.held.insert(index);
        }
        Some(guard)
    }

    /// Takes the locks of these partitions, waiting for them in the order of their stripes, so
    /// that two requests never wait for each other.
    pub fn lock<'a>(
        &self,
        partitions: impl IntoIterator<Item = (u32, &'a [u8])>,
    ) -> BoxFuture<'static, PartitionGuard> {
        let wanted: BTreeSet<usize> = partitions.into_iter().map(stripe_of).collect();
        let mut guard = self.guard();
        Box::pin(async move {
            let stripes = guard.stripes.clone();
            for index in wanted {
                let Some(stripe) = stripes.get(index) else { continue };
                loop {
                    let epoch = stripe.released.epoch();
                    if !stripe.held.swap(true, Ordering::Acquire) {
                        break;
                    }
                    stripe.released.wait_past(epoch).await;
                }
                guard.held.insert(index);
            }
            guard
        })
    }

    fn guard(&self) -> PartitionGuard {
        PartitionGuard { stripes: self.stripes.clone(), held: BTreeSet::new() }
    }
}

impl Drop for PartitionGuard {
    fn drop(&mut self) {
        for index in &self.held {
            if let Some(stripe) = self.stripes.get(*index) {
                stripe.held.store(false, Ordering::Release);
                stripe.released.notify_all();
            }
        }
    }
}

/// FNV-1a over the table and the key: the same on every run, so that a simulation repeats.
fn stripe_of((table, key): (u32, &[u8])) -> usize {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write_u32(table);
    hasher.write(key);
    let hash = hasher.finish();
    usize::try_from((hash ^ (hash >> 32)) % STRIPES as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use helenus_platform::clock::ManualClock;
    use helenus_platform::runtime::{Runtime, SimRuntime};

    #[test]
    fn a_failed_attempt_holds_nothing() {
        let locks = PartitionLocks::new();
        let held = locks.try_lock([(1, &b"a"[..])]).unwrap();
        assert!(locks.try_lock([(1, &b"b"[..]), (1, &b"a"[..])]).is_none());
        assert!(locks.try_lock([(1, &b"b"[..])]).is_some());
        drop(held);
        assert!(locks.try_lock([(1, &b"a"[..]), (1, &b"a"[..])]).is_some());
    }

    #[test]
    fn one_at_a_time_and_all_of_them_in_the_end() {
        for seed in 0..20 {
            let runtime = SimRuntime::new(seed, Arc::new(ManualClock::new(0)));
            let locks = Arc::new(PartitionLocks::new());
            let inside = Arc::new(Mutex::new((0, 0)));
            for request in 0..20u8 {
                let (locks, inside, sleeper) = (locks.clone(), inside.clone(), runtime.clone());
                let work = async move {
                    let keys = [[0], [request % 3], [2 - request % 3]];
                    let guard = locks.lock(keys.iter().map(|key| (7, &key[..]))).await;
                    inside.lock().unwrap().0 += 1;
                    assert_eq!(inside.lock().unwrap().0, 1);
                    sleeper.sleep(Duration::from_millis(1)).await;
                    inside.lock().unwrap().0 -= 1;
                    inside.lock().unwrap().1 += 1;
                    drop(guard);
                };
                runtime.spawn("request", Box::pin(work));
            }
            runtime.run_for(Duration::from_secs(1));
            assert_eq!(*inside.lock().unwrap(), (0, 20));
        }
    }
}
