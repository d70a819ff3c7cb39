//! The task of a connection that this node opened: connects, introduces itself, writes what the
//! lane has as many messages at a time as there are, and reads the answers.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use helenus_platform::net::{Stream, write_all};
use helenus_platform::runtime::BoxFuture;
use helenus_platform::signal::Slot;

use super::error::{Failure, Refusal, RequestError};
use super::frame::{FrameWriter, Next, body_bytes_max, next_frame};
use super::handler::Peer;
use super::handshake::Introduction;
use super::lane::{Lane, Outgoing, Work};
use super::message::{self, Head, Message, Messages};
use super::own::confirm;
use super::pending::Waiting;
use super::shared::Shared;

/// Rounds of writing and reading in one poll, before others may run.
const ROUNDS_MAX: usize = 4;
/// Bytes asked for at a time.
const READ_BYTES: usize = 64 << 10;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody had used it for long.
    Rested,
    /// It broke, or could not be opened.
    Failed(Arc<str>),
    /// The nodes do not want to talk.
    Refused(Refusal),
    /// What came made no sense.
    Damaged(Arc<str>),
    /// This node is stopping.
    Stopped,
}

impl End {
    pub(super) fn why(&self) -> Arc<str> {
        match self {
            End::Rested => Arc::from("nobody had used the connection for long"),
            End::Failed(why) | End::Damaged(why) => why.clone(),
            End::Refused(refusal) => Arc::from(refusal.text.as_str()),
            End::Stopped => Arc::from("this node is stopping"),
        }
    }

    fn io(what: &str, error: &io::Error) -> End {
        End::Failed(Arc::from(format!("{what}: {error}")))
    }
}

/// Opens the lane's connection and serves it until it ends.
pub(super) async fn run(lane: Arc<Lane>) {
    let connected = within(&lane.shared, lane.shared.limits.connect_timeout, connect(&lane)).await;
    let end = match connected {
        Ok(Ok((stream, input, peer, lz4))) => {
            lane.up(peer.clone());
            tracing::debug!(peer = %peer.remote, channel = lane.channel.name(), "connected");
            Connection::new(lane.clone(), stream, input, lz4).await
        }
        Ok(Err(end)) | Err(end) => end,
    };
    if !matches!(end, End::Rested) {
        report(&lane, &end);
        lane.down(&end);
    }
}

fn report(lane: &Lane, end: &End) {
    let (peer, channel) = (lane.target.address, lane.channel.name());
    match end {
        End::Rested | End::Stopped => {}
        End::Failed(why) if lane.failures() == 0 => {
            tracing::info!(%peer, channel, "no connection to a node: {why}; it is tried again when needed");
        }
        End::Failed(why) => tracing::debug!(%peer, channel, "no connection to a node: {why}"),
        End::Refused(Refusal { reason, text }) => {
            if reason.is_some_and(|reason| !reason.is_a_mistake()) {
                tracing::debug!(%peer, channel, "no connection to a node: {text}");
            } else if let Some(left_out) = lane.shared.admit_line() {
                tracing::warn!(%peer, channel, left_out, "refused to talk with a node, or it did: {text}");
            }
        }
        End::Damaged(why) => {
            lane.shared.metrics.damaged.increment();
            if let Some(left_out) = lane.shared.admit_line() {
                tracing::warn!(
                    %peer, channel, left_out,
                    "closed the connection to a node: {why}; if it happens again, look at the \
                     network between the two and at the other node's memory"
                );
            }
        }
    }
}

/// `future`, unless it takes too long or the node stops.
async fn within<T>(
    shared: &Shared,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, End> {
    let mut future = std::pin::pin!(future);
    let mut late = shared.runtime.sleep(limit);
    let mut slot = Slot::default();
    let done = poll_fn(|context| {
        if shared.stop.poll(&mut slot, context.waker()) {
            return Poll::Ready(Err(End::Stopped));
        }
        if let Poll::Ready(done) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        late.as_mut()
            .poll(context)
            .map(|()| Err(End::Failed(Arc::from(format!("it did not answer within {limit:?}")))))
    })
    .await;
    shared.stop.forget(&mut slot);
    done
}

type Connected = (Box<dyn Stream>, BytesMut, Peer, bool);

async fn connect(lane: &Lane) -> Result<Connected, End> {
    let shared = &lane.shared;
    let address = lane.target.address;
    let mut stream = match shared.network.connect(address).await {
        Ok(stream) => stream,
        Err(error) => return Err(End::io("cannot connect", &error)),
    };
    let hello = shared.hello(lane.target.host_id, lane.channel);
    let mut out = BytesMut::new();
    Introduction::Hello(hello).encode(&mut out);
    write_all(&mut *stream, &out).await.map_err(|e| End::io("cannot introduce oneself", &e))?;
    let mut input = BytesMut::new();
    let answer = loop {
        let taken = Introduction::take(&mut input).map_err(|error| {
            let what = "it does not speak the internode protocol: look at its address and port";
            End::Damaged(Arc::from(format!("{what} ({error})")))
        })?;
        if let Some(answer) = taken {
            break answer;
        }
        let read = poll_fn(|context| stream.poll_read(context, &mut input, READ_BYTES)).await;
        match read {
            Ok(0) => return Err(End::Failed(Arc::from("it closed the connection at once"))),
            Ok(_) => {}
            Err(error) => return Err(End::io("it closed the connection at once", &error)),
        }
    };
    let welcome = match answer {
        Introduction::Welcome(welcome) => welcome,
        Introduction::Refused(refusal) => return Err(End::Refused(refusal)),
        Introduction::Hello(_) => {
            return Err(End::Damaged(Arc::from("it introduced itself instead of answering")));
        }
    };
    confirm(&hello, &welcome).map_err(End::Refused)?;
    let peer = Peer {
        host_id: welcome.own.host_id,
        address: welcome.own.address,
        remote: address,
        cluster_id: welcome.own.cluster_id,
        feature_level: welcome.own.feature_level,
        channel: lane.channel,
    };
    Ok((stream, input, peer, welcome.lz4))
}

/// An open connection.
struct Connection {
    lane: Arc<Lane>,
    stream: Box<dyn Stream>,
    input: BytesMut,
    writer: FrameWriter,
    batch: Vec<Outgoing>,
    /// Ids and results of one frame's answers, and who waits for them.
    answers: Vec<u64>,
    results: Vec<Result<Bytes, Failure>>,
    found: Vec<Option<Waiting>>,
    stop_slot: Slot,
    /// When to look whether anybody still uses it.
    rest: BoxFuture<'static, ()>,
    rest_at: Duration,
    /// The waker that waits for what seldom happens.
    waker: Option<Waker>,
}

impl Connection {
    fn new(lane: Arc<Lane>, stream: Box<dyn Stream>, input: BytesMut, lz4: bool) -> Self {
        let idle_timeout = lane.shared.limits.idle_timeout;
        // Before the timer is set: it must not be over sooner.
        let rest_at = lane.shared.now() + idle_timeout;
        let rest = lane.shared.runtime.sleep(idle_timeout);
        Connection {
            lane,
            stream,
            input,
            writer: FrameWriter::new(lz4),
            batch: Vec::new(),
            answers: Vec::new(),
            results: Vec::new(),
            found: Vec::new(),
            stop_slot: Slot::default(),
            rest,
            rest_at,
            waker: None,
        }
    }

    /// Packs what the lane has; says whether that was anything.
    fn pack(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let is_written = self.writer.len() == 0;
        if let Work::GiveUp(why) =
            self.lane.next_batch(&mut self.batch, is_written, context.waker())
        {
            return Err(End::Failed(why));
        }
        if self.batch.is_empty() {
            return Ok(false);
        }
        let now = self.lane.shared.now();
        let count = self.batch.len() as u64;
        for message in self.batch.drain(..) {
            let head = Head {
                verb: message.verb as u8,
                id: message.id,
                remaining: message.deadline.saturating_sub(now),
                trace: message.trace,
            };
            message::put_work(self.writer.begin(), &head, &message.payload);
            self.writer.end();
        }
        self.writer.finish();
        self.lane.count(&self.lane.counts.sent, &self.lane.shared.metrics.sent, count);
        Ok(true)
    }

    /// Writes what it can; says whether everything is out.
    fn write(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        while self.writer.len() > 0 {
            match self.stream.poll_write(context, self.writer.bytes()) {
                Poll::Ready(Ok(0)) => {
                    return Err(End::io("cannot write", &io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(sent)) => {
                    let (lane, metrics) = (&self.lane, &self.lane.shared.metrics);
                    lane.count(&lane.counts.sent_bytes, &metrics.sent_bytes, sent as u64);
                    self.writer.advance(sent);
                }
                Poll::Ready(Err(error)) => return Err(End::io("cannot write", &error)),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Hands out the answers of every whole frame.
    fn take_answers(&mut self) -> Result<(), End> {
        let max = body_bytes_max(self.lane.shared.limits.message_bytes_max);
        loop {
            let body = match next_frame(&mut self.input, max) {
                Ok(Next::Body(body)) => body,
                Ok(Next::Missing { .. }) => break,
                Err(error) => return Err(damaged(&error)),
            };
            let mut messages = Messages::new(body);
            while let Some(message) = messages.next().map_err(|error| damaged(&error))? {
                match message {
                    Message::Answer(id, result) => {
                        self.answers.push(id);
                        self.results.push(result);
                    }
                    Message::Work(..) => return Err(damaged(&"a request where answers belong")),
                }
            }
        }
        self.lane.heard(&self.answers, &mut self.found);
        let metrics = &self.lane.shared.metrics;
        let count = self.answers.len() as u64;
        self.lane.count(&self.lane.counts.received, &metrics.received, count);
        self.answers.clear();
        for (waiting, result) in self.found.drain(..).zip(self.results.drain(..)) {
            if let Some(waiting) = waiting {
                self.lane.shared.respond(waiting, result.map_err(RequestError::Failed));
            }
        }
        Ok(())
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Result<Poll<End>, End> {
        let lane = self.lane.clone();
        // What was asked once, and not since answered, need not be asked again.
        let is_new = self.waker.as_ref().is_none_or(|known| !known.will_wake(context.waker()));
        let is_stopped = if is_new {
            self.waker = Some(context.waker().clone());
            lane.shared.stop.poll(&mut self.stop_slot, context.waker())
        } else {
            lane.shared.stop.is_raised()
        };
        if is_stopped {
            return Ok(Poll::Ready(End::Stopped));
        }
        for _ in 0..ROUNDS_MAX {
            // While the network was full, nothing was taken from the lane.
            let was_full = self.writer.len() > 0;
            let packed = self.pack(context)?;
            let is_written = self.write(context)?;
            match self.stream.poll_read(context, &mut self.input, READ_BYTES) {
                Poll::Ready(Ok(0)) => {
                    return Err(End::Failed(Arc::from("it closed the connection")));
                }
                Poll::Ready(Ok(read)) => {
                    let metrics = &lane.shared.metrics;
                    lane.count(&lane.counts.received_bytes, &metrics.received_bytes, read as u64);
                    self.take_answers()?;
                }
                Poll::Ready(Err(error)) => return Err(End::io("cannot read", &error)),
                // There may be more; if there is none, the lane has to know that one waits.
                Poll::Pending if (packed || was_full) && is_written => {}
                Poll::Pending => {
                    return Ok(if self.rests(is_new, context) {
                        Poll::Ready(End::Rested)
                    } else {
                        Poll::Pending
                    });
                }
            }
        }
        context.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// Whether nobody has used it for so long that it was closed. The timer is looked at when it
    /// is over, and by a new waker.
    fn rests(&mut self, is_new: bool, context: &mut Context<'_>) -> bool {
        let shared = &self.lane.shared;
        let now = shared.now();
        if !is_new && now < self.rest_at {
            return false;
        }
        while self.rest.as_mut().poll(context).is_ready() {
            let idle = now.saturating_sub(self.lane.used_at());
            let left = shared.limits.idle_timeout.saturating_sub(idle);
            if left.is_zero() && self.lane.rest() {
                return true;
            }
            let left = left.max(Duration::from_secs(1));
            (self.rest, self.rest_at) = (shared.runtime.sleep(left), now + left);
        }
        false
    }
}

fn damaged(error: &dyn std::fmt::Display) -> End {
    End::Damaged(Arc::from(error.to_string()))
}

impl Future for Connection {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End> {
        self.poll_end(context).unwrap_or_else(Poll::Ready)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.lane.shared.stop.forget(&mut self.stop_slot);
    }
}
