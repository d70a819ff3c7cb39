//! Moves the bytes of one connection between its socket and its state machine, and runs what it
//! executes apart. One task a connection; every poll does all that can be done now and ends with
//! at most one write.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use helenus_platform::channel::{Receiver, Sender, bounded};
use helenus_platform::net::Stream;
use helenus_platform::runtime::{BoxFuture, Runtime};
use helenus_platform::signal::Slot;
use helenus_platform::stop::Stop;

use super::connection::{Completed, Connection, PendingRequest, Room, Turn};

/// Answers that wait for their connection; tasks with further ones wait with them in hand.
const ANSWERS_QUEUED: usize = 64;
/// Rounds of executing and reading in one poll, before others may run.
const ROUNDS_MAX: usize = 4;

/// The task of one connection.
pub(super) struct Socket {
    stream: Box<dyn Stream>,
    connection: Connection,
    runtime: Arc<dyn Runtime>,
    answers: Receiver<Completed>,
    /// Cloned for every request that is executed apart.
    answering: Sender<Completed>,
    /// Raised when this connection is gone: cancels what is executed apart.
    gone: Arc<Stop>,
    /// Raised when the server stops.
    server_stop: Arc<Stop>,
    stop_slot: Slot,
    /// The waker that is registered in it.
    stop_waker: Option<Waker>,
    /// Runs until the connection is set up.
    startup_timer: Option<BoxFuture<'static, ()>>,
    /// There while the connection holds buffers.
    watch: Option<Watch>,
    /// Wakes the task when a connection that rests may go on, and when that is.
    rest: Option<(BoxFuture<'static, ()>, Duration)>,
    /// It takes no requests because of a limit.
    is_paused: bool,
}

/// Looks after a connection that holds memory: one that has fallen silent gives its buffers back,
/// one that lets memory lie that others need is closed.
struct Watch {
    /// Kept, because it wakes the task at the end of the period.
    _timer: BoxFuture<'static, ()>,
    ends: Duration,
    /// What had moved when the period began.
    moved_bytes: u64,
    /// How long nothing had.
    still: Duration,
}

/// A connection on which nothing has moved for so long gives its buffers back.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

impl Socket {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        connection: Connection,
        runtime: Arc<dyn Runtime>,
        server_stop: Arc<Stop>,
    ) -> Self {
        let (answering, answers) = bounded(ANSWERS_QUEUED);
        let startup_timer = Some(runtime.sleep(connection.limits().startup_timeout));
        Socket {
            stream,
            connection,
            runtime,
            answers,
            answering,
            gone: Arc::default(),
            server_stop,
            stop_slot: Slot::default(),
            stop_waker: None,
            startup_timer,
            watch: None,
            rest: None,
            is_paused: false,
        }
    }

    /// Everything that came from elsewhere since the last poll.
    fn take_news(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some(timer) = &mut self.startup_timer {
            if self.connection.is_set_up() {
                self.startup_timer = None;
            } else if timer.as_mut().poll(context).is_ready() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no STARTUP came"));
            }
        }
        // The flag is raised once, so a waker that is registered stays so until then.
        let registered = self.stop_waker.as_ref().is_some_and(|w| w.will_wake(context.waker()));
        if !registered {
            self.stop_waker = Some(context.waker().clone());
        }
        if registered && !self.server_stop.is_raised() {
            // Nothing to do, which costs no lock.
        } else if self.server_stop.poll(&mut self.stop_slot, context.waker()) {
            self.connection.drain();
        }
        self.take_answers(context);
        self.connection.pass_events(context.waker());
        Ok(())
    }

    /// Takes what came back of requests that were executed apart, and asks to be woken for more
    /// if there are any; if there are none, nobody needs to be asked.
    fn take_answers(&mut self, context: &mut Context<'_>) {
        while self.connection.has_pending() && self.connection.takes_answers() {
            match self.answers.poll_recv(context) {
                Poll::Ready(Some(answer)) => self.connection.complete(answer),
                _ => break,
            }
        }
    }

    fn run_started(&mut self, context: &mut Context<'_>) {
        let started = self.connection.started();
        if started.len() == 0 {
            return;
        }
        for request in started {
            let task = Apart {
                request,
                gone: self.gone.clone(),
                slot: Slot::default(),
                answering: self.answering.clone(),
            };
            self.runtime.spawn("request", Box::pin(task.run()));
        }
        // Before these there may have been none, and nobody was asked to wake this task.
        self.take_answers(context);
    }

    /// Writes what it can; says whether everything is out.
    fn write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        loop {
            let output = self.connection.output();
            if output.is_empty() {
                return Ok(true);
            }
            match self.stream.poll_write(context, output) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => self.connection.sent(sent),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            }
        }
    }

    /// Sees to it that a connection which rests is woken.
    fn wake_after_rest(&mut self, context: &mut Context<'_>) {
        let Some(left) = self.connection.rest_left() else { return };
        let now = self.connection.now();
        if self.rest.as_ref().is_none_or(|(_, ends)| *ends <= now) {
            self.rest = Some((self.runtime.sleep(left), now + left));
        }
        if let Some((timer, _)) = &mut self.rest
            && timer.as_mut().poll(context).is_ready()
        {
            context.waker().wake_by_ref();
        }
    }

    /// Before the task sleeps.
    fn look_after(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.connection.settle(self.is_paused);
        let mut still = Duration::ZERO;
        if let Some(watch) = &self.watch {
            if self.connection.now() < watch.ends {
                return Ok(());
            }
            if self.connection.moved_bytes() == watch.moved_bytes {
                self.connection.rest();
                still = watch.still + WATCH_PERIOD;
            }
            self.watch = None;
            if still >= self.connection.limits().stall_timeout && self.connection.is_in_the_way() {
                self.connection.metrics().stalled.increment();
                let what = "it held memory that was short, and its client did nothing";
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
        }
        if self.connection.has_buffers() {
            let mut timer = self.runtime.sleep(WATCH_PERIOD);
            if timer.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
            self.watch = Some(Watch {
                _timer: timer,
                ends: self.connection.now() + WATCH_PERIOD,
                moved_bytes: self.connection.moved_bytes(),
                still,
            });
        }
        Ok(())
    }

    fn poll_io(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_paused = false;
        for _ in 0..ROUNDS_MAX {
            self.take_news(context)?;
            // Without room, answers and events were left where they are, and nobody was asked to
            // tell of the next: once there is room, one must look again.
            let left_news = !self.connection.takes_answers();
            let turn = self.connection.turn();
            self.run_started(context);
            self.connection.release(context.waker());
            let all_sent = self.write(context)?;
            self.connection.note_sent(all_sent);
            if self.connection.is_done() {
                return self.stream.poll_shutdown(context);
            }
            match turn {
                _ if left_news && self.connection.takes_answers() => {}
                // What blocked it may be gone by now: the output, above all.
                Turn::Blocked if self.connection.can_go_on() => {}
                Turn::Blocked if self.connection.awaits_room(context.waker()) => {}
                Turn::Again if all_sent || self.connection.can_go_on() => break,
                // Woken by the socket, by an answer, by the log, or when there is memory again.
                Turn::Again | Turn::Blocked | Turn::Closing => {
                    self.is_paused = turn == Turn::Blocked;
                    self.wake_after_rest(context);
                    return Poll::Pending;
                }
                Turn::NeedInput(missing) => {
                    let max = match self.connection.room_to_read(missing, context.waker()) {
                        Room::Bytes(max) => max,
                        Room::Refused => continue,
                        Room::None => {
                            self.is_paused = true;
                            return Poll::Pending;
                        }
                    };
                    let input = self.connection.input();
                    let read = ready!(self.stream.poll_read(context, input, max))?;
                    if read == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    self.connection.received(read);
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Future for Socket {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.poll_io(context);
        if polled.is_pending() {
            self.look_after(context)?;
        }
        polled
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.gone.raise();
        self.server_stop.forget(&mut self.stop_slot);
    }
}

/// A request that is executed apart from its connection, until the connection is gone.
struct Apart {
    request: PendingRequest,
    gone: Arc<Stop>,
    slot: Slot,
    answering: Sender<Completed>,
}

impl Apart {
    async fn run(mut self) {
        let answer = std::future::poll_fn(|context| {
            if self.gone.poll(&mut self.slot, context.waker()) {
                return Poll::Ready(None);
            }
            Pin::new(&mut self.request).poll(context).map(Some)
        });
        let answer = answer.await;
        self.gone.forget(&mut self.slot);
        if let Some(answer) = answer {
            // Fails if the connection is gone: then nobody wants the answer.
            let _ = self.answering.send(answer).await;
        }
    }
}
