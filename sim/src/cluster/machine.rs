//! One machine of a simulated cluster: a disk, an address, a clock, and the lives of its node.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use helenus::config::{Config, DurabilityMode};
use helenus::node::{Node, Serving, World};
use helenus_platform::disk::{CutOptions, Disk, FaultyDisk};
use helenus_platform::net::{Network, SimHost, SimNetwork};
use helenus_platform::random::{Random, SeededRandom};
use helenus_platform::runtime::{SimGroup, SimRuntime};

use super::Options;
use super::planted::{Plant, PlantedDisk};
use crate::workload::locked;

pub(crate) const CQL_PORT: u16 = 9042;
const INTERNODE_PORT: u16 = 7000;

/// How far a node is.
#[derive(Default)]
enum Life {
    #[default]
    Down,
    Starting,
    /// The node, and what keeps its port open.
    Serving(Node, #[expect(dead_code, reason = "it serves until it is dropped")] Serving),
    /// It did not start, or had to stop.
    Failed(String),
}

/// The state of a machine that harness and node both set.
type Place = Arc<Mutex<Life>>;

pub(crate) struct Machine {
    pub(crate) number: usize,
    pub(crate) ip: IpAddr,
    pub(crate) disk: FaultyDisk,
    pub(crate) group: SimGroup,
    network: SimNetwork,
    seeds: String,
    plant: Option<Plant>,
    random: SeededRandom,
    place: Place,
}

/// The address of a node.
pub(crate) fn ip(number: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(number + 1).unwrap_or(u8::MAX)])
}

impl Machine {
    /// An empty machine.
    pub(crate) fn new(
        number: usize,
        options: &Options,
        runtime: &SimRuntime,
        network: &SimNetwork,
        random: &dyn Random,
    ) -> Self {
        let disk = FaultyDisk::new(random.next_u64());
        disk.set_cold(0.2);
        let seeds: Vec<String> = (0..options.nodes).map(|other| ip(other).to_string()).collect();
        Machine {
            number,
            ip: ip(number),
            disk,
            group: runtime.group(&format!("node {number}")),
            network: network.clone(),
            seeds: seeds.join(","),
            plant: options.plant,
            random: SeededRandom::new(random.next_u64()),
            place: Place::default(),
        }
    }

    fn config(&self) -> Result<Config, String> {
        let mut config = Config {
            data_dir: PathBuf::from("/data"),
            listen_address: self.ip,
            cql_port: CQL_PORT,
            metrics_port: 0,
            rack: format!("rack{}", self.number % 3),
            durability: DurabilityMode::Group,
            segment_bytes: 1 << 17,
            memtable_flush_bytes: 8 << 10,
            memtable_total_bytes: 1 << 20,
            // Small, so that reads wait for the disk and overlap.
            block_cache_bytes: 4 << 10,
            fetch_threads: 2,
            // Waits for a flush inside a statement, which one thread cannot.
            auto_snapshot: false,
            ..Config::default()
        };
        config.set("cluster.seeds", &self.seeds)?;
        config.set("listen.internode_port", &INTERNODE_PORT.to_string())?;
        Ok(config)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, CQL_PORT)
    }

    /// Begins a life, unless there is one.
    pub(crate) fn start(&self) {
        if !matches!(*locked(&self.place), Life::Down | Life::Failed(_)) {
            return;
        }
        *locked(&self.place) = Life::Starting;
        self.disk.heal();
        let disk = self.disk.for_process();
        let disk: Arc<dyn Disk> = match self.plant {
            Some(plant) => Arc::new(PlantedDisk { disk, plant }),
            None => Arc::new(disk),
        };
        let world = World {
            disk,
            clock: self.group.clock(),
            random: Arc::new(SeededRandom::new(self.random.next_u64())),
            runtime: self.group.runtime(),
        };
        let host = self.network.host(self.ip);
        let (config, address, place) = (self.config(), self.address(), self.place.clone());
        let power = self.disk.clone();
        self.group.runtime().spawn_worker(
            "node",
            Box::pin(async move {
                let started = match config {
                    Ok(config) => begin(world, host, config, address).await,
                    Err(error) => Err(error),
                };
                let (node, serving) = match started {
                    Ok(started) => started,
                    // It dies of that in a moment.
                    Err(_) if power.is_off() => return,
                    Err(error) => {
                        *locked(&place) = Life::Failed(error);
                        return;
                    }
                };
                *locked(&place) = Life::Serving(node.clone(), serving);
                let why = node.doomed().await;
                *locked(&place) = Life::Failed(format!("it must stop: {why:?}"));
            }),
        );
    }

    /// Ends a life as `kill -9` does.
    pub(crate) fn kill(&self) {
        self.disk.crash_process();
        self.die();
    }

    /// Ends a life by a power cut: nobody is told.
    pub(crate) fn lose_power(&self, options: CutOptions) {
        self.network.isolate(self.ip);
        self.disk.power_cut(options);
        self.die();
    }

    fn die(&self) {
        self.network.kill(self.ip);
        self.group.kill();
        // After its tasks: nothing of it runs any more when the node's own parts are dropped.
        let ended = std::mem::take(&mut *locked(&self.place));
        drop(ended);
    }

    /// The node, if it serves.
    pub(crate) fn node(&self) -> Option<Node> {
        match &*locked(&self.place) {
            Life::Serving(node, _) => Some(node.clone()),
            _ => None,
        }
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(*locked(&self.place), Life::Down)
    }

    /// Why the last life ended by itself, told once.
    pub(crate) fn failure(&self) -> Option<String> {
        let mut place = locked(&self.place);
        match &*place {
            Life::Failed(_) => match std::mem::take(&mut *place) {
                Life::Failed(why) => Some(why),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A node from its start until it serves clients.
async fn begin(
    world: World,
    host: SimHost,
    config: Config,
    address: SocketAddr,
) -> Result<(Node, Serving), String> {
    let network: Arc<dyn Network> = Arc::new(host);
    let node = Node::start(world, network.clone(), config).await;
    let node = node.map_err(|error| format!("it does not start: {error}"))?;
    let serving = node.serve(network.as_ref(), address).await;
    Ok((node, serving.map_err(|error| format!("it does not serve: {error}"))?))
}

/// The longest that a start may take when nothing is wrong.
pub(crate) const START_MAX: Duration = Duration::from_secs(60);
