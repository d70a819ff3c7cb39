//! Whole nodes that start, on a simulated network, from a seed.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cql_lite::wire::{Event, StatusChangeKind, TopologyChangeKind};
use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::disk::{CutOptions, FaultyDisk};
use helenus_platform::net::SimNetwork;
use helenus_platform::random::{Random, SeededRandom};
use helenus_platform::runtime::{SimGroup, SimRuntime};

use crate::cluster::change::Change;
use crate::cluster::members::MemberState;
use crate::config::Config;
use crate::node::{Node, World};
use crate::schema::{self, KeyspaceDefinition, KeyspaceKind, KeyspaceOptions};

/// How a start has ended.
type Started = Arc<Mutex<Option<Result<Node, String>>>>;

struct Machine {
    group: SimGroup,
    disk: FaultyDisk,
    ip: IpAddr,
    started: Started,
}

struct Lab {
    clock: Arc<ManualClock>,
    random: SeededRandom,
    runtime: SimRuntime,
    network: SimNetwork,
    machines: Vec<Machine>,
}

impl Lab {
    fn new(seed: u64, machines: u8) -> Lab {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
        let random = SeededRandom::new(seed);
        let runtime = SimRuntime::new(random.next_u64(), clock.clone());
        let network = SimNetwork::new(random.next_u64(), Arc::new(runtime.clone()), clock.clone());
        let machine = |number: u8| Machine {
            group: runtime.group(&format!("node{number}")),
            disk: FaultyDisk::new(random.next_u64()),
            ip: IpAddr::from([10, 0, 0, number + 1]),
            started: Started::default(),
        };
        let machines = (0..machines).map(machine).collect();
        Lab { clock, random, runtime, network, machines }
    }

    fn config(&self, at: usize, seeds: &[usize]) -> Config {
        let ip = |at: &usize| self.machines[*at].ip.to_string();
        Config {
            data_dir: "/data".into(),
            listen_address: self.machines[at].ip,
            seeds: seeds.iter().map(ip).collect(),
            segment_bytes: 1 << 16,
            auto_snapshot: false,
            metrics_port: 0,
            ..Config::default()
        }
    }

    /// Begins to start a node, which knows these as its seeds.
    fn begin(&mut self, at: usize, seeds: &[usize]) {
        let config = self.config(at, seeds);
        let machine = &mut self.machines[at];
        machine.started = Started::default();
        let runtime = machine.group.runtime();
        let world = World {
            disk: Arc::new(machine.disk.for_process()),
            clock: machine.group.clock(),
            random: Arc::new(SeededRandom::new(self.random.next_u64())),
            runtime: runtime.clone(),
        };
        let start = Node::start(world, Arc::new(self.network.host(machine.ip)), config);
        let started = machine.started.clone();
        let task = async move {
            let node = start.await.map_err(|error| error.to_string());
            *started.lock().unwrap() = Some(node);
        };
        runtime.spawn("start", Box::pin(task));
    }

    fn crash(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        self.network.kill(machine.ip);
        machine.group.kill();
        machine.disk.power_cut(CutOptions::default());
        machine.started = Started::default();
    }

    fn run_until(&self, what: &str, holds: impl Fn(&Lab) -> bool) {
        let end = self.clock.monotonic() + Duration::from_secs(60);
        while !holds(self) {
            let states: Vec<_> = (0..self.machines.len()).map(|at| self.outcome(at)).collect();
            assert!(self.clock.monotonic() < end, "{what}: it does not come to be: {states:?}");
            self.runtime.run_for(Duration::from_millis(20));
        }
    }

    fn outcome(&self, at: usize) -> Option<Result<Node, String>> {
        self.machines[at].started.lock().unwrap().clone()
    }

    fn has_started(&self, at: usize) -> bool {
        match self.outcome(at) {
            Some(Err(why)) => panic!("node {at}: {why}"),
            Some(Ok(_)) => true,
            None => false,
        }
    }

    fn node(&self, at: usize) -> Node {
        self.outcome(at).expect("it has started").expect("it serves")
    }

    /// Starts a node that must be refused; why.
    fn refused(&mut self, at: usize, seeds: &[usize]) -> String {
        self.begin(at, seeds);
        self.run_until("refused", |lab| lab.outcome(at).is_some());
        self.outcome(at).unwrap().expect_err("it is refused")
    }

    /// Runs something to its end.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.block_on(5_000_000, work).unwrap()
    }

    fn normal(&self, at: usize) -> usize {
        let state = self.node(at).metadata().state();
        state.members.present().filter(|member| member.state == MemberState::Normal).count()
    }
}

#[test]
fn in_all_orders_of_start_three_nodes_found_one_cluster() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (seed, order) in (1..).zip(orders) {
        for pause in [Duration::ZERO, Duration::from_millis(700), Duration::from_secs(4)] {
            let mut lab = Lab::new(seed, 3);
            for at in order {
                lab.begin(at, &[0, 1, 2]);
                lab.runtime.run_for(pause);
            }
            let began = lab.clock.monotonic();
            lab.run_until("all start", |lab| (0..3).all(|at| lab.has_started(at)));
            let took = lab.clock.monotonic() - began;
            assert!(took < Duration::from_secs(8), "{order:?}, {pause:?}: {took:?}");
            let founded = lab.node(0).identity().cluster_id;
            assert!((1..3).all(|at| lab.node(at).identity().cluster_id == founded), "{order:?}");
            lab.run_until("all normal", |lab| (0..3).all(|at| lab.normal(at) == 3));
        }
    }
}

#[test]
fn a_seed_that_has_lost_its_directory_joins_as_a_new_node() {
    let mut lab = Lab::new(7, 3);
    (0..3).for_each(|at| lab.begin(at, &[0, 1, 2]));
    lab.run_until("all start", |lab| (0..3).all(|at| lab.has_started(at)));
    lab.run_until("all vote", |lab| {
        lab.node(2).metadata().state().members.config().voters.len() == 3
    });
    let (before, founded) = (lab.node(0).identity().host_id, lab.node(0).identity().cluster_id);
    lab.crash(0);
    lab.machines[0].disk = FaultyDisk::new(99);
    lab.begin(0, &[0, 1, 2]);
    lab.run_until("it joins", |lab| lab.has_started(0));
    let identity = lab.node(0).identity();
    assert_eq!(identity.cluster_id, founded);
    assert_ne!(identity.host_id, before);
    // And again, as who it is now, although who had its address is still a member.
    lab.crash(0);
    lab.begin(0, &[0, 1, 2]);
    lab.run_until("it comes back", |lab| lab.has_started(0));
    assert_eq!(lab.node(0).identity().host_id, identity.host_id);
    assert!(lab.node(0).identity().gossip_generation > identity.gossip_generation);
}

#[test]
fn nodes_of_different_clusters_do_not_mix() {
    let mut lab = Lab::new(8, 3);
    lab.begin(0, &[0]);
    lab.begin(1, &[]);
    lab.run_until("both found", |lab| lab.has_started(0) && lab.has_started(1));
    let why = lab.refused(2, &[0, 1]);
    assert!(why.contains("belong to different clusters"), "{why}");
    lab.crash(1);
    let why = lab.refused(1, &[0]);
    assert!(why.contains("list seeds of its own cluster"), "{why}");
    lab.crash(1);
    lab.begin(1, &[]);
    lab.run_until("it is refused nothing else", |lab| lab.has_started(1));
}

#[test]
fn a_copy_of_a_live_node_is_refused_and_does_the_original_no_harm() {
    let mut lab = Lab::new(11, 3);
    lab.begin(0, &[0, 1]);
    lab.begin(1, &[0, 1]);
    lab.run_until("both start", |lab| lab.has_started(0) && lab.has_started(1));
    lab.runtime.run_for(Duration::from_secs(2));
    lab.machines[2].disk = lab.machines[1].disk.fork(5);
    let why = lab.refused(2, &[0, 1]);
    assert!(why.contains("a data directory was copied"), "{why}");
    let original = lab.node(1).identity().host_id;
    assert!(lab.node(0).liveness().is_up(&original));
    assert!(lab.node(1).gossip().is_some_and(|gossip| gossip.fatal().is_none()));
    // Where the original is, nobody minds.
    lab.crash(1);
    lab.begin(1, &[0, 1]);
    lab.run_until("it comes back", |lab| lab.has_started(1));
}

#[test]
fn who_is_interrupted_while_it_joins_joins_all_the_same_and_once() {
    let mut lab = Lab::new(9, 2);
    lab.begin(0, &[]);
    lab.run_until("it founds", |lab| lab.has_started(0));
    lab.begin(1, &[0]);
    lab.run_until("it joins", |lab| lab.has_started(1));
    let calls = lab.machines[1].disk.calls();
    for call in (1..calls).step_by(4) {
        let mut lab = Lab::new(9, 2);
        lab.begin(0, &[]);
        lab.run_until("it founds", |lab| lab.has_started(0));
        lab.machines[1].disk.cut_at_call(call);
        lab.begin(1, &[0]);
        lab.run_until("the cut", |lab| lab.machines[1].disk.is_off() || lab.outcome(1).is_some());
        lab.crash(1);
        lab.begin(1, &[0]);
        lab.run_until(&format!("cut at {call}: it joins"), |lab| lab.has_started(1));
        lab.run_until("normal", |lab| lab.normal(0) == 2);
        let members = lab.node(0).metadata().state().members.all().count();
        assert_eq!(members, 2, "cut at call {call}");
    }
}

#[test]
fn drivers_are_told_on_every_node_of_what_happens_through_others() {
    let mut lab = Lab::new(10, 2);
    lab.begin(0, &[]);
    lab.run_until("it founds", |lab| lab.has_started(0));
    let mut events = lab.node(0).events().subscribe();
    lab.begin(1, &[0]);
    lab.run_until("it joins", |lab| lab.has_started(1));
    let address = SocketAddr::new(lab.machines[1].ip, 9042);
    let (node, host) = (lab.node(1), lab.network.host(lab.machines[1].ip));
    let serving = lab.run(async move { node.serve(&host, address).await.unwrap() });
    lab.runtime.run_for(Duration::from_secs(2));

    let change = KeyspaceDefinition {
        id: lab.node(1).metadata().schema().next_keyspace_id(),
        name: "ks".to_owned(),
        kind: KeyspaceKind::User,
        options: KeyspaceOptions { replication: [].into(), durable_writes: true },
    };
    let node = lab.node(1);
    lab.run(async move {
        let change = Change::Schema(schema::Change::PutKeyspace(change));
        node.metadata().change(|_| Ok(vec![change.clone()])).await.unwrap();
    });
    assert_eq!(lab.node(0).metadata().schema().keyspaces().len(), 8);
    let node = lab.node(1);
    lab.run(async move {
        serving.stop().await;
        node.close().await.unwrap();
    });
    // Without waiting for its silence.
    lab.runtime.run_for(Duration::from_millis(100));
    let mut told = Vec::new();
    while let Some(event) = events.try_next().unwrap() {
        told.push(Event::clone(&event));
    }
    let schema = told.iter().filter(|event| matches!(event, Event::Schema(_))).count();
    told.retain(|event| !matches!(event, Event::Schema(_)));
    assert_eq!(schema, 1);
    assert_eq!(
        told,
        [
            Event::Topology(TopologyChangeKind::NewNode, address),
            Event::Status(StatusChangeKind::Up, address),
            Event::Status(StatusChangeKind::Down, address),
        ]
    );
}
