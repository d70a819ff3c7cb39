//! A node inside the calling program, without a network: CPU per INSERT and SELECT, the binding
//! of the values and the reading of the answer included.
//!
//! ```text
//! cargo bench -p helenus-driver --bench embedded                    500,000 rows
//! cargo bench -p helenus-driver --bench embedded -- --rows 2000000  more of them
//! ```
//!
//! Rows are as in the node's benchmark: a 10-byte key, 5 columns of 34 bytes. Flush and compaction
//! count. Under `cargo test --benches` it runs in a smoke size.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "measures from outside the node's seams")]

#[path = "../../benches/common/echo.rs"]
mod echo;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use echo::{Echo, cpu_of};
use helenus_driver::{Config, DurabilityMode, Prepared, Session};
use helenus_platform::runtime::block_on;

const COLUMNS: usize = 5;
const COLUMN_BYTES: usize = 34;

/// A 10-byte key: the number, spread so that keys come in no order.
fn key(number: u64) -> Vec<u8> {
    let mut key = vec![0; 10];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key
}

fn values(number: u64) -> [Vec<u8>; COLUMNS] {
    std::array::from_fn(|column| {
        // Half random, half constant: it compresses about as rows of text do.
        let mut value = vec![b'x'; COLUMN_BYTES];
        let mut state = number * 5 + column as u64 + 1;
        for byte in &mut value[..COLUMN_BYTES / 2] {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 33) as u8;
        }
        value
    })
}

/// Waits until background work has ended.
fn quiet() {
    let (mut last, mut rounds) = (cpu_of(std::process::id()), 0);
    while rounds < 4 {
        std::thread::sleep(Duration::from_millis(100));
        let now = cpu_of(std::process::id());
        rounds = if now - last <= Duration::from_millis(10) { rounds + 1 } else { 0 };
        last = now;
    }
}

fn measure(echo: &Echo, name: &str, count: u64, work: impl FnOnce()) {
    quiet();
    let (cpu, began) = (cpu_of(std::process::id()), Instant::now());
    work();
    let rate = count as f64 / began.elapsed().as_secs_f64();
    quiet();
    echo.print(name, count, cpu_of(std::process::id()) - cpu, rate);
}

async fn insert(session: &Session, statement: &Prepared, number: u64) {
    let key = key(number);
    let [a, b, c, d, e] = &values(number);
    session.execute(statement, (key, a, b, c, d, e)).await.unwrap();
}

/// Keeps `in_flight` inserts going on this thread until all numbers are done.
async fn insert_all(session: &Session, statement: &Prepared, from: u64, to: u64, in_flight: usize) {
    let mut next = from;
    let mut running: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    poll_fn(|context| {
        loop {
            running.retain_mut(|insert| insert.as_mut().poll(context).is_pending());
            if next == to || running.len() == in_flight {
                break;
            }
            while next < to && running.len() < in_flight {
                running.push(Box::pin(insert(session, statement, next)));
                next += 1;
            }
        }
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn select(session: &Session, statement: &Prepared, number: u64) {
    let key = key(number);
    let rows = block_on(session.execute(statement, (key,))).unwrap();
    assert_eq!(rows.len(), 1);
}

fn run(echo: &Echo, name: &str, mode: DurabilityMode, rows: u64) {
    let dir = std::env::temp_dir().join(format!("helenus-embedded-{}", std::process::id()));
    let config = Config { durability: mode, ..Config::default() };
    let session = block_on(Session::builder().config(config).open(&dir)).unwrap();
    let keyspace = "CREATE KEYSPACE bench WITH replication = {'class': 'SimpleStrategy', \
                    'replication_factor': 1}";
    block_on(session.query(keyspace, ())).unwrap();
    let table = "CREATE TABLE bench.t (k blob PRIMARY KEY, a blob, b blob, c blob, d blob, e blob)";
    block_on(session.query(table, ())).unwrap();
    let insert = "INSERT INTO bench.t (k, a, b, c, d, e) VALUES (?, ?, ?, ?, ?, ?)";
    let insert = block_on(session.prepare(insert)).unwrap();
    let by_key = "SELECT a, b, c, d, e FROM bench.t WHERE k = ?";
    let by_key = block_on(session.prepare(by_key)).unwrap();

    // Few enough rows to stay in the memtable.
    let few = rows.min(50_000);
    block_on(insert_all(&session, &insert, 0, few, 32));
    let asked = few * 4;
    measure(echo, &format!("embedded, {name}: SELECT, memtable"), asked, || {
        (0..asked).for_each(|number| select(&session, &by_key, number % few));
    });
    measure(echo, &format!("embedded, {name}: INSERT, 32 in flight"), rows, || {
        block_on(insert_all(&session, &insert, few, few + rows, 32));
    });
    let lone = (rows / 10).min(if name == "periodic" { rows } else { 5_000 });
    measure(echo, &format!("embedded, {name}: INSERT, one at a time"), lone, || {
        let first = few + rows;
        block_on(insert_all(&session, &insert, first, first + lone, 1));
    });
    // The oldest rows have been flushed if there were more than fit into a memtable.
    let hot = few.min(20_000);
    (0..hot).for_each(|number| select(&session, &by_key, number));
    measure(echo, &format!("embedded, {name}: SELECT, SSTable, cached"), asked, || {
        (0..asked).for_each(|number| select(&session, &by_key, number % hot));
    });
    block_on(session.close()).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let full = arguments.iter().any(|argument| argument == "--bench");
    let after = arguments.iter().position(|argument| argument == "--rows");
    let rows = after.and_then(|at| arguments.get(at + 1)).map(|rows| rows.parse().unwrap());
    let rows = rows.unwrap_or(if full { 500_000 } else { 1_000 });
    let echo = Echo::measure(if full { 50_000 } else { 500 });
    run(&echo, "periodic", DurabilityMode::Periodic, rows);
    run(&echo, "group", DurabilityMode::Group, rows);
}
