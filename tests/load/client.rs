//! Clients that speak just enough of protocol v4: a blocking one that measures, and bytes for
//! those that only press.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What the STARTUP of a client says.
pub(crate) const STARTUP: &[u8] = b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0";
/// The same, for a client that wants errors rather than to wait.
pub(crate) const STARTUP_THROWS: &[u8] =
    b"\x00\x02\x00\x0bCQL_VERSION\x00\x053.0.0\x00\x11THROW_ON_OVERLOAD\x00\x011";

/// Bytes of a frame's header.
pub(crate) const HEADER: usize = 9;
const OPCODE_STARTUP: u8 = 1;
const OPCODE_QUERY: u8 = 7;
const OPCODE_PREPARE: u8 = 9;
const OPCODE_EXECUTE: u8 = 10;

/// An answer in a buffer: where its body ends, and what it says of itself.
pub(crate) struct Answer {
    pub(crate) end: usize,
    pub(crate) stream: u16,
    pub(crate) is_error: bool,
}

impl Answer {
    /// The whole answer at the front of `bytes`, if there is one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Answer> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let length = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) as usize;
        let end = HEADER + length;
        (bytes.len() >= end).then(|| Answer {
            end,
            stream: u16::from_be_bytes([header[2], header[3]]),
            is_error: header[4] == 0,
        })
    }
}

fn frame(opcode: u8, stream: u16, body: &[u8]) -> Vec<u8> {
    let [high, low] = stream.to_be_bytes();
    let mut bytes = vec![4, 0, high, low, opcode];
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn startup(body: &[u8]) -> Vec<u8> {
    frame(OPCODE_STARTUP, 0, body)
}

/// A QUERY in pages of `page_rows` from `paging_state` on, if there is one.
pub(crate) fn query(text: &str, stream: u16, page_rows: i32, state: Option<&[u8]>) -> Vec<u8> {
    let mut body = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(text.as_bytes());
    let flags = 0x04 | if state.is_some() { 0x08 } else { 0 };
    body.extend_from_slice(&[0, 1, flags]);
    body.extend_from_slice(&page_rows.to_be_bytes());
    if let Some(state) = state {
        body.extend_from_slice(&u32::try_from(state.len()).unwrap().to_be_bytes());
        body.extend_from_slice(state);
    }
    frame(OPCODE_QUERY, stream, &body)
}

/// An EXECUTE of a statement with these values.
pub(crate) fn execute(id: &[u8], stream: u16, values: &[&[u8]]) -> Vec<u8> {
    let mut body = u16::try_from(id.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(id);
    body.extend_from_slice(&[0, 1, 0x01]);
    body.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value);
    }
    frame(OPCODE_EXECUTE, stream, &body)
}

/// A connection that waits for each answer.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut client = Client { stream, input: Vec::new() };
        client.ask(&startup(STARTUP)).unwrap();
        client
    }

    /// The body of the answer to a request, or of the error.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        self.stream.write_all(request).map_err(|error| error.to_string())?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(Answer { end, is_error, .. }) = Answer::parse(&self.input) {
                let body = self.input[HEADER..end].to_vec();
                self.input.drain(..end);
                let error = || String::from_utf8_lossy(&body).into_owned();
                return if is_error { Err(error()) } else { Ok(body) };
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the node closed the connection".to_owned()),
                Ok(read) => self.input.extend_from_slice(&buffer[..read]),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    pub(crate) fn run(&mut self, text: &str) -> Vec<u8> {
        self.ask(&query(text, 1, 5000, None)).unwrap()
    }

    pub(crate) fn prepare(&mut self, text: &str) -> Vec<u8> {
        let mut body = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(text.as_bytes());
        let answer = self.ask(&frame(OPCODE_PREPARE, 1, &body)).unwrap();
        let length = usize::from(u16::from_be_bytes([answer[4], answer[5]]));
        answer[6..6 + length].to_vec()
    }
}

/// The paging state in a page, if another follows: in the metadata of its rows.
pub(crate) fn paging_state(page: &[u8]) -> Option<Vec<u8>> {
    let int = |at: usize| u32::from_be_bytes(page[at..at + 4].try_into().unwrap());
    let has_more = int(4) & 0x02 != 0;
    has_more.then(|| page[16..16 + int(12) as usize].to_vec())
}

/// Point reads at an even pace from two connections while something else goes on.
pub(crate) struct Probe {
    pub(crate) times: Vec<Duration>,
    pub(crate) errors: usize,
}

impl Probe {
    /// Asks every `every` for as long as `seconds` say. A read that is late because the one
    /// before it was is measured from when it was due.
    pub(crate) fn run(
        address: SocketAddr,
        select: &str,
        keys: u64,
        every: Duration,
        seconds: f64,
    ) -> Probe {
        let run = |connection: u64| {
            let mut client = Client::open(address);
            let id = client.prepare(select);
            let mut probe = Probe { times: Vec::new(), errors: 0 };
            let began = Instant::now();
            let mut answered = began;
            for number in 0.. {
                let due = began + every * number;
                if due.duration_since(began).as_secs_f64() >= seconds {
                    break;
                }
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let since = if answered > due { due } else { Instant::now() };
                let key = (u64::from(number) * 7919 + connection) % keys;
                let asked = client.ask(&execute(&id, 1, &[&key.to_be_bytes()]));
                answered = Instant::now();
                probe.times.push(answered - since);
                if asked.is_err() {
                    probe.errors += 1;
                    client = Client::open(address);
                }
            }
            probe
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2).map(|number| scope.spawn(move || run(number))).collect();
            let mut all = Probe { times: Vec::new(), errors: 0 };
            for thread in threads {
                let one = thread.join().unwrap();
                all.times.extend(one.times);
                all.errors += one.errors;
            }
            all.times.sort_unstable();
            all
        })
    }

    /// The time that this share of the reads did not exceed, in milliseconds.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let last = self.times.len() - 1;
        self.times[(last as f64 * share) as usize].as_secs_f64() * 1e3
    }
}
