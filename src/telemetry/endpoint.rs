//! `GET /metrics` over HTTP/1.0: just enough for Prometheus and curl. It is meant for the loopback
//! address; it has no authentication.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use helenus_platform::net::{Listener, Network, Stream, accept_until, write_all};
use helenus_platform::runtime::Runtime;
use helenus_platform::stop::Stop;

use super::registry::Registry;

/// Longest request.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// How long a request, and the reading of its answer, may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Exchanges at a time; more are closed.
const EXCHANGES_MAX: usize = 16;

/// The running endpoint; it ends when this is dropped.
pub struct Endpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    registry: Arc<Registry>,
    runtime: Arc<dyn Runtime>,
    exchanges: AtomicUsize,
    stop: Stop,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Endpoint").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Serves the metrics of `registry` on `address`.
    pub async fn start(
        network: &dyn Network,
        runtime: Arc<dyn Runtime>,
        address: SocketAddr,
        registry: Arc<Registry>,
    ) -> io::Result<Endpoint> {
        let listener = network.bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            registry,
            runtime: runtime.clone(),
            exchanges: AtomicUsize::new(0),
            stop: Stop::default(),
        });
        runtime.spawn("metrics", Box::pin(accept(listener, shared.clone())));
        Ok(Endpoint { address, shared })
    }

    /// The address that it listens on, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.stop.raise();
    }
}

async fn accept(listener: Box<dyn Listener>, shared: Arc<Shared>) {
    let each = |stream, _| {
        if let Some(exchange) = Exchange::begin(&shared) {
            shared.runtime.spawn("metrics-exchange", Box::pin(exchange.run(stream)));
        }
    };
    accept_until(listener, "the metrics endpoint", &shared.stop, &*shared.runtime, each).await;
}

/// One request and its answer.
struct Exchange {
    shared: Arc<Shared>,
}

impl Exchange {
    fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let exchange = Exchange { shared: shared.clone() };
        (shared.exchanges.fetch_add(1, Ordering::SeqCst) < EXCHANGES_MAX).then_some(exchange)
    }

    async fn run(self, mut stream: Box<dyn Stream>) {
        let mut late = self.shared.runtime.sleep(EXCHANGE_TIMEOUT);
        let talk = async {
            let answer = self.answer(&read_request(&mut *stream).await?);
            write_all(&mut *stream, answer.as_bytes()).await?;
            poll_fn(|context| stream.poll_shutdown(context)).await
        };
        let mut talk = Box::pin(talk);
        // Whether it worked is the business of who asked.
        let _: io::Result<()> = poll_fn(|context| match late.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => talk.as_mut().poll(context),
        })
        .await;
    }

    fn answer(&self, request: &[u8]) -> String {
        let line = request.split(|byte| *byte == b'\r' || *byte == b'\n').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = path.split('?').next().unwrap_or("");
        let (status, body) = match (method, path) {
            ("GET", "/metrics") => ("200 OK", self.shared.registry.render()),
            ("GET", _) => ("404 Not Found", "see /metrics\n".to_owned()),
            _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
        };
        format!(
            "HTTP/1.0 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.shared.exchanges.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Reads up to the empty line behind the headers, or as much as a request may have.
async fn read_request(stream: &mut dyn Stream) -> io::Result<BytesMut> {
    let mut request = BytesMut::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        let room = REQUEST_BYTES_MAX - request.len();
        if poll_fn(|context| stream.poll_read(context, &mut request, room)).await? == 0 {
            break;
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use helenus_platform::clock::ManualClock;
    use helenus_platform::net::MemoryNetwork;
    use helenus_platform::runtime::SimRuntime;

    async fn exchange(network: &MemoryNetwork, address: SocketAddr, request: &[u8]) -> String {
        let mut stream = network.connect(address).await.unwrap();
        write_all(&mut *stream, request).await.unwrap();
        let mut answer = BytesMut::new();
        while poll_fn(|c| stream.poll_read(c, &mut answer, 1000)).await.unwrap() > 0 {}
        String::from_utf8(answer.to_vec()).unwrap()
    }

    #[test]
    fn metrics_are_served_and_nothing_else() {
        let runtime = SimRuntime::new(1, Arc::new(ManualClock::new(0)));
        let inner: Arc<dyn Runtime> = Arc::new(runtime.clone());
        let refused = runtime.clone().block_on(1_000_000, async move {
            let network = MemoryNetwork::new();
            let registry = Arc::new(Registry::new());
            registry.counter("helenus_x_total", "X.", vec![]).add(7);
            let any = ([127, 0, 0, 1], 0).into();
            let endpoint = Endpoint::start(&network, inner, any, registry).await.unwrap();
            let address = endpoint.address();
            let get = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
            let answer = exchange(&network, address, get).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.0 200 OK\r\n"));
            assert!(head.contains(&format!("Content-Length: {}", body.len())));
            assert!(body.contains("helenus_x_total 7\n"));
            let other = exchange(&network, address, b"GET / HTTP/1.0\r\n\r\n").await;
            assert!(other.starts_with("HTTP/1.0 404"));
            let other = exchange(&network, address, b"POST /metrics HTTP/1.0\r\n\r\n").await;
            assert!(other.starts_with("HTTP/1.0 405"));
            let other = exchange(&network, address, &[b'x'; REQUEST_BYTES_MAX]).await;
            assert!(other.starts_with("HTTP/1.0 405"));
            // Who says nothing is closed, and the endpoint ends with its handle.
            assert_eq!(exchange(&network, address, b"GET").await, "");
            drop(endpoint);
            runtime.sleep(Duration::from_millis(1)).await;
            network.connect(address).await.err().map(|error| error.kind())
        });
        assert_eq!(refused.unwrap(), Some(io::ErrorKind::ConnectionRefused));
    }
}
