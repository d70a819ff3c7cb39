//! The bench against a node in the same process, on simulated time.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use clap::Parser;
use helenus_platform::clock::ManualClock;
use helenus_platform::disk::MemoryDisk;
use helenus_platform::net::{Listener, MemoryNetwork, Stream};
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::{BoxFuture, SimRuntime};

use super::*;
use crate::config::Config;
use crate::node::{Node, World};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: BenchOptions,
}

/// A network on which every answer takes a while, one after the other.
struct Slow {
    network: MemoryNetwork,
    runtime: SimRuntime,
    pause: Duration,
}

struct SlowStream {
    inner: Box<dyn Stream>,
    runtime: SimRuntime,
    pause: Duration,
    sleep: Option<BoxFuture<'static, ()>>,
}

impl Network for Slow {
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Listener>>> {
        self.network.bind(address)
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let inner = self.network.connect(address).await?;
            let (runtime, pause) = (self.runtime.clone(), self.pause);
            Ok(Box::new(SlowStream { inner, runtime, pause, sleep: None }) as Box<dyn Stream>)
        })
    }
}

impl Stream for SlowStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        max: usize,
    ) -> Poll<std::io::Result<usize>> {
        if !self.pause.is_zero() {
            let sleep = self.sleep.get_or_insert_with(|| self.runtime.sleep(self.pause));
            if Pin::new(sleep).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        let read = self.inner.poll_read(context, buffer, max);
        if read.is_ready() {
            self.sleep = None;
        }
        read
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.inner.poll_write(context, bytes)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.inner.poll_shutdown(context)
    }
}

/// Runs a bench against a new node, each answer of which takes `pause`.
fn run(line: &str, pause: Duration) -> Result<Summary, String> {
    let options = Line::try_parse_from(["bench"].into_iter().chain(line.split(' ')));
    let options = options.map_err(|error| error.to_string())?.options;
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
    let runtime = SimRuntime::new(1, clock.clone());
    let world = World {
        disk: Arc::new(MemoryDisk::new()),
        clock: clock.clone(),
        random: Arc::new(SeededRandom::new(1)),
        runtime: Arc::new(runtime.clone()),
    };
    let config = Config { data_dir: "/d".into(), metrics_port: 0, ..Config::default() };
    let node = Node::open(world, config).unwrap();
    let network = Slow { network: MemoryNetwork::new(), runtime: runtime.clone(), pause };
    let tasks: Arc<dyn Runtime> = Arc::new(runtime.clone());
    let test = async move {
        let serving = node.serve(&network, ([127, 0, 0, 1], 0).into()).await.unwrap();
        bench(&options, &network, serving.address(), tasks, clock).await
    };
    runtime.block_on(100_000_000, test).unwrap()
}

#[test]
fn every_workload_does_what_it_says() {
    for (line, reads) in [
        ("write --requests 500 --connections 3 --columns 2", 0..=0),
        ("read --requests 500 --rows 50 --lz4", 500..=500),
        ("mixed --requests 500 --rows 50 --protocol 4", 150..=350),
        ("timeseries --requests 500 --rows 5 --in-flight 1 --protocol 3", 1..=80),
    ] {
        let summary = run(line, Duration::from_micros(1)).unwrap();
        assert_eq!((summary.requests, summary.errors), (500, 0), "{line}: {summary:?}");
        let read = summary.reads.as_ref().map_or(0, |reads| reads.requests);
        assert!(reads.contains(&read), "{line}: {read} reads");
        if !line.starts_with("timeseries") {
            assert_eq!(summary.misses, 0, "{line}");
        }
    }
    let summary = run("read --requests 50 --no-populate", Duration::from_micros(1)).unwrap();
    assert_eq!(summary.misses, 50);
}

#[test]
fn a_slow_node_is_charged_for_every_request_that_had_to_wait() {
    // Ten times more than it can do: the last request waits for nine seconds.
    let line = "write --rate 100 --duration 1s --connections 1 --in-flight 1";
    let summary = run(line, Duration::from_millis(100)).unwrap();
    assert_eq!((summary.requests, summary.errors), (100, 0), "{summary:?}");
    let writes = summary.writes.unwrap();
    assert!(writes.max_us > 8_900_000.0, "{writes:?}");
    assert!(writes.p50_us > 4_000_000.0, "{writes:?}");
    assert!(summary.seconds > 9.5, "{}", summary.seconds);
    // And more than can be waited for: what was never answered has failed.
    let line = "write --rate 1000 --duration 1s --connections 1 --in-flight 1";
    let summary = run(line, Duration::from_millis(100)).unwrap();
    assert!(summary.errors > 800, "{summary:?}");
    assert!((990..=1010).contains(&(summary.requests + summary.errors)), "{summary:?}");
    // In time: a latency is what the answer takes.
    let line = "write --rate 10 --duration 5s --connections 5";
    let writes = run(line, Duration::from_millis(100)).unwrap().writes.unwrap();
    assert!(writes.max_us < 250_000.0, "{writes:?}");
    assert_eq!(writes.requests, 50);
}

#[test]
fn what_cannot_be_is_refused_with_what_could_be() {
    for (line, complaint) in [
        ("write --duration 10", "a duration has a unit"),
        ("write --consistency SOME", "LOCAL_QUORUM"),
        ("write --protocol 9", "3, 4 or 5"),
        ("grow", "timeseries"),
        ("write --keyspace system", "is not user-modifiable"),
    ] {
        let error = run(line, Duration::from_micros(1)).err().unwrap();
        assert!(error.contains(complaint), "{line}: {error}");
    }
}
