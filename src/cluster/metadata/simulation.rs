//! Groups of members in one process, from a seed: on disks that lose what was not synced, and a
//! network that loses, delays and repeats. Every state that a member arrives at is compared with
//! that of the others at the same version.

mod chaos;
mod network;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use helenus_platform::clock::ManualClock;
use helenus_platform::disk::{CutOptions, FaultyDisk};
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::SimRuntime;
use helenus_storage::model::TableId;

pub(crate) use self::chaos::{Plant, planted};
use self::network::{Network, SimTransport};
use super::*;
use crate::cluster::identity::{Identity, IdentityFile};
use crate::cluster::members::MemberState;
use crate::schema::{KeyspaceDefinition, KeyspaceKind, KeyspaceOptions, Table, TableSource};

const DIR: &str = "/data";
const CLUSTER: [u8; 16] = [7; 16];
/// Far more than any test needs.
const POLLS_MAX: u64 = 20_000_000;

/// The states that there were, by version: there is one history.
#[derive(Default)]
pub(super) struct History {
    states: BTreeMap<u64, Bytes>,
    pub(super) violations: Vec<String>,
}

impl History {
    /// Compares a state with what other members had at its version.
    pub(super) fn saw(&mut self, node: usize, state: &ClusterState) {
        let bytes = state.encode();
        let known = self.states.entry(state.version).or_insert_with(|| bytes.clone());
        if *known != bytes {
            let what = format!("member {node} has another version {}", state.version);
            self.violations.push(what);
        }
    }
}

/// Does to the identity what the node's own applier does, and notes the rest.
struct Recorder {
    node: usize,
    identity: IdentityFile,
    history: Arc<Mutex<History>>,
    applied: Arc<Mutex<Vec<schema::Change>>>,
}

impl Applier for Recorder {
    fn apply(
        &self,
        before: &ClusterState,
        after: &ClusterState,
        changes: &[schema::Change],
    ) -> Result<()> {
        let recorded = self.identity.update(|identity| identity.metadata_version = after.version);
        recorded.map_err(|error| Error::server(error.to_string()))?;
        let mut history = locked(&self.history);
        if after.version <= before.version {
            history.violations.push(format!("version {} came twice", after.version));
        }
        history.saw(self.node, after);
        locked(&self.applied).extend(changes.iter().cloned());
        Ok(())
    }
}

struct Machine {
    disk: FaultyDisk,
    member: Member,
    metadata: Option<Arc<Metadata>>,
    applied: Arc<Mutex<Vec<schema::Change>>>,
}

/// Some machines.
pub(super) struct Lab {
    pub(super) random: Arc<SeededRandom>,
    clock: Arc<ManualClock>,
    pub(super) runtime: SimRuntime,
    pub(super) network: Arc<Network>,
    pub(super) history: Arc<Mutex<History>>,
    machines: Vec<Machine>,
}

pub(super) fn founder(number: usize) -> Member {
    Member {
        tokens: vec![0, 1 << 60, -(1 << 60)],
        state: MemberState::Normal,
        voter: true,
        ..newcomer(number)
    }
}

pub(super) fn newcomer(number: usize) -> Member {
    let byte = u8::try_from(number + 1).unwrap();
    Member {
        host_id: [byte; 16],
        internode_address: ([10, 0, 0, byte], 7000).into(),
        cql_address: ([10, 0, 0, byte], 9042).into(),
        data_center: "dc".to_owned(),
        rack: format!("r{}", number % 3),
        tokens: Vec::new(),
        state: MemberState::Joining,
        feature_level: FEATURE_LEVEL,
        voter: false,
    }
}

/// A keyspace of that name, made or replaced.
pub(super) fn keyspace(state: &ClusterState, name: &str) -> Change {
    Change::Schema(schema::Change::PutKeyspace(KeyspaceDefinition {
        id: state.schema.next_keyspace_id(),
        name: name.into(),
        kind: KeyspaceKind::User,
        options: KeyspaceOptions { replication: [].into(), durable_writes: true },
    }))
}

impl Lab {
    pub(super) fn new(seed: u64) -> Lab {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000_000));
        let random = Arc::new(SeededRandom::new(seed));
        let runtime = SimRuntime::new(random.next_u64(), clock.clone());
        let network = Arc::new(Network::new(random.next_u64(), runtime.clone()));
        Lab { random, clock, runtime, network, history: Arc::default(), machines: Vec::new() }
    }

    fn machine(&mut self, member: Member) -> usize {
        let disk = FaultyDisk::new(self.random.next_u64());
        disk.create_dir_all(&Path::new(DIR).join("metadata")).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        self.machines.push(Machine { disk, member, metadata: None, applied: Arc::default() });
        self.machines.len() - 1
    }

    fn identity(member: &Member, cluster_id: [u8; 16]) -> Identity {
        Identity {
            cluster_id,
            host_id: member.host_id,
            tokens: member.tokens.clone(),
            ..Identity::found(&SeededRandom::new(1))
        }
    }

    /// A cluster of one.
    pub(super) fn found(&mut self) -> usize {
        let node = self.machine(founder(self.machines.len()));
        let machine = &self.machines[node];
        let (disk, clock) = (Arc::new(machine.disk.clone()), self.clock.clone());
        let dir = Path::new(DIR).join("metadata");
        drop(Metadata::create(disk, clock, &dir, CLUSTER, machine.member.clone()).unwrap());
        let identity = Self::identity(&machine.member, CLUSTER);
        identity.store(&machine.disk, Path::new(DIR)).unwrap();
        self.start(node);
        node
    }

    /// Opens a machine's directory and lets it take part.
    pub(super) fn start(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let disk: Arc<dyn Disk> = Arc::new(machine.disk.for_process());
        let found = Identity::load(disk.as_ref(), Path::new(DIR)).unwrap().unwrap();
        let (cluster, host, committed) = (found.cluster_id, found.host_id, found.metadata_version);
        let dir = Path::new(DIR).join("metadata");
        let opened =
            Metadata::open(disk.clone(), self.clock.clone(), &dir, cluster, host, committed);
        let metadata = match opened {
            Ok(metadata) => Arc::new(metadata),
            Err(error) => {
                let what = format!("member {node} does not open: {error}");
                locked(&self.history).violations.push(what);
                return;
            }
        };
        locked(&self.history).saw(node, &metadata.state());
        let from = machine.member.internode_address;
        metadata.start(Running {
            runtime: Arc::new(self.runtime.clone()),
            random: Arc::new(SeededRandom::new(self.random.next_u64())),
            applier: Arc::new(Recorder {
                node,
                identity: IdentityFile::new(disk, DIR.into(), found),
                history: self.history.clone(),
                applied: machine.applied.clone(),
            }),
            transport: Arc::new(SimTransport { network: self.network.clone(), from }),
            liveness: self.network.clone(),
            own: machine.member.clone(),
            timing: Timing::default(),
        });
        self.network.connect(from, host, metadata.clone());
        machine.metadata = Some(metadata);
    }

    /// Ends a machine's life by a power cut.
    pub(super) fn crash(&mut self, node: usize) {
        self.crash_with(node, CutOptions::default());
    }

    pub(super) fn crash_with(&mut self, node: usize, options: CutOptions) {
        let machine = &mut self.machines[node];
        self.network.disconnect(machine.member.internode_address);
        machine.disk.power_cut(options);
        if let Some(metadata) = machine.metadata.take() {
            metadata.inner.stop();
        }
    }

    pub(super) fn restart(&mut self, node: usize) {
        self.crash(node);
        self.start(node);
    }

    pub(super) fn move_to(&mut self, node: usize, address: SocketAddr) {
        self.machines[node].member.internode_address = address;
    }

    /// Asks a member to take somebody in.
    pub(super) fn join_as(&self, via: usize, newcomer: Member) -> Result<Joined> {
        let asking = self.asking(via, newcomer);
        self.runtime.block_on(POLLS_MAX, asking).unwrap()
    }

    fn asking(
        &self,
        via: usize,
        newcomer: Member,
    ) -> impl Future<Output = Result<Joined>> + Send + 'static {
        let runtime: Arc<dyn Runtime> = Arc::new(self.runtime.clone());
        let (network, from) = (self.network.clone(), newcomer.internode_address);
        let seed = self.machines[via].member.internode_address;
        async move {
            let transport = SimTransport { network, from };
            join::join(&runtime, &transport, seed, &newcomer).await
        }
    }

    /// A new machine joins, and takes over its ranges.
    pub(super) fn join(&mut self, via: usize) -> Result<usize> {
        let node = self.machine(newcomer(self.machines.len()));
        let joined = self.join_as(via, self.machines[node].member.clone())?;
        self.settle(node, joined);
        let host = self.host(node);
        self.run_until(|lab| lab.state(node).members.get(&host).is_some());
        self.set_state(node, host, MemberState::Normal)?;
        Ok(node)
    }

    /// Makes the directory of who has been taken in.
    pub(super) fn settle(&mut self, node: usize, joined: Joined) {
        let machine = &self.machines[node];
        let (disk, clock) = (Arc::new(machine.disk.clone()), self.clock.clone());
        let dir = Path::new(DIR).join("metadata");
        let host = joined.member.host_id;
        drop(Metadata::create_joining(disk, clock, &dir, joined.cluster_id, host).unwrap());
        let identity = Self::identity(&joined.member, joined.cluster_id);
        identity.store(&machine.disk, Path::new(DIR)).unwrap();
        self.start(node);
    }

    /// As many machines as there are members named, all asking at the same time.
    pub(super) fn join_at_once(&mut self, via: &[usize]) -> Vec<Result<usize>> {
        let nodes: Vec<usize> =
            via.iter().map(|_| self.machine(newcomer(self.machines.len()))).collect();
        let asking = nodes.iter().zip(via).map(|(node, via)| {
            let asking = self.asking(*via, self.machines[*node].member.clone());
            Box::pin(asking) as BoxFuture<'static, Result<Joined>>
        });
        let asking = super::super::wait::all(asking.collect());
        let joined = self.runtime.block_on(POLLS_MAX, asking).unwrap();
        let settle = |(node, joined): (usize, Result<Joined>)| {
            joined.map(|joined| {
                self.settle(node, joined);
                node
            })
        };
        nodes.into_iter().zip(joined).map(settle).collect()
    }

    pub(super) fn metadata(&self, node: usize) -> Arc<Metadata> {
        self.machines[node].metadata.clone().expect("it lives")
    }

    pub(super) fn lives(&self, node: usize) -> bool {
        self.machines[node].metadata.is_some()
    }

    pub(super) fn disk(&self, node: usize) -> &FaultyDisk {
        &self.machines[node].disk
    }

    pub(super) fn state(&self, node: usize) -> Arc<ClusterState> {
        self.metadata(node).state()
    }

    pub(super) fn change(
        &self,
        node: usize,
        plan: impl FnMut(&ClusterState) -> Result<Vec<Change>> + Send + 'static,
    ) -> Result<Changed> {
        let metadata = self.metadata(node);
        self.runtime.block_on(POLLS_MAX, async move { metadata.change(plan).await }).unwrap()
    }

    pub(super) fn set_state(
        &self,
        node: usize,
        host: [u8; 16],
        state: MemberState,
    ) -> Result<Changed> {
        let metadata = self.metadata(node);
        let setting = async move { metadata.set_member_state(host, state).await };
        self.runtime.block_on(POLLS_MAX, setting).unwrap()
    }

    /// Lets time pass until something holds.
    pub(super) fn run_until(&self, holds: impl Fn(&Lab) -> bool) {
        let end = self.clock.monotonic() + Duration::from_secs(120);
        while !holds(self) {
            assert!(self.clock.monotonic() < end, "it does not come to hold: {:?}", self.runtime);
            self.runtime.run_for(Duration::from_millis(20));
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(super) fn host(&self, node: usize) -> [u8; 16] {
        self.machines[node].member.host_id
    }

    pub(super) fn address(&self, node: usize) -> SocketAddr {
        self.machines[node].member.internode_address
    }

    pub(super) fn voters(&self, node: usize) -> usize {
        self.state(node).members.config().voters.len()
    }

    pub(super) fn is_voter(&self, node: usize) -> bool {
        let host = self.host(node);
        let known = self.machines.iter().filter_map(|machine| machine.metadata.as_ref());
        let newest = known.map(|metadata| metadata.state()).max_by_key(|state| state.version);
        newest.is_some_and(|state| state.members.config().voters.contains(&host))
    }

    pub(super) fn files(&self, node: usize) -> Vec<String> {
        let entries = self.machines[node].disk.list(&Path::new(DIR).join("metadata")).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }

    pub(super) fn applied(&self, node: usize) -> Vec<schema::Change> {
        locked(&self.machines[node].applied).clone()
    }

    pub(super) fn forget_applied(&self, node: usize) {
        locked(&self.machines[node].applied).clear();
    }

    pub(super) fn create_table(&self, node: usize, keyspace: &str, name: &str) -> TableId {
        let (keyspace, name) = (keyspace.to_owned(), name.to_owned());
        let id = self.state(node).schema.next_table_id();
        let plan = move |state: &ClusterState| {
            let table = Table {
                id: state.schema.next_table_id(),
                uuid: [1; 16],
                keyspace: keyspace.clone(),
                name: name.clone(),
                partition_key: Vec::new(),
                clustering: Vec::new(),
                statics: Vec::new(),
                regulars: Vec::new(),
                options: schema::TableOptions::default(),
                dropped: BTreeMap::new(),
                next_column_id: 1,
                counter: false,
                source: TableSource::Stored,
            };
            Ok(vec![schema::Change::PutTable(Arc::new(table)).into()])
        };
        self.change(node, plan).unwrap();
        id
    }
}
