//! Whole clusters in one process: nodes on simulated machines and a simulated network, clients
//! that speak the native protocol, and faults drawn from the seed. Then all faults are off: the
//! cluster must heal, and every promise is looked at.
//!
//! What is checked: what `oracle` says of every answer; that afterwards every node serves
//! within [`HEAL_MAX`]; that one read at ALL of everything leaves all replicas alike; that hints
//! alone bring them up to date where no process lost its memory; that no two nodes ever had
//! different metadata of one version, and all have the same in the end.
//!
//! What it leaves out: what the models of disk and network leave out, performance, and nodes that
//! join or leave while clients are at work.

mod check;
mod client;
mod faults;
mod log;
mod machine;
mod oracle;
mod planted;
mod workload;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::disk::CutOptions;
use helenus_platform::net::{Delays, SimNetwork};
use helenus_platform::random::{Random, SeededRandom};
use helenus_platform::runtime::{Runtime, SimRuntime};

pub use faults::{Fault, Kinds, What};
pub use planted::Plant;

use crate::workload::locked;
use log::Log;
use machine::{Machine, START_MAX};
use oracle::Oracle;
use workload::{ClientTask, Shared};

/// 2026-01-01, in microseconds since the epoch.
const START_MICROS: i64 = 1_767_225_600_000_000;
/// Polls after which something counts as stuck.
const POLLS_MAX: u64 = 50_000_000;
/// How often the harness looks around.
const STEP: Duration = Duration::from_millis(1);
/// How often it compares the nodes' metadata.
const METADATA_STEP: Duration = Duration::from_millis(20);
/// The longest that a power cut waits for its sync.
const SYNC_PATIENCE: Duration = Duration::from_secs(2);
/// How long the cluster may take until every node serves, once all faults are off.
pub const HEAL_MAX: Duration = Duration::from_secs(60);

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How many nodes: 1 to 5. Each row is on three of them, or on all if there are fewer.
    pub nodes: usize,
    /// Clients at work.
    pub clients: u64,
    /// How long faults are made.
    pub duration: Duration,
    /// Which ones.
    pub kinds: Kinds,
    /// What clients do.
    pub work: Work,
    /// A fault that is planted in every node.
    pub plant: Option<Plant>,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Writes, reads, batches, counters, scans, and now and then a change of the schema.
    Everything,
    /// Changes of the schema only.
    Schema,
}

impl Options {
    /// A short run of the size that the seed decides; mostly three nodes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let random = SeededRandom::new(seed ^ 0x5eed);
        let nodes = [3, 3, 3, 3, 4, 5, 2, 1];
        let nodes = nodes.get(usize::try_from(random.below(8)).unwrap_or(0)).copied().unwrap_or(3);
        let kinds = if random.chance(0.3) { Kinds::NothingIsLost } else { Kinds::All };
        Self {
            seed,
            nodes,
            clients: 4,
            duration: Duration::from_secs(12),
            kinds,
            work: Work::Everything,
            plant: None,
        }
    }

    /// The faults that the seed decides.
    #[must_use]
    pub fn plan(&self) -> Vec<Fault> {
        faults::plan(self.seed ^ 0xfa_0175, self.nodes, self.duration, self.kinds)
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
    pub violations: Vec<String>,
    /// What happened, line by line, with the simulated time.
    pub history: Vec<String>,
}

/// Runs one simulation with the faults that its seed decides.
#[must_use]
pub fn run(options: &Options) -> Report {
    run_plan(options, &options.plan())
}

/// Runs one simulation with these faults.
#[must_use]
pub fn run_plan(options: &Options, plan: &[Fault]) -> Report {
    let cluster = Cluster::new(options);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        tracing::subscriber::with_default(cluster.log.clone(), || cluster.live(plan))
    }));
    let outcome = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("of an unknown kind")))
    });
    let mut oracle = locked(&cluster.oracle);
    if let Err(what) = outcome {
        oracle.violate(what);
    }
    Report {
        trace_hash: cluster.runtime.trace_hash(),
        promises: oracle.promises(),
        violations: oracle.violations().to_vec(),
        history: cluster.log.lines(),
    }
}

/// The faults of `plan` that are needed for some promise to be broken: leaves out one after the
/// other as long as one still is.
#[must_use]
pub fn shrink(options: &Options, plan: &[Fault]) -> Vec<Fault> {
    let fails = |plan: &[Fault]| !run_plan(options, plan).violations.is_empty();
    let mut needed = plan.to_vec();
    let mut part = needed.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < needed.len() {
            let mut fewer = needed.clone();
            fewer.drain(at..(at + part).min(needed.len()));
            if fails(&fewer) {
                needed = fewer;
            } else {
                at += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    needed
}

/// What the harness does at some time.
#[derive(Clone, Debug)]
enum Action {
    Begin(What),
    End(What),
}

/// A power cut that waits for its sync.
struct Fuse {
    node: usize,
    options: CutOptions,
    until: Duration,
}

struct Cluster {
    options: Options,
    random: SeededRandom,
    clock: Arc<ManualClock>,
    runtime: SimRuntime,
    network: SimNetwork,
    machines: Vec<Machine>,
    oracle: Arc<Mutex<Oracle>>,
    log: Log,
    /// Metadata by their version, as any node had them.
    metadata: Mutex<BTreeMap<u64, Vec<u8>>>,
    compared: Mutex<Duration>,
}

impl Cluster {
    fn new(options: &Options) -> Self {
        let random = SeededRandom::new(options.seed);
        let clock = Arc::new(ManualClock::new(START_MICROS));
        let runtime = SimRuntime::new(random.next_u64(), clock.clone());
        let shared: Arc<dyn Runtime> = Arc::new(runtime.clone());
        let network = SimNetwork::new(random.next_u64(), shared, clock.clone());
        let machine = |number| Machine::new(number, options, &runtime, &network, &random);
        Cluster {
            machines: (0..options.nodes).map(machine).collect(),
            log: Log::new(runtime.clone(), clock.clone()),
            options: options.clone(),
            oracle: Arc::default(),
            metadata: Mutex::default(),
            compared: Mutex::default(),
            random,
            clock,
            runtime,
            network,
        }
    }

    fn shared(&self) -> Shared {
        Shared {
            oracle: self.oracle.clone(),
            log: self.log.clone(),
            runtime: self.runtime.clone(),
            clock: self.clock.clone(),
            network: self.network.clone(),
            nodes: self.options.nodes,
            work: self.options.work,
            stop: Arc::default(),
            working: Arc::default(),
        }
    }

    /// The whole simulation.
    fn live(&self, plan: &[Fault]) -> Result<(), String> {
        for machine in &self.machines {
            machine.start();
            self.run_for(Duration::from_millis(self.random.below(300)))?;
        }
        self.await_all_serving(START_MAX)?;
        self.create_tables()?;
        let shared = self.shared();
        for number in 0..self.options.clients {
            shared.working.fetch_add(1, Ordering::SeqCst);
            let client = ClientTask::new(number, self.random.next_u64(), shared.clone());
            self.runtime.spawn("client", Box::pin(client.work()));
        }
        self.make_faults(plan)?;
        self.heal();
        self.await_healed()?;
        shared.stop.store(true, Ordering::SeqCst);
        let end = self.now() + HEAL_MAX;
        while shared.working.load(Ordering::SeqCst) > 0 {
            if self.now() > end {
                return Err("clients wait for answers for ever".to_owned());
            }
            self.run_for(STEP)?;
        }
        self.judge()
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Lets time pass, looks at what the nodes know, and whether one has stopped by itself.
    fn run_for(&self, duration: Duration) -> Result<(), String> {
        let end = self.now() + duration;
        while self.now() < end {
            let before = self.now();
            self.runtime.run_for(STEP.min(end.saturating_sub(before)));
            if self.now() == before {
                return Err(format!("nothing runs any more: {:?}", self.runtime));
            }
            for machine in &self.machines {
                if let Some(why) = machine.failure() {
                    return Err(format!("node {}: {why}", machine.number));
                }
            }
            let mut compared = locked(&self.compared);
            if *compared + METADATA_STEP <= self.now() {
                *compared = self.now();
                self.compare_metadata();
            }
        }
        Ok(())
    }

    /// Expands the plan into beginnings and ends, and lives through it.
    fn make_faults(&self, plan: &[Fault]) -> Result<(), String> {
        let start = self.now();
        let mut actions: Vec<(Duration, Action)> = Vec::new();
        for fault in plan {
            actions.push((fault.at, Action::Begin(fault.what.clone())));
            actions.push((fault.at + fault.lasts, Action::End(fault.what.clone())));
        }
        actions.sort_by_key(|(at, _)| *at);
        let mut actions: VecDeque<_> = actions.into();
        let mut fuses: Vec<Fuse> = Vec::new();
        while self.now() < start + self.options.duration {
            let due = actions.front().is_some_and(|(at, _)| start + *at <= self.now());
            if due && let Some((_, action)) = actions.pop_front() {
                self.act(&action, &mut fuses);
                continue;
            }
            let is_burnt = |fuse: &Fuse| {
                let disk = self.machines.get(fuse.node).map(|machine| &machine.disk);
                self.now() >= fuse.until || disk.is_some_and(|disk| disk.is_off())
            };
            for fuse in fuses.extract_if(.., |fuse| is_burnt(fuse)) {
                self.cut_power(&fuse);
            }
            self.run_for(STEP)?;
        }
        // Those whose end was planned for later end now, as all faults do.
        fuses.iter().for_each(|fuse| self.cut_power(fuse));
        Ok(())
    }

    fn cut_power(&self, fuse: &Fuse) {
        let Some(machine) = self.machines.get(fuse.node) else { return };
        self.log.say(&format!("--- node {} loses its power", fuse.node));
        machine.lose_power(fuse.options);
    }

    fn act(&self, action: &Action, fuses: &mut Vec<Fuse>) {
        let (what, begins) = match action {
            Action::Begin(what) => (what, true),
            Action::End(what) => (what, false),
        };
        self.log.say(&format!("--- {} {what:?}", if begins { "begins:" } else { "ends:" }));
        let ip = |node: usize| machine::ip(node);
        let Some(machine) = self.machines.get(node_of(what)) else { return };
        match (what, begins) {
            (What::Kill(_), true) if !machine.is_down() => machine.kill(),
            (What::Kill(_), true) => {}
            (What::PowerCut { node, syncs, torn, reorder }, true) => {
                machine.disk.cut_at_sync(machine.disk.syncs() + syncs);
                let options = CutOptions { torn: *torn, reorder: *reorder };
                fuses.push(Fuse { node: *node, options, until: self.now() + SYNC_PATIENCE });
            }
            (What::Kill(node) | What::PowerCut { node, .. }, false) => {
                // The end may be near enough that the fuse still burns.
                for fuse in fuses.extract_if(.., |fuse| fuse.node == *node) {
                    self.cut_power(&fuse);
                }
                self.join_network(*node);
                machine.start();
            }
            (What::Pause(_), true) => machine.group.pause(),
            (What::Pause(_), false) => machine.group.resume(),
            (What::Isolate(node), true) => self.network.isolate(ip(*node)),
            (What::Isolate(node), false) => self.join_network(*node),
            (What::CutOneWay(from, to), true) => self.network.cut(ip(*from), ip(*to)),
            (What::CutOneWay(from, to), false) => self.network.heal(ip(*from), ip(*to)),
            (What::Cut(from, to), true) => self.network.partition(&[ip(*from)], &[ip(*to)]),
            (What::Cut(from, to), false) => {
                self.network.heal(ip(*from), ip(*to));
                self.network.heal(ip(*to), ip(*from));
            }
            (What::SlowLink(from, to, most), _) => {
                let slow =
                    Delays { max: *most, late_chance: 0.1, late_max: *most, ..Delays::default() };
                let delays = if begins { slow } else { Delays::default() };
                self.network.set_delays_between(ip(*from), ip(*to), delays);
            }
            (What::Reset(one, other), _) => self.network.reset(ip(*one), ip(*other)),
            (What::WrongClock(_, micros), true) => machine.group.step_wall(*micros),
            (What::WrongClock(_, micros), false) => machine.group.step_wall(-micros),
            (What::Drift(_, rate), true) => machine.group.set_drift(*rate),
            (What::Drift(..), false) => machine.group.set_drift(0),
            (What::SlowDisk(_, most), true) => machine.group.set_worker_delay(*most),
            (What::SlowDisk(..), false) => machine.group.set_worker_delay(Duration::ZERO),
        }
    }

    /// Undoes [`SimNetwork::isolate`].
    fn join_network(&self, node: usize) {
        let clients = (0..self.options.clients).map(|client| {
            std::net::IpAddr::from([10, 0, 1, u8::try_from(client + 1).unwrap_or(u8::MAX)])
        });
        let others = (0..self.options.nodes).map(machine::ip).chain(clients);
        for other in others.filter(|other| *other != machine::ip(node)) {
            self.network.heal(machine::ip(node), other);
            self.network.heal(other, machine::ip(node));
        }
    }

    /// Ends all faults.
    fn heal(&self) {
        self.log.say("--- all faults end");
        self.network.heal_all();
        for machine in &self.machines {
            for other in &self.machines {
                self.network.set_delays_between(machine.ip, other.ip, Delays::default());
            }
            machine.group.resume();
            machine.group.set_worker_delay(Duration::ZERO);
            machine.group.heal_clock();
            machine.start();
        }
    }

    fn block_on<T: Send + 'static>(
        &self,
        what: &str,
        future: impl Future<Output = Result<T, String>> + Send + 'static,
    ) -> Result<T, String> {
        let done = self.runtime.block_on(POLLS_MAX, future);
        done.map_err(|stuck| format!("{what}: {stuck}"))?.map_err(|why| format!("{what}: {why}"))
    }
}

/// The node that a fault is about first.
fn node_of(what: &What) -> usize {
    match what {
        What::Kill(node)
        | What::PowerCut { node, .. }
        | What::Pause(node)
        | What::Isolate(node)
        | What::CutOneWay(node, _)
        | What::Cut(node, _)
        | What::SlowLink(node, ..)
        | What::Reset(node, _)
        | What::WrongClock(node, _)
        | What::Drift(node, _)
        | What::SlowDisk(node, _) => *node,
    }
}
