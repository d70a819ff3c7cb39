//! The request path of one node, from socket to socket: server CPU per request, rate, latency.
//!
//! ```text
//! cargo bench --bench node                                  every row, full size
//! cargo bench --bench node -- --rows 1000000 --only group   fewer rows, one mode
//! ```
//!
//! The node is the release binary in a process of its own; its CPU time comes from the operating
//! system, so flush and compaction count. A bare echo server on the same runtime is measured in
//! the same run: budgets are stated for a machine on which it costs 6.0 µs a request. Under
//! `cargo test --benches` it runs in a smoke size.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "the load comes from outside the node's seams")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 8;
const ROW_COLUMNS: usize = 5;
const COLUMN_BYTES: usize = 34;

struct Settings {
    rows: u64,
    only: Option<String>,
}

fn settings() -> Settings {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let full = arguments.iter().any(|argument| argument == "--bench");
    let rows = after("--rows").map_or(if full { 5_000_000 } else { 2_000 }, |n| n.parse().unwrap());
    Settings { rows, only: after("--only") }
}

/// A running node, stopped and removed when dropped.
struct Node {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Node {
    fn start(mode: &str) -> (Self, Duration) {
        let dir = std::env::temp_dir().join(format!("helenus-bench-{}-{mode}", std::process::id()));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let began = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_helenus"))
            .args(["serve", "--data-dir"])
            .arg(&dir)
            .args(["--cql-port", &port.to_string(), "--set", "metrics.port=0"])
            .args(["--set", &format!("commit_log.mode={mode}")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let node = Self { child, port, dir };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                Client::new(stream).startup();
                return (node, began.elapsed());
            }
            assert!(Instant::now() < deadline, "the node does not serve");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    fn client(&self) -> Client {
        let mut client = Client::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        client.startup();
        client
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

/// User and system time of a process, from `/proc`, whose ticks are 10 ms.
fn cpu_of(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// A connection that speaks just enough of protocol v4.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

fn frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![4, 0, 0, 1, opcode];
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, input: Vec::new() }
    }

    fn startup(&mut self) {
        self.call(1, b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0");
    }

    fn query(&mut self, statement: &str) {
        let mut body = u32::try_from(statement.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(statement.as_bytes());
        body.extend_from_slice(&[0, 1, 0]);
        self.call(7, &body);
    }

    fn prepare(&mut self, statement: &str) -> Vec<u8> {
        let mut body = u32::try_from(statement.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(statement.as_bytes());
        let answer = self.call(9, &body);
        let length = usize::from(u16::from_be_bytes([answer[4], answer[5]]));
        answer[6..6 + length].to_vec()
    }

    fn call(&mut self, opcode: u8, body: &[u8]) -> Vec<u8> {
        self.stream.write_all(&frame(opcode, body)).unwrap();
        loop {
            if let Some((opcode, answer)) = self.take() {
                assert_ne!(opcode, 0, "{}", String::from_utf8_lossy(&answer));
                return answer;
            }
            self.fill();
        }
    }

    fn fill(&mut self) {
        let mut buffer = [0; 1 << 16];
        let read = self.stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the node closed the connection");
        self.input.extend_from_slice(&buffer[..read]);
    }

    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let length = u32::from_be_bytes(self.input.get(5..9)?.try_into().unwrap()) as usize;
        let body = self.input.get(9..9 + length)?.to_vec();
        let opcode = self.input[4];
        self.input.drain(..9 + length);
        Some((opcode, body))
    }

    /// Counts the whole answers in the buffer and drops them.
    fn answers(&mut self) -> u64 {
        let (mut count, mut at) = (0, 0);
        while let Some(header) = self.input.get(at..at + 9) {
            let length = u32::from_be_bytes(header[5..9].try_into().unwrap()) as usize;
            if self.input.len() < at + 9 + length {
                break;
            }
            assert_ne!(header[4], 0, "{}", String::from_utf8_lossy(&self.input[at + 9..]));
            at += 9 + length;
            count += 1;
        }
        self.input.drain(..at);
        count
    }

    /// Keeps `in_flight` requests going until `count` are answered.
    fn pump(&mut self, count: u64, in_flight: u64, mut request: impl FnMut(u64, &mut Vec<u8>)) {
        let (mut sent, mut answered) = (0, 0);
        let mut output = Vec::new();
        while answered < count {
            while sent < count && sent - answered < in_flight {
                request(sent, &mut output);
                sent += 1;
            }
            self.stream.write_all(&output).unwrap();
            output.clear();
            self.fill();
            answered += self.answers();
        }
    }
}

fn execute(id: &[u8], values: &[&[u8]], out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(256);
    body.extend_from_slice(&u16::try_from(id.len()).unwrap().to_be_bytes());
    body.extend_from_slice(id);
    body.extend_from_slice(&[0, 1, 0x03]);
    body.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value);
    }
    out.extend_from_slice(&frame(10, &body));
}

/// A 10-byte key: the number, spread so that keys come in no order.
fn key(number: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key
}

/// Runs `count` requests over all connections; answers time taken and requests a second.
fn load(
    node: &Node,
    count: u64,
    in_flight: u64,
    statement: &str,
    request: impl Fn(&[u8], u64, &mut Vec<u8>) + Sync,
) -> (Duration, f64) {
    let cpu = node.cpu();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS as u64 {
            let request = &request;
            scope.spawn(move || {
                let mut client = node.client();
                let id = client.prepare(statement);
                let share = count / CONNECTIONS as u64;
                client.pump(share, in_flight, |i, out| {
                    request(&id, connection * share + i, out);
                });
            });
        }
    });
    let rate = count as f64 / began.elapsed().as_secs_f64();
    (node.cpu() - cpu, rate)
}

fn row(name: &str, count: u64, cpu: Duration, rate: f64, echo: f64) {
    let micros = cpu.as_secs_f64() * 1e6 / count as f64;
    let scaled = micros * 6.0 / echo;
    println!("{name:<44} {micros:8.2} µs CPU/request {scaled:8.2} scaled {rate:10.0} /s");
}

const INSERT: &str = "INSERT INTO bench.t (k, a, b, c, d, e) VALUES (?, ?, ?, ?, ?, ?)";

fn insert(id: &[u8], number: u64, out: &mut Vec<u8>) {
    let key = key(number);
    let values: Vec<[u8; COLUMN_BYTES]> = (0..ROW_COLUMNS as u64)
        .map(|column| {
            // Half random, half constant: it compresses about as rows of text do.
            let mut value = [b'x'; COLUMN_BYTES];
            let mut state = number * 5 + column + 1;
            for byte in &mut value[..COLUMN_BYTES / 2] {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 33) as u8;
            }
            value
        })
        .collect();
    let all: Vec<&[u8]> =
        std::iter::once(&key[..]).chain(values.iter().map(|value| &value[..])).collect();
    execute(id, &all, out);
}

/// What an echo server on the node's runtime costs a request, in microseconds of CPU.
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
    cpu.as_secs_f64() * 1e6 / (rounds * CONNECTIONS as u64) as f64
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

fn measure(mode: &str, rows: u64, echo: f64) {
    let (node, first_answer) = Node::start(mode);
    println!("{mode}: first answer after {:.0} ms", first_answer.as_secs_f64() * 1e3);
    std::thread::sleep(Duration::from_millis(500));
    println!("{mode}: idle, {:.1} MiB resident", node.resident_kib() as f64 / 1024.0);
    let mut client = node.client();
    client.query(
        "CREATE KEYSPACE bench WITH replication = {'class': 'SimpleStrategy', \
         'replication_factor': 1}",
    );
    client
        .query("CREATE TABLE bench.t (k blob PRIMARY KEY, a blob, b blob, c blob, d blob, e blob)");
    let select = "SELECT a, b, c, d, e FROM bench.t WHERE k = ?";
    let ask = |id: &[u8], number: u64, out: &mut Vec<u8>| execute(id, &[&key(number)], out);

    // Few enough rows to stay in the memtable.
    let few = rows.min(100_000) / 8 * 8;
    load(&node, few, 32, INSERT, insert);
    let (cpu, rate) = load(&node, few * 4, 32, select, |id, n, out| ask(id, n % few, out));
    row(&format!("{mode}: SELECT, memtable, 32 in flight"), few * 4, cpu, rate, echo);

    let rows = rows / 8 * 8;
    let (cpu, rate) = load(&node, rows, 32, INSERT, insert);
    row(&format!("{mode}: INSERT, 32 in flight"), rows, cpu, rate, echo);
    println!("{mode}: {:.1} MiB resident", node.resident_kib() as f64 / 1024.0);
    let lone = (rows / 10).max(800) / 8 * 8;
    let (cpu, rate) = load(&node, lone, 1, INSERT, insert);
    row(&format!("{mode}: INSERT, 1 in flight"), lone, cpu, rate, echo);

    let hot = few.min(20_000);
    for round in ["cold", "cached"] {
        let (cpu, rate) = load(&node, few * 4, 32, select, |id, n, out| ask(id, n % hot, out));
        row(&format!("{mode}: SELECT, SSTable, {round}, 32 in flight"), few * 4, cpu, rate, echo);
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "--echo-server") {
        serve_echo();
        return;
    }
    let settings = settings();
    assert!(Path::new(env!("CARGO_BIN_EXE_helenus")).exists());
    let echo = echo(settings.rows.min(50_000)).max(0.01);
    println!("echo server: {echo:.2} µs CPU/request (budgets are for 6.0)");
    for mode in ["periodic", "group"] {
        if settings.only.as_deref().is_none_or(|only| only == mode) {
            measure(mode, settings.rows, echo);
        }
    }
}
