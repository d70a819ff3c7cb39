//! Who is connected, for whoever wants to look: each connection keeps a few words about itself up
//! to date here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cql_lite::wire::ProtocolVersion;

/// What is known of a connection.
#[derive(Debug, Clone)]
pub struct ClientState {
    /// Where it comes from.
    pub address: SocketAddr,
    /// STARTUP has been answered.
    pub is_ready: bool,
    /// The version that it speaks.
    pub version: ProtocolVersion,
    /// The options of its STARTUP, by upper-case key.
    pub options: Arc<[(String, String)]>,
    /// The keyspace that USE chose.
    pub keyspace: Option<Arc<str>>,
    /// Requests that the node has executed for it.
    pub requests: u64,
}

#[derive(Debug)]
struct Entry {
    /// Written by one connection only.
    requests: AtomicU64,
    state: Mutex<ClientState>,
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All connections of a server.
#[derive(Debug, Default)]
pub struct Clients {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    entries: BTreeMap<u64, Arc<Entry>>,
}

impl Clients {
    /// Nobody is connected.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Everybody who is connected now, longest first.
    pub fn all(&self) -> Vec<ClientState> {
        let entries: Vec<Arc<Entry>> = self.lock().entries.values().cloned().collect();
        let state = |entry: Arc<Entry>| ClientState {
            requests: entry.requests.load(Ordering::Relaxed),
            ..entry.lock().clone()
        };
        entries.into_iter().map(state).collect()
    }

    pub(super) fn join(self: &Arc<Self>, address: SocketAddr) -> Membership {
        let state = ClientState {
            address,
            is_ready: false,
            version: ProtocolVersion::LATEST,
            options: Arc::new([]),
            keyspace: None,
            requests: 0,
        };
        let entry = Arc::new(Entry { requests: AtomicU64::new(0), state: Mutex::new(state) });
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        inner.entries.insert(id, entry.clone());
        Membership { clients: self.clone(), id, entry }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the clients; dropping it leaves.
#[derive(Debug)]
pub(super) struct Membership {
    clients: Arc<Clients>,
    id: u64,
    entry: Arc<Entry>,
}

impl Membership {
    /// One more request. Nobody else counts here, so no atomic addition is needed.
    #[inline]
    pub(super) fn count_request(&self) {
        let requests = &self.entry.requests;
        requests.store(requests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// STARTUP is settled.
    pub(super) fn set_ready(&self, version: ProtocolVersion, options: &Arc<[(String, String)]>) {
        let mut state = self.entry.lock();
        state.is_ready = true;
        state.version = version;
        state.options = options.clone();
    }

    /// USE chose a keyspace.
    pub(super) fn set_keyspace(&self, keyspace: &Arc<str>) {
        self.entry.lock().keyspace = Some(keyspace.clone());
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.clients.lock().entries.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_is_gone_and_the_others_stay() {
        let clients = Clients::new();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let first = clients.join(address(1));
        let second = clients.join(address(2));
        second.count_request();
        second.count_request();
        second.set_ready(ProtocolVersion::V4, &Arc::from([("A".to_owned(), "b".to_owned())]));
        drop(first);
        let all = clients.all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].address.port(), all[0].requests, all[0].is_ready), (2, 2, true));
        drop(second);
        assert!(clients.all().is_empty());
    }
}
