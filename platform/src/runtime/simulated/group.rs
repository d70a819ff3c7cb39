//! The tasks of one simulated process among several: killed, paused or slow together, with a wall
//! clock of their own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{BoxFuture, FORK_WIDTH, Inner, Runtime, SimRuntime};
use crate::clock::{Clock, ManualClock};
use crate::fork::{ForkJoin, Piece};

/// The group of tasks that belong to none; it has no entry and is never held up.
pub(super) const ROOT: u64 = 0;

/// What the runtime keeps of a group.
#[derive(Default)]
pub(super) struct Group {
    pub(super) name: String,
    /// Counts deaths: what belongs to an earlier life starts nothing any more.
    life: u64,
    pub(super) is_paused: bool,
    /// Tasks that became ready while the group was paused.
    pub(super) held: BTreeSet<u64>,
    /// The most that a worker waits each time before it runs; zero is not at all.
    pub(super) worker_delay_max: Duration,
}

/// A process of a simulation: its tasks, and how they fare. Clones are the same one.
///
/// It is meant for whoever makes the faults, from a task of another group or of none, and lives on
/// when its tasks are killed; [`SimGroup::runtime`] and [`SimGroup::clock`] are for the process.
#[derive(Clone)]
pub struct SimGroup {
    inner: Arc<Inner>,
    id: u64,
    clock: Arc<SkewedClock>,
}

impl std::fmt::Debug for SimGroup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.inner.lock();
        let tasks: Vec<_> =
            state.tasks.values().filter(|task| task.group == self.id).map(|t| t.name).collect();
        let mut fields = formatter.debug_struct("SimGroup");
        if let Some(group) = state.groups.get(&self.id) {
            fields.field("name", &group.name).field("life", &group.life);
            fields.field("is_paused", &group.is_paused);
        }
        fields.field("tasks", &tasks).finish_non_exhaustive()
    }
}

impl SimRuntime {
    /// A new group without tasks. Its clock shows this runtime's time until it is skewed.
    #[must_use]
    pub fn group(&self, name: &str) -> SimGroup {
        let id = {
            let mut state = self.inner.lock();
            state.next += 1;
            let id = state.next;
            state.groups.insert(id, Group { name: name.to_owned(), ..Group::default() });
            id
        };
        let skew = Mutex::new(Skew::default());
        let clock = Arc::new(SkewedClock { base: self.inner.clock.clone(), skew });
        SimGroup { inner: self.inner.clone(), id, clock }
    }
}

impl SimGroup {
    /// Where the process runs its tasks, until the group is killed: then what it spawns is
    /// dropped. The next life takes a new one.
    #[must_use]
    pub fn runtime(&self) -> Arc<dyn Runtime> {
        let life = self.inner.lock().groups.get(&self.id).map_or(0, |group| group.life);
        Arc::new(GroupRuntime { inner: self.inner.clone(), id: self.id, life })
    }

    /// The process's clock: monotonic time is everybody's, wall time as it was skewed. It stays
    /// the same over all lives.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Drops every task of the group, as `kill -9` does. A pause ends; a slow disk stays slow.
    pub fn kill(&self) {
        let dropped: Vec<_> = {
            let mut state = self.inner.lock();
            if let Some(group) = state.groups.get_mut(&self.id) {
                group.life += 1;
                group.is_paused = false;
                group.held.clear();
            }
            state.tasks.extract_if(.., |_, task| task.group == self.id).collect()
        };
        // Outside the lock: what a task owns may come back to this runtime when it is dropped.
        drop(dropped);
    }

    /// From now on nothing of the group runs, as after SIGSTOP; time passes for it all the same.
    pub fn pause(&self) {
        if let Some(group) = self.inner.lock().groups.get_mut(&self.id) {
            group.is_paused = true;
        }
    }

    /// Ends a pause. What became due in the meantime becomes ready now.
    pub fn resume(&self) {
        let held = match self.inner.lock().groups.get_mut(&self.id) {
            Some(group) => {
                group.is_paused = false;
                std::mem::take(&mut group.held)
            }
            None => return,
        };
        held.into_iter().for_each(|task| self.inner.ready.push(task));
    }

    /// From now on every worker waits a drawn while of at most `delay_max` each time that it
    /// could run: what it does on the disk takes effect later, as on a slow one.
    pub fn set_worker_delay(&self, delay_max: Duration) {
        if let Some(group) = self.inner.lock().groups.get_mut(&self.id) {
            group.worker_delay_max = delay_max;
        }
    }

    /// Steps the wall clock by so many microseconds, in either direction.
    pub fn step_wall(&self, micros: i64) {
        self.clock.change(|skew| skew.offset_micros = skew.offset_micros.saturating_add(micros));
    }

    /// From now on the wall clock runs fast by so many parts in a million, or slow if negative.
    pub fn set_drift(&self, parts_per_million: i64) {
        self.clock.change(|skew| skew.parts_per_million = parts_per_million);
    }

    /// Sets the wall clock right, as NTP does in a step.
    pub fn heal_clock(&self) {
        self.clock.change(|skew| *skew = Skew { since: skew.since, ..Skew::default() });
    }

    /// Tasks that there are.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.inner.lock().tasks.values().filter(|task| task.group == self.id).count()
    }
}

/// How a wall clock is wrong.
#[derive(Debug, Clone, Copy, Default)]
struct Skew {
    /// At `since`.
    offset_micros: i64,
    parts_per_million: i64,
    since: Duration,
}

impl Skew {
    fn offset_at(&self, now: Duration) -> i64 {
        let elapsed = i128::try_from(now.saturating_sub(self.since).as_micros());
        let gained = elapsed.unwrap_or(0) * i128::from(self.parts_per_million) / 1_000_000;
        self.offset_micros.saturating_add(i64::try_from(gained).unwrap_or(0))
    }
}

struct SkewedClock {
    base: Arc<ManualClock>,
    skew: Mutex<Skew>,
}

impl SkewedClock {
    fn lock(&self) -> MutexGuard<'_, Skew> {
        self.skew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the clock has gained so far stays.
    fn change(&self, change: impl FnOnce(&mut Skew)) {
        let now = self.base.monotonic();
        let mut skew = self.lock();
        *skew = Skew { offset_micros: skew.offset_at(now), since: now, ..*skew };
        change(&mut skew);
    }
}

impl Clock for SkewedClock {
    fn wall_micros(&self) -> i64 {
        let offset = self.lock().offset_at(self.base.monotonic());
        self.base.wall_micros().saturating_add(offset)
    }

    fn monotonic(&self) -> Duration {
        self.base.monotonic()
    }
}

/// One life of a group.
struct GroupRuntime {
    inner: Arc<Inner>,
    id: u64,
    life: u64,
}

impl GroupRuntime {
    fn start(&self, is_worker: bool, name: &'static str, future: BoxFuture<'static, ()>) {
        let lives =
            self.inner.lock().groups.get(&self.id).is_some_and(|group| group.life == self.life);
        if lives {
            self.inner.spawn(self.id, is_worker, name, future);
        }
    }
}

impl std::fmt::Debug for GroupRuntime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = formatter.debug_struct("GroupRuntime");
        fields.field("group", &self.id).field("life", &self.life).finish_non_exhaustive()
    }
}

impl ForkJoin for GroupRuntime {
    fn width(&self) -> usize {
        FORK_WIDTH
    }

    fn fork_join(&self, _name: &'static str, pieces: Vec<Piece<'_>>) {
        self.inner.fork_join(pieces);
    }
}

impl Runtime for GroupRuntime {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.start(false, name, future);
    }

    fn spawn_worker(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.start(true, name, future);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }
}
