//! A server whose clients ask for more than it has: memory stays bounded, and others are served.

use super::*;
use crate::server::memory::OWN_BYTES;

/// 4 MiB for a hundred connections to share.
fn tight() -> Limits {
    Limits {
        connections_max: 100,
        bytes_in_flight_max: 100 * OWN_BYTES + (4 << 20),
        output_bytes_max: 256 << 10,
        stall_timeout: Duration::from_secs(5),
        ..Limits::default()
    }
}

async fn greedy(world: &World, server: &Server) -> Client {
    let mut client = Client::connect(&world.network, server, ProtocolVersion::V4).await;
    for stream in 0..100 {
        client.query(stream, "rows 50000").await;
    }
    client
}

#[test]
fn clients_that_never_read_take_the_memory_for_a_while_and_nobody_waits_for_them() {
    let ((), _) = simulate(1, tight(), |world| async move {
        let server = world.start().await;
        let mut good = Client::connect(&world.network, &server, ProtocolVersion::V4).await;
        let mut greedy_ones = Vec::new();
        for _ in 0..40 {
            greedy_ones.push(greedy(&world, &server).await);
        }
        world.runtime.sleep(Duration::from_millis(10)).await;
        let memory = world.services.memory.clone();
        assert!(memory.is_short());
        // One small answer for each may be too much.
        assert!(memory.taken() <= (4 << 20) + 40 * (64 << 10), "{}", memory.taken());
        for _ in 0..100 {
            good.query(1, "rows 1000").await;
            assert!(matches!(good.receive().await.unwrap(), Some((1, Response::Result(_)))));
        }
        assert_eq!(server.connections(), 41);
        let metrics = &world.services.metrics;
        assert!(metrics.paused.get() > 0, "some wait for their clients to read");
        assert!(metrics.overloaded.get() > 0, "others are told that there is no memory");
        // Somebody needs the memory, and is told that there is none, until those who let it lie
        // are closed.
        let mut refused = 0;
        loop {
            good.query(1, "rows 900000").await;
            match good.receive().await.unwrap() {
                Some((1, Response::Error(_))) => refused += 1,
                Some((1, Response::Result(_))) => break,
                other => panic!("{other:?}"),
            }
            world.runtime.sleep(Duration::from_millis(500)).await;
        }
        assert!((2..40).contains(&refused), "{refused}");
        assert!(metrics.stalled.get() > 0);
        drop(greedy_ones);
        world.runtime.sleep(Duration::from_secs(3)).await;
        assert_eq!((memory.taken(), metrics.paused.get()), (0, 0));
    });
}

#[test]
fn a_client_that_is_slow_is_not_closed_while_it_reads() {
    let ((), _) = simulate(2, tight(), |world| async move {
        let server = world.start().await;
        let mut slow = Vec::new();
        for _ in 0..40 {
            slow.push(greedy(&world, &server).await);
        }
        world.runtime.sleep(Duration::from_millis(10)).await;
        assert!(world.services.memory.is_short());
        for _ in 0..15 {
            world.runtime.sleep(Duration::from_secs(1)).await;
            for client in &mut slow {
                // More than one: short refusals are among them, of which many lie at the client.
                for _ in 0..5 {
                    assert!(client.receive().await.unwrap().is_some());
                }
            }
        }
        assert_eq!(server.connections(), 40);
    });
}

#[test]
fn who_waited_for_memory_goes_on_when_there_is_some() {
    let ((), _) = simulate(3, tight(), |world| async move {
        let server = world.start().await;
        // Uncompressed, so that it is as long as it looks.
        let codec = ClientCodec::new(ProtocolVersion::V4, false);
        let mut patient = Client::connect_with(&world.network, &server, codec).await;
        let mut greedy_ones = Vec::new();
        for _ in 0..40 {
            greedy_ones.push(greedy(&world, &server).await);
        }
        world.runtime.sleep(Duration::from_millis(10)).await;
        let sent = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let done = sent.clone();
        let long = format!("void{}", " ".repeat(500_000));
        world.runtime.spawn(
            "patient",
            Box::pin(async move {
                patient.query(1, &long).await;
                assert_eq!(patient.receive().await.unwrap(), Some((1, VOID)));
                done.store(true, Ordering::SeqCst);
            }),
        );
        world.runtime.sleep(Duration::from_secs(1)).await;
        assert!(!sent.load(Ordering::SeqCst), "there is no memory for it yet");
        greedy_ones.truncate(5);
        world.runtime.sleep(Duration::from_millis(10)).await;
        assert!(sent.load(Ordering::SeqCst));
    });
}

#[test]
fn an_idle_connection_gives_its_memory_back() {
    let ((), _) = simulate(4, tight(), |world| async move {
        let server = world.start().await;
        let mut client = Client::connect(&world.network, &server, ProtocolVersion::V4).await;
        for _ in 0..3 {
            client.query(1, "rows 60000").await;
            client.query(2, "void").await;
            assert!(client.receive().await.unwrap().is_some());
            assert!(client.receive().await.unwrap().is_some());
            assert!(world.services.memory.taken() > 0);
            world.runtime.sleep(Duration::from_secs(3)).await;
            assert_eq!(world.services.memory.taken(), 0);
        }
    });
}
