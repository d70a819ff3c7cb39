//! A partition of a million rows, read forwards and backwards by slices of 100: the last slice
//! must be as fast as the first, and memory must not follow the partition's size.
//!
//! ```text
//! cargo bench -p helenus-driver --bench wide_partition                    1,000,000 rows
//! cargo bench -p helenus-driver --bench wide_partition -- --rows 5000000  more of them
//! ```
//!
//! Under `cargo test --benches` it runs in a smoke size. It fails if a promise does not hold.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "measures from outside the node's seams")]

use std::time::{Duration, Instant};

use helenus_driver::blocking::Session;
use helenus_driver::{Config, DurabilityMode, ErrorKind, Prepared};

const SLICE: i32 = 100;
/// The most memory that reading may take, in MiB (the issue's figure).
const RESIDENT_MIB_MAX: u64 = 200;

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Reads slices until there are no more; answers the time of each.
fn walk(session: &Session, select: &Prepared, rows: i64, backwards: bool) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut seen = 0;
    let mut at = if backwards { i64::MAX } else { -1 };
    loop {
        let began = Instant::now();
        let page = session.execute(select, (at, SLICE)).unwrap();
        times.push(began.elapsed());
        for row in page.iter::<(i64, &str)>().unwrap() {
            let (number, text) = row.unwrap();
            at = number;
            assert_eq!(at, if backwards { rows - 1 - seen } else { seen });
            assert_eq!(text, value(at));
            seen += 1;
        }
        if page.len() < usize::try_from(SLICE).unwrap() {
            assert_eq!(seen, rows);
            return times;
        }
    }
}

fn value(number: i64) -> String {
    format!("value {number} of a wide partition, long enough to be a row of text")
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

fn report(name: &str, times: &[Duration], full: bool) {
    // The last slice is an empty or short one; a tenth at each end is robust against noise.
    let tenth = (times.len() / 10).max(1);
    let (first, last) = (median(&times[..tenth]), median(&times[times.len() - tenth..]));
    let ratio = last.as_secs_f64() / first.as_secs_f64();
    println!("{name}: {} slices, first {first:?}, last {last:?}, ratio {ratio:.2}", times.len());
    assert!(!full || ratio < 2.0, "the last slices are slower than the first");
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let full = arguments.iter().any(|argument| argument == "--bench");
    let asked = arguments.iter().position(|argument| argument == "--rows");
    let rows: i64 = match asked.and_then(|at| arguments.get(at + 1)) {
        Some(rows) => rows.parse().unwrap(),
        None if full => 1_000_000,
        None => 3_000,
    };
    let dir = std::env::temp_dir().join(format!("helenus-wide-{}", std::process::id()));
    let config = Config {
        durability: DurabilityMode::Periodic,
        memtable_flush_bytes: 32 << 20,
        memtable_total_bytes: 64 << 20,
        block_cache_bytes: 16 << 20,
        ..Config::default()
    };
    let session = Session::build(|builder| builder.config(config).open(&dir)).unwrap();
    let keyspace = "CREATE KEYSPACE w WITH replication = {'class': 'SimpleStrategy', \
                    'replication_factor': 1}";
    session.query(keyspace, ()).unwrap();
    session.query("CREATE TABLE w.t (p int, c bigint, v text, PRIMARY KEY (p, c))", ()).unwrap();
    let insert = session.prepare("INSERT INTO w.t (p, c, v) VALUES (1, ?, ?)").unwrap();
    for number in 0..rows {
        loop {
            match session.execute(&insert, (number, value(number))) {
                Ok(_) => break,
                // Flushing is behind: what a client does is wait.
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => unreachable!("{error}"),
            }
        }
    }
    println!("{rows} rows written, {} MiB resident", resident_mib());
    let forwards = "SELECT c, v FROM w.t WHERE p = 1 AND c > ? LIMIT ?";
    let backwards = "SELECT c, v FROM w.t WHERE p = 1 AND c < ? ORDER BY c DESC LIMIT ?";
    for round in ["after writing", "once more"] {
        for (name, statement, back) in
            [("forwards", forwards, false), ("backwards", backwards, true)]
        {
            let select = session.prepare(statement).unwrap();
            let times = walk(&session, &select, rows, back);
            report(&format!("{name}, {round}"), &times, full);
        }
        println!("{} MiB resident", resident_mib());
        assert!(resident_mib() < RESIDENT_MIB_MAX, "memory follows the partition's size");
    }
    session.close().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}
