//! A client without a socket.

use std::task::{Context, Poll};

use cql_lite::wire::{ClientCodec, Query, QueryOptions, Request};
use helenus_platform::clock::ManualClock;

use super::super::*;
use crate::server::fake::FakeHandler;
use crate::telemetry::Registry;

/// A connection and its client, with bytes carried by hand.
pub(super) struct Talk {
    pub(super) handler: Arc<FakeHandler>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) events: Arc<EventHub>,
    pub(super) connection: Connection,
    pub(super) codec: ClientCodec,
    pub(super) apart: Vec<PendingRequest>,
}

impl Talk {
    pub(super) fn with_limits(version: ProtocolVersion, lz4: bool, limits: Limits) -> Self {
        let handler = FakeHandler::new();
        let clock = Arc::new(ManualClock::new(0));
        let services = handler.services(limits, clock.clone(), &Registry::new());
        let events = services.events.clone();
        let connection = Connection::new(services, ([127, 0, 0, 1], 1).into());
        let codec = ClientCodec::new(version, lz4);
        Talk { handler, clock, events, connection, codec, apart: Vec::new() }
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
                Poll::Ready(completed) => self.connection.complete(completed),
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
