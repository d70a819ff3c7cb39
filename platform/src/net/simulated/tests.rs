//! What a simulated link does to bytes.

use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;

use super::*;
use crate::clock::ManualClock;
use crate::net::write_all;
use crate::runtime::SimRuntime;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const PORT: u16 = 7000;

struct Lab {
    runtime: SimRuntime,
    clock: Arc<ManualClock>,
    network: SimNetwork,
}

fn lab(seed: u64) -> Lab {
    let clock = Arc::new(ManualClock::new(0));
    let runtime = SimRuntime::new(seed, clock.clone());
    let network = SimNetwork::new(seed, Arc::new(runtime.clone()), clock.clone());
    Lab { runtime, clock, network }
}

type Pair = (Box<dyn Stream>, Box<dyn Stream>);

/// A connection from A to B, and B's listener.
async fn pair(network: &SimNetwork) -> (Pair, Box<dyn Listener>) {
    let mut listener = network.host(B).bind(SocketAddr::new(B, PORT)).await.unwrap();
    let near = network.host(A).connect(SocketAddr::new(B, PORT)).await.unwrap();
    let (far, from) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
    assert_eq!(from.ip(), A);
    ((near, far), listener)
}

async fn read(stream: &mut dyn Stream) -> Result<BytesMut, Error> {
    let mut buffer = BytesMut::new();
    poll_fn(|cx| stream.poll_read(cx, &mut buffer, 1 << 20)).await?;
    Ok(buffer)
}

fn kind(result: Result<BytesMut, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn bytes_take_their_time_and_stay_in_order() {
    let Lab { runtime, clock, network } = lab(1);
    let delays = Delays {
        min: Duration::from_millis(10),
        max: Duration::from_millis(20),
        late_chance: 0.3,
        late_max: Duration::from_millis(100),
    };
    network.set_delays_between(A, B, delays);
    let spawner = runtime.clone();
    let done = runtime.block_on(1_000_000, async move {
        let ((mut near, mut far), _listener) = pair(&network).await;
        let began = clock.monotonic();
        spawner.spawn(
            "writer",
            Box::pin(async move {
                for n in 0..100_000_u32 {
                    write_all(&mut *near, &[n as u8]).await.unwrap();
                }
            }),
        );
        let mut received = Vec::new();
        let first = read(&mut *far).await.unwrap();
        assert!(clock.monotonic() - began >= Duration::from_millis(10));
        received.extend_from_slice(&first);
        loop {
            match read(&mut *far).await {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => received.extend_from_slice(&bytes),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(received.len(), 100_000);
        assert!(received.iter().enumerate().all(|(n, byte)| *byte == n as u8));
        assert!(clock.monotonic() - began >= Duration::from_millis(30), "some were late");
    });
    done.unwrap();
}

#[test]
fn a_cut_holds_one_direction_back_until_it_heals() {
    let Lab { runtime, clock, network } = lab(2);
    let spawner = runtime.clone();
    let done = runtime.block_on(100_000, async move {
        let ((mut near, mut far), _listener) = pair(&network).await;
        write_all(&mut *near, b"before").await.unwrap();
        assert_eq!(&read(&mut *far).await.unwrap()[..], b"before");
        network.cut(A, B);
        write_all(&mut *near, b"held").await.unwrap();
        write_all(&mut *far, b"back").await.unwrap();
        assert_eq!(&read(&mut *near).await.unwrap()[..], b"back");
        let healed_at = Arc::new(AtomicU64::new(0));
        let (healer, noted, sleeper) = (network.clone(), healed_at.clone(), spawner.clone());
        let clock2 = clock.clone();
        spawner.spawn(
            "healer",
            Box::pin(async move {
                sleeper.sleep(Duration::from_secs(30)).await;
                noted.store(clock2.monotonic().as_nanos() as u64, Ordering::SeqCst);
                healer.heal(A, B);
            }),
        );
        assert_eq!(&read(&mut *far).await.unwrap()[..], b"held");
        let healed = Duration::from_nanos(healed_at.load(Ordering::SeqCst));
        assert!(healed >= Duration::from_secs(30));
        let late = clock.monotonic() - healed;
        assert!(late >= Duration::from_micros(50) && late < Duration::from_millis(2), "{late:?}");
    });
    done.unwrap();
}

#[test]
fn connecting_over_a_cut_link_waits_and_at_last_times_out() {
    let Lab { runtime, clock, network } = lab(3);
    let done = runtime.block_on(100_000, async move {
        let (_pair, _listener) = pair(&network).await;
        let address = SocketAddr::new(B, PORT);
        let began = clock.monotonic();
        // Either direction is enough.
        network.cut(B, A);
        let refused = network.host(A).connect(address).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::TimedOut);
        let tried = clock.monotonic() - began;
        assert!(tried >= Duration::from_secs(60) && tried <= CONNECT_TIMEOUT, "{tried:?}");
        network.heal(B, A);
        assert!(network.host(A).connect(address).await.is_ok());
        let nobody = network.host(A).connect(SocketAddr::new(B, 1)).await.err().unwrap();
        assert_eq!(nobody.kind(), ErrorKind::ConnectionRefused);
    });
    done.unwrap();
}

#[test]
fn a_killed_host_resets_its_connections_and_comes_back() {
    let Lab { runtime, network, .. } = lab(4);
    let done = runtime.block_on(100_000, async move {
        let ((mut near, mut far), mut listener) = pair(&network).await;
        let old = network.host(B);
        network.kill(B);
        assert_eq!(kind(read(&mut *near).await), ErrorKind::ConnectionReset);
        assert_eq!(kind(read(&mut *far).await), ErrorKind::ConnectionAborted);
        assert!(poll_fn(|cx| listener.poll_accept(cx)).await.is_err());
        assert!(old.bind(SocketAddr::new(B, PORT)).await.is_err());
        assert!(old.connect(SocketAddr::new(A, PORT)).await.is_err());
        let refused = network.host(A).connect(SocketAddr::new(B, PORT)).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let ((mut near, mut far), _listener) = pair(&network).await;
        // What is left of the old life does not disturb the new one.
        drop(listener);
        write_all(&mut *near, b"hello").await.unwrap();
        assert_eq!(&read(&mut *far).await.unwrap()[..], b"hello");
    });
    done.unwrap();
}

#[test]
fn nobody_hears_of_a_machine_without_power_until_it_is_back() {
    let Lab { runtime, network, .. } = lab(5);
    let sleeper = runtime.clone();
    let done = runtime.block_on(100_000, async move {
        let ((mut near, far), listener) = pair(&network).await;
        network.isolate(B);
        network.kill(B);
        drop((far, listener));
        write_all(&mut *near, b"lost").await.unwrap();
        sleeper.sleep(Duration::from_secs(60)).await;
        let mut buffer = BytesMut::new();
        let heard = poll_fn(|cx| Poll::Ready(near.poll_read(cx, &mut buffer, 10))).await;
        assert!(heard.is_pending());
        network.heal_all();
        assert_eq!(kind(read(&mut *near).await), ErrorKind::ConnectionReset);
        drop(near);
        assert_eq!(network.connections(), 0);
    });
    done.unwrap();
}

#[test]
fn resets_reach_both_sides_and_unread_bytes_reset_too() {
    let Lab { runtime, network, .. } = lab(6);
    let sleeper = runtime.clone();
    let done = runtime.block_on(100_000, async move {
        let ((mut near, mut far), listener) = pair(&network).await;
        network.partition(&[A], &[B]);
        network.reset(B, A);
        assert_eq!(kind(read(&mut *near).await), ErrorKind::ConnectionReset);
        assert_eq!(kind(read(&mut *far).await), ErrorKind::ConnectionReset);
        network.heal_all();
        drop(listener);

        let ((mut near, far), listener) = pair(&network).await;
        write_all(&mut *near, b"unread").await.unwrap();
        sleeper.sleep(Duration::from_millis(1)).await;
        drop(far);
        assert_eq!(kind(read(&mut *near).await), ErrorKind::ConnectionReset);
        drop(listener);

        // Who writes to a closed connection hears of it from the next write on, not before.
        let ((mut near, far), _listener) = pair(&network).await;
        drop(far);
        assert!(read(&mut *near).await.unwrap().is_empty());
        write_all(&mut *near, b"late").await.unwrap();
        sleeper.sleep(Duration::from_millis(2)).await;
        let error = write_all(&mut *near, b"later").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
    done.unwrap();
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let Lab { runtime, clock, network } = lab(seed);
        let spawner = runtime.clone();
        let times = runtime.block_on(1_000_000, async move {
            let ((mut near, mut far), _listener) = pair(&network).await;
            spawner.spawn(
                "writer",
                Box::pin(async move {
                    for _ in 0..50 {
                        write_all(&mut *near, &[1; 3000]).await.unwrap();
                    }
                }),
            );
            let mut times = Vec::new();
            while !read(&mut *far).await.unwrap().is_empty() {
                times.push(clock.monotonic());
            }
            times
        });
        (times.unwrap(), runtime.trace_hash())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
