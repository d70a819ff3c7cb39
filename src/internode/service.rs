//! The node's end of all connections: sending, listening, looking, closing.

use std::collections::btree_map::Entry;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use helenus_platform::signal::Slot;

use super::error::RequestError;
use super::handler::{MessageHandler, Peer};
use super::lane::{Lane, NotTaken, Outgoing, ReplyTo};
use super::limits::Limits;
use super::listener;
use super::metrics::InternodeMetrics;
use super::own::Own;
use super::pending::Responses;
use super::request::{OneAnswer, Response};
use super::shared::Shared;
use super::verb::{Channel, Verb};
use super::view::{self, ConnectionView};
use super::{Target, World};

/// Lanes that there may be before unused ones are looked for.
const LANES_KEPT: usize = 64;

/// A request to another node.
#[derive(Debug, Clone)]
pub struct Request {
    /// What it is about.
    pub verb: Verb,
    /// What it says, in the layout of the verb's owner. Cloning is cheap, so one payload can go to
    /// many nodes.
    pub payload: Bytes,
    /// By then the answer must be here; on the monotonic time of the node's clock.
    pub deadline: Duration,
    /// The receiver is to record its steps under this id.
    pub trace: Option<[u8; 16]>,
}

/// The node's connections to other nodes. Dropping it closes them, without waiting.
pub struct Internode {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Internode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Internode").field("own", &self.own()).finish_non_exhaustive()
    }
}

impl Internode {
    /// No connections yet.
    pub fn new(world: World, own: Own, limits: Limits, metrics: Arc<InternodeMetrics>) -> Self {
        let shared = Arc::new(Shared::new(world, own, limits, metrics));
        let sweeper = shared.clone();
        shared.spawn("internode sweep", Box::pin(async move { sweep(&sweeper).await }));
        Internode { shared }
    }

    /// Accepts connections of other nodes on `address`, and hands their messages to `handler`.
    /// Gives the address with the real port.
    pub async fn listen(
        &self,
        address: SocketAddr,
        handler: Arc<dyn MessageHandler>,
    ) -> io::Result<SocketAddr> {
        let listener = self.shared.network.bind(address).await?;
        let address = listener.local_addr()?;
        let task = listener::accept(listener, self.shared.clone(), handler);
        self.shared.spawn("internode accept", Box::pin(task));
        Ok(address)
    }

    /// Sends a message to which there is no answer. It is lost without a word if the connection
    /// breaks, or if it could not be sent within [`Limits::one_way_timeout`]. Messages of one
    /// channel to one target arrive in order.
    ///
    /// # Errors
    /// If it cannot even be queued.
    pub fn send(&self, target: &Target, verb: Verb, payload: Bytes) -> Result<(), RequestError> {
        let deadline = self.shared.now() + self.shared.limits.one_way_timeout;
        let request = Request { verb, payload, deadline, trace: None };
        self.enqueue(target, request, None)
    }

    /// Sends a request, of which the answer goes to `to`, with `tag`: one value of `to` can serve
    /// any number of requests, and nothing is allocated and no task started for this one.
    ///
    /// # Errors
    /// If it cannot be queued; then `to` hears nothing. Otherwise it hears exactly once.
    pub fn request_with(
        &self,
        target: &Target,
        request: Request,
        to: Arc<dyn Responses>,
        tag: u32,
    ) -> Result<(), RequestError> {
        self.enqueue(target, request, Some(ReplyTo { to: Some(to), tag }))
    }

    /// Sends a request and waits for the answer, at most until its deadline. It is sent by this
    /// call, not by the first poll.
    pub fn request(&self, target: &Target, request: Request) -> Response {
        let answer = Arc::new(OneAnswer::default());
        match self.request_with(target, request, answer.clone(), 0) {
            Ok(()) => Response(Ok(answer)),
            Err(error) => Response(Err(Some(error))),
        }
    }

    /// A deadline so far from now.
    pub fn deadline(&self, timeout: Duration) -> Duration {
        self.shared.now() + timeout
    }

    fn enqueue(
        &self,
        target: &Target,
        request: Request,
        mut reply_to: Option<ReplyTo>,
    ) -> Result<(), RequestError> {
        if self.shared.stop.is_raised() {
            return Err(RequestError::Stopped);
        }
        let Request { verb, payload, deadline, trace } = request;
        let max = self.shared.limits.message_bytes_max;
        if payload.len() > max {
            return Err(RequestError::TooLarge { bytes: payload.len(), max });
        }
        let channel = self.channel_of(verb, payload.len());
        let mut message = Outgoing { verb, payload, deadline, trace, id: None };
        loop {
            match self.lane(*target, channel).send(message, reply_to) {
                Ok(()) => return Ok(()),
                Err(NotTaken::Error(error)) => return Err(error),
                Err(NotTaken::Removed(back, to)) => (message, reply_to) = (back, to),
            }
        }
    }

    fn channel_of(&self, verb: Verb, payload_bytes: usize) -> Channel {
        match verb.channel() {
            Channel::Urgent | Channel::Normal
                if payload_bytes >= self.shared.limits.large_bytes =>
            {
                Channel::Large
            }
            channel => channel,
        }
    }

    fn lane(&self, target: Target, channel: Channel) -> Arc<Lane> {
        let key = (target, channel);
        let lanes = &self.shared.lanes;
        if let Some(lane) = lanes.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return lane.clone();
        }
        let mut lanes = lanes.write().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= LANES_KEPT {
            let before = self.shared.now().saturating_sub(self.shared.limits.idle_timeout);
            lanes.retain(|_, lane| !lane.try_remove(before));
        }
        match lanes.entry(key) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                entry.insert(Lane::new(target, channel, self.shared.clone())).clone()
            }
        }
    }

    /// What the node says of itself.
    pub fn own(&self) -> Own {
        self.shared.own()
    }

    /// The node has founded or joined this cluster. Connections that were opened before end, since
    /// their other side takes this node for one without a cluster.
    pub fn set_cluster(&self, cluster_id: [u8; 16]) {
        if self.shared.set_cluster(cluster_id) {
            for lane in self.shared.all_lanes() {
                lane.give_up("this node has become a member of a cluster");
            }
            self.shared.registry.close(|_| true);
        }
    }

    /// From now on, others are told this feature level when connections are opened.
    pub fn set_feature_level(&self, feature_level: u32) {
        self.shared.lock_own().feature_level = feature_level;
    }

    /// Closes all connections to and from a node, which has left the cluster. The next message for
    /// it would open one again.
    pub fn forget(&self, host_id: [u8; 16]) {
        for lane in self.shared.all_lanes() {
            let peer = lane.view().peer.map(|peer| peer.host_id);
            if lane.target.host_id == Some(host_id) || peer == Some(host_id) {
                lane.give_up("the node has left the cluster");
            }
        }
        self.shared.registry.close(|accepted| accepted.peer.host_id == host_id);
    }

    /// What is known of a node from a connection to it that is open now; the feature level above
    /// all.
    pub fn peer(&self, target: &Target) -> Option<Peer> {
        let lanes = self.shared.all_lanes();
        lanes.iter().filter(|lane| lane.target == *target).find_map(|lane| lane.view().peer)
    }

    /// Every connection, those that this node opened first.
    pub fn connections(&self) -> Vec<ConnectionView> {
        let lanes = self.shared.all_lanes();
        let out = lanes.iter().map(|lane| view::of_lane(lane));
        let accepted = self.shared.registry.all();
        out.chain(accepted.iter().map(|accepted| view::of_accepted(accepted))).collect()
    }

    /// Bytes that wait to be sent, on all connections.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// Memory that large frames of other nodes take now.
    pub fn receiving_bytes(&self) -> usize {
        self.shared.receive.taken()
    }

    /// Takes no more messages, fails what waits for answers, answers what other nodes have asked
    /// already, and waits for that, but not longer than [`Limits::drain_timeout`].
    pub async fn close(&self) {
        self.stop();
        let shared = &self.shared;
        // The connections' own patience ends first.
        let mut late =
            shared.runtime.sleep(shared.limits.drain_timeout + shared.limits.drain_timeout / 4);
        let mut slot = Slot::default();
        poll_fn(|context| {
            shared.ended.register(&mut slot, context.waker());
            if shared.tasks() == 0 {
                return Poll::Ready(());
            }
            late.as_mut().poll(context)
        })
        .await;
        shared.ended.unregister(&mut slot);
    }

    fn stop(&self) {
        self.shared.stop.raise();
        self.shared.work.notify_all();
    }
}

impl Drop for Internode {
    fn drop(&mut self) {
        self.stop();
        // Lanes hold what holds them.
        let lanes = &self.shared.lanes;
        std::mem::take(&mut *lanes.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Looks at all deadlines every [`Limits::sweep_interval`] while there are any.
async fn sweep(shared: &Arc<Shared>) {
    let interval = shared.limits.sweep_interval;
    let mut expired = Vec::new();
    let mut swept_at = shared.now();
    while !shared.stop.is_raised() {
        let epoch = shared.work.epoch();
        let now = shared.now();
        let is_late = now.saturating_sub(swept_at) > shared.limits.probe_interval;
        swept_at = now;
        let mut has_work = false;
        for lane in shared.all_lanes() {
            has_work |= lane.sweep(now, is_late, &mut expired);
            for waiting in expired.drain(..) {
                shared.respond(waiting, Err(RequestError::Timeout));
            }
        }
        if has_work {
            shared.runtime.sleep(interval).await;
        } else {
            shared.work.wait_past(epoch).await;
            swept_at = shared.now();
        }
    }
}
