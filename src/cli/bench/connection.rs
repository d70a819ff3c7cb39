//! One connection under load: requests leave at their times, answers are matched by stream.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use cql_lite::wire::{
    ClientCodec, Execute, Prepare, ProtocolVersion, Query, QueryOptions, Request, Response,
    ResultBody, ValuesBuilder,
};
use helenus_platform::net::{Stream, write_all};
use helenus_platform::runtime::BoxFuture;

use super::workload::Dice;
use super::{LINGER, Phase, TICK};

const READ_BYTES: usize = 64 << 10;
/// Requests that are put into the output before it is written.
const BURST: usize = 64;

/// A connection with its prepared statements.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    codec: ClientCodec,
    prepared: Vec<cql_lite::wire::Prepared>,
}

impl Connection {
    pub(super) async fn open(
        stream: Box<dyn Stream>,
        version: ProtocolVersion,
        lz4: bool,
    ) -> Result<Self, String> {
        let codec = ClientCodec::new(version, lz4);
        let options = codec.startup_options();
        let mut connection = Self { stream, codec, prepared: Vec::new() };
        match connection.call(&Request::Startup(options)).await? {
            Response::Ready => Ok(connection),
            Response::Authenticate(class) => {
                Err(format!("the node asks for a password ({class}), which bench cannot give"))
            }
            other => Err(format!("the node answers {} to STARTUP", other.opcode())),
        }
    }

    pub(super) async fn query(&mut self, text: &str) -> Result<(), String> {
        let query = Query { text, options: QueryOptions::default() };
        self.call(&Request::Query(query)).await.map(|_| ())
    }

    pub(super) async fn prepare(&mut self, text: &str) -> Result<(), String> {
        match self.call(&Request::Prepare(Prepare { text, keyspace: None })).await? {
            Response::Result(ResultBody::Prepared(prepared)) => self.prepared.push(prepared),
            other => return Err(format!("the node answers {} to PREPARE", other.opcode())),
        }
        Ok(())
    }

    /// One request, and its answer; an error is an error.
    async fn call(&mut self, request: &Request<'_>) -> Result<Response, String> {
        let mut output = BytesMut::new();
        self.codec.encode(0, request, false, &mut output);
        write_all(&mut *self.stream, &output).await.map_err(|error| lost(&error))?;
        loop {
            match self.codec.decode().map_err(|error| error.to_string())? {
                Some((0, body)) => match body.response {
                    Response::Error(error) => return Err(error.message),
                    response => return Ok(response),
                },
                Some(_) => {}
                None => self.fill().await.map_err(|error| lost(&error))?,
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match poll_fn(|context| self.poll_fill(context)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.stream.poll_read(context, self.codec.input(), READ_BYTES)
    }
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the node closed the connection".to_string()
        }
        _ => format!("the connection failed: {error}"),
    }
}

/// What is under way on a stream.
#[derive(Clone, Copy)]
struct UnderWay {
    /// When the request should have left.
    since: Duration,
    is_read: bool,
}

/// A connection while a phase lasts.
pub(super) struct Load {
    phase: Arc<Phase>,
    index: u64,
    connection: Connection,
    dice: Dice,
    streams: Vec<Option<UnderWay>>,
    free: Vec<i16>,
    output: BytesMut,
    values: ValuesBuilder,
    /// The time of the next request, where there is a rate.
    next: Duration,
    is_over: bool,
    timer: Option<BoxFuture<'static, ()>>,
}

impl Load {
    pub(super) fn new(phase: Arc<Phase>, index: u64, connection: Connection) -> Self {
        let interval = phase.interval.unwrap_or_default();
        // Appointments of the connections are spread over one interval.
        let offset = interval.mul_f64(index as f64 / phase.connections.max(1) as f64);
        Load {
            index,
            connection,
            dice: phase.workload.dice(index),
            streams: vec![None; usize::try_from(phase.in_flight).unwrap_or(1)],
            free: (0..phase.in_flight).rev().collect(),
            output: BytesMut::new(),
            values: ValuesBuilder::positional(),
            next: phase.begin + offset,
            is_over: false,
            timer: None,
            phase,
        }
    }

    /// Applies load until the phase is over; the connection, to go on with.
    pub(super) async fn run(mut self) -> Result<Connection, String> {
        poll_fn(|context| self.poll(context)).await?;
        Ok(self.connection)
    }

    fn is_idle(&self) -> bool {
        self.free.len() == self.streams.len()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        loop {
            let answered = self.take_answers(context)?;
            let now = self.phase.clock.monotonic();
            self.ask(now)?;
            let wrote = self.write(context).map_err(|error| lost(&error))?;
            if self.is_over && self.is_idle() {
                return Poll::Ready(Ok(()));
            }
            if now > self.phase.end.saturating_add(LINGER) {
                self.give_up();
                return Poll::Ready(Ok(()));
            }
            // Whatever moved may have made room for more.
            let can_ask = !self.is_over
                && !self.free.is_empty()
                && self.output.is_empty()
                && (self.phase.interval.is_none() || self.next <= now);
            if !answered && !wrote && !can_ask {
                if self.poll_timer(context, now) {
                    continue;
                }
                return Poll::Pending;
            }
        }
    }

    /// Waits for the next appointment, or the end; true if it has come already.
    fn poll_timer(&mut self, context: &mut Context<'_>, now: Duration) -> bool {
        let next = match self.phase.interval {
            Some(_) if !self.free.is_empty() && self.next > now => self.next,
            _ => now + TICK,
        };
        let until = if self.is_over { now + TICK } else { next.min(self.phase.end) };
        let pause = until.saturating_sub(now).max(Duration::from_micros(50));
        let timer = self.timer.insert(self.phase.runtime.sleep(pause));
        Pin::new(timer).poll(context).is_ready()
    }

    /// Too late: what is not answered, and what could not even be asked, has failed.
    fn give_up(&mut self) {
        let mut missing = self.streams.len() - self.free.len();
        if let (Some(interval), false) = (self.phase.interval, self.is_over) {
            let left = self.phase.end.saturating_sub(self.next).as_secs_f64();
            missing += (left / interval.as_secs_f64().max(1e-9)).ceil() as usize;
        }
        let place = usize::try_from(self.index).unwrap_or(0);
        let Some(recorder) = self.phase.recorders.get(place) else { return };
        let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        (0..missing).for_each(|_| recorder.failed("not answered in time"));
    }

    fn take_answers(&mut self, context: &mut Context<'_>) -> Result<bool, String> {
        let mut moved = false;
        while let Poll::Ready(read) = self.connection.poll_fill(context) {
            if read.map_err(|error| lost(&error))? == 0 {
                return Err(lost(&io::ErrorKind::UnexpectedEof.into()));
            }
            moved = true;
            while let Some((stream, body)) =
                self.connection.codec.decode().map_err(|error| error.to_string())?
            {
                self.answered(stream, &body.response);
            }
        }
        Ok(moved)
    }

    fn answered(&mut self, stream: i16, response: &Response) {
        let place = usize::try_from(stream).ok().and_then(|at| self.streams.get_mut(at));
        let Some(under_way) = place.and_then(Option::take) else { return };
        self.free.push(stream);
        let latency = self.phase.clock.monotonic().saturating_sub(under_way.since);
        let place = usize::try_from(self.index).unwrap_or(0);
        let Some(recorder) = self.phase.recorders.get(place) else { return };
        let mut recorder = recorder.lock().unwrap_or_else(PoisonError::into_inner);
        match response {
            Response::Error(error) => recorder.failed(&error.message),
            Response::Result(ResultBody::Rows(rows)) if rows.is_empty() => {
                recorder.answered(under_way.is_read, latency, true);
            }
            _ => recorder.answered(under_way.is_read, latency, false),
        }
    }

    /// Makes the requests whose time has come, as far as streams are free.
    fn ask(&mut self, now: Duration) -> Result<(), String> {
        for _ in 0..BURST {
            // What is due before the end is done, be it late: leaving it out would leave out
            // the worst.
            let due = if self.phase.interval.is_some() { self.next } else { now };
            if self.is_over || due >= self.phase.end {
                self.is_over = true;
                return Ok(());
            }
            if due > now {
                return Ok(());
            }
            let Some(stream) = self.free.pop() else { return Ok(()) };
            let number = self.phase.made.fetch_add(1, Ordering::Relaxed);
            if number >= self.phase.requests_max {
                self.free.push(stream);
                self.is_over = true;
                return Ok(());
            }
            if let Some(interval) = self.phase.interval {
                self.next += interval;
            }
            self.values = ValuesBuilder::positional();
            let asked = self.phase.workload.ask(number, &self.dice, &mut self.values);
            let statement = self.connection.prepared.get(asked.statement);
            let statement = statement.ok_or_else(|| "no such statement".to_string())?;
            let options = QueryOptions {
                consistency: self.phase.consistency,
                values: self.values.values(),
                skip_metadata: true,
                ..QueryOptions::default()
            };
            let id = statement.result_metadata_id.as_slice();
            let execute = Execute { id: &statement.id, result_metadata_id: Some(id), options };
            let request = Request::Execute(execute);
            self.connection.codec.encode(stream, &request, false, &mut self.output);
            let under_way = UnderWay { since: due, is_read: asked.is_read };
            if let Some(place) = usize::try_from(stream).ok().and_then(|s| self.streams.get_mut(s))
            {
                *place = Some(under_way);
            }
        }
        Ok(())
    }

    fn write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while !self.output.is_empty() {
            match self.connection.stream.poll_write(context, &self.output)? {
                Poll::Pending => break,
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(bytes) => self.output.advance(bytes),
            }
            moved = true;
        }
        Ok(moved)
    }
}
