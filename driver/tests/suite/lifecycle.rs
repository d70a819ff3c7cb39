//! Sessions begin and end: directories, crashes, memory, threads.

use std::path::PathBuf;
use std::time::Duration;

use helenus_driver::blocking::Session as Blocking;
use helenus_driver::{ErrorKind, Result, Session};

/// A directory of this test's own, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = format!("helenus-driver-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

const KEYSPACE: &str = "CREATE KEYSPACE app WITH replication = \
                        {'class': 'SimpleStrategy', 'replication_factor': 1}";

fn create(session: &Blocking) -> Result<()> {
    session.query(KEYSPACE, ())?;
    session.query("CREATE TABLE app.t (k int PRIMARY KEY, v int)", ()).map(drop)
}

#[test]
fn a_directory_opens_again_right_after_it_was_closed_or_dropped() {
    let dir = Dir::new("again");
    create(&Blocking::open(&dir.0).unwrap()).unwrap();
    for round in 0..6 {
        let session = Blocking::open(&dir.0).unwrap();
        let insert = session.prepare("INSERT INTO app.t (k, v) VALUES (?, 1)").unwrap();
        session.execute(&insert, (round,)).unwrap();
        let rows = session.query("SELECT k FROM app.t", ()).unwrap();
        assert_eq!(rows.len(), round as usize + 1);
        if round % 2 == 0 {
            session.close().unwrap();
        }
    }
}

#[test]
fn a_directory_in_use_is_refused_with_who_has_it() {
    let dir = Dir::new("in-use");
    let session = Blocking::open(&dir.0).unwrap();
    let refused = Blocking::open(&dir.0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    let holder = format!("(pid {})", std::process::id());
    assert!(refused.to_string().contains(&holder), "{refused}");
    session.close().unwrap();
}

#[test]
fn what_is_not_a_data_directory_is_left_alone() {
    let dir = Dir::new("not-ours");
    std::fs::create_dir_all(&dir.0).unwrap();
    std::fs::write(dir.0.join("letters.txt"), "dear Cassandra").unwrap();
    let refused = Blocking::open(&dir.0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Storage);
    assert!(refused.to_string().contains("letters.txt"), "{refused}");
    assert_eq!(
        std::fs::read_dir(&dir.0)
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name() != "LOCK" })
            .count(),
        1
    );
}

/// What a process that was killed leaves behind is a copy of its directory taken while it works.
#[test]
fn a_directory_opens_after_a_crash_with_all_that_was_acknowledged() {
    let (dir, copy) = (Dir::new("crash"), Dir::new("crashed"));
    let session = Blocking::open(&dir.0).unwrap();
    create(&session).unwrap();
    let insert = session.prepare("INSERT INTO app.t (k, v) VALUES (?, 1)").unwrap();
    for k in 0..500 {
        session.execute(&insert, (k,)).unwrap();
    }
    copy_dir(&dir.0, &copy.0);
    let recovered = Blocking::open(&copy.0).unwrap();
    assert_eq!(recovered.query("SELECT k FROM app.t", ()).unwrap().len(), 500);
    recovered.close().unwrap();
    session.close().unwrap();
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn an_open_that_is_given_up_lets_the_directory_go() {
    let dir = Dir::new("given-up");
    for _ in 0..3 {
        let mut opening = Box::pin(Session::open(&dir.0));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        drop(opening.as_mut().poll(&mut context));
        drop(opening);
    }
    let session = (0..2_000)
        .find_map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            Blocking::open(&dir.0).ok()
        })
        .unwrap();
    create(&session).unwrap();
}

#[test]
fn both_halves_work_inside_tokio_and_time_out() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for session in [crate::embedded().await, crate::connected().await] {
            session.query("CREATE TABLE t (k int PRIMARY KEY)", ()).await.unwrap();
            session.query("INSERT INTO t (k) VALUES (?)", (1,)).await.unwrap();
            // A timer ticks in milliseconds, so not every answer is late.
            let mut late = None;
            for number in 0..200 {
                let create = format!("CREATE TABLE late{number} (k int PRIMARY KEY)");
                let create = helenus_driver::Statement::new(create);
                let create = create.timeout(Duration::from_nanos(1));
                late = late.or(session.query(create, ()).await.err());
                if late.is_some() {
                    break;
                }
            }
            assert_eq!(late.unwrap().kind(), ErrorKind::Timeout);
        }
    });
}

#[test]
fn nobody_there_is_unavailable() {
    let error = Blocking::connect(["127.0.0.1:1"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[test]
fn a_statement_of_the_other_half_is_refused() {
    helenus_driver::wait(async {
        let (here, there) = (crate::embedded().await, crate::connected().await);
        let statement = here.prepare("SELECT * FROM system.local").await.unwrap();
        let error = there.execute(&statement, ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        // Another node of the same half prepares it again by itself.
        let other = crate::embedded().await;
        assert_eq!(other.execute(&statement, ()).await.unwrap().len(), 1);
    });
}
