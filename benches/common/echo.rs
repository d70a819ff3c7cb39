//! The measure that budgets are stated in: what a bare echo server on the node's runtime costs a
//! request. Shared by the benchmarks, which are its own process's other half: with
//! `--echo-server` as an argument they are the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

const CONNECTIONS: u64 = 8;

/// What the echo server costs on the machine that budgets are stated for, in microseconds.
const STATED: f64 = 6.0;

/// The measure, taken with `rounds` requests on each connection; becomes the echo server, and
/// does not return, if this process was started as one.
pub(crate) struct Echo(f64);

impl Echo {
    pub(crate) fn measure(rounds: u64) -> Echo {
        if std::env::args().any(|argument| argument == "--echo-server") {
            serve_echo();
            std::process::exit(0);
        }
        let micros = echo(rounds).max(0.01);
        println!("echo server: {micros:.2} µs CPU/request (budgets are for {STATED:.1})");
        Echo(micros)
    }

    /// Prints what `count` requests cost, raw and as they would on the stated machine.
    pub(crate) fn print(&self, name: &str, count: u64, cpu: Duration, rate: f64) {
        let micros = cpu.as_secs_f64() * 1e6 / count as f64;
        let scaled = micros * STATED / self.0;
        println!("{name:<48} {micros:7.2} µs CPU/request, scaled {scaled:6.2}  ({rate:.0} /s)");
    }
}

/// User and system time of a process, from `/proc`, whose ticks are 10 ms.
pub(crate) fn cpu_of(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn echo(rounds: u64) -> f64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--echo-server")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().parse().unwrap();
    let cpu = cpu_of(child.id());
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = [7; 200];
                for _ in 0..rounds {
                    stream.write_all(&buffer).unwrap();
                    stream.read_exact(&mut buffer).unwrap();
                }
            });
        }
    });
    let cpu = cpu_of(child.id()) - cpu;
    child.kill().unwrap();
    child.wait().unwrap();
    cpu.as_secs_f64() * 1e6 / (rounds * CONNECTIONS) as f64
}

fn serve_echo() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                loop {
                    stream.readable().await.unwrap();
                    match stream.try_read(&mut buffer) {
                        Ok(0) => return,
                        Ok(read) => {
                            // 200 bytes always fit into the socket's buffer.
                            stream.try_write(&buffer[..read]).unwrap();
                        }
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            });
        }
    });
}
