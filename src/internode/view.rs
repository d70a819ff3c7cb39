//! The connections as an operator sees them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::error::Refusal;
use super::lane::Lane;
use super::registry::Accepted;
use super::verb::Channel;

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// This node: it sends requests there.
    Outbound,
    /// The other: it sends requests here.
    Inbound,
}

/// How a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// There is one.
    Up,
    /// There is one, and it is not read because memory is short.
    Paused,
    /// It is being opened.
    Connecting,
    /// There is none because none was needed.
    Idle,
    /// There is none, and this is why.
    Down(Arc<str>),
}

/// One connection, or the place of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionView {
    /// Who opened it.
    pub direction: Direction,
    /// The node's address.
    pub address: SocketAddr,
    /// The node, if that is known.
    pub host_id: Option<[u8; 16]>,
    /// The channel.
    pub channel: Channel,
    /// How it is.
    pub state: ConnectionState,
    /// Why there is none, if one of the two nodes did not want to talk.
    pub refusal: Option<Refusal>,
    /// Messages that wait to be sent.
    pub queued: usize,
    /// What they take.
    pub queued_bytes: usize,
    /// Requests that wait for an answer of the peer, or that are being worked on for it.
    pub pending: usize,
    /// Messages that were written, and their bytes on the wire.
    pub sent: u64,
    /// See `sent`.
    pub sent_bytes: u64,
    /// Messages that were read, and their bytes on the wire.
    pub received: u64,
    /// See `received`.
    pub received_bytes: u64,
    /// Messages that were given up before they were sent.
    pub dropped: u64,
    /// Requests that had no answer by their deadline.
    pub timeouts: u64,
    /// How often it was opened.
    pub opened: u64,
}

pub(super) fn of_lane(lane: &Lane) -> ConnectionView {
    let view = lane.view();
    let counts = &lane.counts;
    let state = match (&view.peer, view.why) {
        (Some(_), _) => ConnectionState::Up,
        _ if view.is_connecting => ConnectionState::Connecting,
        (None, Some(why)) => ConnectionState::Down(why),
        (None, None) => ConnectionState::Idle,
    };
    ConnectionView {
        direction: Direction::Outbound,
        address: lane.target.address,
        host_id: view.peer.map(|peer| peer.host_id).or(lane.target.host_id),
        channel: lane.channel,
        state,
        refusal: view.refusal,
        queued: view.queued,
        queued_bytes: view.queued_bytes,
        pending: view.waiting,
        sent: counts.sent.load(Relaxed),
        sent_bytes: counts.sent_bytes.load(Relaxed),
        received: counts.received.load(Relaxed),
        received_bytes: counts.received_bytes.load(Relaxed),
        dropped: counts.dropped.load(Relaxed),
        timeouts: counts.timeouts.load(Relaxed),
        opened: counts.opened.load(Relaxed),
    }
}

pub(super) fn of_accepted(accepted: &Accepted) -> ConnectionView {
    let is_paused = accepted.is_paused.load(Relaxed);
    ConnectionView {
        direction: Direction::Inbound,
        address: accepted.peer.address,
        host_id: Some(accepted.peer.host_id),
        channel: accepted.peer.channel,
        state: if is_paused { ConnectionState::Paused } else { ConnectionState::Up },
        refusal: None,
        queued: 0,
        queued_bytes: 0,
        pending: accepted.pending.load(Relaxed),
        sent: accepted.sent.load(Relaxed),
        sent_bytes: accepted.sent_bytes.load(Relaxed),
        received: accepted.received.load(Relaxed),
        received_bytes: accepted.received_bytes.load(Relaxed),
        dropped: 0,
        timeouts: 0,
        opened: 1,
    }
}
