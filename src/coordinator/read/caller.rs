//! What all parts of one read share: sending requests, the time, what was sent to replicas that
//! lacked it, and how far this node's own log must have come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use helenus_storage::Write;
use helenus_storage::model::{KeyspaceId, LogPosition};
use helenus_storage::{Error, ErrorKind};

use super::arrivals::{Arrivals, Response};
use super::{Contact, ReadOptions, ReadWorld, Speculation};
use crate::coordinator::mutation_message;
use crate::internode::{Request, Verb};

/// Bytes of repairs that may be on their way before the read waits for them.
const REPAIRS_BYTES_MAX: usize = 4 << 20;

/// One read's view of the world.
pub(super) struct Caller {
    pub(super) world: Arc<ReadWorld>,
    pub(super) arrivals: Arc<Arrivals>,
    /// Requests that could not be sent, as if they had been answered.
    unsent: Vec<(u32, Response)>,
    last_tag: u32,
    pub(super) keyspace: KeyspaceId,
    pub(super) rows_hint: u64,
    pub(super) metadata_version: u64,
    pub(super) deadline: Duration,
    /// All the time that there was.
    timeout: Duration,
    speculation: Speculation,
    /// The answer is to be held until the own log has come here.
    pub(super) newest: LogPosition,
    /// Tombstones that this node stepped over.
    pub(super) tombstones: u64,
    /// Bytes of repairs that were sent and not acknowledged, by their tags.
    repairs: BTreeMap<u32, usize>,
    repairs_bytes: usize,
    /// A repair will not be acknowledged.
    pub(super) is_repair_lost: bool,
}

impl Caller {
    pub(super) fn new(world: Arc<ReadWorld>, options: &ReadOptions) -> Caller {
        let timeout = options.deadline.saturating_sub(world.clock.monotonic());
        Caller {
            world,
            arrivals: Arc::new(Arrivals::default()),
            unsent: Vec::new(),
            last_tag: 0,
            keyspace: options.keyspace,
            rows_hint: options.rows_hint.max(1),
            metadata_version: options.metadata_version,
            deadline: options.deadline,
            timeout,
            speculation: options.speculation,
            newest: LogPosition::START,
            tombstones: 0,
            repairs: BTreeMap::new(),
            repairs_bytes: 0,
            is_repair_lost: false,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.world.clock.monotonic()
    }

    /// A tag that no other request of this read has.
    pub(super) fn tag(&mut self) -> u32 {
        self.last_tag = self.last_tag.wrapping_add(1);
        self.last_tag
    }

    /// When a request that is sent now is late; none if it never is.
    pub(super) fn late_at(&self, contact: &Contact, now: Duration) -> Option<Duration> {
        let latencies = &self.world.latencies;
        let delay = latencies.delay(&contact.host_id, self.speculation, self.timeout)?;
        Some(now + delay)
    }

    /// Sends a request, of which the answer comes with `tag`.
    pub(super) fn send(&mut self, contact: &Contact, verb: Verb, payload: Bytes, tag: u32) {
        let request = Request { verb, payload, deadline: self.deadline, trace: None };
        let to = self.arrivals.clone();
        let sent = self.world.internode.request_with(&contact.target, request, to, tag);
        if let Err(error) = sent {
            self.unsent.push((tag, Err(error)));
        }
    }

    /// What has come since the last call, without acknowledgements of repairs.
    pub(super) fn take_arrived(&mut self) -> Vec<(u32, Response)> {
        let mut arrived = std::mem::take(&mut self.unsent);
        arrived.extend(self.arrivals.take());
        if !self.repairs.is_empty() {
            arrived.retain(|(tag, response)| match self.repairs.remove(tag) {
                Some(bytes) => {
                    self.repairs_bytes -= bytes;
                    self.is_repair_lost |= response.is_err();
                    false
                }
                None => true,
            });
        }
        arrived
    }

    /// Whether something has come that `take_arrived` has not given.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends a replica what it lacks; to this node's own engine, writes it.
    pub(super) fn repair(&mut self, contact: &Contact, mutation: &[u8]) -> Result<(), Error> {
        self.world.metrics.repairs.increment();
        if contact.is_self {
            return match self.world.engine.write(&[mutation])? {
                Write::Done { position, .. } => {
                    self.newest = self.newest.max(position);
                    Ok(())
                }
                Write::Full => {
                    let what = "memory for writes is exhausted until a flush has ended";
                    Err(Error::new(ErrorKind::Full, what))
                }
            };
        }
        let payload = mutation_message::encode(self.metadata_version, mutation);
        let tag = self.tag();
        self.repairs.insert(tag, payload.len());
        self.repairs_bytes += payload.len();
        self.send(contact, Verb::Mutation, payload, tag);
        Ok(())
    }

    /// Whether repairs are not acknowledged.
    pub(super) fn has_repairs(&self) -> bool {
        !self.repairs.is_empty()
    }

    /// Whether so many are not that they are to be waited for before there are more.
    pub(super) fn has_many_repairs(&self) -> bool {
        self.repairs_bytes > REPAIRS_BYTES_MAX
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.arrivals.close();
    }
}
