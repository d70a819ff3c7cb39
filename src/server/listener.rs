//! Accepts connections, as many as the limits allow, and lets them end in order.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use helenus_platform::net::{Listener, Network, Stream, accept_until};
use helenus_platform::runtime::Runtime;
use helenus_platform::signal::{Signal, Slot};
use helenus_platform::stop::Stop;

use super::connection::{Connection, Services};
use super::socket::Socket;

/// A running server.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    services: Services,
    runtime: Arc<dyn Runtime>,
    stop: Arc<Stop>,
    connections: Connections,
}

/// Counts the open connections.
#[derive(Default)]
struct Connections {
    open: AtomicUsize,
    closed: Signal,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `address` and serves from now on.
    pub async fn start(
        network: &dyn Network,
        runtime: Arc<dyn Runtime>,
        address: SocketAddr,
        services: Services,
    ) -> io::Result<Server> {
        let listener = network.bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            services,
            runtime: runtime.clone(),
            stop: Arc::default(),
            connections: Connections::default(),
        });
        runtime.spawn("accept", Box::pin(accept(listener, shared.clone())));
        Ok(Server { address, shared })
    }

    /// The address that it listens on, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.connections.open.load(Ordering::SeqCst)
    }

    /// Accepts no more, lets every connection answer what it has taken, and waits for them, but
    /// not for ever.
    pub async fn stop(&self) {
        self.shared.stop.raise();
        let mut late = self.shared.runtime.sleep(self.shared.services.limits.drain_timeout);
        let mut slot = Slot::default();
        poll_fn(|context| {
            self.shared.connections.closed.register(&mut slot, context.waker());
            if self.connections() == 0 {
                return Poll::Ready(());
            }
            late.as_mut().poll(context)
        })
        .await;
        self.shared.connections.closed.unregister(&mut slot);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.raise();
    }
}

async fn accept(listener: Box<dyn Listener>, shared: Arc<Shared>) {
    let each = |stream, peer| serve(stream, peer, &shared);
    accept_until(listener, "the server", &shared.stop, &*shared.runtime, each).await;
}

/// Starts a connection's task, or closes the connection if there are too many.
fn serve(stream: Box<dyn Stream>, peer: SocketAddr, shared: &Arc<Shared>) {
    let max = shared.services.limits.connections_max;
    let metrics = &shared.services.metrics;
    let open = shared.connections.open.fetch_add(1, Ordering::SeqCst);
    metrics.connections.add(1);
    let guard = Open { shared: shared.clone() };
    if open >= max {
        metrics.refused.increment();
        tracing::warn!(client = %peer, max, "refused: too many connections");
        return;
    }
    metrics.accepted.increment();
    let connection = Connection::new(shared.services.clone(), peer);
    let socket = Socket::new(stream, connection, shared.runtime.clone(), shared.stop.clone());
    let task = async move {
        let ended = socket.await;
        if let Err(error) = ended {
            tracing::debug!(client = %peer, %error, "connection ended");
        }
        drop(guard);
    };
    shared.runtime.spawn("connection", Box::pin(task));
}

/// One open connection, until it is dropped.
struct Open {
    shared: Arc<Shared>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.services.metrics.connections.add(-1);
        self.shared.connections.open.fetch_sub(1, Ordering::SeqCst);
        self.shared.connections.closed.notify_all();
    }
}
