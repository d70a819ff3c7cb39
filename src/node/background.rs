//! The work that nobody waits for by name: syncing the log, flushing, compacting, and keeping the
//! promise about timestamps.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use helenus_platform::runtime::{BoxFuture, Runtime};
use helenus_platform::signal::Signal;
use helenus_storage::{Budget, ErrorKind, JobKind, JobStep};

use super::Node;
use crate::config::DurabilityMode;

/// Work of one step of a job: less than a millisecond (`storage/tests/it/compaction_load.rs`).
const STEP_UNITS: u64 = 1_000;
/// Rest after a job has failed, so that a full disk is not tried a thousand times a second.
const FAILED_JOB_PAUSE: Duration = Duration::from_millis(500);
/// A failure that goes on is logged again after this long.
const REPEAT_COMPLAINT: Duration = Duration::from_secs(60);
/// What may be purged changes with time alone, so compaction is asked for at least this often.
const COMPACTION_CHECK: Duration = Duration::from_secs(30);
/// Threads that compact.
const COMPACTION_WORKERS: usize = 1;
/// How far the promise about timestamps reaches ahead, and when it is renewed.
const CEILING_AHEAD_MICROS: i64 = 5_000_000;
const CEILING_LEFT_MICROS_MIN: i64 = 2_500_000;
const CEILING_CHECK: Duration = Duration::from_millis(500);

/// The promise that a node opens with: ahead of the clock, and of what an earlier run may have
/// given out by a second only, so that a node which is killed again and again does not run away.
pub(super) fn first_ceiling(floor: i64, now: i64) -> i64 {
    now.saturating_add(CEILING_AHEAD_MICROS).max(floor.saturating_add(1_000_000))
}

/// Counts tasks, so that closing can wait for their end.
#[derive(Default)]
pub(super) struct Count {
    running: AtomicUsize,
    ended: Signal,
}

impl Count {
    pub(super) async fn all_ended(&self) {
        loop {
            let epoch = self.ended.epoch();
            if self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            self.ended.wait_past(epoch).await;
        }
    }
}

/// Counts one task as long as it lives, also when it panics.
struct Running(Node);

impl Running {
    fn new(node: &Node) -> Self {
        node.shared.background.running.fetch_add(1, Ordering::SeqCst);
        Self(node.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let count = &self.0.shared.background;
        count.running.fetch_sub(1, Ordering::SeqCst);
        count.ended.notify_all();
    }
}

impl Node {
    /// Starts the background work; once, after opening.
    pub(super) fn start_background(&self) {
        let runtime = self.shared.world.runtime.as_ref();
        let kinds = [(JobKind::LogSync, "helenus-log"), (JobKind::Flush, "helenus-flush")];
        let compaction = [(JobKind::Compaction, "helenus-compact"); COMPACTION_WORKERS];
        // A sync of all that was written in a period can take long; somebody must make the next
        // segment meanwhile, and write what is not written by connections themselves.
        let is_periodic = self.shared.config.durability == DurabilityMode::Periodic;
        let second = is_periodic.then_some((JobKind::LogSync, "helenus-log-2"));
        for (kind, name) in kinds.into_iter().chain(compaction).chain(second) {
            let running = Running::new(self);
            let work: BoxFuture<'static, ()> =
                Box::pin(async move { running.0.run_jobs(kind).await });
            match kind {
                JobKind::LogSync => runtime.spawn_worker(name, work),
                JobKind::Flush | JobKind::Compaction => runtime.spawn_background(name, work),
            }
        }
        let running = Running::new(self);
        runtime.spawn_worker(
            "helenus-clock",
            Box::pin(async move { running.0.keep_timestamp_promise().await }),
        );
    }

    /// As [`Node::spawn_counted`], on a thread that may wait for the disk.
    pub(super) fn spawn_counted_worker(&self, name: &'static str, work: BoxFuture<'static, ()>) {
        let running = Running::new(self);
        let counted = async move {
            work.await;
            drop(running);
        };
        self.shared.world.runtime.spawn_worker(name, Box::pin(counted));
    }

    /// Starts a task that closing waits for; it must end soon after the node begins to stop.
    pub(super) fn spawn_counted<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        task: impl FnOnce(Node) -> F,
    ) {
        let running = Running::new(self);
        let task = task(self.clone());
        let counted = async move {
            task.await;
            drop(running);
        };
        self.shared.world.runtime.spawn(name, Box::pin(counted));
    }

    async fn run_jobs(&self, kind: JobKind) {
        let engine = self.engine();
        let runtime = self.shared.world.runtime.as_ref();
        let signal = engine.work_signal(kind);
        let mut complaint = (None, Duration::ZERO);
        loop {
            let mut epoch = signal.epoch();
            if self.is_stopping() {
                return;
            }
            if let Some(job) = engine.next_job(kind) {
                epoch = self.run_job(kind, job, &mut complaint).await;
                // The log's job is always there; when it ends there is nothing to sync.
                if kind != JobKind::LogSync || self.is_stopping() {
                    continue;
                }
                // The job may have ended because the node stops, which is not signalled twice.
                if self.is_stopping() {
                    return;
                }
            }
            match kind {
                JobKind::Compaction => wait(runtime, COMPACTION_CHECK, signal, epoch).await,
                _ => signal.wait_past(epoch).await,
            }
        }
    }

    /// Runs a job to its end; answers the epoch of the work signal before its last step.
    async fn run_job(
        &self,
        kind: JobKind,
        mut job: helenus_storage::Job,
        (said, said_at): &mut (Option<String>, Duration),
    ) -> u64 {
        let runtime = self.shared.world.runtime.as_ref();
        let signal = self.engine().work_signal(kind);
        loop {
            let epoch = signal.epoch();
            if self.is_stopping() {
                return epoch;
            }
            match job.step(&mut Budget::new(STEP_UNITS)) {
                Ok(JobStep::Again) => yield_now().await,
                Ok(JobStep::Done) => {
                    self.log_done(kind);
                    return epoch;
                }
                Ok(JobStep::WaitUntil(at)) => {
                    let pause = at.saturating_sub(self.shared.world.clock.monotonic());
                    wait(runtime, pause, signal, epoch).await;
                }
                Err(error) => {
                    let is_new = said.as_deref() != Some(error.to_string().as_str());
                    let now = self.shared.world.clock.monotonic();
                    // One line when it begins, and then now and again: it is tried every second.
                    if is_new || now >= *said_at + REPEAT_COMPLAINT {
                        (*said, *said_at) = (Some(error.to_string()), now);
                        complain(kind, &error);
                    }
                    let stopped = &self.shared.stopped;
                    wait(runtime, FAILED_JOB_PAUSE, stopped, stopped.epoch()).await;
                    return epoch;
                }
            }
        }
    }

    fn log_done(&self, kind: JobKind) {
        let metrics = self.engine().metrics();
        match kind {
            JobKind::LogSync => {}
            JobKind::Flush => tracing::debug!(
                flushes = metrics.flushes.get(),
                bytes_so_far = metrics.flush_bytes.get(),
                "flushed a memtable"
            ),
            JobKind::Compaction => tracing::debug!(
                compactions = metrics.compactions.get(),
                bytes_read_so_far = metrics.compaction_bytes_read.get(),
                bytes_written_so_far = metrics.compaction_bytes_written.get(),
                "compacted SSTables"
            ),
        }
    }

    async fn keep_timestamp_promise(&self) {
        let runtime = self.shared.world.runtime.as_ref();
        loop {
            let epoch = self.shared.stopped.epoch();
            if self.is_stopping() {
                return;
            }
            let last = self.timestamps().last();
            let left = self.shared.identity.get().timestamp_ceiling.saturating_sub(last);
            if left < CEILING_LEFT_MICROS_MIN
                && let Err(error) = self.raise_timestamp_ceiling(last + CEILING_AHEAD_MICROS)
            {
                tracing::warn!(%error, "cannot record which timestamps may have been given out");
            }
            wait(runtime, CEILING_CHECK, &self.shared.stopped, epoch).await;
        }
    }
}

fn complain(kind: JobKind, error: &helenus_storage::Error) {
    match error.kind() {
        ErrorKind::DiskFull => tracing::error!(
            ?kind,
            %error,
            "the disk is full: writes are refused as memory fills; free space, for instance with \
             `helenus clearsnapshot`"
        ),
        ErrorKind::Corrupt => tracing::error!(?kind, %error, "a damaged file was found"),
        _ => tracing::error!(?kind, %error, "background work failed and will be tried again"),
    }
}

/// Waits until `pause` is over or `signal` has moved past `epoch`.
pub(super) async fn wait(runtime: &dyn Runtime, pause: Duration, signal: &Signal, epoch: u64) {
    let mut sleep = runtime.sleep(pause);
    let mut moved = pin!(signal.wait_past(epoch));
    poll_fn(|context| {
        if moved.as_mut().poll(context).is_ready() || sleep.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// Lets others run; on a thread of its own that is nobody, in a simulation it is everybody.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
