//! Sessions in memory open at once and leave nothing behind: no thread, no memory, no file.
//!
//! Alone in its process, so that what it counts is its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "measures from outside the node's seams")]

use std::time::{Duration, Instant};

use helenus_driver::blocking::Session;

const SESSIONS: usize = 1_000;
/// Sessions after which a process has all that it keeps: threads, the allocator's reserves.
const WARM: usize = 200;
/// What the sessions after that may add to the process. One that leaks its node leaks 100 KiB.
const GROWN_KIB_MAX: u64 = 24 << 10;
/// The promise, and what a build without optimisation on a busy machine is held to.
const OPEN_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 5 });

fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What a test of an application does; answers how long the opening took.
fn use_one(number: usize) -> Duration {
    let began = Instant::now();
    let session = Session::memory().unwrap();
    let opened = began.elapsed();
    let keyspace = "CREATE KEYSPACE app WITH replication = \
                    {'class': 'SimpleStrategy', 'replication_factor': 1}";
    session.query(keyspace, ()).unwrap();
    session.query("CREATE TABLE app.t (k int PRIMARY KEY, v text)", ()).unwrap();
    let insert = session.prepare("INSERT INTO app.t (k, v) VALUES (?, ?)").unwrap();
    for k in 0..20 {
        session.execute(&insert, (k, "value")).unwrap();
    }
    assert_eq!(session.query("SELECT * FROM app.t", ()).unwrap().len(), 20);
    session.query("TRUNCATE app.t", ()).unwrap();
    assert!(session.query("SELECT * FROM app.t", ()).unwrap().is_empty());
    if number.is_multiple_of(2) {
        session.close().unwrap();
    }
    opened
}

#[test]
fn a_thousand_sessions_leave_nothing_behind() {
    for number in 0..WARM {
        use_one(number);
    }
    let (threads, resident, open) = (status("Threads:"), status("VmRSS:"), files());
    let mut times: Vec<_> = (0..SESSIONS).map(use_one).collect();
    times.sort_unstable();
    let (median, last) = (times[SESSIONS / 2], times[SESSIONS - 1]);
    let grown = status("VmRSS:").saturating_sub(resident);
    println!("a session in memory opens in {median:?} (median), {last:?} (slowest)");
    println!("{SESSIONS} of them: {threads} threads, {grown} KiB more resident of {resident}");
    assert!(median < OPEN_MAX, "{median:?}");
    assert_eq!(status("Threads:"), threads);
    assert_eq!(files(), open);
    assert!(grown < GROWN_KIB_MAX, "{grown} KiB");

    // Many at one time share the threads too.
    let many: Vec<_> = (0..200).map(|_| Session::memory().unwrap()).collect();
    assert_eq!(status("Threads:"), threads);
    for session in &many {
        assert_eq!(session.query("SELECT key FROM system.local", ()).unwrap().len(), 1);
    }
}
