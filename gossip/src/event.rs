//! What has changed, for the node to act on; and what has been counted, for its metrics.

use std::net::SocketAddr;

use crate::id::{ClusterId, Generation, HostId};
use crate::shadow::ShadowReport;
use crate::state::Key;

/// A change of what we know, or of what we think.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A node that was not known. Whether it is up, `Up` will tell.
    Discovered(HostId),
    /// A known node began a new life: all it said before is gone.
    Restarted(HostId),
    /// We think that it is up.
    Up(HostId),
    /// We think that it is down.
    Down(HostId),
    /// A node says something else than before.
    Changed {
        /// Who.
        host: HostId,
        /// Of what.
        key: Key,
    },
    /// It has left the cluster for good.
    Left(HostId),
    /// It was taken out of the cluster.
    Removed(HostId),
    /// Nothing is remembered of it any more.
    Forgotten(HostId),
    /// Somebody else announces a later life of our own host id: two processes share one identity.
    /// One of them must stop.
    Impersonated {
        /// That life.
        generation: Generation,
    },
    /// The others have removed us: we say nothing more. The host id cannot be used again.
    RemovedOurselves,
    /// The shadow round is over; `announce` is what comes next.
    ShadowDone(ShadowReport),
    /// There was more than is kept: look at the view, as if everything had changed.
    Overflow,
}

/// What a seed said in the shadow round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeedAnswer {
    /// The address that answered.
    pub address: SocketAddr,
    /// Who it is.
    pub host: HostId,
    /// The cluster that it belongs to; `None`: its data directory belongs to none yet.
    pub cluster_id: Option<ClusterId>,
    /// It has not announced itself either, and so knows nothing of others.
    pub in_shadow: bool,
}

/// How often what has happened, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Rounds.
    pub rounds: u64,
    /// Exchanges that we began.
    pub exchanges_begun: u64,
    /// Exchanges that were answered in time.
    pub exchanges_answered: u64,
    /// Exchanges that were not.
    pub exchanges_timed_out: u64,
    /// Exchanges that others began and we answered.
    pub answers: u64,
    /// SYNs that were not answered because there were too many in one interval.
    pub answers_refused: u64,
    /// Bytes that were no message.
    pub refused_undecodable: u64,
    /// Messages of another cluster.
    pub refused_cluster: u64,
    /// Messages that came after their exchange was over; what they said was used nevertheless.
    pub late: u64,
    /// States whose generation is too far in the future.
    pub refused_generation: u64,
    /// States of quarantined nodes.
    pub refused_quarantined: u64,
    /// Nodes that are one too many.
    pub refused_full: u64,
    /// Deltas that did not follow on what we have.
    pub refused_gap: u64,
    /// Values that broke a limit.
    pub refused_value: u64,
    /// Times that our own process stood still for longer than a few rounds.
    pub pauses: u64,
    /// Nodes that we thought up and then down.
    pub convictions: u64,
    /// Outputs that were dropped because nobody took them.
    pub outputs_dropped: u64,
    /// The longest silence, in microseconds, of a node that turned out to be up all along.
    pub silence_micros_max: u64,
}
