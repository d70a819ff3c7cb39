//! What another node, or somebody who claims to be one, says on a connection: to who accepted it,
//! and to who opened it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use helenus::internode::{
    Channel, Failure, Hello, Incoming, Internode, InternodeMetrics, Introduction, Limits,
    MessageHandler, Own, Peer, Position, Received, ReplyWriter, Request, Target, VERSIONS, Verb,
    Welcome, World,
};
use helenus::telemetry::Registry;
use helenus_platform::clock::ManualClock;
use helenus_platform::codec::Put;
use helenus_platform::net::{Network, SimNetwork, Stream, write_all};
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::{Runtime, SimRuntime};
use helenus_platform::signal::Signal;

const MESSAGE_BYTES_MAX: usize = 300_000;
const POLLS_MAX: u64 = 1_000_000;

fn own(number: u8) -> Own {
    Own {
        cluster_id: Some([9; 16]),
        host_id: [number; 16],
        address: SocketAddr::from(([10, 0, 0, number], 7000)),
        feature_level: 1,
    }
}

/// Answers with what was asked, and keeps the bounds in mind.
#[derive(Default)]
struct Echo {
    signal: Signal,
    handled: Mutex<usize>,
}

impl MessageHandler for Echo {
    fn receive(&self, _from: &Peer, message: Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        assert!(message.payload.len() <= MESSAGE_BYTES_MAX + (1 << 20));
        *self.handled.lock().expect("nobody panics with it") += 1;
        reply.put_bytes(&message.payload);
        if message.is_request { Received::NOW } else { Received::Nothing }
    }

    fn watermark(&self) -> Position {
        0
    }

    fn write_out(&self, _position: Position) {}

    fn watermark_signal(&self) -> &Signal {
        &self.signal
    }

    fn failure(&self) -> Option<Failure> {
        None
    }
}

#[derive(Clone)]
struct Lab {
    runtime: SimRuntime,
    clock: Arc<ManualClock>,
    network: SimNetwork,
}

impl Lab {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(0));
        let runtime = SimRuntime::new(1, clock.clone());
        let network = SimNetwork::new(1, Arc::new(runtime.clone()), clock.clone());
        Lab { runtime, clock, network }
    }

    fn run<T: Send + 'static>(self, test: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.block_on(POLLS_MAX, test).expect("it comes to an end")
    }

    fn node(&self, number: u8) -> Internode {
        let world = World {
            network: Arc::new(self.network.host(own(number).address.ip())),
            runtime: Arc::new(self.runtime.clone()),
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(u64::from(number))),
        };
        let limits = Limits { message_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() };
        Internode::new(world, own(number), limits, InternodeMetrics::new(&Registry::new()))
    }
}

fn hello() -> BytesMut {
    let mut out = BytesMut::new();
    let (instance, expected, channel) = (1, None, Channel::Normal as u8);
    let hello = Hello { versions: VERSIONS, own: own(1), instance, expected, channel, lz4: false };
    Introduction::Hello(hello).encode(&mut out);
    out
}

fn welcome() -> BytesMut {
    let mut out = BytesMut::new();
    let welcome = Welcome { version: 1, own: own(1), instance: 1, lz4: false };
    Introduction::Welcome(welcome).encode(&mut out);
    out
}

async fn read_until_silent(stream: &mut dyn Stream, lab: &Lab) -> BytesMut {
    let mut heard = BytesMut::new();
    let mut late = lab.runtime.sleep(Duration::from_millis(50));
    poll_fn(|context| {
        while let Poll::Ready(read) = stream.poll_read(context, &mut heard, 1 << 16) {
            if !read.is_ok_and(|count| count > 0) {
                return Poll::Ready(());
            }
        }
        late.as_mut().poll(context)
    })
    .await;
    heard
}

/// The first byte says who hears the rest: bit 0, who opened the connection or who accepted it;
/// bit 1, whether a sound introduction comes first. Whatever it is, the connection ends with its
/// input, its memory is given back, and another node is served.
pub fn run(data: &[u8]) {
    let Some((kind, said)) = data.split_first() else { return };
    let to_opener = kind & 1 != 0;
    let mut bytes = match (kind & 2 != 0, to_opener) {
        (false, _) => BytesMut::new(),
        (true, false) => hello(),
        (true, true) => welcome(),
    };
    bytes.put_bytes(said);
    let lab = Lab::new();
    let runtime = lab.runtime.clone();
    if to_opener {
        lab.clone().run(tell_opener(lab, bytes));
    } else {
        lab.clone().run(tell_acceptor(lab, bytes));
    }
    // Tasks that have not ended hold the runtime that holds them.
    runtime.kill();
}

async fn tell_acceptor(lab: Lab, bytes: BytesMut) -> BytesMut {
    let (node, echo) = (lab.node(2), Arc::new(Echo::default()));
    node.listen(own(2).address, echo).await.expect("nobody else listens");
    let host = lab.network.host(own(1).address.ip());
    let mut stream = host.connect(own(2).address).await.expect("somebody listens");
    // Fails if the node has closed already.
    let _ = write_all(&mut *stream, &bytes).await;
    let heard = read_until_silent(&mut *stream, &lab).await;
    drop(stream);
    lab.runtime.sleep(Duration::from_millis(10)).await;
    assert_eq!(node.receiving_bytes(), 0);
    assert!(node.connections().is_empty());
    let other = lab.node(3);
    let target = Target { address: own(2).address, host_id: Some([2; 16]) };
    assert_eq!(other.request(&target, request(&other)).await, Ok(Bytes::from_static(b"row")));
    heard
}

fn request(node: &Internode) -> Request {
    let deadline = node.deadline(Duration::from_secs(1));
    Request { verb: Verb::Read, payload: Bytes::from_static(b"row"), deadline, trace: None }
}

async fn tell_opener(lab: Lab, bytes: BytesMut) -> BytesMut {
    let node = lab.node(2);
    let host = lab.network.host(own(1).address.ip());
    let mut listener = host.bind(own(1).address).await.expect("nobody else listens");
    let target = Target { address: own(1).address, host_id: Some([1; 16]) };
    let responses = [node.request(&target, request(&node)), node.request(&target, request(&node))];
    let accepted = poll_fn(|context| listener.poll_accept(context)).await;
    let (mut stream, _) = accepted.expect("the network works");
    let _ = write_all(&mut *stream, &bytes).await;
    let heard = read_until_silent(&mut *stream, &lab).await;
    drop(stream);
    for response in responses {
        // Whatever it is, it comes.
        let _ = response.await;
    }
    assert_eq!(node.queued_bytes(), 0);
    heard
}

/// What nodes really say, to each side, with and without the introduction.
pub fn seeds() -> Vec<Vec<u8>> {
    let lab = Lab::new();
    let said = lab.clone().run(tell_opener(lab, welcome()));
    let requests = said[hello().len()..].to_vec();
    let mut all = hello().to_vec();
    all.extend_from_slice(&requests);
    let lab = Lab::new();
    let answered = lab.clone().run(tell_acceptor(lab, BytesMut::from(&all[..])));
    let answers = answered[welcome().len()..].to_vec();
    let with = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    vec![
        with(0, &all),
        with(1, &answered),
        with(2, &requests),
        with(3, &answers),
        with(2, &[&requests[..], &requests].concat()),
        with(0, &hello()),
    ]
}
