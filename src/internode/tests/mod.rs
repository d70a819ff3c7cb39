//! Nodes that talk over a simulated network: real connections, on simulated time, from a seed.

mod bad_input;
mod deadlines;
mod holding;
mod loss;
mod pressure;
mod real;
mod talking;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::codec::Put;
use helenus_platform::net::{Listener, Network, SimNetwork, Stream};
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::{BoxFuture, Runtime, SimRuntime};
use helenus_platform::signal::Signal;

use super::*;
use crate::telemetry;

const CLUSTER: [u8; 16] = [0xc1; 16];
const POLLS_MAX: u64 = 3_000_000;
const PORT: u16 = 7000;

fn ip(node: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, node])
}

fn address(node: u8) -> SocketAddr {
    SocketAddr::new(ip(node), PORT)
}

fn own(node: u8) -> Own {
    Own { cluster_id: Some(CLUSTER), host_id: [node; 16], address: address(node), feature_level: 1 }
}

fn target(node: u8) -> Target {
    Target { address: address(node), host_id: Some([node; 16]) }
}

/// What a test's node does with a message.
type Does = Box<dyn Fn(Incoming, &mut ReplyWriter<'_>) -> Received + Send + Sync>;

/// Notes what comes, and does what the test wants.
struct TestHandler {
    does: Does,
    seen: Mutex<Vec<(Peer, Incoming)>>,
    watermark: AtomicU64,
    moved: Signal,
    failure: Mutex<Option<Failure>>,
    asked_to_write: Mutex<Vec<Position>>,
}

impl TestHandler {
    fn new(does: Does) -> Arc<Self> {
        Arc::new(TestHandler {
            does,
            seen: Mutex::default(),
            watermark: AtomicU64::new(0),
            moved: Signal::new(),
            failure: Mutex::default(),
            asked_to_write: Mutex::default(),
        })
    }

    /// Answers with what was asked.
    fn echo() -> Arc<Self> {
        Self::new(Box::new(|message, reply| {
            reply.put_bytes(&message.payload);
            if message.is_request { Received::NOW } else { Received::Nothing }
        }))
    }

    fn seen(&self) -> Vec<Incoming> {
        self.seen.lock().unwrap().iter().map(|(_, message)| message.clone()).collect()
    }

    fn payloads(&self) -> Vec<Bytes> {
        self.seen().into_iter().map(|message| message.payload).collect()
    }

    fn move_watermark(&self, to: Position) {
        self.watermark.store(to, Ordering::SeqCst);
        self.moved.notify_all();
    }
}

impl MessageHandler for TestHandler {
    fn receive(&self, from: &Peer, message: Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        self.seen.lock().unwrap().push((from.clone(), message.clone()));
        (self.does)(message, reply)
    }

    fn watermark(&self) -> Position {
        self.watermark.load(Ordering::SeqCst)
    }

    fn write_out(&self, position: Position) {
        self.asked_to_write.lock().unwrap().push(position);
    }

    fn watermark_signal(&self) -> &Signal {
        &self.moved
    }

    fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap().clone()
    }
}

/// A cluster in a bottle.
struct Lab {
    runtime: SimRuntime,
    clock: Arc<ManualClock>,
    network: SimNetwork,
    seed: u64,
}

struct TestNode {
    internode: Internode,
    handler: Arc<TestHandler>,
    metrics: Arc<InternodeMetrics>,
    writes: Arc<AtomicUsize>,
}

impl Lab {
    fn new(seed: u64) -> Arc<Self> {
        let clock = Arc::new(ManualClock::new(0));
        let runtime = SimRuntime::new(seed, clock.clone());
        let network = SimNetwork::new(seed, Arc::new(runtime.clone()), clock.clone());
        Arc::new(Lab { runtime, clock, network, seed })
    }

    fn run<T: Send + 'static>(&self, test: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.block_on(POLLS_MAX, test).unwrap()
    }

    async fn sleep(&self, millis: u64) {
        self.runtime.sleep(Duration::from_millis(millis)).await;
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// A node that does not listen.
    fn silent(&self, own: Own, limits: Limits, handler: Arc<TestHandler>) -> TestNode {
        let metrics = InternodeMetrics::new(&telemetry::Registry::new());
        let writes = Arc::new(AtomicUsize::new(0));
        let host = self.network.host(own.address.ip());
        let network = Counted { network: Arc::new(host), writes: writes.clone() };
        // Lives of one node differ.
        let seed = self.seed ^ u64::from(own.host_id[0]) << 32 ^ self.runtime.polls() << 40;
        let world = World {
            network: Arc::new(network),
            runtime: Arc::new(self.runtime.clone()),
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(seed)),
        };
        let internode = Internode::new(world, own, limits, metrics.clone());
        TestNode { internode, handler, metrics, writes }
    }

    async fn node_as(&self, own: Own, limits: Limits, handler: Arc<TestHandler>) -> TestNode {
        let node = self.silent(own, limits, handler.clone());
        node.internode.listen(own.address, handler).await.unwrap();
        node
    }

    /// A member that echoes.
    async fn node(&self, number: u8) -> TestNode {
        self.node_as(own(number), Limits::default(), TestHandler::echo()).await
    }
}

impl TestNode {
    fn request(&self, to: u8, verb: Verb, payload: &[u8]) -> Response {
        self.request_within(to, verb, payload, 2000)
    }

    fn request_within(&self, to: u8, verb: Verb, payload: &[u8], millis: u64) -> Response {
        let deadline = self.internode.deadline(Duration::from_millis(millis));
        let payload = Bytes::copy_from_slice(payload);
        let request = Request { verb, payload, deadline, trace: None };
        self.internode.request(&target(to), request)
    }

    fn send(&self, to: u8, verb: Verb, payload: &[u8]) -> Result<(), RequestError> {
        self.internode.send(&target(to), verb, Bytes::copy_from_slice(payload))
    }

    /// The only lane, or the one of this channel.
    fn lane(&self, channel: Channel) -> ConnectionView {
        let is_it = |view: &ConnectionView| {
            view.direction == Direction::Outbound && view.channel == channel
        };
        self.internode.connections().into_iter().find(is_it).unwrap()
    }
}

fn ok(bytes: &[u8]) -> Result<Bytes, RequestError> {
    Ok(Bytes::copy_from_slice(bytes))
}

/// Counts writes.
struct Counted {
    network: Arc<dyn Network>,
    writes: Arc<AtomicUsize>,
}

impl Network for Counted {
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = self.network.bind(address).await?;
            let writes = self.writes.clone();
            Ok(Box::new(CountedListener { listener, writes }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = self.network.connect(address).await?;
            let writes = self.writes.clone();
            Ok(Box::new(CountedStream { stream, writes }) as Box<dyn Stream>)
        })
    }
}

struct CountedListener {
    listener: Box<dyn Listener>,
    writes: Arc<AtomicUsize>,
}

impl Listener for CountedListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let writes = self.writes.clone();
        self.listener.poll_accept(context).map_ok(|(stream, from)| {
            (Box::new(CountedStream { stream, writes }) as Box<dyn Stream>, from)
        })
    }
}

struct CountedStream {
    stream: Box<dyn Stream>,
    writes: Arc<AtomicUsize>,
}

impl Stream for CountedStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_read(context, buffer, max)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.stream.poll_write(context, bytes)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(context)
    }
}
