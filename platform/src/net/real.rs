//! Sockets of the operating system, through tokio. Nagle's algorithm is off: the server already
//! writes whole batches of answers.

#![expect(clippy::disallowed_methods, reason = "this is the real half of the network seam")]

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::{Listener, Network, Stream};
use crate::runtime::BoxFuture;

/// The operating system's network. Its futures must be polled inside tokio.
#[derive(Debug, Default, Clone, Copy)]
pub struct TokioNetwork;

impl Network for TokioNetwork {
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(RealListener(listener)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(RealStream::new(stream)) as Box<dyn Stream>)
        })
    }

    fn resolve(&self, host: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            // Tokio asks the system on a thread of its own.
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    fn own_address(&self) -> Option<IpAddr> {
        // Connecting a datagram socket sends nothing: the system only chooses a way, and with it
        // the address to go out by. The address is one of those that are for documentation.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified()).then_some(ip)
    }
}

struct RealListener(TcpListener);

impl Listener for RealListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let (stream, peer) = ready!(self.0.poll_accept(context))?;
        // Fails only if the peer is gone already, which the first read will find out too.
        let _ = stream.set_nodelay(true);
        Poll::Ready(Ok((Box::new(RealStream::new(stream)), peer)))
    }
}

/// Room that a read makes in its buffer at first, once there is something to read. A read that
/// fills it makes the next one ask for twice as much, up to the maximum.
const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES_MAX: usize = 64 << 10;

struct RealStream {
    socket: TcpStream,
    /// Room that the next read makes.
    room: usize,
}

impl RealStream {
    fn new(socket: TcpStream) -> Self {
        RealStream { socket, room: READ_BYTES_MIN }
    }
}

impl Stream for RealStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        // An idle connection keeps no buffer: room is made only when there is something to read.
        ready!(self.socket.poll_read_ready(context))?;
        buffer.reserve(max.min(self.room));
        let room = (buffer.capacity() - buffer.len()).min(max);
        // Tokio's own read, and not `try_read_buf`: it knows that a short read has emptied the
        // socket, which saves the system call that would only say so.
        let mut limited = buffer.limit(max);
        let read = ready!(pin!(self.socket.read_buf(&mut limited)).poll(context))?;
        if read == room {
            self.room = (self.room * 2).min(READ_BYTES_MAX);
        } else if read < self.room / 4 {
            self.room = (self.room / 2).max(READ_BYTES_MIN);
        }
        Poll::Ready(Ok(read))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
