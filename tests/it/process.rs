//! A node in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A directory that is removed at the end of the test.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("helenus-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A running node; killed when dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
    /// It has logged a panic, of whatever task or request.
    panicked: Arc<AtomicBool>,
    /// What it has logged so far.
    said: Arc<Mutex<String>>,
}

fn command(dir: &Path, address: SocketAddr, settings: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helenus"));
    command.args(["serve", "--data-dir"]).arg(dir.join("data"));
    command.args(["--cql-port", &address.port().to_string(), "--set", "metrics.port=0"]);
    command.args(["--listen", &address.ip().to_string(), "--set", "listen.internode_port=0"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Node {
    /// Starts a node on `dir` and waits until it says that it serves.
    pub(crate) fn start(dir: &Path, settings: &[&str]) -> Self {
        let mut node = Self::begin(dir, free_address(), settings);
        node.wait_until_it_serves();
        node
    }

    /// Starts a node that listens for clients there, without waiting for it.
    pub(crate) fn begin(dir: &Path, address: SocketAddr, settings: &[&str]) -> Self {
        let child = command(dir, address, settings).spawn().unwrap();
        let panicked = Arc::new(AtomicBool::new(false));
        let said: Arc<Mutex<String>> = Arc::default();
        let mut node = Self { child, address, panicked: panicked.clone(), said: said.clone() };
        // Somebody has to read what the node logs, or it would wait for room one day.
        let stderr = node.child.stderr.take().unwrap();
        std::thread::spawn(move || {
            let port = address.to_string();
            for line in BufReader::new(stderr).lines() {
                let line = line.unwrap();
                if line.contains("panicked") {
                    panicked.store(true, Ordering::SeqCst);
                }
                eprintln!("{port} {line}");
                said.lock().unwrap().push_str(&line);
            }
        });
        node
    }

    /// Waits until it has logged that.
    pub(crate) fn wait_until_it_says(&self, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.said.lock().unwrap().contains(what) {
            assert!(Instant::now() < deadline, "it does not say '{what}'");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn wait_until_it_serves(&mut self) {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if !line.contains(&self.address.to_string()) {
            self.child.wait().unwrap();
            // Its last words are on their way.
            std::thread::sleep(Duration::from_millis(100));
            panic!("the node does not serve: {line}{}", self.said.lock().unwrap());
        }
    }

    /// Starts a node that must refuse, and returns its exit code and what it says.
    pub(crate) fn refused(dir: &Path, settings: &[&str]) -> (i32, String) {
        let output = command(dir, free_address(), settings).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// As [`Node::refused`], of a process that another user runs: `uid`. Only root can do that.
    pub(crate) fn refused_as(dir: &Path, uid: u32) -> (i32, String) {
        // The test's own build directory may be closed to others.
        let program = dir.join("helenus");
        let original = env!("CARGO_BIN_EXE_helenus");
        if std::fs::hard_link(original, &program).is_err() {
            std::fs::copy(original, &program).unwrap();
        }
        let mut command = Command::new(program);
        command.args(["serve", "--data-dir"]).arg(dir.join("data")).uid(uid).gid(uid);
        let output = command.current_dir("/").output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that the node has held at a time, in bytes; of Linux alone.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes << 10)
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As an operator stops it. It must not have panicked before.
    pub(crate) fn stop(mut self) -> ExitStatus {
        assert!(!self.panicked.load(Ordering::SeqCst), "the node has panicked");
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the node does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_node_starts_in_an_empty_directory_at_once_and_stops_when_asked() {
    let dir = TempDir::new();
    let began = Instant::now();
    let node = Node::start(dir.path(), &[]);
    // The budget is 100 ms for the release build on an idle machine; this only guards against
    // something that waits.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(node.stop().code(), Some(0));
    let node = Node::start(dir.path(), &[]);
    node.kill();
    let node = Node::start(dir.path(), &[]);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn wrong_settings_are_refused_with_what_would_be_right() {
    let dir = TempDir::new();
    let (code, message) = Node::refused(dir.path(), &["commit_log.mod=group"]);
    assert_eq!(code, 2);
    assert!(message.contains("the nearest is 'commit_log.mode'"), "{message}");
    let (code, message) = Node::refused(dir.path(), &["commit_log.mode=sometimes"]);
    assert_eq!(code, 2);
    assert!(message.contains("group, periodic, batch"), "{message}");
}
