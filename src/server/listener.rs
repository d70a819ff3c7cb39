//! Accepts connections, as many as the limits allow, and lets them end in order.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use helenus_platform::net::{Listener, Network, Stream, accept_until};
use helenus_platform::runtime::Runtime;
use helenus_platform::signal::Slot;
use helenus_platform::stop::Stop;

use super::admission::Admission;
use super::connection::{Connection, Services};
use super::socket::Socket;
use crate::telemetry::LineLimiter;

/// A running server.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    services: Services,
    runtime: Arc<dyn Runtime>,
    stop: Arc<Stop>,
    admission: Arc<Admission>,
    /// Lines about connections that were refused.
    lines: LineLimiter,
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
            admission: Admission::new(&services.limits, services.metrics.clone()),
            services,
            runtime: runtime.clone(),
            stop: Arc::default(),
            lines: LineLimiter::default(),
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
        self.shared.admission.open()
    }

    /// Accepts no more, lets every connection answer what it has taken, and waits for them, but
    /// not for ever.
    pub async fn stop(&self) {
        self.shared.stop.raise();
        let mut late = self.shared.runtime.sleep(self.shared.services.limits.drain_timeout);
        let mut slot = Slot::default();
        poll_fn(|context| {
            self.shared.admission.closed.register(&mut slot, context.waker());
            if self.connections() == 0 {
                return Poll::Ready(());
            }
            late.as_mut().poll(context)
        })
        .await;
        self.shared.admission.closed.unregister(&mut slot);
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

/// Starts a connection's task, or closes the connection if there are too many, as Cassandra does:
/// without a word, which costs the least and which drivers take for a node that is not there.
fn serve(stream: Box<dyn Stream>, peer: SocketAddr, shared: &Arc<Shared>) {
    let admitted = match shared.admission.admit(peer) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            if let Some(left_out) = shared.lines.admit(shared.services.clock.monotonic()) {
                let limit = refusal.key();
                tracing::warn!(client = %peer, limit, left_out, "refused: too many connections");
            }
            return;
        }
    };
    let connection = Connection::new(shared.services.clone(), peer);
    let socket = Socket::new(stream, connection, shared.runtime.clone(), shared.stop.clone());
    let task = async move {
        let ended = socket.await;
        if let Err(error) = ended {
            tracing::debug!(client = %peer, %error, "connection ended");
        }
        drop(admitted);
    };
    shared.runtime.spawn("connection", Box::pin(task));
}
