//! A session on a directory ends all of its threads, and closes all of its files.
//!
//! Alone in its process, so that what it counts is its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "looks at the process from outside")]

use helenus_driver::blocking::Session;

fn count(of: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{of}")).unwrap().count()
}

#[test]
fn threads_and_files_end_with_the_session() {
    let dir = std::env::temp_dir().join(format!("helenus-threads-{}", std::process::id()));
    // The first session starts what all share.
    Session::memory().unwrap().close().unwrap();
    let before = (count("task"), count("fd"));
    for round in 0..5 {
        let session = Session::open(&dir).unwrap();
        assert!(count("task") > before.0, "the node has threads of its own");
        session.query("SELECT key FROM system.local", ()).unwrap();
        match round % 2 {
            0 => session.close().unwrap(),
            _ => drop(session),
        }
        assert_eq!((count("task"), count("fd")), before, "round {round}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}
