//! The shell's state, and its way to ask the node.

use std::sync::Arc;
use std::time::Duration;

use cql_lite::types::Value;
use cql_lite::types::names::maybe_quote;
use cql_lite::wire::{
    Consistency, Query, QueryOptions, Request, Response, ResponseBody, ResultBody,
};
use helenus_platform::clock::{Clock, RealClock};
use helenus_platform::runtime::{Interrupts, TokioRuntime};

use super::connection::{Connection, Login};
use super::failure::Failure;
use super::schema::{self, Schema};
use super::sink::Sink;
use super::target::Target;
use super::wait::{Ended, attend};

/// Rows of a page, unless PAGING says otherwise: for a screen, and for a program.
const PAGE_ROWS_SCREEN: i32 = 100;
const PAGE_ROWS_PIPE: i32 = 1000;

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Aligned columns, as cqlsh does
    Table,
    /// One JSON object a row
    Json,
    /// Comma-separated values with a header
    Csv,
}

/// What the user has chosen.
#[derive(Debug)]
pub(super) struct Settings {
    /// The level of statements.
    pub(super) consistency: Consistency,
    /// The level of their linearizable part.
    pub(super) serial_consistency: Consistency,
    /// Whether every request is traced.
    pub(super) tracing: bool,
    /// Rows of a page.
    pub(super) page_rows: i32,
    /// Whether answers come in pages at all.
    pub(super) paging: bool,
    /// Whether rows are printed one below the other.
    pub(super) expand: bool,
    /// Whether the time of each statement is printed.
    pub(super) timing: bool,
    /// How answers are written.
    pub(super) format: Format,
    /// Whether there are colours.
    pub(super) colors: bool,
    /// Whether there are colours even where no screen is.
    pub(super) force_colors: bool,
    /// How long an answer may take.
    pub(super) request_timeout: Duration,
    /// Whether a person types.
    pub(super) interactive: bool,
}

/// The shell's state.
pub(super) struct Session {
    pub(super) runtime: Arc<TokioRuntime>,
    pub(super) target: Target,
    pub(super) login: Login,
    pub(super) settings: Settings,
    pub(super) sink: Sink,
    pub(super) clock: RealClock,
    /// The keyspace that USE chose.
    pub(super) keyspace: Option<String>,
    /// The schema as last seen; none before it is needed, and after it changed.
    schema: Option<Arc<Schema>>,
    /// None after the connection broke, or a statement was given up.
    connection: Option<Connection>,
    pub(super) interrupts: Interrupts,
    /// Files of SOURCE that are being read, innermost last.
    pub(super) sources: Vec<std::path::PathBuf>,
}

impl Session {
    /// A session with `target`, not connected yet.
    pub(super) fn new(
        runtime: Arc<TokioRuntime>,
        target: Target,
        login: Login,
        settings: Settings,
    ) -> Result<Self, Failure> {
        let interrupts = runtime.block_on(async { Interrupts::new() });
        let interrupts =
            interrupts.map_err(|error| Failure::Failed(format!("waiting for Ctrl-C: {error}")))?;
        let (sink, clock) = (Sink::new(), RealClock::new());
        let mut session = Session {
            runtime,
            target,
            login,
            settings,
            sink,
            clock,
            keyspace: None,
            schema: None,
            connection: None,
            interrupts,
            sources: Vec::new(),
        };
        if session.settings.page_rows == 0 {
            let screen = session.sink.is_screen() || session.settings.interactive;
            session.settings.page_rows = if screen { PAGE_ROWS_SCREEN } else { PAGE_ROWS_PIPE };
        }
        Ok(session)
    }

    /// The connection, made again if it is gone; with the keyspace that was in use.
    pub(super) fn connect(&mut self) -> Result<&mut Connection, Failure> {
        if self.connection.is_none() {
            let opening = async {
                let runtime = self.runtime.as_ref();
                let network = self.target.network.as_ref();
                let mut connection =
                    Connection::open(network, runtime, self.target.address, &self.login).await?;
                if let Some(keyspace) = &self.keyspace {
                    let text = format!("USE {}", maybe_quote(keyspace));
                    let options = QueryOptions::default();
                    connection.ask(&Request::Query(Query { text: &text, options }), false).await?;
                }
                Ok(connection)
            };
            let limit = self.login.timeout * 2;
            let opened = attend(self.runtime.as_ref(), &mut self.interrupts, limit, opening);
            let opened = self.runtime.block_on(opened);
            self.connection = Some(match opened {
                Ended::Done(opened) => opened?,
                Ended::TimedOut => {
                    return Err(Failure::lost("connecting took too long".to_owned()));
                }
                Ended::Interrupted => return Err(Failure::Interrupted),
            });
        }
        self.connection.as_mut().ok_or(Failure::Interrupted)
    }

    /// Lets the connection go; the next request makes another.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Asks the node. If the answer does not come in time, or the user cancels, the connection is
    /// let go, which ends the request on the node too.
    pub(super) fn ask(
        &mut self,
        request: &Request<'_>,
        tracing: bool,
    ) -> Result<ResponseBody, Failure> {
        self.connect()?;
        let Some(connection) = self.connection.as_mut() else { return Err(Failure::Interrupted) };
        let limit = self.settings.request_timeout;
        let asking = connection.ask(request, tracing);
        let asked = attend(self.runtime.as_ref(), &mut self.interrupts, limit, asking);
        let failure = match self.runtime.block_on(asked) {
            Ended::Done(Ok(body)) => return Ok(body),
            Ended::Done(Err(refused @ Failure::Refused(_))) => return Err(refused),
            Ended::Done(Err(lost)) => lost,
            Ended::TimedOut => Failure::lost(format!(
                "no answer within {} s; --request-timeout waits longer",
                limit.as_secs_f32()
            )),
            Ended::Interrupted => Failure::Interrupted,
        };
        self.connection = None;
        Err(failure)
    }

    /// The options of a statement, as the user has chosen them.
    pub(super) fn options<'a>(&self, paging_state: Option<&'a [u8]>) -> QueryOptions<'a> {
        QueryOptions {
            consistency: self.settings.consistency,
            serial_consistency: Some(self.settings.serial_consistency),
            page_size: self.settings.paging.then_some(self.settings.page_rows),
            paging_state,
            ..QueryOptions::default()
        }
    }

    /// All rows of a query for the shell's own use.
    pub(super) fn rows(&mut self, text: &str) -> Result<Vec<Vec<Option<Value>>>, Failure> {
        let mut all = Vec::new();
        let mut state: Option<Vec<u8>> = None;
        loop {
            let options = QueryOptions {
                page_size: Some(PAGE_ROWS_PIPE),
                paging_state: state.as_deref(),
                ..QueryOptions::default()
            };
            let body = self.ask(&Request::Query(Query { text, options }), false)?;
            let Response::Result(ResultBody::Rows(rows)) = body.response else {
                return Err(Failure::unexpected(&body.response));
            };
            all.extend(schema::values(&rows));
            state = rows.metadata.paging_state;
            if state.is_none() {
                return Ok(all);
            }
        }
    }

    /// The schema, as fresh as this session's own changes.
    pub(super) fn schema(&mut self) -> Result<Arc<Schema>, Failure> {
        if let Some(schema) = &self.schema {
            return Ok(schema.clone());
        }
        let schema = Arc::new(Schema::load(self)?);
        self.schema = Some(schema.clone());
        Ok(schema)
    }

    /// The schema has changed, or may have.
    pub(super) fn forget_schema(&mut self) {
        self.schema = None;
    }

    /// Seconds and fractions since some moment in the past.
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }
}
