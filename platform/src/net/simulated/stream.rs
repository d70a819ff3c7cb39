//! One side of a simulated connection, as its host holds it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::connection::{Found, Room, Side};
use super::{Shared, World, dead};
use crate::net::Stream;
use crate::runtime::BoxFuture;

pub(super) struct SimStream {
    shared: Arc<Shared>,
    id: u64,
    side: Side,
    opener: SocketAddr,
    /// Wakes the task when the next bytes arrive.
    timer: Option<(Duration, BoxFuture<'static, ()>)>,
}

impl SimStream {
    pub(super) fn new(shared: Arc<Shared>, id: u64, side: Side, opener: SocketAddr) -> Self {
        SimStream { shared, id, side, opener, timer: None }
    }

    /// Who opened the connection.
    pub(super) fn opener(&self) -> SocketAddr {
        self.opener
    }

    /// Has the task woken at `at`. Bytes arrive in order, so one timer is enough, if an earlier
    /// time replaces a later one.
    fn wake_at(&mut self, at: Duration, context: &mut Context<'_>) {
        if self.timer.as_ref().is_none_or(|(present, _)| *present != at) {
            let pause = at.saturating_sub(self.shared.clock.monotonic());
            self.timer = Some((at, self.shared.runtime.sleep(pause)));
        }
        if let Some((_, timer)) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            self.timer = None;
            context.waker().wake_by_ref();
        }
    }
}

/// Up to when things written towards `side` have arrived by now; what comes later waits for the
/// link to heal. And whether it is cut.
fn arrived_until(world: &World, id: u64, side: Side, now: Duration) -> (Duration, bool) {
    let direction = world.connections.get(&id).map(|c| c.direction(side.other()));
    match direction.and_then(|direction| world.cut.get(&direction)) {
        Some(since) => (now.min(*since), true),
        None => (now, false),
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl Stream for SimStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let (id, side) = (self.id, self.side);
        let found = self.shared.change(|world, now, woken| {
            let (until, is_cut) = arrived_until(world, id, side, now);
            let Some(connection) = world.connections.get_mut(&id) else { return Found::Killed };
            let found = connection.read(side, until, max);
            match found {
                Found::Bytes(_) => connection.made_room(side, woken),
                Found::Nothing(at) => {
                    connection.await_bytes(side, context.waker());
                    return Found::Nothing(at.filter(|_| !is_cut));
                }
                Found::End | Found::Reset | Found::Killed => {}
            }
            found
        });
        match found {
            Found::Bytes(bytes) => {
                buffer.extend_from_slice(&bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            Found::End => Poll::Ready(Ok(0)),
            Found::Reset => Poll::Ready(Err(reset())),
            Found::Killed => Poll::Ready(Err(dead())),
            Found::Nothing(at) => {
                if let Some(at) = at {
                    self.wake_at(at, context);
                }
                Poll::Pending
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (id, side) = (self.id, self.side);
        let room = self.shared.change(|world, now, woken| {
            let (until, is_cut) = arrived_until(world, id, side, now);
            let Some(connection) = world.connections.get(&id) else { return Room::Killed };
            let there = connection.direction(side);
            let at = now + world.delay(there);
            let back = at + world.delay((there.1, there.0));
            let Some(connection) = world.connections.get_mut(&id) else { return Room::Killed };
            match connection.room(side, until) {
                Room::Bytes(room) => {
                    let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
                    connection.write(side, Bytes::copy_from_slice(taken), at, back, woken);
                    Room::Bytes(taken.len())
                }
                Room::None(reset_at) => {
                    connection.await_room(side, context.waker());
                    Room::None(reset_at.filter(|_| !is_cut))
                }
                refused => refused,
            }
        });
        match room {
            Room::Bytes(count) => Poll::Ready(Ok(count)),
            Room::Broken => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Room::Reset => Poll::Ready(Err(reset())),
            Room::Killed => Poll::Ready(Err(dead())),
            Room::None(at) => {
                if let Some(at) = at {
                    self.wake_at(at, context);
                }
                Poll::Pending
            }
        }
    }

    fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (id, side) = (self.id, self.side);
        self.shared.change(|world, now, woken| {
            let Some(there) = world.connections.get(&id).map(|c| c.direction(side)) else { return };
            let at = now + world.delay(there);
            if let Some(connection) = world.connections.get_mut(&id) {
                connection.shut(side, at, woken);
            }
        });
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let (id, side) = (self.id, self.side);
        self.shared.change(|world, now, woken| {
            let Some(there) = world.connections.get(&id).map(|c| c.direction(side)) else { return };
            let at = now + world.delay(there);
            let Some(connection) = world.connections.get_mut(&id) else { return };
            connection.close(side, at, woken);
            if connection.is_over() {
                world.connections.remove(&id);
            }
        });
    }
}
