//! Some nodes, as far as a read needs them: an engine, connections, and a handler that misbehaves
//! when a test wants it to.

use std::future::{Future, pending};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use helenus::cluster::members::{FEATURE_LEVEL, Member, MemberState};
use helenus::cluster::metadata::{Applier, Metadata, Running};
use helenus::cluster::state::ClusterState;
use helenus::cluster::transport::{AllUp, NoTransport};
use helenus::coordinator::mutation_message;
use helenus::coordinator::read::{Contact, Latencies, ReadMetrics, ReadWorld};
use helenus::coordinator::replica_read::ReplicaReader;
use helenus::internode::{
    Failure, Incoming, Internode, InternodeMetrics, Limits, MessageHandler, Own, Peer, Position,
    Received, ReplyWriter, Request, RequestError, Target, Verb, World,
};
use helenus::schema::Change;
use helenus::telemetry::Registry;
use helenus_platform::clock::{Clock, ManualClock};
use helenus_platform::disk::{Disk, MemoryDisk};
use helenus_platform::net::SimNetwork;
use helenus_platform::pool::Pool;
use helenus_platform::random::SeededRandom;
use helenus_platform::runtime::{Runtime, SimRuntime};
use helenus_platform::signal::Signal;
use helenus_storage::model::LogPosition;
use helenus_storage::{Budget, Engine, JobKind, JobStep, Options, TableOptions, Write};

use crate::harness::{Db, START, small_options};
use crate::ops::{COUNTERS, WIDE};

const CLUSTER: [u8; 16] = [0xc1; 16];
const POLLS_MAX: u64 = 20_000_000;

fn ip(node: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, node as u8 + 1])
}

fn own(node: usize) -> Own {
    let address = SocketAddr::new(ip(node), 7000);
    Own { cluster_id: Some(CLUSTER), host_id: host_id(node), address, feature_level: 1 }
}

/// The host id of a node.
pub(crate) fn host_id(node: usize) -> [u8; 16] {
    [node as u8 + 1; 16]
}

/// Where a node is reached.
pub(crate) fn target(node: usize) -> Target {
    Target { address: own(node).address, host_id: Some(host_id(node)) }
}

/// A node as another one, or it itself, asks it.
pub(crate) fn contact(node: usize, from: usize) -> Contact {
    let is_self = node == from;
    Contact { host_id: host_id(node), target: target(node), is_self, rank: 0 }
}

/// How a node treats what others ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Reads get no answer.
    Silent,
    /// Reads fail.
    Failing,
    /// Mutations get no answer and are forgotten.
    Forgetful,
}

/// What all nodes share.
pub(crate) struct Lab {
    pub(crate) runtime: SimRuntime,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) network: SimNetwork,
    pub(crate) metadata: Arc<Metadata>,
    seed: u64,
}

/// A node.
pub(crate) struct Node {
    pub(crate) db: Arc<Db>,
    pub(crate) world: Arc<ReadWorld>,
    pub(crate) serving: Arc<Serving>,
}

/// Answers what other nodes ask of one.
pub(crate) struct Serving {
    db: Arc<Db>,
    reader: ReplicaReader,
    mood: Mutex<Mood>,
}

impl Serving {
    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

impl MessageHandler for Serving {
    fn receive(&self, _: &Peer, message: Incoming, reply: &mut ReplyWriter<'_>) -> Received {
        let mood = *self.mood.lock().unwrap();
        match message.verb {
            Verb::Read => match mood {
                Mood::Silent => Received::Pending(Box::pin(pending())),
                Mood::Failing => {
                    reply.fail(&Failure::new(helenus::coordinator::failure::ENGINE, ""));
                    Received::NOW
                }
                Mood::Well | Mood::Forgetful => self.reader.receive(&message, reply),
            },
            Verb::Mutation => {
                if mood == Mood::Forgetful {
                    return Received::Pending(Box::pin(pending()));
                }
                let (_, mutation) = mutation_message::decode(&message.payload).unwrap();
                let written = self.db.engine().write(&[mutation]).unwrap();
                let Write::Done { position, .. } = written else { panic!("memory is full") };
                Received::Answered { hold_until: Some(position.0) }
            }
            other => panic!("nobody sends {other:?}"),
        }
    }

    fn watermark(&self) -> Position {
        self.db.engine().answer_position().0
    }

    fn write_out(&self, position: Position) {
        self.db.engine().write_out(LogPosition(position));
    }

    fn watermark_signal(&self) -> &Signal {
        self.db.engine().watermark_signal()
    }

    fn failure(&self) -> Option<Failure> {
        None
    }
}

struct Nothing;

impl Applier for Nothing {
    fn apply(
        &self,
        _: &ClusterState,
        _: &ClusterState,
        _: &[Change],
    ) -> helenus::error::Result<()> {
        Ok(())
    }
}

/// The only member that the metadata names.
pub(crate) fn member() -> Member {
    Member {
        host_id: host_id(0),
        internode_address: own(0).address,
        cql_address: ([127, 0, 0, 1], 9042).into(),
        data_center: "datacenter1".to_owned(),
        rack: "rack1".to_owned(),
        tokens: vec![0],
        state: MemberState::Normal,
        feature_level: FEATURE_LEVEL,
        voter: true,
    }
}

fn metadata(runtime: &SimRuntime, clock: &Arc<ManualClock>, seed: u64) -> Arc<Metadata> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::default());
    let dir = Path::new("/metadata");
    disk.create_dir_all(dir).unwrap();
    let metadata = Metadata::create(disk, clock.clone(), dir, CLUSTER, member()).unwrap();
    metadata.start(Running {
        runtime: Arc::new(runtime.clone()),
        random: Arc::new(SeededRandom::new(seed)),
        applier: Arc::new(Nothing),
        transport: Arc::new(NoTransport),
        liveness: Arc::new(AllUp),
        own: member(),
        timing: Default::default(),
    });
    Arc::new(metadata)
}

impl Lab {
    pub(crate) fn new(seed: u64) -> Arc<Lab> {
        let clock = Arc::new(ManualClock::new(START * 1_000_000));
        let runtime = SimRuntime::new(seed, clock.clone());
        let network = SimNetwork::new(seed, Arc::new(runtime.clone()), clock.clone());
        let metadata = metadata(&runtime, &clock, seed);
        Arc::new(Lab { runtime, clock, network, metadata, seed })
    }

    pub(crate) fn run<T: Send + 'static>(
        &self,
        test: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.runtime.block_on(POLLS_MAX, test).unwrap()
    }

    /// Starts something beside the test.
    pub(crate) fn spawn(&self, beside: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn("beside", Box::pin(beside));
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(crate) async fn sleep(&self, millis: u64) {
        self.runtime.sleep(Duration::from_millis(millis)).await;
    }

    /// A node whose engine has some option changed.
    pub(crate) async fn node(&self, number: usize, change: impl FnOnce(&mut Options)) -> Node {
        let mut options =
            Options { host_id: host_id(number), expiry_margin_seconds: 0, ..small_options() };
        change(&mut options);
        let grace = TableOptions { gc_grace_seconds: 1_000_000, ..TableOptions::default() };
        let tables = [(WIDE, grace.clone()), (COUNTERS, grace)];
        let mut db = Db::new(self.seed + number as u64, options, &tables);
        db.clock = self.clock.clone();
        db.open().unwrap();
        let db = Arc::new(db);
        let runtime: Arc<dyn Runtime> = Arc::new(self.runtime.clone());
        let world = World {
            network: Arc::new(self.network.host(ip(number))),
            runtime: runtime.clone(),
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(self.seed ^ number as u64)),
        };
        let metrics = InternodeMetrics::new(&Registry::new());
        let internode = Internode::new(world, own(number), Limits::default(), metrics);
        let pool = Arc::new(Pool::new(runtime.as_ref(), "pool", 2, 1000));
        let engine: Engine = db.engine().clone();
        let reader = ReplicaReader::new(engine, self.metadata.clone(), pool, self.clock.clone());
        let serving = Arc::new(Serving { db: db.clone(), reader, mood: Mutex::default() });
        internode.listen(own(number).address, serving.clone()).await.unwrap();
        let world = ReadWorld {
            engine: db.engine().clone(),
            internode: Arc::new(internode),
            clock: self.clock.clone(),
            runtime,
            latencies: Arc::new(Latencies::default()),
            metrics: ReadMetrics::new(&Registry::new()),
        };
        Node { db, world: Arc::new(world), serving }
    }

    /// The time of a request, in seconds since the epoch.
    pub(crate) fn seconds(&self) -> i64 {
        self.clock.wall_micros() / 1_000_000
    }
}

impl Node {
    /// Syncs the log and flushes from now on whenever there is something, without being asked.
    pub(crate) fn start_jobs(&self, lab: &Lab) {
        let db = self.db.clone();
        lab.spawn(async move {
            let signal = db.engine().work_signal(JobKind::Flush);
            loop {
                let epoch = signal.epoch();
                db.run_jobs(JobKind::Flush).unwrap();
                signal.wait_past(epoch).await;
            }
        });
        let db = self.db.clone();
        let (runtime, clock) = (lab.runtime.clone(), lab.clock.clone());
        lab.spawn(async move {
            let signal = db.engine().work_signal(JobKind::LogSync);
            loop {
                let epoch = signal.epoch();
                let mut job = db.engine().next_job(JobKind::LogSync).unwrap();
                let at = loop {
                    match job.step(&mut Budget::new(1000)).unwrap() {
                        JobStep::Again => {}
                        JobStep::WaitUntil(at) => break Some(at),
                        JobStep::Done => break None,
                    }
                };
                drop(job);
                match at {
                    Some(at) => runtime.sleep(at.saturating_sub(clock.monotonic())).await,
                    None => signal.wait_past(epoch).await,
                }
            }
        });
    }

    /// Writes, and waits until the log has it.
    pub(crate) async fn write(&self, lab: &Lab, mutation: &[u8]) {
        let engine = self.db.engine();
        let written = loop {
            match engine.write(&[mutation]).unwrap() {
                Write::Done { position, .. } => break position,
                Write::Full => lab.sleep(1).await,
            }
        };
        loop {
            let epoch = engine.watermark_signal().epoch();
            if engine.answer_position() >= written {
                return;
            }
            engine.watermark_signal().wait_past(epoch).await;
        }
    }

    /// Asks another node within two seconds.
    pub(crate) async fn ask(
        &self,
        to: usize,
        verb: Verb,
        payload: Bytes,
    ) -> Result<Bytes, RequestError> {
        let internode = &self.world.internode;
        let deadline = internode.deadline(Duration::from_secs(2));
        internode.request(&target(to), Request { verb, payload, deadline, trace: None }).await
    }
}
