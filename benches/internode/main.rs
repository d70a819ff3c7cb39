//! Two nodes' connections over loopback TCP: rate and CPU of a round trip, both ends together.
//!
//! ```text
//! cargo bench --bench internode                     full size
//! cargo bench --bench internode -- --in-flight 1    another number in flight
//! ```
//!
//! One connection, 200-byte requests that are answered with their payload, so many in flight; the
//! answer to one sends the next. Each end has a runtime with one thread, both in this process, so
//! a round trip's CPU is what coordinator and replica pay together for messages alone.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "the load comes from outside the node's seams")]

#[path = "../common/echo.rs"]
mod echo;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use echo::{Echo, cpu_of};
use helenus::internode::{
    Failure, Incoming, Internode, InternodeMetrics, Limits, MessageHandler, Own, Peer, Position,
    Received, ReplyWriter, Request, RequestError, Responses, Target, Verb, World,
};
use helenus::telemetry::Registry;
use helenus_platform::clock::RealClock;
use helenus_platform::codec::Put;
use helenus_platform::net::TokioNetwork;
use helenus_platform::random::RealRandom;
use helenus_platform::runtime::TokioRuntime;
use helenus_platform::signal::Signal;

const PAYLOAD_BYTES: usize = 200;

/// Answers with what was asked.
struct EchoHandler(Signal);

impl MessageHandler for EchoHandler {
    fn receive(&self, _from: &Peer, message: Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        reply.put_bytes(&message.payload);
        Received::NOW
    }

    fn watermark(&self) -> Position {
        0
    }

    fn write_out(&self, _position: Position) {}

    fn watermark_signal(&self) -> &Signal {
        &self.0
    }

    fn failure(&self) -> Option<Failure> {
        None
    }
}

/// Sends the next request as each answer comes.
struct Load {
    internode: Arc<Internode>,
    target: Target,
    payload: Bytes,
    left: AtomicU64,
    answered: AtomicU64,
    count: u64,
    done: Signal,
    failed: Mutex<Option<RequestError>>,
    own: std::sync::Weak<Load>,
}

impl Load {
    fn next(&self) {
        let more = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return;
        }
        let request = Request {
            verb: Verb::Mutation,
            payload: self.payload.clone(),
            deadline: self.internode.deadline(Duration::from_secs(10)),
            trace: None,
        };
        let to = self.own.upgrade().unwrap();
        self.internode.request_with(&self.target, request, to, 0).unwrap();
    }
}

impl Responses for Load {
    fn respond(&self, _tag: u32, response: Result<Bytes, RequestError>) {
        if let Err(error) = response {
            *self.failed.lock().unwrap() = Some(error);
        }
        if self.answered.fetch_add(1, Ordering::Relaxed) + 1 == self.count {
            self.done.notify_all();
        }
        self.next();
    }
}

fn node(runtime: &Arc<TokioRuntime>, number: u8) -> Internode {
    let world = World {
        network: Arc::new(TokioNetwork),
        runtime: runtime.clone(),
        clock: Arc::new(RealClock::new()),
        random: Arc::new(RealRandom::new().unwrap()),
    };
    let own = Own {
        cluster_id: Some([9; 16]),
        host_id: [number; 16],
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        feature_level: 1,
    };
    Internode::new(world, own, Limits::default(), InternodeMetrics::new(&Registry::new()))
}

/// The CPU time and the time that `count` round trips took.
fn run(load: &Arc<Load>, runtime: &TokioRuntime, in_flight: u64) -> (Duration, Duration) {
    let (cpu, began) = (cpu_of(std::process::id()), Instant::now());
    let epoch = load.done.epoch();
    for _ in 0..in_flight {
        load.next();
    }
    runtime.block_on(load.done.wait_past(epoch));
    let took = began.elapsed();
    assert_eq!(*load.failed.lock().unwrap(), None);
    (cpu_of(std::process::id()) - cpu, took)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let full = arguments.iter().any(|argument| argument == "--bench");
    let echo = Echo::measure(if full { 20_000 } else { 10 });
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let all = after("--in-flight").map_or(vec![1, 32, 256], |one| vec![one]);
    let (here, there) =
        (Arc::new(TokioRuntime::new(1).unwrap()), Arc::new(TokioRuntime::new(1).unwrap()));
    let replica = node(&there, 2);
    let handler = Arc::new(EchoHandler(Signal::new()));
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let address = there.block_on(replica.listen(local, handler)).unwrap();
    let target = Target { address, host_id: Some([2; 16]) };
    let internode = Arc::new(node(&here, 1));
    for in_flight in all {
        let count = if full { 40_000 * in_flight.min(50) } else { 500 };
        for round in 0..2 {
            let load = Arc::new_cyclic(|own| Load {
                internode: internode.clone(),
                target,
                payload: Bytes::from(vec![7; PAYLOAD_BYTES]),
                left: AtomicU64::new(count),
                answered: AtomicU64::new(0),
                count,
                done: Signal::new(),
                failed: Mutex::new(None),
                own: own.clone(),
            });
            let (cpu, took) = run(&load, &here, in_flight);
            // The first one warms up.
            if round == 1 {
                let rate = count as f64 / took.as_secs_f64();
                echo.print(&format!("round trip, {in_flight} in flight"), count, cpu, rate);
            }
        }
    }
    here.block_on(internode.close());
    there.block_on(replica.close());
}
