//! The task of a connection that another node opened: reads frames, hands their messages to the
//! node, and writes the answers, all that are ready with one write.
//!
//! Answers leave as they are ready: at once, when the log's watermark passes their position
//! (`held.rs`), or when what is executed apart comes back. The connection reads nothing more while
//! too many answers are held, unread, or being worked on, or while there is no memory for the next
//! frame: so its memory is bounded whatever the peer does, and the peer's queue is what fills.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use helenus_platform::channel::{Receiver, Sender, bounded};
use helenus_platform::codec::Put;
use helenus_platform::net::Stream;
use helenus_platform::runtime::BoxFuture;
use helenus_platform::signal::Slot;
use helenus_platform::stop::Stop;

use super::error::Failure;
use super::frame::{FrameWriter, Next, body_bytes_max, next_frame};
use super::handler::{Answer, Incoming, MessageHandler, Received, ReplyWriter};
use super::held::Held;
use super::memory::Share;
use super::message::{Head, Message, Messages};
use super::registry::{Accepted, Registered};
use super::shared::Shared;
use super::verb::Verb;
use crate::telemetry::Counter;

/// Rounds of reading and handling in one poll, before others may run.
const ROUNDS_MAX: usize = 4;
/// Bytes asked for at a time.
const READ_BYTES: usize = 64 << 10;

/// What a turn ended with.
enum Turn {
    /// There is more to do.
    More,
    /// So many bytes are missing of a frame that takes so much memory.
    NeedInput { missing: usize, frame: usize },
    /// Something must leave first.
    Blocked,
}

/// Where requests that are executed apart come back.
struct Completed {
    id: Option<u64>,
    deadline: Duration,
    payload_bytes: usize,
    answer: Answer,
}

pub(super) struct Inbound {
    shared: Arc<Shared>,
    handler: Arc<dyn MessageHandler>,
    registered: Registered,
    stream: Box<dyn Stream>,
    input: BytesMut,
    /// The frame that is being worked on, and when it had come.
    frame: Option<(Messages, Duration)>,
    out: FrameWriter,
    held: Held,
    answers: Receiver<Completed>,
    /// Cloned for every request that is executed apart.
    answering: Sender<Completed>,
    pending: usize,
    pending_bytes: usize,
    /// Raised when this connection is gone: cancels what is executed apart.
    gone: Arc<Stop>,
    share: Share,
    /// Runs while the rest of a large frame is awaited.
    frame_timer: Option<BoxFuture<'static, ()>>,
    /// When to look whether the peer is still there.
    idle_timer: BoxFuture<'static, ()>,
    idle_at: Duration,
    /// The waker that waits for what seldom happens.
    waker: Option<Waker>,
    /// There once the node stops: answers may take so long.
    drain_timer: Option<BoxFuture<'static, ()>>,
    watermark_slot: Slot,
    stop_slot: Slot,
    close_slot: Slot,
}

impl Inbound {
    pub(super) fn new(
        shared: Arc<Shared>,
        handler: Arc<dyn MessageHandler>,
        registered: Registered,
        stream: Box<dyn Stream>,
        input: BytesMut,
        lz4: bool,
    ) -> Self {
        let (answering, answers) = bounded(shared.limits.pending_max);
        Inbound {
            handler,
            registered,
            stream,
            input,
            frame: None,
            out: FrameWriter::new(lz4),
            held: Held::default(),
            answers,
            answering,
            pending: 0,
            pending_bytes: 0,
            gone: Arc::default(),
            share: Share::new(shared.receive.clone()),
            frame_timer: None,
            // Before the timer is set: it must not be over sooner.
            idle_at: shared.now() + idle_max(&shared),
            idle_timer: shared.runtime.sleep(idle_max(&shared)),
            waker: None,
            drain_timer: None,
            watermark_slot: Slot::default(),
            stop_slot: Slot::default(),
            close_slot: Slot::default(),
            shared,
        }
    }

    fn accepted(&self) -> &Accepted {
        &self.registered.accepted
    }

    fn count(&self, own: &AtomicU64, all: &[Arc<Counter>; 4], count: u64) {
        own.fetch_add(count, Ordering::Relaxed);
        self.count_all(all, count);
    }

    fn count_all(&self, all: &[Arc<Counter>; 4], count: u64) {
        if let Some(counter) = all.get(self.accepted().peer.channel.index()) {
            counter.add(count);
        }
    }

    fn is_blocked(&self) -> bool {
        let limits = &self.shared.limits;
        self.drain_timer.is_some()
            || self.pending >= limits.pending_max
            || self.pending_bytes >= limits.answer_bytes
            || self.held.bytes() >= limits.answer_bytes
            || self.out.len() >= limits.answer_bytes
    }

    /// Handles messages, as many as one turn allows.
    fn turn(&mut self) -> io::Result<Turn> {
        let max = body_bytes_max(self.shared.limits.message_bytes_max);
        let mut handled = 0;
        while handled < self.shared.limits.turn_messages_max {
            if self.is_blocked() {
                self.count_received(handled);
                return Ok(Turn::Blocked);
            }
            let Some((messages, come_at)) = &mut self.frame else {
                match next_frame(&mut self.input, max).map_err(invalid)? {
                    Next::Body(body) => {
                        self.frame_timer = None;
                        self.frame = Some((Messages::new(body), self.shared.now()));
                        continue;
                    }
                    Next::Missing { bytes, frame } => {
                        self.count_received(handled);
                        return Ok(Turn::NeedInput { missing: bytes, frame });
                    }
                }
            };
            let come_at = *come_at;
            let message = messages.next().map_err(invalid)?;
            if messages.is_empty() {
                self.frame = None;
                self.share.give_back();
            }
            match message {
                Some(Message::Work(head, payload)) => self.handle(&head, payload, come_at),
                Some(Message::Answer(..)) => {
                    return Err(invalid("an answer where requests belong"));
                }
                None => continue,
            }
            handled += 1;
        }
        self.count_received(handled);
        Ok(Turn::More)
    }

    fn count_received(&self, messages: usize) {
        self.count(&self.accepted().received, &self.shared.metrics.received, messages as u64);
    }

    /// Why the message is not for the node's handler, if it is not.
    fn refuse(&self, head: &Head) -> Result<Verb, Failure> {
        let Some(verb) = Verb::from_code(head.verb) else {
            return Err(Failure::new(
                Failure::UNKNOWN_VERB,
                format!("verb {} is not known to this version", head.verb),
            ));
        };
        let are_members = self.shared.is_member() && self.accepted().peer.cluster_id.is_some();
        if !are_members && !verb.before_membership() {
            return Err(Failure::new(
                Failure::NOT_A_MEMBER,
                format!("{verb:?} needs both nodes to belong to the cluster"),
            ));
        }
        Ok(verb)
    }

    fn handle(&mut self, head: &Head, payload: Bytes, come_at: Duration) {
        let deadline = come_at + head.remaining;
        if head.remaining.is_zero() || deadline <= self.shared.now() {
            return self.count_all(&self.shared.metrics.expired_before_handling, 1);
        }
        let verb = match self.refuse(head) {
            Ok(Verb::Ping) => return self.write_answer(head.id, Ok(&[]), None),
            Ok(verb) => verb,
            Err(failure) => return self.write_answer(head.id, Err(&failure), None),
        };
        let payload_bytes = payload.len();
        let (trace, is_request) = (head.trace, head.id.is_some());
        let message = Incoming { verb, payload, deadline, trace, is_request };
        let peer = &self.registered.accepted.peer;
        let mut reply = ReplyWriter::new(self.out.begin(), head.id);
        let handler = &*self.handler;
        let received =
            catch_unwind(AssertUnwindSafe(|| handler.receive(peer, message, &mut reply)));
        match received {
            Ok(Received::Answered { hold_until }) if is_request => {
                let start = reply.finish(self.shared.limits.message_bytes_max);
                self.answered(head.id, start, hold_until);
            }
            Ok(Received::Answered { .. } | Received::Nothing) => reply.abandon(),
            Ok(Received::Pending(future)) => {
                reply.abandon();
                self.start(head.id, deadline, payload_bytes, future);
            }
            Err(_) => {
                reply.fail(&panicked(&self.shared));
                let start = reply.finish(self.shared.limits.message_bytes_max);
                self.answered(head.id, start, None);
            }
        }
    }

    /// Executes a request, or what a one-way message asks for, apart from the connection.
    fn start(
        &mut self,
        id: Option<u64>,
        deadline: Duration,
        payload_bytes: usize,
        future: BoxFuture<'static, Answer>,
    ) {
        self.pending += 1;
        self.pending_bytes += payload_bytes;
        self.accepted().pending.store(self.pending, Ordering::Relaxed);
        let apart = Apart {
            future,
            gone: self.gone.clone(),
            slot: Slot::default(),
            shared: self.shared.clone(),
        };
        let answering = self.answering.clone();
        let task = async move {
            if let Some(answer) = apart.await {
                // Fails if the connection is gone: then nobody wants the answer.
                let completed = Completed { id, deadline, payload_bytes, answer };
                let _ = answering.send(completed).await;
            }
        };
        self.shared.spawn("internode request", Box::pin(task));
    }

    /// The answer that begins at `start` of the output is complete.
    fn answered(&mut self, id: Option<u64>, start: usize, hold_until: Option<u64>) {
        self.count(&self.accepted().sent, &self.shared.metrics.sent, 1);
        match hold_until.filter(|until| *until > self.handler.watermark()) {
            Some(until) => {
                let out = self.out.begin();
                let message = out.get(start..).unwrap_or_default();
                self.held.push(message, id.unwrap_or_default(), until);
                out.truncate(start);
            }
            None => self.out.end(),
        }
    }

    fn write_answer(
        &mut self,
        id: Option<u64>,
        result: Result<&[u8], &Failure>,
        hold_until: Option<u64>,
    ) {
        if id.is_none() {
            return;
        }
        let mut reply = ReplyWriter::new(self.out.begin(), id);
        match result {
            Ok(payload) => reply.put_bytes(payload),
            Err(failure) => reply.fail(failure),
        }
        let start = reply.finish(self.shared.limits.message_bytes_max);
        self.answered(id, start, hold_until);
    }

    /// Takes what comes back of requests that were executed apart, while there is room for their
    /// answers; says whether some may have been left.
    fn take_answers(&mut self, context: &mut Context<'_>) -> bool {
        while self.pending > 0 {
            let limit = self.shared.limits.answer_bytes;
            if self.out.len() >= limit || self.held.bytes() >= limit {
                return true;
            }
            let Poll::Ready(Some(completed)) = self.answers.poll_recv(context) else {
                return false;
            };
            self.pending -= 1;
            self.pending_bytes -= completed.payload_bytes.min(self.pending_bytes);
            self.accepted().pending.store(self.pending, Ordering::Relaxed);
            if completed.id.is_some() && completed.deadline <= self.shared.now() {
                self.count_all(&self.shared.metrics.answered_late, 1);
                continue;
            }
            let Answer { result, hold_until } = completed.answer;
            self.write_answer(completed.id, result.as_deref(), hold_until);
        }
        false
    }

    /// Sends the turn's writes on their way, and lets answers go whose position the log has
    /// reached. If some stay, `waker` is woken when the log has come further.
    fn release(&mut self, waker: &Waker) {
        if self.held.is_empty() {
            return;
        }
        self.handler.write_out(self.held.newest());
        self.release_now();
        if !self.held.is_empty() {
            let handler = self.handler.clone();
            handler.watermark_signal().register(&mut self.watermark_slot, waker);
            self.release_now();
        }
    }

    fn release_now(&mut self) {
        // The failure is read first: what the log reached before it failed is still good.
        let failure = self.handler.failure();
        self.held.release(self.handler.watermark(), &mut self.out);
        if let Some(failure) = failure {
            self.held.fail(&failure, &mut self.out);
        }
    }

    /// Writes what it can; says whether everything is out.
    fn write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        self.out.finish();
        while self.out.len() > 0 {
            match self.stream.poll_write(context, self.out.bytes()) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => {
                    self.out.advance(sent);
                    let own = &self.accepted().sent_bytes;
                    self.count(own, &self.shared.metrics.sent_bytes, sent as u64);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether the connection is to end now.
    fn is_over(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        // What was asked once, and not since answered, need not be asked again.
        let is_new = self.waker.as_ref().is_none_or(|known| !known.will_wake(context.waker()));
        let (close, stop) = (&self.registered.accepted.close, &self.shared.stop);
        let (is_closed, is_stopped) = if is_new {
            self.waker = Some(context.waker().clone());
            (
                close.poll(&mut self.close_slot, context.waker()),
                stop.poll(&mut self.stop_slot, context.waker()),
            )
        } else {
            (close.is_raised(), stop.is_raised())
        };
        if is_closed {
            return Ok(true);
        }
        if self.drain_timer.is_none() && is_stopped {
            self.drain_timer = Some(self.shared.runtime.sleep(self.shared.limits.drain_timeout));
        }
        if let Some(timer) = &mut self.drain_timer
            && timer.as_mut().poll(context).is_ready()
        {
            return Ok(true);
        }
        if let Some(timer) = &mut self.frame_timer
            && timer.as_mut().poll(context).is_ready()
        {
            let what = "a large frame has begun and its rest did not come";
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        Ok(self.is_abandoned(is_new, context))
    }

    /// Whether the peer has said nothing for very long. The timer is looked at when it is over, and
    /// by a new waker.
    fn is_abandoned(&mut self, is_new: bool, context: &mut Context<'_>) -> bool {
        let now = self.shared.now();
        if !is_new && now < self.idle_at {
            return false;
        }
        while self.idle_timer.as_mut().poll(context).is_ready() {
            let silent = self.registered.accepted.silent(now);
            let left = idle_max(&self.shared).saturating_sub(silent);
            if left.is_zero() {
                return true;
            }
            (self.idle_timer, self.idle_at) = (self.shared.runtime.sleep(left), now + left);
        }
        false
    }

    /// Whether everything that was taken has been answered.
    fn is_drained(&self) -> bool {
        self.drain_timer.is_some()
            && self.pending == 0
            && self.held.is_empty()
            && self.out.len() == 0
    }

    /// Reads; ready with false at the end of the stream.
    fn read(
        &mut self,
        context: &mut Context<'_>,
        missing: usize,
        frame: usize,
    ) -> Poll<io::Result<bool>> {
        if !self.share.cover(frame, context.waker()) {
            self.accepted().is_paused.store(true, Ordering::Relaxed);
            return Poll::Pending;
        }
        self.accepted().is_paused.store(false, Ordering::Relaxed);
        if self.share.has_any() && self.frame_timer.is_none() {
            let mut timer = self.shared.runtime.sleep(self.shared.limits.frame_timeout);
            // Registers the task; a timer that is over already is seen in the next round.
            if timer.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
            self.frame_timer = Some(timer);
        }
        // Never more than what there is memory for.
        let max = if self.share.has_any() { missing } else { READ_BYTES.max(missing) };
        let read = ready!(self.stream.poll_read(context, &mut self.input, max))?;
        self.accepted().hear(self.shared.now());
        let own = &self.accepted().received_bytes;
        self.count(own, &self.shared.metrics.received_bytes, read as u64);
        Poll::Ready(Ok(read > 0))
    }

    fn poll_io(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..ROUNDS_MAX {
            if self.is_over(context)? {
                return self.stream.poll_shutdown(context);
            }
            let turn = self.turn()?;
            let left_answers = self.take_answers(context);
            self.release(context.waker());
            let is_written = self.write(context)?;
            if self.is_drained() {
                return self.stream.poll_shutdown(context);
            }
            match turn {
                _ if left_answers && is_written && !self.is_blocked() => {}
                Turn::More => {}
                Turn::Blocked if !self.is_blocked() => {}
                // Woken by the network, the log, an answer, or the end of the drain.
                Turn::Blocked => return Poll::Pending,
                Turn::NeedInput { missing, frame } => {
                    if !ready!(self.read(context, missing, frame))? {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How long a peer may say nothing: longer than it keeps a connection that it does not use.
fn idle_max(shared: &Shared) -> Duration {
    shared.limits.idle_timeout * 2
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

fn panicked(shared: &Shared) -> Failure {
    shared.metrics.panics.increment();
    tracing::error!("handling a message of another node panicked");
    Failure::new(Failure::PANICKED, "the request could not be handled: a bug, see this node's log")
}

impl Future for Inbound {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(context)
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.gone.raise();
        self.shared.stop.forget(&mut self.stop_slot);
        self.handler.watermark_signal().unregister(&mut self.watermark_slot);
    }
}

/// What is executed apart from its connection, until the connection is gone.
struct Apart {
    future: BoxFuture<'static, Answer>,
    gone: Arc<Stop>,
    slot: Slot,
    shared: Arc<Shared>,
}

impl Future for Apart {
    type Output = Option<Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let this = &mut *self;
        if this.gone.poll(&mut this.slot, context.waker()) {
            return Poll::Ready(None);
        }
        match catch_unwind(AssertUnwindSafe(|| this.future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => {
                let result = Err(panicked(&this.shared));
                Poll::Ready(Some(Answer { result, hold_until: None }))
            }
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.gone.forget(&mut self.slot);
    }
}
