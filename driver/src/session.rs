//! A session on a node inside this process.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use cql_lite::wire::frame::HEADER_BYTES;
use cql_lite::wire::{
    BoundValue, Execute, FrameHeader, Prepare, ProtocolVersion, Query, QueryOptions, Response,
    ResponseBody, ResponseWriter, ResultBody, ValuesBuilder, decode_response,
};
use helenus::config::Config;
use helenus::node::{Node, World};
use helenus::server::{Client, Handled, Handler, RequestContext as Context, TurnBudget};
use helenus_platform::clock::RealClock;
use helenus_platform::disk::RealDisk;
use helenus_platform::random::RealRandom;
use helenus_platform::runtime::{TokioRuntime, block_on};
use helenus_platform::signal::Slot;

use crate::error::Error;
use crate::rows::Rows;
use crate::values::ToCql;

const VERSION: ProtocolVersion = ProtocolVersion::V5;
/// Work that a statement may do on the caller's thread before it goes on in the background.
const TURN_UNITS: u64 = 4_000;

/// A prepared statement.
#[derive(Clone, Debug)]
pub struct Prepared {
    id: Bytes,
    metadata_id: Bytes,
    text: Arc<str>,
}

/// A node inside this process. Clones share it.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    handler: Arc<dyn Handler>,
    keyspace: Mutex<Option<Arc<str>>>,
    /// The node and its threads, when the session opened it itself.
    opened: Option<(Node, Arc<TokioRuntime>)>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("opened", &self.inner.opened.is_some()).finish()
    }
}

impl Session {
    /// Opens the data directory `dir`, creating it if there is none.
    ///
    /// # Errors
    /// A directory in use is refused with who holds it; a damaged one with the file.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let config = Config { data_dir: dir.as_ref().to_path_buf(), ..Config::default() };
        Self::open_with(config)
    }

    /// Opens the data directory that `config` names.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(config: Config) -> Result<Self, Error> {
        let runtime = Arc::new(TokioRuntime::new(1).map_err(Error::Threads)?);
        let world = World {
            disk: Arc::new(RealDisk::new()),
            clock: Arc::new(RealClock::new()),
            random: Arc::new(RealRandom::new().map_err(Error::Threads)?),
            runtime: runtime.clone(),
        };
        let node = Node::open(world, config)?;
        let handler: Arc<dyn Handler> = Arc::new(node.clone());
        let opened = Some((node, runtime));
        Ok(Self { inner: Arc::new(Inner { handler, keyspace: Mutex::new(None), opened }) })
    }

    /// A session on a node that somebody else has opened, and will close.
    #[must_use]
    pub fn on(handler: Arc<dyn Handler>) -> Self {
        Self { inner: Arc::new(Inner { handler, keyspace: Mutex::new(None), opened: None }) }
    }

    /// Executes a statement without values and waits for its answer, on this thread.
    ///
    /// # Errors
    /// [`Error::Refused`] carries what a client over the network would be told.
    pub fn run(&self, statement: &str) -> Result<Rows, Error> {
        block_on(self.query(statement, &[]))
    }

    /// Executes a statement with values for its markers. An answer to a write means that it is as
    /// durable as the node is configured for.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn query(&self, statement: &str, values: &[&dyn ToCql]) -> Result<Rows, Error> {
        let values = bound(values)?;
        let options = QueryOptions { values: values.values(), ..QueryOptions::default() };
        let query = Query { text: statement, options };
        self.ask(|handler, context, out| handler.query(context, &query, out)).await.map(Rows::new)
    }

    /// Prepares a statement.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn prepare(&self, statement: &str) -> Result<Prepared, Error> {
        let prepare = Prepare { text: statement, keyspace: None };
        let body =
            self.ask(|handler, context, out| handler.prepare(context, &prepare, out)).await?;
        let Response::Result(ResultBody::Prepared(prepared)) = body.response else {
            return Err(Error::Answer(format!("PREPARE was answered with {:?}", body.response)));
        };
        Ok(Prepared {
            id: prepared.id.into(),
            metadata_id: prepared.result_metadata_id.into(),
            text: statement.into(),
        })
    }

    /// Executes a prepared statement.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn execute(&self, prepared: &Prepared, values: &[&dyn ToCql]) -> Result<Rows, Error> {
        self.execute_page(prepared, values, None, None).await
    }

    /// Executes a prepared statement for a page of at most `page_size` rows, beginning where
    /// `paging_state` (of [`Rows::paging_state`]) says.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn execute_page(
        &self,
        prepared: &Prepared,
        values: &[&dyn ToCql],
        page_size: Option<i32>,
        paging_state: Option<&[u8]>,
    ) -> Result<Rows, Error> {
        let values = bound(values)?;
        let values = values.values();
        let options = QueryOptions { values, page_size, paging_state, ..QueryOptions::default() };
        let execute =
            Execute { id: &prepared.id, result_metadata_id: Some(&prepared.metadata_id), options };
        let answered =
            self.ask(|handler, context, out| handler.execute(context, &execute, out)).await;
        match answered {
            // The node has forgotten the statement, as it may: it is prepared once more.
            Err(Error::Refused(error)) if error.kind.code() == UNPREPARED => {
                self.prepare(&prepared.text).await?;
                self.ask(|handler, context, out| handler.execute(context, &execute, out))
                    .await
                    .map(Rows::new)
            }
            answered => answered.map(Rows::new),
        }
    }

    /// Closes the node, if this session opened it: syncs what is written and lets the directory
    /// go. Other clones of the session are refused from then on. Dropping the last clone does
    /// the same without telling how it went.
    ///
    /// # Errors
    /// What was acknowledged is safe all the same.
    pub fn close(self) -> Result<(), Error> {
        self.inner.close()
    }

    async fn ask(
        &self,
        call: impl FnOnce(&dyn Handler, &mut Context<'_>, &mut ResponseWriter<'_>) -> Handled,
    ) -> Result<ResponseBody, Error> {
        let handler = self.inner.handler.as_ref();
        let client = Client {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            version: VERSION,
            keyspace: self.lock_keyspace().clone(),
            options: Arc::default(),
        };
        let mut frame = BytesMut::new();
        let handled = {
            let mut budget = TurnBudget { units: TURN_UNITS };
            let mut context =
                Context { client: &client, stream: 0, tracing: false, budget: &mut budget };
            let mut writer = ResponseWriter::new(&mut frame, VERSION, 0);
            match call(handler, &mut context, &mut writer) {
                Handled::Answered { hold_until } => {
                    let finished = writer.finish();
                    Ok((hold_until, finished.keyspace))
                }
                Handled::Pending(future) => {
                    writer.abandon();
                    Err(future)
                }
            }
        };
        let (hold_until, keyspace) = match handled {
            Ok(answered) => answered,
            Err(future) => {
                let answer = future.await;
                frame = answer.frame;
                (answer.hold_until, answer.keyspace)
            }
        };
        if let Some(position) = hold_until {
            durable(handler, position).await?;
        }
        if let Some(keyspace) = keyspace {
            *self.lock_keyspace() = Some(keyspace.into());
        }
        decode(&frame)
    }

    fn lock_keyspace(&self) -> std::sync::MutexGuard<'_, Option<Arc<str>>> {
        self.inner.keyspace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn close(&self) -> Result<(), Error> {
        let Some((node, runtime)) = &self.opened else { return Ok(()) };
        let closed = block_on(node.close());
        runtime.join_workers();
        closed.map_err(Error::Open)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody is left to be told; the next open recovers what is not done here.
        drop(self.close());
    }
}

/// The native protocol's code for a statement that must be prepared again.
const UNPREPARED: u32 = 0x2500;

fn bound(values: &[&dyn ToCql]) -> Result<ValuesBuilder, Error> {
    let mut builder = ValuesBuilder::positional();
    for value in values {
        let bytes = value.to_cql();
        let value = bytes.as_deref().map_or(BoundValue::Null, BoundValue::Bytes);
        builder.push(value).map_err(Error::Values)?;
    }
    Ok(builder)
}

/// Waits until the answer to a write at `position` may be given.
async fn durable(node: &dyn Handler, position: u64) -> Result<(), Error> {
    node.write_out(position);
    let mut slot = Slot::default();
    let waited = poll_fn(|context| {
        node.watermark_signal().register(&mut slot, context.waker());
        if node.watermark() >= position {
            return Poll::Ready(Ok(()));
        }
        match node.failure() {
            Some(error) => Poll::Ready(Err(Error::Refused(error))),
            None => Poll::Pending,
        }
    })
    .await;
    node.watermark_signal().unregister(&mut slot);
    waited
}

fn decode(frame: &[u8]) -> Result<ResponseBody, Error> {
    let unclear = |what: &dyn std::fmt::Display| Error::Answer(what.to_string());
    let header = FrameHeader::parse(frame).ok_or_else(|| unclear(&"it has no header"))?;
    let body = frame.get(HEADER_BYTES..).ok_or_else(|| unclear(&"it has no body"))?;
    let opcode = cql_lite::wire::Opcode::from_byte(header.opcode)
        .ok_or_else(|| unclear(&"its opcode is unknown"))?;
    let body =
        decode_response(VERSION, header.flags, opcode, body).map_err(|error| unclear(&error))?;
    match body.response {
        Response::Error(error) => Err(Error::Refused(error)),
        _ => Ok(body),
    }
}
