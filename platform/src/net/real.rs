//! Sockets of the operating system, through tokio. Nagle's algorithm is off: the server already
//! writes whole batches of answers.

#![expect(clippy::disallowed_methods, reason = "this is the real half of the network seam")]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncWrite;
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
            Ok(Box::new(RealStream(stream)) as Box<dyn Stream>)
        })
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
        Poll::Ready(Ok((Box::new(RealStream(stream)), peer)))
    }
}

/// Room that a read makes in its buffer, once there is something to read: callers that know that
/// more is coming reserve more themselves.
const READ_BYTES_MIN: usize = 4096;

struct RealStream(TcpStream);

impl Stream for RealStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            buffer.reserve(max.min(READ_BYTES_MIN));
            match self.0.try_read_buf(&mut (&mut *buffer).limit(max)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::TokioRuntime;
    use std::future::poll_fn;

    #[test]
    fn bytes_go_both_ways_and_the_end_is_seen() {
        let runtime = TokioRuntime::new(1).unwrap();
        runtime.block_on(async {
            let mut listener = TokioNetwork.bind(([127, 0, 0, 1], 0).into()).await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut client = TokioNetwork.connect(address).await.unwrap();
            let (mut server, _) = poll_fn(|c| listener.poll_accept(c)).await.unwrap();
            assert_eq!(poll_fn(|c| client.poll_write(c, b"hello")).await.unwrap(), 5);
            poll_fn(|c| client.poll_shutdown(c)).await.unwrap();
            let mut buffer = BytesMut::new();
            let mut reads = Vec::new();
            loop {
                let read = poll_fn(|c| server.poll_read(c, &mut buffer, 3)).await.unwrap();
                reads.push(read);
                if read == 0 {
                    break;
                }
            }
            assert_eq!(&buffer[..], b"hello");
            assert!(reads.iter().all(|read| *read <= 3));
        });
    }
}
