//! `helenus bench`: load on a node over the network, and an honest figure of what it took.
//!
//! With `--rate`, requests have appointed times, and a latency counts from that time, not from
//! the moment at which the request could be sent: a node that stalls is charged for everything
//! that should have happened meanwhile. Without it, each connection keeps a number of requests in
//! flight, and latency is what a client sees that never asks for more than is answered.

mod connection;
mod report;
#[cfg(test)]
mod tests;
mod workload;

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Args, ValueEnum};
use cql_lite::wire::{Consistency, ProtocolVersion};
use helenus_platform::clock::{Clock, RealClock};
use helenus_platform::net::{Network, TokioNetwork};
use helenus_platform::runtime::{Runtime, TokioRuntime};

use crate::config::parse_duration;
use connection::Connection;
use report::{Recorder, Summary};
use workload::Workload;

/// How long what should have been done by the end may still take; the rest has failed.
const LINGER: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_secs(1);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Insert rows with keys in order
    Write,
    /// Select rows by random keys
    Read,
    /// Select and insert rows by random keys
    Mixed,
    /// Append points to many series; some requests read the newest 100 of one
    Timeseries,
}

/// The options of `helenus bench`.
#[derive(Debug, Args)]
pub(super) struct BenchOptions {
    /// What is done
    kind: Kind,
    /// Where the node is: HOST or HOST:PORT
    #[arg(default_value = "127.0.0.1:9042", value_name = "HOST[:PORT]")]
    node: String,
    /// How long
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// End after so many requests, if that is before the duration is over
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// Requests a second, all connections together [default: as many as are answered]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Connections
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// Requests that one connection has under way at most
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(i16).range(1..))]
    in_flight: i16,
    /// Rows that reads and mixed work choose from, or series of a time series
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Columns of a row beside its key
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    columns: u16,
    /// Bytes of each
    #[arg(long, default_value_t = 34, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    column_bytes: u32,
    /// Percent of requests that read [default: 50 for mixed, 5 for timeseries]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    read_percent: Option<u8>,
    /// Keyspace, made if it is not there
    #[arg(long, default_value = "helenus_bench")]
    keyspace: String,
    /// Consistency level: ONE, QUORUM, LOCAL_QUORUM, ALL, ...
    #[arg(long, default_value = "ONE", value_parser = consistency)]
    consistency: Consistency,
    /// Version of the native protocol: 3, 4 or 5
    #[arg(long, default_value = "5", value_parser = version)]
    protocol: ProtocolVersion,
    /// Compress with LZ4
    #[arg(long)]
    lz4: bool,
    /// Do not write the rows first that reads and mixed work choose from
    #[arg(long)]
    no_populate: bool,
    /// Threads of this program
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Seed of keys and values
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = parse_duration(text).filter(|duration| *duration > Duration::ZERO);
    parsed.ok_or_else(|| "a duration has a unit: 500ms, 10s, 5m, 1h".to_string())
}

fn consistency(text: &str) -> Result<Consistency, String> {
    Consistency::from_name(&text.to_uppercase()).ok_or_else(|| {
        let names = (0..=0x0A_u16).filter_map(|code| Consistency::decode(code).ok());
        let names: Vec<&str> = names.map(Consistency::name).collect();
        format!("one of {}", names.join(", "))
    })
}

fn version(text: &str) -> Result<ProtocolVersion, String> {
    let number = text.parse().ok().and_then(ProtocolVersion::from_number);
    number.ok_or_else(|| "3, 4 or 5".to_string())
}

/// A phase of the bench: what all its connections share.
struct Phase {
    clock: Arc<dyn Clock>,
    runtime: Arc<dyn Runtime>,
    workload: Workload,
    consistency: Consistency,
    in_flight: i16,
    connections: u64,
    /// Between two appointments of one connection; none: as soon as another is answered.
    interval: Option<Duration>,
    begin: Duration,
    /// No request is due from here on.
    end: Duration,
    requests_max: u64,
    made: AtomicU64,
    /// One of each connection.
    recorders: Vec<Mutex<Recorder>>,
}

/// Runs the bench; prints live lines to standard error and the summary to standard output.
///
/// # Errors
/// Say what kept it from running, or that requests failed.
pub(super) fn run(options: &BenchOptions) -> Result<(), String> {
    let address = resolve(&options.node)?;
    let runtime = TokioRuntime::new(options.threads.into());
    let runtime = Arc::new(runtime.map_err(|error| format!("cannot start threads: {error}"))?);
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let tasks: Arc<dyn Runtime> = runtime.clone();
    let summary = runtime.block_on(bench(options, &TokioNetwork, address, tasks, clock))?;
    report::print(&summary, options.json)?;
    match summary.errors {
        0 => Ok(()),
        errors => Err(format!(
            "{errors} requests failed, the first with: {}",
            summary.first_error.unwrap_or_default()
        )),
    }
}

/// Connects, makes the tables, fills them if reads need it, and applies the load.
async fn bench(
    options: &BenchOptions,
    network: &dyn Network,
    address: SocketAddr,
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
) -> Result<Summary, String> {
    let failed = |error: String| format!("{address}: {error}");
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        let stream = network.connect(address).await;
        let stream = stream.map_err(|error| failed(format!("cannot connect: {error}")))?;
        let opened = Connection::open(stream, options.protocol, options.lz4).await;
        connections.push(opened.map_err(failed)?);
    }
    let workload = Workload::new(options);
    if let Some(first) = connections.first_mut() {
        for statement in workload.schema() {
            first.query(&statement).await.map_err(failed)?;
        }
    }
    for connection in &mut connections {
        for statement in workload.statements() {
            connection.prepare(&statement).await.map_err(failed)?;
        }
    }
    let whole = |workload: Workload, requests_max, duration, rate: Option<u32>| {
        let begin = clock.monotonic();
        let interval = rate
            .map(|rate| Duration::from_secs_f64(f64::from(options.connections) / f64::from(rate)));
        Arc::new(Phase {
            clock: clock.clone(),
            runtime: runtime.clone(),
            workload,
            consistency: options.consistency,
            in_flight: options.in_flight,
            connections: options.connections.into(),
            interval,
            begin,
            end: begin.saturating_add(duration),
            requests_max,
            made: AtomicU64::new(0),
            recorders: (0..options.connections).map(|_| Mutex::default()).collect(),
        })
    };
    if workload.reads_rows() && !options.no_populate {
        let fill = whole(workload.filling(), options.rows, Duration::MAX, None);
        eprintln!("writing {} rows first", options.rows);
        connections = fill.run(connections, |_| ()).await?;
    }
    let phase =
        whole(workload, options.requests.unwrap_or(u64::MAX), options.duration, options.rate);
    phase.run(connections, |line| eprintln!("{line}")).await?;
    Ok(phase.summary(options))
}

/// The first address that `HOST` or `HOST:PORT` stands for.
fn resolve(node: &str) -> Result<SocketAddr, String> {
    const PORT: u16 = 9042;
    let with_port = node.to_socket_addrs().or_else(|_| (node, PORT).to_socket_addrs());
    with_port
        .map_err(|error| format!("{node}: {error}"))?
        .next()
        .ok_or_else(|| format!("{node} stands for no address"))
}
