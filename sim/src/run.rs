//! One simulation: rounds of work that end in a crash, a power cut or a clean stop, each followed
//! by a restart at which every promise is looked at.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use helenus::config::{Config, DurabilityMode};
use helenus::node::{Node, World};
use helenus::server::Handler;
use helenus_driver::Session;
use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::disk::{CutOptions, FaultyDisk};
use helenus_platform::random::{Random, SeededRandom};
use helenus_platform::runtime::SimRuntime;

use crate::eager::Eager;
use crate::oracle::{Oracle, Violation};
use crate::workload::{Batches, ClientTask, SCHEMA, Shared, Statements, locked};

/// Polls after which a restart or a stop counts as stuck.
const POLLS_MAX: u64 = 5_000_000;
/// 2026-01-01, in microseconds since the epoch.
const START_MICROS: i64 = 1_767_225_600_000_000;

/// A fault that is planted to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Answers are given before what they promise is durable.
    AnswerBeforeWatermark,
}

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How often the node is stopped, one way or another.
    pub rounds: u32,
    /// Clients at work.
    pub clients: u64,
    /// When a write is answered.
    pub durability: DurabilityMode,
    /// A fault that is planted.
    pub plant: Option<Plant>,
}

impl Options {
    /// A short run of the default mode.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let durability = DurabilityMode::Group;
        Self { seed, rounds: 6, clients: 5, durability, plant: None }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A hash over everything that ran, in its order.
    pub trace_hash: u64,
    /// Promises that clients were given.
    pub promises: u64,
    /// Promises that were broken.
    pub violations: Vec<Violation>,
}

struct Simulation {
    options: Options,
    random: Arc<SeededRandom>,
    clock: Arc<ManualClock>,
    runtime: SimRuntime,
    disk: FaultyDisk,
    oracle: Arc<Mutex<Oracle>>,
    batches: Arc<Mutex<Batches>>,
}

/// Runs one simulation.
#[must_use]
pub fn run(options: Options) -> Report {
    let clock = Arc::new(ManualClock::new(START_MICROS));
    let random = Arc::new(SeededRandom::new(options.seed));
    let simulation = Simulation {
        options,
        clock: clock.clone(),
        runtime: SimRuntime::new(random.next_u64(), clock),
        disk: FaultyDisk::new(random.next_u64()),
        random,
        oracle: Arc::default(),
        batches: Arc::default(),
    };
    simulation.disk.set_cold(0.5);
    for round in 0..options.rounds {
        if !simulation.round(round) {
            break;
        }
    }
    let oracle = locked(&simulation.oracle);
    Report {
        trace_hash: simulation.runtime.trace_hash(),
        promises: oracle.promises(),
        violations: oracle.violations().to_vec(),
    }
}

impl Simulation {
    fn config(&self) -> Config {
        Config {
            data_dir: PathBuf::from("/data"),
            durability: self.options.durability,
            sync_period: Duration::from_millis(50),
            segment_bytes: 1 << 16,
            memtable_flush_bytes: 8 << 10,
            memtable_total_bytes: 1 << 20,
            // Small, so that reads wait for the disk and overlap.
            block_cache_bytes: 4 << 10,
            // Waits for a flush inside a statement, which one thread cannot.
            auto_snapshot: false,
            ..Config::default()
        }
    }

    fn world(&self) -> World {
        World {
            disk: Arc::new(self.disk.for_process()),
            clock: self.clock.clone(),
            random: self.random.clone(),
            runtime: Arc::new(self.runtime.clone()),
        }
    }

    /// One life of the node; false if it cannot be lived.
    fn round(&self, round: u32) -> bool {
        let node = match Node::open(self.world(), self.config()) {
            Ok(node) => node,
            Err(error) => {
                return self.fail(format!("round {round}: the node does not open: {error}"));
            }
        };
        let handler: Arc<dyn Handler> = match self.options.plant {
            Some(Plant::AnswerBeforeWatermark) => Arc::new(Eager(node.clone())),
            None => Arc::new(node.clone()),
        };
        let session = Session::on(handler);
        let prepared = self.block_on({
            let session = session.clone();
            async move {
                if round == 0 {
                    for statement in SCHEMA {
                        session.query(*statement, ()).await?;
                    }
                }
                Statements::prepare(&session).await
            }
        });
        let statements = match prepared {
            Ok(Ok(statements)) => statements,
            Ok(Err(error)) => return self.fail(format!("round {round}: preparing: {error}")),
            Err(stuck) => return self.fail(format!("round {round}: preparing: {stuck}")),
        };
        let (oracle, batches) = (self.oracle.clone(), self.batches.clone());
        let runtime = self.runtime.clone();
        let shared = Shared { session, statements, oracle, batches, runtime };
        let verifier = shared.clone();
        match self.block_on(async move { verifier.verify().await }) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return self.fail(format!("round {round}: verifying: {error}")),
            Err(stuck) => return self.fail(format!("round {round}: verifying: {stuck}")),
        }
        self.start_clients(&shared);
        drop(shared);
        self.end_life(&node, round)
    }

    fn start_clients(&self, shared: &Shared) {
        use helenus_platform::runtime::Runtime as _;
        for number in 0..self.options.clients {
            let random = SeededRandom::new(self.random.next_u64());
            let clients = self.options.clients;
            let client = ClientTask { number, clients, random, shared: shared.clone() };
            self.runtime.spawn("client", Box::pin(client.work()));
        }
    }

    /// Lets the clients work for a while, then ends the node's life in one of the ways in which
    /// lives end.
    fn end_life(&self, node: &Node, round: u32) -> bool {
        // Periodic mode promises nothing across a power cut.
        let periodic = self.options.durability == DurabilityMode::Periodic;
        let way = if periodic { 1 + 2 * self.random.below(2) } else { self.random.below(4) };
        if way == 0 {
            let ahead = 1 + self.random.below(60);
            self.disk.cut_at_sync(self.disk.syncs() + ahead);
        }
        let work = Duration::from_millis(20 + self.random.below(400));
        let end = self.clock.monotonic() + work;
        while self.clock.monotonic() < end && !self.disk.is_off() {
            self.runtime.run_for(Duration::from_millis(1));
        }
        if way == 3 {
            let closing = node.clone();
            return match self.block_on(async move { closing.close().await }) {
                Ok(Ok(())) => {
                    // The pool's workers end as they do in a process that waits for them.
                    self.runtime.run_for(Duration::from_millis(20));
                    self.die()
                }
                Ok(Err(error)) => self.fail(format!("round {round}: stopping: {error}")),
                Err(stuck) => {
                    self.fail(format!("round {round}: stopping: {stuck}: {:?}", self.runtime))
                }
            };
        }
        if way == 1 {
            self.disk.crash_process();
        } else {
            let chance = || self.random.chance(0.5);
            self.disk.power_cut(CutOptions { torn: chance(), reorder: chance() });
        }
        self.die()
    }

    fn die(&self) -> bool {
        self.runtime.kill();
        self.disk.heal();
        locked(&self.oracle).crash();
        true
    }

    fn block_on<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, helenus_platform::runtime::Stuck> {
        self.runtime.block_on(POLLS_MAX, future)
    }

    fn fail(&self, what: String) -> bool {
        locked(&self.oracle).violate(what);
        false
    }
}
