//! Which connections are let in: so many at a time, and so many of one address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helenus_platform::signal::Signal;

use super::limits::Limits;
use super::metrics::ServerMetrics;

/// Why a connection is closed as soon as it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The node has as many as it may.
    TooMany,
    /// Its address has as many as it may.
    TooManyOfAddress,
}

impl Refusal {
    /// The key that says how many there may be.
    pub(super) fn key(self) -> &'static str {
        match self {
            Refusal::TooMany => "limits.connections",
            Refusal::TooManyOfAddress => "limits.connections_per_address",
        }
    }
}

/// Counts the open connections.
pub(super) struct Admission {
    connections_max: usize,
    connections_per_address_max: usize,
    metrics: Arc<ServerMetrics>,
    open: AtomicUsize,
    /// Empty while addresses are not limited.
    by_address: Mutex<HashMap<IpAddr, usize>>,
    /// Notified when one is closed.
    pub(super) closed: Signal,
}

/// One open connection, until it is dropped.
pub(super) struct Admitted {
    admission: Arc<Admission>,
    /// Where it is counted among those of its address, if they are limited.
    address: Option<IpAddr>,
}

impl Admission {
    pub(super) fn new(limits: &Limits, metrics: Arc<ServerMetrics>) -> Arc<Self> {
        Arc::new(Admission {
            connections_max: limits.connections_max,
            connections_per_address_max: limits.connections_per_address_max,
            metrics,
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
            closed: Signal::new(),
        })
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Lets a connection in, or says why not.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Admitted, Refusal> {
        if self.open.fetch_add(1, Ordering::SeqCst) >= self.connections_max {
            self.open.fetch_sub(1, Ordering::SeqCst);
            self.metrics.refused.increment();
            return Err(Refusal::TooMany);
        }
        self.metrics.connections.add(1);
        let mut admitted = Admitted { admission: self.clone(), address: None };
        if self.connections_per_address_max > 0 {
            // An IPv4 client of an IPv6 socket is the same client.
            let address = peer.ip().to_canonical();
            let mut by_address = self.lock();
            let count = by_address.entry(address).or_default();
            if *count >= self.connections_per_address_max {
                self.metrics.refused_of_address.increment();
                return Err(Refusal::TooManyOfAddress);
            }
            *count += 1;
            admitted.address = Some(address);
        }
        self.metrics.accepted.increment();
        Ok(admitted)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let admission = &*self.admission;
        if let Some(address) = self.address {
            let mut by_address = admission.lock();
            if let Some(count) = by_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&address);
                }
            }
        }
        admission.metrics.connections.add(-1);
        admission.open.fetch_sub(1, Ordering::SeqCst);
        admission.closed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Registry;

    #[test]
    fn an_address_has_so_many_and_no_more() {
        let limits =
            Limits { connections_max: 4, connections_per_address_max: 2, ..Limits::default() };
        let metrics = Arc::new(ServerMetrics::new(&Registry::new()));
        let admission = Admission::new(&limits, metrics.clone());
        let admit =
            |text: &str, port| admission.admit((text.parse::<IpAddr>().unwrap(), port).into());
        let first = admit("10.0.0.1", 1).unwrap();
        // The same client, as an IPv6 socket sees it.
        let second = admit("::ffff:10.0.0.1", 2).unwrap();
        assert_eq!(admit("10.0.0.1", 3).err(), Some(Refusal::TooManyOfAddress));
        assert_eq!(admission.open(), 2, "who is refused does not count");
        let third = admit("10.0.0.2", 1).unwrap();
        let fourth = admit("10.0.0.3", 1).unwrap();
        assert_eq!(admit("10.0.0.4", 1).err(), Some(Refusal::TooMany));
        drop(second);
        let again = admit("10.0.0.1", 4).unwrap();
        assert_eq!(metrics.accepted.get(), 5);
        assert_eq!((metrics.refused.get(), metrics.refused_of_address.get()), (1, 1));
        drop((first, third, fourth, again));
        assert_eq!((admission.open(), metrics.connections.get()), (0, 0));
        assert!(admission.lock().is_empty(), "nothing is kept of who has left");
    }
}
