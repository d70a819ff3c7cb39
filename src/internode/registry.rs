//! The connections of other nodes to this one: how many there may be, who is behind them, and a
//! way to tell them to end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use helenus_platform::stop::Stop;

use super::error::{Reason, Refusal};
use super::handler::Peer;
use super::limits::Limits;
use super::own::host_name;

/// One accepted connection, as others see it.
pub(super) struct Accepted {
    pub(super) peer: Peer,
    instance: u64,
    /// When it was last heard of, in milliseconds of monotonic time.
    heard: AtomicU64,
    /// The connection is to end.
    pub(super) close: Stop,
    pub(super) received: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) pending: AtomicUsize,
    pub(super) is_paused: AtomicBool,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Accepted {
    pub(super) fn hear(&self, now: Duration) {
        self.heard.store(millis(now), Ordering::Relaxed);
    }

    pub(super) fn silent(&self, now: Duration) -> Duration {
        Duration::from_millis(millis(now).saturating_sub(self.heard.load(Ordering::Relaxed)))
    }
}

#[derive(Default)]
pub(super) struct Registry {
    connections: Mutex<BTreeMap<u64, Arc<Accepted>>>,
    last_id: AtomicU64,
    /// Connections of which it is not known yet whose they are.
    strangers: AtomicUsize,
}

/// A connection's place among those that have not said who they are.
pub(super) struct Stranger(Arc<super::shared::Shared>);

impl Stranger {
    /// None if there are too many.
    pub(super) fn admit(shared: &Arc<super::shared::Shared>) -> Option<Self> {
        let strangers = &shared.registry.strangers;
        let admitted = strangers.fetch_add(1, Ordering::SeqCst) < shared.limits.handshakes_max;
        let stranger = Stranger(shared.clone());
        admitted.then_some(stranger)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.registry.strangers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection's place in the registry.
pub(super) struct Registered {
    shared: Arc<super::shared::Shared>,
    id: u64,
    pub(super) accepted: Arc<Accepted>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.registry.lock().remove(&self.id);
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Accepted>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<Arc<Accepted>> {
        self.lock().values().cloned().collect()
    }

    /// Makes every connection end for which `which` says so.
    pub(super) fn close(&self, which: impl Fn(&Accepted) -> bool) {
        for accepted in self.all().iter().filter(|accepted| which(accepted)) {
            accepted.close.raise();
        }
    }
}

/// Registers a connection whose other side says to be `peer`. Connections of an earlier life of
/// that node are closed; if it seems to live twice, the one that was first is believed.
pub(super) fn register(
    shared: &Arc<super::shared::Shared>,
    peer: Peer,
    instance: u64,
) -> Result<Registered, Refusal> {
    let now = shared.now();
    let limits = &shared.limits;
    let mut connections = shared.registry.lock();
    let is_full = connections.len() >= limits.connections_max;
    let same_host = |accepted: &&Arc<Accepted>| accepted.peer.host_id == peer.host_id;
    let others: Vec<Arc<Accepted>> = connections
        .values()
        .filter(same_host)
        .filter(|accepted| accepted.instance != instance)
        .cloned()
        .collect();
    let twin = others.iter().find(|accepted| {
        let moved =
            accepted.peer.address != peer.address || accepted.peer.remote.ip() != peer.remote.ip();
        moved && !accepted.close.is_raised() && accepted.silent(now) < limits.silence_timeout
    });
    if let Some(twin) = twin {
        return Err(host_id_taken(&peer, twin));
    }
    if is_full {
        return Err(too_many(limits));
    }
    let id = shared.registry.last_id.fetch_add(1, Ordering::SeqCst);
    let accepted = Arc::new(Accepted {
        peer,
        instance,
        heard: AtomicU64::new(millis(now)),
        close: Stop::default(),
        received: AtomicU64::new(0),
        received_bytes: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        sent_bytes: AtomicU64::new(0),
        pending: AtomicUsize::new(0),
        is_paused: AtomicBool::new(false),
    });
    connections.insert(id, accepted.clone());
    drop(connections);
    others.iter().for_each(|accepted| accepted.close.raise());
    Ok(Registered { shared: shared.clone(), id, accepted })
}

fn host_id_taken(peer: &Peer, twin: &Accepted) -> Refusal {
    Refusal::new(
        Reason::HostIdTaken,
        format!(
            "the host id {} belongs to a live node at {} (connected from {}) already: a data \
             directory was copied; stop one of the two and start it with an empty directory (a \
             node that has moved is let in once its old connections are silent)",
            host_name(peer.host_id),
            twin.peer.address,
            twin.peer.remote.ip()
        ),
    )
}

fn too_many(limits: &Limits) -> Refusal {
    Refusal::new(
        Reason::TooMany,
        format!("there are {} connections of other nodes already", limits.connections_max),
    )
}
