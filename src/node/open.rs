//! Opening a data directory, step by step as ARCHITECTURE.md tells it.

use std::error::Error as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use cql_lite::types::text::print_uuid;
use helenus_platform::disk::{Disk, DiskLock, LockError};
use helenus_platform::pool::Pool;
use helenus_platform::signal::Signal;
use helenus_storage::log::PERIODIC_PACE_DEFAULT;
use helenus_storage::model::counter::CounterId;
use helenus_storage::{Durability, Engine, ErrorKind, Options, Place};

use super::applier::{EngineApplier, engine_tables};
use super::cluster::Addresses;
use super::snapshots::Snapshots;
use super::statements::StatementCache;
use super::views::LiveViews;
use super::{Node, Shared, World, background};
use crate::cluster::identity::{Identity, IdentityError, IdentityFile};
use crate::cluster::members::{FEATURE_LEVEL, Member, MemberState};
use crate::cluster::metadata::{Metadata, Running};
use crate::cluster::newcomer;
use crate::cluster::raft::Timing;
use crate::cluster::transport::{MetadataTransport, NoTransport};
use crate::config::{Config, DurabilityMode};
use crate::coordinator::{Coordinator, PartitionLocks, Timeouts, Timestamps, batch_log};
use crate::query::{Guardrails, Services};
use crate::server::{Clients, EventHub};
use crate::telemetry::{LineLimiter, Traces};

/// Names that an interrupted founding, or joining, may leave behind.
const FOUNDING: &[&str] =
    &["LOCK", "IDENTITY.tmp", "metadata", newcomer::NAME, newcomer::TEMPORARY];
/// Work that may wait for the disk before more is refused.
const POOL_QUEUE: usize = 4096;

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it, or it cannot be locked.
    #[error("{0}")]
    Locked(LockError),
    /// The disk failed.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It, or something in it, cannot be written to.
    #[error(
        "{source}; the node must be able to write to its data directory {dir}: mount its file \
         system read-write, let the user who runs the node own it and all that is in it, or \
         choose another one with --data-dir"
    )]
    NotWritable {
        /// The data directory.
        dir: String,
        /// What could not be done, to which file.
        source: Box<OpenError>,
    },
    /// It holds something, and that is not a node's data.
    #[error(
        "{path} is not empty and is not a data directory (it has no IDENTITY but holds '{found}'); \
         give the node an empty one"
    )]
    NotOurs {
        /// The directory.
        path: String,
        /// Something in it.
        found: String,
    },
    /// Its identity is damaged or newer.
    #[error("{0}")]
    Identity(IdentityError),
    /// The metadata log is damaged or newer, or cannot be read.
    #[error("{0}")]
    Metadata(crate::error::Error),
    /// The commit log is damaged, or a part of it is missing.
    #[error(
        "{0}; bring the file back from a copy, or start once with --set \
         commit_log.skip_damaged=true to go on without what cannot be read"
    )]
    LogDamaged(helenus_storage::Error),
    /// The engine's data is damaged or newer.
    #[error("{0}")]
    Engine(helenus_storage::Error),
    /// It cannot be a node of its cluster; the sentence says why, and what to do.
    #[error("{0}")]
    Cluster(String),
}

fn engine_error(error: helenus_storage::Error) -> OpenError {
    let is_log = match error.place() {
        Place::File { path, .. } => path.parent().is_some_and(|dir| dir.ends_with("engine/log")),
        _ => false,
    };
    if is_log && error.kind() == ErrorKind::Corrupt {
        return OpenError::LogDamaged(error);
    }
    OpenError::Engine(error)
}

/// Adds what to do where the system does not let the node write.
pub(super) fn unless_writable(dir: &Path, error: OpenError) -> OpenError {
    let cause = match &error {
        OpenError::Locked(LockError { source: Some(source), .. })
        | OpenError::Io { source, .. }
        | OpenError::Identity(IdentityError::Io { source, .. }) => Some(source),
        OpenError::Engine(engine) => engine.source().and_then(|cause| cause.downcast_ref()),
        _ => None,
    };
    let denied = [std::io::ErrorKind::PermissionDenied, std::io::ErrorKind::ReadOnlyFilesystem];
    if cause.is_some_and(|cause: &std::io::Error| denied.contains(&cause.kind())) {
        let dir = dir.display().to_string();
        return OpenError::NotWritable { dir, source: Box::new(error) };
    }
    error
}

pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.display().to_string();
    move |source| OpenError::Io { what, path, source }
}

/// A data directory that this process has taken.
pub(super) struct Held {
    pub(super) lock: Box<dyn DiskLock>,
    /// Since when it is being opened, on the monotonic clock.
    pub(super) at: Duration,
}

/// What a directory says about its node.
pub(super) struct Founded {
    pub(super) identity: Identity,
    pub(super) metadata: Metadata,
}

/// Makes a directory that survives a power cut, with those above it: what is durable inside of one
/// that does not would be lost with it.
fn make_dir(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !disk.exists(dir).unwrap_or(true);
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    disk.create_dir_all(dir)?;
    for parent in missing.iter().rev().filter_map(|dir| dir.parent()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        disk.sync_dir(parent)?;
    }
    Ok(())
}

/// Takes the directory that `config` names, and looks whom it belongs to.
pub(super) fn hold(world: &World, config: &Config) -> Result<(Held, Option<Identity>), OpenError> {
    let at = world.clock.monotonic();
    let (disk, dir) = (world.disk.as_ref(), &config.data_dir);
    make_dir(disk, dir).map_err(io("cannot create", dir))?;
    let lock = disk.lock(&dir.join("LOCK"), "helenus").map_err(OpenError::Locked)?;
    let found = Identity::load(disk, dir).map_err(OpenError::Identity)?;
    Ok((Held { lock, at }, found))
}

/// Reads the metadata of the node that a directory belongs to.
pub(super) fn read_metadata(
    world: &World,
    config: &Config,
    identity: Identity,
) -> Result<Founded, OpenError> {
    let metadata = Metadata::open(
        world.disk.clone(),
        world.clock.clone(),
        &config.data_dir.join("metadata"),
        identity.cluster_id,
        identity.host_id,
        identity.metadata_version,
    );
    Ok(Founded { identity, metadata: metadata.map_err(OpenError::Metadata)? })
}

/// Refuses a directory without identity in which there is anything but what an interrupted
/// founding leaves, and makes an empty one for the metadata.
pub(super) fn prepare_empty(world: &World, config: &Config) -> Result<(), OpenError> {
    let (disk, dir) = (world.disk.as_ref(), &config.data_dir);
    let entries = disk.list(dir).map_err(io("cannot list", dir))?;
    if let Some(other) = entries.iter().find(|e| !FOUNDING.contains(&e.name.as_str())) {
        let (path, found) = (dir.display().to_string(), other.name.clone());
        return Err(OpenError::NotOurs { path, found });
    }
    let metadata_dir = dir.join("metadata");
    if entries.iter().any(|entry| entry.name == "metadata") {
        disk.remove_dir_all(&metadata_dir).map_err(io("cannot remove", &metadata_dir))?;
    }
    disk.create_dir_all(&metadata_dir).map_err(io("cannot create", &metadata_dir))
}

/// Founds a cluster of one in an empty directory that was prepared.
pub(super) fn found(
    world: &World,
    config: &Config,
    own: &Addresses,
    host_id: Option<[u8; 16]>,
) -> Result<Founded, OpenError> {
    let drawn = Identity::found(world.random.as_ref());
    let identity = Identity { host_id: host_id.unwrap_or(drawn.host_id), ..drawn };
    let metadata = Metadata::create(
        world.disk.clone(),
        world.clock.clone(),
        &config.data_dir.join("metadata"),
        identity.cluster_id,
        own_member(config, &identity, own),
    );
    give_identity(world, config, identity, metadata.map_err(OpenError::Metadata)?)
}

/// Makes the directory the node's. The identity comes last: without it, a start that was
/// interrupted is begun again.
pub(super) fn give_identity(
    world: &World,
    config: &Config,
    identity: Identity,
    metadata: Metadata,
) -> Result<Founded, OpenError> {
    let (disk, dir) = (world.disk.as_ref(), &config.data_dir);
    disk.sync_dir(dir).map_err(io("cannot sync", dir))?;
    identity.store(disk, dir).map_err(OpenError::Identity)?;
    newcomer::forget(disk, dir).map_err(io("cannot tidy", dir))?;
    Ok(Founded { identity, metadata })
}

impl Node {
    /// Opens the data directory that `config` names, founding a cluster of its own if there is
    /// none, and starts the background work. The node hears nothing of others; [`Node::start`]
    /// makes one that does. Blocks on the disk.
    ///
    /// # Errors
    /// Name the file and say what to do.
    pub fn open(world: World, config: Config) -> Result<Node, OpenError> {
        let dir = config.data_dir.clone();
        Node::open_as_it_is(world, config).map_err(|error| unless_writable(&dir, error))
    }

    fn open_as_it_is(world: World, config: Config) -> Result<Node, OpenError> {
        let own = Addresses::of(&config, None);
        let (held, identity) = hold(&world, &config)?;
        let founded = match identity {
            Some(identity) => read_metadata(&world, &config, identity)?,
            None => {
                prepare_empty(&world, &config)?;
                found(&world, &config, &own, None)?
            }
        };
        let node = Node::assemble(world, config, held, founded, own)?;
        node.begin(Arc::new(NoTransport));
        Ok(node)
    }

    /// Opens the engine and puts the node together. Nothing of it runs before [`Node::begin`].
    pub(super) fn assemble(
        world: World,
        config: Config,
        held: Held,
        founded: Founded,
        own: Addresses,
    ) -> Result<Node, OpenError> {
        let (disk, dir) = (world.disk.clone(), config.data_dir.clone());
        let Founded { mut identity, metadata } = founded;
        let stopped_cleanly = identity.stopped_cleanly;
        if !identity.stopped_cleanly {
            identity.counter_generation = identity.counter_generation.saturating_add(1);
        }
        identity.stopped_cleanly = false;
        identity.metadata_version = metadata.state().version;
        let now = world.clock.wall_micros();
        identity.next_generation(now);
        let floor = identity.timestamp_ceiling;
        identity.timestamp_ceiling = background::first_ceiling(floor, now);
        identity.store(disk.as_ref(), &dir).map_err(OpenError::Identity)?;

        let engine = open_engine(&world, &config, &identity, &metadata)?;
        let metadata = Arc::new(metadata);
        let metrics = engine.metrics();
        tracing::info!(
            dir = %dir.display(),
            host_id = print_uuid(&identity.host_id),
            tables = engine.tables().len(),
            stopped_cleanly,
            replayed_records = metrics.replayed_records.get(),
            leftovers_removed = metrics.orphans_removed.get(),
            took_ms = world.clock.monotonic().saturating_sub(held.at).as_secs_f64() * 1000.0,
            "opened the data directory"
        );

        let runtime = world.runtime.as_ref();
        let pool = Pool::new(runtime, "helenus-pool", config.fetch_threads, POOL_QUEUE);
        let pool = Arc::new(pool);
        let identity = Arc::new(IdentityFile::new(world.disk.clone(), dir.clone(), identity));
        let snapshots = Arc::new(Snapshots {
            disk: world.disk.clone(),
            clock: world.clock.clone(),
            engine: engine.clone(),
            identity: identity.clone(),
            dir: dir.clone(),
        });
        snapshots.remove_unfinished();
        let traces = Arc::new(Traces::new(world.clock.clone()));
        let statements = Arc::new(StatementCache::new(config.prepared_statements_bytes));
        let clients = Clients::new();
        let views = LiveViews {
            config: config.clone(),
            identity: identity.clone(),
            own,
            metadata: metadata.clone(),
            engine,
            traces: traces.clone(),
            statements: statements.clone(),
            clients: clients.clone(),
            pool: pool.clone(),
        };
        Ok(Node {
            shared: Arc::new(Shared {
                services: services(&world, metadata, views, floor),
                statements,
                clients,
                config,
                own,
                world,
                dir,
                opened_at: held.at,
                snapshots,
                slow_lines: LineLimiter::default(),
                failure_lines: LineLimiter::default(),
                pool,
                events: EventHub::new(),
                traces,
                connected: OnceLock::new(),
                liveness: OnceLock::new(),
                replication: OnceLock::new(),
                stopping: AtomicBool::new(false),
                stopped: Signal::new(),
                background: background::Count::default(),
                identity,
                lock: Mutex::new(Some(held.lock)),
            }),
        })
    }

    /// Begins to take part in the metadata, and starts the background work.
    pub(super) fn begin(&self, transport: Arc<dyn MetadataTransport>) {
        let shared = &self.shared;
        let (config, world) = (&shared.config, &shared.world);
        let auto_snapshots = config.auto_snapshot.then(|| shared.snapshots.clone());
        let applier = Arc::new(EngineApplier {
            engine: self.engine().clone(),
            auto_snapshots,
            identity: shared.identity.clone(),
            events: shared.events.clone(),
        });
        self.metadata().start(Running {
            runtime: world.runtime.clone(),
            random: world.random.clone(),
            applier,
            transport,
            liveness: self.liveness().clone(),
            own: own_member(config, &self.identity(), &shared.own),
            timing: Timing::default(),
        });
        self.start_background();
    }
}

fn open_engine(
    world: &World,
    config: &Config,
    identity: &Identity,
    metadata: &Metadata,
) -> Result<Engine, OpenError> {
    let options = engine_options(world, config, identity);
    let mut tables = engine_tables(&metadata.schema());
    tables.push(batch_log::engine_table());
    let (disk, clock, random) = (world.disk.clone(), world.clock.clone(), world.random.clone());
    let engine = Engine::open(options, disk, clock, random, &tables).map_err(engine_error)?;
    for damage in engine.log_damage() {
        tracing::error!(%damage, "commit_log.skip_damaged: acknowledged writes may be lost");
    }
    for damage in engine.damages() {
        tracing::error!(
            file = %damage.path.display(),
            why = damage.why,
            "an SSTable is damaged: reads that need it fail, all else is served; put the file \
             back from a copy while the node is stopped, or give it up with `helenus setaside`"
        );
    }
    Ok(engine)
}

fn services(
    world: &World,
    metadata: Arc<Metadata>,
    views: LiveViews,
    timestamp_floor: i64,
) -> Services {
    let counter_id = {
        let identity = views.identity.get();
        CounterId { host: identity.host_id, generation: identity.counter_generation }
    };
    let coordinator = Coordinator::new(
        views.engine.clone(),
        metadata.clone(),
        world.clock.clone(),
        world.random.clone(),
        Timeouts::default(),
    );
    Services {
        engine: views.engine.clone(),
        metadata,
        coordinator: Arc::new(coordinator),
        clock: world.clock.clone(),
        random: world.random.clone(),
        timestamps: Arc::new(Timestamps::new(world.clock.clone(), timestamp_floor)),
        locks: Arc::new(PartitionLocks::new()),
        counter_id,
        guardrails: Guardrails::new(views.config.guardrails.clone()),
        address: views.own.internode,
        page_bytes_max: views.config.page_bytes_max,
        views: Arc::new(views),
    }
}

/// The node as it wants to be known to the cluster.
pub(super) fn own_member(config: &Config, identity: &Identity, own: &Addresses) -> Member {
    Member {
        host_id: identity.host_id,
        internode_address: own.internode,
        cql_address: own.clients,
        data_center: config.data_center.clone(),
        rack: config.rack.clone(),
        tokens: identity.tokens.clone(),
        state: MemberState::Normal,
        feature_level: FEATURE_LEVEL,
        voter: true,
    }
}

fn engine_options(world: &World, config: &Config, identity: &Identity) -> Options {
    Options {
        host_id: identity.host_id,
        durability: match config.durability {
            DurabilityMode::Group => Durability::GROUP,
            DurabilityMode::Periodic => {
                Durability::Periodic { sync_every: config.sync_period, pace: PERIODIC_PACE_DEFAULT }
            }
            DurabilityMode::Batch => Durability::Batch,
        },
        segment_bytes: config.segment_bytes,
        log_bytes_max: config.log_bytes_max,
        memtable_bytes_max: config.memtable_flush_bytes,
        memtable_total_bytes_max: config.memtable_total_bytes,
        block_cache_bytes: config.block_cache_bytes,
        skip_damaged_log: config.skip_damaged_log,
        fork: world.runtime.clone(),
        // The metadata log is whole, as IDENTITY's version shows: what it does not name was
        // dropped, perhaps by a DROP that a crash cut off before the engine had carried it out.
        drop_unnamed_tables: true,
        ..Options::new(config.data_dir.join("engine"))
    }
}
