//! A client that speaks just enough of protocol v4, and costs little beside the node.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

fn frame(opcode: u8, stream: u16, body: &[u8]) -> Vec<u8> {
    let [high, low] = stream.to_be_bytes();
    let mut bytes = vec![4, 0, high, low, opcode];
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Appends an EXECUTE.
pub(crate) fn execute(stream: u16, id: &[u8], values: &[&[u8]], out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(256);
    body.extend_from_slice(&u16::try_from(id.len()).unwrap().to_be_bytes());
    body.extend_from_slice(id);
    body.extend_from_slice(&[0, 1, 0x03]);
    body.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value);
    }
    out.extend_from_slice(&frame(10, stream, &body));
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, input: Vec::new() }
    }

    pub(crate) fn startup(&mut self) {
        self.call(1, b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0");
    }

    pub(crate) fn query(&mut self, statement: &str) {
        let mut body = u32::try_from(statement.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(statement.as_bytes());
        body.extend_from_slice(&[0, 1, 0]);
        self.call(7, &body);
    }

    pub(crate) fn prepare(&mut self, statement: &str) -> Vec<u8> {
        let mut body = u32::try_from(statement.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(statement.as_bytes());
        let answer = self.call(9, &body);
        let length = usize::from(u16::from_be_bytes([answer[4], answer[5]]));
        answer[6..6 + length].to_vec()
    }

    fn call(&mut self, opcode: u8, body: &[u8]) -> Vec<u8> {
        self.stream.write_all(&frame(opcode, 1, body)).unwrap();
        let mut answer = None;
        while answer.is_none() {
            self.fill();
            self.answers(|_, body| answer = Some(body.to_vec()));
        }
        answer.unwrap()
    }

    fn fill(&mut self) {
        let mut buffer = [0; 1 << 16];
        let read = self.stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the node closed the connection");
        self.input.extend_from_slice(&buffer[..read]);
    }

    /// Takes the whole answers out of the buffer: stream and body of each.
    fn answers(&mut self, mut each: impl FnMut(u16, &[u8])) {
        let mut at = 0;
        while let Some(header) = self.input.get(at..at + 9) {
            let length = u32::from_be_bytes(header[5..9].try_into().unwrap()) as usize;
            let Some(body) = self.input.get(at + 9..at + 9 + length) else { break };
            assert_ne!(header[4], 0, "{}", String::from_utf8_lossy(body));
            each(u16::from_be_bytes([header[2], header[3]]), body);
            at += 9 + length;
        }
        self.input.drain(..at);
    }

    /// Keeps `in_flight` requests going until `count` are answered.
    pub(crate) fn pump(
        &mut self,
        count: u64,
        in_flight: u64,
        mut request: impl FnMut(u64, &mut Vec<u8>),
    ) {
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
            self.answers(|_, _| answered += 1);
        }
    }

    /// Sends `count` requests, `burst` of them at once `every` so often, whether or not those
    /// before are answered; tells how long after its appointed time each was answered. `request`
    /// gets its number and its stream.
    pub(crate) fn paced(
        mut self,
        count: u64,
        burst: u64,
        every: Duration,
        request: impl Fn(u64, u16, &mut Vec<u8>) + Sync,
    ) -> Vec<Duration> {
        const STREAMS: u64 = 1 << 15;
        let mut sending = self.stream.try_clone().unwrap();
        let began = Instant::now();
        let due = |number: u64| every.saturating_mul(u32::try_from(number / burst).unwrap());
        let answered = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let (answered, request, due) = (&answered, &request, &due);
            scope.spawn(move || {
                let mut output = Vec::new();
                let mut sent = 0;
                while sent < count {
                    let now = began.elapsed();
                    let room = answered.load(Ordering::Relaxed) + STREAMS;
                    assert!(sent < room, "the node has fallen behind by {STREAMS} requests");
                    while sent < count.min(room) && due(sent) <= now {
                        request(sent, (sent % STREAMS) as u16, &mut output);
                        sent += 1;
                    }
                    sending.write_all(&output).unwrap();
                    output.clear();
                    std::thread::sleep(due(sent).saturating_sub(began.elapsed()));
                }
            });
            let mut times = Vec::with_capacity(usize::try_from(count).unwrap());
            // How often each stream was answered tells which request that was.
            let mut rounds = vec![0u64; STREAMS as usize];
            while (times.len() as u64) < count {
                self.fill();
                let now = began.elapsed();
                self.answers(|stream, _| {
                    let round = &mut rounds[usize::from(stream)];
                    let number = *round * STREAMS + u64::from(stream);
                    *round += 1;
                    times.push(now.saturating_sub(due(number)));
                });
                answered.store(times.len() as u64, Ordering::Relaxed);
            }
            times
        })
    }
}
