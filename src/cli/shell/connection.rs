//! One connection to a node: the handshake, then requests and their answers.
//!
//! The newest protocol version that both sides speak is used, with LZ4 if the node offers it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use cql_lite::wire::{
    ClientCodec, ErrorBody, ErrorKind, ProtocolVersion, RESPONSE_BYTES_MAX, Request, Response,
    ResponseBody,
};
use helenus_platform::net::{Network, Stream, write_all};
use helenus_platform::runtime::Runtime;

use super::failure::Failure;
use super::wait::within;

/// Most bytes that one read takes from the socket.
const READ_BYTES_MAX: usize = 256 << 10;

/// How to introduce oneself to a node.
#[derive(Debug, Clone)]
pub(super) struct Login {
    /// The user; none to be asked for one only if the node wants it.
    pub(super) username: Option<String>,
    /// Its password.
    pub(super) password: Option<String>,
    /// The one version to speak; none to try all, newest first.
    pub(super) version: Option<ProtocolVersion>,
    /// Whether to ask for LZ4.
    pub(super) compression: bool,
    /// How long connecting and the handshake may take.
    pub(super) timeout: Duration,
}

/// An open connection.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    codec: ClientCodec,
    out: BytesMut,
    next_stream: i16,
    lz4: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("version", &self.version()).finish()
    }
}

impl Connection {
    /// Connects to `address` and logs in, within the time that `login` allows.
    pub(super) async fn open(
        network: &dyn Network,
        runtime: &dyn Runtime,
        address: SocketAddr,
        login: &Login,
    ) -> Result<Self, Failure> {
        let opened = within(runtime, login.timeout, Self::negotiate(network, address, login)).await;
        opened.unwrap_or_else(|| {
            let seconds = login.timeout.as_secs_f32();
            let hint = "--connect-timeout waits longer";
            Err(Failure::lost(format!("no connection to {address} within {seconds} s; {hint}")))
        })
    }

    async fn negotiate(
        network: &dyn Network,
        address: SocketAddr,
        login: &Login,
    ) -> Result<Self, Failure> {
        let all = ProtocolVersion::ALL;
        let versions: Vec<_> = login
            .version
            .map_or_else(|| all.iter().rev().copied().collect(), |version| vec![version]);
        let mut refused = None;
        for version in versions {
            let stream = network.connect(address).await;
            let stream = stream
                .map_err(|error| Failure::lost(format!("cannot connect to {address}: {error}")))?;
            match Self::greet(stream, version, login).await {
                Err(Failure::Refused(body)) if body.kind == ErrorKind::Protocol => {
                    refused = Some(Failure::Refused(body));
                }
                done => return done,
            }
        }
        Err(refused.unwrap_or_else(|| Failure::lost("no protocol version to speak".to_owned())))
    }

    /// Asks what the node supports, starts the connection and logs in.
    async fn greet(
        stream: Box<dyn Stream>,
        version: ProtocolVersion,
        login: &Login,
    ) -> Result<Self, Failure> {
        let codec = ClientCodec::new(version, false);
        let mut connection =
            Self { stream, codec, out: BytesMut::new(), next_stream: 0, lz4: false };
        let supported = connection.ask(&Request::Options, false).await?;
        let Response::Supported(options) = supported.response else {
            return Err(Failure::unexpected(&supported.response));
        };
        let offers = |name: &str, value: &str| {
            options.iter().any(|(key, values)| key == name && values.iter().any(|v| v == value))
        };
        connection.lz4 = login.compression && offers("COMPRESSION", "lz4");
        connection.codec = ClientCodec::new(version, connection.lz4);
        let mut startup = connection.codec.startup_options();
        startup.push(("DRIVER_NAME", "helenus shell"));
        startup.push(("DRIVER_VERSION", env!("CARGO_PKG_VERSION")));
        let answer = connection.ask(&Request::Startup(startup), false).await?;
        match answer.response {
            Response::Ready => Ok(connection),
            Response::Authenticate(_) => connection.authenticate(login).await,
            other => Err(Failure::unexpected(&other)),
        }
    }

    async fn authenticate(mut self, login: &Login) -> Result<Self, Failure> {
        let (Some(username), Some(password)) = (&login.username, &login.password) else {
            return Err(Failure::LoginNeeded);
        };
        // SASL PLAIN: no authorization id, the user, the password.
        let token = format!("\0{username}\0{password}");
        let answer = self.ask(&Request::AuthResponse(Some(token.as_bytes())), false).await?;
        match answer.response {
            Response::AuthSuccess(_) => Ok(self),
            other => Err(Failure::unexpected(&other)),
        }
    }

    /// The version that is spoken.
    pub(super) fn version(&self) -> ProtocolVersion {
        self.codec.version()
    }

    /// Whether what is sent is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        self.lz4
    }

    /// Sends a request and waits for its answer; an answer that is an error is
    /// [`Failure::Refused`].
    pub(super) async fn ask(
        &mut self,
        request: &Request<'_>,
        tracing: bool,
    ) -> Result<ResponseBody, Failure> {
        let stream = self.send(request, tracing).await?;
        loop {
            let (answered, body) = self.receive().await?;
            if answered != stream {
                // An event; nothing else is under way.
                continue;
            }
            return match body.response {
                Response::Error(error) => Err(Failure::Refused(error)),
                _ => Ok(body),
            };
        }
    }

    /// Sends a request and returns the stream that its answer will carry.
    pub(super) async fn send(
        &mut self,
        request: &Request<'_>,
        tracing: bool,
    ) -> Result<i16, Failure> {
        let stream = self.queue(request, tracing);
        self.flush().await?;
        Ok(stream)
    }

    /// Appends a request to what the next [`Self::flush`] sends. Callers keep the number of
    /// requests under way far below the 32768 streams that there are.
    pub(super) fn queue(&mut self, request: &Request<'_>, tracing: bool) -> i16 {
        let stream = self.next_stream;
        self.next_stream = stream.checked_add(1).unwrap_or(0);
        self.codec.encode(stream, request, tracing, &mut self.out);
        stream
    }

    /// Bytes that wait to be sent.
    pub(super) fn queued_bytes(&self) -> usize {
        self.out.len()
    }

    /// Sends what is queued.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        let sent = write_all(self.stream.as_mut(), &self.out).await;
        self.out.clear();
        sent.map_err(|error| lost(&error))
    }

    /// An answer that has come already, if there is one.
    pub(super) fn received(&mut self) -> Result<Option<(i16, ResponseBody)>, Failure> {
        self.codec.decode().map_err(|error| Failure::lost(format!("an answer is broken: {error}")))
    }

    /// The next answer, and its stream.
    pub(super) async fn receive(&mut self) -> Result<(i16, ResponseBody), Failure> {
        loop {
            if let Some(answer) = self.received()? {
                return Ok(answer);
            }
            let input = self.codec.input();
            if input.len() > RESPONSE_BYTES_MAX {
                return Err(Failure::lost("an answer is too large".to_owned()));
            }
            let stream = &mut self.stream;
            let read = poll_fn(|context| stream.poll_read(context, input, READ_BYTES_MAX)).await;
            if read.map_err(|error| lost(&error))? == 0 {
                return Err(lost(&io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

fn lost(error: &io::Error) -> Failure {
    Failure::lost(match error.kind() {
        io::ErrorKind::UnexpectedEof => "the node closed the connection".to_owned(),
        _ => format!("the connection broke: {error}"),
    })
}

/// Whether an error says that the request was wrong, and not that the node failed.
pub(super) fn is_wrong_request(error: &ErrorBody) -> bool {
    matches!(
        error.kind,
        ErrorKind::Syntax
            | ErrorKind::Invalid
            | ErrorKind::Config
            | ErrorKind::Unauthorized
            | ErrorKind::BadCredentials
            | ErrorKind::AlreadyExists { .. }
            | ErrorKind::Protocol
            | ErrorKind::FunctionFailure { .. }
            | ErrorKind::Unprepared { .. }
    )
}
