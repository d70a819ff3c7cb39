//! Byte streams between machines, as poll functions over boxed traits: real sockets, pairs of
//! buffers in memory, or the simulated network of a whole cluster.

pub mod memory;
pub mod real;
mod real_local;
pub mod simulated;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;

pub use memory::MemoryNetwork;
pub use real::TokioNetwork;
pub use real_local::{bind_local, connect_local};
pub use simulated::{Delays, SimHost, SimNetwork};

use crate::runtime::{BoxFuture, Runtime};
use crate::signal::Slot;
use crate::stop::Stop;

/// How long to wait after a failed accept: when the process has no more file descriptors, trying
/// again at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Opens listeners and connections.
pub trait Network: Send + Sync {
    /// Listens on `address`; port 0 picks a free one.
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// Connects to `address`.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;

    /// The addresses that the name `host` means now. Holds up no thread that runs tasks.
    fn resolve(&self, host: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        let known = host.parse::<IpAddr>().map(|ip| vec![ip]);
        let unknown = |_| io::Error::new(io::ErrorKind::NotFound, "this network knows no names");
        Box::pin(std::future::ready(known.map_err(unknown)))
    }

    /// The machine's own address on the way to others, if it has one.
    fn own_address(&self) -> Option<IpAddr> {
        None
    }
}

/// Accepts connections on one address.
pub trait Listener: Send {
    /// The address that it listens on, with the real port.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next connection, and who opened it.
    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>>;
}

/// A connection: bytes in order, both ways.
pub trait Stream: Send {
    /// Appends at most `max` bytes to `buffer` and says how many; 0 is the end of the stream.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        max: usize,
    ) -> Poll<io::Result<usize>>;

    /// Writes a prefix of `bytes` and says how long it was.
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Tells the other side that nothing more will be written.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Hands every connection to `each`, until `stop` is raised. `what` accepts them, for the log.
pub async fn accept_until(
    mut listener: Box<dyn Listener>,
    what: &'static str,
    stop: &Stop,
    runtime: &dyn Runtime,
    mut each: impl FnMut(Box<dyn Stream>, SocketAddr),
) {
    let mut slot = Slot::default();
    loop {
        let accepted = poll_fn(|context| {
            if stop.poll(&mut slot, context.waker()) {
                return Poll::Ready(None);
            }
            listener.poll_accept(context).map(Some)
        });
        match accepted.await {
            None => return,
            Some(Ok((stream, peer))) => each(stream, peer),
            Some(Err(error)) => {
                tracing::warn!(%error, "{what} cannot accept a connection");
                runtime.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Writes all of `bytes`.
pub async fn write_all(stream: &mut dyn Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|context| stream.poll_write(context, bytes)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}
