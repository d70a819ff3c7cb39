//! `helenus serve`: a node in a process of its own, until it is asked to stop.

use std::future::poll_fn;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use helenus_platform::clock::RealClock;
use helenus_platform::disk::RealDisk;
use helenus_platform::net::{TokioNetwork, bind_local};
use helenus_platform::open_files::raise_open_files_max;
use helenus_platform::random::RealRandom;
use helenus_platform::runtime::{TokioRuntime, stop_requested};

use crate::config::Config;
use crate::node::admin::AdminSocket;
use crate::node::{Doom, Node, World};

/// Runs a node until SIGTERM or SIGINT, then stops it cleanly.
///
/// # Errors
/// Say why the node cannot serve, or could not stop cleanly.
pub(super) fn run(config: &Config) -> Result<(), String> {
    start_logging();
    check_open_files(config);
    let threads = match config.worker_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let runtime =
        Arc::new(TokioRuntime::new(threads).map_err(|e| format!("cannot start threads: {e}"))?);
    let world = World {
        disk: Arc::new(RealDisk::new()),
        clock: Arc::new(RealClock::new()),
        random: Arc::new(RealRandom::new().map_err(|e| format!("no randomness: {e}"))?),
        runtime: runtime.clone(),
    };
    let network = Arc::new(TokioNetwork);
    let done = runtime.block_on(async {
        // Before anybody is told that the node serves, and may think of stopping it.
        let stop = stop_requested().map_err(|e| format!("cannot wait for signals: {e}"))?;
        let mut stop = pin!(stop);
        let start = Node::start(world, network.clone(), config.clone());
        let Either::First(node) = first_of(start, stop.as_mut()).await else {
            tracing::info!("asked to stop before the node had found its cluster");
            return Ok(());
        };
        let node = node.map_err(|error| error.to_string())?;
        let address = SocketAddr::new(config.listen_address, config.cql_port);
        let serving = node.serve(network.as_ref(), address).await;
        let serving = serving.map_err(|e| format!("cannot listen on {address}: {e}"))?;
        let admin = AdminSocket::start(&node, bind_local);
        if let Err(error) = &admin {
            let dir = config.data_dir.display();
            tracing::warn!(%error, %dir, "commands such as `helenus status` cannot reach the node");
        }
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            address = %serving.address(),
            commit_log = ?config.durability,
            "serving"
        );
        announce(&serving.address().to_string(), config);
        let doom = match first_of(node.doomed(), stop.as_mut()).await {
            Either::First(why) => Some(why),
            Either::Second(()) => None,
        };
        match &doom {
            None => tracing::info!("asked to stop"),
            Some(Doom::Left) => tracing::info!("the node has left the cluster, and ends"),
            Some(Doom::Failed(why)) => tracing::error!("the node must stop: {why}"),
        }
        drop(admin);
        serving.stop().await;
        node.retire().await;
        // A start after this one has nothing to replay. If it fails, the log still has everything.
        if let Err(error) = node.drain().await {
            tracing::warn!(%error, "could not flush before stopping: the next start replays the log");
        }
        node.close().await.map_err(|error| format!("stopping: {error}"))?;
        tracing::info!("stopped cleanly");
        match doom {
            None | Some(Doom::Left) => Ok(()),
            Some(Doom::Failed(why)) => Err(why),
        }
    });
    runtime.join_workers();
    done
}

/// What came first of two.
enum Either<A, B> {
    First(A),
    Second(B),
}

async fn first_of<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Either<A, B> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| {
        if let Poll::Ready(done) = first.as_mut().poll(context) {
            return Poll::Ready(Either::First(done));
        }
        second.as_mut().poll(context).map(Either::Second)
    })
    .await
}

/// What the node opens beside sockets: SSTables above all.
const FILES_BESIDE_SOCKETS: u64 = 1024;

/// Raises the limit of open files, and warns if it is still too low for what is configured.
fn check_open_files(config: &Config) {
    let needed = config.connections_max as u64 + FILES_BESIDE_SOCKETS;
    if let Some(open_files_max) = raise_open_files_max().filter(|max| *max < needed) {
        tracing::warn!(
            open_files_max,
            needed,
            "the system allows fewer open files than limits.connections needs: raise it \
             (LimitNOFILE of systemd, ulimit -n), or lower limits.connections"
        );
    }
}

fn announce(address: &str, config: &Config) {
    let dir = config.data_dir.display();
    let mut out = std::io::stdout().lock();
    // Nobody may be reading, which is no reason not to serve.
    let written = writeln!(out, "helenus serves CQL on {address}, data in {dir}");
    drop(written.and_then(|()| out.flush()));
}

/// Log lines go to standard error: coloured for a person, JSON for a program.
fn start_logging() {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started =
        if std::io::stderr().is_terminal() { logger.try_init() } else { logger.json().try_init() };
    // A program that embeds this command may have a logger already; then that one is used.
    drop(started);
}
