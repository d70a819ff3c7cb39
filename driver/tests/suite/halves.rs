//! The two halves that the suite runs on.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use helenus::config::Config;
use helenus::node::{Node, Serving, World};
use helenus_driver::Session;
use helenus_platform::clock::RealClock;
use helenus_platform::disk::MemoryDisk;
use helenus_platform::net::TokioNetwork;
use helenus_platform::random::RealRandom;
use helenus_platform::runtime::TokioRuntime;

/// A node that serves on a port of the system's choice until the process ends.
struct Served {
    serving: Serving,
    _node: Node,
    _runtime: Arc<TokioRuntime>,
}

fn serve() -> Served {
    let runtime = Arc::new(TokioRuntime::new(1).unwrap());
    let world = World {
        disk: Arc::new(MemoryDisk::new()),
        clock: Arc::new(RealClock::new()),
        random: Arc::new(RealRandom::new().unwrap()),
        runtime: runtime.clone(),
    };
    let config = Config {
        data_dir: "/served".into(),
        segment_bytes: 1 << 20,
        metrics_port: 0,
        ..Config::default()
    };
    let node = Node::open(world, config).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let serving = runtime.block_on(node.serve(&TokioNetwork, address)).unwrap();
    Served { serving, _node: node, _runtime: runtime }
}

/// Where the served node is.
pub(crate) fn address() -> String {
    static SERVED: OnceLock<Served> = OnceLock::new();
    SERVED.get_or_init(serve).serving.address().to_string()
}

/// A session over the network, with a keyspace of its own.
pub(crate) async fn connected() -> Session {
    with_keyspace(Session::connect([address()]).await.unwrap()).await
}

/// A session on a node in memory, with a keyspace.
pub(crate) async fn embedded() -> Session {
    with_keyspace(Session::memory().await.unwrap()).await
}

async fn with_keyspace(session: Session) -> Session {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("ks{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let create = format!(
        "CREATE KEYSPACE {name} WITH replication = \
         {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    );
    session.query(create, ()).await.unwrap();
    session.use_keyspace(&name).await.unwrap();
    session
}
