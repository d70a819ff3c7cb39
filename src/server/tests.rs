//! Whole servers: on simulated time and a network in memory, and once on real ones.

mod overload;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use cql_lite::wire::{ClientCodec, ProtocolVersion, Query, QueryOptions, Request, Response};
use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::net::{MemoryNetwork, Network, Stream, TokioNetwork, write_all};
use helenus_platform::runtime::{Runtime, SimRuntime, TokioRuntime};

use super::fake::{FakeHandler, VOID, message};
use super::*;
use crate::telemetry::Registry;

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// More polls than any of these tests needs.
const POLLS_MAX: u64 = 1_000_000;

struct Client {
    stream: Box<dyn Stream>,
    codec: ClientCodec,
}

impl Client {
    async fn connect(network: &dyn Network, server: &Server, version: ProtocolVersion) -> Client {
        Client::connect_with(network, server, ClientCodec::new(version, true)).await
    }

    async fn connect_with(network: &dyn Network, server: &Server, codec: ClientCodec) -> Client {
        let stream = network.connect(server.address()).await.unwrap();
        let mut client = Client { stream, codec };
        client.send(0, &Request::Startup(client.codec.startup_options())).await;
        assert_eq!(client.receive().await.unwrap(), Some((0, Response::Ready)));
        client
    }

    async fn send(&mut self, stream: i16, request: &Request<'_>) {
        let mut out = BytesMut::new();
        self.codec.encode(stream, request, false, &mut out);
        write_all(&mut *self.stream, &out).await.unwrap();
    }

    async fn query(&mut self, stream: i16, text: &str) {
        let options = QueryOptions::default();
        self.send(stream, &Request::Query(Query { text, options })).await;
    }

    /// The next answer; none when the server has closed.
    async fn receive(&mut self) -> io::Result<Option<(i16, Response)>> {
        loop {
            if let Some((stream, body)) = self.codec.decode().unwrap() {
                return Ok(Some((stream, body.response)));
            }
            let input = self.codec.input();
            if poll_fn(|context| self.stream.poll_read(context, input, 4096)).await? == 0 {
                return Ok(None);
            }
        }
    }
}

struct World {
    clock: Arc<ManualClock>,
    runtime: Arc<SimRuntime>,
    network: MemoryNetwork,
    handler: Arc<FakeHandler>,
    services: Services,
    registry: Arc<Registry>,
}

impl World {
    fn new(seed: u64, limits: Limits) -> World {
        let clock = Arc::new(ManualClock::new(0));
        let handler = FakeHandler::new();
        let registry = Arc::new(Registry::new());
        let services = handler.services(limits, clock.clone(), &registry);
        World {
            runtime: Arc::new(SimRuntime::new(seed, clock.clone())),
            clock,
            network: MemoryNetwork::new(),
            handler,
            services,
            registry,
        }
    }

    async fn start(&self) -> Server {
        let runtime: Arc<dyn Runtime> = self.runtime.clone();
        Server::start(&self.network, runtime, ADDRESS, self.services.clone()).await.unwrap()
    }
}

/// Runs a scenario on simulated time; returns what it returned and the trace of the run.
fn simulate<T, F>(seed: u64, limits: Limits, scenario: impl FnOnce(Arc<World>) -> F) -> (T, u64)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let world = Arc::new(World::new(seed, limits));
    let output = world.runtime.block_on(POLLS_MAX, scenario(world.clone())).unwrap();
    (output, world.runtime.trace_hash())
}

#[test]
fn many_clients_are_served_at_once_and_the_same_seed_is_the_same_run() {
    let run = |seed| {
        simulate(seed, Limits::default(), |world| async move {
            let server = world.start().await;
            // The log's watermark follows with a delay.
            let log = world.clone();
            world.runtime.spawn(
                "log",
                Box::pin(async move {
                    for position in 1..=200 {
                        log.runtime.sleep(Duration::from_micros(300)).await;
                        log.handler.advance(position);
                    }
                }),
            );
            let mut clients = Vec::new();
            for version in ProtocolVersion::ALL {
                clients.push(Client::connect(&world.network, &server, version).await);
            }
            for stream in 0..100_i16 {
                for client in &mut clients {
                    let text = if stream % 2 == 0 { "hold 150" } else { "rows 500" };
                    client.query(stream, text).await;
                }
            }
            for client in &mut clients {
                let mut seen = Vec::new();
                while seen.len() < 100 {
                    seen.push(client.receive().await.unwrap().unwrap().0);
                }
                // Answers that waited for nothing came first.
                assert!(seen[..50].iter().all(|stream| stream % 2 == 1));
                seen.sort_unstable();
                assert_eq!(seen, (0..100).collect::<Vec<_>>());
            }
            assert_eq!(server.connections(), 3);
            let text = world.registry.render();
            for line in [
                "helenus_connections 3",
                "helenus_connections_accepted_total 3",
                "helenus_request_seconds_count{kind=\"query\"} 300",
                "helenus_error_answers_total 0",
            ] {
                assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
            }
        })
        .1
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let ((), _) = simulate(1, Limits::default(), |world| async move {
        let server = world.start().await;
        let mut silent = world.network.connect(server.address()).await.unwrap();
        let mut buffer = BytesMut::new();
        let end = poll_fn(|context| silent.poll_read(context, &mut buffer, 100)).await;
        assert_eq!(end.unwrap(), 0);
        let timeout = Limits::default().startup_timeout;
        assert!((timeout..timeout * 2).contains(&world.clock.monotonic()));
    });
}

#[test]
fn closing_a_connection_cancels_what_runs_for_it() {
    let ((), _) = simulate(1, Limits::default(), |world| async move {
        let server = world.start().await;
        let mut client = Client::connect(&world.network, &server, ProtocolVersion::V4).await;
        for stream in 0..5 {
            client.query(stream, "later").await;
        }
        client.query(5, "void").await;
        assert_eq!(client.receive().await.unwrap(), Some((5, VOID)));
        assert_eq!(world.handler.open(), 5);
        drop(client);
        world.runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!((world.handler.open(), server.connections()), (0, 0));
    });
}

#[test]
fn requests_that_run_apart_answer_over_the_socket() {
    let ((), _) = simulate(1, Limits::default(), |world| async move {
        let server = world.start().await;
        let mut client = Client::connect(&world.network, &server, ProtocolVersion::V5).await;
        // More than the channel of answers holds.
        for stream in 0..200 {
            client.query(stream, if stream == 9 { "later panic" } else { "later" }).await;
        }
        client.query(200, "void").await;
        assert_eq!(client.receive().await.unwrap(), Some((200, VOID)));
        for _ in 0..200 {
            world.handler.finish_later(0);
        }
        let mut streams = Vec::new();
        while streams.len() < 200 {
            let (stream, answer) = client.receive().await.unwrap().unwrap();
            if stream == 9 {
                assert_eq!(message(&answer), "internal error: told to, later");
            }
            streams.push(stream);
        }
        streams.sort_unstable();
        assert_eq!(streams, (0..200).collect::<Vec<_>>());
    });
}

#[test]
fn answers_that_waited_for_room_come_when_there_is_some() {
    // Each answer is more than the output and the network hold, so that the next have to wait,
    // and the connection drains, so that no request comes to wake it.
    let limits = Limits { output_bytes_max: 1000, ..Limits::default() };
    let ((), _) = simulate(1, limits, |world| async move {
        let server = Arc::new(world.start().await);
        let mut client = Client::connect(&world.network, &server, ProtocolVersion::V4).await;
        for stream in 0..4 {
            client.query(stream, "later 100000").await;
        }
        world.runtime.sleep(Duration::from_millis(1)).await;
        let stopping = server.clone();
        world.runtime.spawn("stop", Box::pin(async move { stopping.stop().await }));
        for _ in 0..4 {
            world.handler.finish_later(0);
        }
        for _ in 0..4 {
            world.runtime.sleep(Duration::from_millis(1)).await;
            assert!(client.receive().await.unwrap().is_some());
        }
        assert_eq!(client.receive().await.unwrap(), None);
    });
}

#[test]
fn a_client_that_does_not_read_stops_being_read() {
    let limits = Limits { output_bytes_max: 50_000, ..Limits::default() };
    let ((), _) = simulate(1, limits, |world| async move {
        let server = world.start().await;
        let mut client = Client::connect(&world.network, &server, ProtocolVersion::V3).await;
        let options = QueryOptions::default();
        let mut out = BytesMut::new();
        for stream in 0..1000 {
            let query = Request::Query(Query { text: "rows 10000", options });
            client.codec.encode(stream, &query, false, &mut out);
        }
        // Written as far as the server takes it, without reading one answer.
        let mut written = 0;
        for _ in 0..100 {
            world.runtime.sleep(Duration::from_millis(1)).await;
            let rest = out.get(written..).unwrap_or_default();
            let step = poll_fn(|c| Poll::Ready(client.stream.poll_write(c, rest))).await;
            if let Poll::Ready(count) = step {
                written += count.unwrap();
            }
        }
        let calls = world.handler.calls.load(Ordering::SeqCst);
        assert!(calls < 1000, "{calls} answers for a client that reads none");
        // Once it reads, everything comes.
        for _ in 0..calls {
            assert!(client.receive().await.unwrap().is_some());
        }
    });
}

#[test]
fn too_many_connections_are_refused() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let ((), _) = simulate(1, limits, |world| async move {
        let server = world.start().await;
        let first = Client::connect(&world.network, &server, ProtocolVersion::V4).await;
        let _second = Client::connect(&world.network, &server, ProtocolVersion::V4).await;
        let mut third = world.network.connect(server.address()).await.unwrap();
        let mut buffer = BytesMut::new();
        let end = poll_fn(|context| third.poll_read(context, &mut buffer, 100)).await;
        assert_eq!(end.unwrap(), 0);
        drop(first);
        world.runtime.sleep(Duration::from_secs(1)).await;
        Client::connect(&world.network, &server, ProtocolVersion::V4).await;
    });
}

#[test]
fn a_server_that_stops_answers_what_it_has_taken() {
    let ((), _) = simulate(1, Limits::default(), |world| async move {
        let server = Arc::new(world.start().await);
        let mut client = Client::connect(&world.network, &server, ProtocolVersion::V4).await;
        client.query(1, "hold 1").await;
        client.query(2, "later").await;
        world.runtime.sleep(Duration::from_millis(1)).await;
        let (stopping, later) = (server.clone(), world.clone());
        world.runtime.spawn("stop", Box::pin(async move { stopping.stop().await }));
        world.runtime.spawn(
            "log",
            Box::pin(async move {
                later.runtime.sleep(Duration::from_millis(1)).await;
                later.handler.advance(1);
                later.handler.finish_later(0);
            }),
        );
        let mut streams = Vec::new();
        while let Ok(Some((stream, answer))) = client.receive().await {
            assert_eq!(answer, VOID);
            streams.push(stream);
        }
        streams.sort_unstable();
        assert_eq!(streams, [1, 2]);
        assert!(world.network.connect(server.address()).await.is_err());
    });
}

#[test]
fn a_real_socket_works_too() {
    let runtime = Arc::new(TokioRuntime::new(2).unwrap());
    let handler = FakeHandler::new();
    let clock = Arc::new(ManualClock::new(0));
    let services = handler.services(Limits::default(), clock, &Registry::new());
    let inner: Arc<dyn Runtime> = runtime.clone();
    runtime.block_on(async move {
        let server = Server::start(&TokioNetwork, inner, ADDRESS, services).await.unwrap();
        for version in ProtocolVersion::ALL {
            let mut client = Client::connect(&TokioNetwork, &server, version).await;
            for round in 0..20 {
                client.query(1, "rows 300000").await;
                client.query(2, &format!("hold {}", round + 1)).await;
                client.query(3, "later").await;
                while handler.open() == 0 {
                    std::thread::yield_now();
                }
                handler.advance(round + 1);
                handler.finish_later(0);
                let mut streams = Vec::new();
                while streams.len() < 3 {
                    streams.push(client.receive().await.unwrap().unwrap().0);
                }
                streams.sort_unstable();
                assert_eq!(streams, [1, 2, 3]);
            }
        }
        server.stop().await;
        assert_eq!(server.connections(), 0);
    });
}
