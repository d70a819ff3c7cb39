//! A runtime on simulated time: one thread, an order of execution drawn from a seed, and a hash
//! over everything that ran, so that two runs can be compared.
//!
//! Which ready task runs next is a draw; every poll takes a drawn few microseconds; when nothing
//! is ready, time jumps to the next timer. Workers are tasks like others: what they do on a
//! simulated disk does not block.
//!
//! The processes of a simulated cluster are [`SimGroup`]s of tasks: one is killed, paused or slow
//! while the others go on.

mod group;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

pub use self::group::SimGroup;
use self::group::{Group, ROOT};
use super::{BoxFuture, Runtime};
use crate::clock::{Clock, ManualClock};
use crate::fork::{ForkJoin, Piece, run_drawn};
use crate::random::{Random, SeededRandom};

/// Pieces that forked work is cut into.
const FORK_WIDTH: usize = 3;
/// The most that one poll takes, in nanoseconds of simulated time.
const POLL_NANOS_MAX: u64 = 4_000;

/// Ids of tasks that can run now, in the order in which they became ready.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Vec<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, task: u64) {
        let mut ready = self.lock();
        if !ready.contains(&task) {
            ready.push(task);
        }
    }
}

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.task);
    }
}

struct Task {
    name: &'static str,
    group: u64,
    is_worker: bool,
    /// Until when a slow disk holds up a worker that could run.
    held_until: Option<Duration>,
    /// Taken out while it is polled.
    future: Option<BoxFuture<'static, ()>>,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Task>,
    /// All but the tasks that belong to none.
    groups: BTreeMap<u64, Group>,
    timers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
    /// The group of the task that is polled now.
    running: u64,
    trace: u64,
    polls: u64,
}

struct Inner {
    clock: Arc<ManualClock>,
    random: SeededRandom,
    ready: Arc<Ready>,
    state: Mutex<State>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(
        &self,
        group: u64,
        is_worker: bool,
        name: &'static str,
        future: BoxFuture<'static, ()>,
    ) {
        let task = {
            let mut state = self.lock();
            state.next += 1;
            let task = state.next;
            let (held_until, future) = (None, Some(future));
            state.tasks.insert(task, Task { name, group, is_worker, held_until, future });
            task
        };
        self.ready.push(task);
    }

    fn sleep(self: &Arc<Self>, duration: Duration) -> BoxFuture<'static, ()> {
        let until = self.clock.monotonic() + duration;
        Box::pin(Sleep { inner: self.clone(), until, timer: None })
    }

    fn waker(&self, task: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker { task, ready: self.ready.clone() }))
    }

    fn fork_join(&self, pieces: Vec<Piece<'_>>) {
        run_drawn(&self.random, pieces, |number| {
            let mut state = self.lock();
            state.trace = mix(state.trace, number);
        });
    }

    /// Whether the task can run now. If not, it becomes ready again when it can.
    fn may_run(&self, state: &mut State, task: u64, now: Duration) -> bool {
        let Some(entry) = state.tasks.get_mut(&task) else { return false };
        let Some(group) = state.groups.get_mut(&entry.group) else { return true };
        if group.is_paused {
            group.held.insert(task);
            return false;
        }
        match entry.held_until {
            Some(until) if until > now => return false,
            Some(_) => entry.held_until = None,
            None if entry.is_worker && !group.worker_delay_max.is_zero() => {
                let nanos = u64::try_from(group.worker_delay_max.as_nanos()).unwrap_or(u64::MAX);
                let until = now + Duration::from_nanos(1 + self.random.below(nanos));
                entry.held_until = Some(until);
                state.next += 1;
                state.timers.insert((until, state.next), self.waker(task));
                return false;
            }
            None => {}
        }
        true
    }
}

/// The runtime; clones are the same one.
#[derive(Clone)]
pub struct SimRuntime {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for SimRuntime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.inner.lock();
        formatter
            .debug_struct("SimRuntime")
            .field("tasks", &state.tasks.values().map(|task| task.name).collect::<Vec<_>>())
            .field("timers", &state.timers.len())
            .field("polls", &state.polls)
            .finish()
    }
}

impl SimRuntime {
    /// A runtime that moves `clock` and draws its order from `seed`.
    #[must_use]
    pub fn new(seed: u64, clock: Arc<ManualClock>) -> Self {
        let random = SeededRandom::new(seed);
        let (ready, state) = (Arc::default(), Mutex::default());
        Self { inner: Arc::new(Inner { clock, random, ready, state }) }
    }

    /// Runs until `future` is ready, with everything else that was spawned beside it.
    ///
    /// # Errors
    /// [`Stuck`] if nothing can run any more and no timer is left, or after `polls_max` polls.
    pub fn block_on<T: Send + 'static>(
        &self,
        polls_max: u64,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Stuck> {
        let answer = Arc::new(Mutex::new(None));
        let place = answer.clone();
        self.spawn(
            "block_on",
            Box::pin(async move {
                let value = future.await;
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            }),
        );
        let end = self.polls() + polls_max;
        loop {
            if let Some(value) = answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Ok(value);
            }
            if self.polls() >= end || !self.step() {
                return Err(Stuck);
            }
        }
    }

    /// Runs everything until simulated time has moved by `duration`, or nothing is left to run.
    pub fn run_for(&self, duration: Duration) {
        let end = self.inner.clock.monotonic() + duration;
        while self.inner.clock.monotonic() < end && self.step() {}
    }

    /// Drops every task and timer, as `kill -9` does.
    pub fn kill(&self) {
        let dropped = {
            let mut state = self.inner.lock();
            self.inner.ready.lock().clear();
            state.groups.values_mut().for_each(|group| group.held.clear());
            (std::mem::take(&mut state.tasks), std::mem::take(&mut state.timers))
        };
        // Outside the lock: what a task owns may come back to this runtime when it is dropped.
        drop(dropped);
    }

    /// A hash over which tasks ran when, and over what was given to [`Self::record`].
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.inner.lock().trace
    }

    /// Makes an event part of the trace.
    pub fn record(&self, event: &[u8]) {
        let mut state = self.inner.lock();
        for byte in event {
            state.trace = mix(state.trace, u64::from(*byte));
        }
    }

    /// The name of the group of the task that is polled now, if it has one: whose log line it is.
    #[must_use]
    pub fn running(&self) -> Option<String> {
        let state = self.inner.lock();
        state.groups.get(&state.running).map(|group| group.name.clone())
    }

    /// How often a task has been polled.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.inner.lock().polls
    }

    /// Polls one ready task, or moves time to the next timer; false if there is neither.
    fn step(&self) -> bool {
        let inner = &self.inner;
        let task = {
            let mut ready = inner.ready.lock();
            if ready.is_empty() {
                drop(ready);
                return self.fire_next_timer();
            }
            let index = inner.random.below(ready.len() as u64);
            ready.remove(usize::try_from(index).unwrap_or(0))
        };
        let now = inner.clock.monotonic();
        let taken = {
            let mut state = inner.lock();
            if !inner.may_run(&mut state, task, now) {
                return true;
            }
            let Some(entry) = state.tasks.get_mut(&task) else { return true };
            let (name, group) = (entry.name, entry.group);
            let future = entry.future.take();
            state.polls += 1;
            state.running = group;
            state.trace = mix(state.trace, task);
            state.trace = mix(state.trace, now.as_nanos() as u64);
            state.trace = name.bytes().fold(state.trace, |hash, byte| mix(hash, u64::from(byte)));
            future
        };
        let Some(mut future) = taken else { return true };
        let waker = inner.waker(task);
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        inner.clock.advance(Duration::from_nanos(1_000 + inner.random.below(POLL_NANOS_MAX)));
        let finished = {
            let mut state = inner.lock();
            state.running = ROOT;
            if done {
                state.tasks.remove(&task);
                Some(future)
            } else if let Some(entry) = state.tasks.get_mut(&task) {
                entry.future = Some(future);
                None
            } else {
                Some(future)
            }
        };
        drop(finished);
        self.fire_due_timers();
        true
    }

    fn fire_due_timers(&self) {
        let now = self.inner.clock.monotonic();
        loop {
            let waker = {
                let mut state = self.inner.lock();
                match state.timers.first_entry() {
                    Some(entry) if entry.key().0 <= now => entry.remove(),
                    _ => return,
                }
            };
            waker.wake();
        }
    }

    fn fire_next_timer(&self) -> bool {
        let next = self.inner.lock().timers.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = next else { return false };
        self.inner.clock.advance(at.saturating_sub(self.inner.clock.monotonic()));
        self.fire_due_timers();
        true
    }
}

/// Nothing could run any more, or not within the polls allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck;

impl std::fmt::Display for Stuck {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the simulation cannot go on: no task is ready and no timer is set")
    }
}

impl std::error::Error for Stuck {}

/// One round of a multiply-and-rotate hash.
fn mix(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95)
}

impl ForkJoin for SimRuntime {
    fn width(&self) -> usize {
        FORK_WIDTH
    }

    fn fork_join(&self, _name: &'static str, pieces: Vec<Piece<'_>>) {
        self.inner.fork_join(pieces);
    }
}

impl Runtime for SimRuntime {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.inner.spawn(ROOT, false, name, future);
    }

    fn spawn_worker(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.inner.spawn(ROOT, true, name, future);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }
}

struct Sleep {
    inner: Arc<Inner>,
    until: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.inner.clock.monotonic() >= self.until {
            return Poll::Ready(());
        }
        let mut state = self.inner.lock();
        let timer = self.timer.unwrap_or_else(|| {
            state.next += 1;
            state.next
        });
        state.timers.insert((self.until, timer), context.waker().clone());
        drop(state);
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.inner.lock().timers.remove(&(self.until, timer));
        }
    }
}
