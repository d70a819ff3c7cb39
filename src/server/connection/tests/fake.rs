//! A handler that does what the text of a statement says, and a client without a socket.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use cql_lite::types::CqlType;
use cql_lite::wire::{
    Batch, ClientCodec, ColumnSpec, EncodedColumns, Execute, Prepare, Prepared, Query,
    QueryOptions, Request, ResultBody,
};
use helenus_platform::channel::{Receiver, Sender, bounded};
use helenus_platform::signal::Signal;

use super::super::*;
use crate::server::handler::{Handled, RequestContext};

/// Understands `void`, `hold N`, `rows N` (one row of N bytes), `use KS`, `work N`, `panic`,
/// `silent`, `later` (answered by [`FakeHandler::finish_later`]) and `later panic`.
pub(super) struct FakeHandler {
    pub(super) watermark: AtomicU64,
    pub(super) signal: Signal,
    pub(super) failure: Mutex<Option<ErrorBody>>,
    pub(super) calls: AtomicUsize,
    gate: Mutex<Vec<Sender<()>>>,
}

impl FakeHandler {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(FakeHandler {
            watermark: AtomicU64::new(0),
            signal: Signal::new(),
            failure: Mutex::new(None),
            calls: AtomicUsize::new(0),
            gate: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn advance(&self, watermark: u64) {
        self.watermark.store(watermark, Ordering::SeqCst);
        self.signal.notify_all();
    }

    /// Lets the `index`-th `later` request (that is still open) finish.
    pub(super) fn finish_later(&self, index: usize) {
        self.gate.lock().unwrap().remove(index).try_send(()).unwrap();
    }

    fn wait(&self) -> Receiver<()> {
        let (sender, receiver) = bounded(1);
        self.gate.lock().unwrap().push(sender);
        receiver
    }

    fn run(
        &self,
        context: &mut RequestContext<'_>,
        text: &str,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let number = rest.parse().unwrap_or(0);
        match verb {
            "hold" => {
                out.void();
                return Handled::Answered { hold_until: Some(number) };
            }
            "rows" => {
                let name = || "x".to_owned();
                let ty = CqlType::Blob;
                let spec = ColumnSpec { keyspace: name(), table: name(), name: name(), ty };
                out.begin_rows(&EncodedColumns::new(&[spec], out.version()), false, None);
                out.cell(Some(&vec![7; number as usize]));
                out.end_row();
                out.finish_rows(None);
            }
            "use" => out.set_keyspace(rest),
            "work" => {
                context.budget.spend(number);
                out.void();
            }
            "panic" => panic!("told to"),
            "silent" => {}
            "later" => {
                let mut response = out.detach();
                let mut gate = self.wait();
                let panics = rest == "panic";
                return Handled::Pending(Box::pin(async move {
                    gate.recv().await;
                    assert!(!panics, "told to, later");
                    response.with(|out| out.void());
                    Answer::new(response, None)
                }));
            }
            _ => out.void(),
        }
        Handled::NOW
    }
}

impl Handler for FakeHandler {
    fn query(
        &self,
        context: &mut RequestContext<'_>,
        query: &Query<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        self.run(context, query.text, out)
    }

    fn prepare(
        &self,
        _context: &mut RequestContext<'_>,
        prepare: &Prepare<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        out.prepared(&Prepared { id: prepare.text.as_bytes().to_vec(), ..Prepared::default() });
        Handled::NOW
    }

    fn execute(
        &self,
        context: &mut RequestContext<'_>,
        execute: &Execute<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        self.run(context, std::str::from_utf8(execute.id).unwrap(), out)
    }

    fn batch(
        &self,
        _context: &mut RequestContext<'_>,
        batch: &Batch<'_>,
        out: &mut ResponseWriter<'_>,
    ) -> Handled {
        assert_eq!(batch.statements.iter().count(), batch.statements.len());
        out.void();
        Handled::NOW
    }

    fn watermark(&self) -> Position {
        self.watermark.load(Ordering::SeqCst)
    }

    fn watermark_signal(&self) -> &Signal {
        &self.signal
    }

    fn failure(&self) -> Option<ErrorBody> {
        self.failure.lock().unwrap().clone()
    }
}

use crate::server::handler::Position;

/// A connection and its client, with bytes carried by hand.
pub(super) struct Talk {
    pub(super) handler: Arc<FakeHandler>,
    pub(super) events: Arc<EventHub>,
    pub(super) connection: Connection,
    pub(super) codec: ClientCodec,
    pub(super) apart: Vec<PendingRequest>,
}

impl Talk {
    pub(super) fn with_limits(version: ProtocolVersion, lz4: bool, limits: Limits) -> Self {
        let handler = FakeHandler::new();
        let events = EventHub::new();
        let services =
            Services { handler: handler.clone(), events: events.clone(), limits: Arc::new(limits) };
        let connection = Connection::new(services, ([127, 0, 0, 1], 1).into());
        let codec = ClientCodec::new(version, lz4);
        Talk { handler, events, connection, codec, apart: Vec::new() }
    }

    /// A connection that is set up.
    pub(super) fn open_with(version: ProtocolVersion, lz4: bool, limits: Limits) -> Self {
        let mut talk = Talk::with_limits(version, lz4, limits);
        talk.send(0, &Request::Startup(talk.codec.startup_options()));
        talk.run();
        assert_eq!(talk.receive(), [(0, Response::Ready)]);
        talk
    }

    pub(super) fn open(version: ProtocolVersion, lz4: bool) -> Self {
        Talk::open_with(version, lz4, Limits::default())
    }

    pub(super) fn send(&mut self, stream: i16, request: &Request<'_>) {
        self.codec.encode(stream, request, false, self.connection.input());
    }

    pub(super) fn query(&mut self, stream: i16, text: &str) {
        let options = QueryOptions::default();
        self.send(stream, &Request::Query(Query { text, options }));
    }

    /// Turns until nothing moves any more; returns how the last one ended.
    pub(super) fn run(&mut self) -> Turn {
        loop {
            let waker = Waker::noop();
            self.connection.pass_events(waker);
            let turn = self.connection.turn();
            self.apart.extend(self.connection.started());
            self.connection.release(waker);
            if turn != Turn::Again {
                return turn;
            }
        }
    }

    /// Polls what is executed apart and hands the answers in.
    pub(super) fn run_apart(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for mut request in std::mem::take(&mut self.apart) {
            match std::pin::Pin::new(&mut request).poll(&mut context) {
                Poll::Ready(answer) => self.connection.complete(answer),
                Poll::Pending => self.apart.push(request),
            }
        }
    }

    /// Takes all output and decodes it.
    pub(super) fn receive(&mut self) -> Vec<(i16, Response)> {
        let output = self.connection.output().to_vec();
        self.connection.sent(output.len());
        self.codec.input().extend_from_slice(&output);
        let mut all = Vec::new();
        while let Some((stream, body)) = self.codec.decode().unwrap() {
            all.push((stream, body.response));
        }
        all
    }

    /// Sends a query, runs it, and expects one answer.
    pub(super) fn ask(&mut self, text: &str) -> Response {
        self.query(7, text);
        self.run();
        let mut answers = self.receive();
        assert_eq!(answers.len(), 1, "{answers:?}");
        let (stream, answer) = answers.remove(0);
        assert_eq!(stream, 7);
        answer
    }
}

pub(super) const VOID: Response = Response::Result(ResultBody::Void);

/// The message of an error.
pub(super) fn message(response: &Response) -> &str {
    match response {
        Response::Error(error) => &error.message,
        other => panic!("{other:?}"),
    }
}
