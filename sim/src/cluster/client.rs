//! A client of a simulated cluster: the native protocol over the simulated network, one request
//! at a time.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use cql_lite::wire::{
    ClientCodec, Consistency, ErrorBody, ErrorKind, ProtocolVersion, Query, QueryOptions, Request,
    Response, ResultBody, Rows,
};
use helenus_platform::net::{Network, SimHost, Stream, write_all};
use helenus_platform::runtime::{BoxFuture, Runtime};

/// How long a client waits for an answer: longer than most writes may take, and not so long that
/// a run is spent waiting for a node that stands still.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long it waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const READ_BYTES: usize = 64 << 10;

/// Why a request has no result.
#[derive(Clone, Debug)]
pub(crate) enum Failed {
    /// It certainly did nothing.
    Refused(ErrorBody),
    /// It may have done something, now or later.
    Unknown(String),
    /// The node says that the client is wrong, which these clients never are.
    Wrong(ErrorBody),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::Refused(error) => write!(formatter, "refused: {}", error.message),
            Failed::Unknown(why) => write!(formatter, "unknown: {why}"),
            Failed::Wrong(error) => write!(formatter, "wrong: {error:?}"),
        }
    }
}

fn judge(error: ErrorBody) -> Failed {
    match &error.kind {
        ErrorKind::Unavailable { .. } | ErrorKind::Bootstrapping => Failed::Refused(error),
        ErrorKind::WriteTimeout { .. }
        | ErrorKind::ReadTimeout { .. }
        | ErrorKind::WriteFailure { .. }
        | ErrorKind::ReadFailure { .. }
        | ErrorKind::Overloaded
        // A node without the metadata's majority answers a change of the schema like that.
        | ErrorKind::Server => Failed::Unknown(format!("{:?}: {}", error.kind, error.message)),
        // A gap that the node knows of, and tells clearly.
        ErrorKind::Invalid if error.message.ends_with("not built yet") => Failed::Refused(error),
        _ => Failed::Wrong(error),
    }
}

/// What a statement is executed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How<'a> {
    pub(crate) consistency: Consistency,
    pub(crate) timestamp: Option<i64>,
    pub(crate) page: Option<(i32, Option<&'a [u8]>)>,
}

impl How<'_> {
    pub(crate) fn at(consistency: Consistency) -> Self {
        How { consistency, timestamp: None, page: None }
    }
}

/// A connection to one node.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    codec: ClientCodec,
    runtime: Arc<dyn Runtime>,
    stream_id: i16,
}

impl Client {
    /// Connects to the node at `address`.
    pub(crate) async fn connect(
        host: &SimHost,
        runtime: Arc<dyn Runtime>,
        address: SocketAddr,
    ) -> Result<Client, String> {
        let connecting = host.connect(address);
        let stream = within(&runtime, CONNECT_TIMEOUT, connecting).await;
        let stream = stream.ok_or("connecting takes too long")?.map_err(|e| e.to_string())?;
        let codec = ClientCodec::new(ProtocolVersion::V5, false);
        let mut client = Client { stream, codec, runtime, stream_id: 0 };
        let options = client.codec.startup_options();
        match client.call(&Request::Startup(options)).await? {
            Response::Ready => Ok(client),
            other => Err(format!("the node answers {other:?} to STARTUP")),
        }
    }

    /// Executes a statement. After [`Failed::Unknown`] the connection may be of no more use.
    pub(crate) async fn query(&mut self, text: &str, how: How<'_>) -> Result<Rows, Failed> {
        let options = QueryOptions {
            consistency: how.consistency,
            timestamp: how.timestamp,
            page_size: how.page.map(|(rows, _)| rows),
            paging_state: how.page.and_then(|(_, state)| state),
            ..QueryOptions::default()
        };
        let request = Request::Query(Query { text, options });
        match self.call(&request).await.map_err(Failed::Unknown)? {
            Response::Result(ResultBody::Rows(rows)) => Ok(rows),
            Response::Result(_) => Ok(Rows::default()),
            Response::Error(error) => Err(judge(error)),
            other => Err(Failed::Unknown(format!("an answer that is none: {other:?}"))),
        }
    }

    async fn call(&mut self, request: &Request<'_>) -> Result<Response, String> {
        self.stream_id = (self.stream_id + 1) % 1_000;
        let mut output = BytesMut::new();
        self.codec.encode(self.stream_id, request, false, &mut output);
        let runtime = self.runtime.clone();
        let answer: BoxFuture<'_, Result<Response, String>> = Box::pin(async move {
            let written = write_all(&mut *self.stream, &output).await;
            written.map_err(|error| error.to_string())?;
            loop {
                match self.codec.decode().map_err(|error| error.to_string())? {
                    Some((stream, body)) if stream == self.stream_id => return Ok(body.response),
                    Some(_) => {}
                    None => self.fill().await?,
                }
            }
        });
        within(&runtime, TIMEOUT, answer).await.unwrap_or_else(|| Err("no answer".to_owned()))
    }

    async fn fill(&mut self) -> Result<(), String> {
        let (stream, codec) = (&mut self.stream, &mut self.codec);
        let read = |context: &mut Context<'_>| stream.poll_read(context, codec.input(), READ_BYTES);
        match poll_fn(read).await {
            Ok(0) => Err("the node closed the connection".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What `future` comes to, if it does in time.
pub(crate) async fn within<T>(
    runtime: &Arc<dyn Runtime>,
    timeout: Duration,
    mut future: BoxFuture<'_, T>,
) -> Option<T> {
    let mut timer = runtime.sleep(timeout);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}
