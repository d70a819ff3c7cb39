//! A handler for tests that does what the text of a statement says.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cql_lite::types::CqlType;
use cql_lite::wire::{
    Batch, ColumnSpec, EncodedColumns, ErrorBody, Execute, Prepare, Prepared, Query, Response,
    ResponseWriter, ResultBody,
};
use helenus_platform::channel::{Receiver, Sender, bounded};
use helenus_platform::clock::ManualClock;
use helenus_platform::random::{Random, SeededRandom};
use helenus_platform::signal::Signal;

use super::handler::{Answer, Handled, Handler, Position, RequestContext};
use super::{Clients, EventHub, Limits, Memory, ServerMetrics, Services};
use crate::telemetry::Registry;

/// Understands `void`, `hold N`, `rows N` (one row of N bytes), `use KS`, `work N`, `panic`,
/// `silent`, `later` (a void answer, given by [`FakeHandler::finish_later`]), `later N` (a row) and
/// `later panic`.
pub(super) struct FakeHandler {
    pub(super) watermark: AtomicU64,
    pub(super) signal: Signal,
    pub(super) failure: Mutex<Option<ErrorBody>>,
    pub(super) calls: AtomicUsize,
    pub(super) is_backlogged: AtomicBool,
    gate: Mutex<Vec<Sender<()>>>,
}

impl FakeHandler {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(FakeHandler {
            watermark: AtomicU64::new(0),
            signal: Signal::new(),
            failure: Mutex::new(None),
            calls: AtomicUsize::new(0),
            is_backlogged: AtomicBool::new(false),
            gate: Mutex::new(Vec::new()),
        })
    }

    /// What a server with this handler needs.
    pub(super) fn services(
        self: &Arc<Self>,
        limits: Limits,
        clock: Arc<ManualClock>,
        registry: &Registry,
    ) -> Services {
        Services {
            handler: self.clone(),
            events: EventHub::new(),
            clients: Clients::new(),
            memory: Memory::new(&limits),
            limits: Arc::new(limits),
            clock,
            metrics: Arc::new(ServerMetrics::new(registry)),
        }
    }

    pub(super) fn advance(&self, watermark: u64) {
        self.watermark.store(watermark, Ordering::SeqCst);
        self.signal.notify_all();
    }

    /// How many `later` requests are open; cancelled ones are not.
    pub(super) fn open(&self) -> usize {
        self.gate.lock().unwrap().iter().filter(|gate| !gate.is_closed()).count()
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
            "rows" => put_row(out, number as usize),
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
                    response.with(|out| match number {
                        0 => out.void(),
                        bytes => put_row(out, bytes as usize),
                    });
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

    fn write_out(&self, _position: Position) {}

    fn watermark_signal(&self) -> &Signal {
        &self.signal
    }

    fn is_backlogged(&self) -> bool {
        self.is_backlogged.load(Ordering::SeqCst)
    }

    fn failure(&self) -> Option<ErrorBody> {
        self.failure.lock().unwrap().clone()
    }
}

/// One row of one column with so many bytes.
fn put_row(out: &mut ResponseWriter<'_>, bytes: usize) {
    let name = || "x".to_owned();
    let spec = ColumnSpec { keyspace: name(), table: name(), name: name(), ty: CqlType::Blob };
    out.begin_rows(&EncodedColumns::new(&[spec], out.version()), false, None);
    // Not to become shorter by compression.
    let mut cell = vec![0; bytes];
    SeededRandom::new(1).fill(&mut cell);
    out.cell(Some(&cell));
    out.end_row();
    out.finish_rows(None);
}

pub(super) const VOID: Response = Response::Result(ResultBody::Void);

/// The message of an error.
pub(super) fn message(response: &Response) -> &str {
    match response {
        Response::Error(error) => &error.message,
        other => panic!("{other:?}"),
    }
}
