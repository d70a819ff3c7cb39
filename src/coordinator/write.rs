//! A client's write on its replicas.
//!
//! What is on this node alone goes straight into its engine. Everything else is sent to all
//! replicas at once, and answered when the level is fulfilled; replicas that are away, or do not
//! acknowledge in time, get a hint. One [`Operation`] takes all acknowledgements of a request: no
//! task and no timer is made for it, since internode reports a request that is too late.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use cql_lite::wire::{Consistency, ErrorKind, Failures, Progress, WriteType, failure_reason};
use helenus_platform::runtime::BoxFuture;
use helenus_storage::Write;
use helenus_storage::model::{LogPosition, MutationRef};

use super::hints::Hints;
use super::level::Needs;
use super::mutation_message;
use super::placement::{NodeNumber, Placement, Replicas};
use super::requests::{Coordinator, Peers};
use super::{batch_log, failure};
use crate::cluster::state::ClusterState;
use crate::error::{Error, Result};
use crate::internode::{Failure, Request, RequestError, Responses, Verb};

/// How long a write waits for this node to learn of a change of the ring.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a write is placed anew because the ring has changed.
const TRIES: u32 = 3;

/// How a write is asked for.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// The level.
    pub consistency: Consistency,
    /// What errors call it.
    pub kind: WriteType,
    /// The caller writes out the log at the end of its turn (`Engine::write_out`), if the write
    /// is on this node alone.
    pub deferred: bool,
}

/// How a write begins.
pub enum Written {
    /// It is on this node alone; the answer may leave when the log has reached this position.
    Here(LogPosition),
    /// Replicas have been asked.
    Asked(ReplicatedWrite),
}

/// A write that waits for its replicas.
pub struct ReplicatedWrite(Waits);

enum Waits {
    Replicas(Box<Asked>),
    /// For the batch log first.
    BatchLog(BoxFuture<'static, Result<Option<LogPosition>>>),
}

/// Replicas that have been asked.
struct Asked {
    operation: Arc<Operation>,
    /// Of the part that is on this node.
    position: Option<LogPosition>,
    hints: Arc<Hints>,
    coordinator: Arc<Coordinator>,
    options: WriteOptions,
    /// What the write was placed by.
    version: u64,
    /// How often it may still be placed anew.
    tries: u32,
}

impl std::fmt::Debug for ReplicatedWrite {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReplicatedWrite").finish_non_exhaustive()
    }
}

/// What internode says of one replica's answer.
type Response = std::result::Result<Bytes, RequestError>;

/// One mutation of a request.
struct Part {
    placement: Arc<Placement>,
    needs: Needs,
    acked: Vec<NodeNumber>,
    /// Asked, and not heard of.
    waiting: Vec<NodeNumber>,
    failures: Vec<(IpAddr, u16)>,
    /// Somebody was left a hint.
    hinted: bool,
    /// Somebody has refused because the ring has changed.
    is_outdated: bool,
    state: PartState,
    payload: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartState {
    Open,
    Fulfilled,
    /// Too few can still acknowledge.
    Hopeless,
}

impl Part {
    /// Looks whether the level is fulfilled, or cannot be any more.
    fn decide(&mut self) {
        if self.state != PartState::Open {
            return;
        }
        if self.placement.are_enough(&self.needs, &self.acked) {
            self.state = PartState::Fulfilled;
            return;
        }
        let possible = [self.acked.as_slice(), &self.waiting].concat();
        if !self.placement.are_enough(&self.needs, &possible) {
            self.state = PartState::Hopeless;
        }
    }
}

/// All parts of a request, and who waits for them.
struct Operation {
    level: Consistency,
    kind: WriteType,
    created_micros: i64,
    hints: Arc<Hints>,
    progress: Mutex<Parts>,
}

struct Parts {
    parts: Vec<Part>,
    waker: Option<Waker>,
}

/// What became of an operation.
enum Outcome {
    Fulfilled,
    /// Nobody has it, but somebody will be given it: enough for ANY.
    Hinted,
    /// The ring has changed meanwhile: to be sent again.
    Outdated,
    Failed(Error),
}

impl Operation {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outcome(&self, parts: &[Part]) -> Option<Outcome> {
        let mut is_hinted = false;
        for part in parts {
            match part.state {
                PartState::Fulfilled => {}
                PartState::Open => return None,
                PartState::Hopeless if self.level == Consistency::Any && part.hinted => {
                    is_hinted = true;
                }
                PartState::Hopeless if part.is_outdated => return Some(Outcome::Outdated),
                PartState::Hopeless => return Some(Outcome::Failed(self.error(part))),
            }
        }
        Some(if is_hinted { Outcome::Hinted } else { Outcome::Fulfilled })
    }

    fn error(&self, part: &Part) -> Error {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let received = number(part.acked.len());
        let block_for = number(part.needs.total());
        let progress = Progress { consistency: self.level, received, block_for };
        let write_type = self.kind;
        if part.failures.is_empty() {
            let kind = ErrorKind::WriteTimeout { progress, write_type, contentions: None };
            let only = format!("Operation timed out - received only {received} responses.");
            return Error::new(kind, only);
        }
        let count = number(part.failures.len());
        let failures = Failures { count, reasons: part.failures.clone() };
        let kind = ErrorKind::WriteFailure { progress, failures, write_type };
        let what = "Operation failed - received";
        Error::new(kind, format!("{what} {received} responses and {count} failures"))
    }

    fn leave_hint(&self, part: &mut Part, number: NodeNumber) {
        let Some(node) = part.placement.node(number) else { return };
        let Ok((_, mutation)) = mutation_message::decode(&part.payload) else { return };
        part.hinted |= self.hints.take(node.host_id, mutation, self.created_micros);
    }

    fn take(&self, part: &mut Part, number: NodeNumber, response: Response) {
        part.waiting.retain(|waiting| *waiting != number);
        match response {
            Ok(_) => part.acked.push(number),
            Err(error) => {
                if let RequestError::Failed(failure) = &error {
                    part.is_outdated |= failure.code == failure::OLD_RING;
                    let address = part.placement.node(number).map(|node| node.target.address.ip());
                    part.failures.extend(address.map(|ip| (ip, reason(failure))));
                }
                if !is_for_good(&error) {
                    self.leave_hint(part, number);
                }
            }
        }
        part.decide();
    }
}

/// Whether asking again later would be answered in the same way.
fn is_for_good(error: &RequestError) -> bool {
    match error {
        RequestError::Failed(failure) => {
            matches!(failure.code, failure::UNKNOWN_TABLE | failure::MALFORMED)
        }
        RequestError::TooLarge { .. } => true,
        _ => false,
    }
}

/// The protocol's code for a replica's failure.
pub(super) fn reason(failure: &Failure) -> u16 {
    match failure.code {
        failure::TOMBSTONES => failure_reason::READ_TOO_MANY_TOMBSTONES,
        failure::UNKNOWN_TABLE => failure_reason::INCOMPATIBLE_SCHEMA,
        _ => failure_reason::UNKNOWN,
    }
}

impl Responses for Operation {
    fn respond(&self, tag: u32, response: Response) {
        let (part, number) = split(tag);
        let mut parts = self.parts();
        let Some(part) = parts.parts.get_mut(part) else { return };
        self.take(part, number, response);
        let is_decided = self.outcome(&parts.parts).is_some();
        let waker = parts.waker.take_if(|_| is_decided);
        drop(parts);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A request has at most 65,535 statements, and a cluster has fewer members.
fn tag(part: usize, number: NodeNumber) -> Option<u32> {
    let part = u16::try_from(part).ok()?;
    Some(u32::from(part) << 16 | u32::from(number))
}

fn split(tag: u32) -> (usize, NodeNumber) {
    let [low, high, number_high, number_low] = tag.to_be_bytes();
    let part = u16::from_be_bytes([low, high]);
    (usize::from(part), u16::from_be_bytes([number_high, number_low]))
}

impl ReplicatedWrite {
    /// Waits until the level is fulfilled or cannot be. The answer may leave when the log has
    /// reached the position, if there is one. Dropping it leaves the write under way.
    pub fn outcome(self) -> BoxFuture<'static, Result<Option<LogPosition>>> {
        match self.0 {
            Waits::Replicas(asked) => asked.outcome(),
            Waits::BatchLog(outcome) => outcome,
        }
    }
}

impl Asked {
    fn outcome(self: Box<Self>) -> BoxFuture<'static, Result<Option<LogPosition>>> {
        Box::pin(async move {
            let operation = &self.operation;
            let outcome = poll_fn(|context| {
                let mut parts = operation.parts();
                match operation.outcome(&parts.parts) {
                    Some(outcome) => Poll::Ready(outcome),
                    None => {
                        parts.waker = Some(context.waker().clone());
                        Poll::Pending
                    }
                }
            });
            match outcome.await {
                Outcome::Fulfilled => Ok(self.position),
                Outcome::Failed(error) => Err(error),
                Outcome::Hinted => {
                    // The hint is all that there is of it.
                    self.hints.flushed().await?;
                    Ok(self.position)
                }
                Outcome::Outdated => {
                    let metadata = &self.coordinator.metadata;
                    metadata.reached(self.version + 1, CATCH_UP_TIMEOUT).await;
                    if self.tries == 0 {
                        let what = "the ring changes faster than the write; try again";
                        return Err(Error::overloaded(what));
                    }
                    let payloads: Vec<Bytes> =
                        operation.parts().parts.iter().map(|part| part.payload.clone()).collect();
                    let read = |payload| mutation_message::decode(payload).map(|(_, bytes)| bytes);
                    let records: Vec<&[u8]> =
                        payloads.iter().filter_map(|p| read(p).ok()).collect();
                    match self.coordinator.write_to_replicas(&records, self.options)? {
                        Written::Here(position) => Ok(Some(position)),
                        Written::Asked(ReplicatedWrite(Waits::Replicas(mut again))) => {
                            again.tries = self.tries - 1;
                            again.outcome().await
                        }
                        Written::Asked(again) => again.outcome().await,
                    }
                }
            }
        })
    }
}

impl Coordinator {
    /// Writes mutations, each of one partition.
    ///
    /// # Errors
    /// Too few replicas are up, or this node has no memory for its part: nothing was written.
    /// And those of the engine.
    pub fn write(self: &Arc<Self>, records: &[&[u8]], options: WriteOptions) -> Result<Written> {
        let state = self.metadata.state();
        if self.are_here(&state, records, options.consistency)? {
            let engine = &self.engine;
            let write = match options.deferred {
                true => engine.write_deferred(records)?,
                false => engine.write(records)?,
            };
            let position = done(write)?;
            if self.is_current(&state) {
                return Ok(Written::Here(position));
            }
        }
        if options.kind == WriteType::Batch && records.len() > 1 {
            let records = records.iter().map(|record| Bytes::copy_from_slice(record)).collect();
            let write = batch_log::write(self.clone(), records, options);
            return Ok(Written::Asked(ReplicatedWrite(Waits::BatchLog(Box::pin(write)))));
        }
        self.write_to_replicas(records, options)
    }

    /// Whether what was placed by `state` may stand: nobody has become a replica since, who may
    /// have looked at this node's data before the write was there.
    fn is_current(&self, state: &ClusterState) -> bool {
        self.metadata.ring_version() <= state.version
    }

    /// Whether all of these are on this node alone, and that is enough for the level.
    fn are_here(
        &self,
        state: &Arc<ClusterState>,
        records: &[&[u8]],
        level: Consistency,
    ) -> Result<bool> {
        for record in records {
            let mutation = MutationRef::parse(record)?;
            let placement = self.placement(state, mutation.keyspace())?;
            if !placement.is_here(mutation.key().token) || placement.needs(level).total() > 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks whether enough replicas of all of these are up.
    pub(super) fn check_replicas(
        &self,
        state: &Arc<ClusterState>,
        records: &[&[u8]],
        level: Consistency,
    ) -> Result<()> {
        for record in records {
            let mutation = MutationRef::parse(record)?;
            let placement = self.placement(state, mutation.keyspace())?;
            let replicas = placement.replicas(mutation.key().token.0);
            let needs = placement.needs_of_write(level, replicas);
            let mut alive = self.alive(&placement, &replicas.natural);
            alive.extend(self.alive(&placement, &replicas.pending));
            if level != Consistency::Any {
                placement.check_alive(level, &needs, &alive)?;
            }
        }
        Ok(())
    }

    pub(super) fn write_to_replicas(
        self: &Arc<Self>,
        records: &[&[u8]],
        options: WriteOptions,
    ) -> Result<Written> {
        let state = self.metadata.state();
        let level = options.consistency;
        let mut parts = Vec::with_capacity(records.len());
        let mut placed: Vec<Arc<Replicas>> = Vec::with_capacity(records.len());
        let mut here: Vec<&[u8]> = Vec::new();
        for record in records {
            let mutation = MutationRef::parse(record)?;
            let placement = self.placement(&state, mutation.keyspace())?;
            let replicas = placement.replicas(mutation.key().token.0).clone();
            let needs = placement.needs_of_write(level, &replicas);
            let mut alive = self.alive(&placement, &replicas.natural);
            alive.extend(self.alive(&placement, &replicas.pending));
            if level != Consistency::Any {
                placement.check_alive(level, &needs, &alive)?;
            }
            let own = placement.own_number().filter(|own| alive.contains(own));
            if own.is_some() {
                here.push(record);
            }
            alive.retain(|number| Some(*number) != own);
            parts.push(Part {
                payload: mutation_message::encode(state.version, record),
                needs,
                acked: own.into_iter().collect(),
                waiting: alive,
                failures: Vec::new(),
                hinted: false,
                is_outdated: false,
                state: PartState::Open,
                placement,
            });
            placed.push(replicas);
        }
        let Some(peers) = self.peers() else {
            return Err(Error::server(
                "this node was opened without a network, and the partition is on other nodes too: \
                 serve its data directory with `helenus serve`",
            ));
        };
        // First, so that a node without memory refuses before anybody else has the write.
        let position = match here.as_slice() {
            [] => None,
            here => Some(done(self.engine.write(here)?)?),
        };
        if !self.is_current(&state) {
            // What is written is written again, which changes nothing.
            return self.write_to_replicas(records, options);
        }
        let operation = Arc::new(Operation {
            level,
            kind: options.kind,
            created_micros: self.clock.wall_micros(),
            hints: peers.hints.clone(),
            progress: Mutex::new(Parts { parts, waker: None }),
        });
        self.leave_hints(&operation, &placed);
        self.send(peers, &operation, self.write_timeout(options.kind));
        let hints = peers.hints.clone();
        let asked = Asked {
            operation,
            position,
            hints,
            coordinator: self.clone(),
            options,
            version: state.version,
            tries: TRIES,
        };
        Ok(Written::Asked(ReplicatedWrite(Waits::Replicas(Box::new(asked)))))
    }

    fn write_timeout(&self, kind: WriteType) -> Duration {
        match kind {
            WriteType::Counter => self.timeouts.counter_write,
            _ => self.timeouts.write,
        }
    }

    /// Hints for those replicas that are not even asked.
    fn leave_hints(&self, operation: &Operation, placed: &[Arc<Replicas>]) {
        let mut parts = operation.parts();
        for (part, replicas) in parts.parts.iter_mut().zip(placed) {
            for number in replicas.natural.iter().chain(&replicas.pending) {
                if !part.waiting.contains(number) && !part.acked.contains(number) {
                    operation.leave_hint(part, *number);
                }
            }
            part.decide();
        }
    }

    fn send(&self, peers: &Peers, operation: &Arc<Operation>, timeout: Duration) {
        let internode = &peers.internode;
        let deadline = internode.deadline(timeout);
        // A copy: answers may come before the last request has left.
        let parts = operation.parts();
        let wanted: Vec<(usize, Arc<Placement>, Vec<NodeNumber>, Bytes)> = (parts.parts.iter())
            .enumerate()
            .map(|(at, p)| (at, p.placement.clone(), p.waiting.clone(), p.payload.clone()))
            .collect();
        drop(parts);
        for (at, placement, numbers, payload) in wanted {
            for number in numbers {
                let Some(node) = placement.node(number) else { continue };
                let request = Request {
                    verb: Verb::Mutation,
                    payload: payload.clone(),
                    deadline,
                    trace: None,
                };
                let Some(tag) = tag(at, number) else { continue };
                let to: Arc<dyn Responses> = operation.clone();
                if let Err(error) = internode.request_with(&node.target, request, to, tag) {
                    operation.respond(tag, Err(error));
                }
            }
        }
    }
}

/// The position that an answer is held back for.
fn done(write: Write) -> Result<LogPosition> {
    match write {
        Write::Done { position, .. } => Ok(position),
        Write::Full => Err(Error::overloaded(
            "memory for writes is exhausted until a flush has ended; try again later",
        )),
    }
}
