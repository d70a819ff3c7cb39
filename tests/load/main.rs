//! Load on one node: many connections, clients that misbehave, more than it can do.
//!
//! ```text
//! cargo test --test load                                       small, on the debug build
//! cargo build --release --bin helenus
//! cargo test --release --test load -- --full                   full size, on the release build
//! cargo test --release --test load -- --full --only scan --binary PATH
//! ```
//!
//! Scenarios are `idle`, `active`, `unread`, `storm`, `overload` and `scan`. Each prints its figures
//! and PASS or FAIL; the small size judges only what does not depend on the machine's speed.
//! The node is a process of its own. Generator and node share the machine, so times are for
//! comparing within a run.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "it prints its figures")]
#![expect(clippy::disallowed_methods, reason = "the load comes from outside the node's seams")]

mod client;
mod node;
mod press;

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::{Client, Probe, STARTUP, STARTUP_THROWS, execute, paging_state, query, startup};
use node::Node;
use press::{Tally, Work, press};

const MIB: f64 = 1024.0 * 1024.0;
const INSERT: &str = "INSERT INTO load.t (k, v) VALUES (?, ?)";
const SELECT: &str = "SELECT v FROM load.t WHERE k = ?";
const VALUE_BYTES: usize = 200;
/// How often the probe asks on each of its connections.
const PROBE_EVERY: Duration = Duration::from_millis(2);

struct Settings {
    full: bool,
    only: Option<String>,
    binary: PathBuf,
}

impl Settings {
    fn size(&self, full: u64, small: u64) -> u64 {
        if self.full { full } else { small }
    }
}

/// Prints a scenario's line and keeps what failed.
struct Report {
    settings: Settings,
    failed: Vec<String>,
}

impl Report {
    /// `judged`: what must hold, with its name.
    fn line(&mut self, name: &str, figures: &str, judged: &[(&str, bool)]) {
        let wrong: Vec<&str> = judged.iter().filter(|(_, holds)| !holds).map(|(n, _)| *n).collect();
        let verdict =
            if wrong.is_empty() { "PASS".into() } else { format!("FAIL ({})", wrong.join(", ")) };
        println!("{name:<9} {verdict}: {figures}");
        if !wrong.is_empty() {
            self.failed.push(name.to_owned());
        }
    }

    /// Whether times are judged: only a release build on a machine that is not busy with others.
    fn judges_times(&self) -> bool {
        self.settings.full
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

/// A node with a table of so many rows.
fn node_with_rows(settings: &Settings, rows: u64) -> Node {
    let node = Node::start(&settings.binary, &["commit_log.mode=periodic"]);
    let mut client = Client::open(node.address);
    client.run(
        "CREATE KEYSPACE load WITH replication = {'class': 'SimpleStrategy', \
         'replication_factor': 1}",
    );
    client.run("CREATE TABLE load.t (k bigint PRIMARY KEY, v blob)");
    let id = client.prepare(INSERT);
    let value = [b'x'; VALUE_BYTES];
    for first in (0..rows).step_by(500) {
        let keys = first..rows.min(first + 500);
        let bytes: Vec<u8> =
            keys.clone().flat_map(|key| execute(&id, 1, &[&key.to_be_bytes(), &value])).collect();
        client.stream.write_all(&bytes).unwrap();
        keys.for_each(|_| drop(client.ask(&[]).unwrap()));
    }
    node
}

fn work(node: &Node, keys: u64, slots: usize, seconds: f64) -> Work {
    let id = Arc::new(Client::open(node.address).prepare(SELECT));
    let duration = Duration::from_secs_f64(seconds);
    Work { startup: STARTUP, id, keys, slots, rate: None, duration }
}

fn probe(node: &Node, keys: u64, seconds: f64) -> Probe {
    Probe::run(node.address, SELECT, keys, PROBE_EVERY, seconds)
}

/// Probes while something else goes on, and lets that end.
fn probe_beside(node: &Node, keys: u64, seconds: f64, other: impl Fn(&AtomicBool) + Sync) -> Probe {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| other(&ended));
        // Whatever it is needs a moment to begin.
        std::thread::sleep(Duration::from_millis(300));
        let probe = probe(node, keys, seconds);
        ended.store(true, Ordering::SeqCst);
        probe
    })
}

/// Connections that say nothing cost little, and a client beside them is served as ever.
fn idle(report: &mut Report, runtime: &tokio::runtime::Runtime) {
    let count = report.settings.size(10_000, 300);
    let seconds = report.settings.size(5, 1) as f64;
    let node = node_with_rows(&report.settings, 1_000);
    let before = probe(&node, 1_000, seconds);
    let (memory, _) = node.memory();
    let select = query("SELECT key FROM system.local", 1, 100, None);
    let streams: Vec<_> = runtime.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut streams = Vec::new();
        for _ in 0..count {
            let mut stream = press::open(node.address, STARTUP).await.unwrap();
            stream.write_all(&select).await.unwrap();
            assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
            streams.push(stream);
        }
        streams
    });
    let (fresh, _) = node.memory();
    std::thread::sleep(Duration::from_secs(3));
    let (rested, _) = node.memory();
    let beside = probe(&node, 1_000, seconds);
    let each = |now: u64| now.saturating_sub(memory) / count;
    let figures = format!(
        "{count} connections; {} bytes each after one query, {} at rest; point reads p99 {:.2} ms \
         before, {:.2} ms beside them",
        each(fresh),
        each(rested),
        before.at(0.99),
        beside.at(0.99),
    );
    let holds = [
        ("all are served", before.errors + beside.errors == 0),
        ("at most 16 KiB each", each(rested) <= 16 << 10),
        ("p99 at most doubled", !report.judges_times() || beside.at(0.99) <= 2.0 * before.at(0.99)),
    ];
    report.line("idle", &figures, &holds);
    drop(streams);
}

/// Many connections with one request in flight each get about the same.
fn active(report: &mut Report, runtime: &tokio::runtime::Runtime) {
    let count = report.settings.size(1_000, 100);
    let seconds = report.settings.size(10, 2) as f64;
    let node = node_with_rows(&report.settings, 1_000);
    let (memory, _) = node.memory();
    let (goods, tally) = press(runtime, node.address, count, &work(&node, 1_000, 1, seconds));
    let (_, peak) = node.memory();
    let all = tally.good.load(Ordering::Relaxed);
    let mean = all as f64 / count as f64;
    let least = goods.iter().min().copied().unwrap_or(0) as f64;
    let wrong = tally.errors.load(Ordering::Relaxed) + tally.late.load(Ordering::Relaxed);
    let figures = format!(
        "{count} connections, one request in flight each: {:.0} /s, mean {:.2} ms; the least of a \
         connection is {:.0} % of the mean; {:.1} MiB more at the peak",
        all as f64 / seconds,
        tally.nanos.load(Ordering::Relaxed) as f64 / all.max(1) as f64 / 1e6,
        least / mean * 100.0,
        (peak.saturating_sub(memory)) as f64 / MIB,
    );
    let holds = [("no errors", wrong == 0), ("nobody starves", least >= mean / 4.0)];
    report.line("active", &figures, &holds);
}

/// Clients that ask for pages and never read them: memory is bounded, others are served.
fn unread(report: &mut Report, _: &tokio::runtime::Runtime) {
    let count = report.settings.size(1_000, 40);
    let seconds = report.settings.size(10, 2) as f64;
    let rows = report.settings.size(20_000, 6_000);
    let node = node_with_rows(&report.settings, rows);
    let before = probe(&node, rows, seconds);
    let (memory, _) = node.memory();
    let held = AtomicU64::new(0);
    let beside = probe_beside(&node, rows, seconds, |ended| {
        // Each asks for 100 pages of up to 1 MiB, and goes on asking.
        let scan = query("SELECT * FROM load.t", 1, 1_000_000, None).repeat(100);
        let mut streams: Vec<TcpStream> = (0..count)
            .map(|_| {
                let mut stream = TcpStream::connect(node.address).unwrap();
                stream.write_all(&startup(STARTUP)).unwrap();
                stream.write_all(&scan).unwrap();
                stream.set_nonblocking(true).unwrap();
                stream
            })
            .collect();
        while !ended.load(Ordering::SeqCst) {
            for stream in &mut streams {
                // As much as the node takes, which is nothing after a while.
                drop(stream.write(&scan));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        held.store(node.memory().0, Ordering::SeqCst);
    });
    let (_, peak) = node.memory();
    let more = peak.saturating_sub(memory) as f64 / MIB;
    let figures = format!(
        "{count} clients that never read; {more:.0} MiB more at the peak, {:.0} MiB at the end; \
         point reads p99 {:.2} ms before, {:.2} ms beside them",
        held.load(Ordering::SeqCst).saturating_sub(memory) as f64 / MIB,
        before.at(0.99),
        beside.at(0.99),
    );
    let holds = [
        ("others are served", before.errors + beside.errors == 0),
        ("memory is bounded", more <= 512.0 + 64.0),
        // They keep the node as busy as they can until its memory is used up.
        ("others are not stalled", !report.judges_times() || beside.at(0.99) <= 1_000.0),
    ];
    report.line("unread", &figures, &holds);
}

/// Connections that come and go as fast as they can: others are served, new ones get in.
fn storm(report: &mut Report, _: &tokio::runtime::Runtime) {
    let seconds = report.settings.size(10, 2) as f64;
    let node = node_with_rows(&report.settings, 1_000);
    let before = probe(&node, 1_000, seconds);
    let (memory, _) = node.memory();
    let (opened, slowest) = (AtomicU64::new(0), AtomicU64::new(0));
    let beside = probe_beside(&node, 1_000, seconds, |ended| {
        while !ended.load(Ordering::SeqCst) {
            let round = opened.fetch_add(1, Ordering::Relaxed);
            let Ok(mut stream) = TcpStream::connect(node.address) else { continue };
            // Some leave at once, some in the middle of a word, some after it. All by a reset,
            // so that ports do not run out.
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            let words = startup(STARTUP);
            drop(stream.write(&words[..round as usize % (words.len() + 1)]));
            if round % 1_000 == 0 {
                let began = Instant::now();
                drop(Client::open(node.address));
                slowest.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
            }
        }
    });
    std::thread::sleep(Duration::from_secs(1));
    let left = Client::open(node.address).run("SELECT count(*) FROM system_views.clients");
    let left = u64::from_be_bytes(left[left.len() - 8..].try_into().unwrap());
    let (_, peak) = node.memory();
    let slowest = slowest.load(Ordering::Relaxed) as f64 / 1e3;
    let figures = format!(
        "{:.0} connections/s opened and dropped; point reads p99 {:.2} ms before, {:.2} ms beside \
         it; a new client is served after {slowest:.1} ms at most; {:.1} MiB more at the peak; \
         {left} connections left",
        opened.load(Ordering::Relaxed) as f64 / seconds,
        before.at(0.99),
        beside.at(0.99),
        peak.saturating_sub(memory) as f64 / MIB,
    );
    let holds = [
        ("others are served", before.errors + beside.errors == 0),
        ("p99 at most 50 ms", !report.judges_times() || beside.at(0.99) <= 50.0),
        ("new clients get in", slowest < 1_000.0),
        ("nothing is left behind", left == 1),
    ];
    report.line("storm", &figures, &holds);
}

/// Ten times as many requests as the node can answer: it goes on answering about as many.
fn overload(report: &mut Report, runtime: &tokio::runtime::Runtime) {
    let seconds = report.settings.size(10, 2) as f64;
    let connections = report.settings.size(64, 8);
    let node = node_with_rows(&report.settings, 1_000);
    let work = work(&node, 1_000, 16, seconds);
    let good = |tally: &Tally| tally.good.load(Ordering::Relaxed) as f64 / seconds;
    let (_, tally) = press(runtime, node.address, connections, &work);
    let most = good(&tally);
    let (memory, _) = node.memory();
    for (name, startup) in [("waiting", STARTUP), ("throwing", STARTUP_THROWS)] {
        let rate = Some(10.0 * most / connections as f64);
        let over = Work { startup, slots: 1024, rate, ..work.clone() };
        let (_, tally) = press(runtime, node.address, connections, &over);
        let share = good(&tally) / most * 100.0;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64 / seconds;
        let figures = format!(
            "{name} clients: {most:.0} /s at most; offered ten times that, up to 1024 in flight \
             on each of {connections} connections, {:.0} /s good within 2 s ({share:.0} %), mean \
             {:.0} ms; {:.0} /s late, {:.0} /s errors, {:.0} /s turned away by the clients; {:.0} \
             MiB more at the peak",
            good(&tally),
            tally.nanos.load(Ordering::Relaxed) as f64
                / tally.good.load(Ordering::Relaxed).max(1) as f64
                / 1e6,
            count(&tally.late),
            count(&tally.errors),
            count(&tally.turned_away),
            node.memory().1.saturating_sub(memory) as f64 / MIB,
        );
        let enough = share >= 80.0 || (!report.judges_times() && share >= 30.0);
        report.line("overload", &figures, &[("goodput at least 80 %", enough)]);
    }
}

/// One client reads the whole table page by page, again and again, beside point reads.
fn scan(report: &mut Report, _: &tokio::runtime::Runtime) {
    let rows = report.settings.size(1_000_000, 5_000);
    let seconds = report.settings.size(5, 1) as f64;
    let rounds = report.settings.size(4, 1);
    let node = node_with_rows(&report.settings, rows);
    let scanned = AtomicU64::new(0);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut errors = 0;
    for _ in 0..rounds {
        let one = probe(&node, rows, seconds);
        alone.extend(one.times);
        let other = probe_beside(&node, rows, seconds, |ended| {
            let mut client = Client::open(node.address);
            let mut state: Option<Vec<u8>> = None;
            while !ended.load(Ordering::SeqCst) {
                let request = query("SELECT * FROM load.t", 1, 5000, state.as_deref());
                let page = client.ask(&request).unwrap();
                scanned.fetch_add(page.len() as u64, Ordering::Relaxed);
                state = paging_state(&page);
            }
        });
        beside.extend(other.times);
        errors += one.errors + other.errors;
    }
    let sorted = |mut times: Vec<Duration>| {
        times.sort_unstable();
        Probe { times, errors: 0 }
    };
    let (alone, beside) = (sorted(alone), sorted(beside));
    let figures = format!(
        "point reads p50 {:.2} p99 {:.2} ms alone, p50 {:.2} p99 {:.2} ms beside a scan of {rows} \
         rows at {:.0} MB/s",
        alone.at(0.5),
        alone.at(0.99),
        beside.at(0.5),
        beside.at(0.99),
        scanned.load(Ordering::Relaxed) as f64 / 1e6 / (seconds * rounds as f64),
    );
    let holds = [
        ("all are served", errors == 0),
        ("p99 at most doubled", !report.judges_times() || beside.at(0.99) <= 2.0 * alone.at(0.99)),
    ];
    report.line("scan", &figures, &holds);
}

type Scenario = fn(&mut Report, &tokio::runtime::Runtime);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let settings = Settings {
        full: arguments.iter().any(|argument| argument == "--full"),
        only: after("--only"),
        binary: after("--binary").map_or(env!("CARGO_BIN_EXE_helenus").into(), PathBuf::from),
    };
    // Each connection is a file of this process, too.
    helenus_platform::open_files::raise_open_files_max();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let scenarios: [(&str, Scenario); 6] = [
        ("idle", idle),
        ("active", active),
        ("unread", unread),
        ("storm", storm),
        ("overload", overload),
        ("scan", scan),
    ];
    println!("load average {}", load_average());
    let mut report = Report { settings, failed: Vec::new() };
    for (name, scenario) in scenarios {
        if report.settings.only.as_deref().is_none_or(|only| only == name) {
            scenario(&mut report, &runtime);
        }
    }
    println!("load average {}", load_average());
    if !report.failed.is_empty() {
        panic!("failed: {}", report.failed.join(", "));
    }
}
