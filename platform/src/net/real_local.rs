//! Sockets that have a path instead of an address, for programs of one user on one machine.

use std::fs::{Permissions, set_permissions};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::{Listener, Stream};

/// Who may connect: the owner alone.
const MODE: u32 = 0o600;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 16;

/// Listens on `path`, which must not exist, for this user's programs alone. Must be called inside
/// tokio. The path stays behind when the listener is dropped.
///
/// # Errors
/// Those of the system; a path of more than about 100 bytes is `InvalidInput`.
pub fn bind_local(path: &Path) -> io::Result<Box<dyn Listener>> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Before it listens, so that nobody slips in while the mode is still that of the umask.
    set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(Box::new(LocalListener(socket.listen(BACKLOG)?)))
}

/// Connects to the socket `path`. Must be polled inside tokio.
///
/// # Errors
/// `NotFound` if there is none, `ConnectionRefused` if nobody listens on it any more.
pub async fn connect_local(path: &Path) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(LocalStream(UnixStream::connect(path).await?)))
}

/// What stands for the address of a socket that has none.
fn no_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}

struct LocalListener(UnixListener);

impl Listener for LocalListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(no_address())
    }

    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let (stream, _) = ready!(self.0.poll_accept(context))?;
        Poll::Ready(Ok((Box::new(LocalStream(stream)), no_address())))
    }
}

struct LocalStream(UnixStream);

impl Stream for LocalStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        buffer.reserve(max.min(4096));
        let mut limited = buffer.limit(max);
        std::pin::pin!(self.0.read_buf(&mut limited)).poll(context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
