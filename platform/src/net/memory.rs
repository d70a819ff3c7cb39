//! A network inside one process: listeners in a table, connections as pairs of bounded buffers.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use super::{Listener, Network, Stream};
use crate::runtime::BoxFuture;

/// What one direction of a connection holds before the writer has to wait.
const PIPE_BYTES_MAX: usize = 64 << 10;
/// Connections that wait to be accepted.
const BACKLOG_MAX: usize = 128;

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// The writer is gone or has said that it is done.
    ended: bool,
    /// The reader is gone.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Shared<T> = Arc<Mutex<T>>;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[derive(Default)]
struct Backlog {
    waiting: VecDeque<(MemoryStream, SocketAddr)>,
    acceptor: Option<Waker>,
    closed: bool,
}

/// The network; clones are the same one.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    listeners: Shared<BTreeMap<SocketAddr, Shared<Backlog>>>,
    next_port: Shared<u16>,
}

impl std::fmt::Debug for MemoryNetwork {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(lock(&self.listeners).keys()).finish()
    }
}

impl MemoryNetwork {
    /// A network with nobody on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn free_port(&self) -> u16 {
        let mut next = lock(&self.next_port);
        *next = next.wrapping_add(1).max(1);
        // Above the ports that programs are configured with.
        next.saturating_add(32_768)
    }
}

impl Network for MemoryNetwork {
    fn bind(&self, mut address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            if address.port() == 0 {
                address.set_port(self.free_port());
            }
            let backlog = Shared::<Backlog>::default();
            let mut listeners = lock(&self.listeners);
            if listeners.get(&address).is_some_and(|old| !lock(old).closed) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            listeners.insert(address, backlog.clone());
            Ok(Box::new(MemoryListener { address, backlog }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let backlog = lock(&self.listeners).get(&address).cloned();
            let backlog = backlog.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (there, back) = (Shared::<Pipe>::default(), Shared::<Pipe>::default());
            let ours = MemoryStream { input: back.clone(), output: there.clone() };
            let theirs = MemoryStream { input: there, output: back };
            let from = SocketAddr::new(address.ip(), self.free_port());
            let acceptor = {
                let mut backlog = lock(&backlog);
                if backlog.closed || backlog.waiting.len() >= BACKLOG_MAX {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                backlog.waiting.push_back((theirs, from));
                backlog.acceptor.take()
            };
            wake(acceptor);
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

struct MemoryListener {
    address: SocketAddr,
    backlog: Shared<Backlog>,
}

impl Listener for MemoryListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let mut backlog = lock(&self.backlog);
        match backlog.waiting.pop_front() {
            Some((stream, from)) => Poll::Ready(Ok((Box::new(stream), from))),
            None => {
                backlog.acceptor = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let refused = {
            let mut backlog = lock(&self.backlog);
            backlog.closed = true;
            std::mem::take(&mut backlog.waiting)
        };
        drop(refused);
    }
}

struct MemoryStream {
    input: Shared<Pipe>,
    output: Shared<Pipe>,
}

impl Stream for MemoryStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.input);
        if pipe.bytes.is_empty() {
            if pipe.ended {
                return Poll::Ready(Ok(0));
            }
            pipe.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = pipe.bytes.len().min(max);
        buffer.extend(pipe.bytes.drain(..count));
        let writer = pipe.writer.take();
        drop(pipe);
        wake(writer);
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.output);
        if pipe.abandoned || pipe.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = PIPE_BYTES_MAX.saturating_sub(pipe.bytes.len());
        if room == 0 && !bytes.is_empty() {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        pipe.bytes.extend(bytes.iter().take(count));
        let reader = pipe.reader.take();
        drop(pipe);
        wake(reader);
        Poll::Ready(Ok(count))
    }

    fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reader = {
            let mut pipe = lock(&self.output);
            pipe.ended = true;
            pipe.reader.take()
        };
        wake(reader);
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let reader = {
            let mut pipe = lock(&self.output);
            pipe.ended = true;
            pipe.reader.take()
        };
        let writer = {
            let mut pipe = lock(&self.input);
            pipe.abandoned = true;
            pipe.writer.take()
        };
        wake(reader);
        wake(writer);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::clock::ManualClock;
    use crate::runtime::{Runtime, SimRuntime};

    #[test]
    fn bytes_arrive_in_order_and_a_slow_reader_stops_the_writer() {
        let runtime = SimRuntime::new(3, Arc::new(ManualClock::new(0)));
        let network = MemoryNetwork::new();
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let client = network.clone();
        let spawner = runtime.clone();
        let received = runtime.block_on(100_000, async move {
            let mut listener = network.bind(address).await.unwrap();
            let address = listener.local_addr().unwrap();
            spawner.spawn(
                "client",
                Box::pin(async move {
                    let mut stream = client.connect(address).await.unwrap();
                    let sent: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
                    let mut at = 0;
                    while at < sent.len() {
                        at += poll_fn(|cx| stream.poll_write(cx, &sent[at..])).await.unwrap();
                    }
                }),
            );
            let (mut stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
            let mut received = BytesMut::new();
            while poll_fn(|cx| stream.poll_read(cx, &mut received, 1000)).await.unwrap() > 0 {}
            received
        });
        let received = received.unwrap();
        assert_eq!(received.len(), 300_000);
        assert!(received.iter().enumerate().all(|(i, byte)| *byte == i as u8));
    }

    #[test]
    fn nobody_listening_is_refused() {
        let runtime = SimRuntime::new(3, Arc::new(ManualClock::new(0)));
        let network = MemoryNetwork::new();
        let refused = runtime.block_on(100, async move {
            network.connect("127.0.0.1:9".parse().unwrap()).await.err().map(|e| e.kind())
        });
        assert_eq!(refused, Ok(Some(io::ErrorKind::ConnectionRefused)));
    }
}
