//! One suite for every network.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;

use super::{Listener, MemoryNetwork, Network, SimNetwork, Stream, TokioNetwork, write_all};
use crate::clock::ManualClock;
use crate::runtime::{SimRuntime, TokioRuntime};

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn connected(network: &dyn Network) -> (Box<dyn Stream>, Box<dyn Stream>) {
    let mut listener = network.bind(LOCAL).await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_ne!(address.port(), 0);
    let near = network.connect(address).await.unwrap();
    let (far, from) = accept(&mut *listener).await;
    assert_ne!(from, address);
    (near, far)
}

async fn accept(listener: &mut dyn Listener) -> (Box<dyn Stream>, SocketAddr) {
    poll_fn(|context| listener.poll_accept(context)).await.unwrap()
}

async fn read_to_end(stream: &mut dyn Stream, max: usize) -> BytesMut {
    let mut buffer = BytesMut::new();
    loop {
        let read = poll_fn(|context| stream.poll_read(context, &mut buffer, max)).await.unwrap();
        assert!(read <= max);
        if read == 0 {
            return buffer;
        }
    }
}

async fn contract(network: &dyn Network) {
    let (mut near, mut far) = connected(network).await;
    write_all(&mut *near, b"hello").await.unwrap();
    write_all(&mut *far, b"answer").await.unwrap();
    poll_fn(|context| near.poll_shutdown(context)).await.unwrap();
    assert_eq!(&read_to_end(&mut *far, 3).await[..], b"hello");
    drop(far);
    assert_eq!(&read_to_end(&mut *near, 100).await[..], b"answer");

    // A writer that nobody reads stops, and goes on when somebody does.
    let (mut near, mut far) = connected(network).await;
    let bytes = vec![7_u8; 1 << 20];
    let mut written = 0;
    let mut full = false;
    while !full {
        let step =
            poll_fn(|context| std::task::Poll::Ready(near.poll_write(context, &bytes))).await;
        match step {
            std::task::Poll::Ready(count) => written += count.unwrap(),
            std::task::Poll::Pending => full = true,
        }
    }
    let mut buffer = BytesMut::new();
    while buffer.len() < written {
        poll_fn(|context| far.poll_read(context, &mut buffer, 1 << 20)).await.unwrap();
    }
    assert_eq!(buffer.len(), written);

    // Nobody listens any more on an address whose listener is gone.
    let listener = network.bind(LOCAL).await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(network.bind(address).await.is_err());
    drop(listener);
    let refused = network.connect(address).await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn the_real_network_keeps_the_contract() {
    TokioRuntime::new(1).unwrap().block_on(contract(&TokioNetwork));
}

#[test]
fn the_network_in_memory_keeps_the_contract() {
    crate::runtime::real::block_on(contract(&MemoryNetwork::new()));
}

#[test]
fn the_simulated_network_keeps_the_contract() {
    let clock = std::sync::Arc::new(ManualClock::new(0));
    let runtime = SimRuntime::new(1, clock.clone());
    let network = SimNetwork::new(1, std::sync::Arc::new(runtime.clone()), clock);
    let host = network.host(LOCAL.ip());
    runtime.block_on(100_000, async move { contract(&host).await }).unwrap();
}
