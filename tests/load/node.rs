//! The node as a process of its own, and what the system says of it.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running node; killed, and its directory removed, when dropped.
pub(crate) struct Node {
    child: Child,
    dir: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Node {
    /// Starts a node on an empty directory and waits until it serves.
    pub(crate) fn start(binary: &Path, settings: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("helenus-load-{}", std::process::id()));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(binary);
        command.args(["serve", "--data-dir"]).arg(&dir);
        command.args(["--cql-port", &address.port().to_string(), "--set", "metrics.port=0"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains(&address.to_string()), "the node does not serve: {line}");
        Self { child, dir, address }
    }

    /// Resident memory in bytes: now, and the most so far.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
        };
        (of("VmRSS:"), of("VmHWM:"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}
