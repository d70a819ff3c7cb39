//! The way to one peer on one channel: what waits to be sent, what waits for an answer, and the
//! state of the connection. The connection itself is a task (`outbound.rs`) that exists while there
//! is one, or while one is being opened.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use super::Target;
use super::error::{Refusal, RequestError};
use super::frame::FRAME_BYTES_TARGET;
use super::handler::Peer;
use super::outbound::{self, End};
use super::pending::{Pending, Responses, Waiting};
use super::shared::Shared;
use super::verb::{Channel, Verb};

/// What a queued message costs besides its payload.
const MESSAGE_COST: usize = 64;

/// A message that is to be sent.
pub(super) struct Outgoing {
    pub(super) verb: Verb,
    pub(super) payload: Bytes,
    pub(super) deadline: Duration,
    pub(super) trace: Option<[u8; 16]>,
    /// Of a request; given by the lane.
    pub(super) id: Option<u64>,
}

impl Outgoing {
    fn cost(&self) -> usize {
        self.payload.len() + MESSAGE_COST
    }
}

/// Where the answer goes.
pub(super) struct ReplyTo {
    pub(super) to: Option<Arc<dyn Responses>>,
    pub(super) tag: u32,
}

enum Link {
    /// No connection; the next message opens one.
    Idle,
    Connecting,
    Up {
        peer: Peer,
        since: Duration,
    },
    /// No longer in the table of lanes: whoever still has it must look there again.
    Removed,
}

struct State {
    link: Link,
    queue: VecDeque<Outgoing>,
    /// Cost of what waits, what is being written included.
    queued_bytes: usize,
    writing_bytes: usize,
    pending: Pending,
    /// Of the connection's task, when it has nothing to do.
    waker: Option<Waker>,
    /// The task waits for the network, and needs no waking for more messages.
    is_blocked: bool,
    /// The connection is to be given up, and why.
    give_up: Option<Arc<str>>,
    /// Failures since a connection last held.
    failures: u32,
    retry_at: Duration,
    /// What went wrong last.
    why: Arc<str>,
    /// One of the two nodes did not want to talk, when that was tried last.
    refusal: Option<Refusal>,
    /// Since when something was sent and nothing heard.
    unheard_since: Option<Duration>,
    is_probing: bool,
    used_at: Duration,
}

/// What one lane has counted.
#[derive(Default)]
pub(super) struct LaneCounts {
    pub(super) sent: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) opened: AtomicU64,
}

pub(super) struct Lane {
    pub(super) target: Target,
    pub(super) channel: Channel,
    pub(super) shared: Arc<Shared>,
    state: Mutex<State>,
    pub(super) counts: LaneCounts,
}

/// Why a message was not taken.
pub(super) enum NotTaken {
    Error(RequestError),
    /// The lane is gone: ask the table again.
    Removed(Outgoing, Option<ReplyTo>),
}

/// What the connection's task finds to do.
pub(super) enum Work {
    /// The batch has been filled; perhaps with nothing.
    Batch,
    GiveUp(Arc<str>),
}

/// A look at a lane.
pub(super) struct LaneView {
    pub(super) peer: Option<Peer>,
    pub(super) is_connecting: bool,
    pub(super) queued: usize,
    pub(super) queued_bytes: usize,
    pub(super) waiting: usize,
    pub(super) why: Option<Arc<str>>,
    pub(super) refusal: Option<Refusal>,
}

impl Lane {
    pub(super) fn new(target: Target, channel: Channel, shared: Arc<Shared>) -> Arc<Self> {
        let state = State {
            link: Link::Idle,
            queue: VecDeque::new(),
            queued_bytes: 0,
            writing_bytes: 0,
            pending: Pending::default(),
            waker: None,
            is_blocked: false,
            give_up: None,
            failures: 0,
            retry_at: Duration::ZERO,
            why: Arc::from("it has not been tried"),
            refusal: None,
            unheard_since: None,
            is_probing: false,
            used_at: shared.now(),
        };
        let counts = LaneCounts::default();
        Arc::new(Lane { target, channel, shared, state: Mutex::new(state), counts })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message, and opens a connection if there is none.
    pub(super) fn send(
        self: &Arc<Self>,
        mut message: Outgoing,
        reply_to: Option<ReplyTo>,
    ) -> Result<(), NotTaken> {
        let now = self.shared.now();
        let mut state = self.lock();
        if matches!(state.link, Link::Removed) {
            return Err(NotTaken::Removed(message, reply_to));
        }
        self.check(&state, &message, now).map_err(NotTaken::Error)?;
        state.used_at = now;
        let had_work = state.has_work();
        let cost = message.cost();
        if let Some(ReplyTo { to, tag }) = reply_to {
            message.id = Some(state.pending.add(to, tag, message.deadline));
        }
        state.queue.push_back(message);
        state.queued_bytes += cost;
        self.shared.queued_bytes.fetch_add(cost, Ordering::Relaxed);
        let opens = matches!(state.link, Link::Idle);
        if opens {
            state.link = Link::Connecting;
            state.give_up = None;
        }
        let waker = if state.is_blocked { None } else { state.waker.take() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if !had_work {
            self.shared.work.notify_all();
        }
        if opens {
            self.shared.spawn("internode", Box::pin(outbound::run(self.clone())));
        }
        Ok(())
    }

    /// Whether the message can be taken now.
    fn check(&self, state: &State, message: &Outgoing, now: Duration) -> Result<(), RequestError> {
        let limits = &self.shared.limits;
        if self.shared.stop.is_raised() {
            return Err(RequestError::Stopped);
        }
        let metrics = &self.shared.metrics;
        if message.deadline <= now {
            self.count(&self.counts.dropped, &metrics.expired_before_sending, 1);
            return Err(RequestError::Timeout);
        }
        if matches!(state.link, Link::Idle) && now < state.retry_at {
            return Err(RequestError::Unreachable { why: state.why.clone(), sent: false });
        }
        let cost = message.cost();
        let all = self.shared.queued_bytes.load(Ordering::Relaxed) + cost;
        let is_alone = state.queued_bytes == 0;
        if (state.queued_bytes + cost > limits.queue_bytes && !is_alone)
            || all > limits.node_queue_bytes
            || state.pending.len() >= limits.requests_max
        {
            self.count(&self.counts.dropped, &metrics.queue_full, 1);
            return Err(RequestError::QueueFull);
        }
        Ok(())
    }

    /// Counts for the lane and for the node.
    pub(super) fn count(
        &self,
        own: &AtomicU64,
        all: &[Arc<crate::telemetry::Counter>; 4],
        count: u64,
    ) {
        if count > 0 {
            own.fetch_add(count, Ordering::Relaxed);
            if let Some(counter) = all.get(self.channel.index()) {
                counter.add(count);
            }
        }
    }

    /// The connection is there.
    pub(super) fn up(&self, peer: Peer) {
        let since = self.shared.now();
        self.count(&self.counts.opened, &self.shared.metrics.opened, 1);
        let mut state = self.lock();
        state.link = Link::Up { peer, since };
        state.refusal = None;
        (state.unheard_since, state.is_probing) = (None, false);
    }

    /// Moves what can be sent now to `batch`, up to a frame's worth. What was taken before has been
    /// written if `is_written`; if not, nothing is taken. `waker` is woken when there is more.
    pub(super) fn next_batch(
        &self,
        batch: &mut Vec<Outgoing>,
        is_written: bool,
        waker: &Waker,
    ) -> Work {
        let now = self.shared.now();
        let mut expired = 0;
        let mut state = self.lock();
        if let Some(why) = state.give_up.take() {
            return Work::GiveUp(why);
        }
        if is_written {
            self.release(&mut state);
            let mut bytes = 0;
            while bytes < FRAME_BYTES_TARGET {
                let Some(message) = state.queue.pop_front() else { break };
                state.writing_bytes += message.cost();
                if message.deadline <= now {
                    // The sweep tells who waits for the answer.
                    expired += 1;
                    continue;
                }
                bytes += message.cost();
                if let Some(id) = message.id {
                    state.pending.mark_sent(id);
                }
                batch.push(message);
            }
            if !batch.is_empty() {
                state.unheard_since.get_or_insert(now);
            } else if expired > 0 {
                self.release(&mut state);
            }
        }
        state.is_blocked = !is_written;
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        drop(state);
        let metrics = &self.shared.metrics;
        self.count(&self.counts.dropped, &metrics.expired_before_sending, expired);
        Work::Batch
    }

    /// What was being written has left.
    fn release(&self, state: &mut State) {
        let bytes = std::mem::take(&mut state.writing_bytes);
        state.queued_bytes -= bytes.min(state.queued_bytes);
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Something came from the peer. Answers are in `answers`; who waits for them comes to `found`.
    pub(super) fn heard(&self, answers: &[u64], found: &mut Vec<Option<Waiting>>) {
        let mut state = self.lock();
        (state.unheard_since, state.is_probing) = (None, false);
        found.extend(answers.iter().map(|id| state.pending.take(*id)));
    }

    /// Closes the connection if nobody needs it now.
    pub(super) fn rest(&self) -> bool {
        let mut state = self.lock();
        let rests = state.queue.is_empty() && state.pending.len() == 0;
        if rests {
            state.link = Link::Idle;
            (state.waker, state.unheard_since) = (None, None);
        }
        rests
    }

    /// When it was last given something to send.
    pub(super) fn used_at(&self) -> Duration {
        self.lock().used_at
    }

    /// The connection is gone, or did not come to be: whatever waits for it is told.
    pub(super) fn down(&self, end: &End) {
        let now = self.shared.now();
        let (failed, lost, why) = {
            let mut state = self.lock();
            let held = matches!(state.link, Link::Up { since, .. }
                if now.saturating_sub(since) >= self.shared.limits.backoff_max);
            let was_up = matches!(state.link, Link::Up { .. });
            if held {
                state.failures = 0;
            }
            // A peer that restarts is tried at once; one that was not there, after a while.
            state.retry_at = if held || (was_up && state.failures == 0) {
                now
            } else {
                now + self.backoff(state.failures)
            };
            state.failures = state.failures.saturating_add(1);
            state.link = Link::Idle;
            state.why = end.why();
            state.refusal = match end {
                End::Refused(refusal) => Some(refusal.clone()),
                _ => None,
            };
            state.waker = None;
            state.is_blocked = false;
            (state.unheard_since, state.is_probing) = (None, false);
            let lost = state.queue.iter().filter(|message| message.id.is_none()).count();
            state.queue.clear();
            state.writing_bytes = state.queued_bytes;
            self.release(&mut state);
            (state.pending.take_all(), lost, state.why.clone())
        };
        let metrics = &self.shared.metrics;
        self.count(&self.counts.dropped, &metrics.lost, lost as u64);
        if let Some(counter) = metrics.failed.get(self.channel.index()) {
            counter.increment();
        }
        for waiting in failed {
            let error = match end {
                End::Stopped => RequestError::Stopped,
                _ => RequestError::Unreachable { why: why.clone(), sent: waiting.sent },
            };
            self.shared.respond(waiting, Err(error));
        }
    }

    /// How long to leave the peer alone after so many failures: doubled each time, and anything
    /// from half to all of that, so that not all nodes come back at the same moment.
    fn backoff(&self, failures: u32) -> Duration {
        let limits = &self.shared.limits;
        let doubled = limits.backoff_min.saturating_mul(1 << failures.min(16));
        let whole = doubled.min(limits.backoff_max);
        let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX) / 2;
        Duration::from_nanos(nanos + self.shared.random.below(nanos.saturating_add(1)))
    }

    /// Number of failures since a connection last held.
    pub(super) fn failures(&self) -> u32 {
        self.lock().failures
    }

    /// The peer has shown itself: it may be tried at once.
    pub(super) fn revive(&self) {
        self.lock().retry_at = Duration::ZERO;
    }

    /// Gives the connection up, if there is one.
    pub(super) fn give_up(&self, why: &str) {
        let waker = {
            let mut state = self.lock();
            if !matches!(state.link, Link::Connecting | Link::Up { .. }) {
                return;
            }
            state.give_up = Some(Arc::from(why));
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Marks a lane that nobody has used since `before` as removed; says whether it did.
    pub(super) fn try_remove(&self, before: Duration) -> bool {
        let mut state = self.lock();
        let unused = matches!(state.link, Link::Idle) && state.used_at <= before;
        if unused {
            state.link = Link::Removed;
        }
        unused
    }

    /// Looks at deadlines; says whether there is anything to look at again. With `is_late` nothing
    /// was looked at for so long that this process itself may have stood still.
    pub(super) fn sweep(&self, now: Duration, is_late: bool, expired: &mut Vec<Waiting>) -> bool {
        let before = expired.len();
        let mut dropped = 0;
        let (waker, has_work) = {
            let mut state = self.lock();
            state.pending.take_expired(now, expired);
            while state.queue.front().is_some_and(|message| message.deadline <= now) {
                let Some(message) = state.queue.pop_front() else { break };
                state.queued_bytes -= message.cost().min(state.queued_bytes);
                self.shared.queued_bytes.fetch_sub(message.cost(), Ordering::Relaxed);
                dropped += 1;
            }
            let waker = self.watch_silence(&mut state, now, is_late);
            (waker, state.has_work())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        let metrics = &self.shared.metrics;
        self.count(&self.counts.dropped, &metrics.expired_before_sending, dropped);
        let timeouts = expired.iter().skip(before).filter(|waiting| waiting.to.is_some()).count();
        self.count(&self.counts.timeouts, &metrics.timeouts, timeouts as u64);
        has_work
    }

    fn watch_silence(&self, state: &mut State, now: Duration, is_late: bool) -> Option<Waker> {
        let limits = &self.shared.limits;
        if is_late && state.unheard_since.is_some() {
            state.unheard_since = Some(now);
        }
        let silent = now.saturating_sub(state.unheard_since?);
        if silent >= limits.silence_timeout {
            let why = format!("it has said nothing for {} seconds", silent.as_secs());
            state.give_up = Some(Arc::from(why));
            return state.waker.take();
        }
        if silent < limits.probe_interval || state.is_probing {
            return None;
        }
        state.is_probing = true;
        let deadline = now + limits.silence_timeout;
        let id = Some(state.pending.add(None, 0, deadline));
        let probe = Outgoing { verb: Verb::Ping, payload: Bytes::new(), deadline, trace: None, id };
        state.queued_bytes += probe.cost();
        self.shared.queued_bytes.fetch_add(probe.cost(), Ordering::Relaxed);
        state.queue.push_back(probe);
        if state.is_blocked { None } else { state.waker.take() }
    }

    pub(super) fn view(&self) -> LaneView {
        let state = self.lock();
        let peer = match &state.link {
            Link::Up { peer, .. } => Some(peer.clone()),
            _ => None,
        };
        LaneView {
            is_connecting: matches!(state.link, Link::Connecting),
            queued: state.queue.len(),
            queued_bytes: state.queued_bytes,
            waiting: state.pending.len(),
            why: (peer.is_none() && state.failures > 0).then(|| state.why.clone()),
            refusal: state.refusal.clone(),
            peer,
        }
    }
}

impl State {
    /// Whether there is anything with a deadline.
    fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.pending.len() > 0 || self.unheard_since.is_some()
    }
}
