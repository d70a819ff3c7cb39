//! A client of the native protocol on a plain socket, which can also say what no driver would.

use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cql_lite::wire::segment::SegmentMode;
use cql_lite::wire::{
    BoundValue, ClientCodec, ErrorBody, Execute, Prepare, ProtocolVersion, Query, QueryOptions,
    Request, Response, ResultBody, Rows, ValuesBuilder,
};
use helenus_platform::checksum::{Crc32, crc24};

use crate::process::Node;

/// An answer that has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub(crate) struct RawClient {
    stream: TcpStream,
    codec: ClientCodec,
    lz4: bool,
    /// Those of the last answer.
    warnings: Vec<String>,
}

/// A statement that the node has prepared.
pub(crate) struct PreparedId {
    id: Vec<u8>,
    metadata_id: Vec<u8>,
}

/// What came of a request.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Answer(i16, Response),
    /// The node has closed the connection.
    Closed,
}

impl PreparedId {
    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }
}

impl RawClient {
    /// A connection on which nothing has been said.
    pub(crate) fn connect(node: &Node, version: ProtocolVersion, lz4: bool) -> Self {
        let stream = TcpStream::connect(node.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        RawClient { stream, codec: ClientCodec::new(version, lz4), lz4, warnings: Vec::new() }
    }

    /// A connection that is set up.
    pub(crate) fn open(node: &Node, version: ProtocolVersion, lz4: bool) -> Self {
        let mut client = Self::connect(node, version, lz4);
        client.send(0, &Request::Startup(client.codec.startup_options()));
        assert_eq!(client.hear(), Heard::Answer(0, Response::Ready));
        client
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.codec.version()
    }

    /// How segments are packed, once the connection is set up.
    pub(crate) fn segments(&self) -> Option<SegmentMode> {
        let mode = if self.lz4 { SegmentMode::Lz4 } else { SegmentMode::Plain };
        self.version().has_segments().then_some(mode)
    }

    /// Whether bodies of frames may be compressed.
    pub(crate) fn compresses_bodies(&self) -> bool {
        self.lz4 && self.segments().is_none()
    }

    pub(crate) fn send(&mut self, stream: i16, request: &Request<'_>) {
        let mut bytes = bytes::BytesMut::new();
        self.codec.encode(stream, request, false, &mut bytes);
        self.send_raw(&bytes);
    }

    /// Sends bytes as they are. The node may have closed the connection before all were sent.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error)
                if !matches!(
                    error.kind(),
                    IoErrorKind::BrokenPipe | IoErrorKind::ConnectionReset
                ) =>
            {
                panic!("{error}")
            }
            _ => {}
        }
    }

    /// Sends a bare frame, in good segments where there are some.
    pub(crate) fn send_frame(&mut self, frame: &[u8]) {
        let packed = match self.segments() {
            Some(mode) => segments(frame, mode),
            None => frame.to_vec(),
        };
        self.send_raw(&packed);
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end(&mut self) {
        // Fails if the node was faster.
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// The next answer.
    pub(crate) fn hear(&mut self) -> Heard {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some((stream, body)) = self.codec.decode().unwrap() {
                self.warnings = body.warnings;
                return Heard::Answer(stream, body.response);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    // Versions 1 and 2 are refused in frames of their own, which nobody reads here.
                    let rest = self.codec.input();
                    let is_old = matches!(rest.first(), Some(0x81 | 0x82));
                    assert!(rest.is_empty() || is_old, "the connection ends inside an answer");
                    return Heard::Closed;
                }
                Ok(read) => self.codec.input().extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == IoErrorKind::ConnectionReset => return Heard::Closed,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    /// The next answer, which must be an error.
    pub(crate) fn hear_error(&mut self) -> ErrorBody {
        match self.hear() {
            Heard::Answer(_, Response::Error(error)) => error,
            other => panic!("no error: {other:?}"),
        }
    }

    pub(crate) fn ask(&mut self, request: &Request<'_>) -> Response {
        self.send(7, request);
        match self.hear() {
            Heard::Answer(7, response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// An answer with its warnings.
    pub(crate) fn ask_warned(&mut self, request: &Request<'_>) -> (Response, Vec<String>) {
        let response = self.ask(request);
        (response, std::mem::take(&mut self.warnings))
    }

    /// A statement's answer with its warnings.
    pub(crate) fn query_warned(&mut self, text: &str) -> (Response, Vec<String>) {
        self.ask_warned(&Request::Query(Query { text, options: QueryOptions::default() }))
    }

    pub(crate) fn query(&mut self, text: &str) -> Response {
        self.ask(&Request::Query(Query { text, options: QueryOptions::default() }))
    }

    /// Runs a statement that must succeed.
    pub(crate) fn run(&mut self, text: &str) {
        if let Response::Error(error) = self.query(text) {
            panic!("{text}: {error:?}");
        }
    }

    pub(crate) fn rows(&mut self, text: &str) -> Rows {
        match self.query(text) {
            Response::Result(ResultBody::Rows(rows)) => rows,
            other => panic!("{text}: {other:?}"),
        }
    }

    pub(crate) fn prepare(&mut self, text: &str) -> PreparedId {
        match self.ask(&Request::Prepare(Prepare { text, keyspace: None })) {
            Response::Result(ResultBody::Prepared(prepared)) => {
                PreparedId { id: prepared.id, metadata_id: prepared.result_metadata_id }
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    pub(crate) fn execute(
        &mut self,
        statement: &PreparedId,
        values: &[BoundValue<'_>],
    ) -> Response {
        let mut builder = ValuesBuilder::positional();
        for value in values {
            builder.push(*value).unwrap();
        }
        let options = QueryOptions { values: builder.values(), ..QueryOptions::default() };
        let id = &statement.id;
        let result_metadata_id = Some(&statement.metadata_id[..]);
        self.ask(&Request::Execute(Execute { id, result_metadata_id, options }))
    }

    /// Asserts that the connection still gets right answers.
    pub(crate) fn assert_alive(&mut self) {
        let rows = self.rows("SELECT key FROM system.local");
        assert_eq!(rows.iter().next().unwrap()[0], Some(&b"local"[..]));
    }
}

/// A frame with any header and body.
pub(crate) fn frame(version: u8, flags: u8, stream: i16, opcode: u8, body: &[u8]) -> Vec<u8> {
    frame_claiming(version, flags, stream, opcode, body.len() as u32, body)
}

/// A frame whose header lies about the length of its body.
pub(crate) fn frame_claiming(
    version: u8,
    flags: u8,
    stream: i16,
    opcode: u8,
    length: u32,
    body: &[u8],
) -> Vec<u8> {
    let mut frame = vec![version, flags];
    frame.extend(stream.to_be_bytes());
    frame.push(opcode);
    frame.extend(length.to_be_bytes());
    frame.extend(body);
    frame
}

/// Payload bytes that one segment holds.
const SEGMENT_BYTES_MAX: usize = (1 << 17) - 1;

/// Wraps bytes in segments, stored as they are, without looking at what they are.
pub(crate) fn segments(bytes: &[u8], mode: SegmentMode) -> Vec<u8> {
    let self_contained = bytes.len() <= SEGMENT_BYTES_MAX;
    let parts = bytes.chunks(SEGMENT_BYTES_MAX);
    parts.flat_map(|part| segment(part, part.len(), 0, self_contained, mode)).collect()
}

/// One segment with right checksums, whatever its header claims. `claimed` is the uncompressed
/// length, which only the compressed mode has; zero there says "not compressed".
pub(crate) fn segment(
    stored: &[u8],
    length: usize,
    claimed: usize,
    self_contained: bool,
    mode: SegmentMode,
) -> Vec<u8> {
    let contained = u64::from(self_contained);
    let (bits, header_bytes) = match mode {
        SegmentMode::Plain => (length as u64 | contained << 17, 3),
        SegmentMode::Lz4 => (length as u64 | (claimed as u64) << 17 | contained << 34, 5),
    };
    let mut out = bits.to_le_bytes()[..header_bytes].to_vec();
    let check = crc24(&out);
    out.extend(&check.to_le_bytes()[..3]);
    out.extend(stored);
    let mut crc = Crc32::salted(0xFA2D_55CA);
    crc.update(stored);
    out.extend(crc.finish().to_le_bytes());
    out
}

/// Somebody else on the same node who behaves, and checks every answer, until told to stop.
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl Neighbour {
    pub(crate) fn start(node: &Node) -> Self {
        let mut client = RawClient::open(node, ProtocolVersion::V5, true);
        client.run(
            "CREATE KEYSPACE IF NOT EXISTS neighbour WITH replication = \
             {'class': 'SimpleStrategy', 'replication_factor': 1}",
        );
        client.run("CREATE TABLE IF NOT EXISTS neighbour.t (k int PRIMARY KEY, v int)");
        let insert = client.prepare("INSERT INTO neighbour.t (k, v) VALUES (?, ?)");
        let select = client.prepare("SELECT v FROM neighbour.t WHERE k = ?");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut done = 0u32;
            while !stopped.load(Ordering::SeqCst) || done < 10 {
                let (key, value) = ((done % 100).to_be_bytes(), done.to_be_bytes());
                let values = [BoundValue::Bytes(&key), BoundValue::Bytes(&value)];
                let written = client.execute(&insert, &values);
                assert_eq!(written, Response::Result(ResultBody::Void));
                match client.execute(&select, &values[..1]) {
                    Response::Result(ResultBody::Rows(rows)) => {
                        let found: Vec<_> = rows.iter().collect();
                        assert_eq!(found, [[Some(&value[..])]]);
                    }
                    other => panic!("{other:?}"),
                }
                done += 1;
            }
            done
        });
        Neighbour { stop, thread: Some(thread) }
    }

    /// Stops; says how many rounds of writing and reading went well.
    pub(crate) fn finish(mut self) -> u32 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
