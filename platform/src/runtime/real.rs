//! Tasks on tokio, workers on threads. A worker's thread runs its future with a small executor
//! that parks; sleeping inside a worker is a timed park, so it is exact to the scheduler's
//! precision where tokio's timer rounds up to a millisecond.

#![expect(clippy::disallowed_methods, reason = "this is the real half of the runtime seam")]

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::{BoxFuture, Runtime};
use crate::fork::{ForkJoin, Piece, Threads};

/// The runtime of a real process.
pub struct TokioRuntime {
    handle: Handle,
    /// Present when this value started tokio itself, not when it borrows an application's.
    owned: Option<tokio::runtime::Runtime>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for TokioRuntime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokioRuntime").field("owned", &self.owned.is_some()).finish()
    }
}

impl TokioRuntime {
    /// Starts tokio with `threads` threads for tasks.
    pub fn new(threads: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("helenus")
            .enable_all()
            .build()?;
        Ok(TokioRuntime {
            handle: runtime.handle().clone(),
            owned: Some(runtime),
            workers: Mutex::new(Vec::new()),
        })
    }

    /// Uses a tokio runtime that the application already has.
    pub fn borrowed(handle: Handle) -> Self {
        TokioRuntime { handle, owned: None, workers: Mutex::new(Vec::new()) }
    }

    /// Uses the tokio runtime that the calling code runs in, or starts one with `threads` threads
    /// where there is none.
    pub fn current_or_new(threads: usize) -> io::Result<Self> {
        Handle::try_current().map_or_else(|_| Self::new(threads), |here| Ok(Self::borrowed(here)))
    }

    /// A runtime on the same tokio with workers of its own. It must not outlive this one.
    #[must_use]
    pub fn sharing(&self) -> Self {
        Self::borrowed(self.handle.clone())
    }

    /// Polls `future` with this runtime's context around it, so that it finds tokio's timers and
    /// sockets wherever it is polled.
    pub fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        let handle = self.handle.clone();
        let mut future = Box::pin(future);
        std::future::poll_fn(move |context| {
            let _context = handle.enter();
            future.as_mut().poll(context)
        })
    }

    /// Runs `future` on the calling thread until it is done, with tokio's context around it.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Waits for every worker that was started. Call it after telling them to stop.
    pub fn join_workers(&self) {
        loop {
            let worker = self.lock_workers().pop();
            let Some(worker) = worker else { return };
            // A worker that panicked has said so on its own; there is nobody else to tell.
            let _ = worker.join();
        }
    }

    /// Whether the calling thread is one of the workers, which cannot wait for their own end.
    #[must_use]
    pub fn is_worker(&self) -> bool {
        let here = thread::current().id();
        self.lock_workers().iter().any(|worker| worker.thread().id() == here)
    }

    fn lock_workers(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ready when the process is asked to stop: by SIGTERM, or by SIGINT as Ctrl-C sends it. From this
/// call on, and not from the first poll, these do not end the process by themselves. Must be called
/// inside tokio.
pub fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Ctrl-C, for a program that cancels what it does instead of ending. From the first value on,
/// the signal does not end the process by itself any more.
#[derive(Debug)]
pub struct Interrupts(tokio::signal::unix::Signal);

impl Interrupts {
    /// Begins to listen; must be called inside tokio.
    pub fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::interrupt()).map(Interrupts)
    }

    /// Ready when the signal has come since the last time.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_recv(context).map(|_| ())
    }
}

impl Drop for TokioRuntime {
    fn drop(&mut self) {
        // Never waits: the last reference may well be dropped inside one of its own tasks.
        if let Some(runtime) = self.owned.take() {
            runtime.shutdown_background();
        }
    }
}

impl ForkJoin for TokioRuntime {
    fn width(&self) -> usize {
        Threads.width()
    }

    fn fork_join(&self, name: &'static str, pieces: Vec<Piece<'_>>) {
        Threads.fork_join(name, pieces);
    }
}

impl Runtime for TokioRuntime {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        drop(self.handle.spawn(future));
    }

    fn spawn_worker(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.start_worker(name, future, || {});
    }

    fn spawn_background(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.start_worker(name, future, move || lower_priority(name));
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep {
            id: NEXT_SLEEP.fetch_add(1, Ordering::Relaxed),
            deadline: Instant::now() + duration,
            handle: self.handle.clone(),
            timer: None,
        })
    }
}

/// What the calling thread gets of a busy core beside one of usual priority: about a quarter.
const BACKGROUND_NICE: i32 = 6;

/// Lowers the priority of the calling thread. On Linux niceness belongs to a thread; elsewhere it
/// would be the whole process that becomes slower.
fn lower_priority(name: &'static str) {
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::setpriority_process(None, BACKGROUND_NICE)
    {
        tracing::debug!(worker = name, %error, "cannot lower the priority of a thread");
    }
}

impl TokioRuntime {
    fn start_worker(
        &self,
        name: &'static str,
        future: BoxFuture<'static, ()>,
        prepare: impl FnOnce() + Send + 'static,
    ) {
        let handle = self.handle.clone();
        // Held until the thread is in the list, so that it finds itself there.
        let mut workers = self.lock_workers();
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
            prepare();
            let _context = handle.enter();
            block_on(future);
        });
        match started {
            Ok(worker) => {
                workers.retain(|worker| !worker.is_finished());
                workers.push(worker);
            }
            // The future is dropped: whoever waits for it sees its channel or guard close.
            Err(error) => tracing::error!(worker = name, %error, "cannot start a thread"),
        }
    }
}

/// Sleeps by the executor that polls it: a parked worker's own list, or tokio's timer.
struct Sleep {
    id: u64,
    deadline: Instant,
    handle: Handle,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        let parked = TIMERS.with_borrow_mut(|timers| {
            let Some(timers) = timers else { return false };
            match timers.iter_mut().find(|timer| timer.id == self.id) {
                Some(timer) => timer.waker.clone_from(context.waker()),
                None => {
                    timers.push(Timer { id: self.id, deadline, waker: context.waker().clone() });
                }
            }
            true
        });
        if parked {
            return Poll::Pending;
        }
        if self.timer.is_none() {
            let _context = self.handle.enter();
            self.timer = Some(Box::pin(tokio::time::sleep_until(deadline.into())));
        }
        match self.timer.as_mut() {
            Some(timer) => timer.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // Fails only while the thread ends, when nobody parks on the list any more.
        let _ = TIMERS.try_with(|timers| {
            if let Ok(mut timers) = timers.try_borrow_mut()
                && let Some(timers) = timers.as_mut()
            {
                timers.retain(|timer| timer.id != self.id);
            }
        });
    }
}

/// A sleeping future of a [`block_on`].
struct Timer {
    id: u64,
    deadline: Instant,
    waker: Waker,
}

static NEXT_SLEEP: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The sleeping futures of this thread's [`block_on`]; `None` outside of one.
    static TIMERS: RefCell<Option<Vec<Timer>>> = const { RefCell::new(None) };
}

struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

/// Runs a future on this thread, parking it while the future waits.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let parker = Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(true) });
    let waker = Waker::from(parker.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let outer = TIMERS.replace(Some(Vec::new()));
    let output = loop {
        if parker.woken.swap(false, Ordering::SeqCst)
            && let Poll::Ready(output) = future.as_mut().poll(&mut context)
        {
            break output;
        }
        park(&parker);
    };
    TIMERS.set(outer);
    output
}

/// Parks until woken or until the earliest deadline, and wakes the futures that are due.
fn park(parker: &Parker) {
    let now = Instant::now();
    let (due, next) = TIMERS.with_borrow_mut(|timers| {
        let Some(timers) = timers else { return (Vec::new(), None) };
        let due: Vec<_> = timers.extract_if(.., |timer| timer.deadline <= now).collect();
        (due, timers.iter().map(|timer| timer.deadline).min())
    });
    if !due.is_empty() {
        for timer in due {
            timer.waker.wake();
        }
    } else if !parker.woken.load(Ordering::SeqCst) {
        match next {
            Some(deadline) => thread::park_timeout(deadline - now),
            None => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::bounded;

    #[test]
    fn workers_and_tasks_sleep_and_talk() {
        let runtime = Arc::new(TokioRuntime::new(1).unwrap());
        let (sender, mut receiver) = bounded(1);
        let from_worker = sender.clone();
        let inner = runtime.clone();
        let nap = async move {
            inner.sleep(Duration::from_micros(300)).await;
            let _ = from_worker.send("worker").await;
        };
        runtime.spawn_worker("test-worker", Box::pin(nap));
        let inner = runtime.clone();
        let nap = async move {
            inner.sleep(Duration::from_millis(2)).await;
            let _ = sender.send("task").await;
        };
        runtime.spawn("test-task", Box::pin(nap));
        let mut seen = vec![block_on(receiver.recv()), block_on(receiver.recv())];
        seen.sort();
        assert_eq!(seen, [Some("task"), Some("worker")]);
        assert_eq!(block_on(receiver.recv()), None);
        runtime.join_workers();
    }

    #[test]
    fn a_sleep_is_not_shorter_than_asked() {
        let runtime = TokioRuntime::new(1).unwrap();
        let start = Instant::now();
        block_on(runtime.sleep(Duration::from_millis(3)));
        assert!(start.elapsed() >= Duration::from_millis(3));
        let start = Instant::now();
        runtime.block_on(runtime.sleep(Duration::from_millis(3)));
        assert!(start.elapsed() >= Duration::from_millis(3));
    }
}
