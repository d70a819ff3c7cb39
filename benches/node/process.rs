//! The node as a process of its own, and what the system says of it.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::echo::cpu_of;

/// A running node; killed, and its directory removed, when dropped.
pub(crate) struct Node {
    child: Child,
    port: u16,
    pub(crate) dir: PathBuf,
    mode: &'static str,
    binary: PathBuf,
}

impl Node {
    /// Starts a node on an empty directory; says how long exec to first answer took.
    pub(crate) fn start(binary: &Path, mode: &'static str) -> (Self, Duration) {
        let dir = std::env::temp_dir().join(format!("helenus-bench-{}", std::process::id()));
        let (child, port, took) = spawn(binary, &dir, mode);
        (Self { child, port, dir, mode, binary: binary.to_path_buf() }, took)
    }

    /// Kills the node and starts it again on what is there.
    pub(crate) fn kill_and_restart(&mut self) -> Duration {
        self.kill();
        let took;
        (self.child, self.port, took) = spawn(&self.binary, &self.dir, self.mode);
        took
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    /// Waits until the node has nothing to do, so that what a row left behind (a flush, a
    /// compaction) is charged to it and not to the next one.
    pub(crate) fn quiet(&self) {
        let (mut last, mut rounds) = (self.cpu(), 0);
        while rounds < 4 {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.cpu();
            rounds = if now - last <= Duration::from_millis(10) { rounds + 1 } else { 0 };
            last = now;
        }
    }

    pub(crate) fn client(&self) -> Client {
        let mut client = Client::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        client.startup();
        client
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn spawn(binary: &Path, dir: &Path, mode: &str) -> (Child, u16, Duration) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let began = Instant::now();
    (launch(binary, dir, mode, port), port, serves(port, began))
}

fn launch(binary: &Path, dir: &Path, mode: &str, port: u16) -> Child {
    Command::new(binary)
        .args(["serve", "--data-dir"])
        .arg(dir)
        .args(["--cql-port", &port.to_string(), "--set", "metrics.port=0"])
        .args(["--set", &format!("commit_log.mode={mode}")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits for the first answer; says how long it took since `began`.
fn serves(port: u16, began: Instant) -> Duration {
    loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            Client::new(stream).startup();
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the node does not serve");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The disk's own sync: 512 bytes written to a file that has its room, and fdatasync; sorted.
pub(crate) fn disk_syncs(count: usize) -> Vec<Duration> {
    use std::os::unix::fs::FileExt;
    let path = std::env::temp_dir().join(format!("helenus-bench-sync-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    file.write_all_at(&vec![1; 512 * count], 0).unwrap();
    file.sync_all().unwrap();
    let mut times: Vec<Duration> = (0..count)
        .map(|round| {
            let began = Instant::now();
            file.write_all_at(&[2; 512], 512 * round as u64).unwrap();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    std::fs::remove_file(&path).unwrap();
    times.sort_unstable();
    times
}
