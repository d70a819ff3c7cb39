//! The network between simulated members: it delays, loses and repeats requests and replies, and
//! can be cut into parts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use helenus_platform::channel;
use helenus_platform::random::{Random, SeededRandom};
use helenus_platform::runtime::{BoxFuture, Runtime, SimRuntime};

use super::super::{Metadata, locked};
use crate::cluster::raft::NodeId;
use crate::cluster::transport::{Liveness, MemberAddress, MetadataTransport, TransportError};

struct Place {
    host: NodeId,
    metadata: Arc<Metadata>,
}

#[derive(Default)]
struct State {
    places: BTreeMap<SocketAddr, Place>,
    /// Those on the other side of a cut.
    apart: BTreeSet<SocketAddr>,
    loss: f64,
    delay_max: Duration,
}

pub(in super::super) struct Network {
    random: SeededRandom,
    runtime: SimRuntime,
    state: Mutex<State>,
}

impl Network {
    pub(super) fn new(seed: u64, runtime: SimRuntime) -> Network {
        let state = State { delay_max: Duration::from_millis(2), ..State::default() };
        Network { random: SeededRandom::new(seed), runtime, state: Mutex::new(state) }
    }

    pub(super) fn connect(&self, address: SocketAddr, host: NodeId, metadata: Arc<Metadata>) {
        locked(&self.state).places.insert(address, Place { host, metadata });
    }

    pub(super) fn disconnect(&self, address: SocketAddr) {
        let gone = locked(&self.state).places.remove(&address);
        drop(gone);
    }

    /// Loses so much, and takes up to so long.
    pub(super) fn set_faults(&self, loss: f64, delay_max: Duration) {
        let mut state = locked(&self.state);
        (state.loss, state.delay_max) = (loss, delay_max);
    }

    /// Cuts these off from the others.
    pub(super) fn cut(&self, apart: BTreeSet<SocketAddr>) {
        locked(&self.state).apart = apart;
    }

    async fn travel(&self) -> bool {
        let (lost, delay) = {
            let state = locked(&self.state);
            let micros = u64::try_from(state.delay_max.as_micros()).unwrap_or(1);
            (self.random.chance(state.loss), self.random.below(micros.max(1)))
        };
        self.runtime.sleep(Duration::from_micros(50 + delay)).await;
        !lost
    }

    fn reach(&self, from: SocketAddr, to: &MemberAddress) -> Option<Arc<Metadata>> {
        let state = locked(&self.state);
        let cut = state.apart.contains(&from) != state.apart.contains(&to.address);
        let place = state.places.get(&to.address).filter(|_| !cut)?;
        Some(place.metadata.clone())
    }
}

impl Liveness for Network {
    fn is_up(&self, host: &NodeId) -> bool {
        let state = locked(&self.state);
        let mut places = state.places.iter();
        places.any(|(address, place)| place.host == *host && !state.apart.contains(address))
    }
}

/// What one member sends by.
pub(super) struct SimTransport {
    pub(super) network: Arc<Network>,
    pub(super) from: SocketAddr,
}

impl MetadataTransport for SimTransport {
    fn call(
        &self,
        to: MemberAddress,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        let (network, from) = (self.network.clone(), self.from);
        Box::pin(async move {
            let lost = || TransportError("lost".to_owned());
            let arrives = network.travel().await;
            let Some(there) = network.reach(from, &to).filter(|_| arrives) else {
                // Nobody says that a message is lost.
                network.runtime.sleep(Duration::from_secs(5)).await;
                return Err(lost());
            };
            let (sender, mut receiver) = channel::bounded(2);
            let times = if network.random.chance(0.02) { 2 } else { 1 };
            for _ in 0..times {
                let (answer, sender) = (there.handle(None, request.clone()), sender.clone());
                // It is answered whether or not somebody still waits.
                let answering = async move { drop(sender.try_send(answer.await)) };
                network.runtime.spawn("answer", Box::pin(answering));
            }
            drop((sender, there));
            let reply = receiver.recv().await.ok_or_else(lost)?;
            if !network.travel().await || network.reach(from, &to).is_none() {
                network.runtime.sleep(Duration::from_secs(5)).await;
                return Err(lost());
            }
            Ok(reply)
        })
    }
}
