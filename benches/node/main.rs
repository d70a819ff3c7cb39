//! The request path of one node, from socket to socket: server CPU per request, rate, latency,
//! memory, start.
//!
//! ```text
//! cargo bench --bench node                                  everything, full size
//! cargo bench --bench node -- --rows 1000000 --only group   fewer rows, one part
//! cargo bench --bench node -- --binary OLD                  the same of another binary
//! cargo bench --bench node -- --steady 1 --only group       INSERTs for a profiler to look at
//! ```
//!
//! Parts are `periodic`, `group`, `start`, and `durable`, which compares the two modes and so
//! runs whenever both were measured.
//!
//! The node is the release binary in a process of its own; its CPU time comes from the operating
//! system, so flush and compaction count, and each row waits for those that it has caused. A bare
//! echo server on the same runtime is measured in the same run: budgets are stated for a machine
//! on which it costs 6.0 µs a request. Under `cargo test --benches` it runs in a smoke size.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "the load comes from outside the node's seams")]

mod client;
#[path = "../common/echo.rs"]
mod echo;
mod process;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use client::execute;
use echo::Echo;
use process::Node;

pub(crate) const CONNECTIONS: u64 = 8;
const ROW_COLUMNS: usize = 5;
const COLUMN_BYTES: usize = 34;
const KEY_BYTES: usize = 10;
/// Time between the bursts of one connection when latency is looked at.
const BURST_EVERY: Duration = Duration::from_micros(500);
/// How long latency is looked at.
const LATENCY_SECONDS: u64 = 20;

struct Settings {
    rows: u64,
    only: Option<String>,
    binary: PathBuf,
    full: bool,
    /// Only INSERTs, so many in flight on each connection.
    steady: Option<u64>,
}

fn settings() -> Settings {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let full = arguments.iter().any(|argument| argument == "--bench");
    let rows = after("--rows").map_or(if full { 5_000_000 } else { 2_000 }, |n| n.parse().unwrap());
    let steady = after("--steady").map(|n| n.parse().unwrap());
    let binary = after("--binary").map_or(env!("CARGO_BIN_EXE_helenus").into(), PathBuf::from);
    let rows = rows / CONNECTIONS * CONNECTIONS;
    Settings { rows, only: after("--only"), binary, full, steady }
}

/// A 10-byte key: the number, spread so that keys come in no order.
fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key
}

const INSERT: &str = "INSERT INTO bench.t (k, a, b, c, d, e) VALUES (?, ?, ?, ?, ?, ?)";
const SELECT: &str = "SELECT a, b, c, d, e FROM bench.t WHERE k = ?";

fn insert(id: &[u8], number: u64, stream: u16, out: &mut Vec<u8>) {
    let key = key(number);
    let values: [[u8; COLUMN_BYTES]; ROW_COLUMNS] = std::array::from_fn(|column| {
        // Half random, half constant: it compresses about as rows of text do.
        let mut value = [b'x'; COLUMN_BYTES];
        let mut state = number * 5 + column as u64 + 1;
        for byte in &mut value[..COLUMN_BYTES / 2] {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 33) as u8;
        }
        value
    });
    let [a, b, c, d, e] = &values;
    execute(stream, id, &[&key, a, b, c, d, e], out);
}

fn create_table(node: &Node) {
    let mut client = node.client();
    client.query(
        "CREATE KEYSPACE bench WITH replication = {'class': 'SimpleStrategy', \
         'replication_factor': 1}",
    );
    client
        .query("CREATE TABLE bench.t (k blob PRIMARY KEY, a blob, b blob, c blob, d blob, e blob)");
}

/// What a load cost and took.
struct Cost {
    /// Of the node, until it had nothing more to do.
    cpu: Duration,
    /// Requests a second.
    rate: f64,
}

/// Runs `count` requests over all connections, and lets the node finish what they began.
fn load(
    node: &Node,
    count: u64,
    in_flight: u64,
    statement: &str,
    request: impl Fn(&[u8], u64, &mut Vec<u8>) + Sync,
) -> Cost {
    node.quiet();
    let cpu = node.cpu();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let request = &request;
            scope.spawn(move || {
                let mut client = node.client();
                let id = client.prepare(statement);
                let share = count / CONNECTIONS;
                client.pump(share, in_flight, |i, out| {
                    request(&id, connection * share + i, out);
                });
            });
        }
    });
    let rate = count as f64 / began.elapsed().as_secs_f64();
    node.quiet();
    Cost { cpu: node.cpu() - cpu, rate }
}

fn insert_rows(node: &Node, first: u64, count: u64, in_flight: u64) -> Cost {
    load(node, count, in_flight, INSERT, |id, n, out| insert(id, first + n, 1, out))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The time below which `share` of the sorted times lie.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// SSTables and other data files that stand in the directory now.
fn data_files(node: &Node) -> usize {
    fn count(dir: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
        entries
            .map(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => count(&entry.path()),
                _ => usize::from(!entry.file_name().to_string_lossy().ends_with(".log")),
            })
            .sum()
    }
    count(&node.dir)
}

/// Inserts at a fixed rate and looks how long each took.
fn latency(node: &Node, mode: &str, first: u64, rate: f64, seconds: u64) {
    let syncs = process::disk_syncs(2_000);
    node.quiet();
    // Requests come in small bursts, each connection's at other times than the others'.
    let burst = (rate / CONNECTIONS as f64 * BURST_EVERY.as_secs_f64()).ceil() as u64;
    let every = Duration::from_secs_f64(burst as f64 * CONNECTIONS as f64 / rate);
    let count = (seconds as f64 / every.as_secs_f64()).ceil() as u64 * burst;
    let files = data_files(node);
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                scope.spawn(move || {
                    let mut client = node.client();
                    let id = client.prepare(INSERT);
                    std::thread::sleep(every.mul_f64(connection as f64 / CONNECTIONS as f64));
                    client.paced(count, burst, every, |i, stream, out| {
                        insert(&id, first + connection * count + i, stream, out);
                    })
                })
            })
            .collect();
        all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    times.sort_unstable();
    let at = |share| micros(quantile(&times, share)) / 1e3;
    println!(
        "{mode}: INSERT at {rate:.0} /s, half of the maximum: p50 {:.2} p99 {:.2} p99.9 {:.2} ms; \
         the disk's own sync: p50 {:.2} p99 {:.2} p99.9 {:.2} ms; data files {files} -> {}",
        at(0.5),
        at(0.99),
        at(0.999),
        micros(quantile(&syncs, 0.5)) / 1e3,
        micros(quantile(&syncs, 0.99)) / 1e3,
        micros(quantile(&syncs, 0.999)) / 1e3,
        data_files(node),
    );
}

/// One connection with one write in flight, beside the disk's own sync.
fn alone(node: &Node, mode: &str, first: u64, count: u64) {
    let syncs = process::disk_syncs(count.min(5_000) as usize);
    let mut client = node.client();
    let id = client.prepare(INSERT);
    let mut times = Vec::new();
    for number in first..first + count {
        let began = Instant::now();
        client.pump(1, 1, |_, out| insert(&id, number, 1, out));
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!(
        "{mode}: INSERT alone: median {:.0} µs; the disk's own sync: median {:.0} µs",
        micros(quantile(&times, 0.5)),
        micros(quantile(&syncs, 0.5)),
    );
}

/// All rows of one mode; answers the rate of INSERTs with 32 in flight.
fn measure(mode: &'static str, settings: &Settings, echo: &Echo) -> f64 {
    let (node, _) = Node::start(&settings.binary, mode);
    std::thread::sleep(Duration::from_millis(500));
    println!("{mode}: idle {:.1} MiB resident", node.resident_mib());
    create_table(&node);
    if let Some(in_flight) = settings.steady {
        let cost = insert_rows(&node, 0, settings.rows, in_flight);
        let name = format!("{mode}: INSERT, {in_flight} in flight");
        echo.print(&name, settings.rows, cost.cpu, cost.rate);
        return cost.rate;
    }

    // Few enough rows to stay in the memtable.
    let few = settings.rows.min(100_000);
    insert_rows(&node, 0, few, 32);
    let ask = |id: &[u8], number: u64, out: &mut Vec<u8>| {
        execute(1, id, &[&key(number)], out);
    };
    let asked = few * 4;
    let cost = load(&node, asked, 32, SELECT, |id, n, out| ask(id, n % few, out));
    echo.print(&format!("{mode}: SELECT, memtable, 32 in flight"), asked, cost.cpu, cost.rate);
    let cost = load(&node, few, 1, SELECT, |id, n, out| ask(id, n % few, out));
    echo.print(&format!("{mode}: SELECT, memtable, 1 in flight"), few, cost.cpu, cost.rate);

    let rows = settings.rows;
    let cost = insert_rows(&node, 0, rows, 32);
    echo.print(&format!("{mode}: INSERT, 32 in flight"), rows, cost.cpu, cost.rate);
    println!("{mode}: {:.1} MiB resident", node.resident_mib());
    let rate = cost.rate;

    // The oldest rows are long in SSTables; only new ones are in the memtable.
    let hot = few.min(20_000);
    for round in ["first read", "cached"] {
        let cost = load(&node, asked, 32, SELECT, |id, n, out| ask(id, n % hot, out));
        echo.print(
            &format!("{mode}: SELECT, SSTable, {round}, 32 in flight"),
            asked,
            cost.cpu,
            cost.rate,
        );
    }

    // New keys from here on.
    let mut next = rows;
    let lone = (rows / 10).max(800) / CONNECTIONS * CONNECTIONS;
    let cost = insert_rows(&node, next, lone, 1);
    echo.print(&format!("{mode}: INSERT, 1 in flight"), lone, cost.cpu, cost.rate);
    next += lone;
    let count = if settings.full { 5_000 } else { 50 };
    alone(&node, mode, next, count);
    next += count;
    let seconds = if settings.full { LATENCY_SECONDS } else { 1 };
    latency(&node, mode, next, rate / 2.0, seconds);
    rate
}

/// From exec to the first answer: of an empty directory, and with a log to replay.
fn start(settings: &Settings) {
    let rounds = if settings.full { 9 } else { 1 };
    let mut times: Vec<Duration> =
        (0..rounds).map(|_| Node::start(&settings.binary, "group").1).collect();
    times.sort_unstable();
    let empty = quantile(&times, 0.5);
    println!("start: empty directory: median {:.1} ms to the first answer", micros(empty) / 1e3);

    let (mut node, _) = Node::start(&settings.binary, "periodic");
    create_table(&node);
    let rows = settings.rows.min(200_000);
    insert_rows(&node, 0, rows, 32);
    let mut times: Vec<Duration> = (0..rounds.min(5)).map(|_| node.kill_and_restart()).collect();
    times.sort_unstable();
    let replay = quantile(&times, 0.5);
    let bytes = rows as f64 * (KEY_BYTES + ROW_COLUMNS * COLUMN_BYTES) as f64;
    let rate = bytes / 1e6 / replay.saturating_sub(empty).as_secs_f64().max(1e-6);
    println!(
        "start: replay of {rows} rows, {:.0} MB of keys and values: median {:.1} ms to the first \
         answer; {rate:.0} MB/s beyond an empty start",
        bytes / 1e6,
        micros(replay) / 1e3,
    );
}

fn main() {
    let settings = settings();
    assert!(settings.binary.exists());
    let echo = Echo::measure(settings.rows.min(50_000));
    let wanted = |part: &str| settings.only.as_deref().is_none_or(|only| only == part);
    if wanted("start") {
        start(&settings);
    }
    let rates: Vec<f64> = ["periodic", "group"]
        .into_iter()
        .filter(|mode| wanted(mode) || wanted("durable"))
        .map(|mode| measure(mode, &settings, &echo))
        .collect();
    if let [periodic, group] = rates[..] {
        let share = group / periodic * 100.0;
        println!("durable writes, 256 in flight: group has {share:.0} % of periodic's rate");
    }
}
