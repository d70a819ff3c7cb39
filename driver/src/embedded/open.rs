//! Opening a node: on a data directory, or in memory.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use helenus::config::{Config, DurabilityMode};
use helenus::node::{Node, OpenError, World};
use helenus_platform::channel::bounded;
use helenus_platform::clock::RealClock;
use helenus_platform::disk::{Disk, MemoryDisk, RealDisk};
use helenus_platform::fork::{ForkJoin, InTurn, Piece};
use helenus_platform::random::RealRandom;
use helenus_platform::runtime::{BoxFuture, Runtime, TokioRuntime};

use super::{Embedded, Opened};
use crate::error::{Error, ErrorKind, Result};

/// Threads that all sessions of the process share: they keep timers, and do the background work
/// of nodes in memory.
const SHARED_THREADS: usize = 2;

fn no_threads(error: std::io::Error) -> Error {
    Error::caused(ErrorKind::Failed, format!("cannot start threads: {error}"), error)
}

/// What the process's sessions have in common. Started with the first, kept to the end.
fn shared() -> Result<&'static TokioRuntime> {
    static SHARED: OnceLock<TokioRuntime> = OnceLock::new();
    if let Some(shared) = SHARED.get() {
        return Ok(shared);
    }
    let started = TokioRuntime::new(SHARED_THREADS).map_err(no_threads)?;
    Ok(SHARED.get_or_init(|| started))
}

/// Opens the directory that `config` names, on a thread of its own: replaying a log takes time.
pub(crate) async fn open(config: Config) -> Result<Embedded> {
    let runtime = Arc::new(shared()?.sharing());
    let (sender, mut receiver) = bounded(1);
    let workers = runtime.clone();
    let opening = async move {
        let opened = open_here(RealDisk::new(), config, workers.clone(), workers);
        // If nobody waits any more, it is closed again by being dropped.
        drop(sender.try_send(opened));
    };
    runtime.spawn_worker("helenus-open", Box::pin(opening));
    receiver.recv().await.unwrap_or_else(|| {
        Err(Error::new(ErrorKind::Failed, "the thread that was to open the directory has died"))
    })
}

/// Opens a node in memory, on this thread: it takes no time and no threads.
pub(crate) fn open_memory() -> Result<Embedded> {
    let runtime = Arc::new(shared()?.sharing());
    let world = Arc::new(TasksOnly(runtime.clone()));
    let config = Config {
        data_dir: PathBuf::from("/memory"),
        durability: DurabilityMode::Periodic,
        sync_period: Duration::from_secs(3600),
        segment_bytes: MEMORY_SEGMENT_BYTES,
        log_bytes_max: 4 * MEMORY_SEGMENT_BYTES,
        memtable_flush_bytes: 8 << 20,
        memtable_total_bytes: 64 << 20,
        block_cache_bytes: 1 << 20,
        fetch_threads: 1,
        // Nobody could go back to it; and taking one waits for a flush on a thread that others
        // share here.
        auto_snapshot: false,
        ..Config::default()
    };
    open_here(MemoryDisk::new(), config, world, runtime)
}

/// Room for a mutation of 8 MiB.
const MEMORY_SEGMENT_BYTES: u64 = 16 << 20;

fn open_here(
    disk: impl Disk + 'static,
    config: Config,
    world: Arc<dyn Runtime>,
    runtime: Arc<TokioRuntime>,
) -> Result<Embedded> {
    let dir = config.data_dir.clone();
    let world = World {
        disk: Arc::new(disk),
        clock: Arc::new(RealClock::new()),
        random: Arc::new(RealRandom::new().map_err(no_threads)?),
        runtime: world,
    };
    let node = Node::open(world, config).map_err(storage_error)?;
    let handler = Arc::new(node.clone());
    let timer: Arc<dyn Runtime> = runtime.clone();
    Ok(Embedded::new(handler, Some(timer), Some(Opened { node, runtime, dir: Some(dir) })))
}

/// Why a directory could not be opened or closed.
pub(super) fn storage_error(error: OpenError) -> Error {
    match &error {
        OpenError::Locked(lock) if lock.source.is_none() => {
            let message = format!(
                "{error}; end that process, or connect to it if it serves: a data directory \
                 belongs to one process at a time"
            );
            Error::caused(ErrorKind::InUse, message, error)
        }
        _ => Error::caused(ErrorKind::Storage, error.to_string(), error),
    }
}

/// Runs workers as tasks on the shared threads: on a disk in memory nothing blocks them.
#[derive(Debug)]
struct TasksOnly(Arc<TokioRuntime>);

impl ForkJoin for TasksOnly {
    fn width(&self) -> usize {
        InTurn.width()
    }

    fn fork_join(&self, name: &'static str, pieces: Vec<Piece<'_>>) {
        InTurn.fork_join(name, pieces);
    }
}

impl Runtime for TasksOnly {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.0.spawn(name, future);
    }

    fn spawn_worker(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.0.spawn(name, future);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}
